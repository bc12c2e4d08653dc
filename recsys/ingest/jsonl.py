"""Read JSON: one object on each line, an array of objects, or objects printed over many lines.

The field names are those of `recsys.rows`. msgspec decodes a block of lines at once if each line is
one object; otherwise the same decoder reads each line by itself, so a line gives the same values
whatever its neighbours are. What msgspec refuses and the json module reads (NaN, numbers beyond a
double) is read by the json module.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from recsys.errors import InputRefusedError
from recsys.ingest.batches import Batch, clip
from recsys.ingest.blocks import Block, read_blocks
from recsys.ingest.json_columns import as_text, frame_of, row_type
from recsys.ingest.json_objects import (
    JSON,
    NOT_OBJECT,
    UNREADABLE,
    encodable_object,
    object_of,
)
from recsys.ingest.json_values import json_values
from recsys.ingest.records import readable
from recsys.rows import FIELDS, Kind, Reject

ARRAY_ROWS = 10_000  # of an array in one batch
# The beginning of an array of objects, or of an object printed over many lines.
_MANY_LINES = re.compile(rb"\s*(?:\[\s*(?:[\[{\]]|\Z)|\{(?:[^\n]*[,:\[{])?\s*\n\s*\")")


def guess_kind(names: set[str]) -> Kind:
    """Return which kind of rows has these field names.

    Examples
    --------
    >>> guess_kind({"user_id", "article_id", "clicked_at"})
    'clicks'
    """
    if {"shown", "shown_at"} & names:
        return "impressions"
    return "clicks" if {"clicked_at", "user_id"} & names else "articles"


def read(path: Path, kind: Kind | None) -> Iterator[Batch]:
    """Yield the rows of a JSON file; what is not a JSON object is a reject.

    Raises
    ------
    InputRefusedError
        If no line of the first block is a JSON object, and the file holds no array of objects.
    """
    for block in read_blocks(path):
        if block.first_line == 1:
            if not _has_rows_in_lines(block):
                yield from _read_values(path, kind)
                return
            names = _first_names(block)
            if names is None:
                raise InputRefusedError(str(path), "not JSON Lines: no line is a JSON object")
            kind = kind or guess_kind(names)
        yield parse_block(block, kind or "articles")


def _has_rows_in_lines(block: Block) -> bool:
    """Return False for an array, and for objects of several lines, or several on a line."""
    if _MANY_LINES.match(block.data):
        return False
    _, first_line = next(_lines(block), (0, b""))
    try:
        text = first_line.decode("utf-8", "replace").lstrip()
        _, end = JSON.raw_decode(text)
    except UNREADABLE:
        return True
    return not (text.startswith("{") and text[end:].lstrip().startswith(("{", ",")))


def _first_names(block: Block) -> set[str] | None:
    """Return the field names of the first JSON object among the first 1,000 lines."""
    for _, line in islice(_lines(block), 1000):
        value = object_of(line)
        if isinstance(value, dict):
            return set(value)
    return None


def parse_block(block: Block, kind: Kind) -> Batch:
    """Parse the lines of a block into columns of text and of lists of texts."""
    data = block.data.replace(b"\r\n", b"\n") if b"\r" in block.data else block.data
    n_lines = block.n_lines
    numbers: Sequence[int] = range(block.first_line, block.first_line + n_lines)
    rejects: list[Reject] = []
    rows: Sequence[Any] | None = None
    # Between such lines a value ends and a value begins. So if there are as many values as lines,
    # there is one on each.
    if data.startswith(b"{") and data.count(b"}\n{") == n_lines - 1:
        try:
            rows = _decoder(kind).decode_lines(data)
        except UNREADABLE:
            rows = None
    if rows is None or len(rows) != n_lines:
        numbers, rows, rejects = _rows_line_by_line(block, kind)
        n_lines = len(rows) + len(rejects)
    frame = frame_of(kind, numbers, rows)
    rejects += _block_problem(block)
    return Batch(kind, frame, rejects, block.position, nulls_are_absent=True, n_lines=n_lines)


@cache
def _decoder(kind: Kind) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(row_type(kind))


def _rows_line_by_line(block: Block, kind: Kind) -> tuple[list[int], list[Any], list[Reject]]:
    """Decode each line of a block by itself; return the numbers of rows, the rows, and rejects."""
    decode = _decoder(kind).decode
    numbers: list[int] = []
    rows: list[Any] = []
    rejects: list[Reject] = []
    for number, line in _lines(block):
        try:
            row = decode(line)
        except UNREADABLE:
            value = object_of(line)
            if isinstance(value, str):
                rejects.append(Reject(number, "", value, _readable(line)))
                continue
            row = _row(kind, value)
        numbers.append(number)
        rows.append(row)
    return numbers, rows, rejects


def _row(kind: Kind, value: dict[str, object]) -> msgspec.Struct:
    return row_type(kind)(**{name: value[name] for name in FIELDS[kind] if name in value})


def _lines(block: Block) -> Iterator[tuple[int, bytes]]:
    """Yield the number and the bytes of each line that is not blank."""
    for number, line in enumerate(block.data.split(b"\n"), start=block.first_line):
        if line and not line.isspace():
            yield number, line


def _block_problem(block: Block) -> list[Reject]:
    """Return the problem of a block as a reject of the line after it."""
    if not block.problem:
        return []
    line_number = block.first_line + block.data.count(b"\n")
    return [Reject(line_number, "", block.problem, _readable(block.dropped))]


def _readable(line: bytes) -> str:
    return readable(line.decode("utf-8", "surrogateescape").rstrip("\r\n"))


def _read_values(path: Path, kind: Kind | None) -> Iterator[Batch]:
    """Yield the rows of an array of objects, or of objects that are printed over many lines."""
    numbers: list[int] = []
    rows: list[msgspec.Struct] = []
    rejects: list[Reject] = []
    position = 0

    def batch() -> Batch:
        frame = frame_of(kind or "articles", numbers, rows)
        return Batch(kind or "articles", frame, rejects, position, nulls_are_absent=True)

    for found in json_values(path):
        if isinstance(found, Reject):
            rejects.append(found)
        elif not isinstance(found.value, dict):
            rejects.append(Reject(found.row, "", NOT_OBJECT, clip(as_text(found.value))))
        else:
            position = found.position
            kind = kind or guess_kind(set(found.value))
            numbers.append(found.row)
            rows.append(_row(kind, encodable_object(found.value)))
        if len(rows) + len(rejects) == ARRAY_ROWS:
            yield batch()
            numbers, rows, rejects = [], [], []
    yield batch()
