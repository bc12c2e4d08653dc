"""Opening the file of a run, and saying what is damaged in it."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recsys.errors import ConfigError, SnapshotError

# What reading a file raises whose content is not what was written. A run is untrusted input.
_DAMAGE = (
    sqlite3.Error,
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
    ConfigError,
)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Raise a SnapshotError that says what is damaged where a file does not read as written."""
    try:
        yield
    except _DAMAGE as error:
        raise SnapshotError(f"{path}: damaged: {error}; `recsys rollback`") from error


def connect(path: Path) -> sqlite3.Connection:
    """Open a run read-only and immutable: it takes no locks and never changes.

    Raises
    ------
    SnapshotError
        If it cannot be opened.
    """
    try:
        conn = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True, check_same_thread=False
        )
        conn.execute("SELECT 1 FROM meta LIMIT 1")
    except sqlite3.Error as error:
        raise SnapshotError(f"{path}: cannot be opened: {error}; `recsys rollback`?") from error
    return conn
