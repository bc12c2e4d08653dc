"""Integer keys of external ids: assign them once, and look up millions of them fast."""

import sqlite3
from typing import Literal

import polars as pl

from recsys.store.bulk_insert import insert_columns

Entity = Literal["user", "article"]

_TABLES: dict[Entity, str] = {"user": "users", "article": "article_ids"}
_IDS_PER_QUERY = 500  # SQLite's oldest limit is 999 variables in a statement
_MAX_CACHED_IDS = 1 << 20  # some 150 MB


class IdKeys:
    """Assigns keys to the ids of users and articles, and caches the keys it has looked up.

    Call `clear_cache` after a transaction that was rolled back or that deleted users.

    Parameters
    ----------
    conn
        The store's connection.
    """

    def __init__(self, conn: sqlite3.Connection) -> None:
        self._conn = conn
        self._cache: dict[Entity, dict[str, int]] = {}
        self._data_version = -1

    def clear_cache(self) -> None:
        """Drop all cached keys."""
        self._cache.clear()

    def article_id(self, article_key: int) -> str:
        """Return the id of an article's key."""
        query = "SELECT article_id FROM article_ids WHERE article_key = ?"
        return str(self._conn.execute(query, (article_key,)).fetchone()[0])

    def add_key_column(self, rows: pl.DataFrame, entity: Entity) -> pl.DataFrame:
        """Add the column `user_key` for `user_id`, or `article_key` for `article_id`.

        New ids are assigned a key, so the caller must have begun a transaction.
        """
        keys = self.keys(entity, rows[f"{entity}_id"]).rename({"key": f"{entity}_key"})
        return rows.join(
            keys, left_on=f"{entity}_id", right_on="id", how="left", maintain_order="left"
        )

    def keys(self, entity: Entity, ids: pl.Series) -> pl.DataFrame:
        """Return the distinct ids and their keys, and assign keys to new ids.

        Looking up the same million ids again and again took most of an ingest, so keys are cached
        until another connection writes to the store.

        Parameters
        ----------
        entity
            Whether the ids are those of users or of articles.
        ids
            External ids; nulls and repetitions are ignored.

        Returns
        -------
        DataFrame
            Columns `id` and `key`, in the order in which the ids first occur.
        """
        data_version = self._conn.execute("PRAGMA data_version").fetchone()[0]
        if data_version != self._data_version:
            self._cache.clear()
        self._data_version = data_version
        cached = self._cache.setdefault(entity, {})
        distinct = ids.drop_nulls().unique(maintain_order=True).to_list()
        keys = list(map(cached.get, distinct))
        missing = [id_ for id_, key in zip(distinct, keys, strict=True) if key is None]
        if len(cached) + len(missing) > _MAX_CACHED_IDS:
            cached.clear()
            keys, missing = [None] * len(distinct), distinct
        if missing:
            self._look_up(entity, missing, cached)
            keys = [
                cached[id_] if key is None else key for id_, key in zip(distinct, keys, strict=True)
            ]
        return pl.DataFrame(
            {"id": distinct, "key": keys}, schema={"id": pl.String, "key": pl.Int64}
        )

    def _look_up(self, entity: Entity, ids: list[str], cached: dict[str, int]) -> None:
        """Put the keys of ids into the cache; an id without a key gets the next free one."""
        table = _TABLES[entity]
        last_key = self._conn.execute(f"SELECT max({entity}_key) FROM {table}").fetchone()[0] or 0
        new = ids
        if len(cached) < last_key:  # otherwise every id of the table is cached
            for start in range(0, len(ids), _IDS_PER_QUERY):
                part = ids[start : start + _IDS_PER_QUERY]
                cached.update(
                    self._conn.execute(
                        f"SELECT {entity}_id, {entity}_key FROM {table}"
                        f" WHERE {entity}_id IN ({','.join('?' * len(part))})",
                        part,
                    )
                )
            new = [id_ for id_ in ids if id_ not in cached]
        if new:
            keys = range(last_key + 1, last_key + 1 + len(new))
            insert_columns(
                self._conn, f"INSERT INTO {table} ({entity}_key, {entity}_id)", (keys, new)
            )
            cached.update(zip(new, keys, strict=True))
