"""The vectors of articles in a run: those learned from words, and those of the publisher."""

import shutil
from contextlib import closing

import msgspec
import numpy as np
import pytest
from conftest import BY_HAND, RECEIVED_MS

from recsys.config import BlendConfig, Config
from recsys.learn.live_choices import sampled_live_choices
from recsys.learn.past_runs import PastRuns
from recsys.nightly.run import run_nightly
from recsys.published import folder as published_folder
from recsys.published.connection import connect
from recsys.rows import HOUR_MS, to_ms
from recsys.serving.loaded_run import LoadedRun
from recsys.serving.recommender import Recommender
from recsys.store.database import Store

CARRIED = ("word_terms", "word_vectors", "vector_centre", "vector_axes")


def test_articles_that_are_only_announced_get_vectors_and_teach_nothing(sample_store):
    past, as_of_ms = PastRuns(sample_store, Config()), RECEIVED_MS - 24 * HOUR_MS
    without = past.nightly(as_of_ms, as_of_ms).model
    announcing = past.nightly(as_of_ms, as_of_ms + 20 * HOUR_MS)
    is_announced = announcing.window.is_announced
    assert is_announced.any()
    for name in CARRIED:
        learned = [getattr(model.carry, name) for model in (without, announcing.model)]
        assert np.array_equal(*learned), name
    announced = announcing.model.rank.word_vectors[is_announced]
    assert np.linalg.norm(announced, axis=1).round(4).tolist() == [1.0] * len(announced)


def test_a_refresh_makes_the_vectors_of_new_articles_by_what_the_night_learned(sample_store):
    past, as_of_ms = PastRuns(sample_store, Config()), RECEIVED_MS - 12 * HOUR_MS
    night = past.nightly(as_of_ms, as_of_ms)
    refreshed = past.refresh(night, as_of_ms + 8 * HOUR_MS, as_of_ms + 8 * HOUR_MS)
    for name in CARRIED:
        learned = [getattr(run.model.carry, name) for run in (night, refreshed)]
        assert np.array_equal(*learned), name
    before, after = (run.model.rank.word_vectors for run in (night, refreshed))
    assert len(after) > len(before)
    assert np.array_equal(after[: len(before)], before)
    assert np.linalg.norm(after[len(before) :], axis=1).min() > 0.99
    assert refreshed.model.page.live.vectors.shape == (len(after), 0)


@pytest.fixture(scope="module")
def with_vectors(sample, tmp_path_factory):
    """The sample with vectors that say the section of an article; one in seven has none."""
    here = tmp_path_factory.mktemp("vectors")
    shutil.copy(sample.store, here / "s.db")
    rng = np.random.default_rng(5)
    with Store(here / "s.db") as store:
        articles = store.articles(known_by_ms=RECEIVED_MS)
        keys = articles.id_map.keys
        sections, of_article = np.unique(articles.categories, return_inverse=True)
        vectors = np.eye(len(sections))[of_article] + 0.1 * rng.normal(size=(len(keys), 1))
        vector_of = dict(zip(keys.tolist(), vectors.astype(np.float32), strict=True))
        texts = [of for of in store.vectors.texts(-1, 999, of_all=False) if of.article_key % 7]
        store.vectors.put(texts, np.array([vector_of[of.article_key] for of in texts]), "by hand")
        weighted = msgspec.structs.replace(BY_HAND, blend=BlendConfig(weights={"vectors": 4.0}))
        for hours, kind in ((8, "nightly"), (0, "refresh")):
            at = to_ms(sample.as_of) - hours * HOUR_MS
            run_nightly(store, here / "p", as_of_ms=at, config=weighted, kind=kind)
        yield store, here / "p", sample.as_of


def test_pages_and_explanations_know_the_vectors_of_the_publisher(with_vectors):
    _, folder, as_of = with_vectors
    recommender = Recommender(folder)
    live = recommender.run.model.live
    assert 1 < live.vectors.shape[1] < 64
    lengths = np.linalg.norm(live.vectors, axis=1).round(4)
    assert set(lengths.tolist()) == {0.0, 1.0}
    n_slots = 0
    for number in range(20):
        page = recommender.recommend(f"u{number:04d}", "a0030", as_of=as_of)
        for slot in page["you_may_also_like"]:
            why = slot.explanation
            assert sum(why.parts.values()) == pytest.approx(slot.score, abs=0.02)
            by_reads = sum(driver.vectors for driver in why.drivers)
            n_slots += by_reads > 0 and why.parts.get("vectors", 0.0) > 0
    assert n_slots > 10


def test_pages_of_the_night_are_those_made_when_they_are_asked_for(with_vectors):
    _, folder, _ = with_vectors
    night = published_folder.run_ids(folder)[0]
    run, path = LoadedRun(folder, night), published_folder.run_path(folder, night)
    layout, n = run.builder.layout(None, has_context=False), 0
    with closing(connect(path)) as conn:
        rows = conn.execute("SELECT profile, page FROM users WHERE page IS NOT NULL LIMIT 200")
        for profile, page in rows.fetchall():
            stored = run.stored_page(page, layout, np.zeros(0, dtype=np.int64))
            made = run.builder.page(run.users.state(profile), None, layout).lists
            for name in layout.names:
                shown = [[slot.live_index for slot in lists[name]] for lists in (stored, made)]
                assert shown[0] == shown[1]
            n += 1
    assert n > 50


def test_the_retrieval_head_learns_from_the_vectors(with_vectors):
    store, _, as_of = with_vectors
    past, begin = PastRuns(store, Config()), to_ms(as_of) - 24 * HOUR_MS
    choices = sampled_live_choices(
        past, past.nightly(begin, begin), np.random.default_rng(0), before_ms=2**60, max_choices=50
    )
    assert choices.features["vectors"].std() > 0.1
    assert not choices.features["context_vectors"].any()  # a choice among all is beside no article
