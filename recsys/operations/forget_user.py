"""Forget a user: delete them from the store and every run, then search the files for the id."""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from recsys.errors import InputRefusedError, NotPublishedError, StoreError, reason_of
from recsys.files import create_folder, locked, partial_of
from recsys.id_search import Found, IdSearch
from recsys.ingest import parquet
from recsys.ingest.batches import UNREADABLE
from recsys.ingest.blocks import read_chunks, read_start
from recsys.published import user_deletion
from recsys.rows import ROW, is_text
from recsys.store.database import Store

if TYPE_CHECKING:
    from polars._typing import PolarsDataType

_CHUNK_BYTES = 1 << 24
NOT_FOUND = Found(0, 0)


@dataclass(frozen=True, slots=True)
class ForgetReport:
    """What was deleted of a user, and what is left.

    Attributes
    ----------
    rows
        Deleted rows of the store, by table.
    runs
        Deleted entries of runs, by file: of the users, and of the bots that were left out.
    problems
        What may still hold the user, and why: runs that cannot be read, a store in use.
    left
        By file of the store and of the folder that has bytes of the id after all: how often.
    exports, event_files, searched
        The same, by file that still has the id: written by `recsys export`, `audience` or
        `preview`, read by `recsys ingest`, or named by the caller. They are left as they are.
    missing
        Exports and event files that are not there any more. Copies of them may be elsewhere.
    unsearched
        Files that cannot be searched, or not to their end, and why.
    other_folders
        Other folders that runs of the store were published to, and that are still there.
    """

    rows: dict[str, int]
    runs: dict[str, int]
    problems: list[str]
    left: dict[str, Found]
    exports: dict[str, Found]
    event_files: dict[str, Found]
    searched: dict[str, Found]
    missing: list[str]
    unsearched: list[str]
    other_folders: list[str]

    @property
    def is_found(self) -> bool:
        """Return whether the store or a run had the user.

        Rejected rows do not count: those of another user may contain the id.
        """
        return bool(self.runs) or self.rows["users"] > 0 or self.rows["audiences"] > 0


def forget_user(
    store: Store,
    folder: Path,
    user_id: str,
    *,
    own_id: str | None = None,
    also_search: Sequence[Path] = (),
    run_key: bytes | None = None,
) -> ForgetReport:
    """Delete a user from a store and from every run of a folder, then search for the id.

    The factors of articles that the user clicked stay as they are until the next nightly run.

    Parameters
    ----------
    store, folder
        The store, and the folder of published runs.
    user_id
        The id as the store spells it (see `recsys.ids.spelled_id`); a hash in a store of hashes.
    own_id
        In a store of hashes: the id itself, which files outside of the store have.
    also_search
        More files, and folders of files, that may hold the id.
    run_key
        The key that signs the runs; a signed run keeps the user without it, which is a problem.

    Raises
    ------
    ValueError
        If the id is empty or no Unicode text.
    NotPublishedError
        If there is no such folder, but runs of this store were published: to another one.
    RunActiveError
        If a run is active in the folder: it might bring the user back.
    """
    if not user_id.strip() or not is_text(user_id + (own_id or "")):
        raise ValueError("the id of a user must be Unicode text that is not empty")
    known = {run["report"].get("folder") for run in store.runs()} - {None, ""}
    if not folder.is_dir() and known:
        raise NotPublishedError(
            f"{folder}: there is no such folder; runs of this store were published to"
            f" {', '.join(sorted(known))}"
        )
    create_folder(folder)
    search = IdSearch([user_id.strip()] if own_id is None else [user_id, own_id])
    with locked(folder):
        rows = store.deletion.delete_user(user_id, search)
        runs, problems = user_deletion.forget(folder, user_id, run_key)
    try:
        store.deletion.overwrite_deleted()
    except StoreError as error:
        problems.append(str(error))
    files = [*store.path.parent.glob(f"{store.path.name}*"), *folder.iterdir()]
    own = {str(path): _count_bytes(search, path) for path in files if path.is_file()}
    exported = [Path(path) for path in user_deletion.exports(folder)]
    unfinished = [partial_of(path) for path in exported]  # of commands that were killed
    ingested = [Path(path) for path in store.event_files()]
    unsearched: dict[str, None] = {}
    named = [path for given in also_search for path in _files_of(given, unsearched)]
    return ForgetReport(
        rows=rows,
        runs=runs,
        problems=problems,
        left={path: found for path, found in own.items() if found != NOT_FOUND},
        exports=_found(search, exported + unfinished, unsearched),
        event_files=_found(search, ingested, unsearched),
        searched=_found(search, named, unsearched),
        missing=[str(path) for path in (*exported, *ingested) if not os.path.exists(path)],
        unsearched=list(unsearched),
        other_folders=[
            path for path in sorted(known) if os.path.isdir(path) and not folder.samefile(path)
        ],
    )


def _files_of(given: Path, unsearched: dict[str, None]) -> Iterator[Path]:
    """Yield a file, or the files below a folder; enter the folders that are not looked into."""
    if not os.path.isdir(given):
        yield given
        return

    def enter(error: OSError) -> None:
        unsearched[f"{error.filename}: {reason_of(error)}"] = None

    for parent, folders, files in os.walk(given, onerror=enter):
        folders.sort()
        for path in (Path(parent, name) for name in folders):
            if path.is_symlink():  # it may lead to a folder above, without end
                unsearched[f"{path}: a link to a folder; name that folder by --search"] = None
        yield from (Path(parent, name) for name in sorted(files))


def _found(
    search: IdSearch, paths: Sequence[Path], unsearched: dict[str, None]
) -> dict[str, Found]:
    """Return how often the id is in those files that have it; enter those without an answer."""
    counts: dict[str, Found] = {}
    for path in dict.fromkeys(paths):
        try:
            if stat.S_ISREG(path.stat().st_mode):
                counts[str(path)] = _count(search, path, unsearched)
            else:  # reading a pipe or a device may never end
                unsearched[f"{path}: not a regular file"] = None
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            unsearched[f"{path}: {reason_of(error)}"] = None
    return {path: found for path, found in counts.items() if found != NOT_FOUND}


def _count(search: IdSearch, path: Path, unsearched: dict[str, None]) -> Found:
    """Return how often the id is in the content of a file, which may be compressed or a table."""

    def texts() -> Iterator[bytes]:
        for chunk in read_chunks(path):
            yield chunk.data
            if chunk.problem:
                unsearched[f"{path}: {chunk.problem}"] = None

    try:
        if read_start(path, len(parquet.MAGIC)) == parquet.MAGIC:
            frames = parquet.read_frames(path, parquet.column_names(path))
            return search.count(map(_text_of, frames))
        return search.count(texts())
    except (InputRefusedError, RecursionError, *UNREADABLE) as error:
        # Neither a table nor a text: its bytes are all there is.
        found = _count_bytes(search, path)
        if found == NOT_FOUND:
            is_refused = isinstance(error, InputRefusedError)
            unsearched[str(error) if is_refused else f"{path}: {parquet.first_line(error)}"] = None
        return found


def _count_bytes(search: IdSearch, path: Path) -> Found:
    with path.open("rb") as file:
        return search.count(iter(lambda: file.read(_CHUNK_BYTES), b""))


def _text_of(frame: pl.DataFrame) -> bytes:
    """Return all values of a table as text; bytes, which JSON lacks, as they are."""
    columns = frame.drop(ROW).get_columns()
    plain = [column for column in columns if not _has_bytes(column.dtype)]
    texts = [pl.DataFrame(plain).write_ndjson().encode("utf-8")]
    for column in columns:
        if _has_bytes(column.dtype):
            texts += _leaves(column)
    return b"\n".join(texts)


def _has_bytes(dtype: "PolarsDataType") -> bool:
    """Return whether values of a type are bytes, or have some within."""
    if isinstance(dtype, pl.List | pl.Array):
        return _has_bytes(dtype.inner)
    if isinstance(dtype, pl.Struct):
        return any(_has_bytes(field.dtype) for field in dtype.fields)
    return isinstance(dtype, pl.Binary) or dtype.is_nested()  # a map


def _leaves(column: pl.Series) -> Iterator[bytes]:
    """Yield the values of a column, of all that is within lists and structs too."""
    if isinstance(column.dtype, pl.List | pl.Array):
        yield from _leaves(column.explode())
    elif isinstance(column.dtype, pl.Struct):
        for field in column.struct.fields:
            yield from _leaves(column.struct.field(field))
    elif column.dtype.is_nested():  # a map, which earlier versions of polars read as a list
        yield from _leaves(column.map.entries())
    elif isinstance(column.dtype, pl.Binary):
        yield from column.drop_nulls()
    else:
        yield pl.DataFrame([column]).write_ndjson().encode("utf-8")
