"""Files into the store: reads, checks and adds, one batch at a time.

The only place where `ingest` and `store` meet. Memory stays constant: one batch is
being added while the next is read and checked.
"""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import polars as pl

from recsys.errors import InputRefusedError
from recsys.ingest.batches import UNREADABLE
from recsys.ingest.detect import READERS, Format, format_of
from recsys.ingest.validate import Checked, check
from recsys.pseudonym import fingerprint, hashed_user
from recsys.rows import Added, Kind
from recsys.store.database import Store

T = TypeVar("T")


@dataclass(slots=True)
class LoadReport:
    """What came of some files.

    Attributes
    ----------
    added
        Rows new, changed or already known, by kind.
    rejected
        Rejected rows by (kind of problem, field).
    refused
        Files refused whole, with the reason.
    n_files
        Files read.
    """

    added: dict[Kind, Added] = field(default_factory=dict)
    rejected: Counter[tuple[str, str]] = field(default_factory=Counter)
    refused: list[InputRefusedError] = field(default_factory=list)
    n_files: int = 0


def load_files(
    store: Store,
    files: Iterable[Path],
    *,
    received_ms: int,
    format: Format | None = None,
    kind: Kind | None = None,
    user_key: bytes | None = None,
    progress: Callable[[Path, int], None] = lambda path, position: None,
) -> LoadReport:
    """Add files to the store and return what came of them.

    Adding a file twice changes nothing. A file that is refused leaves what its
    earlier batches brought, all of it checked row by row.

    Parameters
    ----------
    store
        Where rows go.
    files
        Files, not folders (see `recsys.ingest.detect.expand`).
    received_ms
        The present, in ms; later clicks are rejected, and it dates the rows.
    format, kind
        What the files are; by default each is looked at.
    user_key
        Readers' ids are stored as hashes by this key, and of rejected rows no text.
    progress
        Called with a file and the bytes of it that are behind.
    """
    store.hash_with(None if user_key is None else fingerprint(user_key))
    report = LoadReport()
    for path in files:
        report.n_files += 1
        try:
            reader = READERS[format or format_of(path)]
            batches = (
                (
                    _hash_user_ids(check(batch, received_ms=received_ms, path=str(path)), user_key),
                    batch.position,
                )
                for batch in reader(path, kind)
            )
            for checked, position in _ahead(batches):
                added = store.add(
                    checked.kind, checked.rows, checked.rejects, file=str(path), at_ms=received_ms
                )
                for part, counts in added.items():
                    report.added[part] = report.added.get(part, Added()) + counts
                report.rejected.update((r.reason, r.field) for r in checked.rejects)
                progress(path, position)
        except InputRefusedError as error:
            report.refused.append(error)
        except UNREADABLE as error:  # columns of types that no file of this format has
            report.refused.append(InputRefusedError(str(path), f"cannot be read: {error}"))
    return report


def _hash_user_ids(checked: Checked, user_key: bytes | None) -> Checked:
    """Return rows whose readers only the holder of the key can name."""
    if user_key is None:
        return checked
    rows = checked.rows
    if "user_id" in rows.columns:
        ids = rows["user_id"].unique()
        hashes = pl.Series([hashed_user(id_, user_key) for id_ in ids], dtype=pl.String)
        rows = rows.with_columns(pl.col("user_id").replace_strict(ids, hashes))
    rejects = [dataclasses.replace(reject, raw="") for reject in checked.rejects]
    return dataclasses.replace(checked, rows=rows, rejects=rejects)


def _ahead(items: Iterator[T]) -> Iterator[T]:
    """Yield items; a thread makes the next one while one is used."""
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = thread.submit(next, items, None)
            yield item
