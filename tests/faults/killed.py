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


class Steps:
    """Counts steps, and dies at one."""

    def __init__(self, dies_at: int, folder: str) -> None:
        self.dies_at, self.folder, self.taken = dies_at, folder, 0

    def step(self) -> None:
        self.taken += 1
        if self.taken == self.dies_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_disk(self, event: str, arguments: tuple) -> None:
        if event in ("os.rename", "os.remove"):
            self.step()
        elif event == "open":
            path, _, flags = arguments
            writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if writes and isinstance(path, str) and os.path.abspath(path).startswith(self.folder):
                self.step()


def connections(steps: Steps) -> type[sqlite3.Connection]:
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
    from recsys.cli.main import main  # before any step is counted

    steps = Steps(int(sys.argv[1]), os.getcwd())
    sqlite3.connect = partial(sqlite3.connect, factory=connections(steps))
    sys.argv = ["recsys", *sys.argv[2:]]
    sys.addaudithook(steps.on_disk)
    try:
        main()
    finally:
        if not steps.dies_at:
            print(f"steps {steps.taken}", file=sys.stderr)
