"""Compute the 95 % interval of a mean by the bootstrap over one or two clusters."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

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
    crossed: Ints | None = None,
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
    crossed : array of int, shape (n,)
        A second cluster of each value, such as the moment of a list. Both are resampled, since
        neither the lists of one user nor those of one moment are independent.
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
    Field, Welsh, "Bootstrapping clustered data", JRSS B 69(3), 2007; percentile method. Of two
    clusters: Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 1(2), 2007, which is
    somewhat too wide rather than too narrow.
    """
    is_given = ~np.isnan(values)
    if not is_given.any():
        return Interval(float("nan"), float("nan"), float("nan"))
    weights = np.ones(int(is_given.sum())) if weight is None else weight[is_given]
    second = np.zeros(len(cluster), dtype=np.int64) if crossed is None else crossed
    row, column = (np.unique(of[is_given], return_inverse=True)[1] for of in (cluster, second))
    shape = row.max() + 1, column.max() + 1
    sums = csr_matrix((values[is_given] * weights, (row, column)), shape=shape)
    sum_weights = csr_matrix((weights, (row, column)), shape=shape)
    rng = np.random.default_rng(random_state)
    rows_drawn, columns_drawn = (
        rng.multinomial(n, np.full(n, 1 / n), size=n_resamples).astype(np.float64) for n in shape
    )
    totals, total_weights = (
        np.sum((of.T @ rows_drawn.T).T * columns_drawn, axis=1) for of in (sums, sum_weights)
    )
    is_drawn = total_weights > 0  # of few values in two clusters, a sample may hold none
    low, high = np.percentile(totals[is_drawn] / total_weights[is_drawn], [2.5, 97.5])
    return Interval(float(sums.sum() / sum_weights.sum()), float(low), float(high))
