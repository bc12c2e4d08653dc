"""Millions of clicks at once: one click of each user and article, and decayed counts."""

import numpy as np
from numpy.typing import NDArray

from recsys.kernels.library import done, library, pointer

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


def one_of_pair(user: Ints, article: Ints, *, first: bool) -> Mask:
    """Return a mask of one click of each user on each article, in the order given.

    Parameters
    ----------
    user, article : array of int64, shape (n_clicks,)
        Keys from 0 on; memory grows with the largest.
    first
        Whether the first click of the two is kept, otherwise the last.

    Raises
    ------
    ValueError
        If a key is not in [0, 2**31).

    Examples
    --------
    >>> one_of_pair(np.array([0, 1, 0]), np.array([5, 5, 5]), first=False).tolist()
    [False, True, True]
    """
    keep, n = np.zeros(len(user), dtype=bool), len(user)
    if n and not 0 <= min(user.min(), article.min()) <= max(user.max(), article.max()) < 2**31:
        raise ValueError("users and articles must be numbered from 0 on, below 2**31")
    user, article = np.ascontiguousarray(user), np.ascontiguousarray(article)
    done(
        library.recsys_one_of_pair(
            pointer("user", user, np.int64, n),
            pointer("article", article, np.int64, n),
            n,
            int(user.max(initial=-1)) + 1,
            int(article.max(initial=-1)) + 1,
            first,
            pointer("keep", keep, np.bool_, n),
        )
    )
    return keep


def running_counts(event_ms: Ints, begins: Mask, *, half_life_hours: float) -> NDArray[np.float64]:
    """Return the decayed count of each event's key right after the event.

    Parameters
    ----------
    event_ms : array of int64, shape (n_events,)
        Key by key, in order of time.
    begins : array of bool, shape (n_events,)
        The first event of each key.
    half_life_hours
        Age at which an event counts 0.5.

    Notes
    -----
    c_i = 1 + c_(i-1) 2 ** (-(t_i - t_(i-1)) / half life), or 1 where a key begins.

    Examples
    --------
    >>> hours = np.array([0, 3_600_000])
    >>> running_counts(hours, np.array([True, False]), half_life_hours=1.0).tolist()
    [1.0, 1.5]
    """
    count, n = np.empty(len(event_ms)), len(event_ms)
    library.recsys_running_counts(
        pointer("event_ms", np.ascontiguousarray(event_ms), np.int64, n),
        pointer("begins", np.ascontiguousarray(begins), np.bool_, n),
        n,
        half_life_hours * 3_600_000.0,
        pointer("count", count, np.float64, n),
    )
    return count
