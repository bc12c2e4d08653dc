"""A reader is forgotten: in the store, in every run, and the bytes are searched for."""

from dataclasses import dataclass
from pathlib import Path

from recsys.files import locked
from recsys.published import folder as published_folder
from recsys.store.database import Store

_CHUNK = 1 << 24


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was deleted of a reader, and what was found of them afterwards.

    Attributes
    ----------
    rows
        Rows of the store deleted, by table.
    n_runs
        Published runs they were deleted from.
    left : dict of int
        By file: how often the bytes of the id still stand there. They do if the id is part of
        another id or of a text, as "u1" is of "u12".
    """

    rows: dict[str, int]
    n_runs: int
    left: dict[str, int]


def forget(store: Store, folder: Path, user_id: str) -> Forgotten:
    """Delete a reader from a store and from every run of a folder.

    Articles' factors that their clicks helped to make stay until the next night.

    Parameters
    ----------
    store, folder
        The newsroom's.
    user_id
        The reader, exactly.

    Raises
    ------
    RunActiveError
        If a run is at work on the folder, which might bring the reader back.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        rows = store.erasure.reader(user_id)
        n_runs = published_folder.forget(folder, user_id)
    wanted = user_id.encode("utf-8")
    files = [*store.path.parent.glob(f"{store.path.name}*"), *folder.iterdir()]
    counts = {str(path): _count(path, wanted) for path in files if path.is_file()}
    return Forgotten(rows, n_runs, {name: n for name, n in counts.items() if n})


def _count(path: Path, wanted: bytes) -> int:
    """Return how often bytes stand in a file, in bounded memory."""
    n, tail = 0, b""
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            n += (tail + chunk).count(wanted)
            tail = (tail + chunk)[len(tail + chunk) - len(wanted) + 1 :]
    return n
