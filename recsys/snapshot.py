"""One published run: written aside, verified, made current by one atomic step.

A run is `<folder>/<run_id>.sqlite`; `<folder>/current` names the run that is
served. A refresh holds only the readers of whom something came, and names the night
where the others are. `recsys export` gives plain rows.
"""

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, fields
from hashlib import blake2b
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.blend import LiveModel, Rows
from recsys.config import BlendConfig, PageConfig
from recsys.errors import NotPublishedError, SnapshotError
from recsys.files import make_private
from recsys.page.rankings import PageModel
from recsys.page.rules import Rule, rule_of
from recsys.rank import RankModel

POINTER = "current"
RULES = "rules.json"
FORMAT = 5
_CARRY = "carry."

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE arrays (
    name TEXT PRIMARY KEY,
    dtype TEXT NOT NULL,
    shape TEXT NOT NULL,        -- JSON list
    digest TEXT NOT NULL,       -- BLAKE2b of data
    data BLOB NOT NULL
) STRICT;
CREATE TABLE articles (
    article_index INTEGER PRIMARY KEY,
    article_id TEXT NOT NULL UNIQUE,
    title TEXT NOT NULL,
    category TEXT NOT NULL,
    author TEXT NOT NULL,
    tags TEXT NOT NULL,
    url TEXT NOT NULL,
    published_at INTEGER,       -- ms since 1970, UTC
    expires_at INTEGER
) STRICT;
-- page: the slots of its lists, see SLOT in recsys.page.build
CREATE TABLE readers (
    user_id TEXT PRIMARY KEY,
    profile BLOB NOT NULL,      -- see recsys.readers
    page BLOB                   -- NULL, as in a refresh: made when it is asked for
) STRICT, WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class KnownArticle:
    """What a page shows of an article; instants in ms, None where not known."""

    article_id: str
    title: str
    category: str
    author: str
    tags: str
    url: str
    published_ms: int | None
    expires_ms: int | None


@dataclass(frozen=True, slots=True)
class Carry:
    """What a run keeps for the refresh after it, and no server reads.

    Attributes
    ----------
    first_ms : array of int64, shape (n_known,)
        When each article was first clicked or shown; the far future for never.
    trained : array of bool, shape (n_known,)
        Whose words the document frequencies count.
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
    trained: NDArray[np.bool_]
    live_since: NDArray[np.bool_]
    spread: NDArray[np.float32]
    sections: Sequence[str]
    machines: Sequence[str]


@dataclass(frozen=True, slots=True)
class Meta:
    """What a run says of itself.

    `base` is the night that a refresh goes back to: readers of whom nothing came since
    are read from there.
    """

    run_id: str
    base: str | None
    as_of: str
    n_live: int
    n_readers: int
    weights: BlendConfig


# ---- packing ----------------------------------------------------------------------


def _arrays_of(model: PageModel, rank: RankModel, carry: Carry) -> dict[str, NDArray[Any]]:
    live = model.live
    arrays: dict[str, NDArray[Any]] = {
        "live_rows": live.live_rows, "factors": live.factors, "warm": live.warm, "gram": live.gram,
        "category": live.category, "story": model.story, "importance": model.importance,
        "rise": model.rise, "newest": model.newest, "written_ms": rank.written_ms,
    }  # fmt: skip
    arrays |= {
        f"{_CARRY}{name}": getattr(carry, name)
        for name in ("first_ms", "trained", "live_since", "spread")
    }
    arrays |= {f"static.{name}": part for name, part in live.static.items()}
    arrays |= {f"feature.{name}": values for name, values in rank.article_features.items()}
    arrays |= {f"curve.{name}": curve for name, curve in rank.curves.items()}
    arrays |= {f"refresh_curve.{name}": curve for name, curve in rank.refresh_curves.items()}
    for name, rows in (
        ("similar", live.similar), ("item_item", live.item_item), ("vectors", rank.vectors)
    ):  # fmt: skip
        arrays |= {f"{name}.{f.name}": getattr(rows, f.name) for f in fields(Rows)}
    return arrays


# ---- writing ----------------------------------------------------------------------


def write(
    path: Path,
    meta: Meta,
    model: PageModel,
    rank: RankModel,
    carry: Carry,
    articles: Sequence[KnownArticle],
    readers: Iterable[tuple[str, bytes, bytes | None]],
) -> None:
    """Write a run to a file, whole or not at all: fsynced, verified, then renamed.

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
        If the file does not read back as it was written.
    """
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    make_private(partial)
    with closing(sqlite3.connect(partial, isolation_level=None)) as conn:
        # The file is nobody's until it is renamed, so a journal would guard nothing.
        conn.execute("PRAGMA journal_mode = OFF")
        conn.execute("PRAGMA synchronous = OFF")
        conn.executescript(_SCHEMA)
        conn.execute("BEGIN")
        about = asdict(meta) | {
            "format": FORMAT,
            "n_categories": model.n_categories,
            "page": asdict(model.config),
            "click_confidence": model.live.click_confidence,
            "sections": list(carry.sections),
            "machines": list(carry.machines),
        }
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
        columns_of = attrgetter(*(f.name for f in fields(KnownArticle)))
        conn.executemany(
            "INSERT INTO articles VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            ((i, *columns_of(article)) for i, article in enumerate(articles)),
        )
        before = conn.total_changes
        conn.executemany("INSERT INTO readers VALUES (?, ?, ?)", readers)
        n_readers = conn.total_changes - before
        conn.execute("COMMIT")
    _sync(partial)
    _verify(partial, n_readers)
    os.replace(partial, path)
    _sync(path.parent)


def _digest(data: bytes) -> str:
    return blake2b(data, digest_size=16).hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _verify(path: Path, n_written: int) -> None:
    with closing(connect(path)) as conn:
        if (found := conn.execute("PRAGMA quick_check").fetchone()[0]) != "ok":
            raise SnapshotError(f"{path}: damaged: {found}")
        n_readers = conn.execute("SELECT count(*) FROM readers").fetchone()[0]
        if n_readers != n_written:
            raise SnapshotError(f"{path}: {n_readers} readers kept of {n_written} written")
        load_model(conn, path)


def make_current(folder: Path, run_id: str) -> None:
    """Let a run be served from now on.

    Raises
    ------
    SnapshotError
        If the run's file is not there or damaged; the current run stays.
    """
    path = run_path(folder, run_id)
    if not path.exists():
        raise SnapshotError(f"{path}: no such run; `recsys runs --published {folder}` lists them")
    with closing(connect(path)) as conn:
        base = load_meta(conn, path).base
        load_model(conn, path)
    if base is not None and not run_path(folder, base).exists():
        raise SnapshotError(f"{path}: refreshes {base}, which is not there any more")
    partial = folder / f"{POINTER}.partial"
    partial.write_text(run_id + "\n", "utf-8")
    _sync(partial)
    os.replace(partial, folder / POINTER)
    _sync(folder)


def forget(folder: Path, user_id: str) -> int:
    """Delete a reader from every run of a folder; return in how many they were.

    Each file is written anew, and servers open it anew.
    """
    n_runs = 0
    for run_id in run_ids(folder):
        path = run_path(folder, run_id)
        with closing(connect(path)) as conn:
            meta, machines = load_meta(conn, path), _about(conn)["machines"]
            if find_profile(conn, user_id) is None and user_id not in machines:
                continue
            partial = path.with_suffix(".partial")
            partial.unlink(missing_ok=True)
            make_private(partial)
            conn.execute("VACUUM INTO ?", (str(partial),))
        with closing(sqlite3.connect(partial, isolation_level=None)) as conn:
            n_readers = conn.execute("DELETE FROM readers WHERE user_id = ?", (user_id,)).rowcount
            rest = json.dumps([machine for machine in machines if machine != user_id])
            conn.execute("UPDATE meta SET value = ? WHERE key = 'machines'", (rest,))
            left = json.dumps(meta.n_readers - n_readers)
            conn.execute("UPDATE meta SET value = ? WHERE key = 'n_readers'", (left,))
            conn.execute("VACUUM")
        n_runs += 1
        _sync(partial)
        os.replace(partial, path)
    if n_runs and (current := current_run(folder)) is not None:
        make_current(folder, current)
    return n_runs


def prune(folder: Path, keep: int) -> list[str]:
    """Delete old runs, and what runs that failed left half written; return those deleted.

    The `keep` newest stay, the current one, and the nights that any of these refresh.
    """
    for partial in folder.glob("[0-9]*-*.partial"):
        partial.unlink()
    runs = run_ids(folder)
    kept: set[str | None] = {*runs[-keep:], current_run(folder)}
    for run_id in [run_id for run_id in runs if run_id in kept]:
        path = run_path(folder, run_id)
        try:
            with closing(connect(path)) as conn:
                kept.add(load_meta(conn, path).base)
        except SnapshotError:
            continue  # damaged, or of another format: it refreshes nothing that is served
    deleted = [run_id for run_id in runs if run_id not in kept]
    for run_id in deleted:
        run_path(folder, run_id).unlink(missing_ok=True)
    return deleted


def write_rules(folder: Path, rules: Sequence[Rule]) -> None:
    """Let servers of a folder follow these rules from now on."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{RULES}.partial"
    partial.write_text(json.dumps([asdict(rule) for rule in rules], indent=1) + "\n", "utf-8")
    _sync(partial)
    os.replace(partial, folder / RULES)
    _sync(folder)


# ---- reading ----------------------------------------------------------------------


def load_rules(folder: Path) -> tuple[Rule, ...]:
    """Return the rules that servers of a folder follow; none before the first.

    Raises
    ------
    SnapshotError
        If the file is damaged.
    """
    path = folder / RULES
    try:
        return tuple(rule_of(row) for row in json.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, TypeError) as error:
        raise SnapshotError(
            f"{path}: damaged: {error}; `recsys rules list` with --published writes it anew"
        ) from error


def run_path(folder: Path, run_id: str) -> Path:
    """Return a run's file."""
    return folder / f"{run_id}.sqlite"


def run_ids(folder: Path) -> list[str]:
    """Return the runs in a folder, oldest first (a run id starts with its sequence number)."""
    return sorted(path.stem for path in folder.glob("*.sqlite"))


def current_run(folder: Path) -> str | None:
    """Return the run that is served, None before the first."""
    try:
        return (folder / POINTER).read_text("utf-8").strip() or None
    except FileNotFoundError:
        return None


def require_current(folder: Path) -> str:
    """Return the run that is served.

    Raises
    ------
    NotPublishedError
        If there is none.
    """
    run_id = current_run(folder)
    if run_id is None:
        raise NotPublishedError(
            f"{folder}: nothing is published here; run"
            f" `recsys nightly --store DB --published {folder}` first"
        )
    return run_id


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


def load_meta(conn: sqlite3.Connection, path: Path) -> Meta:
    """Return what a run says of itself.

    Raises
    ------
    SnapshotError
        If it is of another format.
    """
    about = _about(conn)
    if about.get("format") != FORMAT:
        raise SnapshotError(f"{path}: format {about.get('format')}, this recsys reads {FORMAT}")
    values = {f.name: about[f.name] for f in fields(Meta)}
    return Meta(**values | {"weights": BlendConfig(**values["weights"])})


def _about(conn: sqlite3.Connection) -> dict[str, Any]:
    return {k: json.loads(v) for k, v in conn.execute("SELECT key, value FROM meta")}


def load_model(conn: sqlite3.Connection, path: Path) -> tuple[PageModel, RankModel]:
    """Return a run's models; each array is checked against its digest.

    Raises
    ------
    SnapshotError
        If an array is damaged.
    """
    arrays = _load_arrays(conn, path, "name NOT GLOB ?")
    about = _about(conn)

    def rows(name: str) -> Rows:
        return Rows(*(arrays[f"{name}.{f.name}"] for f in fields(Rows)))

    def named(kind: str) -> dict[str, NDArray[Any]]:
        return {
            name.removeprefix(kind): array
            for name, array in arrays.items()
            if name.startswith(kind)
        }

    live = LiveModel(
        live_rows=arrays["live_rows"], static=named("static."), factors=arrays["factors"],
        warm=arrays["warm"],
        gram=arrays["gram"], category=arrays["category"], similar=rows("similar"),
        item_item=rows("item_item"), weights=BlendConfig(**about["weights"]),
        click_confidence=about["click_confidence"],
    )  # fmt: skip
    settings = about["page"] | {"exempt": tuple(about["page"]["exempt"])}
    page = PageModel(
        live, arrays["story"], arrays["importance"], arrays["rise"], arrays["newest"],
        about["n_categories"], PageConfig(**settings),
    )  # fmt: skip
    rank = RankModel(
        rows("vectors"), named("feature."), arrays["written_ms"],
        named("curve."), named("refresh_curve."),
    )  # fmt: skip
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
    about = _about(conn)
    return Carry(**arrays, sections=about["sections"], machines=about["machines"])


def _load_arrays(conn: sqlite3.Connection, path: Path, where: str) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {}
    try:
        rows = conn.execute(f"SELECT * FROM arrays WHERE {where}", (f"{_CARRY}*",))
        for name, dtype, shape, digest, data in rows:
            if _digest(data) != digest:
                raise SnapshotError(f"{path}: array {name} is damaged; `recsys rollback`")
            arrays[name] = np.frombuffer(data, dtype=dtype).reshape(json.loads(shape))
    except sqlite3.Error as error:
        raise SnapshotError(f"{path}: damaged: {error}; `recsys rollback`") from error
    return arrays


def load_articles(conn: sqlite3.Connection) -> list[KnownArticle]:
    """Return a run's known articles, in known order."""
    return [
        KnownArticle(*row)
        for row in conn.execute(
            "SELECT article_id, title, category, author, tags, url, published_at, expires_at"
            " FROM articles ORDER BY article_index"
        )
    ]


def find_profile(conn: sqlite3.Connection, user_id: str) -> tuple[bytes, bytes | None] | None:
    """Return a reader's packed profile and page, as far as this very file has them."""
    row: tuple[bytes, bytes | None] | None = conn.execute(
        "SELECT profile, page FROM readers WHERE user_id = ?", (user_id,)
    ).fetchone()
    return row


def user_ids(conn: sqlite3.Connection) -> set[str]:
    """Return the readers of this very file."""
    return {row[0] for row in conn.execute("SELECT user_id FROM readers")}


def load_profiles(conn: sqlite3.Connection) -> Iterator[tuple[str, bytes]]:
    """Yield the packed profiles of this very file, in id order."""
    yield from conn.execute("SELECT user_id, profile FROM readers ORDER BY user_id")
