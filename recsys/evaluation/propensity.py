"""Estimate the chance that a candidate is looked at, and weight observations by its inverse.

A user looks at the first position of a list more often than at the fifth, so a click in the first
says less about the article. And an article that was never shown was never clicked: only slots
that are drawn at random (`recommend(..., explore=...)`) show what the ranking would not have
shown. Weighting each observation by the inverse of its chance corrects for both.

References
----------
Horvitz, Thompson, "A generalization of sampling without replacement from a finite universe",
JASA 47(260), 1952. Joachims, Swaminathan, Schnabel, "Unbiased learning-to-rank with biased
feedback", WSDM 2017. Swaminathan, Joachims, "The self-normalized estimator for counterfactual
learning", NIPS 2015.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recsys.learn.impressions import positions
from recsys.rows import Impressions

MIN_VIEWS = 50.0  # of articles that were shown in both of two neighbouring positions
MIN_CHANCE = 0.05  # so that no observation counts more than twenty times


def position_propensities(shown: Impressions, own_lists: Sequence[str]) -> NDArray[np.float64]:
    """Estimate the chance that each position is looked at, relative to the first.

    Parameters
    ----------
    shown
        The log.
    own_lists
        Names of the lists whose impressions are logged in order of position.

    Returns
    -------
    array of float64, shape (n_positions + 1,)
        By 1-based position, at least `MIN_CHANCE`; index 0 is not a position and holds 1.0. A
        position with too few views in common with the one before gets the chance of that one.

    Notes
    -----
    Neighbouring positions are compared on the articles that were shown in both, so that a better
    article in the first position does not count as a better position: p(k + 1) / p(k) is the
    ratio of the click rates in the two positions, over articles weighted by the smaller of
    their two numbers of views. The product of the ratios is the curve.

    References
    ----------
    Agarwal et al., "Estimating position bias without intrusive interventions", WSDM 2019
    (adjacent pairs: what a ranking that changes gives away by itself).
    """
    position = positions(shown, own_lists)
    n_positions = int(position.max(initial=0))
    chance = np.ones(n_positions + 1)
    if n_positions < 2:
        return chance
    articles, column = np.unique(shown.article_key, return_inverse=True)
    views = np.zeros((n_positions + 1, len(articles)))
    clicks = np.zeros_like(views)
    np.add.at(views, (position, column), 1.0)
    np.add.at(clicks, (position, column), shown.clicked.astype(np.float64))
    for k in range(1, n_positions):
        weight = np.minimum(views[k], views[k + 1])
        both = weight > 0
        rate = [(weight[both] * clicks[p][both] / views[p][both]).sum() for p in (k, k + 1)]
        is_estimable = weight.sum() >= MIN_VIEWS and min(rate) > 0
        ratio = min(rate[1] / rate[0], 1.0) if is_estimable else 1.0
        chance[k + 1] = max(chance[k] * ratio, MIN_CHANCE)
    return chance


def weights(
    position: NDArray[np.int64],
    clicked: NDArray[np.bool_],
    propensity: NDArray[np.float64],
    position_propensity: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the weight of each candidate: the inverse of its chance.

    The chance is that of being shown and, for a clicked candidate, also of being looked at.

    Parameters
    ----------
    position : array of int64, shape (n_candidates,)
        1-based position, 0 where it is unknown; see `recsys.learn.impressions.positions`.
    clicked : array of bool, shape (n_candidates,)
        Whether the candidate was clicked.
    propensity : array of float64, shape (n_candidates,)
        The logged chance of being shown.
    position_propensity
        From `position_propensities`.
    """
    known = np.minimum(position, len(position_propensity) - 1)
    looked_at = np.where(position > 0, position_propensity[known], 1.0)
    return np.where(clicked, 1.0 / looked_at, 1.0) / np.maximum(propensity, MIN_CHANCE)
