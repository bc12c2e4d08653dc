"""Forget a user: delete them from the store and every run, then search the files for the id."""

from dataclasses import dataclass
from pathlib import Path

from recsys.files import create_folder, locked
from recsys.published import folder as published_folder
from recsys.store.database import Store

_CHUNK_BYTES = 1 << 24


@dataclass(frozen=True, slots=True)
class ForgetReport:
    """What was deleted of a user, and what is left.

    Attributes
    ----------
    rows
        Deleted rows of the store, by table.
    n_runs
        How many runs the user was deleted from.
    unread
        Why runs could not be read: they may still have the user.
    left : dict of int
        By file, how often the bytes of the id are still in it. They are if the id is part of
        another id or of a text, as "u1" is part of "u12".
    """

    rows: dict[str, int]
    n_runs: int
    unread: list[str]
    left: dict[str, int]

    @property
    def is_found(self) -> bool:
        """Return whether the store or a run had the user.

        Rejected rows do not count: those of another user may contain the id.
        """
        return self.n_runs > 0 or self.rows["users"] > 0 or self.rows["audiences"] > 0


def forget_user(store: Store, folder: Path, user_id: str) -> ForgetReport:
    """Delete a user from a store and from every run of a folder.

    The factors of articles that the user clicked stay as they are until the next nightly run.

    Parameters
    ----------
    store, folder
        The store, and the folder of published runs.
    user_id
        The id as the store spells it (see `recsys.ids.spelled_id`); a hash in a store of hashes.

    Raises
    ------
    RunActiveError
        If a run is active in the folder: it might bring the user back.
    StoreError
        If another process reads the store, so that deleted bytes cannot be overwritten.
    """
    create_folder(folder)
    with locked(folder):
        rows = store.deletion.delete_user(user_id)
        n_runs, unread = published_folder.forget(folder, user_id)
    wanted = user_id.encode("utf-8")
    paths = [*store.path.parent.glob(f"{store.path.name}*"), *folder.iterdir()]
    counts = {str(path): _count(path, wanted) for path in paths if path.is_file()}
    return ForgetReport(rows, n_runs, unread, {path: n for path, n in counts.items() if n})


def _count(path: Path, wanted: bytes) -> int:
    """Return how often bytes occur in a file, in bounded memory."""
    n, tail = 0, b""
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            n += (tail + chunk).count(wanted)
            tail = (tail + chunk)[len(tail + chunk) - len(wanted) + 1 :]
    return n
