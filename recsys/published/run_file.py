"""One published run: written aside, verified, made current by one atomic step.

A run is `<folder>/<run_id>.sqlite`; `<folder>/current` names the run that is
served. A refresh holds only the readers of whom something came, and names the night
where the others are. `recsys export` gives plain rows.
"""

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, fields
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from recsys.blend.curves import RankModel
from recsys.blend.live_model import LiveModel, PageModel, Rows
from recsys.config import BlendConfig, PageConfig
from recsys.errors import SnapshotError
from recsys.files import fsync_path, make_private
from recsys.page.known_articles import KnownArticle, KnownArticles

FORMAT = 8
_CARRY = "carry."

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE arrays (
    name TEXT PRIMARY KEY,
    dtype TEXT NOT NULL,
    shape TEXT NOT NULL,        -- JSON list
    digest TEXT NOT NULL,       -- of data, see _digest
    data BLOB NOT NULL
) STRICT;
-- Fields of `KnownArticle`, of all articles in known order: read at once, so kept so.
CREATE TABLE articles (
    name TEXT PRIMARY KEY,
    digest TEXT NOT NULL,       -- of data
    data BLOB NOT NULL          -- JSON list
) STRICT;
-- page: the slots of its lists, see SLOT in recsys.page.build. With rowids: rows of half a
-- kilobyte stand eight to a page, and as a tree of their own would be found in seven steps.
CREATE TABLE readers (
    user_id TEXT PRIMARY KEY,
    profile BLOB NOT NULL,      -- see recsys.blend.profiles
    page BLOB,                  -- NULL, as in a refresh: made when it is asked for
    digest BLOB NOT NULL        -- of the three
) STRICT;
"""


@dataclass(frozen=True, slots=True)
class Carry:
    """What a run keeps for the refresh after it, and no server reads.

    Attributes
    ----------
    first_ms : array of int64, shape (n_known,)
        When each article was first clicked or shown; the far future for never.
    n_having : array of unsigned int, shape (n_terms,)
        How many of the articles that a night was trained on have each term.
    n_trained
        How many articles those were.
    live_since : array of bool, shape (n_live,)
        Articles that were not live yet when factors were learned.
    spread : array of float32, shape (factors, factors)
        As of `recsys.signals.collaborative.Factors`.
    sections
        Names of the sections, in the order of their numbers.
    machines
        Readers left out.
    """

    first_ms: NDArray[np.int64]
    n_having: NDArray[np.unsignedinteger]
    n_trained: int
    live_since: NDArray[np.bool_]
    spread: NDArray[np.float32]
    sections: Sequence[str]
    bots: Sequence[str]


@dataclass(frozen=True, slots=True)
class RunMeta:
    """What a run says of itself.

    `base` is the night that a refresh goes back to: readers of whom nothing came since
    are read from there. `vitals` are what it shows, see
    `recsys.nightly.publish_gate.Vitals`; None if nothing.
    """

    run_id: str
    base: str | None
    as_of: str
    n_users: int
    weights: BlendConfig
    vitals: dict[str, Any] | None


# ---- packing ----------------------------------------------------------------------


def _arrays_of(model: PageModel, rank: RankModel, carry: Carry) -> dict[str, NDArray[Any]]:
    live = model.live
    arrays: dict[str, NDArray[Any]] = {
        "live_rows": live.live_rows,
        "factors": live.factors,
        "warm": live.warm,
        "gram": live.gram,
        "category": live.category,
        "story": model.story,
        "importance": model.importance,
        "rise": model.rise,
        "newest": model.newest,
        "written_ms": rank.written_ms,
    }
    arrays |= {
        f"{_CARRY}{name}": getattr(carry, name) for name in ("first_ms", "live_since", "spread")
    }
    # Of millions of terms a small site has few.
    terms = np.flatnonzero(carry.n_having).astype(np.int32)
    arrays |= {f"{_CARRY}terms": terms, f"{_CARRY}n_having": carry.n_having[terms]}
    arrays |= {f"static.{name}": part for name, part in live.static.items()}
    arrays |= {f"feature.{name}": values for name, values in rank.article_features.items()}
    arrays |= {f"curve.{name}": curve for name, curve in rank.curves.items()}
    arrays |= {f"refresh_curve.{name}": curve for name, curve in rank.refresh_curves.items()}
    for name, rows in (
        ("similar", live.similar),
        ("item_item", live.item_item),
        ("vectors", rank.vectors),
    ):
        arrays |= {f"{name}.{f.name}": getattr(rows, f.name) for f in fields(Rows)}
    return arrays


# ---- writing ----------------------------------------------------------------------


def write(
    path: Path,
    meta: RunMeta,
    model: PageModel,
    rank: RankModel,
    carry: Carry,
    articles: Sequence[KnownArticle],
    readers: Iterable[tuple[str, bytes, bytes | None]],
) -> None:
    """Write a run to a file, whole or not at all: fsynced, then renamed. See `verify`.

    Parameters
    ----------
    path
        Where it goes; an unfinished file of an earlier try is replaced.
    meta, model, rank, carry, articles
        The run; `articles` in known order.
    readers
        (user id, packed profile, packed page or None), each id once.

    Raises
    ------
    SnapshotError
        If it cannot be written.
    """
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    make_private(partial)
    try:
        _fill(partial, meta, model, rank, carry, articles, readers)
        fsync_path(partial)
        os.replace(partial, path)
    except sqlite3.Error as error:
        raise SnapshotError(f"{partial}: cannot be written: {error}") from error
    finally:
        partial.unlink(missing_ok=True)
    fsync_path(path.parent)


def _fill(
    partial: Path,
    meta: RunMeta,
    model: PageModel,
    rank: RankModel,
    carry: Carry,
    articles: Sequence[KnownArticle],
    readers: Iterable[tuple[str, bytes, bytes | None]],
) -> None:
    with closing(sqlite3.connect(partial, isolation_level=None)) as conn:
        # The file is nobody's until it is renamed, so a journal would guard nothing.
        conn.execute("PRAGMA journal_mode = OFF")
        conn.execute("PRAGMA synchronous = OFF")
        conn.executescript(_SCHEMA)
        conn.execute("BEGIN")
        about = asdict(meta) | {
            "weights": structs.asdict(meta.weights),
            "format": FORMAT,
            "n_categories": model.n_categories,
            "page": structs.asdict(model.config),
            "click_confidence": model.live.click_confidence,
            "n_trained": carry.n_trained,
            "n_terms": len(carry.n_having),
            "sections": list(carry.sections),
            "bots": list(carry.bots),
        }
        about["digest"] = _digest_of_about(about)
        conn.executemany(
            "INSERT INTO meta VALUES (?, ?)", ((k, json.dumps(v)) for k, v in about.items())
        )
        conn.executemany(
            "INSERT INTO arrays VALUES (?, ?, ?, ?, ?)",
            (
                (name, array.dtype.str, json.dumps(array.shape), _digest(data), data)
                for name, array in _arrays_of(model, rank, carry).items()
                for data in (array.tobytes(),)
            ),
        )
        columns = zip(*articles, strict=True) if articles else [()] * len(KnownArticle._fields)
        conn.executemany(
            "INSERT INTO articles VALUES (?, ?, ?)",
            (
                (name, _digest(data), data)
                for name, column in zip(KnownArticle._fields, columns, strict=True)
                for data in (json.dumps(column, ensure_ascii=False).encode("utf-8"),)
            ),
        )
        before = conn.total_changes
        conn.executemany(
            "INSERT INTO readers VALUES (?, ?, ?, ?)",
            ((*row, _digest_of_reader(*row)) for row in readers),
        )
        n_users = conn.total_changes - before
        conn.execute("COMMIT")
        n_there = conn.execute("SELECT count(*) FROM readers").fetchone()[0]
    if n_there != n_users:
        raise SnapshotError(f"{partial}: {n_there} readers kept of {n_users} written")


def _digest(data: bytes) -> str:
    """Return a fingerprint: SHA-256, which processors have in hardware, cut to 128 bits."""
    return sha256(data).hexdigest()[:32]


def _digest_of_about(about: dict[str, Any]) -> str:
    rest = {key: value for key, value in about.items() if key != "digest"}
    return _digest(json.dumps(rest, sort_keys=True).encode("utf-8"))


def _digest_of_reader(user_id: str, profile: bytes, page: bytes | None) -> bytes:
    found = blake2b(user_id.encode("utf-8"), digest_size=8)
    found.update(profile)
    found.update(b"" if page is None else page)
    return found.digest()


def forget(path: Path, user_id: str) -> bool:
    """Delete a reader from a run, whose file is written anew; return whether they were there."""
    with closing(connect(path)) as conn:
        about = _about(conn, path)
        bots = about["bots"]
        if find_profile(conn, user_id, path) is None and user_id not in bots:
            return False
        partial = path.with_suffix(".partial")
        partial.unlink(missing_ok=True)
        make_private(partial)
        conn.execute("VACUUM INTO ?", (str(partial),))
    with closing(sqlite3.connect(partial, isolation_level=None)) as conn:
        n_users = conn.execute("DELETE FROM readers WHERE user_id = ?", (user_id,)).rowcount
        about["bots"] = [machine for machine in bots if machine != user_id]
        about["n_users"] -= n_users
        about["digest"] = _digest_of_about(about)
        for key in ("bots", "n_users", "digest"):
            conn.execute("UPDATE meta SET value = ? WHERE key = ?", (json.dumps(about[key]), key))
        conn.execute("VACUUM")
    fsync_path(partial)
    os.replace(partial, path)
    return True


# ---- reading ----------------------------------------------------------------------


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Say what is damaged where a file does not read as it was written."""
    try:
        yield
    except (sqlite3.Error, ValueError, KeyError, TypeError) as error:
        raise SnapshotError(f"{path}: damaged: {error}; `recsys rollback`") from error


def connect(path: Path) -> sqlite3.Connection:
    """Open a run read-only and immutable: it takes no locks and never changes.

    Raises
    ------
    SnapshotError
        If it cannot be opened.
    """
    try:
        conn = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True, check_same_thread=False
        )
        conn.execute("SELECT 1 FROM meta LIMIT 1")
    except sqlite3.Error as error:
        raise SnapshotError(f"{path}: cannot be opened: {error}; `recsys rollback`?") from error
    return conn


def verify(path: Path) -> RunMeta:
    """Read a run's file, all of it, against its digests; return what it says of itself.

    Raises
    ------
    SnapshotError
        If anything is damaged.
    """
    with closing(connect(path)) as conn, reading(path):
        if (found := conn.execute("PRAGMA quick_check").fetchone()[0]) != "ok":
            raise SnapshotError(f"{path}: damaged: {found}")
        load_model(conn, path)
        load_carry(conn, path)
        load_articles(conn, path)
        for _ in load_profiles(conn, path):
            pass
        return load_meta(conn, path)


def load_meta(conn: sqlite3.Connection, path: Path) -> RunMeta:
    """Return what a run says of itself.

    Raises
    ------
    SnapshotError
        If it is damaged, or of another format.
    """
    about = _about(conn, path)
    values = {f.name: about[f.name] for f in fields(RunMeta)}
    return RunMeta(**values | {"weights": BlendConfig(**values["weights"])})


def _about(conn: sqlite3.Connection, path: Path) -> dict[str, Any]:
    with reading(path):
        about = {k: json.loads(v) for k, v in conn.execute("SELECT key, value FROM meta")}
        if about.get("format") != FORMAT:
            found = about.get("format")
            raise SnapshotError(f"{path}: format {found}, this recsys reads {FORMAT}")
        if _digest_of_about(about) != about["digest"]:
            raise SnapshotError(f"{path}: damaged: what it says of itself; `recsys rollback`")
    return about


def load_model(conn: sqlite3.Connection, path: Path) -> tuple[PageModel, RankModel]:
    """Return a run's models; each array is checked against its digest.

    Raises
    ------
    SnapshotError
        If an array is damaged.
    """
    arrays = _load_arrays(conn, path, "name NOT GLOB ?")
    about = _about(conn, path)

    def rows(name: str) -> Rows:
        return Rows(*(arrays[f"{name}.{f.name}"] for f in fields(Rows)))

    def named(kind: str) -> dict[str, NDArray[Any]]:
        return {
            name.removeprefix(kind): array
            for name, array in arrays.items()
            if name.startswith(kind)
        }

    live = LiveModel(
        live_rows=arrays["live_rows"],
        static=named("static."),
        factors=arrays["factors"],
        warm=arrays["warm"],
        gram=arrays["gram"],
        category=arrays["category"],
        similar=rows("similar"),
        item_item=rows("item_item"),
        weights=BlendConfig(**about["weights"]),
        click_confidence=about["click_confidence"],
    )
    settings = about["page"] | {"exempt": tuple(about["page"]["exempt"])}
    page = PageModel(
        live,
        arrays["story"],
        arrays["importance"],
        arrays["rise"],
        arrays["newest"],
        about["n_categories"],
        PageConfig(**settings),
    )
    rank = RankModel(
        rows("vectors"),
        named("feature."),
        arrays["written_ms"],
        named("curve."),
        named("refresh_curve."),
    )
    return page, rank


def load_carry(conn: sqlite3.Connection, path: Path) -> Carry:
    """Return what a refresh takes over.

    Raises
    ------
    SnapshotError
        If an array is damaged.
    """
    arrays = {
        name.removeprefix(_CARRY): array
        for name, array in _load_arrays(conn, path, "name GLOB ?").items()
    }
    about = _about(conn, path)
    told: dict[str, Any] = {name: about[name] for name in ("n_trained", "sections", "bots")}
    n_having = np.zeros(about["n_terms"], dtype=arrays["n_having"].dtype)
    n_having[arrays.pop("terms")] = arrays["n_having"]
    return Carry(**(arrays | told | {"n_having": n_having}))


def _load_arrays(conn: sqlite3.Connection, path: Path, where: str) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {}
    with reading(path), ThreadPoolExecutor(1) as hashing:  # while the next is read
        query = f"SELECT rowid, name, dtype, shape, digest FROM arrays WHERE {where}"
        checks = []
        for row, name, dtype, shape, digest in conn.execute(query, (f"{_CARRY}*",)):
            with conn.blobopen("arrays", "data", row, readonly=True) as blob:
                data = blob.read()  # copied once; a SELECT copies twice
            checks.append((name, digest, hashing.submit(_digest, data)))
            arrays[name] = np.frombuffer(data, dtype=dtype).reshape(json.loads(shape))
        for name, digest, found in checks:
            if found.result() != digest:
                raise SnapshotError(f"{path}: array {name} is damaged; `recsys rollback`")
    return arrays


def load_articles(conn: sqlite3.Connection, path: Path) -> KnownArticles:
    """Return a run's known articles, in known order.

    Raises
    ------
    SnapshotError
        If one is damaged.
    """
    columns = {}
    with reading(path):
        for name, digest, data in conn.execute("SELECT * FROM articles"):
            if _digest(data) != digest:
                raise SnapshotError(f"{path}: damaged: its articles; `recsys rollback`")
            columns[name] = json.loads(data)
        return KnownArticles(columns)


def find_profile(
    conn: sqlite3.Connection, user_id: str, path: Path
) -> tuple[bytes, bytes | None] | None:
    """Return a reader's packed profile and page, as far as this very file has them.

    Raises
    ------
    SnapshotError
        If they are damaged.
    """
    with reading(path):
        row = conn.execute(
            "SELECT profile, page, digest FROM readers WHERE user_id = ?", (user_id,)
        ).fetchone()
    return None if row is None else _whole(path, user_id, *row)


def find_profiles(
    conn: sqlite3.Connection, path: Path, user_ids: Sequence[str]
) -> dict[str, bytes]:
    """Return the packed profiles of some readers, of those whom this very file has.

    Raises
    ------
    SnapshotError
        If one is damaged.
    """
    query = (
        "SELECT user_id, profile, page, digest FROM readers"
        " WHERE user_id IN (SELECT value FROM json_each(?))"
    )
    with reading(path):
        rows = conn.execute(query, (json.dumps(user_ids),))
        return {user_id: _whole(path, user_id, *row)[0] for user_id, *row in rows}


def _whole(
    path: Path, user_id: str, profile: bytes, page: bytes | None, digest: bytes
) -> tuple[bytes, bytes | None]:
    if _digest_of_reader(user_id, profile, page) != digest:
        raise SnapshotError(f"{path}: damaged: a reader's row; `recsys rollback`")
    return profile, page


def digests(conn: sqlite3.Connection, path: Path) -> dict[str, object]:
    """Return digests of all that a run knows, by name: equal for runs that serve the same."""
    found = dict(conn.execute("SELECT name, digest FROM arrays"))
    found |= {
        f"articles.{name}": d for name, d in conn.execute("SELECT name, digest FROM articles")
    }
    whole = blake2b(digest_size=16)
    for (digest,) in conn.execute("SELECT digest FROM readers ORDER BY user_id"):
        whole.update(digest)
    own = ("run_id", "base", "digest")
    rest = {name: value for name, value in _about(conn, path).items() if name not in own}
    return found | rest | {"readers": whole.hexdigest()}


def user_ids(conn: sqlite3.Connection) -> set[str]:
    """Return the readers of this very file."""
    return {row[0] for row in conn.execute("SELECT user_id FROM readers")}


def load_profiles(conn: sqlite3.Connection, path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the packed profiles of this very file, in id order.

    Raises
    ------
    SnapshotError
        If one is damaged.
    """
    query = "SELECT user_id, profile, page, digest FROM readers ORDER BY user_id"
    with reading(path):
        for user_id, *row in conn.execute(query):
            yield user_id, _whole(path, user_id, *row)[0]
