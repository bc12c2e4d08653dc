"""Delete a user from the runs of a folder, and know the files that pages of users went to."""

import json
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from recsys.errors import SnapshotError, printable_path, reason_of
from recsys.files import create_private_file, fsync_path, replace_durably, write_text
from recsys.published import folder as published_folder
from recsys.published.connection import connect, reading
from recsys.published.run_file import digest_of_about, read_about
from recsys.published.signature import SIGNATURE, Contents, key_missing, sign_run


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
    with closing(connect(path, None)) as conn:
        about = read_about(conn, path)
        bots = about["bots"]
        with reading(path):
            query = "SELECT count(*) FROM users WHERE user_id = ?"
            n_users = int(conn.execute(query, (user_id,)).fetchone()[0])
        if not n_users and user_id not in bots:
            return 0
        is_signed = SIGNATURE in about
        if is_signed and run_key is None:
            raise key_missing(path)
        with reading(path):
            may_sign = run_key is not None and Contents.of(conn).is_signed(run_key, path.stem)
        partial = path.with_suffix(".partial")
        try:
            partial.unlink(missing_ok=True)
            create_private_file(partial)
            conn.execute("VACUUM INTO ?", (str(partial),))
            about["bots"] = [bot for bot in bots if bot != user_id]
            about["n_users"] -= n_users
            about["digest"] = digest_of_about(about)
            with closing(sqlite3.connect(partial, isolation_level=None)) as copy:
                copy.execute("DELETE FROM users WHERE user_id = ?", (user_id,))
                copy.executemany(
                    "UPDATE meta SET value = ? WHERE key = ?",
                    [(json.dumps(about[key]), key) for key in ("bots", "n_users", "digest")],
                )
                if is_signed:  # what somebody else has written gets no signature by this
                    copy.execute("DELETE FROM meta WHERE key = ?", (SIGNATURE,))
                if may_sign and run_key is not None:
                    sign_run(copy, run_key)
                copy.execute("VACUUM")
            replace_durably(partial, path)
        except (sqlite3.Error, OSError) as error:
            raise SnapshotError(f"{path}: cannot be written again: {reason_of(error)}") from error
    return n_users + len(bots) - len(about["bots"])


def note_export(folder: Path, file: Path) -> None:
    """Note that a file holds pages of users of a folder, so that `recsys forget` searches it.

    Raises
    ------
    OSError
        If the folder cannot be written.
    """
    known, path = exports(folder), printable_path(str(file.absolute()))
    if path not in known:
        text = "".join(f"{json.dumps(noted)}\n" for noted in (*known, path))
        write_text(folder / published_folder.EXPORTS, text)


def exports(folder: Path) -> list[str]:
    """Return the paths that were noted by `note_export`; damaged lines are left out."""
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
