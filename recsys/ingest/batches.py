"""Define the batch of rows that every format module yields."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from recsys.rows import Kind, Reject

BATCH_BYTES = 8 << 20  # text read at once; bounds memory however large the file is
BATCH_ROWS = 100_000
# Exceptions of polars for bytes that it cannot read; on some damaged files it panics.
UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException)
# Lines in memory that begin as an archive would ("x^") make polars try to unpack them.
UNREADABLE_LINES = (*UNREADABLE, OSError)
MAX_RAW = 2_000  # characters kept of a rejected row


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows of a file, not yet checked.

    Attributes
    ----------
    kind
        Whether the rows are articles, clicks or impressions.
    frame
        The column `row` (see `recsys.rows.ROW`) and columns named as in `recsys.rows.FIELDS`, with
        values as in the file; a field that the file lacks has no column.
    rejects
        Rows that could not be split into fields.
    position
        Bytes of the file read so far, for a progress bar.
    nulls_are_absent
        Whether a null of the frame is a field that its row does not give, as in JSON, and "" one
        that it clears. Otherwise every column of the frame is given by every row.
    ignored
        Number of entries of the file that were read and hold no row of ours, such as the pages and
        menus of an export and the bots of a log, by (kind of entry, reason).
    n_lines
        Lines of the file that these rows and rejects took, without blank ones; 0 if the format has
        no lines. Far fewer rows than lines are a sign of damage, except where texts of several
        lines are quoted, as the bodies of articles.
    """

    kind: Kind
    frame: pl.DataFrame
    rejects: list[Reject] = field(default_factory=list)
    position: int = 0
    nulls_are_absent: bool = False
    ignored: Counter[tuple[str, str]] = field(default_factory=Counter)
    n_lines: int = 0


# Reads a file and yields its rows; the kind of rows is None if the file decides it.
FormatReader = Callable[[Path, Kind | None], Iterator[Batch]]


def clip(raw: str) -> str:
    """Shorten the text of a rejected row to `MAX_RAW` characters, to store and print it."""
    return raw if len(raw) <= MAX_RAW else raw[:MAX_RAW] + "…"
