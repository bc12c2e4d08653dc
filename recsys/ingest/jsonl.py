"""JSON Lines: one object a line, fields named as in `recsys.rows`."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from recsys.errors import InputRefusedError
from recsys.ingest.batches import UNREADABLE_LINES, Batch, clip
from recsys.ingest.blocks import Block, read_blocks
from recsys.rows import FIELDS, LIST_FIELDS, ROW, Kind, Reject


def kind_of(names: set[str]) -> Kind:
    """Return which rows a set of field names makes.

    Examples
    --------
    >>> kind_of({"user_id", "article_id", "clicked_at"})
    'clicks'
    """
    if {"shown", "shown_at"} & names:
        return "impressions"
    return "clicks" if {"clicked_at", "user_id"} & names else "articles"


def read(path: Path, kind: Kind | None) -> Iterator[Batch]:
    """Yield a file's rows; a line that is no JSON object is a reject.

    Raises
    ------
    InputRefusedError
        If no line of the first block is a JSON object.
    """
    for block in read_blocks(path):
        if block.first_line == 1:
            names = _first_names(block.data)
            if names is None:
                raise InputRefusedError(str(path), "not JSON Lines: no line is a JSON object")
            kind = kind or kind_of(names)
        yield _batch(block, kind or "articles")


def _first_names(data: bytes) -> set[str] | None:
    for line in data.splitlines()[:1000]:
        value = _object(line)
        if isinstance(value, dict):
            return set(value)
    return None


def _object(line: bytes) -> dict[str, object] | str:
    """Return a line's object, or what is wrong with the line."""
    try:
        value = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError:
        return "broken UTF-8"
    except (ValueError, RecursionError):
        return "not a JSON object"
    return value if isinstance(value, dict) else "not a JSON object"


def _batch(block: Block, kind: Kind) -> Batch:
    rejects = []
    if block.problem:
        row = block.first_line + block.data.count(b"\n")
        rejects.append(Reject(row, "", block.problem, ""))
    schema: dict[str, pl.DataType] = {
        name: pl.List(pl.String) if name in LIST_FIELDS else pl.String() for name in FIELDS[kind]
    }
    n_lines = block.data.count(b"\n") + (not block.data.endswith(b"\n") and bool(block.data))
    try:
        frame = pl.read_ndjson(io.BytesIO(block.data), schema=schema)
    except UNREADABLE_LINES:
        frame = None
    # Blank lines vanish from polars' answer, and with them the row numbers.
    if frame is None or len(frame) != n_lines:
        return _slow_batch(block, kind, schema, rejects)
    frame = frame.with_row_index(ROW, offset=block.first_line)
    return Batch(kind, frame, rejects, block.position)


def _slow_batch(
    block: Block, kind: Kind, schema: dict[str, pl.DataType], rejects: list[Reject]
) -> Batch:
    """Take a block apart line by line, so that one bad line costs one row."""
    rows: list[dict[str, object]] = []
    for number, line in enumerate(block.data.split(b"\n"), start=block.first_line):
        if not line.strip():
            continue
        value = _object(line)
        if isinstance(value, str):
            rejects.append(
                Reject(number, "", value, clip(line.decode("utf-8", "backslashreplace")))
            )
            continue
        rows.append({ROW: number} | {name: _plain(value.get(name), name) for name in schema})
    row_schema: dict[str, pl.DataType] = {ROW: pl.UInt32(), **schema}
    frame = pl.DataFrame(rows, schema=row_schema)
    return Batch(kind, frame, rejects, block.position)


def _plain(value: object, name: str) -> object:
    if name in LIST_FIELDS:
        if isinstance(value, str):
            value = value.split()
        return (
            [_text(item) for item in value if item is not None] if isinstance(value, list) else None
        )
    return None if value is None else _text(value)


def _text(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    # JSON may carry half of a surrogate pair, which is no text and no UTF-8.
    return text.encode("utf-8", "replace").decode("utf-8")
