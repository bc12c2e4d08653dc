"""Store clicks as rows, and cache the clicks of each hour as packed columns for reading.

The table `clicks` is the source. The table `click_hours` caches its hours, because reading packed
columns is much faster than reading rows, see `recsys.store.packed_hours`.
"""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import fields

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.rows import HOUR_MS, TIME_IS_BOUND, Added, Clicks
from recsys.sorted_ints import distinct_counts
from recsys.store.bulk_insert import insert_columns
from recsys.store.derived import DerivedTables
from recsys.store.impressions import DerivedClick, clicks_derived_at
from recsys.store.packed_hours import merge_hours, n_packed, pack_hour, unpack_hours

# A packed hour is packed again at once if the new clicks are at least a quarter of those it holds;
# with fewer, it is packed when it is next read.
_HELD_PER_NEW_CLICK = 4


class ClickTable:
    """Adds and reads clicks.

    Parameters
    ----------
    conn
        The store's connection.
    transaction
        Begins a transaction on it that commits at the end of the block.
    derived
        Holds the training examples, which are dropped when earlier clicks change.
    """

    def __init__(
        self,
        conn: sqlite3.Connection,
        transaction: Callable[[], AbstractContextManager[None]],
        derived: DerivedTables,
    ) -> None:
        self._conn, self._transaction, self._derived = conn, transaction, derived

    def add(self, rows: pl.DataFrame) -> Added:
        """Add clicks, inside a transaction that the caller has begun.

        Parameters
        ----------
        rows
            Typed rows with the columns `user_key` and `article_key`; without the column
            `time_is_bound`, no time is a bound.
        """
        if TIME_IS_BOUND not in rows.columns:
            rows = rows.with_columns(pl.lit(False).alias(TIME_IS_BOUND))
        n_new, n_merged = self._insert_timed(rows.filter(~pl.col(TIME_IS_BOUND)))
        changes_before = self._conn.total_changes
        self._insert_bounds(rows.filter(TIME_IS_BOUND))
        n_bounds = self._conn.total_changes - changes_before
        if n_bounds:
            # A new bound may move a stored click out of any hour.
            self._conn.execute("UPDATE click_hours SET packed = NULL")
        if n_bounds or n_merged:
            self._invalidate_hours(rows["clicked_at"] // HOUR_MS)
        elif n_new:
            self._pack_with(rows)
        if n_new + n_merged + n_bounds:
            self._derived.drop_examples(min(rows["clicked_at"].to_list()))
        n_new += n_bounds
        return Added(new=n_new, changed=n_merged, known=len(rows) - n_new - n_merged)

    def add_derived(
        self, clicks: Sequence[DerivedClick], outdated: Sequence[DerivedClick]
    ) -> Added:
        """Add the clicks of new and changed impressions, inside a transaction.

        Parameters
        ----------
        clicks
            The clicks that these impressions report now.
        outdated
            Those that the changed ones reported before. One that no impression reports any more,
            and that no log of clicks holds, is removed.
        """
        n_changed = self._remove_outdated(outdated)
        if not clicks:
            return Added(changed=n_changed)
        rows = pl.DataFrame(
            clicks,
            schema={
                "clicked_at": pl.Int64,
                "user_key": pl.Int64,
                "article_key": pl.Int64,
                "dwell_seconds": pl.Float64,
                "source": pl.String,
            },
            orient="row",
        )
        n_new, n_merged = self._insert_timed(rows, from_log=False)
        if n_new == len(rows):
            self._pack_with(rows)
        elif n_new or n_merged:  # a stored reading time may come before a derived one
            self._invalidate_hours(rows["clicked_at"] // HOUR_MS)
        n_known = len(rows) - n_new - n_merged
        return Added(new=n_new, changed=n_changed + n_merged, known=n_known)

    def _remove_outdated(self, outdated: Sequence[DerivedClick]) -> int:
        """Remove what clicks have from impressions that changed; return how many are deleted."""
        n_deleted = 0
        hours = [click.clicked_at // HOUR_MS for click in outdated]
        self._invalidate_hours(pl.Series(hours, dtype=pl.Int64))
        for clicked_at, user_key in {click[:2] for click in outdated}:
            derived = clicks_derived_at(self._conn, user_key, clicked_at)
            article_keys = {c.article_key for c in outdated if c[:2] == (clicked_at, user_key)}
            for article_key in article_keys:
                key = (clicked_at, user_key, article_key)
                same = [click for click in derived if click.article_key == article_key]
                n_deleted += self._derive_again(key, same)
        return n_deleted

    def _derive_again(self, key: tuple[int, int, int], derived: list[DerivedClick]) -> int:
        """Set what a click has from impressions to what they report; return 1 if it is deleted."""
        where = " WHERE clicked_at = ? AND user_key = ? AND article_key = ?"
        if not derived:
            deleted = self._conn.execute(f"DELETE FROM clicks{where} AND from_log = 0", key)
            if deleted.rowcount:
                return 1
        dwell = max((c.dwell_seconds for c in derived if c.dwell_seconds is not None), default=None)
        source = min((c.source for c in derived if c.source is not None), default=None)
        self._conn.execute(
            "UPDATE clicks SET dwell_seconds = iif(from_log & 2, dwell_seconds, ?),"
            f" source = iif(from_log & 4, source, ?){where}",
            (dwell, source, *key),
        )
        return 0

    def _insert_timed(self, rows: pl.DataFrame, *, from_log: bool = True) -> tuple[int, int]:
        """Insert clicks whose time is known; return how many are new, and how many changed others.

        The longest reading time and the smallest source count, so that the order of files does not
        matter; but what comes from a log of clicks comes before what impressions report.
        """
        changes_before = self._conn.total_changes
        columns = _table_columns(rows, is_bound=0, from_log=from_log)
        insert_columns(self._conn, "INSERT OR IGNORE INTO clicks", columns)
        n_new = self._conn.total_changes - changes_before
        if n_new == len(rows):
            return n_new, 0
        # Some clicks were stored before. A field of a log replaces a derived one.
        dwell = _MERGED.format(field="dwell_seconds", bit=2, choose="max")
        source = _MERGED.format(field="source", bit=4, choose="min")
        insert_columns(
            self._conn,
            "INSERT INTO clicks",
            columns,
            "ON CONFLICT (clicked_at, user_key, article_key) DO UPDATE SET"
            f" dwell_seconds = {dwell}, source = {source}, from_log = from_log | excluded.from_log"
            f" WHERE dwell_seconds IS NOT {dwell} OR source IS NOT {source}"
            " OR from_log <> from_log | excluded.from_log",
        )
        return n_new, self._conn.total_changes - changes_before - n_new

    def _insert_bounds(self, rows: pl.DataFrame) -> None:
        """Insert clicks whose time is a bound; an earlier bound replaces a later one."""
        insert_columns(
            self._conn,
            "INSERT INTO clicks",
            _table_columns(rows, is_bound=1, from_log=True),
            "ON CONFLICT (user_key, article_key) WHERE time_is_bound = 1 DO UPDATE SET"
            " clicked_at = excluded.clicked_at WHERE excluded.clicked_at < clicked_at"
            # Moving it onto the instant of a click whose time is known would repeat that click.
            " AND NOT EXISTS (SELECT 1 FROM clicks known"
            " WHERE (known.clicked_at, known.user_key, known.article_key)"
            " = (excluded.clicked_at, excluded.user_key, excluded.article_key))"
            " ON CONFLICT (clicked_at, user_key, article_key) DO NOTHING",
        )

    def _invalidate_hours(self, hours: pl.Series) -> None:
        """Drop what is packed of these hours; they are packed again when they are next read."""
        self._conn.executemany(
            "INSERT OR REPLACE INTO click_hours VALUES (?, NULL)",
            hours.unique().to_frame().iter_rows(),
        )

    def _pack_with(self, rows: pl.DataFrame) -> None:
        """Pack the hours of new clicks, except where packing them on reading costs less."""
        clicks = Clicks(
            rows["user_key"].to_numpy(),
            rows["article_key"].to_numpy(),
            rows["clicked_at"].to_numpy(),
            rows["dwell_seconds"].cast(pl.Float32).fill_null(np.nan).to_numpy(),
            np.zeros(len(rows), dtype=bool),
        )
        hours, n_new = distinct_counts(clicks.clicked_ms // HOUR_MS)
        packed_before, pack_later = {}, []
        for hour, n in zip(hours.tolist(), n_new.tolist(), strict=True):
            row = self._conn.execute(
                "SELECT packed FROM click_hours WHERE hour = ?", (hour,)
            ).fetchone()
            if row is None:
                continue
            packed = row[0]
            if packed is not None and n * _HELD_PER_NEW_CLICK >= n_packed(packed):
                packed_before[hour] = packed
            else:
                pack_later.append(hour)
        if pack_later:
            clicks = _select(clicks, ~np.isin(clicks.clicked_ms // HOUR_MS, pack_later))
        merged = [*merge_hours(clicks, packed_before), *((hour, None) for hour in pack_later)]
        self._conn.executemany("INSERT OR REPLACE INTO click_hours VALUES (?, ?)", merged)

    def read(self, *, from_ms: int, before_ms: int) -> Clicks:
        """Return the clicks in [from_ms, before_ms), oldest first."""
        rows = self._conn.execute(
            "SELECT hour, packed FROM click_hours WHERE hour BETWEEN ? AND ? ORDER BY hour",
            (from_ms // HOUR_MS, (before_ms - 1) // HOUR_MS),
        ).fetchall()
        packed = [self._pack(hour) if packed is None else packed for hour, packed in rows]
        clicks = unpack_hours([hour for hour, _ in rows], packed)
        begin, end = np.searchsorted(clicks.clicked_ms, (from_ms, before_ms)).tolist()
        return _select(clicks, slice(begin, end))

    def _pack(self, hour: int) -> bytes:
        """Pack an hour from its rows, store the result, and return it."""
        with self._transaction():  # no click may be added between reading and storing
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


def _select(clicks: Clicks, selection: NDArray[np.bool_] | slice) -> Clicks:
    return Clicks(*(getattr(clicks, field.name)[selection] for field in fields(Clicks)))


# The merged value of a field: of the two that come from a log of clicks, or of the two that do not,
# the one that `choose` picks; a null never counts.
_MERGED = (
    "CASE (from_log & {bit} > 0) - (excluded.from_log & {bit} > 0)"
    " WHEN 1 THEN {field} WHEN -1 THEN excluded.{field}"
    " ELSE coalesce({choose}({field}, excluded.{field}), {field}, excluded.{field}) END"
)


def _table_columns(rows: pl.DataFrame, *, is_bound: int, from_log: bool) -> list[Sequence[object]]:
    """Return clicks as the columns of the table `clicks`, in its order."""
    names = ("clicked_at", "user_key", "article_key", "dwell_seconds", "source")
    bits = [0] * len(rows)
    if from_log:
        has_dwell = rows["dwell_seconds"].is_not_null().cast(pl.Int64)
        bits = (1 + 2 * has_dwell + 4 * rows["source"].is_not_null().cast(pl.Int64)).to_list()
    return [*(rows[name].to_list() for name in names), [is_bound] * len(rows), bits]
