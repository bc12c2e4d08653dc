"""Convert columns of any type to texts, lists of ids, and instants in ms."""

from datetime import datetime
from email.utils import parsedate_to_datetime

import polars as pl

from recsys.ingest.text import normalise_body, normalise_line, normalise_url
from recsys.rows import is_text, to_ms

EARLIEST_MS = -2_208_988_800_000  # 1900-01-01; an earlier time is in a wrong unit or column
LATEST_MS = -4 * EARLIEST_MS  # 2250-01-01
_NOT_VALUES = (pl.Duration, pl.Time, pl.Object)  # column types that hold no field of ours


def nulls(name: str, n_rows: int) -> pl.Series:
    """Return a text column of nulls."""
    return pl.Series(name, [None] * n_rows, dtype=pl.String)


def readable(column: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Convert a column of bytes or categories to text, and mark the values that cannot be read.

    Returns
    -------
    values : Series
        The column as text if it held bytes or categories; nulls if its type holds no field's
        values, such as a duration; otherwise the column itself.
    is_wrong : Series of bool
        True for a value that was lost: broken UTF-8, or a value of such a type.
    """
    inner = column.dtype.inner if isinstance(column.dtype, pl.List) else None
    if column.dtype in (pl.Categorical, pl.Enum):
        column = column.cast(pl.String)
    elif column.dtype == pl.Binary:
        text = [None if v is None else v.decode("utf-8", "surrogateescape") for v in column]
        broken = pl.Series([v is not None and not is_text(v) for v in text], dtype=pl.Boolean)
        values = [None if bad else v for v, bad in zip(text, broken, strict=True)]
        return pl.Series(column.name, values, dtype=pl.String), broken
    elif column.dtype in _NOT_VALUES or inner in (*_NOT_VALUES, pl.Binary):
        return nulls(column.name, len(column)), column.is_not_null()
    return column, column.is_null() & False


def stripped_text(column: pl.Series) -> pl.Series:
    """Convert a column to text without white space at the ends; an empty text becomes null."""
    text = column.cast(pl.String, strict=False).str.strip_chars()
    return text.set(text == "", None) if (text == "").any() else text


def normalised_text(name: str, column: pl.Series) -> pl.Series:
    """Convert a column to normalised text; null becomes "".

    Parameters
    ----------
    name
        The field: bodies keep their paragraphs, addresses other than http and https become "".
    column
        Values of any type that is not nested. Each distinct value is normalised once.
    """
    normalise = {
        "body": normalise_body,
        "url": normalise_url,
        "image_url": normalise_url,
    }.get(name, normalise_line)
    text = column.cast(pl.String, strict=False).fill_null("")
    distinct = text.unique()
    if len(distinct) == 1 and distinct[0] == "":
        return text
    return text.replace_strict(distinct, [normalise(value) for value in distinct])


def id_lists(column: pl.Series) -> pl.Series:
    """Convert lists, or texts that separate ids by white space, to lists of ids.

    Columns of any other type become nulls.
    """
    if column.dtype == pl.String:
        return column.str.extract_all(r"\S+")
    if isinstance(column.dtype, pl.List):
        inner = column.dtype.inner
        if inner is not None and not inner.is_nested():
            return column.cast(pl.List(pl.String)).list.drop_nulls()
    return pl.Series(column.name, [None] * len(column), dtype=pl.List(pl.String))


def read_times(column: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Convert a column to instants in ms, and mark the given values that are not a time.

    Parameters
    ----------
    column
        Datetimes, dates, or texts or numbers in one of these forms: ISO 8601 (UTC if it has no
        offset), RFC 2822, seconds or milliseconds since 1970.

    Returns
    -------
    values : Series of int64
        Instants in ms; null for a null. Where `is_wrong`, the value has no meaning.
    is_wrong : Series of bool
        True for a value that is not null and not a time between 1900 and 2250.
    """
    if isinstance(column.dtype, pl.Datetime):
        if column.dtype.time_zone not in (None, "UTC"):
            column = column.dt.convert_time_zone("UTC")
        values = column.dt.epoch("ms")
        return values, is_out_of_range(values)
    if column.dtype == pl.Date:
        return column.cast(pl.Datetime("ms")).dt.epoch("ms"), column.is_null() & False
    text = stripped_text(column)
    # Most logs have this form. Values of any other form are parsed one by one below.
    plain = text.str.replace(r"\+00:?00$", "Z")
    values = plain.str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", strict=False, time_unit="ms").dt.epoch(
        "ms"
    )
    is_other = text.is_not_null() & values.is_null()
    if is_other.any():
        other_texts = text.filter(is_other).unique()
        values = values.fill_null(
            text.replace_strict(
                other_texts,
                [_read_time(v) for v in other_texts],
                default=None,
                return_dtype=pl.Int64,
            )
        )
    is_out = is_out_of_range(values)
    values = values.set(is_out, None) if is_out.any() else values
    return values, text.is_not_null() & values.is_null()


def is_out_of_range(values: pl.Series) -> pl.Series:
    """Mark instants in ms before `EARLIEST_MS` or after `LATEST_MS`."""
    return ((values < EARLIEST_MS) | (values > LATEST_MS)).fill_null(False)


def _read_time(text: str) -> int | None:
    """Return ms of ISO 8601, of seconds or milliseconds since 1970, or of an RFC 2822 date."""
    try:
        number = float(text)
        if number != number or abs(number) > 1e15:
            return None
        # Seconds are below 1e11 until the year 5138; milliseconds have been above since 1973.
        return round(number * 1000) if abs(number) < 1e11 else round(number)
    except ValueError:
        pass
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            return to_ms(parse(text))
        except (ValueError, TypeError, OverflowError, IndexError):
            continue
    return None


_FLAGS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def read_flags(column: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Read a column of true or false; return the flags (null if empty), and the wrong values.

    Numbers 1 and 0 and the words true, yes, false and no count, in any case.
    """
    if column.dtype == pl.Boolean:
        return column, pl.Series(column.name, [False] * len(column))
    text = column.cast(pl.String, strict=False).str.strip_chars().str.to_lowercase()
    text = text.str.strip_suffix(".0")  # a whole number of a column with gaps, as pandas writes it
    flags = text.replace_strict(_FLAGS, default=None, return_dtype=pl.Boolean)
    is_given = (text != "").fill_null(False)
    return flags, is_given & flags.is_null()
