"""What an error is as one line and as an exit status."""

import sqlite3

from recsys.errors import HeldBackError, InputRefusedError, RecsysError, RunActiveError

LIBGOMP = "libgomp.so.1"


def status_of(error: BaseException) -> int | None:
    """Return the exit status of an error; None for one that is a bug and keeps its traceback."""
    if isinstance(error, HeldBackError):
        return 3
    if isinstance(error, RunActiveError):
        return 4
    if isinstance(error, InputRefusedError):
        return 2
    is_named = isinstance(error, RecsysError | OSError | sqlite3.Error | MemoryError | ImportError)
    return 1 if is_named else None


def error_text(error: BaseException) -> str:
    """Return an error as one line that names the problem."""
    text = str(error) or type(error).__name__
    if isinstance(error, ImportError):
        if LIBGOMP in text:
            return (
                f"the system library {LIBGOMP} is missing, which implicit needs;"
                " install it (Debian: apt-get install libgomp1)"
            )
        return f"a package cannot be imported: {text}"
    return text
