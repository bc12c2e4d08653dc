"""Text of a training window: term counts, which the store keeps, and text neighbours."""

from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack

from recsys.config import N_THREADS, Config
from recsys.matrices import drop_other_terms, select_columns
from recsys.rows import Articles
from recsys.signals import text
from recsys.store.articles import text_digest
from recsys.store.database import Store
from recsys.training.carry_over import BaseRun, carried_similar, carried_vectors
from recsys.training.window import TrainingWindow

COUNTED_AT_ONCE = 2_000  # articles whose terms are counted in one task
WEIGHED_AT_ONCE = 2_000  # articles whose TF-IDF vectors are made at once
# Of `recsys.signals.text.extract_terms`: counts of an older version are not reused.
TERMS_VERSION = "3"


@dataclass(frozen=True, slots=True)
class TextModel:
    """Text neighbours and TF-IDF vectors of the known articles.

    Attributes
    ----------
    similar : csr_matrix, shape (n_articles, n_live)
        See `recsys.signals.text.similar_articles`.
    heaviest : csr_matrix, shape (n_articles, n_features)
        TF-IDF vectors, reduced to the heaviest terms of each article.
    n_having, n_trained
        Document frequencies; see `recsys.published.run_file.Carry`.
    n_counted
        How many articles had their terms counted now; the store had the counts of the others.
    """

    similar: csr_matrix
    heaviest: csr_matrix
    n_having: NDArray[np.unsignedinteger]
    n_trained: int
    n_counted: int


def build_text_model(
    store: Store, window: TrainingWindow, config: Config, base: BaseRun | None
) -> TextModel:
    """Compute text neighbours and vectors; term counts of new articles are kept in the store.

    Parameters
    ----------
    store
        Where texts and their term counts are.
    window
        The training window.
    config
        Settings of text.
    base
        For a refresh: the base run, whose document frequencies, vectors and neighbours stay.
        None for a nightly run.
    """
    n_counted = count_new_texts(store, window.articles, config)
    if base is None:
        return _learned_text_model(store, window, config, n_counted)
    return _carried_text_model(store, window, config, base, n_counted)


def _learned_text_model(
    store: Store, window: TrainingWindow, config: Config, n_counted: int
) -> TextModel:
    """Return the text model of a nightly run."""
    articles, live = window.articles, window.live_rows
    counts = _term_counts(store, articles, np.arange(len(articles.id_map)), config)
    n_having, n_trained = text.document_counts(counts, ~window.is_announced)
    vectors = text.tfidf(counts, text.idf(n_having, n_trained))
    return TextModel(
        similar=text.similar_articles(vectors, vectors[live], live, config.text),
        heaviest=text.keep_heaviest_terms(vectors, config.text.n_rank_terms),
        n_having=n_having.astype(np.min_scalar_type(n_trained)),
        n_trained=n_trained,
        n_counted=n_counted,
    )


def _carried_text_model(
    store: Store, window: TrainingWindow, config: Config, base: BaseRun, n_counted: int
) -> TextModel:
    """Return the text model of a refresh: the base run's, with new articles added."""
    articles, live = window.articles, window.live_rows
    n_articles, n_before = len(articles.id_map), len(base.article_ids)
    is_new = np.arange(n_articles) >= n_before
    is_new[live[~np.isin(live, base.live.live_rows)]] = True
    new, narrowed = _vectors_on_terms_of_new(store, articles, is_new, base, config)
    return TextModel(
        similar=carried_similar(base, narrowed, live, config.text),
        heaviest=carried_vectors(base, new[new.shape[0] - (n_articles - n_before) :], config.text),
        n_having=base.carry.n_having,
        n_trained=base.carry.n_trained,
        n_counted=n_counted,
    )


def count_new_texts(
    store: Store, articles: Articles, config: Config, workers: Executor | None = None
) -> int:
    """Count the terms of new texts, keep the counts in the store, and return how many were new.

    A text is new if its article is, or if the text or a setting of its counts has changed.

    Parameters
    ----------
    store
        Where the counts are kept.
    articles
        The articles to look at.
    config
        Settings of text.
    workers
        Processes that share the counting; None counts in this process.
    """
    keys, wanted = articles.id_map.keys.tolist(), _digests(articles, config)
    known = store.derived.text_digests()
    new = [i for i, key in enumerate(keys) if wanted[i] and known.get(key) != wanted[i]]
    tasks = [new[i : i + COUNTED_AT_ONCE] for i in range(0, len(new), COUNTED_AT_ONCE)]
    columns = (
        [[articles.titles[i] for i in task] for task in tasks],
        [store.bodies([keys[i] for i in task]) for task in tasks],
        [[articles.categories[i] for i in task] for task in tasks],
    )
    run = map if workers is None or len(tasks) < 2 else workers.map
    counted = run(text.count_terms, *columns, repeat(config.text))
    for task, counts in zip(tasks, counted, strict=True):
        store.derived.put_text_vectors([keys[i] for i in task], [wanted[i] for i in task], counts)
    return len(new)


def _term_counts(
    store: Store, articles: Articles, article_index: NDArray[np.int64], config: Config
) -> csr_matrix:
    """Return the kept term counts of some articles; the row of one without text is empty."""
    keys, digests = articles.id_map.keys[article_index].tolist(), articles.digests
    wanted = [
        key if digests[i] else -1 for key, i in zip(keys, article_index.tolist(), strict=True)
    ]
    return store.derived.text_vectors(wanted, config.text.n_features)


def _vectors_on_terms_of_new(
    store: Store, articles: Articles, is_new: NDArray[np.bool_], base: BaseRun, config: Config
) -> tuple[csr_matrix, csr_matrix]:
    """Return the vectors of new articles, and those of all articles on the terms of new ones.

    A product with a new article needs no other terms. Terms have the weights of the nightly
    run, and vectors are made `WEIGHED_AT_ONCE` at a time to save memory.
    """
    weights = text.idf(base.carry.n_having, base.carry.n_trained)
    article_index = np.arange(len(is_new))
    new = text.tfidf(_term_counts(store, articles, article_index[is_new], config), weights)
    used = np.zeros(new.shape[1], dtype=bool)
    used[new.indices] = True
    parts = (
        _term_counts(store, articles, article_index[i : i + WEIGHED_AT_ONCE], config)
        for i in range(0, len(article_index), WEIGHED_AT_ONCE)
    )
    with ThreadPoolExecutor(N_THREADS) as pool:
        on_used = pool.map(
            lambda counts: drop_other_terms(text.tfidf(counts, weights), used), parts
        )
        together = vstack([new[:0], *on_used], format="csr", dtype=np.float32)
    return new, select_columns(together, used)


def _digests(articles: Articles, config: Config) -> list[str]:
    """Return a digest of each text and of the settings of its counts; "" without text."""
    counted_by = ("n_features", "title_weight", "category_weight")
    settings = text_digest(TERMS_VERSION, *(repr(getattr(config.text, n)) for n in counted_by))
    return [f"{settings[:8]}:{digest}" if digest else "" for digest in articles.digests]
