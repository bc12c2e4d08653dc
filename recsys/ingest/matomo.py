"""Read the visits of Matomo as its API gives them (`Live.getLastVisitsDetails`, in JSON).

Each page that a visit opened is a click, with the time that Matomo measured as its reading time.
The article id is the path of the page. A visit has a user id if the site gives Matomo one, and
otherwise the visitor id of its cookie or fingerprint.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from recsys.errors import InputRefusedError
from recsys.ingest.addresses import ARTICLE_PATTERN, article_in, article_pattern
from recsys.ingest.batches import Batch
from recsys.ingest.gather import Gatherer
from recsys.ingest.json_values import as_list, as_object, as_text, begins_json, json_values
from recsys.rows import Kind, Reject

SOURCE = "matomo"


def matches(start: bytes) -> bool:
    """Return whether a file begins with a visit of Matomo."""
    return begins_json(start) and b'"idVisit"' in start and b'"actionDetails"' in start


def read(path: Path, kind: Kind | None, pattern: str = ARTICLE_PATTERN) -> Iterator[Batch]:
    """Yield the page views of visits as clicks; events, searches, downloads and so on are ignored.

    Parameters
    ----------
    path
        The file: an array of visits, or a visit on each line.
    kind
        "clicks" or None.
    pattern
        Regular expression that finds the article id in the path and query of a page; see
        `recsys.ingest.addresses.article_in`.

    Raises
    ------
    InputRefusedError
        If the file holds no visit, or `kind` asks for articles or impressions.
    ValueError
        If `pattern` is not a regular expression.
    """
    if kind not in (None, "clicks"):
        raise InputRefusedError(str(path), f"visits of Matomo hold clicks, not {kind}")
    article = article_pattern(pattern)
    rows, n_visits = Gatherer(kind, "clicks"), 0
    for entry in json_values(path):
        if isinstance(entry, Reject):
            rows.reject(entry.row, entry.field, entry.reason, entry.raw)
            continue
        visit = entry.fields()
        if visit.get("result") == "error" and not n_visits:
            raise InputRefusedError(str(path), f"Matomo answered: {as_text(visit.get('message'))}")
        if "actionDetails" not in visit:
            rows.reject(entry.row, "actionDetails", "missing", str(entry.value))
            continue
        n_visits += 1
        _add_visit(rows, entry.row, visit, article)
        if rows.is_full():
            yield from rows.batches(entry.position)
    if not n_visits:
        raise InputRefusedError(str(path), "holds no visit of Matomo (Live.getLastVisitsDetails)")
    yield from rows.batches(path.stat().st_size)


def _add_visit(
    rows: Gatherer, row: int, visit: dict[str, object], article: re.Pattern[str]
) -> None:
    """Add the page views of a visit."""
    user_id = as_text(visit.get("userId")) or as_text(visit.get("visitorId"))
    for action in map(as_object, as_list(visit["actionDetails"])):
        type_ = as_text(action.get("type"))
        article_id = article_in(as_text(action.get("url")) or "", article)
        if type_ != "action":
            rows.ignore("action", f"type {type_}")
        elif article_id is None:
            rows.ignore("action", "page of no article")
        else:
            click = {
                "user_id": user_id,
                "article_id": article_id,
                "clicked_at": as_text(action.get("timestamp")),
                "dwell_seconds": as_text(action.get("timeSpent")),
                "source": SOURCE,
                "session_id": None if user_id else as_text(visit.get("idVisit")),
            }
            rows.add("clicks", row, click)
