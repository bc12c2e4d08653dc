"""The texts of a night: their term counts, kept in the store, and which articles are alike."""

from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack

from recsys.config import N_THREADS, Config
from recsys.rows import Articles
from recsys.signals import text
from recsys.store.database import Store, text_digest
from recsys.training.carry_over import BaseRun, carried_similar, carried_vectors
from recsys.training.window import TrainingWindow

COUNTED_AT_ONCE = 2_000  # articles whose terms are one task
WEIGHED_AT_ONCE = 2_000  # articles whose vectors are made at once
TERMS_VERSION = "2"  # of `recsys.signals.text.terms`: counts of an older one are not reused


@dataclass(frozen=True, slots=True)
class Texts:
    """What a night knows of the articles' texts.

    Attributes
    ----------
    similar : csr_matrix, n_known x n_live
        As of `recsys.signals.text.similar_articles`.
    heaviest : csr_matrix, n_known x n_terms
        Vectors, of the heaviest terms only.
    n_having, n_trained
        As of `recsys.published.run_file.Carry`.
    n_counted
        Articles whose terms were counted for it.
    """

    similar: csr_matrix
    heaviest: csr_matrix
    n_having: NDArray[np.unsignedinteger]
    n_trained: int
    n_counted: int


def texts_of(store: Store, window: TrainingWindow, config: Config, last: BaseRun | None) -> Texts:
    """Return what a night knows of the articles' texts; counts of new ones are kept in the store.

    Parameters
    ----------
    store, night, config
        What to learn from.
    last
        The run to carry on, weights of terms and likeness of what it knew; None to begin anew.
    """
    articles, live, n_articles = window.articles, window.live_rows, len(window.articles.id_map)
    n_counted = count_new_texts(store, articles, config)
    if last is None:
        counts = _term_counts(store, articles, np.arange(n_articles), config)
        found, n_trained = text.document_counts(counts, ~window.announced)
        vectors = text.tfidf(counts, text.idf(found, n_trained))
        similar = text.similar_articles(vectors, vectors[live], live, config.text)
        heaviest = text.heaviest(vectors, config.text.n_rank_terms)
        n_having = found.astype(np.min_scalar_type(n_trained))
    else:
        n_having, n_trained = last.carry.n_having, last.carry.n_trained
        is_new = np.arange(n_articles) >= len(last.article_ids)
        is_new[live[~np.isin(live, last.live.live_rows)]] = True
        new, cut = _cut_vectors(store, articles, is_new, last, config)
        similar = carried_similar(last, cut, live, config.text)
        n_after = n_articles - len(last.article_ids)
        heaviest = carried_vectors(last, new[new.shape[0] - n_after :], config.text)
    return Texts(similar, heaviest, n_having, n_trained, n_counted)


def count_new_texts(
    store: Store, articles: Articles, config: Config, workers: Executor | None = None
) -> int:
    """Keep term counts of articles that are new, and return how many those were.

    An article is vectorised when it is new or its text (or a text setting) changed.
    `workers` share the counting of many.
    """
    keys, wanted = articles.id_map.keys.tolist(), _digests(articles, config)
    known = store.derived.text_digests()
    new = [i for i, key in enumerate(keys) if wanted[i] and known.get(key) != wanted[i]]
    parts = [new[i : i + COUNTED_AT_ONCE] for i in range(0, len(new), COUNTED_AT_ONCE)]
    columns = (
        [[articles.titles[i] for i in part] for part in parts],
        [store.bodies([keys[i] for i in part]) for part in parts],
        [[articles.categories[i] for i in part] for part in parts],
    )
    count = map if workers is None or len(parts) < 2 else workers.map
    counted = count(text.count_terms, *columns, repeat(config.text))
    for part, counts in zip(parts, counted, strict=True):
        store.derived.put_text_vectors([keys[i] for i in part], [wanted[i] for i in part], counts)
    return len(new)


def _term_counts(
    store: Store, articles: Articles, rows: NDArray[np.int64], config: Config
) -> csr_matrix:
    """Return the term counts of some articles, as kept; one without text has an empty row."""
    keys, digests = articles.id_map.keys[rows].tolist(), articles.digests
    wanted = [key if digests[i] else -1 for key, i in zip(keys, rows.tolist(), strict=True)]
    return store.derived.text_vectors(wanted, config.text.n_features)


def _cut_vectors(
    store: Store, articles: Articles, is_new: NDArray[np.bool_], last: BaseRun, config: Config
) -> tuple[csr_matrix, csr_matrix]:
    """Return vectors of new articles; and of all, on the terms of those: all that is multiplied.

    Weighed as the night did, some thousand at a time.
    """
    weights, rows = text.idf(last.carry.n_having, last.carry.n_trained), np.arange(len(is_new))
    new = text.tfidf(_term_counts(store, articles, rows[is_new], config), weights)
    used = np.zeros(new.shape[1], dtype=bool)
    used[new.indices] = True
    parts = (
        _term_counts(store, articles, rows[i : i + WEIGHED_AT_ONCE], config)
        for i in range(0, len(rows), WEIGHED_AT_ONCE)
    )
    with ThreadPoolExecutor(N_THREADS) as pool:
        cut = pool.map(lambda counts: text.only(text.tfidf(counts, weights), used), parts)
        together = vstack([new[:0], *cut], format="csr", dtype=np.float32)
    return new, text.narrowed(together, used)


def _digests(articles: Articles, config: Config) -> list[str]:
    """Return what tells texts, and the settings of their counts, from others; "" for none."""
    counted_by = ("n_features", "title_weight", "category_weight")
    settings = text_digest(TERMS_VERSION, *(repr(getattr(config.text, n)) for n in counted_by))
    return [f"{settings[:8]}:{digest}" if digest else "" for digest in articles.digests]
