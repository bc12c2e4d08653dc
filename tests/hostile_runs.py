"""Runs made to do harm: any bytes in any part of a run, with every digest made right."""

import json
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import numpy as np

from recsys import SnapshotError
from recsys.published.run_file import digest_of, digest_of_about
from recsys.published.user_rows import digest_of_user
from recsys.serving.recommender import Recommender

EXTREMES = (
    *(-(2**63), -(2**31), -1, 0, 1, 7, 10**7, 2**31 - 1, 2**31, 2**53, 2**63 - 1),
    *(float("nan"), float("inf"), -float("inf"), 3e38, -3e38, 1e-45, 0.5, 1e300),
)
DTYPES = ("<i8", "<i4", "<f4", "<f8", "|b1", "|u1", "|O", "<U3", "<M8[s]", "nonsense", ">i8")
VALUES = (
    None,
    -1,
    0,
    1,
    2**64,
    1e308,
    True,
    "",
    "x" * 3000,
    [],
    [[]],
    {},
    [1, "a", None],
    {"a": 1},
)


def _harm_array(conn, rng):
    names = [row[0] for row in conn.execute("SELECT name FROM arrays ORDER BY name")]
    name = names[rng.integers(len(names))]
    dtype, shape, data = conn.execute(
        "SELECT dtype, shape, data FROM arrays WHERE name = ?", (name,)
    ).fetchone()
    kind = rng.integers(6)
    sizes, values = json.loads(shape), np.frombuffer(data, dtype).copy()
    if kind <= 2 and len(values):  # one or a few numbers
        with np.errstate(all="ignore"):
            for _ in range(int(rng.integers(1, 4))):
                extreme = EXTREMES[rng.integers(len(EXTREMES))]
                try:
                    values[rng.integers(len(values))] = extreme
                except (OverflowError, ValueError):
                    values[rng.integers(len(values))] = 1
        data = values.tobytes()
    elif kind == 3:  # any bytes of the same length
        data = rng.bytes(len(data))
    elif kind == 4:  # more or fewer numbers
        cut = int(rng.integers(0, len(values) + 1))
        values = values[:cut] if rng.integers(2) else np.concatenate((values, values[:cut]))
        data = values.tobytes()
        shape = json.dumps([len(values)] if len(sizes) == 1 or rng.integers(2) else sizes)
    else:  # another type or shape
        dtype = DTYPES[rng.integers(len(DTYPES))]
        if rng.integers(2):
            shape = json.dumps(VALUES[rng.integers(len(VALUES))])
    conn.execute(
        "UPDATE arrays SET dtype = ?, shape = ?, data = ?, digest = ? WHERE name = ?",
        (dtype, shape, data, digest_of(data), name),
    )


def _harm_about(conn, rng):
    about = {key: json.loads(value) for key, value in conn.execute("SELECT key, value FROM meta")}
    keys = sorted(set(about) - {"digest", "format"})
    key = keys[rng.integers(len(keys))]
    inside = about[key]
    if isinstance(inside, dict) and inside and rng.integers(2):
        inner = sorted(inside)[rng.integers(len(inside))]
        inside[inner] = VALUES[rng.integers(len(VALUES))]
    elif isinstance(inside, (int, float)) and rng.integers(2):
        about[key] = EXTREMES[rng.integers(len(EXTREMES))]
    else:
        about[key] = VALUES[rng.integers(len(VALUES))]
    about["digest"] = digest_of_about(about)
    conn.executemany(
        "UPDATE meta SET value = ? WHERE key = ?", ((json.dumps(v), k) for k, v in about.items())
    )


def _harm_articles(conn, rng):
    names = [row[0] for row in conn.execute("SELECT name FROM articles ORDER BY name")]
    name = names[rng.integers(len(names))]
    values = json.loads(
        conn.execute("SELECT data FROM articles WHERE name = ?", (name,)).fetchone()[0]
    )
    if rng.integers(4):
        values[rng.integers(len(values))] = VALUES[rng.integers(len(VALUES))]
    else:
        values = values[: rng.integers(len(values))]
    data = json.dumps(values).encode()
    conn.execute(
        "UPDATE articles SET data = ?, digest = ? WHERE name = ?", (data, digest_of(data), name)
    )


def _harm_users(conn, rng):
    for user_id, profile, page in conn.execute(
        "SELECT user_id, profile, page FROM users"
    ).fetchall():
        damaged, stored = bytearray(profile), bytearray(page or b"")
        for part in (damaged, stored):
            for _ in range(int(rng.integers(0, 4))):
                if part:
                    at = int(rng.integers(len(part)))
                    some = rng.bytes(int(rng.integers(1, 9)))
                    part[at : at + len(some)] = some
            if not rng.integers(8):
                del part[int(rng.integers(len(part) + 1)) :]
        row = bytes(damaged), bytes(stored) if page is not None else None
        conn.execute(
            "UPDATE users SET profile = ?, page = ?, digest = ? WHERE user_id = ?",
            (*row, digest_of_user(user_id, *row), user_id),
        )


def write_hostile(source: Path, target: Path, rng) -> None:
    """Write a copy of a run that does harm in one to three ways."""
    target.write_bytes(source.read_bytes())
    with closing(sqlite3.connect(target, isolation_level=None)) as conn:
        conn.execute("PRAGMA journal_mode = OFF")
        conn.execute("PRAGMA synchronous = OFF")
        for _ in range(int(rng.integers(1, 4))):
            harms = (_harm_array, _harm_array, _harm_about, _harm_articles, _harm_users)
            # What was harmed before may be nothing any more that can be harmed again.
            with suppress(TypeError, ValueError, KeyError):
                harms[rng.integers(len(harms))](conn, rng)


def serve(folder: Path, users, articles, as_of) -> str:
    """Ask a server of a hostile run for everything; return whether it refused the run."""
    try:
        recommender = Recommender(folder)
    except SnapshotError:
        return "refused"
    for user_id in (None, *users):
        for article_id in (None, *articles[:2]):
            page = recommender.recommend(
                user_id, article_id, recent_clicks=articles[:3], as_of=as_of
            )
            for slots in page.values():
                for slot in slots[:1]:
                    slot.explanation  # noqa: B018 - it may not fail either
        recommender.recommend(user_id, as_of=as_of)
        recommender.rank(user_id, list(articles), as_of=as_of)
    recommender.health(as_of=as_of)
    return "served"
