"""Keys of external ids: given once, looked up by the hundred thousand."""

import sqlite3

import polars as pl

from recsys.store.bulk_insert import insert

_CHUNK = 500  # bound values a statement; SQLite's oldest limit is 999
_MOST_KNOWN = 1 << 20  # ids whose keys are remembered, some 150 MB


class Ids:
    """Keys of readers and articles; `forget` when a transaction did not hold, or deleted some.

    Parameters
    ----------
    conn
        The store's connection.
    """

    def __init__(self, conn: sqlite3.Connection) -> None:
        self._conn = conn
        self._known: dict[str, dict[str, int]] = {}
        self._version = -1

    def forget(self) -> None:
        """Remember no key any more."""
        self._known.clear()

    def keys(self, table: str, ids: pl.Series) -> pl.DataFrame:
        """Return columns `id` and `key` for ids, giving new ones a key.

        Keys are remembered until another connection writes: to look up a million ids again and
        again took most of an ingest.
        """
        version = self._conn.execute("PRAGMA data_version").fetchone()[0]
        if version != self._version:
            self._known.clear()
        self._version = version
        known = self._known.setdefault(table, {})
        distinct = ids.drop_nulls().unique(maintain_order=True).to_list()
        found = list(map(known.get, distinct))
        missing = [id_ for id_, key in zip(distinct, found, strict=True) if key is None]
        if len(known) + len(missing) > _MOST_KNOWN:
            known.clear()
            found, missing = [None] * len(distinct), distinct
        if missing:
            self._look_up(table, missing, known)
            found = [
                known[i] if key is None else key for i, key in zip(distinct, found, strict=True)
            ]
        return pl.DataFrame(
            {"id": distinct, "key": found}, schema={"id": pl.String, "key": pl.Int64}
        )

    def _look_up(self, table: str, ids: list[str], known: dict[str, int]) -> None:
        """Remember the keys of ids, giving those that have none the next."""
        name = table.removesuffix("_ids").removesuffix("s")
        last = self._conn.execute(f"SELECT max({name}_key) FROM {table}").fetchone()[0] or 0
        new = ids
        if len(known) < last:  # else the table holds nothing that is not remembered
            for start in range(0, len(ids), _CHUNK):
                part = ids[start : start + _CHUNK]
                marks = ",".join("?" * len(part))
                query = f"SELECT {name}_id, {name}_key FROM {table} WHERE {name}_id IN ({marks})"
                known.update(self._conn.execute(query, part))
            new = [id_ for id_ in ids if id_ not in known]
        keys = range(last + 1, last + 1 + len(new))
        if new:
            insert(self._conn, f"INSERT INTO {table} ({name}_key, {name}_id)", (keys, new))
            known.update(zip(new, keys, strict=True))
