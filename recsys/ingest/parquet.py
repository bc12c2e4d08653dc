"""Parquet with columns named as in `recsys.rows`; also opens EB-NeRD's files."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from recsys.errors import InputRefusedError
from recsys.ingest.batches import BATCH_ROWS, UNREADABLE, Batch
from recsys.ingest.blocks import DAMAGE, decompressed, read_start
from recsys.ingest.jsonl import kind_of
from recsys.rows import FIELDS, ROW, Kind

MAX_UNPACKED = 8 << 30  # bytes of a packed file, on the disk
MAGIC = b"PAR1"


@contextmanager
def plain_file(path: Path) -> Iterator[Path]:
    """Give a Parquet file, unpacked on disk if packed: its footer needs random access.

    Raises
    ------
    InputRefusedError
        If it is no Parquet file, or cannot be unpacked.
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
                for chunk in decompressed(raw):
                    plain.write(chunk)
                    if plain.tell() > MAX_UNPACKED:
                        raise InputRefusedError(
                            str(path), f"unpacks to more than {MAX_UNPACKED >> 30} GiB"
                        )
            except DAMAGE as error:
                raise InputRefusedError(str(path), f"cannot be unpacked: {error}") from error
            plain.flush()
            yield Path(plain.name)


def columns(path: Path) -> list[str]:
    """Return a Parquet file's column names.

    Raises
    ------
    InputRefusedError
        If it is no Parquet file.
    """
    with plain_file(path) as plain:
        try:
            return list(pl.read_parquet_schema(plain))
        except (*UNREADABLE, OSError, ValueError) as error:
            raise InputRefusedError(str(path), f"not Parquet: {error}") from error


def frames(path: Path, names: list[str], batch_rows: int = BATCH_ROWS) -> Iterator[pl.DataFrame]:
    """Yield a file's columns `names` in batches, with 1-based row numbers."""
    with plain_file(path) as plain:
        lazy = pl.scan_parquet(plain).select(names).with_row_index(ROW, offset=1)
        try:
            yield from lazy.collect_batches(chunk_size=batch_rows, maintain_order=True)
        except UNREADABLE as error:
            raise InputRefusedError(str(path), f"damaged Parquet: {error}") from error


def read(path: Path, kind: Kind | None) -> Iterator[Batch]:
    """Yield a file's rows."""
    found = columns(path)
    kind = kind or kind_of(set(found))
    names = [name for name in FIELDS[kind] if name in found]
    size, done, n_rows = path.stat().st_size, 0, 0
    with plain_file(path) as plain:
        n_rows = pl.scan_parquet(plain).select(pl.len()).collect().item()
    for frame in frames(path, names):
        done += len(frame)
        yield Batch(kind, frame, position=size * done // max(n_rows, 1))
