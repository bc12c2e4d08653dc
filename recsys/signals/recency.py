"""How new an article is."""

import numpy as np
from numpy.typing import NDArray


def recency(age_hours: NDArray[np.float64], *, half_life_hours: float) -> NDArray[np.float64]:
    """Return 1 for an article of this moment, 0.5 after a half-life, towards 0.

    Parameters
    ----------
    age_hours : array of float64, shape (n_articles,)
        Hours since publication, or since first seen; a negative age counts as 0.

    Examples
    --------
    >>> recency(np.array([0.0, 12.0, 24.0]), half_life_hours=12.0).tolist()
    [1.0, 0.5, 0.25]
    """
    fresh: NDArray[np.float64] = np.exp2(-np.maximum(age_hours, 0.0) / half_life_hours)
    return fresh
