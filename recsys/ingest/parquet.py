"""Read Parquet files with columns named as in `recsys.rows`; also used for EB-NeRD's files."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from recsys.errors import InputRefusedError
from recsys.ingest.batches import BATCH_ROWS, UNREADABLE, Batch, clip
from recsys.ingest.blocks import DAMAGE, decompress, read_start
from recsys.ingest.jsonl import guess_kind
from recsys.rows import FIELDS, ROW, Kind

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

MAX_DECOMPRESSED_BYTES = 8 << 30  # on the disk
MAGIC = b"PAR1"


@contextmanager
def decompressed_file(path: Path) -> Iterator[Path]:
    """Give a plain Parquet file; a compressed one is decompressed to a temporary file.

    Parquet needs random access, because its table of contents is at the end of the file.

    Raises
    ------
    InputRefusedError
        If it is not a Parquet file, or cannot be decompressed.
    """
    if not read_start(path, 4).startswith(MAGIC):
        raise InputRefusedError(str(path), "not Parquet")
    with path.open("rb") as raw:
        if raw.read(len(MAGIC)) == MAGIC:
            yield path
            return
        raw.seek(0)
        with tempfile.NamedTemporaryFile(suffix=".parquet") as plain:
            try:
                for chunk in decompress(raw):
                    plain.write(chunk)
                    if plain.tell() > MAX_DECOMPRESSED_BYTES:
                        limit_gib = MAX_DECOMPRESSED_BYTES >> 30
                        raise InputRefusedError(
                            str(path), f"decompresses to more than {limit_gib} GiB"
                        )
            except DAMAGE as error:
                raise InputRefusedError(str(path), f"cannot be decompressed: {error}") from error
            plain.flush()
            yield Path(plain.name)


def column_names(path: Path) -> list[str]:
    """Return the column names of a Parquet file.

    Raises
    ------
    InputRefusedError
        If it is not a Parquet file.
    """
    with decompressed_file(path) as plain, _open(path, plain) as file:
        return list(file.schema_arrow.names)


@contextmanager
def _open(path: Path, plain: Path) -> Iterator["pq.ParquetFile"]:
    """Open the plain Parquet file of a path; any damage met while it is open refuses the path."""
    # Imported here, because every command would otherwise wait for the import.
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # No memory map: a file that another process shortens would end this one.
        with pq.ParquetFile(plain, memory_map=False, page_checksum_verification=True) as file:
            yield file
    except (pa.ArrowException, OSError, ValueError, KeyError, OverflowError) as error:
        raise InputRefusedError(str(path), f"damaged Parquet: {first_line(error)}") from error


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its type if it has none."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def read_frames(
    path: Path, names: list[str], batch_rows: int = BATCH_ROWS
) -> Iterator[pl.DataFrame]:
    """Yield some columns of a Parquet file in batches, with 1-based row numbers.

    pyarrow reads the file: on damaged files, found by fuzzing, polars 2.1 ends the process.

    Parameters
    ----------
    path
        The file, plain, gzip or zstd.
    names
        The columns to read.
    batch_rows
        Rows in a batch.

    Raises
    ------
    InputRefusedError
        If the file is damaged.
    """
    with decompressed_file(path) as plain, _open(path, plain) as file:
        first_row = 1
        for batch in file.iter_batches(batch_size=batch_rows, columns=names):
            batch.validate(full=True)  # polars trusts offsets and UTF-8
            columns = [
                _polars_column(name, column)
                for name, column in zip(batch.schema.names, batch.columns, strict=True)
            ]
            rows = pl.Series(ROW, range(first_row, first_row + batch.num_rows), dtype=pl.UInt32)
            yield pl.DataFrame([rows, *columns])
            first_row += batch.num_rows


def _polars_column(name: str, column: "pa.Array") -> pl.Series:
    """Convert a column; a type that polars lacks becomes durations, which hold no field of ours."""
    try:
        converted = pl.from_arrow(column)
        assert isinstance(converted, pl.Series)
        return converted.alias(name)
    except (*UNREADABLE, TypeError, ValueError, NotImplementedError):
        values = pl.Series(name, [0] * len(column), dtype=pl.Duration("ms"))
        return values.set(pl.Series(column.is_null().to_pylist()), None)


def read(path: Path, kind: Kind | None) -> Iterator[Batch]:
    """Yield the rows of a Parquet file.

    Raises
    ------
    InputRefusedError
        If it is not a Parquet file, is damaged, or has none of the columns of its kind.
    """
    found = column_names(path)
    kind = kind or guess_kind(set(found))
    names = [name for name in FIELDS[kind] if name in found]
    if not names:
        raise InputRefusedError(
            str(path), f"none of its columns is a field of {kind}: {clip(', '.join(found))[:200]}"
        )
    with decompressed_file(path) as plain, _open(path, plain) as file:
        n_rows = file.metadata.num_rows
    size, n_read = path.stat().st_size, 0
    for frame in read_frames(path, names):
        n_read += len(frame)
        yield Batch(kind, frame, position=size * n_read // max(n_rows, 1))
