"""Run a recsys command that dies at one of its steps: python killed.py STEP ARGUMENTS...

A step is what changes something on the disk: a file opened for writing, renamed or deleted,
a statement of SQLite that writes, the moments before and after a commit. At step 0 it lives,
and says how many steps there are.
"""

import os
import signal
import sqlite3
import sys
from functools import partial

WRITES = ("BEGIN", "COMMIT", "INSERT", "UPDATE", "DELETE", "CREATE", "VACUUM", "ALTER")
HERE = os.getcwd()
dies_at, taken = int(sys.argv[1]), 0


def step() -> None:
    global taken
    taken += 1
    if taken == dies_at:
        os.kill(os.getpid(), signal.SIGKILL)


def on_disk(event: str, arguments: tuple) -> None:
    if event in ("os.rename", "os.remove"):
        step()
    elif event == "open":
        path, mode, flags = arguments
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if writes and isinstance(path, str) and os.path.abspath(path).startswith(HERE):
            step()


class Connection(sqlite3.Connection):
    def execute(self, sql, *arguments):
        is_write = sql.lstrip().upper().startswith(WRITES)
        if is_write:
            step()
        found = super().execute(sql, *arguments)
        if is_write and sql.startswith(("COMMIT", "VACUUM")):
            step()
        return found

    def executemany(self, sql, rows):
        step()
        return super().executemany(sql, rows)


sqlite3.connect = partial(sqlite3.connect, factory=Connection)
sys.addaudithook(on_disk)
sys.argv = ["recsys", *sys.argv[2:]]
from recsys.cli import main  # noqa: E402 - imports are no steps

taken = 0
try:
    main()
finally:
    if not dies_at:
        print(f"steps {taken}", file=sys.stderr)
