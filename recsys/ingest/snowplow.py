"""Read enriched events of Snowplow: tab separated as the pipeline writes them, or as JSON.

The JSON is that of Snowplow's analytics SDKs. `page_view` is a click; the `page_ping` events of
the same page view add up to its reading time. The article id is `article_id` or `content_id` of a
context, or else the path of the page.
"""

import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from recsys.errors import InputRefusedError
from recsys.ingest.addresses import ARTICLE_PATTERN, article_in, article_pattern, is_bot
from recsys.ingest.batches import Batch
from recsys.ingest.blocks import read_blocks, read_start
from recsys.ingest.gather import Gatherer, Value
from recsys.ingest.json_values import as_list, as_object, as_text, begins_json, json_values
from recsys.ingest.open_rows import OpenRows
from recsys.rows import Kind, Reject, is_text, iso, to_ms

N_FIELDS = 131
# The fields that are read, and their places in a line.
_PLACES = {
    "collector_tstamp": 3,
    "event": 5,
    "event_id": 6,
    "user_id": 12,
    "domain_userid": 15,
    "network_userid": 17,
    "page_url": 29,
    "contexts": 52,
    "useragent": 77,
    "derived_contexts": 122,
    "domain_sessionid": 123,
    "derived_tstamp": 124,
    "event_name": 126,
}
SOURCE = "snowplow"
ARTICLE_PROPERTIES = ("article_id", "content_id", "articleId", "contentId")
MAX_PING_SECONDS = 60  # between two pings the user read; after a longer pause, for this long
LAST_SEEN_MS = "last_seen_ms"  # of a page view: when its last ping came
EVENTS_AT_ONCE = 10_000  # sorted by time, because an export is in no order

Event = dict[str, object]


def matches(start: bytes) -> bool:
    """Return whether a file begins with an enriched event."""
    if begins_json(start):
        return b'"collector_tstamp"' in start and b'"event_id"' in start
    return start.partition(b"\n")[0].count(b"\t") == N_FIELDS - 1


def read(path: Path, kind: Kind | None, pattern: str = ARTICLE_PATTERN) -> Iterator[Batch]:
    """Yield the page views of events as clicks; bots and other events are ignored.

    Parameters
    ----------
    path
        The file.
    kind
        "clicks" or None.
    pattern
        Regular expression that finds the article id in the path and query of `page_url`, if no
        context has one of `ARTICLE_PROPERTIES`; see `recsys.ingest.addresses.article_in`.

    Raises
    ------
    InputRefusedError
        If the file holds no event, or `kind` asks for articles or impressions.
    ValueError
        If `pattern` is not a regular expression.
    """
    if kind not in (None, "clicks"):
        raise InputRefusedError(str(path), f"events of Snowplow hold clicks, not {kind}")
    article = article_pattern(pattern)
    rows, views = Gatherer(kind, "clicks"), OpenRows("clicks")
    n_events = 0
    is_json = begins_json(read_start(path, 4096))
    for events, position in _json_events(path, rows) if is_json else _line_events(path, rows):
        timed = [(_time_ms(event), row, event) for row, event in events]
        for at_ms, row, event in sorted(timed, key=lambda item: item[0] or 0):
            if at_ms is None:
                rows.reject(row, "collector_tstamp", "not a time", str(event))
                continue
            n_events += 1
            _add_event(rows, views, row, at_ms, event, article)
        views.give(rows)
        yield from rows.batches(position)
    if not n_events:
        raise InputRefusedError(
            str(path), f"holds no enriched event of Snowplow ({N_FIELDS} tab separated fields)"
        )


def _json_events(path: Path, rows: Gatherer) -> Iterator[tuple[list[tuple[int, Event]], int]]:
    """Yield events of JSON and the place in the file; damaged ones go to the rejects."""
    events: list[tuple[int, Event]] = []
    for entry in json_values(path):
        if isinstance(entry, Reject):
            rows.reject(entry.row, entry.field, entry.reason, entry.raw)
        elif "collector_tstamp" not in entry.fields():
            rows.reject(entry.row, "collector_tstamp", "missing", str(entry.value))
        else:
            events.append((entry.row, entry.fields()))
            if len(events) == EVENTS_AT_ONCE:
                yield events, entry.position
                events = []
    yield events, path.stat().st_size


def _line_events(path: Path, rows: Gatherer) -> Iterator[tuple[list[tuple[int, Event]], int]]:
    """Yield events of tab separated lines and the place in the file."""
    for block in read_blocks(path):
        events: list[tuple[int, Event]] = []
        lines = block.data.decode("utf-8", "surrogateescape").split("\n")
        for row, line in enumerate(lines, start=block.first_line):
            fields = line.rstrip("\r").split("\t")
            if not line.strip():
                continue
            if len(fields) != N_FIELDS:
                rows.reject(row, "", f"{len(fields)} fields, an event has {N_FIELDS}", line)
            elif not is_text(line):
                rows.reject(row, "", "broken UTF-8", line)
            else:
                events.append((row, {name: fields[place] for name, place in _PLACES.items()}))
        if block.problem:
            rows.reject(block.first_line + len(lines) - 1, "", block.problem, "")
        yield events, block.position


def _time_ms(event: Event) -> int | None:
    """Return the time of an event in ms since 1970: corrected by the pipeline, or as received."""
    text = as_text(event.get("derived_tstamp")) or as_text(event.get("collector_tstamp"))
    try:
        return to_ms(datetime.fromisoformat(text or ""))
    except (ValueError, OverflowError):
        return None


def _add_event(
    rows: Gatherer,
    views: OpenRows,
    row: int,
    at_ms: int,
    event: Event,
    article: re.Pattern[str],
) -> None:
    """Add the click of a page view, or the reading time of a ping to its page view."""
    name = as_text(event.get("event_name")) or as_text(event.get("event")) or ""
    if name not in ("page_view", "page_ping"):
        rows.ignore("event", name)
        return
    contexts = _contexts(event)
    if is_bot(as_text(event.get("useragent")) or "") or any(
        context.get("spiderOrRobot") is True for _, context in contexts
    ):
        rows.ignore("event", "by a bot")
        return
    ids = [as_text(context.get(name)) for _, context in contexts for name in ARTICLE_PROPERTIES]
    url = as_text(event.get("page_url")) or ""
    article_id = next(filter(None, ids), None) or article_in(url, article)
    if article_id is None:
        rows.ignore("event", f"{name} of no article")
        return
    users = (as_text(event.get(key)) for key in ("user_id", "domain_userid", "network_userid"))
    user_id = next(filter(None, users), None)
    session_id = as_text(event.get("domain_sessionid"))
    page_views = [
        as_text(context.get("id")) for schema, context in contexts if "web_page" in schema
    ]
    view_id = next(filter(None, page_views), "")
    key = (view_id,) if view_id else (user_id or "", session_id or "", article_id)
    if name == "page_view":
        click: dict[str, Value] = {
            "user_id": user_id,
            "article_id": article_id,
            "clicked_at": iso(at_ms),
            "source": SOURCE,
            "session_id": None if user_id else session_id,
            LAST_SEEN_MS: float(at_ms),
        }
        views.open(key, row, click)
        return
    view = views.find(key)
    if view is None:
        rows.ignore("event", "page_ping without its page_view")
        return
    last_seen_ms, dwell = view[LAST_SEEN_MS], view.get("dwell_seconds", 0.0)
    assert isinstance(last_seen_ms, float)
    assert isinstance(dwell, float)
    pause_seconds = max(at_ms - last_seen_ms, 0.0) / 1000
    view["dwell_seconds"] = dwell + min(pause_seconds, MAX_PING_SECONDS)
    view[LAST_SEEN_MS] = max(float(at_ms), last_seen_ms)


def _contexts(event: Event) -> list[tuple[str, dict[str, object]]]:
    """Return the contexts of an event as (schema, data)."""
    found = []
    for name, value in event.items():
        if name in ("contexts", "derived_contexts"):
            if isinstance(value, str):
                try:
                    value = json.loads(value or "{}")
                except (ValueError, RecursionError):
                    continue
            for context in map(as_object, as_list(as_object(value).get("data"))):
                schema = as_text(context.get("schema")) or ""
                found.append((schema, as_object(context.get("data"))))
        elif name.startswith("contexts_"):  # of an SDK: a list for each schema
            found += [(name, as_object(context)) for context in as_list(value)]
    return found
