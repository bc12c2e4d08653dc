"""Compute the 95 % interval of a mean by the clustered bootstrap."""

from dataclasses import dataclass

import numpy as np

from recsys.metrics.discounted_gain import Floats, Ints


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean, and the lower and upper end of its 95 % interval."""

    mean: float
    low: float
    high: float


def bootstrap(
    values: Floats,
    cluster: Ints,
    *,
    weight: Floats | None = None,
    n_resamples: int = 1000,
    random_state: int = 42,
) -> Interval:
    """Return the mean of values and its 95 % bootstrap interval, resampling whole clusters.

    Parameters
    ----------
    values : array of float, shape (n,)
        NaN is left out. For a paired comparison, pass the differences of two systems.
    cluster : array of int, shape (n,)
        The user of each value, because the impressions of one user are not independent.
    weight : array of float, shape (n,)
        Weight of each value in the mean; by default all are equal.
    n_resamples : int
        Number of bootstrap samples.
    random_state : int
        Seed.

    Returns
    -------
    Interval
        All NaN if there are no values.

    References
    ----------
    Field, Welsh, "Bootstrapping clustered data", JRSS B 69(3), 2007; percentile method.
    """
    is_given = ~np.isnan(values)
    if not is_given.any():
        return Interval(float("nan"), float("nan"), float("nan"))
    _, cluster_index = np.unique(cluster[is_given], return_inverse=True)
    weights = np.ones(int(is_given.sum())) if weight is None else weight[is_given]
    sums = np.bincount(cluster_index, weights=values[is_given] * weights)
    sum_weights = np.bincount(cluster_index, weights=weights)
    n_clusters = len(sums)
    rng = np.random.default_rng(random_state)
    times_drawn = rng.multinomial(n_clusters, np.full(n_clusters, 1 / n_clusters), size=n_resamples)
    means = (times_drawn @ sums) / (times_drawn @ sum_weights)
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(float(sums.sum() / sum_weights.sum()), float(low), float(high))
