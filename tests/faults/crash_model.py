"""What a machine that lost power may find on its disk: a replay of the writes of a command.

A command is run with `trace_writes.c`, which logs what it writes below a folder. `Disk` replays the
log and knows at each entry what is certain to be on the disk, and what is only in the memory of
the system. The rules are the weakest that POSIX allows, so no file system is worse:

- Bytes written to a file, and its length, are certain after the file was synced. Before that, each
  write may be on the disk or not, whatever the order, and one may be there in part: up to a border
  of 512 bytes, the sector that a disk writes whole.
- A name (of a new file or folder, renamed or deleted) is certain after its folder was synced.
  Before that, each change of a name may be on the disk or not, whatever the order. To sync a file
  does nothing for its name. A rename happens whole or not at all.

Between two syncs nothing becomes certain, so a crash before the second may leave all that one in
between may leave. Therefore it is enough to crash before each sync, and at the end.
"""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator, Sequence
from copy import copy, deepcopy
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

SECTOR = 512  # bytes
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Entry:
    """An entry of the log: its letter (see `trace_writes.c`), its fields, the bytes of a write."""

    what: str
    fields: tuple[str, ...]
    data: bytes = b""


@dataclass
class File:
    """A file: what is certain, and the writes since, each (offset, bytes) or (length, None)."""

    content: bytes = b""
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)
    is_folder: bool = False


@dataclass(frozen=True)
class Change:
    """A change of names that is not certain yet: each path gets a file, a folder, or nothing."""

    names: tuple[tuple[str, File | None], ...]

    @property
    def folder(self) -> str:
        """Return the folder in which the names are."""
        return os.path.dirname(self.names[0][0])


def compiled(to: Path) -> Path | None:
    """Compile the library that traces writes; None where it cannot be compiled or loaded."""
    library = to / "trace_writes.so"
    command = [sys.executable, "-m", "ziglang", "cc", "-O1", "-shared", "-fPIC", "-o", library]
    if not sys.platform.startswith("linux"):
        return None
    if subprocess.run([*command, HERE / "trace_writes.c"], check=False).returncode:
        return None
    probe = to / "probe"
    probe.mkdir()
    code = "import os, sys; os.mkdir(sys.argv[1])"
    log = traced(library, probe, [sys.executable, "-c", code, str(probe / "made")])
    return library if [entry.what for entry in log] == ["M"] else None


def traced(
    library: Path, folder: Path, command: Sequence[str], *, dies_at: int | None = None
) -> list[Entry]:
    """Run a command that must succeed; return what it wrote below a folder.

    With `dies_at` it is killed before that one of its syncs, counted from 1.
    """
    log = folder.parent / f"{folder.name}.log"
    log.unlink(missing_ok=True)
    names = {"LD_PRELOAD": library, "TRACE_FOLDER": folder, "TRACE_LOG": log}
    names |= {} if dies_at is None else {"TRACE_DIES_AT": dies_at}
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {name: str(path) for name, path in names.items()},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == (0 if dies_at is None else -signal.SIGKILL), done
    return list(entries(log.read_bytes())) if log.exists() else []


def entries(log: bytes) -> Iterator[Entry]:
    """Yield the entries of a log."""
    start = 0
    while start < len(log):
        end = log.index(b"\n", start)
        what, *fields = log[start:end].decode().split("\t")
        start = end + 1
        n_bytes = int(fields[2]) if what == "W" else 0
        yield Entry(what, tuple(fields), log[start : start + n_bytes])
        start += n_bytes


def points(log: Sequence[Entry]) -> list[int]:
    """Return the numbers of entries before which to crash: the syncs; and the end of the log."""
    return [i for i, entry in enumerate(log) if entry.what in "SD"] + [len(log)]


def crashes(
    start: "Disk", log: Sequence[Entry], at: Collection[int], *, seed: object, n_random: int
) -> Iterator[tuple[int, "Crash"]]:
    """Yield points, and what crashes there may leave, each once.

    Parameters
    ----------
    start
        The disk before the command; it stays as it is.
    log
        What the command wrote.
    at
        Some of `points(log)`.
    seed, n_random
        See `Disk.crashes`.
    """
    disk, rng = deepcopy(start), random.Random(repr(seed))
    for i in range(len(log) + 1):
        if i in at:
            seen = set()
            for crash in disk.crashes(rng, n_random):
                if (digest := crash.digest) not in seen:
                    seen.add(digest)
                    yield i, crash
        if i < len(log):
            disk.apply(log[i])


class Disk:
    """What of a folder is certain to be on the disk, and what may be.

    Parameters
    ----------
    folder
        A folder before the command, all of which is on the disk.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: dict[str, File] = {}  # certain, by path
        self.changes: list[Change] = []  # of names, not certain yet
        self._files: dict[str, File] = {}  # by inode
        for path in sorted(folder.rglob("*")):
            if path.is_dir():
                self.names[str(path)] = File(is_folder=True)
            else:
                file = self._files[str(path.stat().st_ino)] = File(path.read_bytes())
                self.names[str(path)] = file

    def apply(self, entry: Entry) -> None:
        """Replay one entry."""
        what, fields = entry.what, entry.fields
        if what in "CM":
            inode, path = fields
            self._files[inode] = made = File(is_folder=what == "M")
            self.changes.append(Change(((path, made),)))
        elif what == "W":
            self._files[fields[0]].pending.append((int(fields[1]), entry.data))
        elif what == "T":
            self._files[fields[0]].pending.append((int(fields[1]), None))
        elif what == "R":
            inode, before, after = fields
            self.changes.append(Change(((before, None), (after, self._files[inode]))))
        elif what == "U":
            self.changes.append(Change(((fields[0], None),)))
        elif what == "S":
            file = self._files[fields[0]]
            file.content, file.pending = written(file.content, file.pending), []
        elif what == "D":
            kept = [change for change in self.changes if change.folder != fields[0]]
            for change in self.changes:
                if change.folder == fields[0]:
                    rename(self.names, change)
            self.changes = kept

    def crashes(self, rng: random.Random, n_random: int) -> Iterator["Crash"]:
        """Yield what a crash now may leave: the extremes, then some at random.

        The extremes are nothing that is uncertain; all names and no bytes; all bytes and no names;
        all of both; and one change of a name alone, for each, with none of the bytes.
        """
        n = len(self.changes)
        for kept, share in (([], 0.0), (range(n), 0.0), ([], 1.0), (range(n), 1.0)):
            yield self._crash(kept, share, rng)
        for alone in range(n):
            yield self._crash([alone], 0.0, rng)
        for _ in range(n_random):
            kept = [i for i in range(n) if rng.random() < 0.5]
            yield self._crash(kept, rng.choice((0.2, 0.5, 0.8, 1.0)), rng)

    def _crash(self, kept: Sequence[int], share: float, rng: random.Random) -> "Crash":
        """Return a crash with some changes of names, and each write with a chance of `share`.

        With a chance of 1 no write is torn.
        """
        names = copy(self.names)
        for i in kept:
            rename(names, self.changes[i])
        found: dict[str, bytes | None] = {}
        by_file: dict[int, bytes] = {}  # a file of two names has one content
        for path, file in names.items():
            if file.is_folder:
                found[path] = None
                continue
            if id(file) not in by_file:
                pending = file.pending
                if share < 1:
                    pending = [torn(write, rng) for write in pending if rng.random() < share]
                by_file[id(file)] = written(file.content, pending)
            found[path] = by_file[id(file)]
        return Crash(self.folder, found)


@dataclass(frozen=True)
class Crash:
    """What a disk holds after a crash: the bytes of each path; None for a folder."""

    folder: Path
    found: dict[str, bytes | None]

    @property
    def digest(self) -> bytes:
        """Return a fingerprint, equal for equal crashes."""
        digest = blake2b()
        for path, content in sorted(self.found.items()):
            digest.update(repr((path, None if content is None else len(content))).encode())
            digest.update(content or b"")
        return digest.digest()

    def restore(self, to: Path) -> Path:
        """Write it into a new folder; what is in a folder that is not there is lost."""
        to.mkdir(parents=True)
        for path, content in sorted(self.found.items()):
            new = to / Path(path).relative_to(self.folder)
            if not new.parent.is_dir():
                continue
            if content is None:
                new.mkdir()
            else:
                new.write_bytes(content)
        return to


def rename(names: dict[str, File], change: Change) -> None:
    """Carry out a change of names."""
    for path, file in change.names:
        if file is None:
            names.pop(path, None)
        else:
            names[path] = file


def written(content: bytes, writes: Sequence[tuple[int, bytes | None]]) -> bytes:
    """Return the content of a file after some writes; what was never written is zeros."""
    found = bytearray(content)
    for at, data in writes:
        if data == b"":  # torn at its beginning: it changes no length either
            continue
        end = at if data is None else max(len(found), at + len(data))
        found += bytes(max(end - len(found), 0))
        if data is None:
            del found[at:]
        else:
            found[at : at + len(data)] = data
    return bytes(found)


def torn(write: tuple[int, bytes | None], rng: random.Random) -> tuple[int, bytes | None]:
    """Return a write; in one of eight cases only up to a border of a sector."""
    at, data = write
    if data is None or rng.random() < 7 / 8:
        return write
    end = (at + rng.randrange(len(data) + 1)) // SECTOR * SECTOR
    return at, data[: max(end - at, 0)]
