"""Crowds of brand-new users on the sample: what they move, and what the report says of them.

96 users click in the last hour of the sample, so one user is about 1 % of them, and a crowd of 20
is a fifth.
"""

import json
import sqlite3
from contextlib import closing, contextmanager

import numpy as np
import pytest
from conftest import BY_HAND, RECEIVED_MS

from recsys.ingest.detect import expand
from recsys.ingest.load_files import load_files
from recsys.nightly.run import run_nightly
from recsys.page.build import PageBuilder
from recsys.published import folder as published_folder
from recsys.published import run_file
from recsys.published.connection import connect
from recsys.rows import HOUR_MS
from recsys.store.database import Store
from recsys.training.train import train, with_weights
from recsys.training.window import read_training_window

LISTS = ("you_may_also_like", "popular_now", "must_reads")


@contextmanager
def stage(_):
    yield {}


@pytest.fixture
def attacked(sample_store, tmp_path):
    """A function that adds rows to a copy of the sample and returns the store."""
    with closing(sqlite3.connect(tmp_path / "attacked.db")) as to:
        with closing(sqlite3.connect(sample_store.path)) as copied:
            copied.backup(to)
    with Store(tmp_path / "attacked.db") as store:

        def add(kind, rows):
            path = tmp_path / f"more.{kind}.jsonl"
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
            load_files(store, expand([path]), received_ms=RECEIVED_MS)
            return store

        yield add


@pytest.fixture(scope="module")
def learned(sample):
    """The curves and weights that the night learned from the sample."""
    path = published_folder.run_path(sample.folder, sample.report.run_id)
    with closing(connect(path)) as conn:
        return run_file.load_carry(conn, path).forecast, run_file.load_meta(conn, path).weights


def rankings(store, learned, beside=None):
    """Return the article ids of each list as an anonymous page ranks them, best first."""
    window, (curves, weights) = read_training_window(store, RECEIVED_MS, BY_HAND), learned
    model = with_weights(train(store, window, BY_HAND, stage, curves), weights)
    builder, ids = PageBuilder(model.page), window.articles.id_map.ids
    context = None if beside is None else list(ids).index(beside)
    layout = builder.layout(None, has_context=beside is not None)
    scored = builder.page(None, context, layout).scored
    return {
        of.name: [
            ids[window.live_rows[i]]
            for i in builder.rankings.alone(of, scored).tolist()
            if not scored.closed[i]
        ]
        for of in layout.lists
    }


def slot(ranked, article, n_slots=5):
    """Return the slot of an article, from 0 on; `n_slots` for any place below the list."""
    return min(ranked.index(article), n_slots)


@pytest.fixture(scope="module")
def untouched(sample_store, learned):
    return rankings(sample_store, learned)


def crowd(n, articles, **fields):
    """Return clicks of `n` new users on each of some articles in the last minute."""
    return [
        {"user_id": f"crowd{i}", "article_id": article, "clicked_at": RECEIVED_MS - 60_000 + i}
        | fields
        for i in range(n)
        for article in articles
    ]


@pytest.mark.parametrize("place", [5, 10, 80, -1])
def test_a_crowd_of_clicks_lifts_an_article_by_at_most_one_slot(
    attacked, untouched, learned, place
):
    target = untouched["popular_now"][place]
    after = rankings(attacked("clicks", crowd(20, [target], dwell_seconds=300.0)), learned)
    for name in LISTS:
        assert slot(untouched[name], target) - slot(after[name], target) <= 1, name


def test_one_new_user_in_a_hundred_with_impressions_lifts_by_at_most_one_slot(
    attacked, untouched, learned
):
    target = untouched["popular_now"][5]
    seen = {"user_id": "crowd0", "shown_at": RECEIVED_MS - 60_000}
    after = rankings(
        attacked("impressions", [seen | {"shown": [target], "clicked": [target]}]), learned
    )
    for name in LISTS:
        assert slot(untouched[name], target) - slot(after[name], target) <= 1, name


def test_a_crowd_that_reads_two_articles_does_not_pair_them(
    attacked, sample_store, untouched, learned
):
    beside, target = untouched["popular_now"][0], untouched["popular_now"][80]
    before = rankings(sample_store, learned, beside)["you_may_also_like"]
    store = attacked("clicks", crowd(40, [beside, target]))
    after = rankings(store, learned, beside)["you_may_also_like"]
    assert slot(before, target) - slot(after, target) <= 1
    window = read_training_window(store, RECEIVED_MS, BY_HAND)
    together = train(store, window, BY_HAND, stage, {}).page.live.item_item
    row = list(window.articles.id_map.ids).index(beside)
    inside = slice(together.start[row], together.start[row + 1])
    ids = [window.articles.id_map.ids[window.live_rows[i]] for i in together.column[inside]]
    assert target not in ids


def test_an_article_with_a_new_date_does_not_rise(attacked, untouched, learned):
    """An article that users have seen keeps the age of its first publication."""
    target = untouched["must_reads"][5]
    text = {"title": "A new title", "body": "A new body.", "category": "Politics"}
    dated = {"article_id": target, "published_at": RECEIVED_MS - 60_000}
    after = rankings(attacked("articles", [text | dated]), learned)
    for name in ("must_reads", "latest_stories"):
        assert slot(untouched[name], target, 6) - slot(after[name], target, 6) <= 1, name


def test_a_thousand_articles_of_a_new_source_have_one_slot_of_latest_stories(attacked, learned):
    words = np.random.default_rng(7).integers(0, 10**6, (1000, 12))
    flood = [
        {
            "article_id": f"flood{i}",
            "title": " ".join(f"term{word}" for word in row),
            "url": f"https://flood.example/{i}",
            "published_at": RECEIVED_MS - 60_000 - i,
        }
        for i, row in enumerate(words.tolist())
    ]
    after = rankings(attacked("articles", flood), learned)["latest_stories"][:6]
    assert sum(article.startswith("flood") for article in after) == 1


def test_the_report_says_what_was_damped(attacked, untouched, tmp_path):
    target = untouched["popular_now"][80]
    store = attacked("clicks", crowd(30, [target]))
    report = run_nightly(store, tmp_path / "p", as_of_ms=RECEIVED_MS, config=BY_HAND)
    damped = report.damped[0]
    assert (damped.article_id, damped.clicks >= 30) == (target, True)
    assert damped.share_counted < 0.1
    assert f"article {target}: of {damped.clicks} clicks of users first seen" in report.warnings[0]
    assert store.runs()[-1]["report"]["damped"][0]["article_id"] == target
    again = run_nightly(
        store, tmp_path / "p", as_of_ms=RECEIVED_MS + HOUR_MS, config=BY_HAND, kind="refresh"
    )
    assert again.damped[0].article_id == target


def test_impressions_of_new_ids_do_not_say_how_much_a_slot_is_looked_at(attacked, sample):
    rows = [
        {
            "user_id": f"crowd{i % 30}",
            "shown_at": f"2026-03-02T05:{i // 60:02}:{i % 60:02}Z",
            "source": "popular_now",
            "shown": ["a0146", "a0133"] if i % 2 else ["a0133", "a0146"],
            "clicked": ["a0146" if i % 2 else "a0133"],
        }
        for i in range(600)
    ]
    store = attacked("impressions", rows)
    window = read_training_window(store, round(sample.as_of.timestamp() * 1000), BY_HAND)
    assert window.examination == {}
