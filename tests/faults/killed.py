"""Run a recsys command and kill it at one of its steps: python killed.py STEP ARGUMENTS...

A step is a moment when the command changes the disk: it opens a file for writing, renames or
deletes one, or runs a statement of SQLite that writes; there is one before each commit and one
after it. At step 0 the command is not killed, and the number of its steps is printed to standard
error.
"""

import os
import signal
import sqlite3
import sys
from functools import partial

WRITES = ("BEGIN", "COMMIT", "INSERT", "UPDATE", "DELETE", "CREATE", "VACUUM", "ALTER")


class Steps:
    """Counts the steps of this process, and kills it at one of them."""

    def __init__(self, dies_at: int, folder: str) -> None:
        self.dies_at, self.folder, self.taken = dies_at, folder, 0

    def step(self) -> None:
        """Count one step."""
        self.taken += 1
        if self.taken == self.dies_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_disk(self, event: str, arguments: tuple) -> None:
        """Count the step of an audit event, if it is one."""
        if event in ("os.rename", "os.remove"):
            self.step()
        elif event == "open":
            path, _, flags = arguments
            writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if writes and isinstance(path, str) and os.path.abspath(path).startswith(self.folder):
                self.step()


def connections(steps: Steps) -> type[sqlite3.Connection]:
    """Return a class of connections whose writing statements are steps."""

    class Connection(sqlite3.Connection):
        def execute(self, sql, *arguments):
            is_write = sql.lstrip().upper().startswith(WRITES)
            if is_write:
                steps.step()
            found = super().execute(sql, *arguments)
            if is_write and sql.startswith(("COMMIT", "VACUUM")):
                steps.step()
            return found

        def executemany(self, sql, rows):
            steps.step()
            return super().executemany(sql, rows)

    return Connection


if __name__ == "__main__":
    from recsys.cli.main import main  # imported before steps are counted

    steps = Steps(int(sys.argv[1]), os.getcwd())
    sqlite3.connect = partial(sqlite3.connect, factory=connections(steps))
    sys.argv = ["recsys", *sys.argv[2:]]
    sys.addaudithook(steps.on_disk)
    try:
        main()
    finally:
        if not steps.dies_at:
            print(f"steps {steps.taken}", file=sys.stderr)
