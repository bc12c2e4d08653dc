"""Read and write the table of impressions; the caller runs the transaction."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from recsys.rows import Added, Impressions, nullable_instants
from recsys.store.bulk_insert import insert_columns
from recsys.store.id_keys import IdKeys

_KEY = "shown_at = ? AND user_key = ? AND shown = ?"
_COLUMNS = (
    *("shown_at", "user_key", "shown", "clicked", "clicked_at", "context_key", "source"),
    *("propensities", "dwell_seconds", "site", "variant"),
)


class StoredImpression(NamedTuple):
    """A row of the table `impressions`; the first three columns are its key."""

    shown_at: int
    user_key: int
    shown: bytes  # article keys, int64 little endian
    clicked: bytes  # one byte an article: 1 if clicked
    clicked_at: int | None
    context_key: int | None
    source: str
    propensities: bytes | None  # float64 little endian
    dwell_seconds: float | None
    site: str | None
    variant: str | None

    def merged_with(self, other: "StoredImpression", id_keys: IdKeys) -> "StoredImpression":
        """Return what two reports of one impression say together; the order does not matter.

        A click in either is a click. The first time of a click counts, and the longest reading
        time. Where two values contradict each other, the smaller one counts, so that the result
        does not depend on which report was read first.
        """
        context_key = _smaller(self.context_key, other.context_key)
        contexts = [key for key in (self.context_key, other.context_key) if key is not None]
        if contexts[1:] not in ([], contexts[:1]):  # keys are in no order, ids are
            context_key = min(contexts, key=id_keys.article_id)
        dwells = [s for s in (self.dwell_seconds, other.dwell_seconds) if s is not None]
        clicked = np.frombuffer(self.clicked, np.uint8) | np.frombuffer(other.clicked, np.uint8)
        return StoredImpression(
            *self[:3],
            clicked.tobytes(),
            _smaller(self.clicked_at, other.clicked_at),
            context_key,
            _smaller(self.source or None, other.source or None) or "",
            _smaller(self.propensities, other.propensities),
            max(dwells, default=None),
            _smaller(self.site, other.site),
            _smaller(self.variant, other.variant),
        )

    def click_time(self) -> int:
        """Return the instant of the clicks that are derived from the impression, in ms."""
        return self.shown_at if self.clicked_at is None else self.clicked_at

    def derived_clicks(self) -> list["DerivedClick"]:
        """Return the clicks that the impression reports, see `DerivedClick`."""
        positions = np.flatnonzero(np.frombuffer(self.clicked, np.uint8)).tolist()
        shown = np.frombuffer(self.shown, "<i8")
        # An impression has one reading time, which is known only if one article was clicked.
        dwell_seconds = self.dwell_seconds if len(positions) == 1 else None
        return [
            DerivedClick(
                self.click_time(),
                self.user_key,
                int(shown[position]),
                dwell_seconds,
                f"{self.source}:{position + 1}" if self.source else None,
            )
            for position in positions
        ]


class DerivedClick(NamedTuple):
    """A click that an impression reports.

    Its source is the list and the 1-based position at which it was shown, such as "front_page:3".
    """

    clicked_at: int
    user_key: int
    article_key: int
    dwell_seconds: float | None
    source: str | None


def _smaller(a: Any, b: Any) -> Any:
    return a if b is None else b if a is None else min(a, b)


@dataclass(frozen=True, slots=True)
class AddedImpressions:
    """What adding impressions changed.

    Attributes
    ----------
    counts
        Numbers of new, changed and known impressions.
    clicks
        The clicks derived from the new and the changed impressions, as they are now.
    outdated_clicks
        The clicks derived from the changed ones before the change.
    oldest_ms
        The first instant at which a new or changed one was shown; None if there is none.
    """

    counts: Added
    clicks: list[DerivedClick]
    outdated_clicks: list[DerivedClick]
    oldest_ms: int | None


def add_impressions(
    conn: sqlite3.Connection, id_keys: IdKeys, rows: pl.DataFrame
) -> AddedImpressions:
    """Add impressions inside a transaction; what they say of a stored one is merged with it.

    An impression is known by its instant, its user, and the articles shown in their order.

    Parameters
    ----------
    conn, id_keys
        The store's connection and keys.
    rows
        Typed rows of impressions.
    """
    shown_keys = id_keys.keys("article", rows["shown"].explode(empty_as_null=False))
    key_of = dict(shown_keys.iter_rows())
    rows = id_keys.add_key_column(id_keys.add_key_column(rows, "user"), "article")
    merged: dict[tuple[int, int, bytes], StoredImpression] = {}
    for impression in _table_rows(rows, key_of):
        before = merged.get(impression[:3])
        merged[impression[:3]] = (
            impression if before is None else before.merged_with(impression, id_keys)
        )
    changes_before = conn.total_changes
    insert = f"INSERT OR IGNORE INTO impressions ({', '.join(_COLUMNS)})"
    insert_columns(conn, insert, list(zip(*merged.values(), strict=True)) or [()] * len(_COLUMNS))
    n_new = conn.total_changes - changes_before
    if n_new == len(merged):
        stored_before: list[StoredImpression] = []
        touched = list(merged.values())
    else:
        touched, stored_before = _merge_with_stored(conn, id_keys, merged)
        touched.sort()
    counts = Added(n_new, len(stored_before), len(rows) - n_new - len(stored_before))
    return AddedImpressions(
        counts,
        [click for impression in touched for click in impression.derived_clicks()],
        [click for impression in stored_before for click in impression.derived_clicks()],
        min((i.shown_at for i in touched), default=None) if n_new or stored_before else None,
    )


def _merge_with_stored(
    conn: sqlite3.Connection,
    id_keys: IdKeys,
    merged: dict[tuple[int, int, bytes], StoredImpression],
) -> tuple[list[StoredImpression], list[StoredImpression]]:
    """Merge rows with the stored ones; return all as they are now, and the changed ones before.

    The rows that were new are stored as they are, so that merging leaves them unchanged.
    """
    now: list[StoredImpression] = []
    before: list[StoredImpression] = []
    select = f"SELECT {', '.join(_COLUMNS)} FROM impressions WHERE {_KEY}"
    names = _COLUMNS[3:]
    update = f"UPDATE impressions SET {', '.join(f'{n} = ?' for n in names)} WHERE {_KEY}"
    for key, impression in merged.items():
        stored = StoredImpression._make(conn.execute(select, key).fetchone())
        result = stored.merged_with(impression, id_keys)
        now.append(result)
        if result != stored:
            before.append(stored)
            conn.execute(update, (*result[3:], *key))
    return now, before


def clicks_derived_at(
    conn: sqlite3.Connection, user_key: int, clicked_at: int
) -> list[DerivedClick]:
    """Return the clicks derived from all stored impressions, of one user at one instant."""
    rows = conn.execute(
        f"SELECT {', '.join(_COLUMNS)} FROM impressions WHERE user_key = ?"
        " AND coalesce(clicked_at, shown_at) = ? AND instr(clicked, x'01') > 0",
        (user_key, clicked_at),
    )
    return [click for row in rows for click in StoredImpression._make(row).derived_clicks()]


def _table_rows(rows: pl.DataFrame, key_of: dict[str, int]) -> Iterator[StoredImpression]:
    """Yield impressions as rows of the table, with shown and clicked articles packed as bytes."""
    for row in rows.iter_rows(named=True):
        clicked_ids = set(row["clicked"] or ())
        shown = np.array([key_of[id_] for id_ in row["shown"]], dtype="<i8")
        clicked = np.array([id_ in clicked_ids for id_ in row["shown"]], dtype=np.uint8)
        propensities = row["propensities"]
        yield StoredImpression(
            row["shown_at"],
            row["user_key"],
            shown.tobytes(),
            clicked.tobytes(),
            row["clicked_at"],
            row["article_key"],
            row["source"],
            None if propensities is None else np.array(propensities, dtype="<f8").tobytes(),
            row["dwell_seconds"],
            row["site"] or None,
            row["variant"] or None,
        )


def read_impressions(conn: sqlite3.Connection, *, from_ms: int, before_ms: int) -> Impressions:
    """Read the impressions shown in [from_ms, before_ms), oldest first."""
    rows = conn.execute(
        "SELECT user_key, coalesce(context_key, -1), shown_at, shown, clicked, clicked_at,"
        " coalesce(source, ''), propensities"
        " FROM impressions WHERE shown_at >= ? AND shown_at < ?"
        " ORDER BY shown_at, user_key, shown",
        (from_ms, before_ms),
    ).fetchall()
    user_key, context_key, shown_ms, shown, clicked, clicked_ms, source, propensities = (
        zip(*rows, strict=True) if rows else [()] * 8
    )
    n_shown = [len(packed) for packed in clicked]
    return Impressions(
        user_key=np.array(user_key, dtype=np.int64),
        context_key=np.array(context_key, dtype=np.int64),
        shown_ms=np.array(shown_ms, dtype=np.int64),
        start=np.concatenate(([0], np.cumsum(n_shown, dtype=np.int64))),
        article_key=np.frombuffer(b"".join(shown), dtype="<i8").astype(np.int64),
        clicked=np.frombuffer(b"".join(clicked), dtype=np.uint8).astype(bool),
        clicked_ms=nullable_instants(clicked_ms),
        source=list(source),
        propensity=np.frombuffer(
            b"".join(
                np.ones(n).tobytes() if packed is None else packed
                for n, packed in zip(n_shown, propensities, strict=True)
            )
        ),
    )
