"""Which clicks were made likelier by where an article stood, and which views were drawn.

A reader looks at the first place more than at the fifth, so clicks there say less about the
article. And what was never shown was never clicked: only slots drawn at random (`recommend(...,
explore=...)`) tell of what the ranking would not have shown. Both are set right by weighing each
observation with the inverse of its chance.

References
----------
Horvitz, Thompson, "A generalization of sampling without replacement from a finite universe",
JASA 47(260), 1952. Joachims, Swaminathan, Schnabel, "Unbiased learning-to-rank with biased
feedback", WSDM 2017. Swaminathan, Joachims, "The self-normalized estimator for counterfactual
learning", NIPS 2015.
"""

import numpy as np
from numpy.typing import NDArray

from recsys.learn.examples import positions
from recsys.rows import Impressions

MIN_VIEWS = 50.0  # of articles that stood in both of two neighbouring places
LEAST = 0.05  # no observation counts more than twenty times


def position_propensities(shown: Impressions) -> NDArray[np.float64]:
    """Return the chance that a place is looked at, against the first place.

    Returns
    -------
    array of float64, shape (n_places + 1,)
        By 1-based place, at least `LEAST`; [0] and places with too few views in common
        with the one before are as the last known one, 1.0 where nothing is known.

    Notes
    -----
    Neighbouring places are compared on the articles that stood in both, so that a better
    article in the first place does not count as a better place: p(k + 1) / p(k) is the
    ratio of the click rates in the two places, over articles weighed by the smaller of their
    two numbers of views. The product of the ratios is the curve.

    References
    ----------
    Agarwal et al., "Estimating position bias without intrusive interventions", WSDM 2019
    (adjacent pairs: what a ranking that changes gives away by itself).
    """
    place = positions(shown)
    longest = int(place.max(initial=0))
    chance = np.ones(longest + 1)
    if longest < 2:
        return chance
    articles, column = np.unique(shown.article_key, return_inverse=True)
    views = np.zeros((longest + 1, len(articles)))
    clicks = np.zeros_like(views)
    np.add.at(views, (place, column), 1.0)
    np.add.at(clicks, (place, column), shown.clicked.astype(np.float64))
    for k in range(1, longest):
        weight = np.minimum(views[k], views[k + 1])
        both = weight > 0
        rate = [(weight[both] * clicks[p][both] / views[p][both]).sum() for p in (k, k + 1)]
        known = weight.sum() >= MIN_VIEWS and min(rate) > 0
        ratio = min(rate[1] / rate[0], 1.0) if known else 1.0
        chance[k + 1] = max(chance[k] * ratio, LEAST)
    return chance


def weights(
    place: NDArray[np.int64],
    clicked: NDArray[np.bool_],
    propensity: NDArray[np.float64],
    chance: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return what each candidate counts: the inverse of its chance.

    Of its chance of being shown, and if clicked of being looked at too.

    Parameters
    ----------
    place, clicked, propensity : array, shape (n_candidates,)
        As of `recsys.learn.examples.positions`, and the log.
    chance
        From `position_propensities`.
    """
    looked = np.where(place > 0, chance[np.minimum(place, len(chance) - 1)], 1.0)
    return np.where(clicked, 1.0 / looked, 1.0) / np.maximum(propensity, LEAST)
