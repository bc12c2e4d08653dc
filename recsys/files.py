"""Files that are never read half written, files that hold user ids, and locks."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from recsys.errors import RunActiveError
from recsys.kernels.files import version


@contextmanager
def atomic_replacement(path: Path) -> Iterator[Path]:
    """Give a path to write to; it is renamed to `path` at the end, so no process reads half."""
    partial = path.with_name(f".{path.name}.partial")
    yield partial
    os.replace(partial, path)


def write_text(path: Path, text: str) -> None:
    """Write a small file whole, and wait until it is on the disk under its name."""
    with atomic_replacement(path) as partial:
        partial.write_text(text, "utf-8")
        fsync_path(partial)
    fsync_path(path.parent)


def make_private(path: Path) -> None:
    """Make an empty file that only its owner may read, unless the file exists.

    The file keeps that permission when it is written to, and SQLite's files beside it take it.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a published folder against other runs; the system lets go if the process dies.

    The lock is a file of the `filelock` package, which has one for Windows, macOS and Linux;
    the tests run on Linux.

    Raises
    ------
    RunActiveError
        If another process holds the folder.
    """
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise RunActiveError(f"{folder}: another run is active here; wait until it ends") from error
    try:
        yield
    finally:
        lock.release()


def fsync_path(path: Path) -> None:
    """Wait until a file, or the list of names in a folder, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def version_of(path: str | Path) -> tuple[int, int] | None:
    """Return a number pair that changes whenever a file does; None if there is no file."""
    return version(os.fsencode(path))
