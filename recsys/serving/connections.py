"""Connections to the files of runs: threads take turns with them, and no fork takes them along.

A process may fork after a run was opened, as `gunicorn --preload` does. The child has only the
thread that forked, so a lock that another thread held, here or inside SQLite, would stay locked in
the child for good; and SQLite forbids the use of a connection on both sides of a fork. Therefore a
fork waits until no thread uses SQLite for this package, and idle connections are closed before it.

References
----------
SQLite, "How To Corrupt An SQLite Database File", section 2.6, "Carrying an open database
connection across a fork()".
"""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from weakref import WeakSet

from recsys.published.connection import RunConnection, connect

Connections = list[tuple[RunConnection, Path]]


class SqliteUse:
    """Counts the threads that use SQLite, as a context manager; a fork waits until there are none.

    Attributes
    ----------
    lock
        Guards all that follows, and what the pools hold.
    n_using
        The count.
    pools
        All pools of connections.
    turns
        All turns, which are free in a child.
    """

    def __init__(self) -> None:
        self.lock, self.n_using = threading.Lock(), 0
        self._is_zero, self._n_forking = threading.Condition(self.lock), 0
        self.pools: WeakSet[ConnectionPool] = WeakSet()
        self.turns: WeakSet[Turn] = WeakSet()

    def __enter__(self) -> None:
        """Count a thread."""
        with self.lock:
            self.n_using += 1

    def __exit__(self, *_: object) -> None:
        """Count it no longer."""
        with self.lock:
            self.leave()

    def leave(self) -> None:
        """Count one thread less; the caller holds the lock."""
        self.n_using -= 1
        if self._n_forking and not self.n_using:
            self._is_zero.notify_all()

    def before_fork(self) -> None:
        """Wait until no thread uses SQLite, close idle connections, and keep threads waiting."""
        self.lock.acquire()
        self._n_forking += 1
        while self.n_using:
            self._is_zero.wait()
        self._n_forking -= 1
        for pool in self.pools:
            pool.close_idle()

    def after_fork_in_parent(self) -> None:
        """Let threads go on."""
        self.lock.release()

    def after_fork_in_child(self) -> None:
        """Begin with locks that no thread of the parent holds, and with no thread that counts.

        A server written in C, such as uWSGI, forks without `before_fork`.
        """
        self.lock, self.n_using, self._n_forking = threading.Lock(), 0, 0
        self._is_zero = threading.Condition(self.lock)
        for turn in self.turns:
            turn.free()


SQLITE_USE = SqliteUse()
if hasattr(os, "register_at_fork"):  # not on Windows, where no process forks
    os.register_at_fork(
        before=SQLITE_USE.before_fork,
        after_in_parent=SQLITE_USE.after_fork_in_parent,
        after_in_child=SQLITE_USE.after_fork_in_child,
    )


class Turn:
    """Work that one thread does while the others go on without it.

    In a child no thread does it, whatever a thread of the parent did when it forked.
    """

    def __init__(self) -> None:
        self.free()
        with SQLITE_USE.lock:
            SQLITE_USE.turns.add(self)

    def free(self) -> None:
        """Let any thread take the turn."""
        self._lock = threading.Lock()

    @contextmanager
    def taken(self) -> Iterator[bool]:
        """Take the turn until the end of the block; yield False if another thread has it."""
        lock = self._lock
        is_taken = lock.acquire(blocking=False)
        try:
            yield is_taken
        finally:
            if is_taken:
                lock.release()


class ConnectionPool:
    """Connections to the files of one run. An idle thread keeps none: they wait here.

    Parameters
    ----------
    paths
        The run's file and, for a refresh, that of its base run.
    run_key
        The key by which they must be signed; None if they need not be.
    """

    def __init__(self, paths: Sequence[Path], run_key: bytes | None = None) -> None:
        self._paths, self._run_key = paths, run_key
        self._idle: list[Connections] = []
        self._is_retired = False
        with SQLITE_USE.lock:
            SQLITE_USE.pools.add(self)

    @contextmanager
    def connected(self) -> Iterator[Connections]:
        """Give the caller a connection to each file.

        Raises
        ------
        SnapshotError
            If a file cannot be opened.
        """
        with SQLITE_USE.lock:
            SQLITE_USE.n_using += 1
            conns = self._idle.pop() if self._idle else None
        try:
            if conns is None:
                conns = [(connect(path, self._run_key), path) for path in self._paths]
            yield conns
        finally:
            with SQLITE_USE.lock:
                if conns is not None:
                    self._idle.append(conns)
                if self._is_retired:
                    self.close_idle()
                SQLITE_USE.leave()

    def retire(self) -> None:
        """Close the connections, those in use when their callers are done with them."""
        with SQLITE_USE.lock:
            self._is_retired = True
            self.close_idle()

    def close_idle(self) -> None:
        """Close the connections that are not in use; the caller holds `SQLITE_USE.lock`."""
        for conns in self._idle:
            for conn, _ in conns:
                conn.close()
        self._idle.clear()
