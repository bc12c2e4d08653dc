"""Read Parquet files with columns named as in `recsys.rows`; also used for EB-NeRD's files."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from recsys.errors import InputRefusedError
from recsys.ingest.batches import BATCH_ROWS, UNREADABLE, Batch
from recsys.ingest.blocks import DAMAGE, decompress, read_start
from recsys.ingest.jsonl import guess_kind
from recsys.rows import FIELDS, ROW, Kind

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
    with decompressed_file(path) as plain:
        try:
            return list(pl.read_parquet_schema(plain))
        except (*UNREADABLE, OSError, ValueError) as error:
            raise InputRefusedError(str(path), f"not Parquet: {error}") from error


def read_frames(
    path: Path, names: list[str], batch_rows: int = BATCH_ROWS
) -> Iterator[pl.DataFrame]:
    """Yield some columns of a Parquet file in batches, with 1-based row numbers.

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
    with decompressed_file(path) as plain:
        lazy = pl.scan_parquet(plain).select(names).with_row_index(ROW, offset=1)
        try:
            yield from lazy.collect_batches(chunk_size=batch_rows, maintain_order=True)
        except UNREADABLE as error:
            raise InputRefusedError(str(path), f"damaged Parquet: {error}") from error


def read(path: Path, kind: Kind | None) -> Iterator[Batch]:
    """Yield the rows of a Parquet file.

    Raises
    ------
    InputRefusedError
        If it is not a Parquet file, or is damaged.
    """
    found = column_names(path)
    kind = kind or guess_kind(set(found))
    names = [name for name in FIELDS[kind] if name in found]
    with decompressed_file(path) as plain:
        n_rows = pl.scan_parquet(plain).select(pl.len()).collect().item()
    size, n_read = path.stat().st_size, 0
    for frame in read_frames(path, names):
        n_read += len(frame)
        yield Batch(kind, frame, position=size * n_read // max(n_rows, 1))
