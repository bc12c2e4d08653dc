"""Sign what a published folder holds, so that whoever may write the folder cannot forge a run.

A signature is an HMAC-SHA256 by a secret key, which the folder does not hold. That of a run covers
what the run says about itself, its id and its base run among it, and the type, shape and digest of
every array and every column of articles. The row of each user has one of its own, since servers
read users one by one. The pointer and the rules are signed too.

References
----------
Krawczyk, Bellare, Canetti, "HMAC: Keyed-Hashing for Message Authentication", RFC 2104, 1997.
"""

import hmac
import json
import sqlite3
from dataclasses import dataclass
from typing import Any

from recsys.errors import SnapshotError
from recsys.keys import RUN_KEY

SIGNATURE = "signature"  # of the table `meta`
MAC_BYTES = 32
OF_RUN, OF_USER, OF_POINTER, OF_RULES = b"run", b"user", b"pointer", b"rules"


def mac_of(key: bytes, *parts: bytes) -> bytes:
    """Return the HMAC-SHA256 of some parts, the first of which says what they are.

    Each is preceded by its length, so that no bytes can move from one to the next.
    """
    message = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    return hmac.digest(key, message, "sha256")


def is_mac_of(found: object, key: bytes, *parts: bytes) -> bool:
    """Return whether a value is the HMAC of some parts, in a time that does not depend on it."""
    return isinstance(found, bytes) and hmac.compare_digest(found, mac_of(key, *parts))


def is_hex_of(found: object, key: bytes, *parts: bytes) -> bool:
    """Return whether a value is the HMAC of some parts as hexadecimal digits."""
    try:
        return isinstance(found, str) and is_mac_of(bytes.fromhex(found), key, *parts)
    except ValueError:
        return False


def parts_of_user(
    run_id: str, user_id: str, profile: bytes, page: bytes | None
) -> tuple[bytes, ...]:
    """Return what the signature of a user's row covers."""
    row = OF_USER, run_id.encode("utf-8"), user_id.encode("utf-8"), profile
    return row if page is None else (*row, page)


@dataclass(frozen=True, slots=True)
class Contents:
    """What the signature of a run covers, read at once.

    Attributes
    ----------
    about
        The table `meta`.
    arrays
        Type, shape and digest of each array.
    articles
        Digest of each column of articles.
    """

    about: dict[str, Any]
    arrays: dict[str, tuple[str, str, str]]
    articles: dict[str, str]

    @classmethod
    def of(cls, conn: sqlite3.Connection) -> "Contents":
        """Return the contents of an open run."""
        rows = conn.execute("SELECT name, dtype, shape, digest FROM arrays ORDER BY name")
        return cls(
            {key: json.loads(value) for key, value in conn.execute("SELECT key, value FROM meta")},
            {name: tuple(rest) for name, *rest in rows},
            dict(conn.execute("SELECT name, digest FROM articles ORDER BY name")),
        )

    def parts(self, n_users: int) -> tuple[bytes, ...]:
        """Return what the signature of a run with so many users covers."""
        about = {key: value for key, value in self.about.items() if key != SIGNATURE}
        covered = (about, self.arrays, self.articles, n_users)
        texts = [json.dumps(part, sort_keys=True).encode("utf-8") for part in covered]
        return (OF_RUN, *texts)

    @property
    def n_users(self) -> int:
        """The number of users in the file that the signature says."""
        found = self.about.get(SIGNATURE)
        n_users = found.get("users") if isinstance(found, dict) else None
        return n_users if isinstance(n_users, int) else -1

    def is_signed(self, key: bytes, run_id: str) -> bool:
        """Return whether the run has a signature by a key, and the id that its file is named by."""
        found = self.about.get(SIGNATURE)
        mac = found.get("mac") if isinstance(found, dict) else None
        is_named_so = self.about.get("run_id") == run_id
        return is_named_so and is_hex_of(mac, key, *self.parts(self.n_users))


def sign_run(conn: sqlite3.Connection, key: bytes) -> None:
    """Give the run of a connection that may write a signature instead of any earlier one."""
    n_users = int(conn.execute("SELECT count(*) FROM users").fetchone()[0])
    put_signature(conn, Contents.of(conn), n_users, key)


def put_signature(conn: sqlite3.Connection, contents: Contents, n_users: int, key: bytes) -> None:
    """Write a signature of some contents to a file, whatever the file holds itself."""
    mac = mac_of(key, *contents.parts(n_users)).hex()
    value = json.dumps({"users": n_users, "mac": mac})
    conn.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (SIGNATURE, value))


def not_signed(what: object, remedy: str) -> SnapshotError:
    """Return the error of something that is not signed, or by another key."""
    return SnapshotError(f"{what}: not signed with the key of {RUN_KEY}; {remedy}")


def key_missing(what: object) -> SnapshotError:
    """Return the error of a change of something signed without the key."""
    return SnapshotError(f"{what}: is signed; set {RUN_KEY} to the key that signs this folder")
