"""Convert columns of any type to texts, ids, lists, numbers and flags.

Each distinct value of a column is converted once. Instants are in `recsys.ingest.times`.
"""

import json
from collections.abc import Callable
from typing import TypeVar

import polars as pl

from recsys.ids import MAY_CHANGE, MOST_CHARACTERS, MOST_EXACT, NOT_GIVEN, usable_id
from recsys.ingest import values
from recsys.rows import LARGEST_NUMBER, is_text

T = TypeVar("T")
Read = Callable[[str], str | None]
_NOT_VALUES = (pl.Duration, pl.Time, pl.Object)  # column types that hold no field of ours
# How a text field is read; see `recsys.ingest.values`.
_READ_TEXT: dict[str, Read] = {
    "title": values.line_of,
    "kicker": values.line_of,
    "body": values.body_of,
    "summary": values.body_of,
    "author": values.author_of,
    "url": values.address_of,
    "image_url": values.address_of,
    "language": values.language_of,
}


def nulls(name: str, n_rows: int) -> pl.Series:
    """Return a text column of nulls."""
    return pl.Series(name, [None] * n_rows, dtype=pl.String)


def readable(column: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Convert a column of bytes, categories or objects to text, and mark what cannot be read.

    Returns
    -------
    values : Series
        A column of single values or of lists of them: as text if it held bytes or categories,
        and as JSON if it held objects or lists of lists; nulls if its type holds no field's
        values, such as a duration.
    is_wrong : Series of bool
        True for a value that was lost: broken UTF-8, or a value of such a type.
    """
    if isinstance(column.dtype, pl.Array):
        column = column.arr.to_list()
    inner = column.dtype.inner if isinstance(column.dtype, pl.List) else None
    if column.dtype in (pl.Categorical, pl.Enum):
        column = column.cast(pl.String)
    elif column.dtype == pl.Binary:
        text = [None if v is None else v.decode("utf-8", "surrogateescape") for v in column]
        broken = pl.Series([v is not None and not is_text(v) for v in text], dtype=pl.Boolean)
        decoded = [None if bad else v for v, bad in zip(text, broken, strict=True)]
        return pl.Series(column.name, decoded, dtype=pl.String), broken
    elif column.dtype in _NOT_VALUES or inner in (*_NOT_VALUES, pl.Binary):
        return nulls(column.name, len(column)), column.is_not_null()
    elif isinstance(column.dtype, pl.Struct) or (inner is not None and inner.is_nested()):
        column = _json_texts(column)
    return column, column.is_null() & False


def _json_texts(column: pl.Series) -> pl.Series:
    """Convert nested values to JSON."""
    # Python has no datetimes of years before 1 and after 9999, so instants become numbers.
    column = column.cast(without_instants(column.dtype))
    texts = [None if v is None else json.dumps(_plain(v), default=str) for v in column.to_list()]
    return pl.Series(column.name, texts, dtype=pl.String)


def without_instants(dtype: pl.DataType) -> pl.DataType:
    """Return a type with whole numbers in the place of dates and times, also of nested ones."""
    if isinstance(dtype, pl.Struct):
        return pl.Struct({f.name: without_instants(_instance(f.dtype)) for f in dtype.fields})
    if isinstance(dtype, pl.List | pl.Array):
        inner = without_instants(_instance(dtype.inner))
        return pl.List(inner) if isinstance(dtype, pl.List) else pl.Array(inner, dtype.shape[0])
    return pl.Int64() if dtype.is_temporal() else dtype


def _instance(dtype: object) -> pl.DataType:
    """Return a type of polars as an instance; polars also takes classes for types."""
    made = dtype() if isinstance(dtype, type) else dtype
    assert isinstance(made, pl.DataType)
    return made


def _plain(value: object) -> object:
    """Return a nested value with bytes as text."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


def _cells(column: pl.Series) -> pl.Series:
    """Return a column as the text that a cell of a CSV file would hold."""
    if isinstance(column.dtype, pl.List):
        column = _json_texts(column)
    return column.cast(pl.String, strict=False)


def _read_distinct(
    column: pl.Series, read: Callable[[str], T | None], dtype: pl.DataType
) -> tuple[pl.Series, pl.Series]:
    """Read each distinct text of a column; return the values, and which texts have none."""
    cells = _cells(column)
    distinct = cells.drop_nulls().unique()
    found = pl.Series([read(cell) for cell in distinct], dtype=dtype)
    of_cell = pl.DataFrame({"cell": distinct, "value": found})
    joined = pl.DataFrame({"cell": cells}).join(
        of_cell, on="cell", how="left", maintain_order="left"
    )
    read_values = joined["value"].alias(column.name)
    return read_values, cells.is_not_null() & read_values.is_null()


def stripped_text(column: pl.Series) -> pl.Series:
    """Convert a column to text without white space at the ends; an empty text becomes null."""
    text = _cells(column).str.strip_chars()
    return text.set(text == "", None)


def texts(name: str, column: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Convert a column to the normalised text of a field; null becomes "".

    Returns
    -------
    values : Series of str
        "" where a value has no meaning for the field.
    is_wrong : Series of bool
        True for such a value, such as an address that is neither http nor https.
    """
    if not column.is_not_null().any():
        return nulls(column.name, len(column)).fill_null(""), column.is_null() & False
    read = _READ_TEXT.get(name, values.plain_line_of)
    found, is_wrong = _read_distinct(column, read, pl.String())
    return found.fill_null(""), is_wrong


def name_lists(name: str, column: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Convert a column of tags or sections to lists of names; null becomes an empty list.

    Returns
    -------
    values : Series of list of str
        Empty where a value has no meaning.
    is_wrong : Series of bool
        True for such a value.
    """
    read = values.tags_of if name == "tags" else values.sections_of
    found, is_wrong = _read_distinct(column, read, pl.List(pl.String()))
    return found.zip_with(found.is_not_null(), _empty_lists(column)), is_wrong


def ids(column: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Convert a column to ids in their one spelling, see `recsys.ids.usable_id`.

    Returns
    -------
    values : Series of str
        Null where there is no id, or none that can be used.
    problems : Series of str
        Why a value is no id; null for other values.
    """
    problems = nulls("problem", len(column))
    if column.dtype.is_float():
        is_exact = (column == column.round()) & (column.abs() <= MOST_EXACT)
        is_wrong = (column.is_not_null() & column.is_not_nan() & ~is_exact).fill_null(False)
        problems = problems.set(is_wrong, "a number that is not whole, or rounded, is not an id")
        return column.set(~is_exact.fill_null(False), None).cast(pl.Int64).cast(pl.String), problems
    if column.dtype.is_temporal() or column.dtype == pl.Boolean or column.dtype.is_nested():
        wrong = problems.set(column.is_not_null(), f"a value of type {column.dtype} is not an id")
        return nulls(column.name, len(column)), wrong
    text = column.cast(pl.String, strict=False)
    may_change = _may_change(text)
    if not may_change.any():
        return text, problems
    distinct = text.filter(may_change).unique()
    spelled = [_spelled_or_problem(value) for value in distinct]
    found = text.replace(distinct, pl.Series([value for value, _ in spelled], dtype=pl.String))
    problem_of = pl.Series([problem for _, problem in spelled], dtype=pl.String)
    return found, text.replace_strict(
        distinct, problem_of, default=None, return_dtype=pl.String
    ).alias("problem")


def _may_change(text: pl.Series) -> pl.Series:
    is_long = text.str.len_bytes() > MOST_CHARACTERS
    return (text.str.contains(MAY_CHANGE) | is_long).fill_null(False)


def _spelled_or_problem(text: str) -> tuple[str | None, str | None]:
    try:
        return usable_id(text), None
    except ValueError as error:
        return None, str(error)


def item_lists(column: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Convert lists, or texts that hold one, to lists of texts without nulls.

    Returns
    -------
    values : Series of list of str
        Null where there is no list.
    is_wrong : Series of bool
        True for a value that is no list of single values.
    """
    if column.dtype == pl.String:
        plain = column.str.contains(r"[\[{]|,\s").fill_null(False)
        if not plain.any():
            return column.str.extract_all(r"\S+"), plain
        return _read_distinct(column, values.items_of, pl.List(pl.String()))
    if isinstance(column.dtype, pl.List):
        return column.cast(pl.List(pl.String)).list.drop_nulls(), column.is_null() & False
    wrong = column.is_not_null()
    return pl.Series(column.name, [None] * len(column), dtype=pl.List(pl.String)), wrong


def id_lists(column: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Convert lists, or texts that hold one, to lists of ids in their one spelling.

    Returns
    -------
    values : Series of list of str
        Null where there is no list, or one of its items cannot be an id.
    problems : Series of str
        Why a value is no list of ids; null for other values.
    """
    inner = column.dtype.inner if isinstance(column.dtype, pl.List) else None
    if inner is None or inner == pl.String:
        lists, is_wrong = item_lists(column)
        problems = nulls("problem", len(column)).set(is_wrong, "not a list of ids")
        element = pl.element()
        may_change = element.str.contains(MAY_CHANGE) | (element.str.len_bytes() > MOST_CHARACTERS)
        if not lists.list.eval(may_change).list.any().fill_null(False).any():
            return lists, problems
    else:
        lists, problems = column, nulls("problem", len(column))
    row = pl.Series("row", range(len(lists)), dtype=pl.UInt32)
    items = pl.DataFrame({"row": row, "item": lists}).explode("item").drop_nulls("item")
    spelled, item_problems = ids(items["item"])
    found = (
        pl.DataFrame({"row": items["row"], "item": spelled, "problem": item_problems})
        .group_by("row")
        .agg(pl.col("item").drop_nulls(), pl.col("problem").drop_nulls().first())
    )
    joined = pl.DataFrame(row).join(found, on="row", how="left", maintain_order="left")
    problems = problems.zip_with(problems.is_not_null(), joined["problem"])
    has_items = joined["item"].is_not_null() | lists.is_null()
    return joined["item"].zip_with(has_items, _empty_lists(lists)).alias(column.name), problems


def _empty_lists(column: pl.Series) -> pl.Series:
    return pl.Series([[]] * len(column), dtype=pl.List(pl.String))


def numbers(column: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Convert a column to finite numbers, null for another value; mark the values that are none.

    NaN is no value, as pandas writes it.
    """
    if not (column.dtype.is_numeric() or column.dtype == pl.String):
        return nulls(column.name, len(column)).cast(pl.Float64), column.is_not_null()
    text_or_number = column.str.strip_chars() if column.dtype == pl.String else column
    found = text_or_number.cast(pl.Float64, strict=False)
    is_finite = found.is_finite().fill_null(False)
    is_wrong = column.is_not_null() & ~is_finite & ~_is_blank(column)
    return found.set(~is_finite, None), is_wrong


def _is_blank(column: pl.Series) -> pl.Series:
    """Mark the texts of a column that hold nothing, or say so, as pandas does by "nan"."""
    if column.dtype.is_float():
        return column.is_nan().fill_null(False)
    if column.dtype != pl.String:
        return column.is_null() & False
    return column.str.contains(rf"^\s*(?:{'|'.join(NOT_GIVEN)})?\s*$").fill_null(False)


_FLAGS = {
    **dict.fromkeys(("true", "yes", "t", "y", "on", "1"), True),
    **dict.fromkeys(("false", "no", "f", "n", "off", "0"), False),
}


def flags(column: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Read a column of true or false; return the flags (null if empty), and the wrong values.

    Numbers 1 and 0 and the words true, yes, on, false, no and off count, in any case, and the
    first letters of true, yes, false and no.
    """
    if column.dtype == pl.Boolean:
        return column, column.is_null() & False
    text = _cells(column).str.strip_chars().str.to_lowercase()
    text = text.str.strip_suffix(".0")  # a whole number of a column with gaps, as pandas writes it
    found = text.replace_strict(_FLAGS, default=None, return_dtype=pl.Boolean)
    is_given = column.is_not_null() & ~_is_blank(column)
    return found, is_given & found.is_null()


def number_lists(column: pl.Series, *, longest: int | None = None) -> tuple[pl.Series, pl.Series]:
    """Convert lists of numbers up to `LARGEST_NUMBER`, or texts that hold one.

    Parameters
    ----------
    column
        The values.
    longest
        How many numbers a list may have; None for any.

    Returns
    -------
    values : Series of list of float64
        Null where there is no list, an empty one, or one with another value.
    is_wrong : Series of bool
        True for a value that is no such list.
    """
    inner = column.dtype.inner if isinstance(column.dtype, pl.List) else None
    if inner is not None and inner.is_numeric():
        lists, is_wrong = column.cast(pl.List(pl.Float64)), column.is_null() & False
    elif inner is not None:
        lists = column.list.eval(pl.element().cast(pl.Float64, strict=False))
        is_wrong = column.is_null() & False
    else:
        lists, is_wrong = _read_distinct(column, values.numbers_of, pl.List(pl.Float64()))
    is_small = lists.list.eval((pl.element().abs() <= LARGEST_NUMBER).fill_null(False)).list.all()
    is_wrong |= ~is_small.fill_null(True)
    if longest is not None:
        is_wrong |= (lists.list.len() > longest).fill_null(False)
    return lists.set(is_wrong | (lists.list.len() == 0).fill_null(False), None), is_wrong
