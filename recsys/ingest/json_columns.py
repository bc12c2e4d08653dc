"""Convert the values of JSON objects to columns of text and of lists."""

import json
from collections.abc import Sequence
from functools import cache
from itertools import chain
from operator import attrgetter
from typing import Any

import msgspec
import polars as pl
from msgspec import UNSET, UnsetType

from recsys.rows import FIELDS, LIST_FIELDS, ROW, Kind

MAX_EXACT = 2**53  # larger whole numbers are not exact as JSON numbers of most programs
_NUMBER_FIELDS = ("propensities", "vector")
# A value without a meaning for any field, for one that is nested as deeply as can be decoded.
_TOO_DEEP = "[[0]]"


@cache
def row_type(kind: Kind) -> type[msgspec.Struct]:
    """Return the type of a decoded row: the fields of a kind, UNSET where the row has none."""
    value = str | int | float | bool | list[Any] | dict[str, Any] | UnsetType | None
    return msgspec.defstruct(kind, [(name, value, UNSET) for name in FIELDS[kind]], gc=False)


def frame_of(kind: Kind, numbers: Sequence[int], rows: Sequence[Any]) -> pl.DataFrame:
    """Return decoded rows as columns.

    Parameters
    ----------
    kind
        Kind of the rows.
    numbers
        The number of each row.
    rows
        Values of `row_type`.

    Returns
    -------
    DataFrame
        The column `row`, and one for each field of the kind: texts, see `as_text`, or lists. Null
        where a row has no such field, and "" where it is null.
    """
    columns = [pl.Series(ROW, numbers, dtype=pl.UInt32)]
    for name in FIELDS[kind]:
        values = list(map(attrgetter(name), rows))
        lists = _list_column(name, values) if name in LIST_FIELDS else None
        columns.append(_text_column(name, values) if lists is None else lists)
    return pl.DataFrame(columns)


def _text_column(name: str, values: list[Any]) -> pl.Series:
    """Return values as text: null where a row has no such field, and "" where it is null."""
    # polars gets no value of a type that it would have to guess: it takes for ever on nested lists.
    types = set(map(type, values))
    if types <= {UnsetType}:
        return pl.Series(name, [None] * len(values), dtype=pl.String)
    if types == {str}:
        return pl.Series(name, values, dtype=pl.String)
    if types == {int} and max(map(abs, values)) < 2**63:
        return pl.Series(name, values, dtype=pl.Int64).cast(pl.String)
    if types == {float}:
        numbers = pl.Series(name, values, dtype=pl.Float64)
        # Between these bounds polars writes numbers as Python does.
        if (numbers.abs().is_between(1e-4, MAX_EXACT) | (numbers == 0)).all():
            return numbers.cast(pl.String).str.strip_suffix(".0").replace("-0", "0")
    texts = [None if value is UNSET else as_text(value) for value in values]
    return pl.Series(name, texts, dtype=pl.String)


def as_text(value: object) -> str:
    """Return a JSON value as text.

    A whole number has no decimal point, so that 7 and 7.0 are the same id; null is ""; arrays and
    objects stay JSON.

    Examples
    --------
    >>> [as_text(value) for value in ("a", 7.0, 1e3, 0.5, True, None, ["a", 1])]
    ['a', '7', '1000', '0.5', 'true', '', '["a", 1]']
    """
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        is_whole = value.is_integer() and abs(value) <= MAX_EXACT
        return str(int(value)) if is_whole else repr(value)
    if isinstance(value, int):
        return str(value)
    try:
        return json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return _TOO_DEEP


def _list_column(name: str, values: list[Any]) -> pl.Series | None:
    """Return values as lists; None unless each is a list of texts, or of numbers.

    Other lists are read from their texts, as those of a CSV file are.
    """
    # Imported here, because every command would otherwise wait for the import.
    import pyarrow as pa

    if set(map(type, values)) != {list}:
        return None
    types = set(map(type, chain.from_iterable(values)))
    if types <= {str}:
        inner, dtype = pa.large_string(), pl.List(pl.String)
    elif name not in _NUMBER_FIELDS and types == {int}:
        inner, dtype = pa.int64(), pl.List(pl.Int64)
    elif name in _NUMBER_FIELDS and types <= {int, float}:
        inner, dtype = pa.float64(), pl.List(pl.Float64)
    else:
        return None
    try:
        column = pl.from_arrow(pa.array(values, type=pa.large_list(inner)))
    except (pa.ArrowException, OverflowError):  # a number is too large to be exact
        return None
    assert isinstance(column, pl.Series)
    return column.alias(name).cast(dtype)
