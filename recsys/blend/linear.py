"""The retrieval head: signals into one score per candidate, a linear form over all live articles.

    score(u, j | a) = static(j) + als u.y(j) + affinity(u, section(j))
                      + text(recent reads of u, j) + vectors(reads of u, j)
                      + text(a, j) + vectors(a, j) + item_item(a, j) + same section(a, j)

`score_parts` defines the score, in numpy; pages are made from the same sums by `recsys.kernels`.
"""

import numpy as np
from numpy.typing import NDArray

from recsys.blend.live_model import Floats, Ints, LiveModel, UserState
from recsys.blend.signal_table import signal_names
from recsys.kernels import users as kernels


def spans(start: Ints, size: Ints) -> Ints:
    """Return the indices of some spans end to end: `size` of them from each `start` on.

    Examples
    --------
    >>> spans(np.array([5, 0]), np.array([2, 3])).tolist()
    [5, 6, 0, 1, 2]
    """
    ends = np.cumsum(size)
    found: Ints = np.repeat(start - (ends - size), size) + np.arange(ends[-1] if len(ends) else 0)
    return found


def recent_weights(n: int, decay: float) -> NDArray[np.float32]:
    """Return weights of `n` recent reads, newest first, that sum to 1.

    Examples
    --------
    >>> [round(float(w), 3) for w in recent_weights(2, 0.5)]
    [0.667, 0.333]
    """
    weights = decay ** np.arange(n, dtype=np.float64)
    return (weights / weights.sum()).astype(np.float32) if n else weights.astype(np.float32)


def recent_weight_table(live: LiveModel) -> NDArray[np.float32]:
    """Return the weights of recent reads by how many there are, for the kernels.

    Returns
    -------
    array of float32, shape (recent_reads + 1, recent_reads)
        Row n has n weights, newest first, then zeros.
    """
    n_recent = live.blend.recent_reads
    table = np.zeros((n_recent + 1, n_recent), dtype=np.float32)
    for n in range(1, len(table)):
        table[n, :n] = recent_weights(n, live.blend.recent_decay)
    return table


def fold_in(
    factors: Floats, clicked: Floats, *, gram: Floats, confidence: float
) -> NDArray[np.float32]:
    """Return a user's factors after more clicks, without training.

    Parameters
    ----------
    factors : array, shape (factors,)
        The factors before; zeros for a cold user, who then gets the exact ALS solution.
    clicked : array, shape (n_clicks, factors)
        Factors of the clicked articles; a row of zeros changes nothing.
    gram : array, shape (factors, factors)
        Y'Y + regularization x I.
    confidence : float
        Of each click, at least 1.

    Notes
    -----
    Solves (G + (c - 1) Y_r'Y_r) x = G x_0 + c Y_r'1: the normal equations of ALS, where the
    factors before, x_0, take the place of the earlier clicks. If that has no solution, which is
    possible for a G without regularization, the factors stay as they were.

    References
    ----------
    Hu, Koren, Volinsky, "Collaborative Filtering for Implicit Feedback Datasets",
    ICDM 2008, equation 4.
    """
    return kernels.fold_in(factors, clicked, gram, confidence)


def text_of_recent(model: LiveModel, reads: Ints) -> NDArray[np.float32]:
    """Return the weighted mean cosine of live articles to the latest reads, shape (n_live,)."""
    recent = reads[: model.blend.recent_reads]
    text = np.zeros(len(model.live_rows), dtype=np.float32)
    for known, weight in zip(
        recent, recent_weights(len(recent), model.blend.recent_decay), strict=True
    ):
        column, value = model.similar.row(known)
        text[column] += weight * value
    return text


def taste_in_vectors(model: LiveModel, reads: Ints) -> Floats:
    """Return the direction of a user's latest reads by vectors, shape (n_dimensions,).

    It is their mean scaled to length 1; zeros if no read has a vector.
    """
    if not model.vectors.shape[1]:
        return np.zeros(0, dtype=np.float32)
    # The kernels refuse a read that is no article of the run.
    total: Floats = model.vectors.take(reads, axis=0, mode="clip").sum(axis=0)
    length = float(np.linalg.norm(total))
    return total / np.float32(length or 1.0)


def context_signals(model: LiveModel, context: int | None) -> dict[str, Floats]:
    """Return the contextual signals of every live article, unweighted, by name.

    Parameters
    ----------
    context
        Known index of the article being read; None on a front page, which has none.
    """
    if context is None:
        return {}
    n_live = len(model.live_rows)
    signals = {}
    for name, rows in (("context_text", model.similar), ("context_item_item", model.item_item)):
        signals[name] = np.zeros(n_live, dtype=np.float32)
        column, value = rows.row(context)
        signals[name][column] = value
    if model.vectors.shape[1]:
        live_vectors = model.vectors[model.live_rows]
        signals["context_vectors"] = live_vectors @ model.vectors[context]
    same = model.category[model.live_rows] == model.category[context]
    is_named = model.category[context] > 0  # articles without a section share none
    signals["context_category"] = (same & is_named).astype(np.float32)
    return signals


def score_parts(model: LiveModel, user: UserState | None, context: int | None) -> dict[str, Floats]:
    """Return the weighted signals of every live article, by name.

    Parameters
    ----------
    model
        The articles.
    user
        None for an anonymous user.
    context
        Known index of the article being read, or None.

    Returns
    -------
    dict of array of float32, shape (n_live,)
        Absent signals are zero; the score is the sum of all (`total_score`).
    """
    weights = model.weights
    parts: dict[str, Floats] = {
        name: (weights[name] * signal).astype(np.float32)
        for name, signal in context_signals(model, context).items()
    }
    if user is not None:
        parts["text"] = weights["text"] * text_of_recent(model, user.reads)
        if model.vectors.shape[1]:
            taste = taste_in_vectors(model, user.reads)
            parts["vectors"] = weights["vectors"] * (model.vectors[model.live_rows] @ taste)
        parts["als"] = weights["als"] * (model.factors @ user.factors)
        parts["affinity"] = weights["affinity"] * user.affinity[model.category[model.live_rows]]
    return parts | model.static_parts()


def reads_behind(live: LiveModel, reads: Ints, live_index: int) -> list[tuple[int, float]]:
    """Return the recent reads (known indices) like a live article, and the cosine each adds."""
    recent = reads[: live.blend.recent_reads]
    weights = recent_weights(len(recent), live.blend.recent_decay)
    found = []
    for known, weight in zip(recent.tolist(), weights.tolist(), strict=True):
        column, value = live.similar.row(known)
        at = int(np.searchsorted(column, live_index))
        if at < len(column) and column[at] == live_index:
            found.append((known, weight * float(value[at])))
    return found


def reads_behind_vectors(live: LiveModel, reads: Ints, live_index: int) -> list[tuple[int, float]]:
    """Return a user's reads (known indices), and what each adds to the signal `vectors`.

    The signal is the cosine of a live article with the mean of the reads, so what they add sums
    up to it.
    """
    of_reads = live.vectors[reads]
    length = float(np.linalg.norm(of_reads.sum(axis=0)))
    added = of_reads @ live.vectors[live.live_rows[live_index]] / (length or 1.0)
    return list(zip(reads.tolist(), added.tolist(), strict=True))


def personal_parts(model: LiveModel, user: UserState, live_index: int) -> dict[str, Floats]:
    """Return the weighted personal signals of one live article, by name.

    Returns
    -------
    dict of array of float32, shape (1,)
        What `score_parts` has of this article, but for the last digits of sums.
    """
    weights, section = model.weights, model.category[model.live_rows[live_index]]
    text = sum(value for _, value in reads_behind(model, user.reads, live_index))
    values = {
        "text": weights["text"] * text,
        "als": weights["als"] * float(model.factors[live_index] @ user.factors),
        "affinity": weights["affinity"] * float(user.affinity[section]),
    }
    if model.vectors.shape[1]:
        added = reads_behind_vectors(model, user.reads, live_index)
        values["vectors"] = weights["vectors"] * sum(value for _, value in added)
    return {name: np.array([value], dtype=np.float32) for name, value in values.items()}


def total_score(parts: dict[str, Floats], n_live: int) -> Floats:
    """Return the sum of weighted signals, those of the table first and in its order."""
    result = np.zeros(n_live, dtype=np.float32)
    table = signal_names()
    for name in (*table, *(own for own in parts if own not in table)):
        if name in parts:
            result += parts[name]
    return result


def article_side(model: LiveModel, n_categories: int) -> Floats:
    """Return the articles' side of all inner products of a score, shape (n_features, n_live).

    `user_sides` is the other side. A section taste is also a product, with an indicator of the
    section, so it is part of the same matrix. The vectors have no weight here, since they are
    multiplied with that of the article being read too, which has a weight of its own.
    """
    indicator = np.zeros((len(model.live_rows), n_categories), dtype=np.float32)
    indicator[np.arange(len(indicator)), model.category[model.live_rows]] = 1.0
    weights = model.weights
    vectors = model.vectors[model.live_rows]
    side = np.hstack((weights["als"] * model.factors, vectors, weights["affinity"] * indicator))
    return np.ascontiguousarray(side.T, dtype=np.float32)


def user_sides(model: LiveModel, factors: Floats, tastes: Floats, affinity: Floats) -> Floats:
    """Return the users' side of all inner products of a score.

    Parameters
    ----------
    model
        The articles.
    factors, affinity : array of float32, one row a user, or of one user
        See `UserState`.
    tastes : array of float32
        `taste_in_vectors` of the same.

    Returns
    -------
    array of float32, shape (n_users, n_features) or (n_features,)
    """
    weighted = np.float32(model.weights["vectors"]) * tastes
    sides: Floats = np.concatenate((factors, weighted, affinity), axis=-1)
    return sides
