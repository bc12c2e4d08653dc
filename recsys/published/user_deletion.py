"""Delete a user from the runs of a folder, and know the files that pages of users went to."""

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

from recsys.errors import SnapshotError, printable_path, reason_of
from recsys.files import create_private_file, fsync_path, replace_durably, write_text
from recsys.published import folder as published_folder
from recsys.published.connection import RunConnection, connect, reading
from recsys.published.run_file import digest_of_about, read_about
from recsys.published.signature import SIGNATURE, Contents, key_missing, put_signature
from recsys.published.user_rows import find_profile


def forget(
    folder: Path, user_id: str, run_key: bytes | None = None
) -> tuple[dict[str, int], list[str]]:
    """Delete a user from every run of a folder, and what failed runs left half written.

    Each run that has the user is written again. Servers notice that, and open what they serve
    again. A signed run is signed again; one that is not signed by the key stays without.

    Returns
    -------
    n_deleted : dict of int
        By file of a run that had the user: how many entries were deleted.
    unread
        Why runs could not be read or written: they may still have the user.
    """
    n_deleted, unread = {}, []
    for path in sorted(folder.glob("*.sqlite")) + sorted(folder.glob("*.held")):
        try:
            if n := _forget_in_run(path, user_id, run_key):
                n_deleted[str(path)] = n
        except SnapshotError as error:
            unread.append(str(error))
    published_folder.delete_partials(folder)
    fsync_path(folder)  # so that none of the deleted names comes back
    # Also after a `forget` that was killed, whose runs no server has opened again.
    published_folder.touch_pointer(folder)
    return n_deleted, unread


def _forget_in_run(path: Path, user_id: str, run_key: bytes | None) -> int:
    """Delete a user from a run by writing its file again; return how many entries were deleted."""
    with closing(_connected(path, run_key)) as conn:
        about = read_about(conn, path)
        with reading(path):
            query = "SELECT count(*) FROM users WHERE user_id = ?"
            n_users = int(conn.execute(query, (user_id,)).fetchone()[0])
        n_bots = int(about["bots"].count(user_id))
        if not n_users and not n_bots:
            return 0
        if SIGNATURE in about and run_key is None:
            raise key_missing(path)
        changed = {
            "bots": [bot for bot in about["bots"] if bot != user_id],
            "n_users": about["n_users"] - n_users,
        }
        changed["digest"] = digest_of_about(about | changed)
        signed = _signed_contents(conn, path, user_id, n_users)
        partial = path.with_suffix(".partial")
        try:
            partial.unlink(missing_ok=True)
            create_private_file(partial)
            conn.execute("VACUUM INTO ?", (str(partial),))
            with closing(sqlite3.connect(partial, isolation_level=None)) as copy:
                copy.execute("DELETE FROM users WHERE user_id = ?", (user_id,))
                copy.executemany(
                    "UPDATE meta SET value = ? WHERE key = ?",
                    [(json.dumps(value), key) for key, value in changed.items()],
                )
                # What somebody else has written gets no signature by this.
                copy.execute("DELETE FROM meta WHERE key = ?", (SIGNATURE,))
                if signed is not None and run_key is not None:
                    # Of what was checked, not of the copy, which others may have swapped by now.
                    left = replace(signed, about=signed.about | changed)
                    put_signature(copy, left, signed.n_users - n_users, run_key)
                copy.execute("VACUUM")
            replace_durably(partial, path)
        except (sqlite3.Error, OSError) as error:
            raise SnapshotError(f"{path}: cannot be written again: {reason_of(error)}") from error
    return n_users + n_bots


def _connected(path: Path, run_key: bytes | None) -> RunConnection:
    """Open a run, by the key if it is signed by it."""
    if run_key is not None:
        with suppress(SnapshotError):
            return connect(path, run_key)
    return connect(path, None)


def _signed_contents(
    conn: RunConnection, path: Path, user_id: str, n_users: int
) -> Contents | None:
    """Return the signed contents of a run of which `n_users` rows are a user's.

    None if the run is not signed, if others deleted or added rows, or if they wrote the user's:
    a new signature, of fewer users, would hide that.
    """
    if conn.signed is None or n_users > 1:
        return None
    with reading(path):
        n_rows = conn.execute("SELECT count(*) FROM users").fetchone()[0]
    if n_rows != conn.signed.n_users:
        return None
    with suppress(SnapshotError):
        find_profile(conn, user_id, path)
        return conn.signed
    return None


def note_exports(folder: Path, files: Sequence[Path]) -> None:
    """Note that files hold pages of users of a folder, so that `recsys forget` searches them.

    Raises
    ------
    OSError
        If the folder cannot be written.
    """
    known = exports(folder)
    noted = dict.fromkeys([*known, *(printable_path(str(file.absolute())) for file in files)])
    if noted.keys() != set(known):
        text = "".join(f"{json.dumps(path)}\n" for path in noted)
        write_text(folder / published_folder.EXPORTS, text)


def exports(folder: Path) -> list[str]:
    """Return the paths that were noted by `note_exports`; damaged lines are left out."""
    try:
        text = (folder / published_folder.EXPORTS).read_text("utf-8", errors="replace")
    except FileNotFoundError:
        return []
    paths = []
    for line in text.splitlines():
        with suppress(ValueError):
            if isinstance(path := json.loads(line), str):
                paths.append(path)
    return paths
