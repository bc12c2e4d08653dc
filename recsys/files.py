"""Write files atomically and durably, keep them private, lock a folder, detect changed files.

What these functions have written survives a machine that loses power: the content of a file is on
the disk before its name is, and the name is on the disk before the function returns.

References
----------
Pillai et al., "All File Systems Are Not Created Equal: On the Complexity of Crafting
Crash-Consistent Applications", OSDI 2014.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from recsys.errors import RunActiveError
from recsys.kernels.files import version


@contextmanager
def atomic_replacement(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to, and rename it to `path` when the block ends.

    Other processes see the old file or the new one, never a part of the new one, and so does a
    machine that lost power. If the block raises, `path` keeps its old content, and what was
    written is deleted.
    """
    partial = partial_of(path)
    try:
        yield partial
        replace_durably(partial, path)
    except BaseException:
        with suppress(OSError):  # the error of the block says more
            partial.unlink(missing_ok=True)
        raise


def partial_of(path: Path) -> Path:
    """Return where `atomic_replacement` writes what is to be at `path`."""
    return path.parent / f".{path.name}.partial"


def replace_durably(written: Path, path: Path) -> None:
    """Rename a written file to a path of the same folder; return when both are on the disk."""
    fsync_path(written)
    os.replace(written, path)
    fsync_path(path.parent)


def write_text(path: Path, text: str) -> None:
    """Replace a small text file atomically, and wait until it is on the disk under its name."""
    with atomic_replacement(path) as partial:
        partial.write_text(text, "utf-8")


def create_folder(path: Path) -> None:
    """Create a folder and the parents that it lacks, each of which is on the disk at the end.

    The name of a folder that is there already is written to the disk too, if its parent allows:
    the process that made it may have been killed before it did that.
    """
    if path.is_dir():
        with suppress(OSError):  # this user may list nothing there, or it is no folder of a disk
            fsync_path(path.parent)
        return
    create_folder(path.parent)
    path.mkdir(exist_ok=True)
    fsync_path(path.parent)


def create_private_file(path: Path) -> None:
    """Create an empty file with mode 0600, which only its owner may read; keep an existing one.

    Content written later keeps that mode, and so do the files that SQLite creates beside it.
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
    # It waits for a moment, in which `is_locked` of another process may hold the file.
    lock = FileLock(folder / ".lock", timeout=0.2)
    try:
        lock.acquire()
    except Timeout as error:
        raise RunActiveError(f"{folder}: another run is active here; wait until it ends") from error
    try:
        yield
    finally:
        lock.release()


def is_locked(folder: Path) -> bool:
    """Return whether another process holds the lock of a folder; False where no lock can be read.

    The folder may be read-only.
    """
    try:
        import fcntl
    except ImportError:  # Windows has none
        return False
    try:
        handle = os.open(folder / ".lock", os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def fsync_path(path: Path) -> None:
    """Wait until a file's content, or a folder's list of names, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def version_of(path: str | Path) -> tuple[int, int] | None:
    """Return a value that changes whenever the file is replaced; None if there is no file."""
    return version(os.fsencode(path))
