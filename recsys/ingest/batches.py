"""What a reader of an outside format hands on."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from recsys.rows import Kind, Reject

BATCH_BYTES = 8 << 20  # text read at once; bounds memory whatever the file's size
BATCH_ROWS = 100_000
# What polars raises of bytes it cannot read: on some damaged files it panics.
UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException)
# And of lines in memory that begin as an archive would ("x^"), which it then tries to unpack.
UNREADABLE_LINES = (*UNREADABLE, OSError)
MAX_RAW = 2_000  # characters of a bad row that are kept


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows of a file, columns named as in `recsys.rows`, plus `row`.

    Attributes
    ----------
    kind
        Which rows these are.
    frame
        Columns as read, not yet checked; a field the file lacks is absent.
    rejects
        Rows the reader itself could not take apart.
    position
        Bytes of the file behind this batch, for a progress bar.
    """

    kind: Kind
    frame: pl.DataFrame
    rejects: list[Reject] = field(default_factory=list)
    position: int = 0


UserState = Callable[[Path, Kind | None], Iterator[Batch]]


def clip(raw: str) -> str:
    """Return a row's text, short enough to keep and to print."""
    return raw if len(raw) <= MAX_RAW else raw[:MAX_RAW] + "…"
