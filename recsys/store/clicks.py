"""The clicks of the store: rows, which are the truth, and hours of them as columns."""

import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import fields

import numpy as np
import polars as pl

from recsys.rows import HOUR_MS, TIME_IS_BOUND, Added, Clicks
from recsys.sorted_ints import counted
from recsys.store.bulk_insert import insert
from recsys.store.derived import DerivedTables
from recsys.store.packed_hours import merged_hours, n_packed, pack_hour, unpack_hours

_FEWER = 4  # an hour that gets fewer new clicks than this part of its own is packed when read


class ClickTable:
    """Adds and reads clicks.

    Parameters
    ----------
    conn, write
        The store's connection, and what runs one transaction on it.
    kept
        Told of rows that change what past days taught.
    """

    def __init__(
        self,
        conn: sqlite3.Connection,
        write: Callable[[], AbstractContextManager[None]],
        kept: DerivedTables,
    ) -> None:
        self._conn, self._write, self._kept = conn, write, kept

    def add(self, rows: pl.DataFrame) -> Added:
        """Add clicks with their keys, within the transaction of whoever calls."""
        if TIME_IS_BOUND not in rows.columns:
            rows = rows.with_columns(pl.lit(False).alias(TIME_IS_BOUND))
        if rows[TIME_IS_BOUND].any():  # one may move an earlier one, from any hour
            self._conn.execute("UPDATE click_hours SET packed = NULL")
            self._conn.executemany(
                "INSERT OR REPLACE INTO click_hours VALUES (?, NULL)",
                rows.select((pl.col("clicked_at") // HOUR_MS).unique()).iter_rows(),
            )
        else:
            self._pack_with(rows)
        before = self._conn.total_changes
        part = rows.filter(~pl.col(TIME_IS_BOUND))
        timed = _columns(part, is_bound=0)
        insert(self._conn, "INSERT OR IGNORE INTO clicks", timed)
        if self._conn.total_changes - before < len(part):
            # A later log may know what an earlier one did not; what is known stays.
            insert(
                self._conn,
                "INSERT INTO clicks",
                timed,
                "ON CONFLICT (clicked_at, user_key, article_key) DO UPDATE SET"
                " dwell_seconds = coalesce(dwell_seconds, excluded.dwell_seconds),"
                " source = coalesce(source, excluded.source)"
                " WHERE (dwell_seconds IS NULL AND excluded.dwell_seconds IS NOT NULL)"
                " OR (source IS NULL AND excluded.source IS NOT NULL)",
            )
        insert(
            self._conn,
            "INSERT INTO clicks",
            _columns(rows.filter(TIME_IS_BOUND), is_bound=1),
            "ON CONFLICT (user_key, article_key) WHERE time_is_bound = 1 DO UPDATE SET"
            " clicked_at = excluded.clicked_at WHERE excluded.clicked_at < clicked_at"
            # One moved onto a click that is known to the instant would be that click again.
            " AND NOT EXISTS (SELECT 1 FROM clicks known"
            " WHERE (known.clicked_at, known.user_key, known.article_key)"
            " = (excluded.clicked_at, excluded.user_key, excluded.article_key))"
            " ON CONFLICT (clicked_at, user_key, article_key) DO NOTHING",
        )
        new = self._conn.total_changes - before
        self._kept.drop_examples(min(rows["clicked_at"].to_list()) if new else None)
        return Added(new=new, known=len(rows) - new)

    def _pack_with(self, rows: pl.DataFrame) -> None:
        """Keep the hours of new clicks as columns, where that costs less than to read them."""
        clicks = Clicks(
            rows["user_key"].to_numpy(),
            rows["article_key"].to_numpy(),
            rows["clicked_at"].to_numpy(),
            rows["dwell_seconds"].cast(pl.Float32).fill_null(np.nan).to_numpy(),
            np.zeros(len(rows), dtype=bool),
        )
        hours, n_new = counted(clicks.clicked_ms // HOUR_MS)
        before, late = {}, []
        for hour, n in zip(hours.tolist(), n_new.tolist(), strict=True):
            found = self._conn.execute(
                "SELECT packed FROM click_hours WHERE hour = ?", (hour,)
            ).fetchone()
            if found is not None and found[0] is not None and n * _FEWER >= n_packed(found[0]):
                before[hour] = found[0]
            elif found is not None:
                late.append(hour)
        if late:
            keep = ~np.isin(clicks.clicked_ms // HOUR_MS, late)
            clicks = Clicks(*(getattr(clicks, f.name)[keep] for f in fields(Clicks)))
        packed = [*merged_hours(clicks, before), *((hour, None) for hour in late)]
        self._conn.executemany("INSERT OR REPLACE INTO click_hours VALUES (?, ?)", packed)

    def read(self, *, from_ms: int, before_ms: int) -> Clicks:
        """Return clicks in [from_ms, before_ms), oldest first."""
        query = "SELECT hour, packed FROM click_hours WHERE hour BETWEEN ? AND ? ORDER BY hour"
        span = (from_ms // HOUR_MS, (before_ms - 1) // HOUR_MS)
        found = [
            (hour, self._pack(hour) if packed is None else packed)
            for hour, packed in self._conn.execute(query, span).fetchall()
        ]
        clicks = unpack_hours([hour for hour, _ in found], [packed for _, packed in found])
        part = slice(*np.searchsorted(clicks.clicked_ms, (from_ms, before_ms)).tolist())
        return Clicks(*(getattr(clicks, f.name)[part] for f in fields(Clicks)))

    def _pack(self, hour: int) -> bytes:
        """Keep an hour's clicks as columns until more of them come, and return those."""
        with self._write():  # nothing may come between reading and keeping
            packed = pack_hour(
                self._conn.execute(
                    "SELECT user_key, article_key, clicked_at, dwell_seconds, time_is_bound"
                    " FROM clicks WHERE clicked_at >= ? AND clicked_at < ?"
                    " ORDER BY clicked_at, user_key, article_key",
                    (hour * HOUR_MS, (hour + 1) * HOUR_MS),
                ),
                hour,
            )
            self._conn.execute("UPDATE click_hours SET packed = ? WHERE hour = ?", (packed, hour))
        return packed


def _columns(rows: pl.DataFrame, *, is_bound: int) -> list[list[object]]:
    """Return clicks as the columns of their table."""
    names = ("clicked_at", "user_key", "article_key", "dwell_seconds", "source")
    return [*(rows[name].to_list() for name in names), [is_bound] * len(rows)]
