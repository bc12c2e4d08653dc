import zipfile
from contextlib import nullcontext

import msgspec
import numpy as np
import pytest
from conftest import BY_HAND, SHARED, current_run, needs_shared
from scipy.sparse import csr_matrix

from recsys.config import TextConfig
from recsys.config_page import PageConfig
from recsys.page.stories import story_index
from recsys.rows import HOUR_MS, UNKNOWN_TIME, to_ms
from recsys.signals.text import count_terms, document_counts, idf, similar_articles, tfidf
from recsys.store.database import Store
from recsys.training.train import train
from recsys.training.window import read_training_window


def test_stories_are_chains_of_copies_and_of_reports_of_one_day():
    similar = csr_matrix(np.array([[0, 0.9, 0, 0], [0, 0, 0, 0.85], [0, 0, 0, 0.7], [0, 0, 0, 0]]))
    never = np.full(4, UNKNOWN_TIME)
    assert story_index(similar, never, PageConfig()).tolist() == [0, 0, 2, 0]
    hours = np.array([0, 90, 89, 66]) * HOUR_MS  # 2 and 3 are 23 hours apart
    assert story_index(similar, hours, PageConfig()).tolist() == [0, 0, 0, 0]
    assert story_index(similar, hours, PageConfig(event_hours=22)).tolist() == [0, 0, 2, 0]


def pairs_of(story):
    return {
        (i, j) for i in range(len(story)) for j in range(i + 1, len(story)) if story[i] == story[j]
    }


def test_stories_of_the_sample_are_its_planted_copies(by_hand):
    with Store(by_hand.store) as store:
        window = read_training_window(store, to_ms(by_hand.as_of), BY_HAND)
        copies_only = msgspec.structs.replace(BY_HAND, page=PageConfig(event_hours=0))
        found = train(store, window, copies_only, lambda stage: nullcontext({}), {})
    titles = [found.articles[row].title for row in found.page.live.live_rows]
    index = {title: i for i, title in enumerate(titles)}
    planted = {
        (*sorted((index[title.removeprefix("Update: ")], i)),)
        for i, title in enumerate(titles)
        if title.startswith("Update: ") and title.removeprefix("Update: ") in index
    }
    found_pairs = pairs_of(found.page.story.tolist())
    assert len(planted) > 5
    assert planted == found_pairs  # precision and recall 1


@pytest.mark.slow
@needs_shared
def test_stories_of_real_news_are_its_copies():
    """Pairs of 2,225 BBC articles; labels by scikit-learn's own vectoriser."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    with zipfile.ZipFile(SHARED / "bbc" / "bbc-fulltext.zip") as archive:
        names = [n for n in sorted(archive.namelist()) if n.count("/") == 2 and n.endswith(".txt")]
        texts = [archive.read(name).decode("utf-8", "replace") for name in names]
    vectors = TfidfVectorizer(sublinear_tf=True, stop_words="english").fit_transform(texts)
    cosine = np.triu((vectors @ vectors.T).toarray(), 1)
    copies = set(zip(*(rows.tolist() for rows in np.nonzero(cosine >= 0.8)), strict=True))
    alike = set(zip(*(rows.tolist() for rows in np.nonzero(cosine >= 0.6)), strict=True))
    config = TextConfig()
    title, body = zip(*(text.split("\n", 1) for text in texts), strict=True)
    counts = count_terms(title, body, [""] * len(texts), config)
    ours = tfidf(counts, idf(*document_counts(counts)))
    similar = similar_articles(ours, ours, np.arange(len(texts)), config)
    found_pairs = pairs_of(
        story_index(similar, np.full(len(texts), UNKNOWN_TIME), PageConfig()).tolist()
    )
    assert len(copies & found_pairs) / len(copies) >= 0.97
    assert len(alike & found_pairs) / len(found_pairs) >= 0.99
    one_day = pairs_of(story_index(similar, np.zeros(len(texts), np.int64), PageConfig()).tolist())
    assert len(alike & one_day) / len(one_day) >= 0.99


def test_planted_copies_belong_to_the_story_of_their_original(sample):
    run = current_run(sample.folder)
    live = [run.articles[row] for row in run.model.live.live_rows]
    title_of = {live_index: article.title for live_index, article in enumerate(live)}
    stories, written_ms = {}, {}
    for live_index, story in enumerate(run.model.story.tolist()):
        title = title_of[live_index]
        stories.setdefault(story, []).append(title)
        written_ms[title] = run.rank.written_ms[run.model.live.live_rows[live_index]]
    for titles in stories.values():
        # A story consists of copies, or of reports of one event within a day of each other.
        if len({title.removeprefix("Update: ") for title in titles}) > 1:
            assert np.diff(sorted(written_ms[t] for t in titles)).max() <= 24 * HOUR_MS
    copies = {title for title in title_of.values() if title.startswith("Update: ")}
    with_original = {t for t in copies if t.removeprefix("Update: ") in title_of.values()}
    in_a_story = {title for titles in stories.values() if len(titles) > 1 for title in titles}
    assert with_original <= in_a_story
