"""Read the events of Google Analytics 4 as BigQuery exports them, in JSON or Parquet.

The article of an event is the parameter `article_id` or `content_id`, if the site sends one, and
otherwise the path of `page_location`. Articles in lists go by their `item_id`.

- `page_view` is a click, and so is `view_item` of an article that was not open yet.
- `engagement_time_msec` of later events adds to the reading time of the click.
- `view_item_list` and `view_promotion` are impressions; their list is the source.
- `select_item` and `select_promotion` are clicks in a list. They mark the article as clicked in
  the last impression of that list, if it was less than `MAX_OPEN` page views ago.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from recsys.errors import InputRefusedError
from recsys.ingest import parquet
from recsys.ingest.addresses import ARTICLE_PATTERN, article_in, article_pattern
from recsys.ingest.batches import Batch
from recsys.ingest.blocks import read_start
from recsys.ingest.gather import Gatherer, Value
from recsys.ingest.json_values import as_list, as_object, as_text, begins_json, json_values
from recsys.ingest.open_rows import OpenRows
from recsys.rows import Kind, Reject, iso

COLUMNS = {"event_timestamp", "event_name", "event_params"}
_OTHER_COLUMNS = {"user_id", "user_pseudo_id", "items"}
ARTICLE_PARAMETERS = ("article_id", "content_id")
SOURCE = "ga4"
EVENTS_AT_ONCE = 10_000  # sorted by time, because an export is in no order
_LISTS = ("view_item_list", "view_promotion")
_LIST_CLICKS = ("select_item", "select_promotion")
_LIST_NAMES = ("item_list_name", "item_list_id", "promotion_name", "promotion_id")
_NO_READING = ("page_view", "session_start", "first_visit")  # their time belongs to another page
_LATEST_MICROS = 253_402_300_799_999_999  # the end of the year 9999

Event = dict[str, object]


def matches(start: bytes) -> bool:
    """Return whether a file begins with an event of the export."""
    return begins_json(start) and all(f'"{name}"'.encode() in start for name in COLUMNS)


def read(path: Path, kind: Kind | None, pattern: str = ARTICLE_PATTERN) -> Iterator[Batch]:
    """Yield the clicks and impressions of an export.

    Parameters
    ----------
    path
        The file, in JSON (an event on each line, or an array) or Parquet.
    kind
        "clicks", "impressions", or None for both.
    pattern
        Regular expression that finds the article id in the path and query of `page_location`, if
        the event has none of `ARTICLE_PARAMETERS`; see `recsys.ingest.addresses.article_in`.

    Raises
    ------
    InputRefusedError
        If the file holds no events, or `kind` asks for articles.
    ValueError
        If `pattern` is not a regular expression.
    """
    if kind == "articles":
        raise InputRefusedError(str(path), "an export of GA4 holds clicks and impressions")
    article = article_pattern(pattern)
    rows = Gatherer(kind, "clicks")
    views, lists = OpenRows("clicks"), OpenRows("impressions")
    is_parquet = read_start(path, 4).startswith(parquet.MAGIC)
    n_events = 0
    for events, position in _parquet_events(path) if is_parquet else _json_events(path, rows):
        timed = [(_micros(event), row, event) for row, event in events]
        for micros, row, event in sorted(timed, key=lambda item: item[0] or 0):
            name = as_text(event.get("event_name"))
            if micros is None or not name:
                problem = "not a time in microseconds" if name else "missing"
                field = "event_timestamp" if name else "event_name"
                rows.reject(row, field, problem, str(event))
                continue
            n_events += 1
            _add_event(rows, views, lists, row, name, micros, event, article)
        views.give(rows)
        lists.give(rows)
        yield from rows.batches(position)
    if not n_events:
        raise InputRefusedError(str(path), "holds no event of GA4's export")


def _json_events(path: Path, rows: Gatherer) -> Iterator[tuple[list[tuple[int, Event]], int]]:
    """Yield events and the place in the file; damaged ones go to the rejects."""
    events: list[tuple[int, Event]] = []
    for entry in json_values(path):
        if isinstance(entry, Reject):
            rows.reject(entry.row, entry.field, entry.reason, entry.raw)
        elif not entry.fields():
            rows.reject(entry.row, "", "not an event", str(entry.value))
        else:
            events.append((entry.row, entry.fields()))
            if len(events) == EVENTS_AT_ONCE:
                yield events, entry.position
                events = []
    yield events, path.stat().st_size


def _parquet_events(path: Path) -> Iterator[tuple[list[tuple[int, Event]], int]]:
    """Yield the events of a Parquet file and the place in the file."""
    found = set(parquet.column_names(path))
    if not found >= COLUMNS:
        raise InputRefusedError(str(path), f"not GA4's export: its columns are {sorted(found)}")
    names = sorted(found & (COLUMNS | _OTHER_COLUMNS))
    for frame in parquet.read_frames(path, names, batch_rows=EVENTS_AT_ONCE):
        events = [(event.pop("row"), event) for event in frame.to_dicts()]
        yield events, path.stat().st_size


def _micros(event: Event) -> int | None:
    """Return the time of an event in microseconds since 1970; None if it is not one."""
    text = as_text(event.get("event_timestamp")) or ""
    if re.fullmatch(r"\d{1,18}", text) is None:
        return None
    return min(int(text), _LATEST_MICROS)


def _add_event(
    rows: Gatherer,
    views: OpenRows,
    lists: OpenRows,
    row: int,
    name: str,
    micros: int,
    event: Event,
    article: re.Pattern[str],
) -> None:
    """Add the click or the impressions of an event, or complete those of an earlier event."""
    parameters = _parameters(event)
    items = [as_object(item) for item in as_list(event.get("items"))]
    user_id = as_text(event.get("user_id")) or as_text(event.get("user_pseudo_id"))
    session = parameters.get("ga_session_id", "")
    visitor = {"user_id": user_id, "session_id": None if user_id else session or None}
    who = (user_id or "", session)
    at = iso(micros // 1000)
    page = next((parameters[key] for key in ARTICLE_PARAMETERS if key in parameters), None)
    page = page or article_in(parameters.get("page_location", ""), article)
    if name in _LISTS:
        for source, shown in _by_list(parameters, items).items():
            impression = {"shown_at": at, "shown": shown, "article_id": page, "source": source}
            lists.open((*who, source), row, {**visitor, **impression, "clicked": []})
    elif name in _LIST_CLICKS:
        for source, clicked in _by_list(parameters, items).items():
            for article_id in clicked:
                click = {"article_id": article_id, "clicked_at": at, "source": source}
                rows.add("clicks", row, {**visitor, **click})
                _mark_as_clicked(lists.find((*who, source)), article_id, at)
    elif name in ("page_view", "view_item"):
        ids = [page] if name == "page_view" else [_value(item.get("item_id")) for item in items[:1]]
        for article_id in filter(None, ids or [page]):
            key = (*who, article_id)
            if name == "page_view" or views.find(key) is None:
                click = {"article_id": article_id, "clicked_at": at, "source": SOURCE}
                views.open(key, row, {**visitor, **click})
            return
        rows.ignore("event", f"{name} of no article")
    elif not _add_reading_time(views.find((*who, page or "")), parameters, name):
        rows.ignore("event", name)


def _add_reading_time(view: dict[str, Value] | None, parameters: dict[str, str], name: str) -> bool:
    """Add the reading time of an event to a page view; return whether there was any to add."""
    try:
        seconds = int(parameters.get("engagement_time_msec", "")) / 1000
    except (ValueError, OverflowError):
        return False
    if view is None or name in _NO_READING or seconds <= 0:
        return False
    before = view.get("dwell_seconds")
    view["dwell_seconds"] = seconds + (before if isinstance(before, float) else 0.0)
    return True


def _mark_as_clicked(impression: dict[str, Value] | None, article_id: str, at: str) -> None:
    """Add a click to the impression in whose list it happened."""
    if impression is None:
        return
    shown, clicked = impression["shown"], impression["clicked"]
    assert isinstance(shown, list)
    assert isinstance(clicked, list)
    if article_id in shown and article_id not in clicked:
        clicked.append(article_id)
        impression.setdefault("clicked_at", at)


def _by_list(parameters: dict[str, str], items: list[Event]) -> dict[str, list[str]]:
    """Return the ids of an event's items by the list that they are in, in order of position."""
    by_list: dict[str, list[str]] = {}
    named = next((parameters[key] for key in _LIST_NAMES if key in parameters), "")
    for item in sorted(items, key=_position):
        article_id = _value(item.get("item_id"))
        source = next(filter(None, (_value(item.get(key)) for key in _LIST_NAMES)), named) or SOURCE
        if article_id and article_id not in by_list.setdefault(source, []):
            by_list[source].append(article_id)
    return {source: ids for source, ids in by_list.items() if ids}


def _position(item: Event) -> int:
    """Return the position of an item in its list; 0 if the event does not give one."""
    text = _value(item.get("item_list_index")) or ""
    return int(text) if re.fullmatch(r"\d{1,6}", text) else 0


def _parameters(event: Event) -> dict[str, str]:
    """Return the parameters of an event as texts by key."""
    found = {}
    for parameter in map(as_object, as_list(event.get("event_params"))):
        key, values = as_text(parameter.get("key")), as_object(parameter.get("value"))
        text = next(filter(None, map(_value, values.values())), None)
        if key and text:
            found[key] = text
    return found


def _value(value: object) -> str | None:
    """Return a value as text; None where GA4 writes that it has none."""
    text = as_text(value)
    return None if text in ("", "(not set)", "(not provided)") else text
