"""Opening the file of a run, and saying what is damaged in it."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recsys.errors import ConfigError, SnapshotError
from recsys.published.signature import Contents, not_signed

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


class RunConnection(sqlite3.Connection):
    """A connection to the file of a run.

    Attributes
    ----------
    run_key
        The key by which the run must be signed; None if it need not be.
    signed
        What the signature covers, as it was when it was checked: the file may be written after
        that. None without a key.
    """

    run_key: bytes | None = None
    signed: Contents | None = None


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Raise a SnapshotError that says what is damaged where a file does not read as written."""
    try:
        yield
    except _DAMAGE as error:
        raise SnapshotError(f"{path}: damaged: {error}; `recsys rollback`") from error


def connect(path: Path, run_key: bytes | None = None) -> RunConnection:
    """Open a run read-only and immutable: it takes no locks and never changes.

    Parameters
    ----------
    path
        The file, named by the id of the run.
    run_key
        The key by which the run must be signed; None if it need not be. What is read of users
        later is checked by it too.

    Raises
    ------
    SnapshotError
        If it cannot be opened, is not signed by the key, or is another run than its name says.
    """
    try:
        conn = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro&immutable=1",
            uri=True,
            check_same_thread=False,
            factory=RunConnection,
        )
        # As https://www.sqlite.org/security.html advises for files that others may have written.
        conn.execute("PRAGMA trusted_schema = OFF")
        conn.execute("PRAGMA cell_size_check = ON")
        conn.execute("SELECT 1 FROM meta LIMIT 1")
        query = "SELECT type FROM sqlite_schema WHERE type NOT IN ('table', 'index') LIMIT 1"
        if (other := conn.execute(query).fetchone()) is not None:
            # A view can give rows without end.
            conn.close()
            raise SnapshotError(f"{path}: damaged: it has a {other[0]}; `recsys rollback`")
    except sqlite3.Error as error:
        raise SnapshotError(f"{path}: cannot be opened: {error}; `recsys rollback`?") from error
    if run_key is not None:
        try:
            _require_signature(conn, path, run_key)
        except SnapshotError:
            conn.close()
            raise
    return conn


def _require_signature(conn: RunConnection, path: Path, run_key: bytes) -> None:
    with reading(path):
        contents = Contents.of(conn)
        is_signed = contents.is_signed(run_key, path.stem)
    if not is_signed:
        raise not_signed(path, "`recsys nightly` publishes a signed run")
    conn.run_key, conn.signed = run_key, contents
