"""A night's model: every signal computed, blended for every live article.

The one composer of the signals; nightly publishes what it returns.
"""

import dataclasses
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.blend.curves import RankModel, age_hours
from recsys.blend.linear import spans
from recsys.blend.live_model import LiveModel, PageModel, Reader, Rows
from recsys.config import BlendConfig, Config
from recsys.page.known_articles import KnownArticle
from recsys.page.rankings import top_n
from recsys.page.stories import story_index
from recsys.published import run_file
from recsys.rows import HOUR_MS, UNKNOWN_TIME
from recsys.signals import affinity, collaborative, popularity, recency
from recsys.signals.event_counts import Events
from recsys.store.database import Store
from recsys.training.carry_over import (
    Last,
    carried_factors,
    carried_item_item,
    live_since,
)
from recsys.training.text_vectors import texts_of
from recsys.training.window import Night

Stage = Callable[[str], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True)
class ReaderFactors:
    """ALS factors and section tastes, a row a reader."""

    factors: NDArray[np.float32]
    affinity: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ArticleModel:
    """What a night knows of the articles.

    Attributes
    ----------
    page
        What a page is made from.
    rank
        What given articles are ordered by.
    carry
        What a refresh takes over beside them.
    articles
        The known articles, as a page shows them.
    factors
        Of readers, in the night's order, and articles.
    counts
        What went in, for the run's report.
    """

    page: PageModel
    rank: RankModel
    carry: run_file.Carry
    articles: Sequence[KnownArticle]
    factors: collaborative.Factors
    counts: dict[str, int]


@dataclass(frozen=True, slots=True)
class Readers:
    """What a night knows of readers; a shard of them is the same of some.

    Attributes
    ----------
    user_ids
        The readers; rows of what follows.
    factors, affinity, read_places
        ALS factors, section tastes, and live articles read.
    reads
        Latest reads of each, newest first within a row, over known articles.
    met, met_counts
        Live articles each was shown or read (rows of 1, over known articles), and their
        `READER_FEATURES` in the order of `met.data`, shape (n_features, met.nnz).
    """

    user_ids: Sequence[str]
    factors: NDArray[np.float32]
    affinity: NDArray[np.float32]
    read_places: csr_matrix
    reads: csr_matrix
    met: csr_matrix
    met_counts: NDArray[np.float32]

    def of(self, rows: Sequence[int]) -> "Readers":
        """Return some readers."""
        inside = spans(self.met.indptr[rows], np.diff(self.met.indptr)[rows])
        return Readers(
            [self.user_ids[row] for row in rows],
            self.factors[rows],
            self.affinity[rows],
            self.read_places[rows],
            self.reads[rows],
            self.met[rows],
            self.met_counts[:, inside],
        )


@dataclass(frozen=True, slots=True)
class Model(ArticleModel):
    """A trained night: the models of the articles, and every reader."""

    readers: Readers


def section_names(
    categories: Sequence[str], known: Sequence[str] = ()
) -> tuple[NDArray[np.int64], list[str]]:
    """Return the section of each article and the names; section 0 is "no section".

    Sections that an earlier run knew keep their places and names.

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
    names = list(known) or [""]
    old = {name.casefold(): place for place, name in enumerate(names)}
    keys = sorted(key for key in spellings if key not in old)
    for key in keys:
        found = sorted(spellings[key], key=lambda s: (-spellings[key][s], s))
        mixed = [s for s in found if not (s.isupper() or s.islower())]
        short = [s for s in found if s.isupper() and len(s) <= 3]
        names.append((mixed or short or [found[0].title()])[0])
    index = old | {key: i for i, key in enumerate(keys, start=len(old))}
    return np.array([index.get(c.casefold(), 0) for c in categories], dtype=np.int64), names


def _rows(matrix: csr_matrix) -> Rows:
    return Rows(
        matrix.indptr.astype(np.int64),
        matrix.indices.astype(np.int32),
        matrix.data.astype(np.float32),
    )


def static_signals(
    events: Events,
    article_key: NDArray[np.int64],
    age_hours: NDArray[np.float64],
    as_of_ms: NDArray[np.int64],
    config: Config,
) -> dict[str, NDArray[np.float64]]:
    """Return the signals of articles that are the same for all readers, unweighted.

    Parameters
    ----------
    events
        Only what is strictly before each instant counts.
    article_key, age_hours, as_of_ms : array, shape (n_queries,)
        The article, its age, and the instant.
    """
    settings = config.popularity
    return {
        "popularity": events.popularity(article_key, as_of_ms, (settings.half_life_hours,))[0],
        "ctr": events.click_rate(
            article_key, as_of_ms, (settings.ctr_half_life_hours,), settings.ctr_prior_views
        )[0],
        "recency": recency.recency(age_hours, half_life_hours=settings.recency_half_life_hours),
    }


def _importance(
    night: Night,
    counted: NDArray[np.int64],
    items: csr_matrix,
    category: NDArray[np.int64],
    ages: NDArray[np.float64],
    config: Config,
) -> NDArray[np.float32]:
    n_articles, timed = len(night.articles.id_map), counted[night.timed[counted]]
    readers = popularity.decayed_clicks(
        night.article_index[timed],
        night.age_hours[timed],
        n_articles=n_articles,
        half_life_hours=config.popularity.importance_half_life_hours,
    )
    dwell = popularity.mean_dwell_share(
        night.article_index[counted],
        night.dwell_seconds[counted],
        n_articles=n_articles,
        full_seconds=2 * config.collaborative.full_dwell_seconds,
    )
    home = affinity.home_category(items, category)
    breadth = popularity.reader_breadth(
        night.article_index[counted], home[night.user_index[counted]], n_articles=n_articles
    )
    live = night.live_rows
    found = popularity.importance(
        readers[live],
        dwell[live],
        breadth[live],
        np.maximum(ages, 0.0),
        half_life_hours=config.popularity.importance_age_half_life_hours,
    )
    return found.astype(np.float32)


def _rise(night: Night, counted: NDArray[np.int64], config: Config) -> NDArray[np.float32]:
    timed = counted[night.timed[counted]]
    return _rise_of(night, night.article_index[timed], night.age_hours[timed], config)


def lifted_by_machines(night: Night, config: Config) -> list[str]:
    """Return the ids that only clicks of machines would lift into the first of Popular Now."""
    clicks, n = night.machine_clicks, config.page.n
    place = night.articles.id_map.index_of_keys(clicks.article_key)
    theirs = (place >= 0) & ~clicks.time_is_bound & (clicks.clicked_ms >= night.counted_from_ms)
    if not theirs.any():
        return []
    timed = night.counted[night.timed[night.counted]]
    article, age_hours = night.article_index[timed], night.age_hours[timed]
    hours = (night.as_of_ms - clicks.clicked_ms[theirs]) / HOUR_MS
    without = _rise_of(night, article, age_hours, config)
    article, age_hours = np.append(article, place[theirs]), np.append(age_hours, hours)
    with_them = _rise_of(night, article, age_hours, config)
    lifted = set(top_n(with_them, n).tolist()) - set(top_n(without, n).tolist())
    return [night.articles.id_map.ids[night.live_rows[i]] for i in sorted(lifted)]


def _rise_of(
    night: Night, article: NDArray[np.int64], age_hours: NDArray[np.float64], config: Config
) -> NDArray[np.float32]:
    """Return how live articles rise by some clicks."""
    halves = config.popularity.now_half_life_hours, config.popularity.expected_half_life_hours
    now, expected = (
        popularity.decayed_clicks(
            article, age_hours, n_articles=len(night.articles.id_map), half_life_hours=half
        )
        for half in halves
    )
    rise = popularity.rise(
        now, expected, now_half_life_hours=halves[0], expected_half_life_hours=halves[1]
    )
    return rise[night.live_rows].astype(np.float32)


def train_articles(
    store: Store,
    night: Night,
    config: Config,
    stage: Stage,
    items: csr_matrix,
    carried: tuple[Last, NDArray[np.float32]] | None = None,
) -> ArticleModel:
    """Return what a night knows of the articles: every signal, for every live one.

    Parameters
    ----------
    store, night, config
        What to learn from; vectors of new texts are kept in the store.
    stage
        Entered with the name of each stage.
    items
        All clicks of the night, from `items_of`.
    carried
        The run to carry on instead of learning anew, and its factors of the night's
        readers (see `recsys.training.carry_over.carried_factors`): a refresh.
    """
    last = None if carried is None else carried[0]
    articles, live, n_articles = night.articles, night.live_rows, len(night.articles.id_map)
    counted = night.counted
    with stage("text"):
        texts = texts_of(store, night, config, last)
    with stage("collaborative"):
        every = items
        if len(counted) < len(night.user_index):
            items = _items(night, counted, config)
        if carried is None or last is None:
            factors = collaborative.fit_als(every, config.collaborative)
            everything = np.arange(n_articles)
            together = collaborative.item_item(items, everything, live, config.collaborative)
            since = np.zeros(len(live), dtype=bool)
        else:
            factors = carried_factors(night, *carried, config.collaborative)
            together = carried_item_item(last, items, live, config.collaborative)
            since = live_since(last, live)
        warm: NDArray[np.bool_] = (factors.article[live] != 0).any(axis=1)
        article_factors = collaborative.cold_factors(
            factors.article[live], warm, texts.similar[live]
        )
    with stage("other signals"):
        category, section = section_names(
            articles.categories, () if last is None else last.carry.sections
        )
        ages = age_hours(night.born_ms[live], night.as_of_ms)  # what is live has been born
        static = static_signals(
            night.events,
            articles.id_map.keys[live],
            ages,
            np.full(len(live), night.as_of_ms),
            config,
        )
        importance = _importance(night, counted, items, category, ages, config)
        stories = story_index(texts.similar[live], night.written_ms[live], config.page)
        newest = np.lexsort((np.arange(len(live)), ages))
        rise = _rise(night, counted, config)
        rank = RankModel(
            vectors=_rows(texts.heaviest),
            article_features=_article_features(night),
            written_ms=night.written_ms,
            curves={},
            refresh_curves={},
        )
    live_model = LiveModel(
        live_rows=live,
        static={n: signal.astype(np.float32) for n, signal in static.items()},
        factors=article_factors,
        warm=warm,
        gram=factors.gram,
        category=category,
        similar=_rows(texts.similar),
        item_item=_rows(together),
        weights=config.blend,
        click_confidence=1.0 + config.collaborative.alpha,
    )
    page = PageModel(live_model, stories, importance, rise, newest, len(section), config.page)
    report_counts = {
        "articles_vectorised": texts.n_counted,
        "articles": n_articles,
        "live_articles": len(live),
        "readers": len(night.users),
        "clicks": len(night.user_index),
        "impressions": night.n_impressions,
        "cold_live_articles": int((~warm).sum()),
        "machines": len(night.machine_keys),
        "machine_clicks": len(night.machine_clicks.user_key),
        "sections": len(section) - 1,
        "stories": len(np.unique(stories)),
    }
    carry = run_file.Carry(
        first_ms=night.events.first_seen_ms(articles.id_map.keys),
        n_having=texts.n_having,
        n_trained=texts.n_trained,
        live_since=since,
        spread=factors.spread,
        sections=section,
        machines=night.machines,
    )
    known = [
        KnownArticle(
            articles.id_map.ids[i],
            articles.titles[i],
            section[category[i]],
            articles.authors[i],
            articles.tags[i],
            articles.urls[i],
            _or_none(articles.published_ms[i]),
            _or_none(articles.expires_ms[i]),
        )
        for i in range(n_articles)
    ]
    return ArticleModel(page, rank, carry, known, factors, report_counts)


def train(
    store: Store,
    night: Night,
    config: Config,
    stage: Stage,
    carried: tuple[Last, ReaderFactors] | None = None,
) -> Model:
    """Return the model of a night, of the articles and of every reader.

    Parameters
    ----------
    store, night, config, stage
        As of `train_articles`.
    carried
        The run to carry on, and what it knew of the night's readers.
    """
    before = None if carried is None else carried[1]
    items = items_of(night, config)
    made = train_articles(
        store,
        night,
        config,
        stage,
        items,
        None if carried is None else (carried[0], carried[1].factors),
    )
    with stage("readers"):
        live, category = made.page.live.live_rows, made.page.live.category
        if before is None:
            likes = affinity.category_affinity(items, category, n_categories=made.page.n_categories)
            likes[:, 0] = 0.0  # "no section" is nothing to prefer
        else:
            likes = np.zeros((len(night.users), made.page.n_categories), dtype=np.float32)
            likes[:, : before.affinity.shape[1]] = before.affinity
        met, met_counts = _met(night)
    return Model(
        made.page,
        made.rank,
        made.carry,
        made.articles,
        made.factors,
        made.counts,
        Readers(
            user_ids=night.users.ids,
            factors=made.factors.user,
            affinity=likes,
            read_places=items[:, live],
            reads=_latest_reads(night, config.blend.known_reads),
            met=met,
            met_counts=met_counts,
        ),
    )


def with_weights(model: Model, weights: BlendConfig) -> Model:
    """Return a model whose parts weigh otherwise in the score."""
    live = dataclasses.replace(model.page.live, weights=weights)
    return dataclasses.replace(model, page=dataclasses.replace(model.page, live=live))


def last_of(night: Night, model: Model) -> Last:
    """Return a model as the run that a refresh carries on."""
    ids = night.articles.id_map.ids
    live, vectors = model.page.live, model.rank.vectors
    return Last(night.as_of_ms, ids, live, vectors, model.carry, night.one_in)


def factors_before(night: Night, last: Model) -> ReaderFactors:
    """Return what an earlier model knew of a night's readers, zeros of those who came since."""
    row_of = {user_id: row for row, user_id in enumerate(last.readers.user_ids)}
    rows = np.array([row_of.get(user_id, -1) for user_id in night.users.ids], dtype=np.int64)
    here = rows >= 0

    def of_today(values: NDArray[np.float32]) -> NDArray[np.float32]:
        found = np.zeros((len(rows), values.shape[1]), dtype=np.float32)
        found[here] = values[rows[here]]
        return found

    return ReaderFactors(of_today(last.readers.factors), of_today(last.readers.affinity))


def items_of(night: Night, config: Config) -> csr_matrix:
    """Return all clicks of a night as weights of readers and articles."""
    return _items(night, np.arange(len(night.user_index)), config)


def _items(night: Night, clicks: NDArray[np.int64], config: Config) -> csr_matrix:
    """Return some of a night's clicks as weights of readers and articles."""
    weights = collaborative.click_weights(
        night.age_hours[clicks], night.dwell_seconds[clicks], config.collaborative
    )
    return collaborative.user_items(
        night.user_index[clicks],
        night.article_index[clicks],
        weights,
        shape=(len(night.users), len(night.articles.id_map)),
    )


def _or_none(instant_ms: np.int64) -> int | None:
    return None if instant_ms == UNKNOWN_TIME else int(instant_ms)


def _latest_reads(night: Night, n: int) -> csr_matrix:
    """Return each reader's latest reads, newest first within a row, values 1."""
    n_users = len(night.users)
    order = np.lexsort((-np.arange(len(night.user_index)), night.user_index))
    users, articles = night.user_index[order], night.article_index[order]
    start = np.searchsorted(users, np.arange(n_users + 1))
    kept = articles[np.arange(len(users)) - start[users] < n]
    indptr = np.concatenate(([0], np.cumsum(np.minimum(np.diff(start), n))))
    shape = (n_users, len(night.articles.id_map))
    return csr_matrix((np.ones(len(kept), dtype=np.float32), kept, indptr), shape=shape)


def _article_features(night: Night) -> dict[str, NDArray[np.float32]]:
    keys = night.articles.id_map.keys
    found = night.events.of_articles(keys, np.full(len(keys), night.as_of_ms))
    return {name: values.astype(np.float32) for name, values in found.items()}


def _met(night: Night) -> tuple[csr_matrix, NDArray[np.float32]]:
    keys = night.articles.id_map.keys
    events = night.events.only(keys[night.live_rows])
    user_key, article_key = events.pairs()
    user = night.users.index_of_keys(user_key)
    article = night.articles.id_map.index_of_keys(article_key)
    kept = np.flatnonzero(user >= 0)
    kept = kept[np.lexsort((article[kept], user[kept]))]
    found = events.of_readers(user_key[kept], article_key[kept], np.full(len(kept), night.as_of_ms))
    indptr = np.searchsorted(user[kept], np.arange(len(night.users) + 1))
    shape = (len(night.users), len(keys))
    met = csr_matrix((np.ones(len(kept), np.float32), article[kept], indptr), shape=shape)
    return met, np.array(list(found.values()), dtype=np.float32)


def reader_of(readers: Readers, row: int) -> Reader:
    """Return one of the readers."""

    def part(matrix: csr_matrix) -> slice:
        return slice(matrix.indptr[row], matrix.indptr[row + 1])

    reads, read, met = readers.reads, readers.read_places, readers.met
    return Reader(
        factors=readers.factors[row],
        affinity=readers.affinity[row],
        reads=reads.indices[part(reads)].astype(np.int64),
        read=np.sort(read.indices[part(read)]).astype(np.int64),
        met=met.indices[part(met)].astype(np.int64),
        met_counts=readers.met_counts[:, part(met)],
    )
