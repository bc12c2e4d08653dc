"""The users of one published run: a packed profile each, and the page that the night made.

A refresh holds only users with new events since its base run, and names the run that has the
others.
"""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path

from recsys.errors import SnapshotError
from recsys.published.connection import reading


def digest_of_user(user_id: str, profile: bytes, page: bytes | None) -> bytes:
    """Return the fingerprint of a user's row."""
    found = blake2b(user_id.encode("utf-8"), digest_size=8)
    found.update(profile)
    found.update(b"" if page is None else page)
    return found.digest()


def find_profile(
    conn: sqlite3.Connection, user_id: str, path: Path
) -> tuple[bytes, bytes | None] | None:
    """Return a user's packed profile and page; None if this file does not have them.

    Raises
    ------
    SnapshotError
        If they are damaged.
    """
    with reading(path):
        row = conn.execute(
            "SELECT profile, page, digest FROM users WHERE user_id = ?", (user_id,)
        ).fetchone()
    return None if row is None else _whole(path, user_id, *row)


def find_profiles(
    conn: sqlite3.Connection, path: Path, user_ids: Sequence[str]
) -> dict[str, bytes]:
    """Return the packed profiles of those users that this file has, by id.

    Raises
    ------
    SnapshotError
        If one is damaged.
    """
    query = (
        "SELECT user_id, profile, page, digest FROM users"
        " WHERE user_id IN (SELECT value FROM json_each(?))"
    )
    with reading(path):
        rows = conn.execute(query, (json.dumps(user_ids),))
        return {user_id: _whole(path, user_id, *row)[0] for user_id, *row in rows}


def _whole(
    path: Path, user_id: str, profile: bytes, page: bytes | None, digest: bytes
) -> tuple[bytes, bytes | None]:
    """Return a row of which the digest was checked."""
    if digest_of_user(user_id, profile, page) != digest:
        raise SnapshotError(f"{path}: damaged: the row of a user; `recsys rollback`")
    return profile, page


def user_ids(conn: sqlite3.Connection) -> set[str]:
    """Return the ids of the users of this file."""
    return {row[0] for row in conn.execute("SELECT user_id FROM users")}


def load_profiles(conn: sqlite3.Connection, path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the packed profiles of this file, in order of ids.

    Raises
    ------
    SnapshotError
        If one is damaged.
    """
    query = "SELECT user_id, profile, page, digest FROM users ORDER BY user_id"
    with reading(path):
        for user_id, *row in conn.execute(query):
            yield user_id, _whole(path, user_id, *row)[0]


def profile_blocks(
    conn: sqlite3.Connection, path: Path, n: int
) -> Iterator[list[tuple[str, bytes]]]:
    """Yield ids and packed profiles of all users of this file, `n` at a time, in any order.

    The digests are not checked, which would take as long as reading: ask `find_profile` for the
    users that matter.

    Raises
    ------
    SnapshotError
        If the file is damaged so that it cannot be read.
    """
    with reading(path):
        rows = conn.execute("SELECT user_id, profile FROM users")
        while block := rows.fetchmany(n):
            yield block
