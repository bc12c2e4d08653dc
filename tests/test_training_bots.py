"""Bots, and what a run leaves out because of them."""

import json

import numpy as np
from conftest import BY_HAND, RECEIVED_MS, SAMPLE

from recsys.ingest.detect import expand
from recsys.ingest.load_files import load_files
from recsys.nightly.run import run_nightly
from recsys.rows import HOUR_MS, from_ms
from recsys.serving.recommender import Recommender
from recsys.training.article_signals import articles_lifted_by_bots
from recsys.training.window import read_training_window


def test_a_flood_of_clicks_by_bots_changes_nothing_in_popular_now(store, tmp_path):
    """The flood: 10,000 clicks of 50 user ids on one article, within the last hour."""
    load_files(store, expand([SAMPLE]), received_ms=RECEIVED_MS)
    pages = []
    target = "a0261"
    for flooded in (False, True):
        if flooded:
            at_ms = RECEIVED_MS - HOUR_MS + np.arange(10_000) * 359
            lines = [
                json.dumps({"user_id": f"bot{i % 50}", "article_id": target, "clicked_at": int(ms)})
                for i, ms in enumerate(at_ms.tolist())
            ]
            (tmp_path / "flood.jsonl").write_text("\n".join(lines))
            load_files(store, [tmp_path / "flood.jsonl"], received_ms=RECEIVED_MS)
        folder = tmp_path / str(flooded)
        report = run_nightly(store, folder, as_of_ms=RECEIVED_MS, config=BY_HAND)
        pages.append(Recommender(folder).recommend(as_of=from_ms(RECEIVED_MS)))
    assert report.counts["bots"] >= 50
    assert report.counts["bot_clicks"] >= 10_000
    before, after = ([slot.article_id for slot in page["popular_now"]] for page in pages)
    assert target not in before
    assert before == after


def test_bots_are_found_by_hour_day_and_article_and_the_articles_they_would_lift(store, tmp_path):
    load_files(store, expand([SAMPLE]), received_ms=RECEIVED_MS)
    before = read_training_window(store, RECEIVED_MS, BY_HAND)
    assert articles_lifted_by_bots(before, BY_HAND) == ["a0146"]  # by the crawler of the sample
    oldest = before.live_rows[np.argmin(before.born_ms[before.live_rows])]
    data, target = BY_HAND.data, before.articles.id_map.ids[oldest]
    articles = [i for i in before.articles.id_map.ids if i.startswith("a")][:100]
    rows = []
    for name, n, step_ms, clicked in (
        ("hour+", data.max_clicks_per_hour + 1, 29_000, articles),
        ("hour", data.max_clicks_per_hour, 29_000, articles),
        ("day+", data.max_clicks_per_day + 1, 35_000, articles),
        ("day", data.max_clicks_per_day, 35_000, articles),
        ("article+", data.max_clicks_per_article + 1, 100_000, [target]),
        ("article", data.max_clicks_per_article, 100_000, [target]),
    ):
        begin = (RECEIVED_MS // (24 * HOUR_MS) - 1) * 24 * HOUR_MS  # the beginning of a day
        rows += [(name, clicked[i % len(clicked)], begin + i * step_ms) for i in range(n)]
    rows += [(f"lift{i % 20}", target, RECEIVED_MS - 60_000 - i) for i in range(20 * 121)]
    path = tmp_path / "bots.csv"
    lines = ["user_id,article_id,clicked_at", *(",".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines))
    load_files(store, [path], received_ms=RECEIVED_MS)
    after = read_training_window(store, RECEIVED_MS, BY_HAND)
    new = set(after.bot_ids) - set(before.bot_ids)
    assert new == {"hour+", "day+", "article+", *(f"lift{i}" for i in range(20))}
    assert len(after.bot_clicks.user_key) - len(before.bot_clicks.user_key) == (
        121 + 601 + 101 + 20 * 121
    )
    assert target in articles_lifted_by_bots(after, BY_HAND)
