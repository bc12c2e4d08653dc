"""Read MIND's `news.tsv` and `behaviors.tsv` (Wu et al., ACL 2020; msnews.github.io).

The files are separated by tabs, without header and without quoting. A history lists clicks in
order but without times. All histories of a file are from the weeks before its impressions (Wu et
al., section 3.1: histories from the first four weeks, impressions from the fifth). So a history
click is stored as a bound (`time_is_bound`) at the start of the file's first day, less one
millisecond for the last click of the history, two for the one before, and so on.

The impressions of MIND's test set do not say what was clicked: they are ignored, because an
impression without clicks would say that nothing was. Their histories are clicks all the same.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import polars as pl

from recsys.errors import InputRefusedError
from recsys.ingest.batches import Batch
from recsys.ingest.blocks import Block, read_blocks
from recsys.ingest.delimited import Table, parse_block
from recsys.rows import ROW, TIME_IS_BOUND, Kind, is_text

NEWS = ["article_id", "category", "subcategory", "title", "body", "url", "_entities", "_mentions"]
BEHAVIORS = ["impression_id", "user_id", "time", "history", "impressions"]
SOURCE = "mind"


def read(path: Path, kind: Kind | None) -> Iterator[Batch]:
    """Yield articles of a `news.tsv`, or impressions and clicks of a `behaviors.tsv`.

    Raises
    ------
    InputRefusedError
        If the first line has neither 8 nor 5 columns separated by tabs.
    """
    first_block = next(read_blocks(path), Block(b"", 1, 0))
    n_columns = first_block.data.partition(b"\n")[0].count(b"\t") + 1
    if n_columns not in (len(NEWS), len(BEHAVIORS)):
        raise InputRefusedError(
            str(path), f"not MIND: {n_columns} tab separated columns, news has 8, behaviors 5"
        )
    names = NEWS if n_columns == len(NEWS) else BEHAVIORS
    table = _table(names)
    first_day = _first_day(path) if names is BEHAVIORS and kind in (None, "clicks") else None
    for block in read_blocks(path):
        batch, _ = parse_block(block, table, "articles")
        if names is NEWS:
            if kind in (None, "articles"):
                yield replace(batch, frame=_news(batch.frame))
            continue
        frame = batch.frame.with_columns(_parsed_time().alias("_time"))
        if kind in (None, "impressions"):
            yield _impressions(frame, batch)
        if kind in (None, "clicks"):
            yield Batch("clicks", _history(frame, first_day), position=batch.position)


def _table(names: list[str]) -> Table:
    """Return how the lines are split; the files have no header and quote nothing."""
    return Table(names, names, "\t", "\t".join(names), quoted=False)


def _parsed_time() -> pl.Expr:
    """Return the column `time` as a datetime; null where it cannot be read."""
    return pl.col("time").str.to_datetime("%m/%d/%Y %I:%M:%S %p", strict=False, time_unit="ms")


def _first_day(path: Path) -> datetime | None:
    """Return the start of the day of the file's first impression; the lines are in no order."""
    first: datetime | None = None
    for block in read_blocks(path):
        batch, _ = parse_block(block, _table(BEHAVIORS), "impressions")
        day = batch.frame.select(_parsed_time().min().dt.truncate("1d")).item()
        first = day if first is None or (day is not None and day < first) else first
    return first


def _news(frame: pl.DataFrame) -> pl.DataFrame:
    """Return articles; subcategories such as "football_nfl" are too fine for sections."""
    frame = frame.with_columns(map(_unquoted, ("title", "body", "_entities", "_mentions")))
    tags = [
        list(dict.fromkeys([*([subcategory] if subcategory else []), *_labels(title, body)]))
        for subcategory, title, body in frame.select(
            "subcategory", "_entities", "_mentions"
        ).iter_rows()
    ]
    return frame.select(
        ROW, "article_id", "title", "body", "category", "url", pl.lit("en").alias("language")
    ).with_columns(pl.Series("tags", tags, dtype=pl.List(pl.String)))


def _unquoted(name: str) -> pl.Expr:
    """Return a text without the quotes around it, if all quotes in it are doubled.

    Some copies of MIND were written by a CSV program. Nothing else doubles quotes.
    """
    text = pl.col(name)
    is_quoted = text.str.contains(r'^"(?:[^"]|"")*""(?:[^"]|"")*"$')
    inner = text.str.slice(1, text.str.len_chars() - 2).str.replace_all('""', '"', literal=True)
    return pl.when(is_quoted).then(inner).otherwise(text).alias(name)


def _labels(*columns: str | None) -> list[str]:
    """Return the labels of the entities in a title and an abstract, which are lists in JSON."""
    labels = []
    for text in columns:
        try:
            entities = json.loads(text or "[]")
        except (ValueError, RecursionError):
            continue
        for entity in entities if isinstance(entities, list) else []:
            label = entity.get("Label") if isinstance(entity, dict) else None
            if isinstance(label, str) and is_text(label):
                labels.append(label)
    return labels


def _impressions(frame: pl.DataFrame, batch: Batch) -> Batch:
    """Return impressions; a shown article is written as its id and "-1" if clicked, else "-0"."""
    shown = pl.element()
    frame = frame.with_columns(
        # A time that cannot be read stays as it is, so that its reject shows it.
        pl.coalesce(pl.col("_time").dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ"), "time").alias(
            "shown_at"
        ),
        pl.col("impressions").str.extract_all(r"\S+").alias("_shown"),
    )
    is_labelled = pl.col("_shown").list.eval(shown.str.contains(r"-[01]$")).list.any()
    is_unlabelled = (pl.col("_shown").list.len() > 0) & ~is_labelled
    impressions = frame.filter(~is_unlabelled.fill_null(False)).select(
        ROW,
        "user_id",
        "shown_at",
        pl.col("_shown").list.eval(shown.str.replace(r"-[01]$", "")).alias("shown"),
        pl.col("_shown")
        .list.eval(shown.filter(shown.str.ends_with("-1")).str.replace(r"-1$", ""))
        .alias("clicked"),
        # MIND gives one time, that of the impression, so the click is stored at the same time.
        pl.col("shown_at").alias("clicked_at"),
        pl.lit(SOURCE).alias("source"),
    )
    n_ignored = len(frame) - len(impressions)
    ignored = Counter(
        {("impression", "does not say what was clicked"): n_ignored} if n_ignored else {}
    )
    return replace(batch, kind="impressions", frame=impressions, ignored=ignored)


def _history(frame: pl.DataFrame, first_day: datetime | None) -> pl.DataFrame:
    """Return one row of clicks for each article of the histories; see the module's docstring."""
    return (
        frame.filter(pl.col("_time").is_not_null())
        .select(
            ROW,
            "user_id",
            pl.col("history").fill_null("").str.extract_all(r"\S+").alias("article_id"),
        )
        .with_columns(pl.int_ranges(pl.col("article_id").list.len(), 0, step=-1).alias("_ms_back"))
        .explode("article_id", "_ms_back", empty_as_null=False)
        .drop_nulls("article_id")
        .select(
            ROW,
            "user_id",
            "article_id",
            (pl.lit(first_day, pl.Datetime("ms")) - pl.duration(milliseconds="_ms_back"))
            .dt.replace_time_zone("UTC")
            .alias("clicked_at"),
            pl.lit(f"{SOURCE}:history").alias("source"),
            pl.lit(True).alias(TIME_IS_BOUND),
        )
    )
