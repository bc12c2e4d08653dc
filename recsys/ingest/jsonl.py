"""Read JSON Lines files: one object on each line, with field names as in `recsys.rows`."""

import io
import json
import math
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import polars as pl

from recsys.errors import InputRefusedError
from recsys.ingest.batches import UNREADABLE_LINES, Batch, clip
from recsys.ingest.blocks import Block, read_blocks
from recsys.ingest.text import encodable
from recsys.rows import FIELDS, LIST_FIELDS, ROW, Kind, Reject


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
    """Yield the rows of a JSON Lines file; a line that is not a JSON object is a reject.

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
            kind = kind or guess_kind(names)
        yield parse_block(block, kind or "articles")


def _first_names(data: bytes) -> set[str] | None:
    """Return the field names of the first JSON object among the first 1,000 lines."""
    for line in data.splitlines()[:1000]:
        parsed = _parse_object(line)
        if isinstance(parsed, dict):
            return set(parsed)
    return None


def _parse_object(line: bytes) -> dict[str, object] | str:
    """Return the object on a line, or the reason for rejecting the line."""
    try:
        value = json.loads(line.decode("utf-8"), object_pairs_hook=_first_of_each)
    except UnicodeDecodeError:
        return "broken UTF-8"
    except (ValueError, RecursionError):
        return "not a JSON object"
    return value if isinstance(value, dict) else "not a JSON object"


def parse_block(block: Block, kind: Kind) -> Batch:
    """Parse the lines of a block into columns of text and of lists of texts.

    polars parses a block of well-formed lines. Any other block is parsed line by line, so that one
    bad line costs one row.
    """
    rejects = []
    if block.problem:
        line_number = block.first_line + block.data.count(b"\n")
        rejects.append(Reject(line_number, "", block.problem, ""))
    schema: dict[str, pl.DataType] = {
        name: pl.List(pl.String) if name in LIST_FIELDS else pl.String() for name in FIELDS[kind]
    }
    n_lines = block.data.count(b"\n") + (not block.data.endswith(b"\n") and bool(block.data))
    try:
        frame = pl.read_ndjson(io.BytesIO(block.data), schema=schema)
    except UNREADABLE_LINES:
        frame = None
    # polars drops blank lines, so a different number of rows means that row numbers are lost.
    if frame is None or len(frame) != n_lines or (b"\\" in block.data and _has_lost_escapes(frame)):
        return _parse_line_by_line(block, kind, schema, rejects)
    frame = frame.with_row_index(ROW, offset=block.first_line)
    return Batch(kind, frame, rejects, block.position, nulls_are_absent=True)


def _has_lost_escapes(frame: pl.DataFrame) -> bool:
    """Return whether a text is that of a list or object with a backslash or control character.

    polars writes them as they are, so the text is not JSON.
    """
    lost = r"(?s)^[\[{].*[\\\x00-\x1f]"
    return any(column.dtype == pl.String and column.str.contains(lost).any() for column in frame)


def _parse_line_by_line(
    block: Block, kind: Kind, schema: dict[str, pl.DataType], rejects: list[Reject]
) -> Batch:
    """Parse a block by the json module; a bad line is added to the rejects."""
    rows: list[dict[str, object]] = []
    for line_number, line in enumerate(block.data.split(b"\n"), start=block.first_line):
        if not line.strip():
            continue
        parsed = _parse_object(line)
        if isinstance(parsed, str):
            raw = clip(line.decode("utf-8", "backslashreplace"))
            rejects.append(Reject(line_number, "", parsed, raw))
            continue
        values = {name: _field_value(parsed.get(name), name) for name in schema}
        rows.append({ROW: line_number, **values})
    frame = pl.DataFrame(rows, schema={ROW: pl.UInt32(), **schema})
    return Batch(kind, frame, rejects, block.position, nulls_are_absent=True)


def _field_value(value: object, name: str) -> str | list[str | None] | None:
    """Return a JSON value as text, or as a list of texts for a list field, as polars does."""
    if name not in LIST_FIELDS:
        return None if value is None else _as_text(value)
    if isinstance(value, str):
        value = value.split()
    if not isinstance(value, list):
        return None
    return [None if item is None else _as_text(item) for item in value]


def _as_text(value: object) -> str:
    """Return a JSON value as the text that polars makes of it."""
    if isinstance(value, float) and math.isfinite(value):
        return format(Decimal(repr(value)), "f").removesuffix(".0")
    text = value if isinstance(value, str) else json.dumps(_whole(value), ensure_ascii=False)
    return encodable(text)


def _whole(value: object) -> object:
    """Return a JSON value in which whole numbers are integers."""
    if isinstance(value, dict):
        return {key: _whole(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_whole(inner) for inner in value]
    is_whole = isinstance(value, float) and value.is_integer()
    return int(Decimal(repr(value))) if is_whole else value


def _first_of_each(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Return an object whose keys may be repeated; the first counts, as for polars."""
    values: dict[str, object] = {}
    for key, value in pairs:
        values.setdefault(key, value)
    return values
