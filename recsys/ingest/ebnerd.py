"""Read EB-NeRD's `behaviors.parquet` and `history.parquet` (Kruse et al., RecSys Challenge 2024).

`impression_time` is the time at which a list was shown. The user then stayed on the page for
`read_time` seconds and clicked, so a click happens at the sum of both; at `impression_time` it
would be known before it happened. Times are taken as UTC.
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
    """Yield impressions and clicks of a `behaviors` file, or clicks of a `history` file.

    Raises
    ------
    InputRefusedError
        If the file has the columns of neither.
    """
    found = set(parquet.column_names(path))
    size = path.stat().st_size
    if found >= BEHAVIORS:
        names = BEHAVIORS | ({"article_id", "read_time", "next_read_time"} & found)
        for frame in map(_with_times, parquet.read_frames(path, sorted(names))):
            if kind in (None, "impressions"):
                yield Batch("impressions", _impressions(frame), position=size)
            if kind in (None, "clicks"):
                yield Batch("clicks", _page_views(frame), position=size)
    elif found >= HISTORY:
        names = HISTORY | ({"read_time_fixed"} & found)
        # A row holds the whole history of a user, so a batch takes fewer rows.
        for frame in parquet.read_frames(path, sorted(names), batch_rows=1_000):
            if kind in (None, "clicks"):
                yield Batch("clicks", _history(frame), position=size)
    else:
        raise InputRefusedError(
            str(path),
            "not EB-NeRD: these are the columns of neither behaviors.parquet nor history.parquet:"
            f" {', '.join(sorted(found))}",
        )


def _optional(frame: pl.DataFrame, name: str) -> pl.Expr:
    """Return a column of the frame, or nulls if the frame lacks it."""
    return pl.col(name) if name in frame.columns else pl.lit(None, dtype=pl.Float64).alias(name)


def _with_times(frame: pl.DataFrame) -> pl.DataFrame:
    """Add the article id (null if absent), the time of the click and both reading times."""
    read_seconds = _optional(frame, "read_time").cast(pl.Float64)
    read_ms = (read_seconds * 1000).cast(pl.Int64, strict=False).fill_null(0)
    return frame.with_columns(
        _optional(frame, "article_id").alias("article_id"),
        (pl.col("impression_time") + pl.duration(milliseconds=read_ms)).alias("_clicked_at"),
        read_seconds.alias("_read_seconds"),
        _optional(frame, "next_read_time").cast(pl.Float64).alias("_next_read_seconds"),
    )


def _impressions(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the impressions of a `behaviors` frame."""
    return frame.select(
        ROW,
        "user_id",
        pl.col("impression_time").alias("shown_at"),
        pl.col("article_ids_inview").alias("shown"),
        pl.col("article_ids_clicked").alias("clicked"),
        pl.col("_clicked_at").alias("clicked_at"),
        "article_id",
        pl.col("_next_read_seconds").alias("dwell_seconds"),
        pl.lit(SOURCE).alias("source"),
    )


def _page_views(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the articles that were open when the impressions were shown, as clicks."""
    return frame.filter(pl.col("article_id").is_not_null()).select(
        ROW,
        "user_id",
        "article_id",
        pl.col("impression_time").alias("clicked_at"),
        pl.col("_read_seconds").alias("dwell_seconds"),
        pl.lit(f"{SOURCE}:view").alias("source"),
    )


def _history(frame: pl.DataFrame) -> pl.DataFrame:
    """Return one row of clicks for each entry of the users' histories."""
    list_columns = ["article_id_fixed", "impression_time_fixed"]
    if "read_time_fixed" in frame.columns:
        list_columns.append("read_time_fixed")
    return frame.explode(*list_columns).select(
        ROW,
        "user_id",
        pl.col("article_id_fixed").alias("article_id"),
        pl.col("impression_time_fixed").alias("clicked_at"),
        _optional(frame, "read_time_fixed").cast(pl.Float64).alias("dwell_seconds"),
        pl.lit(f"{SOURCE}:history").alias("source"),
    )
