"""EB-NeRD's `behaviors.parquet` and `history.parquet` (Kruse et al., RecSys Challenge 2024).

`impression_time` is when the list was shown; the reader then stayed `read_time`
seconds and clicked, so a click happens at their sum (using `impression_time`
would let a click be known before it happened). Times are taken as UTC.
"""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from recsys.errors import InputRefusedError
from recsys.ingest import parquet
from recsys.ingest.batches import Batch
from recsys.rows import ROW, Kind

BEHAVIORS = {"impression_time", "article_ids_inview", "article_ids_clicked", "user_id"}
HISTORY = {"user_id", "article_id_fixed", "impression_time_fixed"}
SOURCE = "ebnerd"


def read(path: Path, kind: Kind | None) -> Iterator[Batch]:
    """Yield impressions and clicks of a `behaviors` file, clicks of a `history` file.

    Raises
    ------
    InputRefusedError
        If the columns are those of neither.
    """
    found = set(parquet.columns(path))
    size = path.stat().st_size
    if found >= BEHAVIORS:
        wanted = BEHAVIORS | ({"article_id", "read_time", "next_read_time"} & found)
        for frame in parquet.frames(path, sorted(wanted)):
            for batch in _behaviors(frame, size):
                if kind in (None, batch.kind):
                    yield batch
    elif found >= HISTORY:
        wanted = HISTORY | ({"read_time_fixed"} & found)
        # A row holds a whole reader's history, so a batch takes fewer of them.
        for frame in parquet.frames(path, sorted(wanted), batch_rows=1_000):
            if kind in (None, "clicks"):
                yield Batch("clicks", _history(frame), position=size)
    else:
        raise InputRefusedError(str(path), f"not EB-NeRD: columns {', '.join(sorted(found))}")


def _optional(frame: pl.DataFrame, name: str) -> pl.Expr:
    return pl.col(name) if name in frame.columns else pl.lit(None, dtype=pl.Float64).alias(name)


def _behaviors(frame: pl.DataFrame, position: int) -> Iterator[Batch]:
    dwell = _optional(frame, "read_time").cast(pl.Float64)
    frame = frame.with_columns(
        _optional(frame, "article_id").alias("article_id"),
        (
            pl.col("impression_time")
            + pl.duration(milliseconds=(dwell * 1000).cast(pl.Int64, strict=False).fill_null(0))
        ).alias("_clicked_at"),
        dwell.alias("_dwell"),
        _optional(frame, "next_read_time").cast(pl.Float64).alias("_next_dwell"),
    )
    yield Batch(
        "impressions",
        frame.select(
            ROW,
            "user_id",
            pl.col("impression_time").alias("shown_at"),
            pl.col("article_ids_inview").alias("shown"),
            pl.col("article_ids_clicked").alias("clicked"),
            pl.col("_clicked_at").alias("clicked_at"),
            "article_id",
            pl.col("_next_dwell").alias("dwell_seconds"),
            pl.lit(SOURCE).alias("source"),
        ),
        position=position,
    )
    views = frame.filter(pl.col("article_id").is_not_null())
    yield Batch(
        "clicks",
        views.select(
            ROW,
            "user_id",
            "article_id",
            pl.col("impression_time").alias("clicked_at"),
            pl.col("_dwell").alias("dwell_seconds"),
            pl.lit(f"{SOURCE}:view").alias("source"),
        ),
        position=position,
    )


def _history(frame: pl.DataFrame) -> pl.DataFrame:
    columns = ["article_id_fixed", "impression_time_fixed"]
    if "read_time_fixed" in frame.columns:
        columns.append("read_time_fixed")
    return frame.explode(*columns).select(
        ROW,
        "user_id",
        pl.col("article_id_fixed").alias("article_id"),
        pl.col("impression_time_fixed").alias("clicked_at"),
        _optional(frame, "read_time_fixed").cast(pl.Float64).alias("dwell_seconds"),
        pl.lit(f"{SOURCE}:history").alias("source"),
    )
