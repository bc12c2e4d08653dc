"""Load files into the store: read, check and add their rows, one batch at a time.

Memory is bounded by two batches, because one batch is added while the next is read and checked.
"""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import polars as pl

from recsys.errors import InputRefusedError, printable_path
from recsys.ingest.batches import UNREADABLE
from recsys.ingest.detect import Format, InputFile, reader_of
from recsys.ingest.validate import Checked, check
from recsys.pseudonym import hashed_user, key_fingerprint
from recsys.rows import Added, Kind
from recsys.store.database import Store

T = TypeVar("T")


@dataclass(slots=True)
class LoadReport:
    """Counts of the rows that some files held.

    Attributes
    ----------
    added
        Numbers of new, changed and known rows, by kind.
    rejected
        Number of rejected rows, by (reason, field).
    refused
        One error for each file that was refused as a whole.
    skipped
        Path and reason of each file of a folder that was not read.
    n_files
        Number of files read or refused.
    """

    added: dict[Kind, Added] = field(default_factory=dict)
    rejected: Counter[tuple[str, str]] = field(default_factory=Counter)
    refused: list[InputRefusedError] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    n_files: int = 0


def load_files(
    store: Store,
    files: Iterable[InputFile],
    *,
    received_ms: int,
    format: Format | None = None,
    kind: Kind | None = None,
    user_key: bytes | None = None,
    progress: Callable[[Path, int], None] = lambda path, position: None,
) -> LoadReport:
    """Add the rows of files to the store; adding a file twice changes nothing.

    If a file is refused in the middle, the rows of its earlier batches stay in the store. There are
    seven parameters because each option of `recsys ingest` is one.

    Parameters
    ----------
    store
        The store to add to.
    files
        What `recsys.ingest.detect.expand` yields.
    received_ms
        Current time in ms, stored with new rows; clicks that are later are rejected.
    format, kind
        Format of the files and kind of their rows; by default both are detected for each file.
    user_key
        Secret key that hashes user ids; the text of rejected rows is then not stored. By default
        ids are stored as they are.
    progress
        Called after each batch with the file and the number of its bytes read so far.

    Raises
    ------
    StoreError
        If the store cannot be written, or its user ids are hashed otherwise.
    """
    store.require_user_key(None if user_key is None else key_fingerprint(user_key))
    report = LoadReport()
    for file in files:
        path, shown_path = file.path, printable_path(str(file.path))
        if file.skipped:
            report.skipped.append((shown_path, file.skipped))
            continue
        report.n_files += 1
        try:
            read = reader_of(file, format)
            batches = (
                (
                    _hash_user_ids(
                        check(batch, received_ms=received_ms, path=shown_path), user_key
                    ),
                    batch.position,
                )
                for batch in read(path, kind)
            )
            for checked, position in _prefetch(batches):
                added = store.add(
                    checked.kind, checked.rows, checked.rejects, file=shown_path, at_ms=received_ms
                )
                for added_kind, counts in added.items():
                    report.added[added_kind] = report.added.get(added_kind, Added()) + counts
                report.rejected.update((r.reason, r.field) for r in checked.rejects)
                progress(path, position)
        except InputRefusedError as error:
            report.refused.append(error)
        # polars fails on column types that no such file should have; a disk may fail at any byte.
        except (*UNREADABLE, OSError) as error:
            report.refused.append(InputRefusedError(str(path), f"cannot be read: {error}"))
    return report


def _hash_user_ids(checked: Checked, user_key: bytes | None) -> Checked:
    """Return rows with hashed user ids, and rejects without text; the same rows without a key."""
    if user_key is None:
        return checked
    rows = checked.rows
    if "user_id" in rows.columns:
        user_ids = rows["user_id"].unique()
        hashes = pl.Series([hashed_user(id_, user_key) for id_ in user_ids], dtype=pl.String)
        rows = rows.with_columns(pl.col("user_id").replace_strict(user_ids, hashes))
    rejects = [dataclasses.replace(reject, raw="") for reject in checked.rejects]
    return dataclasses.replace(checked, rows=rows, rejects=rejects)


def _prefetch(items: Iterator[T]) -> Iterator[T]:
    """Yield items, computing the next one in a thread while the caller uses one."""
    with ThreadPoolExecutor(1) as thread:
        upcoming = thread.submit(next, items, None)
        while (item := upcoming.result()) is not None:
            upcoming = thread.submit(next, items, None)
            yield item
