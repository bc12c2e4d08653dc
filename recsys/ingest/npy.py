"""Read the vectors of articles from a numpy file, beside a text file with their ids.

`vectors.npy` holds an array of shape (n_articles, n_dimensions), and `vectors.ids.txt` beside it
the id of each of its rows, one a line.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import polars as pl

from recsys.errors import InputRefusedError
from recsys.ids import MOST_CHARACTERS
from recsys.ingest.batches import Batch
from recsys.rows import ROW, Kind

MAGIC = b"\x93NUMPY"
ENDING, IDS_ENDING = ".npy", ".ids.txt"
BATCH_VALUES = 1 << 20  # numbers of vectors in a batch; Python objects take 32 bytes each
MAX_IDS_BYTES = 1 << 30
MAX_ID_BYTES = 4 * MOST_CHARACTERS + 2  # in UTF-8, with the end of its line
MAX_DIMENSIONS = 1 << 16  # a damaged header may claim more numbers than memory holds


def read(path: Path, kind: Kind | None) -> Iterator[Batch]:
    """Yield articles of an id and a vector.

    Raises
    ------
    InputRefusedError
        If the file is damaged or holds no table of numbers, or if there is not one id for each of
        its rows.
    """
    if kind not in (None, "articles"):
        raise InputRefusedError(str(path), f"a numpy file holds vectors of articles, not {kind}")
    with path.open("rb") as file:
        (n_rows, n_columns), dtype = _header(path, file)
        ids = _ids(path, n_rows)
        batch_rows = max(BATCH_VALUES // n_columns, 1)
        for start in range(0, n_rows, batch_rows):
            n_batch = min(batch_rows, n_rows - start)
            values = np.fromfile(file, dtype, n_batch * n_columns).astype(np.float64)
            if len(values) < n_batch * n_columns:
                raise InputRefusedError(str(path), "truncated: it has fewer rows than it says")
            rows = pl.Series(ROW, range(start + 1, start + n_batch + 1), dtype=pl.UInt32)
            vectors = pl.Series("vector", values.reshape(n_batch, n_columns))
            frame = pl.DataFrame([rows, pl.Series("article_id", ids[start : start + n_batch])])
            # An id without a text is rejected.
            frame = frame.with_columns(vectors.arr.to_list())
            yield Batch("articles", frame, position=file.tell())


def matches(start: bytes) -> bool:
    """Return whether a file that begins with these bytes is one of numpy."""
    return start.startswith(MAGIC)


def ids_path(path: Path) -> Path:
    """Return where the ids of a numpy file are."""
    return path.with_name(path.name[: -len(ENDING)] + IDS_ENDING)


def is_ids_file(path: Path) -> bool:
    """Return whether a file holds the ids of a numpy file beside it."""
    name = path.name
    return name.endswith(IDS_ENDING) and (
        path.with_name(name.removesuffix(IDS_ENDING) + ENDING).is_file()
    )


def _header(path: Path, file: BinaryIO) -> tuple[tuple[int, int], np.dtype[np.generic]]:
    """Read the header of a numpy file: the shape of its array, and the type of its numbers."""
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    try:
        shape, is_fortran, dtype = readers[np.lib.format.read_magic(file)](file)
    except Exception as error:  # numpy parses the header as Python, which fails in many ways
        raise InputRefusedError(str(path), f"not a numpy file: {error}") from error
    if len(shape) != 2 or dtype.kind not in "fiu" or min(shape) < 1 or shape[1] > MAX_DIMENSIONS:
        raise InputRefusedError(
            str(path),
            f"vectors are a table of numbers, one row an article; this is {dtype} of shape {shape}",
        )
    if is_fortran and min(shape) > 1:
        raise InputRefusedError(
            str(path), "its columns come one after the other; save numpy.ascontiguousarray(vectors)"
        )
    return (shape[0], shape[1]), dtype


def _ids(path: Path, n_rows: int) -> list[str]:
    """Return the id of each row of a numpy file."""
    beside = ids_path(path)
    try:
        with beside.open("rb") as file:
            data = file.read(min(MAX_IDS_BYTES, (n_rows + 1) * MAX_ID_BYTES))
        if data.count(b"\n") > n_rows:  # so that no file of blank lines becomes a list of texts
            problem = f"{n_rows} vectors, but {beside.name} has more ids"
            raise InputRefusedError(str(path), problem)
        ids = data.decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputRefusedError(
            str(path), f"needs {beside.name} beside it, with an id on each line ({error})"
        ) from error
    if len(ids) != n_rows:
        raise InputRefusedError(
            str(path), f"{n_rows} vectors, but {beside.name} has {len(ids)} ids"
        )
    return ids
