"""Files that nobody meets half written, and files that hold readers."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from recsys.errors import RunActiveError
from recsys.kernels.files import version


@contextmanager
def atomic_replacement(path: Path) -> Iterator[Path]:
    """Give a path to write to, renamed to `path` at the end: nobody meets half a file."""
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
    """Make an empty file that its owner alone may read, unless there is a file.

    What is written to it, and SQLite's files beside it, keep that.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a published folder against other runs; the system lets go if the process dies.

    Raises
    ------
    RunActiveError
        If another process holds it.
    """
    with (folder / ".lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunActiveError(f"{folder}: another run is active here") from error
        yield


def fsync_path(path: Path) -> None:
    """Wait until a file or a folder's list of names is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def version_of(path: str | Path) -> tuple[int, int] | None:
    """Return what tells one version of a file from the next, None where there is none."""
    return version(os.fsencode(path))
