"""Signals into one score a candidate: a linear form, exact for every live article.

    score(u, j | a) = static(j) + als u.y(j) + affinity(u, section(j))
                      + text(recent reads of u, j)
                      + text(a, j) + item_item(a, j) + same section(a, j)

What a score means, in numpy; pages are made from the same sums by `recsys.kernels`.
"""

import numpy as np
from numpy.typing import NDArray

from recsys.blend.live_model import PARTS, Floats, Ints, LiveModel, UserState
from recsys.kernels import readers as kernels


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


def fold_in(
    factors: Floats, clicked: Floats, *, gram: Floats, confidence: float
) -> NDArray[np.float32]:
    """Return a reader's factors after more clicks, without training.

    Parameters
    ----------
    factors : array, shape (factors,)
        Before; zeros for a cold reader, who then gets the exact ALS solution.
    clicked : array, shape (n_clicks, factors)
        Factors of the clicked articles; rows of zeros teach nothing.
    gram : array, shape (factors, factors)
        Y'Y + regularization x I.
    confidence : float
        Of each click, at least 1.

    Notes
    -----
    Solves (G + (c - 1) Y_r'Y_r) x = G x_0 + c Y_r'1: ALS's own normal equations, with
    the reader's past standing in as the point x_0 under the shared curvature G. Where that has
    no solution, for a G without regularization, the factors stay as they were.

    References
    ----------
    Hu, Koren, Volinsky, "Collaborative Filtering for Implicit Feedback Datasets",
    ICDM 2008, equation 4.
    """
    return kernels.fold_in(factors, clicked, gram, confidence)


def text_of_recent(model: LiveModel, reads: Ints) -> NDArray[np.float32]:
    """Return the weighted mean cosine of live articles to the latest reads, shape (n_live,)."""
    recent = reads[: model.weights.recent_reads]
    text = np.zeros(len(model.live_rows), dtype=np.float32)
    for known, weight in zip(
        recent, recent_weights(len(recent), model.weights.recent_decay), strict=True
    ):
        column, value = model.similar.row(known)
        text[column] += weight * value
    return text


def context_signals(model: LiveModel, context: int | None) -> dict[str, Floats]:
    """Return the signals that come of the article being read, unweighted, by name.

    Parameters
    ----------
    context
        Known index of the article; None on a front page gives none.
    """
    if context is None:
        return {}
    n_live = len(model.live_rows)
    signals = {}
    for name, rows in (("context_text", model.similar), ("context_item_item", model.item_item)):
        signals[name] = np.zeros(n_live, dtype=np.float32)
        column, value = rows.row(context)
        signals[name][column] = value
    same = model.category[model.live_rows] == model.category[context]
    named = model.category[context] > 0  # 0 is "no section", which nothing shares
    signals["context_category"] = (same & named).astype(np.float32)
    return signals


def score(model: LiveModel, reader: UserState | None, context: int | None) -> dict[str, Floats]:
    """Return the weighted parts of every live article's score, by name of `PARTS`.

    What a score is; `recsys.kernels` makes the same sums for pages, without their parts.

    Parameters
    ----------
    model
        The articles.
    reader
        None for an anonymous reader.
    context
        Known index of the article being read, or None.

    Returns
    -------
    dict of array of float32, shape (n_live,)
        Absent parts are zero; the score is the sum of all.
    """
    weights = model.weights
    parts: dict[str, Floats] = {
        name: (getattr(weights, name) * signal).astype(np.float32)
        for name, signal in context_signals(model, context).items()
    }
    if reader is not None:
        parts["text"] = weights.text * text_of_recent(model, reader.reads)
        parts["als"] = weights.als * (model.factors @ reader.factors)
        parts["affinity"] = weights.affinity * reader.affinity[model.category[model.live_rows]]
    return parts | model.static_parts()


def total_score(parts: dict[str, Floats], n_live: int) -> NDArray[np.float32]:
    """Return the sum of parts, added in the order of `PARTS`."""
    result = np.zeros(n_live, dtype=np.float32)
    for name in PARTS:
        if name in parts:
            result += parts[name]
    return result


def article_side(model: LiveModel, n_categories: int) -> NDArray[np.float32]:
    """Return the articles' side of all inner products of a score, shape (n_features, n_live).

    Factors and section tastes end to end are the readers' side. A section taste is a product
    too, with an indicator of the section, so it rides along with the factors.
    """
    indicator = np.zeros((len(model.live_rows), n_categories), dtype=np.float32)
    indicator[np.arange(len(indicator)), model.category[model.live_rows]] = 1.0
    side = np.hstack((model.weights.als * model.factors, model.weights.affinity * indicator))
    return np.ascontiguousarray(side.T, dtype=np.float32)
