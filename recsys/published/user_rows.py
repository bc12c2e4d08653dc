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
from recsys.published.connection import RunConnection, reading
from recsys.published.signature import is_mac_of, mac_of, not_signed, parts_of_user

DIGEST_BYTES = 8  # of the column `digest`; in a signed run a signature follows


def digest_of_user(user_id: str, profile: bytes, page: bytes | None) -> bytes:
    """Return the fingerprint of a user's row."""
    found = blake2b(user_id.encode("utf-8"), digest_size=DIGEST_BYTES)
    found.update(profile)
    found.update(b"" if page is None else page)
    return found.digest()


def signed_digest(
    run_id: str, user_id: str, profile: bytes, page: bytes | None, run_key: bytes | None
) -> bytes:
    """Return what the column `digest` has of a user: the fingerprint and, by a key, a signature."""
    found = digest_of_user(user_id, profile, page)
    if run_key is None:
        return found
    return found + mac_of(run_key, *parts_of_user(run_id, user_id, profile, page))


def find_profile(
    conn: RunConnection, user_id: str, path: Path
) -> tuple[bytes, bytes | None] | None:
    """Return a user's packed profile and page; None if this file does not have them.

    Raises
    ------
    SnapshotError
        If they are damaged, or not signed as the connection demands.
    """
    with reading(path):
        row = conn.execute(
            "SELECT profile, page, digest FROM users WHERE user_id = ?", (user_id,)
        ).fetchone()
        return None if row is None else _whole(conn, path, user_id, *row)


def find_profiles(conn: RunConnection, path: Path, user_ids: Sequence[str]) -> dict[str, bytes]:
    """Return the packed profiles of those users that this file has, by id.

    Raises
    ------
    SnapshotError
        If one is damaged, or not signed as the connection demands.
    """
    query = (
        "SELECT user_id, profile, page, digest FROM users"
        " WHERE user_id IN (SELECT value FROM json_each(?))"
    )
    with reading(path):
        rows = conn.execute(query, (json.dumps(user_ids),))
        return {user_id: _whole(conn, path, user_id, *row)[0] for user_id, *row in rows}


def _whole(
    conn: RunConnection, path: Path, user_id: str, profile: bytes, page: bytes | None, digest: bytes
) -> tuple[bytes, bytes | None]:
    """Return a row of which the digest and, by the key of the connection, the signature hold."""
    if digest_of_user(user_id, profile, page) != digest[:DIGEST_BYTES]:
        raise SnapshotError(f"{path}: damaged: the row of a user; `recsys rollback`")
    if conn.run_key is not None:
        parts = parts_of_user(path.stem, user_id, profile, page)
        if not is_mac_of(digest[DIGEST_BYTES:], conn.run_key, *parts):
            raise not_signed(f"{path}: the row of a user", "`recsys rollback`")
    return profile, page


def user_ids(conn: sqlite3.Connection) -> set[str]:
    """Return the ids of the users of this file."""
    return {row[0] for row in conn.execute("SELECT user_id FROM users")}


def load_profiles(conn: RunConnection, path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the packed profiles of this file, in order of ids.

    Raises
    ------
    SnapshotError
        If one is damaged, or not signed as the connection demands.
    """
    query = "SELECT user_id, profile, page, digest FROM users ORDER BY user_id"
    with reading(path):
        for user_id, *row in conn.execute(query):
            yield user_id, _whole(conn, path, user_id, *row)[0]


def profile_blocks(conn: RunConnection, path: Path, n: int) -> Iterator[list[tuple[str, bytes]]]:
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
