"""Dense vectors of the known articles: those learned from words, and those a publisher brings."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.blas import blas_on_one_thread
from recsys.signals.given_vectors import Projection, learn_projection
from recsys.signals.word_vectors import WordVectors, learn_word_vectors
from recsys.store.database import Store
from recsys.training.carry_over import BaseRun
from recsys.training.window import TrainingWindow


@dataclass(frozen=True, slots=True)
class ArticleVectors:
    """Dense vectors of the known articles, and how those of later articles are made.

    Attributes
    ----------
    of_words, given : array of float32, shape (n_known, n_dimensions)
        Those learned from words, and those of the publisher, of unit length or zero. `given` has
        no columns if no article has one.
    words, projection
        What a refresh makes the vectors of new articles with.
    """

    of_words: NDArray[np.float32]
    given: NDArray[np.float32]
    words: WordVectors
    projection: Projection


def build_article_vectors(
    store: Store,
    window: TrainingWindow,
    tfidf: csr_matrix,
    user_items: csr_matrix,
    base: BaseRun | None,
) -> ArticleVectors:
    """Compute the vectors of articles; a nightly run learns what makes them.

    Parameters
    ----------
    store
        Where the publisher's vectors are.
    window
        The training window. Articles that are only announced teach nothing.
    tfidf : csr_matrix, shape (n_known, n_features)
        The heaviest terms of the articles.
    user_items : csr_matrix, shape (n_users, n_known)
        The clicks of the window.
    base
        For a refresh: the base run. None for a nightly run.
    """
    given = store.vectors.of_articles(window.articles.id_map.keys)
    with blas_on_one_thread():
        return _built(window, tfidf, user_items, given, base)


def _built(
    window: TrainingWindow,
    tfidf: csr_matrix,
    user_items: csr_matrix,
    given: NDArray[np.float32],
    base: BaseRun | None,
) -> ArticleVectors:
    """Return the vectors of articles, given those of the publisher."""
    if base is not None:
        carry = base.carry
        words = WordVectors(carry.word_terms, carry.word_vectors)
        projection = Projection(carry.vector_centre, carry.vector_axes)
    else:
        words = learn_word_vectors(tfidf, user_items, ~window.is_announced)
        projection = learn_projection(given[~window.is_announced])
    return ArticleVectors(
        words.of_articles(tfidf), projection.of_articles(given), words, projection
    )
