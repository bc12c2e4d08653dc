import json
from datetime import UTC, datetime, timedelta, timezone

import polars as pl
import pytest
from conftest import LISTS, RECEIVED_MS

from recsys.ingest.batches import Batch
from recsys.ingest.validate import check
from recsys.rows import HOUR_MS, ROW
from recsys.training.examination import positions


def test_logged_propensities_are_stored_and_wrong_ones_unknown(store, load):
    shown = {"user_id": "u", "shown": ["a", "b"], "clicked": ["b"], "source": "you_may_also_like"}
    rows = [
        shown | {"shown_at": RECEIVED_MS - HOUR_MS, "propensities": [1.0, 0.1]},
        shown | {"shown_at": RECEIVED_MS - 2 * HOUR_MS},
        shown | {"shown_at": RECEIVED_MS - 3 * HOUR_MS, "propensities": [1.0]},
        shown | {"shown_at": RECEIVED_MS - 4 * HOUR_MS, "propensities": [1.0, 0.0]},
    ]
    report = load({"i.jsonl": "".join(json.dumps(row) + "\n" for row in rows)})
    problem = "not a chance above 0 and up to 1 for each article shown"
    assert report.ignored == {("propensities", problem): 2}
    kept = store.impressions(from_ms=0, before_ms=RECEIVED_MS)
    assert kept.propensity.tolist() == [1.0] * 7 + [0.1]  # oldest first
    assert kept.source == ["you_may_also_like"] * 4
    assert positions(kept, LISTS).tolist() == [1, 2] * 4


def checked(kind, *, nulls_are_absent=False, zone=None, **columns):
    frame = pl.DataFrame(columns).with_row_index("row", offset=1)
    batch = Batch(kind, frame, nulls_are_absent=nulls_are_absent)
    return check(batch, received_ms=RECEIVED_MS, path="x", zone=zone)


CLICK = {"user_id": "u", "article_id": "a", "clicked_at": "2026-03-01T10:00:00Z"}
IMPRESSION = {"user_id": "u", "shown_at": "2026-03-01T10:00:00Z", "shown": "a b"}
ARTICLE = {"article_id": "a", "title": "Bridge opens"}


@pytest.mark.parametrize(
    ("kind", "row", "field", "value"),
    [
        ("clicks", CLICK, "dwell_seconds", "-1"),
        ("clicks", CLICK, "dwell_seconds", "long"),
        ("clicks", CLICK, "dwell_seconds", "inf"),
        ("clicks", CLICK, "session_id", "a\x07"),
        ("clicks", CLICK, "source", '{"list": [1, 2]}'),
        ("impressions", IMPRESSION, "clicked_at", "soon"),
        ("impressions", IMPRESSION, "clicked_at", "2031-01-01T00:00:00Z"),
        ("impressions", IMPRESSION, "propensities", "1 2"),
        ("articles", ARTICLE, "premium", "maybe"),
        ("articles", ARTICLE, "importance", "high"),
        ("articles", ARTICLE, "published_at", "yesterday"),
        ("articles", ARTICLE, "modified_at", "03/04/2026"),
        ("articles", ARTICLE, "language", "5"),
        ("articles", ARTICLE, "category", "[5, 12]"),
        ("articles", ARTICLE, "tags", "[[1]]"),
        ("articles", ARTICLE, "author", "true"),
        ("articles", ARTICLE, "url", "javascript:x"),
        ("articles", ARTICLE, "image_url", "//cdn.example/x.jpg"),
        ("articles", ARTICLE, "body", '[{"type": "image"}]'),
        ("articles", ARTICLE, "status", "lost"),
        ("articles", ARTICLE, "vector", "[1, null, x]"),
    ],
)
def test_an_odd_optional_value_is_unknown_and_counted_and_its_row_stays(kind, row, field, value):
    found = checked(kind, **{name: [text] for name, text in (row | {field: value}).items()})
    assert found.rejects == []
    ((name, _), n) = found.ignored.popitem()
    assert (name, n, dict(found.ignored)) == (field, 1, {})
    if field in found.rows.columns:
        assert found.rows[field][0] in (None, "")


@pytest.mark.parametrize(
    ("kind", "row", "field", "value", "reason"),
    [
        ("clicks", CLICK, "clicked_at", "10:15 PM", "not a time; write ISO 8601 with an offset"),
        ("clicks", CLICK, "user_id", "u" * 513, "id too long"),
        ("clicks", CLICK, "article_id", "\x1b[2Jx", "control characters in an id"),
        ("clicks", CLICK, "article_id", "1.23457E+17", "a rounded number is not an id"),
        ("clicks", CLICK, "article_id", "nan", "missing"),
        ("impressions", IMPRESSION, "article_id", "true", "true or false is not an id"),
        ("impressions", IMPRESSION, "shown", '{"a": 1}', "not a list of ids"),
        ("impressions", IMPRESSION, "shown", "[null]", "missing, or not a list of ids"),
        ("articles", ARTICLE, "title", "[1, 2]", "not a text"),
        ("articles", ARTICLE, "title", "true", "not a text"),
        ("articles", ARTICLE, "expires_at", "soon", "not a time; write ISO 8601 with an offset"),
        ("articles", ARTICLE, "deleted", "maybe", "neither true nor false"),
    ],
)
def test_a_value_that_a_row_cannot_do_without_rejects_it(kind, row, field, value, reason):
    found = checked(kind, **{name: [text] for name, text in (row | {field: value}).items()})
    assert [reject.field for reject in found.rejects] == [field]
    assert found.rejects[0].reason.startswith(reason)
    assert (len(found.rows), dict(found.ignored)) == (0, {})


def test_values_of_rejected_rows_are_not_counted_as_ignored():
    found = checked(
        "articles", article_id=["a", None], title=["T", "T"], premium=["maybe", "maybe"]
    )
    assert found.ignored == {("premium", "neither true nor false"): 1}


def test_an_unknown_value_leaves_the_stored_one_and_an_empty_cell_clears_it():
    found = checked(
        "articles", article_id=["a", "b"], title=["T", "T"], url=["nowhere", ""], premium=["?", ""]
    )
    assert found.rows["url"].to_list() == [None, ""]
    assert found.rows["premium"].to_list() == [None, -1]
    assert found.rows["tags"].to_list() == [None, None]  # no such column


def test_the_first_section_is_the_section_and_the_others_are_tags():
    found = checked(
        "articles",
        nulls_are_absent=True,
        article_id=["a", "b", "c"],
        title=["T"] * 3,
        category=['["Local", "Transport", "Rail"]', '["Local", "Transport"]', "Food, Drink"],
        tags=["rail, ferry", None, None],
    )
    assert found.rows["category"].to_list() == ["Local", "Local", "Food, Drink"]
    assert found.rows["tags"].to_list() == ["rail\nferry\nTransport", "Transport", None]


def test_times_without_an_offset_are_in_the_zone_or_counted():
    times = ["2026-03-01 10:00:00", "2026-03-01T10:00:00Z"]
    ids = {"user_id": ["u", "v"], "article_id": ["a", "a"], "clicked_at": times}
    noon_ms = 1_772_359_200_000  # 10:00Z
    found = checked("clicks", **ids)
    assert (found.rows["clicked_at"].to_list(), found.n_naive) == ([noon_ms] * 2, 1)
    zone = timezone(timedelta(hours=2))
    found = checked("clicks", **ids, zone=zone)
    assert found.rows["clicked_at"].to_list() == [noon_ms - 7_200_000, noon_ms]
    assert found.n_naive == 0


def test_times_beyond_the_years_of_python_are_rejected_with_their_number():
    beyond = pl.Series([2**62], dtype=pl.Int64).cast(pl.Datetime("us"))
    found = checked("clicks", user_id=["u"], article_id=["a"], clicked_at=beyond)
    assert [(r.field, r.reason) for r in found.rejects] == [("clicked_at", "missing")]
    assert str(2**62) in found.rejects[0].raw


def test_numbers_of_a_data_frame_with_gaps_are_the_ids_that_other_files_write():
    found = checked(
        "impressions",
        user_id=[10.0, float("nan"), 7.5],
        article_id=[None, 3.0, 1.0],
        shown=[[1.0, 2.0], [3.0], [1.0]],
        clicked=[[2.0], [], None],
        shown_at=[datetime(2026, 3, 1, tzinfo=UTC)] * 3,
    )
    assert found.rows["user_id"].to_list() == ["10", " "]  # a blank is an anonymous user
    assert found.rows["article_id"].to_list() == [None, "3"]
    assert found.rows["shown"].to_list() == [["1", "2"], ["3"]]
    assert found.rows["clicked"].to_list() == [["2"], []]
    assert [reject.field for reject in found.rejects] == ["user_id"]


def test_a_clicked_article_that_was_not_shown_is_counted_and_the_others_stay():
    found = checked(
        "impressions", shown_at=["2026-03-01T22:05:00Z"], shown=["a b"], clicked=["b c"]
    )
    assert found.ignored == {("clicked", "not one of the articles shown"): 1}
    assert found.rows["clicked"].to_list() == [["b", "c"]]  # the store takes those that were shown


@pytest.mark.parametrize(
    "far",
    [
        pl.Series([10**7], dtype=pl.Int32).cast(pl.Date),  # days
        pl.Series([10**15]).cast(pl.Datetime("ms")),
        pl.Series([[10**15]]).cast(pl.List(pl.Datetime("ms"))),
    ],
)
def test_a_rejected_row_with_a_time_beyond_the_years_of_python_shows_a_number(far):
    frame = pl.DataFrame({ROW: [1], "article_id": [None], "published_at": far})
    found = check(Batch("articles", frame), received_ms=RECEIVED_MS, path="x")
    assert [reject.field for reject in found.rejects] == ["article_id"]
    assert "published_at=" in found.rejects[0].raw
