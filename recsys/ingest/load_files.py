"""Load files into the store: read, check and add their rows, one batch at a time.

Memory is bounded by two batches, because one batch is added while the next is read and checked.
"""

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar

import polars as pl

from recsys.config import IngestConfig
from recsys.errors import InputRefusedError, printable_path, reason_of
from recsys.ingest import mapped
from recsys.ingest.batches import UNREADABLE, Batch
from recsys.ingest.detect import (
    NAMED_READERS,
    PATTERN_READERS,
    READERS,
    Format,
    InputFile,
    format_of,
    require_file,
)
from recsys.ingest.gather import OTHER_REASON, count_reason, is_apart
from recsys.ingest.validate import Checked, check
from recsys.pseudonym import hashed_user, key_fingerprint
from recsys.rows import ANONYMOUS, FIELDS, Added, Kind, Reject, is_anonymous
from recsys.store.database import Store

T = TypeVar("T")
NO_MAPPING = IngestConfig()
MAX_SAMPLES = 3  # rejected rows of a kind that the report shows; the store keeps them all
MAX_SAMPLE_LENGTH = 200  # characters
FEW_ROWS = 0.5  # of a file's lines; with fewer rows, a quote may have swallowed lines
FEW_LINES = 20  # a file of fewer lines is not suspicious
VECTOR_LEFT_OUT = (
    "vector",
    "not of the model or length of the other vectors of this store, which"
    " `recsys embed --remove` deletes",
)


@dataclass(slots=True)
class LoadReport:
    """Counts of the rows that some files held.

    Attributes
    ----------
    added
        Numbers of new, changed, known and withdrawn rows, by kind.
    rejected
        Number of rejected rows, by (reason, field); beyond `MAX_REASONS`, by `OTHER_REASON`.
    samples
        Up to `MAX_SAMPLES` rejected rows of each (reason, field), as "file, row 7: text".
    ignored
        Number of entries that hold no row of ours, by (kind of entry, reason), and of values that
        were left out of their rows, by (field, problem).
    n_naive
        Number of times without an offset that were taken as UTC; see `IngestConfig.timezone`.
    unknown_columns
        Names of columns of JSON, CSV and Parquet files that hold no field, in order.
    refused
        One error for each file that was refused as a whole.
    without_rows
        The files that were read to their end and gave no row.
    few_rows
        Path, number of rows and rejects, and number of lines of each text file that gave far fewer
        rows than it has lines, without texts of several lines that explain it.
    skipped
        Path and reason of each file of a folder that was not read.
    n_files
        Number of files read or refused.
    """

    added: dict[Kind, Added] = field(default_factory=dict)
    rejected: Counter[tuple[str, str]] = field(default_factory=Counter)
    samples: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    ignored: Counter[tuple[str, str]] = field(default_factory=Counter)
    n_naive: int = 0
    unknown_columns: dict[str, None] = field(default_factory=dict)
    refused: list[InputRefusedError] = field(default_factory=list)
    without_rows: list[str] = field(default_factory=list)
    few_rows: list[tuple[str, int, int]] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    n_files: int = 0

    def count_rejects(self, file: str, rejects: Sequence[Reject]) -> None:
        """Count rejected rows of a file, and keep some as samples."""
        for reject in rejects:
            key = (reject.reason, reject.field)
            if not is_apart(self.rejected, key):
                key = (OTHER_REASON, "")
            self.rejected[key] += 1
            samples = self.samples.setdefault(key, [])
            if len(samples) < MAX_SAMPLES:
                samples.append(f"{file}, row {reject.row}: {reject.raw[:MAX_SAMPLE_LENGTH]}")

    def count_batch(self, file: str, checked: Checked, added: Mapping[Kind, Added]) -> None:
        """Count the rows of a batch: what the check found, and what the store then did."""
        for kind, counts in added.items():
            self.added[kind] = self.added.get(kind, Added()) + counts
            if counts.vectors_left_out:
                self.ignored[VECTOR_LEFT_OUT] += counts.vectors_left_out
        self.count_rejects(file, checked.rejects)
        self.count_ignored(checked.ignored)
        self.n_naive += checked.n_naive

    def count_ignored(self, ignored: Mapping[tuple[str, str], int]) -> None:
        """Count ignored entries and values."""
        for key, n in ignored.items():
            count_reason(self.ignored, key, n)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as values that JSON can hold."""
        return {
            "files": self.n_files,
            "rows": {kind: dataclasses.asdict(added) for kind, added in self.added.items()},
            "rejected": [
                {
                    "field": field,
                    "reason": reason,
                    "rows": n,
                    "samples": self.samples[reason, field],
                }
                for (reason, field), n in self.rejected.most_common()
            ],
            "ignored": [
                {"entry": entry, "reason": reason, "entries": n}
                for (entry, reason), n in self.ignored.most_common()
            ],
            "times_without_offset": self.n_naive,
            "unknown_columns": list(self.unknown_columns),
            "refused": [str(error) for error in self.refused],
            "without_rows": self.without_rows,
            "few_rows": [
                {"file": path, "rows": n_rows, "lines": n_lines}
                for path, n_rows, n_lines in self.few_rows
            ],
            "skipped": [{"file": path, "reason": reason} for path, reason in self.skipped],
        }


def load_files(
    store: Store,
    files: Iterable[InputFile],
    *,
    received_ms: int,
    format: Format | None = None,
    kind: Kind | None = None,
    user_key: bytes | None = None,
    config: IngestConfig = NO_MAPPING,
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
    config
        The zone of times without an offset, and the mappings of columns with other names.
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
        path, name = file.path, printable_path(str(file.path))
        if file.skipped:
            report.skipped.append((name, file.skipped))
            continue
        report.n_files += 1
        try:
            found, read_batches = reading_of(file, format, kind, config)
            last_digest = store.read_file_digest(name)
            is_known = last_digest is not None and last_digest == _digest(
                path, format, kind, config
            )
            unknown = mapped.unknown_columns(mapped.first_columns(path, found), config)
            report.unknown_columns |= dict.fromkeys(unknown)
            batches = (
                (
                    _hash_user_ids(
                        check(batch, received_ms=received_ms, path=name, zone=config.zone()),
                        user_key,
                    ),
                    batch,
                )
                for batch in read_batches
            )
            n_rows: Counter[Kind] = Counter()
            n_left_out_before = report.ignored[VECTOR_LEFT_OUT]
            n_found = n_lines = 0  # in batches whose lines are rows
            is_noted = False
            for checked, batch in _prefetch(batches):
                if checked.kind != "articles" and not is_noted:
                    store.put_event_file(printable_path(str(path.absolute())), received_ms)
                    is_noted = True
                added = store.add(
                    checked.kind,
                    checked.rows,
                    checked.rejects,
                    file=name,
                    at_ms=received_ms,
                    is_known=is_known,
                )
                n_rows[checked.kind] += len(checked.rows)
                if not _has_long_texts(batch):
                    n_found += len(checked.rows) + len(checked.rejects)
                    n_lines += batch.n_lines
                report.count_batch(name, checked, added)
                report.count_ignored(batch.ignored)
                progress(path, batch.position)
            if not n_rows.total():
                report.without_rows.append(name)
            if n_lines > FEW_LINES and n_found < FEW_ROWS * n_lines:
                report.few_rows.append((name, n_found, n_lines))
            # A file with vectors that were left out is read again: the others may be deleted.
            n_left_out = report.ignored[VECTOR_LEFT_OUT] - n_left_out_before
            if n_rows["articles"] and not is_known and not n_left_out:
                store.put_read_file(name, _digest(path, format, kind, config))
        except InputRefusedError as error:
            report.refused.append(error)
        # polars fails on column types that no such file should have; a disk may fail at any byte.
        except (*UNREADABLE, OSError) as error:
            report.refused.append(InputRefusedError(name, f"cannot be read: {reason_of(error)}"))
    return report


def reading_of(
    file: InputFile, format: Format | None, kind: Kind | None, config: IngestConfig
) -> tuple[Format, Iterator[Batch]]:
    """Return the format of a file, and its batches as that format, or a mapping, reads them.

    Parameters
    ----------
    file
        The file.
    format, kind, config
        See `load_files`.

    Raises
    ------
    InputRefusedError
        If the format cannot be found; reading the batches may raise it too.
    """
    path = file.path
    require_file(path)
    found = format or format_of(path)
    if found in mapped.TABLES and any(config.mapping(of) for of in FIELDS):
        table = mapped.TABLES[found]
        mapped_kind = mapped.kind_of(path, table, config, kind)
        if mapped_kind is not None:
            return found, mapped.read(path, table, mapped_kind, config.mapping(mapped_kind))
    if config.article_pattern and found in PATTERN_READERS:
        return found, PATTERN_READERS[found](path, kind, config.article_pattern)
    if found in NAMED_READERS:
        return found, NAMED_READERS[found](path, kind, file.name)
    return found, READERS[found](path, kind)


def _has_long_texts(batch: Batch) -> bool:
    """Return whether a batch has far fewer rows than lines because its texts have several lines."""
    n_found = len(batch.frame) + len(batch.rejects)
    return n_found < FEW_ROWS * batch.n_lines and any(
        column.dtype == pl.String and column.str.contains("\n", literal=True).any()
        for column in batch.frame
    )


def _digest(path: Path, *options: object) -> str:
    """Return a digest of a file's content and of the options with which it is read."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: blake2b(digest_size=16))
    digest.update(repr(options).encode())
    return digest.hexdigest()


def _hash_user_ids(checked: Checked, user_key: bytes | None) -> Checked:
    """Return rows with hashed user ids, and rejects without text; the same rows without a key."""
    if user_key is None:
        return checked
    rows = checked.rows
    if "user_id" in rows.columns:
        user_ids = rows["user_id"].unique()
        hashes = pl.Series([_hashed(id_, user_key) for id_ in user_ids], dtype=pl.String)
        rows = rows.with_columns(pl.col("user_id").replace_strict(user_ids, hashes))
    rejects = [dataclasses.replace(reject, raw="") for reject in checked.rejects]
    return dataclasses.replace(checked, rows=rows, rejects=rejects)


def _hashed(user_id: str, key: bytes) -> str:
    """Hash the id of a user or of a session; who is anonymous can still be seen."""
    if not is_anonymous(user_id):
        return hashed_user(user_id, key)
    session_id = user_id.removeprefix(ANONYMOUS)
    return ANONYMOUS + (hashed_user(session_id, key) if session_id else "")


def _prefetch(items: Iterator[T]) -> Iterator[T]:
    """Yield items, computing the next one in a thread while the caller uses one."""
    with ThreadPoolExecutor(1) as thread:
        upcoming = thread.submit(next, items, None)
        while (item := upcoming.result()) is not None:
            upcoming = thread.submit(next, items, None)
            yield item
