"""Read tables of numbers for articles that a user of this package gives, in files or DataFrames."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import polars as pl

from recsys.errors import InputRefusedError, reason_of
from recsys.signals.own_signals import SignalFunction, from_table

if TYPE_CHECKING:
    import pandas as pd

    # A file, or its table.
    Tabular: TypeAlias = str | Path | pl.DataFrame | pd.DataFrame

SUFFIXES = (".csv", ".jsonl", ".parquet")
_UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException)
INSTANT = pl.Datetime("ms", "UTC")


def read_signal(source: "Tabular", name: str) -> SignalFunction:
    """Return the signal of a file or DataFrame.

    Parameters
    ----------
    source
        A path or a DataFrame with the columns `article_id` and `value`; with `at`, a value counts
        from that instant on.
    name
        Of the signal, for messages.

    Raises
    ------
    InputRefusedError
        If the file cannot be read, or lacks a column.
    ConfigError
        If an article has two values.
    """
    return from_table(read_table(source, "value", ("article_id", "at")), name)


def read_table(source: "Tabular", value: str, keys: Sequence[str]) -> pl.DataFrame:
    """Return the table of a file or DataFrame, with those of its columns that are named here.

    Parameters
    ----------
    source
        A .csv, .jsonl or .parquet file, or a DataFrame.
    value
        The column of numbers, which is required.
    keys
        Other columns; `article_id` is required. `at` is an instant, all others are ids.

    Raises
    ------
    InputRefusedError
        If the file cannot be read, lacks a column, or holds no number or no instant where one
        should be.
    """
    source = Path(source) if isinstance(source, str) else source
    name = str(source) if isinstance(source, Path) else "DataFrame"
    try:
        frame = _read(source)
        for column in ("article_id", value):
            if column not in frame.columns:
                found = ", ".join(frame.columns)
                raise InputRefusedError(name, f"no column {column!r} (columns found: {found})")
        columns: list[pl.Expr | pl.Series] = [pl.col(value).cast(pl.Float64)]
        for key in keys:
            if key == "at" and key in frame.columns:
                columns.append(_instants(frame[key]))
            elif key in frame.columns:
                columns.append(pl.col(key).cast(pl.String))
        table = frame.select(columns).drop_nulls((value, "article_id"))
    except (*_UNREADABLE, OSError, TypeError, ValueError, OverflowError) as error:
        raise InputRefusedError(name, f"cannot be read: {reason_of(error)}") from error
    if not table[value].is_finite().all():
        raise InputRefusedError(name, f"column {value!r}: a number is not finite")
    return table


def _read(source: Any) -> pl.DataFrame:
    if isinstance(source, pl.DataFrame):
        return source
    if not isinstance(source, Path):
        if not hasattr(source, "columns"):
            raise TypeError(f"a path or a DataFrame is needed, got {type(source).__name__}")
        return pl.from_pandas(source)
    if source.suffix == ".csv":
        return pl.read_csv(source, infer_schema=False)
    if source.suffix == ".jsonl":
        return pl.read_ndjson(source, infer_schema_length=None)
    if source.suffix == ".parquet":
        import pyarrow.parquet as pq  # polars ends the process on some damaged files

        table = pl.from_arrow(pq.read_table(source, memory_map=False))
        assert isinstance(table, pl.DataFrame)
        return table
    raise InputRefusedError(str(source), f"its name must end in one of {', '.join(SUFFIXES)}")


def _instants(column: pl.Series) -> pl.Series:
    """Return a column of datetimes, or of ISO 8601 texts, as instants; without an offset in UTC."""
    if column.dtype == pl.String:
        texts = column.unique().drop_nulls()
        found = [_instant(text) for text in texts.to_list()]
        return column.replace_strict(texts, pl.Series(found, dtype=INSTANT), return_dtype=INSTANT)
    if isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone is None:
        return column.dt.replace_time_zone("UTC").cast(INSTANT)
    return column.cast(INSTANT)


def _instant(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
