"""Read the Parquet files of EB-NeRD (Kruse et al., RecSys Challenge 2024).

`articles.parquet` holds articles, `behaviors.parquet` impressions and clicks, and
`history.parquet` clicks.

`impression_time` is the time at which a list was shown. The user then stayed on the page for
`read_time` seconds and clicked, so a click happens at the sum of both; at `impression_time` it
would be known before it happened. Times are taken as UTC.
"""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from recsys.errors import InputRefusedError
from recsys.ingest import parquet
from recsys.ingest.batches import BATCH_ROWS, Batch
from recsys.rows import ROW, Kind

BEHAVIORS = {"impression_time", "article_ids_inview", "article_ids_clicked", "user_id"}
HISTORY = {"user_id", "article_id_fixed", "impression_time_fixed"}
ARTICLES = {"article_id", "title", "published_time", "category_str"}
# The fields of articles under EB-NeRD's names. `category` is a number; `category_str` is its name.
_FIELD_OF_COLUMN = {
    "article_id": "article_id",
    "title": "title",
    "subtitle": "summary",
    "body": "body",
    "category_str": "category",
    "url": "url",
    "premium": "premium",
    "published_time": "published_at",
    "last_modified_time": "modified_at",
}
_TAG_COLUMNS = ("topics", "ner_clusters")
LANGUAGE = "da"
SOURCE = "ebnerd"


def read(path: Path, kind: Kind | None) -> Iterator[Batch]:
    """Yield the rows of an `articles`, `behaviors` or `history` file.

    Raises
    ------
    InputRefusedError
        If the file has the columns of none of them.
    """
    found = set(parquet.column_names(path))
    size = path.stat().st_size
    if found >= BEHAVIORS:
        names = BEHAVIORS | ({"article_id", "read_time", "next_read_time"} & found)
        for frame in map(_with_times, _read_frames(path, names)):
            if kind in (None, "impressions"):
                yield Batch("impressions", _impressions(frame), position=size)
            if kind in (None, "clicks"):
                yield Batch("clicks", _page_views(frame), position=size)
    elif found >= HISTORY:
        names = HISTORY | ({"read_time_fixed"} & found)
        # A row holds the whole history of a user, so a batch takes fewer rows.
        for frame in _read_frames(path, names, batch_rows=1_000):
            if kind in (None, "clicks"):
                yield Batch("clicks", _history(frame), position=size)
    elif found >= ARTICLES:
        names = found & {*_FIELD_OF_COLUMN, *_TAG_COLUMNS}
        # Bodies make rows large, so a batch takes fewer rows.
        for frame in _read_frames(path, names, batch_rows=5_000):
            if kind in (None, "articles"):
                yield Batch("articles", _articles(frame), position=size)
    else:
        raise InputRefusedError(
            str(path),
            "not EB-NeRD: these are the columns of none of articles.parquet, behaviors.parquet and"
            f" history.parquet: {', '.join(sorted(found))}",
        )


def is_ebnerd(names: set[str]) -> bool:
    """Return whether a file with these columns is one of EB-NeRD's."""
    return any(names >= columns for columns in (BEHAVIORS, HISTORY, ARTICLES))


def _read_frames(
    path: Path, names: set[str], batch_rows: int = BATCH_ROWS
) -> Iterator[pl.DataFrame]:
    """Yield some columns of a file in batches, with times that say that they are UTC."""
    for frame in parquet.read_frames(path, sorted(names), batch_rows):
        yield frame.with_columns(
            pl.col(name).cast(_in_utc(dtype))
            for name, dtype in frame.schema.items()
            if dtype.is_temporal() or isinstance(dtype, pl.List)
        )


def _in_utc(dtype: object) -> pl.DataType:
    """Return the type of times in UTC for one without a zone; any other type as it is."""
    if isinstance(dtype, pl.List):
        return pl.List(_in_utc(dtype.inner))
    if isinstance(dtype, pl.Datetime) and dtype.time_zone is None:
        return pl.Datetime(dtype.time_unit, "UTC")
    assert isinstance(dtype, pl.DataType)
    return dtype


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


def _articles(frame: pl.DataFrame) -> pl.DataFrame:
    """Return articles; topics and the names of people, places and so on are their tags."""
    columns = [
        pl.col(name).alias(field)
        for name, field in _FIELD_OF_COLUMN.items()
        if name in frame.columns
    ]
    tag_columns = [
        pl.col(name).cast(pl.List(pl.String)).fill_null([])
        for name in _TAG_COLUMNS
        if name in frame.columns
    ]
    if tag_columns:
        tags = pl.concat_list(tag_columns).list.drop_nulls().list.unique(maintain_order=True)
        columns.append(tags.alias("tags"))
    return frame.select(ROW, *columns, pl.lit(LANGUAGE).alias("language"))


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
