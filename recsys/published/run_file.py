"""The file of one published run: its models and articles, written whole or not at all.

A run is `<folder>/<run_id>.sqlite`; `<folder>/current` names the run that is served. The users of
a run are in `recsys.published.user_rows`.
"""

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, fields
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from recsys.blend.curves import RankModel
from recsys.blend.live_model import LiveModel, PageModel, Rows
from recsys.config import Config
from recsys.config_file import config_of, tables_of
from recsys.errors import SnapshotError
from recsys.files import create_private_file, replace_durably
from recsys.page.known_articles import KnownArticle, KnownArticles
from recsys.published.connection import RunConnection, connect, reading
from recsys.published.signature import SIGNATURE, not_signed, sign_run
from recsys.published.sound_model import require_sound
from recsys.published.user_rows import DIGEST_BYTES, load_profiles, signed_digest
from recsys.signals.forecast import Curves

FORMAT = 16
_CARRY, _FORECAST, _EXAMINATION = "carry.", "forecast.", "examination."
_OF_VECTORS = ("word_terms", "word_vectors", "vector_centre", "vector_axes")

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE arrays (
    name TEXT PRIMARY KEY,
    dtype TEXT NOT NULL,
    shape TEXT NOT NULL,        -- JSON list
    digest TEXT NOT NULL,       -- of data, see `digest_of`
    data BLOB NOT NULL
) STRICT;
-- Fields of `KnownArticle`, of all articles in known order: read at once, so kept so.
CREATE TABLE articles (
    name TEXT PRIMARY KEY,
    digest TEXT NOT NULL,       -- of data
    data BLOB NOT NULL          -- JSON list
) STRICT;
-- page: the slots of its lists, see SLOT in recsys.kernels.pages. With rowids: eight rows of half a
-- kilobyte fit on a page of the file, and a tree of their own would need seven steps to find one.
CREATE TABLE users (
    user_id TEXT PRIMARY KEY,
    profile BLOB NOT NULL,      -- see recsys.blend.profiles
    page BLOB,                  -- NULL, as in a refresh: made when it is asked for
    digest BLOB NOT NULL        -- of the three
) STRICT;
"""


@dataclass(frozen=True, slots=True)
class Carry:
    """What a run keeps for the refresh after it; no server reads it.

    Attributes
    ----------
    first_ms : array of int64, shape (n_known,)
        When each article was first clicked or shown; the far future for never.
    n_having : array of unsigned int, shape (n_terms,)
        How many of the articles that the nightly run was trained on have each term.
    n_trained
        How many articles those were.
    live_since : array of bool, shape (n_live,)
        Articles that were not live yet when factors were learned.
    spread : array of float32, shape (n_factors, n_factors)
        See `recsys.signals.collaborative.Factors`.
    sections
        Names of the sections, in the order of their numbers.
    bots
        Users that were left out.
    forecast
        Curves of the forecast; see `recsys.signals.forecast`.
    word_terms, word_vectors
        See `recsys.signals.word_vectors.WordVectors`.
    vector_centre, vector_axes
        See `recsys.signals.given_vectors.Projection`.
    """

    first_ms: NDArray[np.int64]
    n_having: NDArray[np.unsignedinteger]
    n_trained: int
    live_since: NDArray[np.bool_]
    spread: NDArray[np.float32]
    sections: Sequence[str]
    bots: Sequence[str]
    forecast: Curves
    word_terms: NDArray[np.int32]
    word_vectors: NDArray[np.float32]
    vector_centre: NDArray[np.float32]
    vector_axes: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class RunMeta:
    """What a run says about itself.

    Attributes
    ----------
    run_id, as_of
        Its name, and the time (ISO 8601) up to which data was used.
    base
        The nightly run that a refresh builds on: it has the profiles of users without new
        events. None for a nightly run.
    n_users
        Users in this file.
    weights
        Of the signals, by name, as served.
    config
        The settings that it was made with.
    vitals
        What it shows, see `recsys.nightly.publish_gate.Vitals`; None if it shows nothing.
    """

    run_id: str
    base: str | None
    as_of: str
    n_users: int
    weights: Mapping[str, float]
    config: Config
    vitals: dict[str, Any] | None


# ---- writing ----------------------------------------------------------------------


def arrays_of(model: PageModel, rank: RankModel, carry: Carry) -> dict[str, NDArray[Any]]:
    """Return all arrays of a run, by the name that its file gives them."""
    live = model.live
    arrays: dict[str, NDArray[Any]] = {
        "live_rows": live.live_rows,
        "factors": live.factors,
        "warm": live.warm,
        "gram": live.gram,
        "category": live.category,
        "language": model.language,
        "story": model.story,
        "importance": model.importance,
        "rise": model.rise,
        "newest": model.newest,
        "written_ms": rank.written_ms,
        "word_vectors": rank.word_vectors,
        "given_vectors": live.vectors,
    }
    arrays |= {
        f"{_CARRY}{name}": getattr(carry, name)
        for name in ("first_ms", "live_since", "spread", *_OF_VECTORS)
    }
    # Of millions of terms a small site has few.
    terms = np.flatnonzero(carry.n_having).astype(np.int32)
    arrays |= {f"{_CARRY}terms": terms, f"{_CARRY}n_having": carry.n_having[terms]}
    arrays |= {f"{_CARRY}{_FORECAST}{name}": curve for name, curve in carry.forecast.items()}
    arrays |= {f"static.{name}": part for name, part in live.static.items()}
    arrays |= {f"feature.{name}": values for name, values in rank.article_features.items()}
    arrays |= {f"curve.{name}": curve for name, curve in rank.curves.items()}
    arrays |= {f"refresh_curve.{name}": curve for name, curve in rank.refresh_curves.items()}
    arrays |= {f"{_EXAMINATION}{name}": curve for name, curve in model.examination.items()}
    arrays |= {f"filter.{key}": mask for key, mask in model.filters.items()}
    for name, rows in (
        ("similar", live.similar),
        ("item_item", live.item_item),
        ("vectors", rank.vectors),
    ):
        arrays |= {f"{name}.{f.name}": getattr(rows, f.name) for f in fields(Rows)}
    return arrays


def write(
    path: Path,
    meta: RunMeta,
    models: tuple[PageModel, RankModel, Carry],
    articles: Sequence[KnownArticle],
    users: Iterable[tuple[str, bytes, bytes | None]],
    run_key: bytes | None = None,
) -> None:
    """Write a run to a file, whole or not at all: fsynced, then renamed. See `verify`.

    Parameters
    ----------
    path
        Where it goes; an unfinished file of an earlier try is replaced.
    meta, models, articles
        The run; `articles` in known order.
    users
        (user id, packed profile, packed page or None), each id once.
    run_key
        The key that signs it; None for a run without a signature.

    Raises
    ------
    SnapshotError
        If it cannot be written.
    """
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    create_private_file(partial)
    try:
        _fill(partial, meta, models, articles, users, run_key)
        replace_durably(partial, path)
    except sqlite3.Error as error:
        raise SnapshotError(f"{partial}: cannot be written: {error}") from error
    finally:
        partial.unlink(missing_ok=True)


def _fill(
    partial: Path,
    meta: RunMeta,
    models: tuple[PageModel, RankModel, Carry],
    articles: Sequence[KnownArticle],
    users: Iterable[tuple[str, bytes, bytes | None]],
    run_key: bytes | None,
) -> None:
    with closing(sqlite3.connect(partial, isolation_level=None)) as conn:
        # No one reads the file before it is renamed, so a journal would guard nothing.
        conn.execute("PRAGMA journal_mode = OFF")
        conn.execute("PRAGMA synchronous = OFF")
        conn.executescript(_SCHEMA)
        conn.execute("BEGIN")
        about = _about_of(meta, *models)
        conn.executemany(
            "INSERT INTO meta VALUES (?, ?)", ((k, json.dumps(v)) for k, v in about.items())
        )
        conn.executemany(
            "INSERT INTO arrays VALUES (?, ?, ?, ?, ?)",
            (
                (name, array.dtype.str, json.dumps(array.shape), digest_of(data), data)
                for name, array in arrays_of(*models).items()
                for data in (array.tobytes(),)
            ),
        )
        columns = zip(*articles, strict=True) if articles else [()] * len(KnownArticle._fields)
        conn.executemany(
            "INSERT INTO articles VALUES (?, ?, ?)",
            (
                (name, digest_of(data), data)
                for name, column in zip(KnownArticle._fields, columns, strict=True)
                for data in (json.dumps(column, ensure_ascii=False).encode("utf-8"),)
            ),
        )
        before = conn.total_changes
        conn.executemany(
            "INSERT INTO users VALUES (?, ?, ?, ?)",
            ((*row, signed_digest(meta.run_id, *row, run_key)) for row in users),
        )
        n_users = conn.total_changes - before
        if run_key is not None:
            sign_run(conn, run_key)
        conn.execute("COMMIT")
        n_there = conn.execute("SELECT count(*) FROM users").fetchone()[0]
    if n_there != n_users:
        raise SnapshotError(f"{partial}: {n_there} users kept of {n_users} written")


def _about_of(meta: RunMeta, model: PageModel, _: RankModel, carry: Carry) -> dict[str, Any]:
    """Return what the table `meta` holds."""
    about: dict[str, Any] = {
        "format": FORMAT,
        "run_id": meta.run_id,
        "base": meta.base,
        "as_of": meta.as_of,
        "n_users": meta.n_users,
        "weights": dict(meta.weights),
        "config": tables_of(meta.config),
        "vitals": meta.vitals,
        "n_categories": model.n_categories,
        "languages": list(model.languages),
        "click_confidence": model.live.click_confidence,
        "n_trained": carry.n_trained,
        "n_terms": len(carry.n_having),
        "sections": list(carry.sections),
        "bots": list(carry.bots),
    }
    return about | {"digest": digest_of_about(about)}


def digest_of(data: bytes) -> str:
    """Return a fingerprint: SHA-256, which processors have in hardware, cut to 128 bits."""
    return sha256(data).hexdigest()[:32]


def digest_of_about(about: Mapping[str, Any]) -> str:
    """Return the fingerprint of what a run says about itself, without it and the signature."""
    rest = {key: value for key, value in about.items() if key not in ("digest", SIGNATURE)}
    return digest_of(json.dumps(rest, sort_keys=True).encode("utf-8"))


# ---- reading ----------------------------------------------------------------------


def verify(path: Path, run_key: bytes | None = None) -> RunMeta:
    """Read all of a run's file and check it; return what it says about itself.

    Raises
    ------
    SnapshotError
        If anything is damaged or, with a key, not signed by it.
    """
    with closing(connect(path, run_key)) as conn, reading(path):
        if (found := conn.execute("PRAGMA quick_check").fetchone()[0]) != "ok":
            raise SnapshotError(f"{path}: damaged: {found}")
        load_model(conn, path)
        load_carry(conn, path)
        load_articles(conn, path)
        n_users = sum(1 for _ in load_profiles(conn, path))
        if conn.signed is not None and conn.signed.n_users != n_users:
            raise not_signed(f"{path}: its number of users", "`recsys rollback`")
        return load_meta(conn, path)


class _About(msgspec.Struct):
    """The types of the table `meta`."""

    format: int
    digest: str
    run_id: str
    base: str | None
    as_of: str
    n_users: int
    weights: dict[str, float]
    config: dict[str, Any]
    vitals: dict[str, Any] | None
    n_categories: int
    languages: list[str]
    click_confidence: float
    n_trained: int
    n_terms: int
    sections: list[str]
    bots: list[str]


def load_meta(conn: RunConnection, path: Path) -> RunMeta:
    """Return what a run says about itself.

    Raises
    ------
    SnapshotError
        If it is damaged, or of another format.
    """
    about = read_about(conn, path)
    with reading(path):
        return RunMeta(
            run_id=about["run_id"],
            base=about["base"],
            as_of=about["as_of"],
            n_users=about["n_users"],
            weights=about["weights"],
            config=config_of(about["config"], "its settings"),
            vitals=about["vitals"],
        )


def load_bots(conn: RunConnection, path: Path) -> list[str]:
    """Return the ids of the users that a run left out as bots.

    A refresh finds bots of which its base run may have a profile.
    """
    return list(read_about(conn, path)["bots"])


def read_about(conn: RunConnection, path: Path) -> dict[str, Any]:
    """Return the table `meta`, checked.

    Raises
    ------
    SnapshotError
        If it is damaged, or of another format.
    """
    with reading(path):
        if conn.signed is not None:
            about = conn.signed.about
        else:
            about = {k: json.loads(v) for k, v in conn.execute("SELECT key, value FROM meta")}
        if about.get("format") != FORMAT:
            found = about.get("format")
            raise SnapshotError(
                f"{path}: format {found}, this recsys reads {FORMAT}: run `recsys nightly`"
            )
        if digest_of_about(about) != about["digest"]:
            raise SnapshotError(f"{path}: damaged: what it says about itself; `recsys rollback`")
        msgspec.convert(about, _About)
    return about


def load_model(conn: RunConnection, path: Path) -> tuple[PageModel, RankModel]:
    """Return a run's models, of which every array was checked.

    Raises
    ------
    SnapshotError
        If an array is damaged, or does not have the type, shape and range that it must have.
    """
    arrays = _load_arrays(conn, path, "name NOT GLOB ?")
    about = read_about(conn, path)

    def rows(name: str) -> Rows:
        return Rows(*(arrays[f"{name}.{f.name}"] for f in fields(Rows)))

    def named(kind: str) -> dict[str, NDArray[Any]]:
        return {
            name.removeprefix(kind): array
            for name, array in arrays.items()
            if name.startswith(kind)
        }

    with reading(path):
        config = config_of(about["config"], "its settings")
        live = LiveModel(
            live_rows=arrays["live_rows"],
            static=named("static."),
            factors=arrays["factors"],
            warm=arrays["warm"],
            gram=arrays["gram"],
            category=arrays["category"],
            similar=rows("similar"),
            item_item=rows("item_item"),
            vectors=arrays["given_vectors"],
            weights=about["weights"],
            blend=config.blend,
            click_confidence=about["click_confidence"],
        )
        page = PageModel(
            live=live,
            story=arrays["story"],
            importance=arrays["importance"],
            rise=arrays["rise"],
            newest=arrays["newest"],
            filters=named("filter."),
            n_categories=about["n_categories"],
            language=arrays["language"],
            languages=about["languages"],
            examination=named(_EXAMINATION),
            config=config,
        )
        rank = RankModel(
            vectors=rows("vectors"),
            word_vectors=arrays["word_vectors"],
            article_features=named("feature."),
            written_ms=arrays["written_ms"],
            curves=named("curve."),
            refresh_curves=named("refresh_curve."),
        )
        require_sound(page, rank)
    return page, rank


def load_carry(conn: RunConnection, path: Path) -> Carry:
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
    about = read_about(conn, path)
    with reading(path):
        n_having = np.zeros(about["n_terms"], dtype=arrays["n_having"].dtype)
        n_having[arrays["terms"]] = arrays["n_having"]
        return Carry(
            first_ms=arrays["first_ms"],
            n_having=n_having,
            n_trained=about["n_trained"],
            live_since=arrays["live_since"],
            spread=arrays["spread"],
            sections=about["sections"],
            bots=about["bots"],
            forecast={
                name.removeprefix(_FORECAST): curve
                for name, curve in arrays.items()
                if name.startswith(_FORECAST)
            },
            **{name: arrays[name] for name in _OF_VECTORS},
        )


def _load_arrays(conn: RunConnection, path: Path, where: str) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {}
    with reading(path), ThreadPoolExecutor(1) as hashing:  # while the next is read
        query = f"SELECT rowid, name, dtype, shape, digest FROM arrays WHERE {where}"
        checks = []
        for row, name, dtype, shape, digest in conn.execute(query, (f"{_CARRY}*",)):
            if conn.signed and conn.signed.arrays.get(name) != (dtype, shape, digest):
                raise not_signed(f"{path}: array {name}", "`recsys rollback`")
            with conn.blobopen("arrays", "data", row, readonly=True) as blob:
                data = blob.read()  # copied once; a SELECT copies twice
            checks.append((name, digest, hashing.submit(digest_of, data)))
            arrays[name] = np.frombuffer(data, dtype=dtype).reshape(json.loads(shape))
        for name, digest, found in checks:
            if found.result() != digest:
                raise SnapshotError(f"{path}: array {name} is damaged; `recsys rollback`")
    return arrays


def load_articles(conn: RunConnection, path: Path) -> KnownArticles:
    """Return a run's known articles, in known order.

    Raises
    ------
    SnapshotError
        If a column is damaged, or holds anything but its type.
    """
    columns = {}
    with reading(path):
        for name, digest, data in conn.execute("SELECT name, digest, data FROM articles"):
            if digest_of(data) != digest:
                raise SnapshotError(f"{path}: damaged: its articles; `recsys rollback`")
            if conn.signed and conn.signed.articles.get(name) != digest:
                raise not_signed(f"{path}: {name} of its articles", "`recsys rollback`")
            columns[name] = msgspec.json.decode(data, type=KnownArticles.column_type(name))
        return KnownArticles(columns)


def digests(conn: RunConnection, path: Path) -> dict[str, object]:
    """Return digests of all that a run knows, by name: equal for runs that serve the same."""
    found = dict(conn.execute("SELECT name, digest FROM arrays"))
    found |= {
        f"articles.{name}": d for name, d in conn.execute("SELECT name, digest FROM articles")
    }
    whole = blake2b(digest_size=16)
    for (digest,) in conn.execute("SELECT digest FROM users ORDER BY user_id"):
        whole.update(digest[:DIGEST_BYTES])  # the signature after it is of this run alone
    own = ("run_id", "base", "digest", SIGNATURE)
    rest = {name: value for name, value in read_about(conn, path).items() if name not in own}
    return found | rest | {"users": whole.hexdigest()}
