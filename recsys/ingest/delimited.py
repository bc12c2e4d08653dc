"""Read CSV files: a header with field names as in `recsys.rows`, then rows separated by commas."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import polars as pl

from recsys.errors import InputRefusedError
from recsys.ingest.batches import UNREADABLE_LINES, Batch, clip
from recsys.ingest.blocks import Block, read_blocks
from recsys.ingest.jsonl import guess_kind
from recsys.rows import FIELDS, ROW, Kind, Reject, is_text

MAX_COLUMNS = 1000  # a log has some ten; a file of a million columns would exhaust memory


def read(path: Path, kind: Kind | None) -> Iterator[Batch]:
    """Yield the rows of a CSV file; a line with too many or too few fields is a reject.

    Raises
    ------
    InputRefusedError
        If the first line is not a header with known fields, or names a column twice.
    """
    names: list[str] | None = None
    for block in read_blocks(path, quoted=True):
        data, first_line = block.data, block.first_line
        if names is None:
            line, _, data = data.partition(b"\n")
            names, first_line = _header(path, line), first_line + 1
            _require_known_fields(path, names)
            kind = kind or guess_kind(set(names))
        yield parse_block(
            Block(data, first_line, block.position, block.problem),
            names,
            kind or "articles",
            separator=",",
            quoted=True,
        )


def read_frames(path: Path) -> Iterator[tuple[pl.DataFrame, list[Reject], int]]:
    """Yield all columns of a CSV file as text, the rejects, and the bytes of the file read so far.

    Raises
    ------
    InputRefusedError
        If the first line is not a header, or names a column twice.
    """
    names: list[str] | None = None
    for block in read_blocks(path, quoted=True):
        data, first_line = block.data, block.first_line
        if names is None:
            line, _, data = data.partition(b"\n")
            names, first_line = _header(path, line), first_line + 1
        part = Block(data, first_line, block.position, block.problem)
        batch = parse_block(part, names, "articles", separator=",", quoted=True)
        yield batch.frame, batch.rejects, batch.position


def _header(path: Path, line: bytes) -> list[str]:
    """Return the column names of the header, or refuse the file."""
    try:
        names = [name.strip() for name in next(csv.reader([line.decode("utf-8")]), [])]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputRefusedError(str(path), f"not CSV: {error}") from error
    if len(names) > MAX_COLUMNS:
        raise InputRefusedError(str(path), f"{len(names)} columns, more than {MAX_COLUMNS}")
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InputRefusedError(str(path), f"the header names column {repeated[0]!r} twice")
    return names


def _require_known_fields(path: Path, names: list[str]) -> None:
    if not set(names) & {name for fields in FIELDS.values() for name in fields}:
        raise InputRefusedError(
            str(path),
            f"not CSV with a header of known fields: {clip(','.join(names))[:80]!r};"
            " `recsys ingest --dry-run` proposes a mapping",
        )


def parse_block(
    block: Block, names: list[str], kind: Kind, *, separator: str, quoted: bool
) -> Batch:
    """Split a block of separated lines into columns, all of them text.

    polars parses a block without quotes in which every line has the right number of separators. Any
    other block is parsed line by line, so that one bad line costs one row.

    Parameters
    ----------
    block
        Whole lines.
    names
        Name of each column.
    kind
        Kind of the rows.
    separator
        One character.
    quoted
        Whether double quotes may enclose a field.
    """
    frame = _parse_regular(block, names, separator, quoted)
    if frame is None:
        return parse_line_by_line(block, names, kind, separator=separator, quoted=quoted)
    return Batch(kind, frame, _block_problem(block), block.position)


def _parse_regular(
    block: Block, names: list[str], separator: str, quoted: bool
) -> pl.DataFrame | None:
    """Parse a block by polars; return None if the block is not regular."""
    data = block.data
    n_lines = data.count(b"\n") + (bool(data) and not data.endswith(b"\n"))
    is_regular = (
        n_lines > 0
        and not (quoted and b'"' in data)
        and b"\r" not in data
        and b"\n\n" not in data
        and data.count(separator.encode()) == n_lines * (len(names) - 1)
        and separator.join(names).encode() not in data
    )
    if not is_regular:
        return None
    try:
        frame = pl.read_csv(
            io.BytesIO(data),
            separator=separator,
            has_header=False,
            new_columns=names,
            infer_schema=False,
            quote_char=None,
        )
    except UNREADABLE_LINES:
        return None
    if frame.shape != (n_lines, len(names)):
        return None
    return frame.with_row_index(ROW, offset=block.first_line)


def _block_problem(block: Block) -> list[Reject]:
    """Return the problem of a block as a reject of the line after it."""
    if not block.problem:
        return []
    return [Reject(block.first_line + block.data.count(b"\n"), "", block.problem, "")]


def parse_line_by_line(
    block: Block, names: list[str], kind: Kind, *, separator: str, quoted: bool
) -> Batch:
    """Split a block of separated lines by the csv module; a bad line is a reject.

    The parameters are those of `parse_block`.
    """
    rejects = _block_problem(block)
    # surrogateescape keeps bytes that are not UTF-8, so that the row can be found and shown.
    text = block.data.decode("utf-8", "surrogateescape")
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator, quoting=quoting)
    rows: list[list[str | int]] = []
    line_number = block.first_line
    while True:
        try:
            fields = next(lines)
        except StopIteration:
            break
        except csv.Error as error:  # a field is longer than the csv module allows
            rejects.append(Reject(line_number, "", f"not a CSV row: {error}", ""))
        else:
            reason = _line_problem(fields, names, separator)
            if reason:
                raw = separator.join(fields).encode("utf-8", "surrogateescape")
                raw_text = raw.decode("utf-8", "backslashreplace")
                rejects.append(Reject(line_number, "", reason, clip(raw_text)))
            elif fields:
                rows.append([line_number, *fields])
        line_number = block.first_line + lines.line_num
    schema = {ROW: pl.UInt32} | dict.fromkeys(names, pl.String)
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    return Batch(kind, frame, rejects, block.position)


def _line_problem(fields: list[str], names: list[str], separator: str) -> str:
    """Return why a line cannot be used; "" if it can, or if it is blank."""
    if fields == names:
        return "header repeated"
    if fields and len(fields) != len(names):
        return f"{len(fields)} fields where the header has {len(names)}"
    if not is_text(separator.join(fields)):
        return "broken UTF-8"
    return ""
