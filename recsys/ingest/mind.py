"""MIND's `news.tsv` and `behaviors.tsv` (Wu et al., ACL 2020; msnews.github.io).

Tab separated, no header, no quoting. A history lists clicks in order but without
times. All histories of a file are of the weeks before its impressions (Wu et al.,
section 3.1: histories from the first four weeks, impressions from the fifth), so they
are stored as of the start of the file's first day, less one millisecond for each later
click, marked as a bound (`time_is_bound`).
"""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import polars as pl

from recsys.errors import InputRefusedError
from recsys.ingest.batches import Batch
from recsys.ingest.blocks import read_blocks, read_start
from recsys.ingest.delimited import parse
from recsys.rows import ROW, TIME_IS_BOUND, Kind

NEWS = ["article_id", "category", "subcategory", "title", "body", "url", "_entities", "_mentions"]
BEHAVIORS = ["impression_id", "user_id", "time", "history", "impressions"]
SOURCE = "mind"


def read(path: Path, kind: Kind | None) -> Iterator[Batch]:
    """Yield articles of a `news.tsv`, or impressions and clicks of a `behaviors.tsv`.

    Raises
    ------
    InputRefusedError
        If the first line has neither 8 nor 5 tab separated columns.
    """
    n_columns = read_start(path, 1 << 20).partition(b"\n")[0].count(b"\t") + 1
    if n_columns not in (len(NEWS), len(BEHAVIORS)):
        raise InputRefusedError(
            str(path), f"not MIND: {n_columns} tab separated columns, news has 8, behaviors 5"
        )
    names = NEWS if n_columns == len(NEWS) else BEHAVIORS
    first_day = _first_day(path) if names is BEHAVIORS and kind in (None, "clicks") else None
    for block in read_blocks(path):
        batch = parse(block, names, "articles", separator="\t", quoted=False)
        if names is NEWS:
            if kind in (None, "articles"):
                yield Batch("articles", _news(batch.frame), batch.rejects, batch.position)
            continue
        impressions, history = _behaviors(batch.frame, first_day)
        if kind in (None, "impressions"):
            yield Batch("impressions", impressions, batch.rejects, batch.position)
        if kind in (None, "clicks"):
            yield Batch("clicks", history, position=batch.position)


def _when() -> pl.Expr:
    return pl.col("time").str.to_datetime("%m/%d/%Y %I:%M:%S %p", strict=False, time_unit="ms")


def _first_day(path: Path) -> datetime | None:
    """Return the start of the day of a file's first impression; lines are in no order."""
    first: datetime | None = None
    for block in read_blocks(path):
        frame = parse(block, BEHAVIORS, "impressions", separator="\t", quoted=False).frame
        found = frame.select(_when().min().dt.truncate("1d")).item()
        first = found if first is None or (found is not None and found < first) else first
    return first


def _news(frame: pl.DataFrame) -> pl.DataFrame:
    # Subcategories are words of their own ("football_nfl"), too fine for sections.
    return frame.select(
        ROW, "article_id", "title", "body", "category", "url", pl.col("subcategory").alias("tags")
    ).with_columns(pl.lit("en").alias("language"))


def _behaviors(
    frame: pl.DataFrame, first_day: datetime | None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    when = _when()
    frame = frame.with_columns(
        # An unreadable time stays as it is: validation names it in the reject.
        pl.coalesce(when.dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ"), "time").alias("shown_at"),
        when.alias("_when"),
        pl.col("impressions").str.extract_all(r"\S+").alias("_items"),
    )
    item = pl.element()
    impressions = frame.select(
        ROW,
        "user_id",
        "shown_at",
        pl.col("_items").list.eval(item.str.replace(r"-[01]$", "")).alias("shown"),
        pl.col("_items")
        .list.eval(item.filter(item.str.ends_with("-1")).str.replace(r"-1$", ""))
        .alias("clicked"),
        # MIND has one time for both: the click is at the impression, as far as is known.
        pl.col("shown_at").alias("clicked_at"),
        pl.lit(SOURCE).alias("source"),
    )
    readable = frame.filter(pl.col("_when").is_not_null())
    history = (
        readable.select(
            ROW,
            "user_id",
            pl.col("history").fill_null("").str.extract_all(r"\S+").alias("article_id"),
        )
        .with_columns(pl.int_ranges(pl.col("article_id").list.len(), 0, step=-1).alias("_back"))
        .explode("article_id", "_back", empty_as_null=False)
        .drop_nulls("article_id")
        .select(
            ROW,
            "user_id",
            "article_id",
            (pl.lit(first_day, pl.Datetime("ms")) - pl.duration(milliseconds="_back")).alias(
                "clicked_at"
            ),
            pl.lit(f"{SOURCE}:history").alias("source"),
            pl.lit(True).alias(TIME_IS_BOUND),
        )
    )
    return impressions, history
