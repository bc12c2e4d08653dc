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

from recsys.blend.curves import RankModel
from recsys.blend.linear import spans
from recsys.blend.live_model import LiveModel, PageModel, Rows, UserState
from recsys.config import BlendConfig, Config
from recsys.page.known_articles import KnownArticle
from recsys.page.stories import story_index
from recsys.published import run_file
from recsys.rows import UNKNOWN_TIME, Articles
from recsys.signals import affinity, collaborative
from recsys.store.database import Store
from recsys.training.article_signals import (
    article_signals,
    section_names,
)
from recsys.training.carry_over import (
    BaseRun,
    carried_factors,
    carried_item_item,
    live_since,
)
from recsys.training.text_vectors import texts_of
from recsys.training.window import TrainingWindow

Stage = Callable[[str], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True)
class UserFactors:
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
class TrainedUsers:
    """What a night knows of readers; a shard of them is the same of some.

    Attributes
    ----------
    user_ids
        The readers; rows of what follows.
    factors, affinity, read_places
        ALS factors, section tastes, and live articles read.
    reads
        Latest reads of each, newest first within a row, over known articles.
    met, exposure_counts
        Live articles each was shown or read (rows of 1, over known articles), and their
        `USER_FEATURES` in the order of `met.data`, shape (n_features, met.nnz).
    """

    user_ids: Sequence[str]
    factors: NDArray[np.float32]
    affinity: NDArray[np.float32]
    read_places: csr_matrix
    reads: csr_matrix
    exposed: csr_matrix
    exposure_counts: NDArray[np.float32]

    def of(self, rows: Sequence[int]) -> "TrainedUsers":
        """Return some readers."""
        inside = spans(self.exposed.indptr[rows], np.diff(self.exposed.indptr)[rows])
        return TrainedUsers(
            [self.user_ids[row] for row in rows],
            self.factors[rows],
            self.affinity[rows],
            self.read_places[rows],
            self.reads[rows],
            self.exposed[rows],
            self.exposure_counts[:, inside],
        )


@dataclass(frozen=True, slots=True)
class Model(ArticleModel):
    """A trained night: the models of the articles, and every reader."""

    readers: TrainedUsers


def _rows(matrix: csr_matrix) -> Rows:
    return Rows(
        matrix.indptr.astype(np.int64),
        matrix.indices.astype(np.int32),
        matrix.data.astype(np.float32),
    )


def train_articles(
    store: Store,
    window: TrainingWindow,
    config: Config,
    stage: Stage,
    items: csr_matrix,
    carried: tuple[BaseRun, NDArray[np.float32]] | None = None,
) -> ArticleModel:
    """Return the article model of a training window: every signal of every live article.

    Parameters
    ----------
    store, window, config
        What to learn from; vectors of new texts are kept in the store.
    stage
        Entered with the name of each stage.
    items
        All clicks of the window, from `items_of`.
    carried
        For a refresh: the base run, and its factors of the window's users (see
        `recsys.training.carry_over.carried_factors`). None for a nightly run.
    """
    base = None if carried is None else carried[0]
    articles, live = window.articles, window.live_rows
    with stage("text"):
        texts = texts_of(store, window, config, base)
    with stage("collaborative"):
        items_counted = items
        if len(window.counted) < len(window.user_index):
            items_counted = _items(window, window.counted, config)
        factors, together, is_new = _collaborative(window, config, items, items_counted, carried)
        warm: NDArray[np.bool_] = (factors.article[live] != 0).any(axis=1)
        article_factors = collaborative.cold_factors(
            factors.article[live], warm, texts.similar[live]
        )
    with stage("other signals"):
        category, sections = section_names(
            articles.categories, () if base is None else base.carry.sections
        )
        signals = article_signals(window, items_counted, category, config)
        stories = story_index(texts.similar[live], window.written_ms[live], config.page)
    live_model = LiveModel(
        live_rows=live,
        static=signals.static,
        factors=article_factors,
        warm=warm,
        gram=factors.gram,
        category=category,
        similar=_rows(texts.similar),
        item_item=_rows(together),
        weights=config.blend,
        click_confidence=1.0 + config.collaborative.alpha,
    )
    return ArticleModel(
        page=PageModel(
            live=live_model,
            story=stories,
            importance=signals.importance,
            rise=signals.rise,
            newest=signals.newest,
            n_categories=len(sections),
            config=config.page,
        ),
        rank=RankModel(
            vectors=_rows(texts.heaviest),
            article_features=signals.features,
            written_ms=window.written_ms,
            curves={},
            refresh_curves={},
        ),
        carry=run_file.Carry(
            first_ms=window.events.first_seen_ms(articles.id_map.keys),
            n_having=texts.n_having,
            n_trained=texts.n_trained,
            live_since=is_new,
            spread=factors.spread,
            sections=sections,
            bots=window.bots,
        ),
        articles=_known_articles(articles, category, sections),
        factors=factors,
        counts=_counts(window)
        | {
            "articles_vectorised": texts.n_counted,
            "cold_live_articles": int((~warm).sum()),
            "sections": len(sections) - 1,
            "stories": len(np.unique(stories)),
        },
    )


def _collaborative(
    window: TrainingWindow,
    config: Config,
    items: csr_matrix,
    items_counted: csr_matrix,
    carried: tuple[BaseRun, NDArray[np.float32]] | None,
) -> tuple[collaborative.Factors, csr_matrix, NDArray[np.bool_]]:
    """Return ALS factors, articles read together, and which live articles are new to them.

    A nightly run learns them; a refresh carries those of the base run on.
    """
    live = window.live_rows
    if carried is None:
        everything = np.arange(len(window.articles.id_map))
        return (
            collaborative.fit_als(items, config.collaborative),
            collaborative.item_item(items_counted, everything, live, config.collaborative),
            np.zeros(len(live), dtype=bool),
        )
    return (
        carried_factors(window, *carried, config.collaborative),
        carried_item_item(carried[0], items_counted, live, config.collaborative),
        live_since(carried[0], live),
    )


def _counts(window: TrainingWindow) -> dict[str, int]:
    """Return the sizes of a training window, for the run's report."""
    return {
        "articles": len(window.articles.id_map),
        "live_articles": len(window.live_rows),
        "readers": len(window.users),
        "clicks": len(window.user_index),
        "impressions": window.n_impressions,
        "bots": len(window.bot_keys),
        "bot_clicks": len(window.bot_clicks.user_key),
    }


def _known_articles(
    articles: Articles, category: NDArray[np.int64], sections: Sequence[str]
) -> list[KnownArticle]:
    """Return the articles of a training window as a page shows them."""
    return [
        KnownArticle(
            articles.id_map.ids[i],
            articles.titles[i],
            sections[category[i]],
            articles.authors[i],
            articles.tags[i],
            articles.urls[i],
            _or_none(articles.published_ms[i]),
            _or_none(articles.expires_ms[i]),
        )
        for i in range(len(articles.id_map))
    ]


def train(
    store: Store,
    window: TrainingWindow,
    config: Config,
    stage: Stage,
    carried: tuple[BaseRun, UserFactors] | None = None,
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
    items = items_of(window, config)
    made = train_articles(
        store,
        window,
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
            likes = np.zeros((len(window.users), made.page.n_categories), dtype=np.float32)
            likes[:, : before.affinity.shape[1]] = before.affinity
        exposed, exposure_counts = _met(window)
    return Model(
        made.page,
        made.rank,
        made.carry,
        made.articles,
        made.factors,
        made.counts,
        TrainedUsers(
            user_ids=window.users.ids,
            factors=made.factors.user,
            affinity=likes,
            read_places=items[:, live],
            reads=_latest_reads(window, config.blend.known_reads),
            exposed=exposed,
            exposure_counts=exposure_counts,
        ),
    )


def with_weights(model: Model, weights: BlendConfig) -> Model:
    """Return a model whose parts weigh otherwise in the score."""
    live = dataclasses.replace(model.page.live, weights=weights)
    return dataclasses.replace(model, page=dataclasses.replace(model.page, live=live))


def base_run_of(window: TrainingWindow, model: Model) -> BaseRun:
    """Return a model as the run that a refresh carries on."""
    ids = window.articles.id_map.ids
    live, vectors = model.page.live, model.rank.vectors
    return BaseRun(window.as_of_ms, ids, live, vectors, model.carry, window.sample_one_in)


def factors_before(window: TrainingWindow, last: Model) -> UserFactors:
    """Return what an earlier model knew of a night's readers, zeros of those who came since."""
    row_of = {user_id: row for row, user_id in enumerate(last.readers.user_ids)}
    rows = np.array([row_of.get(user_id, -1) for user_id in window.users.ids], dtype=np.int64)
    here = rows >= 0

    def of_today(values: NDArray[np.float32]) -> NDArray[np.float32]:
        found = np.zeros((len(rows), values.shape[1]), dtype=np.float32)
        found[here] = values[rows[here]]
        return found

    return UserFactors(of_today(last.readers.factors), of_today(last.readers.affinity))


def items_of(window: TrainingWindow, config: Config) -> csr_matrix:
    """Return all clicks of a night as weights of readers and articles."""
    return _items(window, np.arange(len(window.user_index)), config)


def _items(window: TrainingWindow, clicks: NDArray[np.int64], config: Config) -> csr_matrix:
    """Return some of a night's clicks as weights of readers and articles."""
    weights = collaborative.click_weights(
        window.age_hours[clicks], window.dwell_seconds[clicks], config.collaborative
    )
    return collaborative.user_items(
        window.user_index[clicks],
        window.article_index[clicks],
        weights,
        shape=(len(window.users), len(window.articles.id_map)),
    )


def _or_none(instant_ms: np.int64) -> int | None:
    return None if instant_ms == UNKNOWN_TIME else int(instant_ms)


def _latest_reads(window: TrainingWindow, n: int) -> csr_matrix:
    """Return each reader's latest reads, newest first within a row, values 1."""
    n_users = len(window.users)
    order = np.lexsort((-np.arange(len(window.user_index)), window.user_index))
    users, articles = window.user_index[order], window.article_index[order]
    start = np.searchsorted(users, np.arange(n_users + 1))
    kept = articles[np.arange(len(users)) - start[users] < n]
    indptr = np.concatenate(([0], np.cumsum(np.minimum(np.diff(start), n))))
    shape = (n_users, len(window.articles.id_map))
    return csr_matrix((np.ones(len(kept), dtype=np.float32), kept, indptr), shape=shape)


def _met(window: TrainingWindow) -> tuple[csr_matrix, NDArray[np.float32]]:
    keys = window.articles.id_map.keys
    events = window.events.only(keys[window.live_rows])
    user_key, article_key = events.pairs()
    user = window.users.index_of_keys(user_key)
    article = window.articles.id_map.index_of_keys(article_key)
    kept = np.flatnonzero(user >= 0)
    kept = kept[np.lexsort((article[kept], user[kept]))]
    found = events.of_users(user_key[kept], article_key[kept], np.full(len(kept), window.as_of_ms))
    indptr = np.searchsorted(user[kept], np.arange(len(window.users) + 1))
    shape = (len(window.users), len(keys))
    exposed = csr_matrix((np.ones(len(kept), np.float32), article[kept], indptr), shape=shape)
    return exposed, np.array(list(found.values()), dtype=np.float32)


def user_state_of(readers: TrainedUsers, row: int) -> UserState:
    """Return one of the readers."""

    def part(matrix: csr_matrix) -> slice:
        return slice(matrix.indptr[row], matrix.indptr[row + 1])

    reads, read, exposed = readers.reads, readers.read_places, readers.exposed
    return UserState(
        factors=readers.factors[row],
        affinity=readers.affinity[row],
        reads=reads.indices[part(reads)].astype(np.int64),
        read=np.sort(read.indices[part(read)]).astype(np.int64),
        exposed=exposed.indices[part(exposed)].astype(np.int64),
        exposure_counts=readers.exposure_counts[:, part(exposed)],
    )
