import json
import shutil

import pytest
from conftest import rule

from recsys.config import Config, DataConfig
from recsys.operations.rulebook import Rulebook
from recsys.rows import HOUR_MS, RuleChange, to_ms
from recsys.store.database import Store
from recsys.training.liveness import NO_TITLES, NOTHING_LIVE, why_none_is_live
from recsys.training.window import read_training_window

DEFAULTS = Config()

MIDNIGHT = "2026-03-01T00:00:00Z"

NOON_MS = 1_772_366_400_000  # 2026-03-01T12:00:00Z


def article(article_id, **fields):
    return {"article_id": article_id, "title": article_id, "published_at": MIDNIGHT} | fields


@pytest.fixture
def live_at(store, load):
    """Return a function that loads articles and clicks and returns the live ids by instant."""

    def live_ids(articles, clicks=(), *, config=DEFAULTS):
        load(
            {
                "a.jsonl": "".join(json.dumps(row) + "\n" for row in articles),
                "c.jsonl": "".join(json.dumps(row) + "\n" for row in clicks),
            }
        )

        def at(as_of_ms):
            window = read_training_window(store, as_of_ms, config)
            return [window.articles.id_map.ids[row] for row in window.live_rows.tolist()]

        return at

    return live_ids


def test_a_withdrawn_article_is_live_until_its_withdrawal(live_at):
    at = live_at(
        [
            article("gone", deleted=True, modified_at="2026-03-01T12:00:00Z"),
            article("draft", status="draft", modified_at="2026-03-01T13:00:00Z"),
            article("kept"),
        ]
    )
    assert at(NOON_MS - 1) == ["draft", "gone", "kept"]
    assert at(NOON_MS) == ["draft", "kept"]
    assert at(NOON_MS + HOUR_MS) == ["kept"]


def test_clicks_do_not_keep_a_withdrawn_article_live(live_at):
    at = live_at(
        [article("gone", deleted=True, modified_at="2026-03-01T09:00:00Z"), article("kept")],
        [{"user_id": "u", "article_id": "gone", "clicked_at": "2026-03-01T11:00:00Z"}],
    )
    assert at(NOON_MS) == ["kept"]


def test_an_id_without_a_title_is_live_only_if_no_title_is_required(live_at):
    clicks = [
        {"user_id": f"u{i}", "article_id": id_, "clicked_at": f"2026-03-01T11:{i:02}:00Z"}
        for i in range(30)
        for id_ in ("/", "/search?q=x")
    ]
    articles = [article("a"), article("untitled", title="", body="Text without a title.")]
    assert live_at(articles, clicks)(NOON_MS) == ["a"]
    free = Config(data=DataConfig(require_title=False))
    assert live_at(articles, clicks, config=free)(NOON_MS) == ["/", "/search?q=x", "a", "untitled"]


@pytest.mark.parametrize(
    ("counts", "require_title", "why"),
    [
        ((3, 3, 0), True, NO_TITLES),
        ((3, 3, 0), False, NOTHING_LIVE),  # they are old
        ((3, 2, 0), True, NOTHING_LIVE),
        ((0, 0, 0), True, NOTHING_LIVE),
        ((3, 2, 1), True, ""),
    ],
)
def test_the_reason_without_live_articles_names_the_remedy(counts, require_title, why):
    names = ("articles", "articles_without_title", "live_articles")
    data = DataConfig(require_title=require_title)
    assert why_none_is_live(dict(zip(names, counts, strict=True)), data) == why


def test_a_pinned_article_that_was_withdrawn_is_not_live(store, load):
    rows = [
        article("old", published_at="2025-01-01T00:00:00Z"),
        article(
            "gone",
            published_at="2025-01-01T00:00:00Z",
            deleted=True,
            modified_at="2026-03-01T09:00:00Z",
        ),
    ]
    load({"a.jsonl": "".join(json.dumps(row) + "\n" for row in rows)})
    for i, id_ in enumerate(("old", "gone"), start=1):
        rule = {"kind": "pin", "value": id_, "ends_ms": None}
        store.put_rule(RuleChange(f"r{i}", 1, "added", json.dumps(rule), "E", "why", 0))
    window = read_training_window(store, NOON_MS, Config())
    assert window.live_rows.tolist() == [window.articles.id_map.ids.index("old")]


def test_a_pinned_article_is_live_however_old(sample, tmp_path):
    shutil.copy(sample.store, tmp_path / "recsys.db")
    now_ms = to_ms(sample.as_of)
    with Store(tmp_path / "recsys.db") as store:
        before = read_training_window(store, now_ms, Config())
        old = set(before.articles.id_map.ids)
        old -= {before.articles.id_map.ids[row] for row in before.live_rows}
        pinned = sorted(old)[0]
        Rulebook(store, tmp_path).add(
            rule("pin", pinned, list_name="must_reads", slot=1, ends_ms=now_ms + 10), now_ms=now_ms
        )
        for at, is_live in ((now_ms, True), (now_ms + 10, False)):
            night = read_training_window(store, at, Config())
            live = {night.articles.id_map.ids[row] for row in night.live_rows}
            assert (pinned in live) == is_live
