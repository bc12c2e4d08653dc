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

from recsys.rows import Impressions
from recsys.training.examination import estimate_examination, positions

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
        By 1-based position, at least `MIN_CHANCE`, from
        `recsys.training.examination.estimate_examination`; index 0 is not a position and holds 1.0.
    """
    position = positions(shown, own_lists)
    curve = estimate_examination(position, shown.article_key, shown.clicked)
    return np.concatenate(([1.0], np.maximum(curve, MIN_CHANCE)))


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
        1-based position, 0 where it is unknown; see `recsys.training.examination.positions`.
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
