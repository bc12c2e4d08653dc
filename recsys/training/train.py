"""Train a run: compute every signal of the live articles, and the state of every user.

A nightly run, a refresh and the evaluation all train by the functions of this file, so
what is measured is what is served.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.blend.curves import RankModel, age_hours
from recsys.blend.live_model import LiveModel, PageModel, Rows
from recsys.blend.signal_table import signal_weights
from recsys.config import Config
from recsys.page.filters import filter_masks
from recsys.page.known_articles import KnownArticle
from recsys.page.stories import story_index
from recsys.published import run_file
from recsys.rows import UNKNOWN_TIME, Articles
from recsys.signals import affinity, collaborative
from recsys.signals.forecast import Curves
from recsys.signals.own_signals import NO_OWN_SIGNALS, OwnSignals
from recsys.store.database import Store
from recsys.training.article_signals import (
    article_signals,
    assign_languages,
    assign_sections,
)
from recsys.training.article_vectors import ArticleVectors, build_article_vectors
from recsys.training.carry_over import (
    BaseRun,
    came_live_since,
    carried_factors,
    carried_item_item,
)
from recsys.training.damped import Damped, damped_articles
from recsys.training.liveness import has_title
from recsys.training.text_vectors import TextModel, build_text_model
from recsys.training.topics import topics_of
from recsys.training.users import TrainedUsers, UserFactors, exposures, latest_reads
from recsys.training.window import TrainingWindow

Stage = Callable[[str], AbstractContextManager[dict[str, int]]]


@dataclass(frozen=True, slots=True)
class ArticleModel:
    """The articles' half of a trained run.

    Attributes
    ----------
    page
        What pages are built from.
    rank
        What `Recommender.rank` orders given articles by.
    carry
        What is kept for the next refresh alone.
    articles
        The known articles, as a page shows them.
    factors
        ALS factors of the window's users and articles.
    counts
        Sizes of the input and of the model, for the run's report.
    damped
        See `recsys.training.damped`.
    warnings
        Those of the training window, of damped articles and of sources held to their turn.
    """

    page: PageModel
    rank: RankModel
    carry: run_file.Carry
    articles: Sequence[KnownArticle]
    factors: collaborative.Factors
    counts: dict[str, int]
    damped: Sequence[Damped]
    warnings: Sequence[str]


@dataclass(frozen=True, slots=True)
class Model(ArticleModel):
    """A trained run: the articles' half, and all users."""

    users: TrainedUsers


@dataclass(frozen=True, slots=True)
class _CollaborativeModel:
    """The collaborative signals.

    Attributes
    ----------
    factors
        ALS factors of the window's users and articles.
    item_item : csr_matrix, shape (n_articles, n_live)
        How often articles are read by the same users.
    came_live_since : array of bool, shape (n_live,)
        Articles that were not live yet when the factors were learned.
    """

    factors: collaborative.Factors
    item_item: csr_matrix
    came_live_since: NDArray[np.bool_]


AnyModel = TypeVar("AnyModel", bound=ArticleModel)


def train_articles(
    store: Store,
    window: TrainingWindow,
    config: Config,
    stage: Stage,
    user_items: csr_matrix,
    curves: Curves,
    carried: tuple[BaseRun, NDArray[np.float32]] | None = None,
    own: OwnSignals = NO_OWN_SIGNALS,
) -> ArticleModel:
    """Train the article model on a training window: every signal of every live article.

    Parameters
    ----------
    store
        Where texts are read and the term counts of new ones are kept.
    window
        The training window.
    config
        All settings.
    stage
        Entered with the name of each stage of the work; gives a dict for what the stage counts.
    user_items : csr_matrix, shape (n_users, n_articles)
        Confidence of all clicks of the window, from `window_user_items`.
    curves
        Of the forecast, from `recsys.learn.forecast`; empty where none were learned. A refresh
        gives those of the base run.
    carried
        For a refresh: the base run, and its factors of the window's users (see
        `recsys.training.carry_over.carried_factors`). None for a nightly run.
    own
        Signals that the caller gives; their weight is 0 until it is learned.
    """
    base = None if carried is None else carried[0]
    articles, live = window.articles, window.live_rows
    with stage("text") as counts:
        texts = build_text_model(store, window, config, base)
        counts["articles"] = len(articles.id_map)
    with stage("article vectors") as counts:
        vectors = build_article_vectors(store, window, texts.heaviest, user_items, base)
        counts["terms"] = len(vectors.words.terms)
        counts["articles_with_given_vector"] = int(vectors.given.any(axis=1).sum())
    with stage("collaborative") as counts:
        counted_items = user_items
        if len(window.counted_clicks) < len(window.user_index):
            counted_items = _user_items(window, window.counted_clicks, config)
        is_settled = window.events.is_settled(window.users.keys, window.as_of_ms)
        pairing = collaborative.pairing_users(counted_items, is_settled)
        together = _collaborative_model(window, config, user_items, pairing, carried)
        warm: NDArray[np.bool_] = (together.factors.article[live] != 0).any(axis=1)
        live_factors = collaborative.cold_factors(
            together.factors.article[live], warm, texts.similar[live]
        )
        counts |= {"users": len(window.users), "cold_live_articles": int((~warm).sum())}
    with stage("other signals") as counts:
        known_sections = () if base is None else base.carry.sections
        category, sections = assign_sections(articles.categories, known_sections)
        signals = article_signals(window, counted_items, category, config, curves, own)
        damped, of_damped = damped_articles(window, config.popularity)
        stories = story_index(texts.similar[live], window.written_ms[live], config.page)
        counts |= {"live_articles": len(live), "stories": len(np.unique(stories))}
    live_model = LiveModel(
        live_rows=live,
        static=signals.static,
        factors=live_factors,
        warm=warm,
        gram=together.factors.gram,
        category=category,
        similar=_rows(texts.similar),
        item_item=_rows(together.item_item),
        vectors=vectors.given,
        weights=signal_weights(config.blend) | dict.fromkeys(own, 0.0),
        blend=config.blend,
        click_confidence=1.0 + config.collaborative.alpha,
    )
    with stage("topics"):
        topics = topics_of(
            articles.titles,
            articles.summaries,
            articles.tags,
            similar=texts.similar,
            live_rows=live,
        )
    known = _known_articles(articles, category, sections, topics)
    language, languages = assign_languages(articles.languages)
    live_ages = age_hours(window.born_ms[live], window.as_of_ms)
    return ArticleModel(
        page=PageModel(
            live=live_model,
            story=stories,
            importance=signals.importance,
            rise=signals.rise,
            newest=signals.newest,
            filters=filter_masks(config, [known[row] for row in live.tolist()], live_ages),
            n_categories=len(sections),
            language=language,
            languages=languages,
            examination=window.examination,
            config=config,
        ),
        rank=RankModel(
            vectors=_rows(texts.heaviest),
            word_vectors=vectors.of_words,
            article_features=signals.features,
            written_ms=window.written_ms,
            curves={},
            refresh_curves={},
        ),
        carry=_carry(window, texts, vectors, together, sections, curves),
        articles=known,
        factors=together.factors,
        counts=_window_counts(window)
        | {
            "articles_vectorised": texts.n_counted,
            "cold_live_articles": int((~warm).sum()),
            "sections": len(sections) - 1,
            "stories": len(np.unique(stories)),
        },
        damped=damped,
        warnings=[*window.warnings, *of_damped, *signals.held],
    )


def _collaborative_model(
    window: TrainingWindow,
    config: Config,
    user_items: csr_matrix,
    pairing: csr_matrix,
    carried: tuple[BaseRun, NDArray[np.float32]] | None,
) -> _CollaborativeModel:
    """Learn the collaborative signals, or carry those of the base run over for a refresh."""
    live, settings = window.live_rows, config.collaborative
    if carried is None:
        every_article = np.arange(len(window.articles.id_map))
        return _CollaborativeModel(
            collaborative.fit_als(user_items, settings),
            collaborative.item_item_similarity(pairing, every_article, live, settings),
            np.zeros(len(live), dtype=bool),
        )
    base, user_factors = carried
    return _CollaborativeModel(
        carried_factors(window, base, user_factors, settings),
        carried_item_item(base, pairing, live, settings),
        came_live_since(base, live),
    )


def _rows(matrix: csr_matrix) -> Rows:
    return Rows(
        matrix.indptr.astype(np.int64),
        matrix.indices.astype(np.int32),
        matrix.data.astype(np.float32),
    )


def _carry(
    window: TrainingWindow,
    texts: TextModel,
    vectors: ArticleVectors,
    together: _CollaborativeModel,
    sections: Sequence[str],
    curves: Curves,
) -> run_file.Carry:
    """Return what a run keeps for its refreshes alone."""
    return run_file.Carry(
        first_ms=window.events.first_seen_ms(window.articles.id_map.keys),
        n_having=texts.n_having,
        n_trained=texts.n_trained,
        live_since=together.came_live_since,
        spread=together.factors.user_gram,
        sections=sections,
        bots=window.bot_ids,
        forecast=curves,
        word_terms=vectors.words.terms,
        word_vectors=vectors.words.vectors,
        vector_centre=vectors.projection.centre,
        vector_axes=vectors.projection.axes,
    )


def window_sizes(window: TrainingWindow) -> dict[str, int]:
    """Return the main sizes of a training window, for the log."""
    return {
        "articles": len(window.articles.id_map),
        "live_articles": len(window.live_rows),
        "users": len(window.users),
        "clicks": len(window.user_index),
        "impressions": window.n_impressions,
    }


def _window_counts(window: TrainingWindow) -> dict[str, int]:
    """Return all sizes of a training window, for the run's report."""
    return window_sizes(window) | {
        "articles_without_title": int((~has_title(window.articles)).sum()),
        "anonymous_clicks": len(window.anonymous_clicks.user_key),
        "bots": len(window.bot_keys),
        "bot_clicks": len(window.bot_clicks.user_key),
    }


def _known_articles(
    articles: Articles,
    category: NDArray[np.int64],
    sections: Sequence[str],
    topics: Sequence[Sequence[str]],
) -> list[KnownArticle]:
    """Return the articles of a training window as a page shows them."""
    return [
        KnownArticle(
            articles.id_map.ids[i],
            articles.titles[i],
            sections[category[i]],
            articles.authors[i],
            articles.tags[i],
            "\n".join(topics[i]),
            articles.urls[i],
            articles.languages[i],
            articles.image_urls[i],
            articles.summaries[i],
            articles.kickers[i],
            articles.premium[i],
            None if np.isnan(articles.importance[i]) else float(articles.importance[i]),
            float(articles.reading_minutes[i]) or None,
            _or_none(articles.published_ms[i]),
            _or_none(articles.expires_ms[i]),
            _or_none(articles.modified_ms[i]),
            _or_none(articles.withdrawn_ms[i]),
        )
        for i in range(len(articles.id_map))
    ]


def _or_none(instant_ms: np.int64) -> int | None:
    return None if instant_ms == UNKNOWN_TIME else int(instant_ms)


def train(
    store: Store,
    window: TrainingWindow,
    config: Config,
    stage: Stage,
    curves: Curves,
    carried: tuple[BaseRun, UserFactors] | None = None,
    own: OwnSignals = NO_OWN_SIGNALS,
) -> Model:
    """Train a whole run on a training window: the article model, and all users.

    Parameters
    ----------
    store, window, config, stage, curves
        See `train_articles`.
    carried
        For a refresh: the base run, and what it knew of the window's users (see
        `recsys.training.users.factors_of_base`). None for a nightly run.
    own
        Signals that the caller gives.
    """
    user_items = window_user_items(window, config)
    carried_articles = None if carried is None else (carried[0], carried[1].factors)
    model = train_articles(store, window, config, stage, user_items, curves, carried_articles, own)
    with stage("users") as counts:
        counts["users"] = len(window.users)
        live, category = model.page.live.live_rows, model.page.live.category
        n_categories = model.page.n_categories
        if carried is None:
            likes = affinity.category_affinity(user_items, category, n_categories=n_categories)
            likes[:, 0] = 0.0  # section 0 is "no section", which no user prefers
        else:
            before = carried[1].affinity
            likes = np.zeros((len(window.users), n_categories), dtype=np.float32)
            likes[:, : before.shape[1]] = before
        exposed, exposure_counts = exposures(window)
        users = TrainedUsers(
            user_ids=window.users.ids,
            factors=model.factors.user,
            affinity=likes,
            live_reads=user_items[:, live],
            latest_reads=latest_reads(window, config.blend.known_reads),
            exposed=exposed,
            exposure_counts=exposure_counts,
        )
    return Model(
        model.page,
        model.rank,
        model.carry,
        model.articles,
        model.factors,
        model.counts,
        model.damped,
        model.warnings,
        users,
    )


def with_weights(model: AnyModel, weights: Mapping[str, float]) -> AnyModel:
    """Return a model with other weights of the signals in its score."""
    live = dataclasses.replace(model.page.live, weights=weights)
    return dataclasses.replace(model, page=dataclasses.replace(model.page, live=live))


def base_run_of(window: TrainingWindow, model: Model) -> BaseRun:
    """Return a trained model as the base run of a refresh."""
    ids = window.articles.id_map.ids
    live, vectors = model.page.live, model.rank.vectors
    return BaseRun(window.as_of_ms, ids, live, vectors, model.carry, window.sample_one_in)


def window_user_items(window: TrainingWindow, config: Config) -> csr_matrix:
    """Return the confidence of all clicks of a window, shape (n_users, n_articles)."""
    return _user_items(window, np.arange(len(window.user_index)), config)


def _user_items(
    window: TrainingWindow, click_index: NDArray[np.int64], config: Config
) -> csr_matrix:
    """Return the confidence of some clicks of a window, shape (n_users, n_articles)."""
    weights = collaborative.click_weights(
        window.age_hours[click_index], window.dwell_seconds[click_index], config.collaborative
    )
    return collaborative.build_user_items(
        window.user_index[click_index],
        window.article_index[click_index],
        weights,
        shape=(len(window.users), len(window.articles.id_map)),
    )
