import io
import json

import polars as pl
import pytest
from read_file import read_file

from recsys.errors import InputRefusedError
from recsys.ingest import ga4

START = 1_772_424_000_000_000  # 2026-03-02T04:00:00Z in microseconds
TYPES = ("string_value", "int_value", "float_value", "double_value")


def parameter(key, value):
    type_ = "string_value" if isinstance(value, str) else "int_value"
    return {"key": key, "value": dict.fromkeys(TYPES) | {type_: value}}


def event(name, second, path="/sport/cup", items=(), user="11.22", session=17, **parameters):
    parameters = {
        "page_location": f"https://n.example{path}",
        "ga_session_id": session,
    } | parameters
    return {
        "event_date": "20260302",
        "event_timestamp": START + second * 1_000_000,
        "event_name": name,
        "event_params": [parameter(*pair) for pair in parameters.items()],
        "user_id": None,
        "user_pseudo_id": user,
        "items": list(items),
    }


def item(id_, index):
    return {"item_id": id_, "item_list_name": "Most read", "item_list_index": index}


EVENTS = [
    event("user_engagement", 30, engagement_time_msec=8_500),  # an export is in no order
    event("page_view", 0, "/sport/cup?utm_source=x", engagement_time_msec=99),
    event("page_view", 1, "/"),
    event("view_item_list", 2, items=[item("b", "2"), item("a", "1")]),
    event("select_item", 3, items=[item("b", "2")]),
    event("scroll", 40, engagement_time_msec=500),
    event("session_start", 0),
]
CLICKS = [
    {
        "row": 5,
        "user_id": "11.22",
        "article_id": "b",
        "clicked_at": "2026-03-02T04:00:03Z",
        "source": "Most read",
    },
    {
        "row": 2,
        "user_id": "11.22",
        "article_id": "/sport/cup",
        "clicked_at": "2026-03-02T04:00:00Z",
        "dwell_seconds": "9.0",
        "source": "ga4",
    },
]
IMPRESSION = {
    "row": 4,
    "user_id": "11.22",
    "shown_at": "2026-03-02T04:00:02Z",
    "shown": ["a", "b"],
    "clicked": ["b"],
    "clicked_at": "2026-03-02T04:00:03Z",
    "article_id": "/sport/cup",
    "source": "Most read",
}


def as_json(events):
    """Write events as BigQuery does: integers as texts."""
    text = "\n".join(json.dumps(event) for event in events)
    return text.replace(": 17}", ': "17"}')


def as_parquet(events):
    value = pl.Struct(dict(zip(TYPES, (pl.String, pl.Int64, pl.Float64, pl.Float64), strict=True)))
    schema = {"event_params": pl.List(pl.Struct({"key": pl.String, "value": value}))}
    file = io.BytesIO()
    pl.DataFrame(events, schema_overrides=schema).write_parquet(file)
    return file.getvalue()


@pytest.mark.parametrize(
    "written", [as_json, json.dumps, as_parquet], ids=["lines", "array", "parquet"]
)
def test_page_views_lists_and_reading_times_are_read(tmp_path, written):
    found = read_file(ga4.read, tmp_path, written(EVENTS))
    assert found.clicks == CLICKS
    assert found.impressions == [IMPRESSION]
    assert found.rejects == []
    assert found.ignored == {("event", "page_view of no article"): 1, ("event", "session_start"): 1}


@pytest.fixture
def read(tmp_path):
    """Return a function: what an export with these events holds."""
    return lambda *events, **options: read_file(ga4.read, tmp_path, json.dumps(events), **options)


def test_a_parameter_of_the_site_is_the_article_before_the_path(read):
    found = read(event("page_view", 0, article_id=4711), event("page_view", 1, content_id="c"))
    assert [click["article_id"] for click in found.clicks] == ["4711", "c"]


def test_a_pattern_finds_the_id_in_the_path(read):
    found = read(event("page_view", 0, "/sport/cup-4711"), pattern=r"-(\d+)$")
    assert [click["article_id"] for click in found.clicks] == ["4711"]


def test_a_visitor_without_any_id_is_a_session(read):
    (click,) = read(event("page_view", 0, user=None)).clicks
    assert click["session_id"] == "17"
    assert "user_id" not in click


def test_the_id_of_a_signed_in_user_comes_first(read):
    assert read(event("page_view", 0) | {"user_id": "u7"}).clicks[0]["user_id"] == "u7"


def test_an_item_that_is_viewed_is_a_click_unless_its_page_was_one(read):
    view = event("view_item", 1, items=[item("a", "1")], article_id="a")
    assert [click["article_id"] for click in read(view).clicks] == ["a"]
    assert len(read(event("page_view", 0, article_id="a"), view).clicks) == 1


def test_lists_of_one_event_are_impressions_of_their_own(read):
    promotion = {"item_id": "c", "promotion_name": "Top", "item_list_name": "(not set)"}
    found = read(event("view_promotion", 0, items=[item("a", "1"), promotion]))
    assert [(i["source"], i["shown"]) for i in found.impressions] == [
        ("Top", ["c"]),
        ("Most read", ["a"]),
    ]


def test_reading_time_without_its_page_view_is_ignored(read):
    found = read(event("user_engagement", 0, engagement_time_msec=1), event("page_view", 9, "/b"))
    assert found.ignored == {("event", "user_engagement"): 1}
    assert "dwell_seconds" not in found.clicks[0]


def test_reading_time_of_a_later_batch_gives_the_click_again(tmp_path, monkeypatch):
    monkeypatch.setattr(ga4, "EVENTS_AT_ONCE", 1)
    events = [event("page_view", 0), event("user_engagement", 5, engagement_time_msec=2_000)]
    found = read_file(ga4.read, tmp_path, json.dumps(events))
    assert [click.get("dwell_seconds") for click in found.clicks] == [None, "2.0"]
    assert len({click["clicked_at"] for click in found.clicks}) == 1


def test_events_without_time_or_name_are_rejected(read):
    broken = [
        event("page_view", 0) | change
        for change in ({"event_timestamp": "x"}, {"event_name": None})
    ]
    found = read(event("page_view", 0), *broken, 7)
    assert len(found.clicks) == 1
    assert sorted((reject.row, reject.field) for reject in found.rejects) == [
        (2, "event_timestamp"),
        (3, "event_name"),
        (4, ""),
    ]


def test_what_is_no_export_is_refused(tmp_path, read):
    with pytest.raises(InputRefusedError, match="holds no event"):
        read_file(ga4.read, tmp_path, '{"a": 1}')
    with pytest.raises(InputRefusedError, match="its columns are"):
        read_file(ga4.read, tmp_path, as_parquet([{"event_params": []}]))
    with pytest.raises(InputRefusedError, match="clicks and impressions"):
        read(event("page_view", 0), kind="articles")
    assert ga4.matches(json.dumps(EVENTS[0]).encode())
    assert not ga4.matches(b'{"event_name": "x"}')


def test_an_export_reaches_the_store(load, store):
    report = load({"events.json": as_json(EVENTS), "events.parquet": as_parquet(EVENTS)})
    assert (report.added["clicks"].new, report.added["impressions"].new) == (2, 1)
    assert report.added["impressions"].known == 1
