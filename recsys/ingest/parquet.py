"""Read Parquet files with columns named as in `recsys.rows`; also used for EB-NeRD's files."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from recsys.errors import InputRefusedError
from recsys.ingest.batches import BATCH_ROWS, UNREADABLE, Batch, clip
from recsys.ingest.blocks import DAMAGE, decompress, explodes, read_start
from recsys.ingest.jsonl import guess_kind
from recsys.rows import FIELDS, ROW, Kind

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

MAX_DECOMPRESSED_BYTES = 8 << 30  # on the disk
# A text of many rows is in the file once, and is written out for each of them.
MAX_BATCH_BYTES = 128 << 20
MAX_ROW_BYTES = 64 << 20
MAX_GROUP_VALUES = 1 << 28  # of a column in a row group: a run of equal ones takes no room
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
    with decompressed_file(path) as plain, _open(path, plain) as (_, schema):
        return list(schema.names)


@contextmanager
def _open(path: Path, plain: Path) -> Iterator[tuple["pq.ParquetFile", "pa.Schema"]]:
    """Open the plain Parquet file of a path; any damage met while it is open refuses the path.

    Texts that the file has once for many rows stay so; the schema has the types of its columns.
    """
    # Imported here, because every command would otherwise wait for the import.
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # No memory map: a file that another process shortens would end this one.
        options: dict[str, Any] = {"memory_map": False, "page_checksum_verification": True}
        with pq.ParquetFile(plain, **options) as file:
            repeated = _columns_with_dictionary(path, file.metadata)
            schema = file.schema_arrow
        with pq.ParquetFile(plain, **options, read_dictionary=repeated) as file:
            yield file, schema
    except (pa.ArrowException, OSError, ValueError, KeyError, OverflowError) as error:
        raise InputRefusedError(str(path), f"damaged Parquet: {first_line(error)}") from error


def _columns_with_dictionary(path: Path, metadata: "pq.FileMetaData") -> list[str]:
    """Return the columns of texts that the file holds once for many rows.

    Raises
    ------
    InputRefusedError
        If a row group has too many values.
    """
    found: dict[str, None] = {}
    for i in range(metadata.num_row_groups):
        group = metadata.row_group(i)
        for column in map(group.column, range(group.num_columns)):
            if column.num_values > MAX_GROUP_VALUES:
                problem = (
                    f"column {clip(column.path_in_schema)[:100]!r} has {column.num_values} values"
                    f" in a row group, more than {MAX_GROUP_VALUES}; write smaller row groups"
                )
                raise InputRefusedError(str(path), problem)
            is_shared = any("DICTIONARY" in encoding for encoding in column.encodings)
            if column.physical_type == "BYTE_ARRAY" and is_shared:
                found[column.path_in_schema] = None
    return list(found)


def _written_out_bytes(array: "pa.Array") -> int:
    """Return how many bytes a column takes when each row has its own copy of its texts."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(array.type):
        if not len(array.dictionary):
            return int(array.nbytes)
        texts = array.dictionary.cast(pa.large_binary())
        total = pc.sum(pc.take(pc.binary_length(texts), array.indices)).as_py() or 0
        return int(total) + 8 * len(array)
    if pa.types.is_struct(array.type):
        return sum(map(_written_out_bytes, array.flatten()))
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        return _written_out_bytes(array.flatten()) + 8 * len(array)
    return int(array.nbytes)


def _small_batches(
    path: Path, first_row: int, batch: "pa.RecordBatch"
) -> Iterator["pa.RecordBatch"]:
    """Yield the rows of a batch in batches of at most `MAX_BATCH_BYTES`.

    Raises
    ------
    InputRefusedError
        If a row alone has more than `MAX_ROW_BYTES`.
    """
    import pyarrow as pa

    n_bytes = sum(map(_written_out_bytes, batch.columns))
    if n_bytes <= MAX_BATCH_BYTES and batch.num_rows != 1:
        yield batch
    elif batch.num_rows == 1:
        if n_bytes > MAX_ROW_BYTES:
            problem = f"row {first_row} takes {n_bytes >> 20} MB, more than {MAX_ROW_BYTES >> 20}"
            raise InputRefusedError(str(path), problem)
        yield batch
    else:
        n_rows, half = batch.num_rows, batch.num_rows // 2
        for start, end in ((0, half), (half, n_rows)):
            # `slice` keeps all values of lists, and a cast would write all of them out.
            part = batch.take(pa.array(range(start, end)))
            yield from _small_batches(path, first_row + start, part)


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
    with decompressed_file(path) as plain, _open(path, plain) as (file, schema):
        first_row, n_bytes, n_stored = 1, 0, path.stat().st_size
        for whole in file.iter_batches(batch_size=batch_rows, columns=names):
            whole.validate(full=True)  # polars trusts offsets and UTF-8
            n_bytes += sum(map(_written_out_bytes, whole.columns))
            if explodes(n_bytes, n_stored):
                problem = f"its rows up to {first_row + whole.num_rows} take {n_bytes >> 20} MB"
                raise InputRefusedError(str(path), f"{problem}, too much for its size")
            for batch in _small_batches(path, first_row, whole):
                columns = [
                    _polars_column(name, column.cast(schema.field(name).type))
                    for name, column in zip(batch.schema.names, batch.columns, strict=True)
                ]
                end = first_row + batch.num_rows
                rows = pl.Series(ROW, range(first_row, end), dtype=pl.UInt32)
                yield pl.DataFrame([rows, *columns])
                first_row = end


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
    with decompressed_file(path) as plain, _open(path, plain) as (file, _):
        n_rows = file.metadata.num_rows
    size, n_read = path.stat().st_size, 0
    for frame in read_frames(path, names):
        n_read += len(frame)
        yield Batch(kind, frame, position=size * n_read // max(n_rows, 1))
