"""One night: from the store to a published run. The one composer of all rooms."""

import dataclasses
import fcntl
import importlib.metadata
import platform
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from recsys import snapshot
from recsys.blend import LiveModel, Reader, Rows, recent_weights
from recsys.config import Config
from recsys.errors import HeldBackError, RecsysError, RunActiveError, SnapshotError
from recsys.page.build import PageBuilder, PageModel, Slot
from recsys.page.compose import LATEST_STORIES, LISTS
from recsys.page.stories import story_index
from recsys.rows import (
    HOUR_MS,
    UNKNOWN_TIME,
    Articles,
    Clicks,
    IdMap,
    Impressions,
    iso,
)
from recsys.signals import affinity, collaborative, popularity, recency, text
from recsys.store import Store, text_digest

BLOCK = 256  # readers scored at once: the block's score matrix stays in the cache
LIBRARIES = ("recsys", "numpy", "scipy", "scikit-learn", "implicit", "polars", "sqlite-utils")


@dataclass(slots=True)
class RunReport:
    """What a run did; stored as JSON in the ledger.

    Attributes
    ----------
    run_id, kind, as_of, status, problems
        Which run, and whether it is served; `problems` says why it is not.
    config
        Fingerprint of the settings.
    window_from
        Oldest click used.
    counts
        Rows read and written, machines left out, and so on.
    seconds
        By stage.
    peak_mb
        Largest resident memory of the process so far, in MiB.
    versions
        Of Python and of the libraries that make the numbers.
    """

    run_id: str
    kind: str
    as_of: str
    status: str = "published"
    problems: list[str] = field(default_factory=list)
    config: str = ""
    window_from: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    peak_mb: int = 0
    versions: dict[str, str] = field(default_factory=dict)


class _Clock:
    """Times stages and tells a listener of each."""

    def __init__(self, report: RunReport, listener: Callable[[str], None]) -> None:
        self._report, self._listener = report, listener

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        self._listener(stage)
        start = time.perf_counter()
        yield
        self._report.seconds[stage] = round(time.perf_counter() - start, 3)


# ---- what a night reads -------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Night:
    """The store's content before `as_of`, on matrix indices.

    Attributes
    ----------
    as_of_ms
        Nothing later is in here.
    articles
        The known articles, in id order.
    users
        Readers with a usable click, in id order.
    user_index, article_index, clicked_ms, dwell_seconds, timed
        Clicks, oldest first, one for each reader and article (their latest);
        `timed` is False where the log knew only a bound.
    impressions
        Within the click-through window.
    live_rows : array of int64
        Indices of live articles, ascending.
    born_ms : array of int64, shape (n_articles,)
        Publication, else first sight; UNKNOWN_TIME for neither.
    n_machines, n_machine_clicks
        Readers left out for inhuman speed, and their clicks.
    """

    as_of_ms: int
    articles: Articles
    users: IdMap
    user_index: NDArray[np.int64]
    article_index: NDArray[np.int64]
    clicked_ms: NDArray[np.int64]
    dwell_seconds: NDArray[np.float32]
    timed: NDArray[np.bool_]
    impressions: Impressions
    live_rows: NDArray[np.int64]
    born_ms: NDArray[np.int64]
    n_machines: int
    n_machine_clicks: int

    @property
    def age_hours(self) -> NDArray[np.float64]:
        """Return the age of each click."""
        return (self.as_of_ms - self.clicked_ms) / HOUR_MS


def read_night(store: Store, as_of_ms: int, config: Config) -> Night:
    """Return what a night at `as_of_ms` may know: nothing of that instant or later."""
    from_ms = as_of_ms - round(config.data.window_days * 24 * HOUR_MS)
    clicks = store.clicks(from_ms=from_ms, before_ms=as_of_ms)
    ctr_from = as_of_ms - round(8 * config.popularity.ctr_half_life_hours * HOUR_MS)
    impressions = store.impressions(from_ms=max(from_ms, ctr_from), before_ms=as_of_ms)
    machine_keys = _machines(clicks, config.data.max_clicks_per_hour)
    human = ~np.isin(clicks.user_key, machine_keys)
    clicks = _select_clicks(clicks, human)
    everything = store.articles(known_by_ms=as_of_ms)
    born, last_seen = _lifetimes(everything, clicks, impressions)
    live = _live(everything, born, last_seen, as_of_ms, config)
    clicked = np.zeros(len(everything.id_map), dtype=bool)
    place = everything.id_map.index_of_keys(clicks.article_key)
    clicked[place[place >= 0]] = True
    known = np.flatnonzero(clicked | live)
    articles = _select_articles(everything, known)
    # One click for each reader and article: the latest.
    article = articles.id_map.index_of_keys(clicks.article_key)
    clicks = _select_clicks(clicks, article >= 0)
    latest = _latest_of_pair(clicks)
    clicks = _select_clicks(clicks, latest)
    all_users = store.users()
    users = IdMap(*_rows_of(all_users, np.unique(clicks.user_key)))
    return Night(
        as_of_ms=as_of_ms,
        articles=articles,
        users=users,
        user_index=users.index_of_keys(clicks.user_key),
        article_index=articles.id_map.index_of_keys(clicks.article_key),
        clicked_ms=clicks.clicked_ms,
        dwell_seconds=clicks.dwell_seconds,
        timed=~clicks.time_is_bound,
        impressions=impressions,
        live_rows=np.flatnonzero(live[known]),
        born_ms=born[known],
        n_machines=len(machine_keys),
        n_machine_clicks=int((~human).sum()),
    )


def _rows_of(id_map: IdMap, keys: NDArray[np.int64]) -> tuple[list[str], NDArray[np.int64]]:
    rows = np.sort(id_map.index_of_keys(keys))
    return [id_map.ids[row] for row in rows.tolist()], id_map.keys[rows]


def _select_clicks(clicks: Clicks, keep: NDArray[np.bool_]) -> Clicks:
    return Clicks(*(getattr(clicks, f.name)[keep] for f in dataclasses.fields(Clicks)))


def _select_articles(articles: Articles, rows: NDArray[np.int64]) -> Articles:
    def pick(values: Sequence[str]) -> list[str]:
        return [values[row] for row in rows.tolist()]

    return Articles(
        id_map=IdMap(pick(articles.id_map.ids), articles.id_map.keys[rows]),
        titles=pick(articles.titles),
        bodies=pick(articles.bodies),
        categories=pick(articles.categories),
        urls=pick(articles.urls),
        authors=pick(articles.authors),
        published_ms=articles.published_ms[rows],
        expires_ms=articles.expires_ms[rows],
        added_ms=articles.added_ms[rows],
        digests=pick(articles.digests),
    )


def _machines(clicks: Clicks, max_clicks_per_hour: int) -> NDArray[np.int64]:
    """Return the keys of readers with more clicks in an hour than a human makes."""
    timed = ~clicks.time_is_bound
    cell = np.stack((clicks.user_key[timed], clicks.clicked_ms[timed] // HOUR_MS))
    cells, n_clicks = np.unique(cell, axis=1, return_counts=True)
    return np.unique(cells[0][n_clicks > max_clicks_per_hour])


def _latest_of_pair(clicks: Clicks) -> NDArray[np.bool_]:
    """Return True for the last click of each reader on each article (clicks are in order)."""
    pair = np.stack((clicks.user_key, clicks.article_key))[:, ::-1]
    _, first_from_end = np.unique(pair, axis=1, return_index=True)
    keep = np.zeros(len(clicks.user_key), dtype=bool)
    keep[len(keep) - 1 - first_from_end] = True
    return keep


def _lifetimes(
    articles: Articles, clicks: Clicks, impressions: Impressions
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return when each article was born (published or first seen), and last clicked."""
    n_articles = len(articles.id_map)
    far = np.iinfo(np.int64).max
    first = np.full(n_articles, far)
    last = np.full(n_articles, UNKNOWN_TIME)
    place = articles.id_map.index_of_keys(clicks.article_key)
    ok = (place >= 0) & ~clicks.time_is_bound
    np.minimum.at(first, place[ok], clicks.clicked_ms[ok])
    np.maximum.at(last, place[ok], clicks.clicked_ms[ok])
    shown = articles.id_map.index_of_keys(impressions.article_key)
    shown_ms = np.repeat(impressions.shown_ms, np.diff(impressions.start))
    np.minimum.at(first, shown[shown >= 0], shown_ms[shown >= 0])
    seen = np.where(first == far, articles.added_ms, first)
    born = np.where(articles.published_ms != UNKNOWN_TIME, articles.published_ms, seen)
    return born, last


def _live(
    articles: Articles,
    born: NDArray[np.int64],
    last_seen: NDArray[np.int64],
    as_of_ms: int,
    config: Config,
) -> NDArray[np.bool_]:
    """Return which articles may be recommended at `as_of_ms`."""
    data = config.data
    young = (born != UNKNOWN_TIME) & (born <= as_of_ms)
    young &= born > as_of_ms - round(data.max_age_hours * HOUR_MS)
    active = last_seen > as_of_ms - round(data.active_hours * HOUR_MS)
    expired = (articles.expires_ms != UNKNOWN_TIME) & (articles.expires_ms <= as_of_ms)
    live: NDArray[np.bool_] = (young | active) & ~expired
    return live


# ---- signals and model --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Model:
    """A trained night: the page's model, and every reader in it."""

    page: PageModel
    articles: Sequence[snapshot.KnownArticle]
    user_ids: Sequence[str]
    factors: NDArray[np.float32]
    affinity: NDArray[np.float32]
    recent_items: csr_matrix
    read_places: csr_matrix


def section_names(categories: Sequence[str]) -> tuple[NDArray[np.int64], list[str]]:
    """Return the section of each article and the names; section 0 is "no section".

    `LIFESTYLE`, `lifestyle` and `Lifestyle` are one section. Its name is the
    commonest spelling in mixed case, else a short one in capitals, else in title case.

    Examples
    --------
    >>> index, names = section_names(["LIFESTYLE", "Lifestyle", "", "UK", "tv shows"])
    >>> index.tolist(), names
    ([1, 1, 0, 3, 2], ['', 'Lifestyle', 'Tv Shows', 'UK'])
    """
    spellings: dict[str, dict[str, int]] = {}
    for category in categories:
        if category:
            counts = spellings.setdefault(category.casefold(), {})
            counts[category] = counts.get(category, 0) + 1
    keys = sorted(spellings)
    names = [""]
    for key in keys:
        found = sorted(spellings[key], key=lambda s: (-spellings[key][s], s))
        mixed = [s for s in found if not (s.isupper() or s.islower())]
        short = [s for s in found if s.isupper() and len(s) <= 3]
        names.append((mixed or short or [found[0].title()])[0])
    index = {key: i for i, key in enumerate(keys, start=1)}
    return np.array([index.get(c.casefold(), 0) for c in categories], dtype=np.int64), names


def article_vectors(store: Store, articles: Articles, config: Config) -> tuple[csr_matrix, int]:
    """Return term counts of articles, and how many had to be counted anew.

    An article is vectorised when it is new or its text (or a text setting) changed;
    otherwise the stored counts serve.
    """
    settings = text_digest(*(repr(getattr(config.text, n)) for n in
                             ("n_features", "title_weight", "category_weight")))  # fmt: skip
    wanted = [f"{settings[:8]}:{digest}" if digest else "" for digest in articles.digests]
    stored_digests, stored = store.text_vectors(config.text.n_features)
    stored_row = {key: row for row, key in enumerate(stored_digests)}
    keys = articles.id_map.keys.tolist()
    new = [i for i, key in enumerate(keys) if wanted[i] and stored_digests.get(key) != wanted[i]]
    counted = text.count_terms(
        [articles.titles[i] for i in new],
        [articles.bodies[i] for i in new],
        [articles.categories[i] for i in new],
        config.text,
    ) if new else csr_matrix((0, config.text.n_features), dtype=np.float32)  # fmt: skip
    store.put_text_vectors([keys[i] for i in new], [wanted[i] for i in new], counted)
    new_row = {i: row for row, i in enumerate(new)}
    indptr, indices, data = [0], [], []
    for i, key in enumerate(keys):
        source, row = (counted, new_row[i]) if i in new_row else (stored, stored_row.get(key, -1))
        if wanted[i] and row >= 0:
            part = slice(source.indptr[row], source.indptr[row + 1])
            indices.append(source.indices[part])
            data.append(source.data[part])
            indptr.append(indptr[-1] + len(indices[-1]))
        else:
            indptr.append(indptr[-1])
    empty_i, empty_f = np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.float32)
    matrix = csr_matrix(
        (np.concatenate((empty_f, *data)), np.concatenate((empty_i, *indices)), indptr),
        shape=(len(keys), config.text.n_features),
    )
    return matrix, len(new)


def _rows(matrix: csr_matrix) -> Rows:
    return Rows(
        matrix.indptr.astype(np.int64),
        matrix.indices.astype(np.int32),
        matrix.data.astype(np.float32),
    )


def _static_parts(night: Night, config: Config) -> dict[str, NDArray[np.float32]]:
    n_articles, live = len(night.articles.id_map), night.live_rows
    timed, ages = night.timed, night.age_hours
    clicks = popularity.decayed_clicks(
        night.article_index[timed], ages[timed],
        n_articles=n_articles, half_life_hours=config.popularity.half_life_hours,
    )  # fmt: skip
    seen, weights = night.impressions, config.blend
    shown_age = (night.as_of_ms - np.repeat(seen.shown_ms, np.diff(seen.start))) / HOUR_MS
    # A click on what was shown counts from when it was made, not from when it was shown.
    made = np.repeat(
        np.where(seen.clicked_ms == UNKNOWN_TIME, seen.shown_ms, seen.clicked_ms),
        np.diff(seen.start),
    )
    shown = night.articles.id_map.index_of_keys(seen.article_key)
    ok, hit = shown >= 0, (shown >= 0) & seen.clicked & (made < night.as_of_ms)
    views, hits = (
        popularity.decayed_clicks(
            shown[mask], shown_age[mask],
            n_articles=n_articles, half_life_hours=config.popularity.ctr_half_life_hours,
        )
        for mask in (ok, hit)
    )  # fmt: skip
    rate = popularity.log_click_rate(hits, views, prior_views=config.popularity.ctr_prior_views)
    born_age = _born_age_hours(night)[live]
    return {
        "popularity": (weights.popularity * popularity.log_share(clicks)[live]).astype(np.float32),
        "ctr": (weights.ctr * rate[live]).astype(np.float32),
        "recency": (weights.recency * recency.recency(born_age)).astype(np.float32),
    }


def _born_age_hours(night: Night) -> NDArray[np.float64]:
    known = night.born_ms != UNKNOWN_TIME
    return np.where(known, (night.as_of_ms - night.born_ms) / HOUR_MS, np.inf)


def _importance(
    night: Night, items: csr_matrix, category: NDArray[np.int64], config: Config
) -> NDArray[np.float32]:
    n_articles, timed = len(night.articles.id_map), night.timed
    readers = popularity.decayed_clicks(
        night.article_index[timed], night.age_hours[timed],
        n_articles=n_articles, half_life_hours=config.popularity.importance_half_life_hours,
    )  # fmt: skip
    dwell = popularity.mean_dwell_share(
        night.article_index, night.dwell_seconds, n_articles=n_articles,
        full_seconds=2 * config.collaborative.full_dwell_seconds,
    )  # fmt: skip
    home = affinity.home_category(items, category)
    breadth = popularity.reader_breadth(
        night.article_index, home[night.user_index], n_articles=n_articles
    )
    return popularity.importance(readers, dwell, breadth)[night.live_rows].astype(np.float32)


def _rise(night: Night, config: Config) -> NDArray[np.float32]:
    timed = night.timed
    halves = config.popularity.now_half_life_hours, config.popularity.expected_half_life_hours
    now, expected = (
        popularity.decayed_clicks(
            night.article_index[timed], night.age_hours[timed],
            n_articles=len(night.articles.id_map), half_life_hours=half,
        )
        for half in halves
    )  # fmt: skip
    rise = popularity.rise(
        now, expected, now_half_life_hours=halves[0], expected_half_life_hours=halves[1]
    )
    return rise[night.live_rows].astype(np.float32)


def train(store: Store, night: Night, config: Config, stage: _Clock, report: RunReport) -> Model:
    """Return the model of a night: every signal, blended, for every live article."""
    articles, live, n_articles = night.articles, night.live_rows, len(night.articles.id_map)
    with stage("text"):
        counts, n_counted = article_vectors(store, articles, config)
        vectors = text.tfidf(counts)
        similar = text.similar_articles(vectors, vectors[live], live, config.text)
        report.counts["articles_vectorised"] = n_counted
    with stage("collaborative"):
        weights = collaborative.click_weights(
            night.age_hours, night.dwell_seconds, config.collaborative
        )
        items = collaborative.user_items(
            night.user_index, night.article_index, weights, shape=(len(night.users), n_articles)
        )
        factors = collaborative.fit_als(items, config.collaborative)
        warm: NDArray[np.bool_] = (factors.article[live] != 0).any(axis=1)
        article_factors = collaborative.cold_factors(factors.article[live], warm, similar[live])
        together = collaborative.item_item(items, config.collaborative)[:, live]
        together.sort_indices()
    with stage("other signals"):
        category, section = section_names(articles.categories)
        likes = affinity.category_affinity(items, category, n_categories=len(section))
        likes[:, 0] = 0.0  # "no section" is nothing to prefer
        static = _static_parts(night, config)
        importance = _importance(night, items, category, config)
        stories = story_index(similar[live], threshold=config.page.story_similarity)
        newest = np.lexsort((np.arange(len(live)), _born_age_hours(night)[live]))
        rise = _rise(night, config)
    live_model = LiveModel(
        live_rows=live, static=static, factors=article_factors, gram=factors.gram,
        category=category, similar=_rows(similar), item_item=_rows(together),
        weights=config.blend, click_confidence=1.0 + config.collaborative.alpha,
    )  # fmt: skip
    page = PageModel(
        live_model, stories, importance, rise, newest, len(section), config.page.story_similarity
    )
    report.counts |= {
        "articles": n_articles, "live_articles": len(live), "readers": len(night.users),
        "clicks": len(night.user_index), "impressions": len(night.impressions.shown_ms),
        "cold_live_articles": int((~warm).sum()), "machines": night.n_machines,
        "machine_clicks": night.n_machine_clicks, "sections": len(section) - 1,
        "stories": len(np.unique(stories)),
    }  # fmt: skip
    return Model(
        page=page,
        articles=[
            snapshot.KnownArticle(
                articles.id_map.ids[i], articles.titles[i], section[category[i]],
                articles.urls[i], _or_none(articles.published_ms[i]),
                _or_none(articles.expires_ms[i]),
            )
            for i in range(n_articles)
        ],
        user_ids=night.users.ids,
        factors=factors.user,
        affinity=likes,
        recent_items=_recent_items(night, config),
        read_places=items[:, live],
    )  # fmt: skip


def _or_none(instant_ms: np.int64) -> int | None:
    return None if instant_ms == UNKNOWN_TIME else int(instant_ms)


def _recent_items(night: Night, config: Config) -> csr_matrix:
    """Return weights of each reader's latest reads, newest first within a row."""
    n_users, n_recent = len(night.users), config.blend.recent_reads
    order = np.lexsort((-np.arange(len(night.user_index)), night.user_index))
    users, articles = night.user_index[order], night.article_index[order]
    start = np.searchsorted(users, np.arange(n_users + 1))
    rank = np.arange(len(users)) - start[users]
    keep = rank < n_recent
    n_of = np.minimum(np.diff(start), n_recent)
    sums = [recent_weights(n, config.blend.recent_decay) for n in range(n_recent + 1)]
    data = np.concatenate([np.zeros(0, np.float32), *(sums[n] for n in n_of.tolist())])
    indptr = np.concatenate(([0], np.cumsum(n_of)))
    return csr_matrix((data, articles[keep], indptr), shape=(n_users, len(night.articles.id_map)))


# ---- pages --------------------------------------------------------------------------


def reader_of(model: Model, row: int) -> Reader:
    """Return one reader of a model."""
    recent, read = model.recent_items, model.read_places
    return Reader(
        model.factors[row],
        model.affinity[row],
        recent.indices[recent.indptr[row] : recent.indptr[row + 1]].astype(np.int64),
        np.sort(read.indices[read.indptr[row] : read.indptr[row + 1]]).astype(np.int64),
    )


def reader_pages(
    model: Model, n_slots: dict[str, int]
) -> Iterator[tuple[str, Reader, dict[str, list[Slot]]]]:
    """Yield every reader and their page, in blocks."""
    live = model.page.live
    n_live = len(live.live_rows)
    similar = csr_matrix(
        (live.similar.value, live.similar.column, live.similar.start),
        shape=(len(model.articles), n_live),
    )
    builder = PageBuilder(model.page)
    order = sorted(range(len(model.user_ids)), key=model.user_ids.__getitem__)
    for start in range(0, len(order), BLOCK):
        rows = order[start : start + BLOCK]
        readers = [reader_of(model, row) for row in rows]
        cosine = (model.recent_items[rows] @ similar).toarray().astype(np.float32)
        pages = builder.block(readers, live.weights.text * cosine, n_slots)
        yield from zip((model.user_ids[row] for row in rows), readers, pages, strict=True)


def common_pages(
    model: Model, n_slots: dict[str, int]
) -> Iterator[tuple[str, int, dict[str, list[Slot]]]]:
    """Yield the anonymous front page, then the anonymous page of each live article."""
    builder = PageBuilder(model.page)
    yield snapshot.ANONYMOUS, -1, builder.page(None, None, n_slots).lists
    for known in model.page.live.live_rows.tolist():
        yield snapshot.ARTICLE, known, builder.page(None, known, n_slots).lists


# ---- the run ------------------------------------------------------------------------


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; the system lets go of it if the process dies."""
    with (folder / ".lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunActiveError(f"{folder}: another run is active here") from error
        yield


def problems_of(model: Model, folder: Path, config: Config) -> list[str]:
    """Return what looks wrong with tonight, against sane bounds and the current run."""
    n_live, n_readers = len(model.page.live.live_rows), len(model.user_ids)
    if not n_live:
        return ["no live articles: are articles or clicks of the last days in the store?"]
    run_id = snapshot.current_run(folder)
    if run_id is None:
        return []
    path = snapshot.run_path(folder, run_id)
    try:
        conn = snapshot.connect(path)
        try:
            last = snapshot.load_meta(conn, path)
        finally:
            conn.close()
    except SnapshotError:
        return []  # a damaged current run is no yardstick, and a reason to publish
    share = config.publish.min_share_of_last_run
    pairs = (("live articles", n_live, last.n_live), ("readers", n_readers, last.n_readers))
    return [
        f"{tonight} {what}, {before} in {run_id}: below the share of {share}"
        for what, tonight, before in pairs
        if tonight < share * before
    ]


def _next_run_id(folder: Path, store: Store, as_of_ms: int) -> str:
    known = snapshot.run_ids(folder) + [run["run_id"] for run in store.runs()]
    sequence = max((int(r[:6]) for r in known if r[:6].isdigit()), default=0) + 1
    return f"{sequence:06d}-{iso(as_of_ms)[:19].replace(':', '').replace('-', '')}Z"


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        found[name] = importlib.metadata.version(name)
    return found


def run_nightly(
    store: Store,
    folder: Path,
    *,
    as_of_ms: int,
    config: Config,
    listener: Callable[[str], None] = lambda stage: None,
) -> RunReport:
    """Train, score and publish one night.

    Parameters
    ----------
    store
        What to learn from; the run is entered in its ledger.
    folder
        Where runs are published; made if absent.
    as_of_ms
        Nothing of this instant or later is used.
    config
        All settings.
    listener
        Told the name of each stage as it starts.

    Returns
    -------
    RunReport
        Of a run that is now served.

    Raises
    ------
    HeldBackError
        If the run looks wrong: it is kept, in the ledger and as a file, not served.
    RunActiveError
        If another run is at work on this folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _lock(folder):
        run_id = _next_run_id(folder, store, as_of_ms)
        report = RunReport(run_id, "nightly", iso(as_of_ms), config=config.digest())
        report.versions = _versions()
        report.window_from = iso(as_of_ms - round(config.data.window_days * 24 * HOUR_MS))
        try:
            _run(store, folder, as_of_ms, config, report, _Clock(report, listener))
        except (RecsysError, OSError, ValueError) as error:
            report.status, report.problems = "failed", [str(error)]
            raise
        finally:
            report.peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            store.put_run(
                run_id, report.kind, report.as_of, report.status, dataclasses.asdict(report)
            )
    if report.problems:
        raise HeldBackError(run_id, report.problems)
    return report


def _run(
    store: Store, folder: Path, as_of_ms: int, config: Config, report: RunReport, stage: _Clock
) -> None:
    with stage("read"):
        night = read_night(store, as_of_ms, config)
    model = train(store, night, config, stage, report)
    n_slots = dict.fromkeys(LISTS, config.page.n) | {LATEST_STORIES: config.page.n_latest}
    with stage("score and write"), threadpool_limits(1, "blas"):
        meta = snapshot.Meta(
            run_id=report.run_id, as_of=report.as_of, n=config.page.n,
            n_latest=config.page.n_latest, n_live=len(night.live_rows),
            n_readers=len(model.user_ids), weights=config.blend,
        )  # fmt: skip
        snapshot.write(
            snapshot.run_path(folder, report.run_id), meta, model.page, model.articles,
            reader_pages(model, n_slots), common_pages(model, n_slots),
        )  # fmt: skip
    with stage("publish"):
        report.problems = problems_of(model, folder, config)
        if report.problems:
            report.status = "held back"
            return
        snapshot.make_current(folder, report.run_id)
        snapshot.prune(folder, config.publish.keep_runs)
