"""CSV: a header of field names as in `recsys.rows`, comma separated, quotes doubled."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from recsys.errors import InputRefusedError
from recsys.ingest.batches import UNREADABLE_LINES, Batch, clip
from recsys.ingest.blocks import Block, read_blocks
from recsys.ingest.jsonl import kind_of
from recsys.rows import FIELDS, ROW, Kind, Reject, is_text

MAX_COLUMNS = 1000  # of a file of known fields; a million would be no log


def read(path: Path, kind: Kind | None) -> Iterator[Batch]:
    """Yield a file's rows; a line with too many or too few fields is a reject.

    Raises
    ------
    InputRefusedError
        If the first line is no header of ours, or names a column twice.
    """
    header: list[str] | None = None
    for block in read_blocks(path, quoted=True):
        data, first_line = block.data, block.first_line
        if header is None:
            line, _, data = data.partition(b"\n")
            header, first_line = _header(path, line), first_line + 1
            kind = kind or kind_of(set(header))
        yield parse(
            Block(data, first_line, block.position, block.problem),
            header,
            kind or "articles",
            separator=",",
            quoted=True,
        )


def _header(path: Path, line: bytes) -> list[str]:
    try:
        names = [name.strip() for name in next(csv.reader([line.decode("utf-8")]), [])]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputRefusedError(str(path), f"not CSV: {error}") from error
    if len(names) > MAX_COLUMNS:
        raise InputRefusedError(str(path), f"{len(names)} columns, more than {MAX_COLUMNS}")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputRefusedError(str(path), f"the header names column {twice[0]!r} twice")
    if not set(names) & {name for fields in FIELDS.values() for name in fields}:
        raise InputRefusedError(
            str(path), f"not CSV with a header of known fields: {clip(','.join(names))[:80]!r}"
        )
    return names


def parse(block: Block, names: list[str], kind: Kind, *, separator: str, quoted: bool) -> Batch:
    """Return a block of separated lines as columns `names`, all text.

    polars takes blocks without quotes and with the right number of separators;
    anything else goes line by line, so that one bad line costs one row.
    """
    data = block.data
    rejects: list[Reject] = []
    if block.problem:
        rejects.append(Reject(block.first_line + data.count(b"\n"), "", block.problem, ""))
    n_lines = data.count(b"\n") + (bool(data) and not data.endswith(b"\n"))
    regular = (
        n_lines > 0
        and not (quoted and b'"' in data)
        and b"\r" not in data
        and b"\n\n" not in data
        and data.count(separator.encode()) == n_lines * (len(names) - 1)
        and separator.join(names).encode() not in data
    )
    if regular:
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
            frame = None
        if frame is not None and frame.shape == (n_lines, len(names)):
            frame = frame.with_row_index(ROW, offset=block.first_line)
            return Batch(kind, frame, rejects, block.position)
    return _slow(block, names, kind, separator, quoted, rejects)


def _slow(
    block: Block, names: list[str], kind: Kind, separator: str, quoted: bool, rejects: list[Reject]
) -> Batch:
    # surrogateescape keeps undecodable bytes, so that the row can be found and shown.
    text = block.data.decode("utf-8", "surrogateescape")
    stream = io.StringIO(text, newline="")
    lines = (
        csv.reader(stream, delimiter=separator)
        if quoted
        else csv.reader(stream, delimiter=separator, quoting=csv.QUOTE_NONE)
    )
    rows: list[list[str | int]] = []
    number = block.first_line
    while True:
        try:
            row = next(lines)
        except StopIteration:
            break
        except csv.Error as error:  # a field over the csv module's limit
            rejects.append(Reject(number, "", f"not a CSV row: {error}", ""))
            number = block.first_line + lines.line_num
            continue
        reason = ""
        if row == names:
            reason = "header repeated"
        elif row and len(row) != len(names):
            reason = f"{len(row)} fields where the header has {len(names)}"
        elif not is_text(separator.join(row)):
            reason = "broken UTF-8"
        if reason:
            raw = separator.join(row).encode("utf-8", "surrogateescape")
            rejects.append(
                Reject(number, "", reason, clip(raw.decode("utf-8", "backslashreplace")))
            )
        elif row:
            rows.append([number, *row])
        number = block.first_line + lines.line_num
    schema = {ROW: pl.UInt32} | dict.fromkeys(names, pl.String)
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    return Batch(kind, frame, rejects, block.position)
