"""Convert the values of JSON objects to columns of text and of lists."""

from collections.abc import Sequence
from functools import cache
from operator import attrgetter
from typing import Any

import msgspec
import polars as pl
from msgspec import UNSET, UnsetType

from recsys.ingest.batches import clip
from recsys.ingest.values import items_of, numbers_of
from recsys.rows import FIELDS, LIST_FIELDS, ROW, Kind, Reject

MAX_EXACT = 2**53  # larger whole numbers are not exact as JSON numbers of most programs
_NUMBER_FIELDS = ("propensities", "vector")


@cache
def row_type(kind: Kind) -> type[msgspec.Struct]:
    """Return the type of a decoded row: the fields of a kind, UNSET where the row has none."""
    value = str | int | float | bool | list[Any] | dict[str, Any] | UnsetType | None
    return msgspec.defstruct(kind, [(name, value, UNSET) for name in FIELDS[kind]], gc=False)


def frame_of(
    kind: Kind, numbers: Sequence[int], rows: Sequence[Any]
) -> tuple[pl.DataFrame, list[Reject]]:
    """Return decoded rows as columns, and a reject for each row without a list where one belongs.

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
    frame : DataFrame
        The column `row`, and one for each field of the kind. Texts are "" and lists empty where a
        row gives null; both are null where the row has no such field.
    rejects : list of Reject
        The rows that are left out.
    """
    series = {ROW: pl.Series(ROW, numbers, dtype=pl.UInt32)}
    wrong: dict[int, str] = {}
    for name in FIELDS[kind]:
        values = list(map(attrgetter(name), rows))
        if name in LIST_FIELDS:
            series[name], places = _list_column(name, values)
            wrong = dict.fromkeys(places, name) | wrong
        else:
            series[name] = _text_column(name, values)
    frame = pl.DataFrame(series)
    rejects = [
        Reject(numbers[i], name, "not a list", clip(as_text(rows[i]))) for i, name in wrong.items()
    ]
    if wrong:
        keep = [i not in wrong for i in range(len(rows))]
        frame = frame.filter(pl.Series(keep, dtype=pl.Boolean))
    return frame, rejects


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
    objects stay JSON, except for "" where they are nested about as deeply as can be decoded.

    Examples
    --------
    >>> [as_text(value) for value in ("a", 7.0, 1e3, 0.5, True, None, ["a", 1])]
    ['a', '7', '1000', '0.5', 'true', '', '["a",1]']
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
        return msgspec.json.encode(value).decode()
    except RecursionError:
        return ""


def _list_column(name: str, values: list[Any]) -> tuple[pl.Series, list[int]]:
    """Return values as lists of texts or of numbers, and the places of values that are no lists.

    A row without the field has null, and one where it is null an empty list.
    """
    # Imported here, because every command would otherwise wait for the import.
    import pyarrow as pa

    holds_numbers = name in _NUMBER_FIELDS
    dtype = pl.List(pl.Float64 if holds_numbers else pl.String)
    if values.count(UNSET) == len(values):
        return pl.Series(name, [None] * len(values), dtype=dtype), []
    arrow_type = pa.large_list(pa.float64() if holds_numbers else pa.large_string())
    wrong: list[int] = []
    array = None
    if set(map(type, values)) == {list}:
        try:
            array = pa.array(values, type=arrow_type)
        except (pa.ArrowException, TypeError):
            pass  # not all items are of that type
    if array is None or array.flatten().null_count:
        lists = [None if value is UNSET else _items(value, holds_numbers) for value in values]
        wrong = [i for i, items in enumerate(lists) if items is None and values[i] is not UNSET]
        array = pa.array(lists, type=arrow_type)
    column = pl.from_arrow(array)
    assert isinstance(column, pl.Series)
    return column.alias(name).cast(dtype), wrong


def _items(value: object, holds_numbers: bool) -> list[str] | list[float] | None:
    """Return the items of a list as texts or as numbers; None if the value is no list of either.

    A text is a list as JSON, Python or numpy write it, or items separated by blanks; a number is a
    list of one.
    """
    if isinstance(value, str):
        return numbers_of(value) if holds_numbers else items_of(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = [value]
    elif value is None:
        value = []
    if not isinstance(value, list) or any(isinstance(item, list | dict) for item in value):
        return None
    if holds_numbers:
        return [_number(item) for item in value]
    return [as_text(item) for item in value if item is not None]


def _number(item: object) -> float:
    """Return an item as a number; NaN, which is no probability and no part of a vector, if not."""
    try:
        return float(item)  # type: ignore[arg-type] # what is no number raises TypeError
    except (TypeError, ValueError, OverflowError):
        return float("nan")
