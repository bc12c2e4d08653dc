"""Read and write the table of impressions; the caller runs the transaction."""

import sqlite3
from collections.abc import Iterator

import numpy as np
import polars as pl

from recsys.rows import Added, Impressions, nullable_instants
from recsys.store.id_keys import IdKeys


def add_impressions(conn: sqlite3.Connection, id_keys: IdKeys, rows: pl.DataFrame) -> Added:
    """Insert impressions inside a transaction; an impression that is already stored is ignored.

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
    changes_before = conn.total_changes
    conn.executemany(
        "INSERT OR IGNORE INTO impressions VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        _table_rows(rows, key_of),
    )
    n_new = conn.total_changes - changes_before
    return Added(new=n_new, known=len(rows) - n_new)


def _table_rows(rows: pl.DataFrame, key_of: dict[str, int]) -> Iterator[tuple[object, ...]]:
    """Yield impressions as rows of the table, with shown and clicked articles packed as bytes."""
    for row in rows.iter_rows(named=True):
        clicked_ids = set(row["clicked"] or ())
        shown = np.array([key_of[id_] for id_ in row["shown"]], dtype="<i8")
        clicked = np.array([id_ in clicked_ids for id_ in row["shown"]], dtype=np.uint8)
        propensities = row["propensities"]
        yield (
            row["shown_at"],
            row["user_key"],
            shown.tobytes(),
            clicked.tobytes(),
            row["clicked_at"],
            row["article_key"],
            row["source"],
            None if propensities is None else np.array(propensities, dtype="<f8").tobytes(),
        )


def clicks_of_impressions(impressions: pl.DataFrame) -> pl.DataFrame:
    """Return the clicks that impressions report, as rows of clicks.

    The source of a click is the list and the 1-based position at which it was shown, such as
    "front_page:3".
    """
    n_clicked = pl.col("clicked").list.len()
    position = pl.col("shown").list.eval(pl.int_range(1, pl.len() + 1))
    return (
        impressions.filter(n_clicked.fill_null(0) > 0)
        .select(
            "user_id",
            pl.coalesce("clicked_at", "shown_at").alias("clicked_at"),
            # An impression has one reading time, which is known only if one article was clicked.
            pl.when(n_clicked == 1).then("dwell_seconds").alias("dwell_seconds"),
            "source",
            "clicked",
            pl.col("shown").alias("article_id"),
            position.alias("position"),
        )
        .explode("article_id", "position")
        .filter(pl.col("article_id").is_in(pl.col("clicked")))
        .with_columns(pl.format("{}:{}", "source", "position").alias("source"))
        .drop("clicked", "position")
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
