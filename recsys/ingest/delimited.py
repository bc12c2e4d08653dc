"""Read CSV files: a header with field names as in `recsys.rows`, then rows of separated fields.

The separator is a comma, a semicolon (Excel in Europe), a tab or a vertical bar; the header
decides, or a line `sep=;` before it.
"""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from recsys.errors import InputRefusedError
from recsys.ingest.batches import UNREADABLE_LINES, Batch, clip
from recsys.ingest.blocks import MAX_LINE_BYTES, Block, read_blocks
from recsys.ingest.jsonl import guess_kind
from recsys.ingest.records import Rows, readable, split_line, split_rows
from recsys.rows import FIELDS, ROW, Kind, Reject

MAX_COLUMNS = 1000  # a log has some ten; a file of a million columns would exhaust memory
SEPARATORS = ",;\t|"
MAX_HEADER_LINES = 100  # blank lines, and one that names the separator, before a header
_KNOWN = {name for fields in FIELDS.values() for name in fields}
_NAMED_SEPARATOR = re.compile(r'(?i)"?sep=(.)"?\r*')


@dataclass(frozen=True, slots=True)
class Table:
    """How the lines of a file are split into columns.

    Attributes
    ----------
    header
        The fields of the header as they are in the file, without white space at the ends.
    names
        The name of each column; "" for a column without a name, which is dropped.
    separator
        One character.
    line
        The line of the header.
    quoted
        Whether double quotes may enclose a field.
    """

    header: list[str]
    names: list[str]
    separator: str
    line: str
    quoted: bool = True


@dataclass(frozen=True, slots=True)
class Rest:
    """The record with which a block ended and that is not complete, and its line number."""

    line: int = 1
    text: str = ""


def read(path: Path, kind: Kind | None) -> Iterator[Batch]:
    """Yield the rows of a CSV file; a damaged line is a reject.

    Raises
    ------
    InputRefusedError
        If the file does not begin with a header with known fields, or it names a column twice.
    """
    is_first = True
    for batch, table in _batches(path, kind):
        if is_first:
            _require_known_fields(path, table)
            is_first = False
        yield batch


def _batches(path: Path, kind: Kind | None) -> Iterator[tuple[Batch, Table]]:
    """Yield the rows of a CSV file with all its columns, and how its lines are split."""
    table: Table | None = None
    rest = Rest()
    for block in read_blocks(path):
        if table is None:
            table, block = _take_header(path, block)
            kind = kind or guess_kind(set(table.names))
        batch, rest = parse_block(block, table, kind or "articles", rest=rest)
        yield batch, table
    if table is not None and rest.text:
        end = Block(b"", rest.line, path.stat().st_size)
        yield parse_block(end, table, kind or "articles", rest=rest, is_last=True)[0], table


def read_frames(path: Path) -> Iterator[tuple[pl.DataFrame, list[Reject], int]]:
    """Yield all columns of a CSV file as text, the rejects, and the bytes of the file read so far.

    Raises
    ------
    InputRefusedError
        If the file does not begin with a header, or it names a column twice.
    """
    for batch, _ in _batches(path, None):
        yield batch.frame, batch.rejects, batch.position


def has_header(path: Path) -> bool:
    """Return whether a text file begins with a header that names at least two known fields.

    Raises
    ------
    InputRefusedError
        If the file cannot be read as text.
    """
    block = next(read_blocks(path), Block(b"", 1, 0))
    _, header, separator = _find_header(block.data)
    return len(_KNOWN.intersection(map(_column_name, split_line(header, separator)))) >= 2


def _take_header(path: Path, block: Block) -> tuple[Table, Block]:
    """Return the table that the header of the first block describes, and the lines after it."""
    n_lines, line, separator = _find_header(block.data)
    header = [name.strip() for name in split_line(line, separator)]
    names = [_column_name(name) for name in header]
    if len(names) > MAX_COLUMNS:
        raise InputRefusedError(str(path), f"{len(names)} columns, more than {MAX_COLUMNS}")
    repeated = sorted({name for name in names if name and names.count(name) > 1})
    if repeated:
        raise InputRefusedError(str(path), f"the header names column {repeated[0]!r} twice")
    data = block.data.split(b"\n", n_lines)[n_lines:]
    rows = Block(
        b"".join(data), block.first_line + n_lines, block.position, block.problem, block.dropped
    )
    return Table(header, names, separator, line.strip()), rows


def _require_known_fields(path: Path, table: Table) -> None:
    if not _KNOWN.intersection(table.names):
        raise InputRefusedError(
            str(path),
            f"not CSV with a header of known fields: {clip(table.line)[:80]!r};"
            " `recsys ingest --dry-run` proposes a mapping",
        )


def _find_header(data: bytes) -> tuple[int, str, str]:
    """Return the number of lines up to the header and with it, its text, and the separator."""
    separators = SEPARATORS
    for number, raw_line in enumerate(data.split(b"\n", MAX_HEADER_LINES), start=1):
        line = readable_line(raw_line)
        named = _NAMED_SEPARATOR.fullmatch(line)
        if named:
            separators = named[1]
        elif line.strip():
            return number, line, max(separators, key=lambda one: _n_fields(line, one))
    return 1, "", SEPARATORS[0]


def readable_line(line: bytes) -> str:
    r"""Return a line as text; a byte that is not UTF-8 is shown as \xff."""
    return line.decode("utf-8", "backslashreplace")


def _n_fields(line: str, separator: str) -> tuple[int, int]:
    """Return how many known fields, and how many fields, a header has with a separator."""
    names = split_line(line, separator)
    return len(_KNOWN.intersection(map(_column_name, names))), len(names)


def _column_name(name: str) -> str:
    """Return the field that a name in a header means, or the name itself.

    Examples
    --------
    >>> _column_name(" Article ID"), _column_name("Farbe ")
    ('article_id', 'Farbe')
    """
    name = name.strip("\ufeff \t\r")
    known = re.sub(r"[\s-]+", "_", name.lower())
    return known if known in _KNOWN else name


def parse_block(
    block: Block,
    table: Table,
    kind: Kind,
    *,
    rest: Rest = Rest(),  # noqa: B008 - immutable
    is_last: bool = False,
) -> tuple[Batch, Rest]:
    """Split a block of lines into columns, all of them text, where an empty field is null.

    polars parses a block without quotes in which every line has the right number of separators. Any
    other block is parsed line by line, so that one bad line costs one row.

    Parameters
    ----------
    block
        Whole lines.
    table
        How they are split.
    kind
        Kind of the rows.
    rest
        The record with which the block before ended.
    is_last
        Whether no other block follows.

    Returns
    -------
    batch : Batch
        The rows.
    rest : Rest
        The record with which this block ends, if it is not complete.
    """
    frame = None if rest.text else _parse_regular(block, table)
    if frame is not None:
        rejects = _block_problem(block)
        return Batch(kind, frame, rejects, block.position, n_lines=len(frame)), Rest()
    text = rest.text + block.data.decode("utf-8", "surrogateescape")
    rows = split_rows(
        text,
        table.header,
        separator=table.separator,
        quoted=table.quoted,
        first_line=rest.line if rest.text else block.first_line,
        # A line that was dropped ends the record before it.
        max_open=0 if is_last or block.problem else MAX_LINE_BYTES,
    )
    batch = Batch(
        kind,
        _frame(rows, table),
        [*rows.rejects, *_block_problem(block)],
        block.position,
        n_lines=rows.n_lines,
    )
    return batch, Rest(rows.rest_line, rows.rest + "\n") if rows.rest else Rest()


def _parse_regular(block: Block, table: Table) -> pl.DataFrame | None:
    """Parse a block by polars; return None if the block is not regular."""
    data, n_lines, n_columns = block.data, block.n_lines, len(table.names)
    if table.quoted and b'"' in data:
        return None
    if b"\r" in data:
        n_returns = data.count(b"\r")
        data = data.replace(b"\r\n", b"\n").removesuffix(b"\r")
        if len(block.data) - len(data) != n_returns:
            return None
    is_regular = (
        n_lines > 0
        and b"\n\n" not in data
        and not data.startswith(b"\n")
        and b"\x00" not in data
        and data.count(table.separator.encode()) == n_lines * (n_columns - 1)
        and not any(
            line.encode() in data for line in {table.line, table.separator.join(table.header)}
        )
    )
    if not is_regular:
        return None
    try:
        frame = pl.read_csv(
            io.BytesIO(data),
            separator=table.separator,
            has_header=False,
            new_columns=_unique_names(table),
            infer_schema=False,
            quote_char=None,
        )
    except UNREADABLE_LINES:
        return None
    if frame.shape != (n_lines, n_columns):
        return None
    return _named(frame, table).with_row_index(ROW, offset=block.first_line)


def _unique_names(table: Table) -> list[str]:
    """Return the names of the columns, and numbers for those without a name."""
    return [name or f"\x00{i}" for i, name in enumerate(table.names)]


def _named(frame: pl.DataFrame, table: Table) -> pl.DataFrame:
    """Return a frame without the columns that have no name in the header."""
    return frame.select(name for name in table.names if name)


def _frame(rows: Rows, table: Table) -> pl.DataFrame:
    """Return rows as columns of text, where an empty field is null as polars has it."""
    fields = pl.DataFrame(
        rows.fields, schema=dict.fromkeys(_unique_names(table), pl.String), orient="row"
    )
    fields = _named(fields, table).with_columns(pl.when(pl.all() != "").then(pl.all()))
    numbers = pl.Series(ROW, rows.numbers, dtype=pl.UInt32)
    return fields.insert_column(0, numbers)


def _block_problem(block: Block) -> list[Reject]:
    """Return the problem of a block as a reject of the line after it."""
    if not block.problem:
        return []
    line_number = block.first_line + block.data.count(b"\n")
    return [Reject(line_number, "", block.problem, readable(readable_line(block.dropped)))]
