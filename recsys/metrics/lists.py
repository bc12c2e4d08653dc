"""Judge recommended lists: relevance, exposure of the catalogue, novelty and diversity.

A list is a row of article indexes, in which -1 means no entry. An article is relevant if the user
clicked it in the test window.

`hit_rate_at_k`, `precision_at_k`, `recall_at_k`, `map_at_k` and `ndcg_at_k` have the same
arguments: `hits` from `hits_of`, shape (n_lists, n); `n_relevant`, the number of relevant articles
of each list, shape (n_lists,); and the cut-off `k`. They return one value for each list, NaN if no
article is relevant.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.metrics.discounted_gain import Floats, Ints, dcg, ideal_dcg


def hits_of(lists: NDArray[np.int64], relevant: Sequence[set[int]]) -> NDArray[np.bool_]:
    """Mark the entries of lists that are relevant.

    Parameters
    ----------
    lists : array of int, shape (n_lists, n)
        Article indexes, -1 for no entry.
    relevant
        The relevant articles of each list.

    Returns
    -------
    array of bool, shape (n_lists, n)
        False for no entry.
    """
    hits = np.zeros(lists.shape, dtype=bool)
    for row, relevant_articles in enumerate(relevant):
        hits[row] = [article in relevant_articles for article in lists[row].tolist()]
    return hits & (lists >= 0)


def hit_rate_at_k(hits: NDArray[np.bool_], n_relevant: Ints, k: int) -> Floats:
    """Return 1 for each list with a relevant article among its first k entries, otherwise 0."""
    return np.where(n_relevant > 0, hits[:, :k].any(axis=1), np.nan)


def precision_at_k(hits: NDArray[np.bool_], n_relevant: Ints, k: int) -> Floats:
    """Return (relevant articles among the first k) / k, even if fewer than k are relevant."""
    return np.where(n_relevant > 0, hits[:, :k].sum(axis=1) / k, np.nan)


def recall_at_k(hits: NDArray[np.bool_], n_relevant: Ints, k: int) -> Floats:
    """Return (relevant articles among the first k) / (all relevant articles)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(n_relevant > 0, hits[:, :k].sum(axis=1) / n_relevant, np.nan)


def map_at_k(hits: NDArray[np.bool_], n_relevant: Ints, k: int) -> Floats:
    """Return average precision at k, divided by min(k, n_relevant) so that 1 can be reached."""
    first = hits[:, :k]
    precision = np.cumsum(first, axis=1) / np.arange(1, first.shape[1] + 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = (precision * first).sum(axis=1) / np.minimum(n_relevant, k)
    return np.where(n_relevant > 0, value, np.nan)


def ndcg_at_k(hits: NDArray[np.bool_], n_relevant: Ints, k: int) -> Floats:
    """Return DCG / ideal DCG at k in [0, 1], with gain 1 for a relevant article."""
    gained = dcg(hits[:, :k])
    ideal = ideal_dcg(n_relevant, k)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(n_relevant > 0, gained / ideal, np.nan)


def gain_ndcg_at_k(lists: NDArray[np.int64], gains: Floats, ideal: Floats, k: int) -> Floats:
    """Return DCG / ideal DCG at k of lists whose articles have gains of any size.

    Parameters
    ----------
    lists : array of int, shape (n_lists, n)
        Article indexes, -1 for no entry.
    gains : array of float64, shape (n_articles,)
        Gain of each article; not negative.
    ideal : array of float64, shape (n_lists,)
        DCG at k of the best list.
    k : int
        Cut-off.

    Returns
    -------
    array of float64, shape (n_lists,)
        NaN if the ideal DCG is 0.

    References
    ----------
    Järvelin, Kekäläinen, "Cumulated gain-based evaluation of IR techniques", ACM
    Transactions on Information Systems 20(4), 2002.
    """
    first = lists[:, :k]
    gained = np.where(first >= 0, gains[np.maximum(first, 0)], 0.0) if gains.size else first * 0.0
    return np.where(ideal > 0, dcg(gained) / np.where(ideal > 0, ideal, 1.0), np.nan)


def exposure(lists: NDArray[np.int64], n_articles: int) -> Ints:
    """Count how many entries of the lists each article has, shape (n_articles,).

    Parameters
    ----------
    lists : array of int, shape (n_lists, n)
        Article indexes, -1 for no entry.
    n_articles : int
        Length of the result.
    """
    return np.bincount(lists[lists >= 0], minlength=n_articles)


def catalog_coverage(n_entries: Ints) -> float:
    """Return the share of articles that are in at least one list; 0.0 if there are no articles.

    Parameters
    ----------
    n_entries : array of int, shape (n_articles,)
        Entries of each article, from `exposure`.
    """
    return float((n_entries > 0).mean()) if len(n_entries) else 0.0


def gini(n_entries: Ints) -> float:
    """Return the Gini coefficient of exposure: 0 if it is equal, near 1 if one article has it all.

    Parameters
    ----------
    n_entries : array of int, shape (n_articles,)
        Entries of each article, from `exposure`.

    Notes
    -----
    sum over articles in ascending order of (2 i - n - 1) x_i / (n sum x); 0 if the sum is 0.
    """
    total = n_entries.sum()
    if not total:
        return 0.0
    n = len(n_entries)
    ordered = np.sort(n_entries)
    return float(((2 * np.arange(1, n + 1) - n - 1) * ordered).sum() / (n * total))


def novelty(lists: NDArray[np.int64], share: Floats) -> Floats:
    """Return the mean self-information of each list's articles, in bits.

    Parameters
    ----------
    lists : array of int, shape (n_lists, n)
        Article indexes, -1 for no entry.
    share : array of float64, shape (n_articles,)
        Share of users who clicked each article; above 0, so the caller smooths it.

    Returns
    -------
    array of float64, shape (n_lists,)
        NaN for a list without entries.

    Raises
    ------
    ValueError
        If a share is not above 0.

    References
    ----------
    Zhou et al., "Solving the apparent diversity-accuracy dilemma of recommender
    systems", PNAS 107(10), 2010: -log2 of the chance that a random user knows the article.
    """
    if not (share > 0).all():
        raise ValueError("share must be above 0 for every article")
    bits = np.where(lists >= 0, -np.log2(share)[np.maximum(lists, 0)], 0.0)
    n_entries = (lists >= 0).sum(axis=1)
    return np.where(n_entries > 0, bits.sum(axis=1) / np.maximum(n_entries, 1), np.nan)


def intra_list_similarity(lists: NDArray[np.int64], vectors: csr_matrix) -> Floats:
    """Return the mean cosine of the pairs of articles within each list.

    Parameters
    ----------
    lists : array of int, shape (n_lists, n)
        Article indexes, -1 for no entry.
    vectors : csr_matrix, shape (n_articles, n_terms)
        Vectors of unit length.

    Returns
    -------
    array of float64, shape (n_lists,)
        NaN for a list with fewer than two entries.

    References
    ----------
    Ziegler et al., "Improving recommendation lists through topic diversification",
    WWW 2005 (there a sum; the mean compares lists of unequal length).
    """
    similarity = np.full(len(lists), np.nan)
    for row, articles in enumerate(lists):
        entries = vectors[articles[articles >= 0]]
        n = entries.shape[0]
        if n > 1:
            cosine = (entries @ entries.T).toarray()
            similarity[row] = (cosine.sum() - np.trace(cosine)) / (n * (n - 1))
    return similarity


def redundancy(pages: Sequence[Sequence[Sequence[int]]], story: Ints) -> float:
    """Return the share of slots that repeat a story of their page; 0.0 is best.

    Parameters
    ----------
    pages
        Pages of lists of article indexes, without -1.
    story : array of int, shape (n_articles,)
        Story of each article.
    """
    n_slots = n_repeats = 0
    for page in pages:
        stories = [int(story[article]) for articles in page for article in articles]
        n_slots += len(stories)
        n_repeats += len(stories) - len(set(stories))
    return n_repeats / n_slots if n_slots else 0.0
