"""Measure how much of the disk a store takes, by table."""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from recsys.errors import StoreError


@dataclass(frozen=True, slots=True)
class TableSize:
    """Rows of a table, and bytes of its pages and of those of its indexes."""

    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class StoreSize:
    """Bytes of a store.

    Attributes
    ----------
    tables
        By name, the largest first.
    free_bytes
        Pages of the file that hold nothing now and are used again.
    log_bytes
        Size of the write-ahead log beside the file.
    """

    tables: Mapping[str, TableSize]
    free_bytes: int
    log_bytes: int

    @property
    def total_bytes(self) -> int:
        """Return the bytes of all files of the store."""
        used = sum(table.bytes for table in self.tables.values())
        return used + self.free_bytes + self.log_bytes


def store_size(conn: sqlite3.Connection, path: Path) -> StoreSize:
    """Return how many bytes each table of a store takes.

    Raises
    ------
    StoreError
        If the SQLite of this Python cannot measure tables (it lacks the table `dbstat`).
    """
    query = (
        "SELECT coalesce(tbl_name, name) AS owner, sum(pgsize) FROM"
        " (SELECT name, pgsize FROM dbstat WHERE aggregate = TRUE)"
        " LEFT JOIN sqlite_schema USING (name) GROUP BY owner ORDER BY 2 DESC, 1"
    )
    try:
        sizes = conn.execute(query).fetchall()
    except sqlite3.OperationalError as error:
        raise StoreError(f"{path}: this SQLite cannot measure tables: {error}") from error
    n_free, page_bytes = (
        int(conn.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("freelist_count", "page_size")
    )
    log = path.with_name(f"{path.name}-wal")
    return StoreSize(
        tables={
            str(name): TableSize(
                int(conn.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]), int(size)
            )
            for name, size in sizes
        },
        free_bytes=n_free * page_bytes,
        log_bytes=log.stat().st_size if log.exists() else 0,
    )
