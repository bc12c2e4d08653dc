"""Vectors that a publisher brings of its articles, such as those of a sentence encoder.

Such vectors share a direction, that of all text of the publisher, which says nothing about an
article. So they are centred, and reduced to the directions in which they differ most.

References
----------
Mu, Viswanath, "All-but-the-top: simple and effective postprocessing for word representations",
ICLR 2018.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.matrices import unit_rows

Floats = NDArray[np.float32]
MOST_ARTICLES = 5_000  # whose axes are learned; more change no direction that matters
N_DIMENSIONS = 64  # of a multilingual sentence encoder on MIND, more gained nothing


@dataclass(frozen=True, slots=True)
class Projection:
    """How vectors are centred and reduced.

    Attributes
    ----------
    centre : array of float32, shape (n_given,)
        The mean of the vectors that it was learned from.
    axes : array of float32, shape (n_given, n_dimensions)
        Their principal axes, at most `N_DIMENSIONS`.
    """

    centre: Floats
    axes: Floats

    def of_articles(self, vectors: Floats) -> Floats:
        """Return reduced vectors of unit length.

        Parameters
        ----------
        vectors : array of float32, shape (n_articles, n_given)
            Rows of zeros are articles without a vector. Vectors of another length than those
            that the projection was learned from count as none.

        Returns
        -------
        array of float32, shape (n_articles, n_dimensions)
            Zeros for an article without a vector.
        """
        if vectors.shape[1] != len(self.centre):
            return np.zeros((len(vectors), self.axes.shape[1]), dtype=np.float32)
        reduced: Floats = ((vectors - self.centre) @ self.axes).astype(np.float32)
        reduced[~vectors.any(axis=1)] = 0.0
        return unit_rows(reduced)


def learn_projection(vectors: Floats) -> Projection:
    """Learn the projection of some vectors: their mean and principal axes.

    Parameters
    ----------
    vectors : array of float32, shape (n_articles, n_given)
        Rows of zeros are articles without a vector.
    """
    from sklearn.utils.extmath import randomized_svd  # imported late: a refresh needs none

    given = vectors[vectors.any(axis=1)].astype(np.float64)
    n_given = vectors.shape[1]
    if not len(given):
        return Projection(np.zeros(n_given, np.float32), np.zeros((n_given, 0), np.float32))
    centre = given.mean(axis=0)
    sample = given[:: max(len(given) // MOST_ARTICLES, 1)] - centre
    n = min(N_DIMENSIONS, *sample.shape)
    # The time is linear in the length of the vectors; an exact solution takes its square or cube.
    _, _, axes = randomized_svd(sample, n, random_state=0)  # the sign of an axis is fixed by it
    return Projection(centre.astype(np.float32), axes.T.astype(np.float32))
