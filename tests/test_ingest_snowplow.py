import json

import pytest
from read_file import read_file

from recsys.errors import InputRefusedError
from recsys.ingest import snowplow

AT = "2026-03-02 04:00:{:02}.250"
SCHEMA = "iglu:com.snowplowanalytics.snowplow/{}/jsonschema/1-0-0"


def contexts(**data):
    """Contexts as JSON text, from their data by the name of their schema."""
    inner = [{"schema": SCHEMA.format(name), "data": value} for name, value in data.items()]
    return json.dumps({"schema": SCHEMA.format("contexts"), "data": inner})


def line(event, second, view="v1", **fields):
    """An enriched event with the given places filled, such as f12 for the user id."""
    values = [""] * 131
    values[3], values[5], values[6], values[126] = AT.format(second), event, "e1", event
    values[15], values[29] = "cookie7", "https://n.example/sport/cup?x=1"
    values[52] = contexts(web_page={"id": view})
    for place, value in fields.items():
        values[int(place[1:])] = value
    return "\t".join(values)


@pytest.fixture
def read(tmp_path):
    """Return a function: what a file with these lines holds."""
    return lambda *lines, **options: read_file(
        snowplow.read, tmp_path, "".join(f"{text}\n" for text in lines), **options
    )


CLICK = {
    "row": 1,
    "user_id": "cookie7",
    "article_id": "/sport/cup",
    "clicked_at": "2026-03-02T04:00:00.250000Z",
    "dwell_seconds": "20.0",
    "source": "snowplow",
}


def test_a_page_view_is_a_click_and_its_pings_are_its_reading_time(read):
    found = read(
        *(line("page_view", 0), line("page_ping", 20), line("page_ping", 10)),
        *(line("page_ping", 10, view="v2"), line("struct", 5)),
    )
    assert found.clicks == [CLICK]
    assert found.ignored == {
        ("event", "page_ping without its page_view"): 1,
        ("event", "struct"): 1,
    }


def test_a_pause_counts_as_a_minute_at_most(read):
    late = line("page_ping", 30).replace("04:00:30", "04:30:00")
    (click,) = read(line("page_view", 0), line("page_ping", 10), late).clicks
    assert click["dwell_seconds"] == "70.0"  # 10 + 60


def test_the_pipelines_own_time_and_the_users_id_come_first(read):
    (click,) = read(line("page_view", 0, f124=AT.format(7), f12="u7")).clicks
    assert (click["clicked_at"], click["user_id"]) == ("2026-03-02T04:00:07.250000Z", "u7")


def test_a_visitor_without_any_id_is_a_session(read):
    (click,) = read(line("page_view", 0, f15="", f123="s7")).clicks
    assert click["session_id"] == "s7"
    assert "user_id" not in click


def test_a_context_of_the_site_gives_the_article_before_the_path(read):
    (click,) = read(line("page_view", 0, f52=contexts(article={"article_id": 4711}))).clicks
    assert click["article_id"] == "4711"
    (click,) = read(line("page_view", 0), pattern=r"sport/(\w+)").clicks
    assert click["article_id"] == "cup"


def test_bots_and_pages_of_no_article_are_ignored(read):
    robot = contexts(spiders_and_robots={"spiderOrRobot": True})
    found = read(
        *(line("page_view", 0, f77="Googlebot/2.1"), line("page_view", 0, f122=robot)),
        line("page_view", 0, f29="https://n.example/"),
    )
    assert found.clicks == []
    assert found.ignored == {("event", "by a bot"): 2, ("event", "page_view of no article"): 1}


def test_events_of_an_analytics_sdk_are_read(tmp_path):
    event = {
        "collector_tstamp": "2026-03-02T04:00:00.250Z",
        "event": "page_view",
        "event_id": "e1",
        "domain_userid": "cookie7",
        "page_url": "https://n.example/sport/cup",
        "contexts_com_snowplowanalytics_snowplow_web_page_1": [{"id": "v1"}],
    }
    ping = event | {"event": "page_ping", "collector_tstamp": "2026-03-02T04:00:20.250Z"}
    for text in (json.dumps([event, ping]), json.dumps(event) + "\n" + json.dumps(ping)):
        assert read_file(snowplow.read, tmp_path, text).clicks == [CLICK]
        assert snowplow.matches(text.encode())


def test_damaged_events_are_rejected(read):
    found = read(
        *(line("page_view", 0), "a\tb", line("page_view", 0, f3="yesterday", f124="")),
        line("page_view", 0, f52="{broken"),
    )
    assert [click["row"] for click in found.clicks] == [1, 4]
    assert sorted((r.row, r.reason) for r in found.rejects) == [
        (2, "2 fields, an event has 131"),
        (3, "not a time"),
    ]


def test_what_holds_no_event_is_refused(read):
    with pytest.raises(InputRefusedError, match="holds no enriched event"):
        read("a\tb")
    with pytest.raises(InputRefusedError, match="not impressions"):
        read(line("page_view", 0), kind="impressions")
    assert snowplow.matches(line("page_view", 0).encode() + b"\n")
    assert not snowplow.matches(b"1\tU1\t11/13/2019 8:36:57 AM\tN1\tN2-0\n")


def test_events_reach_the_store(load, store):
    assert load({"events.tsv": line("page_view", 0)}).added["clicks"].new == 1
    # 2026-03-02T04:00:00.250Z
    assert store.clicks(from_ms=0, before_ms=2**53).clicked_ms.tolist() == [1_772_424_000_250]
