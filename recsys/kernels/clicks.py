"""Millions of clicks at once: one of each reader and article, and decayed counts."""

import ctypes

import numpy as np
from numpy.typing import NDArray

from recsys.kernels.library import address, done, library, pointer, real, size

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

library.recsys_one_of_pair.argtypes = [pointer, pointer, size, size, size, ctypes.c_int, pointer]
library.recsys_running.argtypes = [pointer, pointer, size, real, pointer]
library.recsys_running.restype = None


def one_of_pair(user: Ints, article: Ints, *, first: bool) -> Mask:
    """Return True for one click of each reader on each article, as clicks stand.

    Parameters
    ----------
    user, article : array of int64, shape (n_clicks,)
        Numbers from 0 on.
    first
        Whether it is their first, else their last.

    Examples
    --------
    >>> one_of_pair(np.array([0, 1, 0]), np.array([5, 5, 5]), first=False).tolist()
    [False, True, True]
    """
    keep, n = np.zeros(len(user), dtype=bool), len(user)
    if n and min(user.min(), article.min()) < 0:
        raise ValueError("readers and articles must be numbered from 0 on")
    user, article = np.ascontiguousarray(user), np.ascontiguousarray(article)
    done(
        library.recsys_one_of_pair(
            address(user, np.int64, n),
            address(article, np.int64, n),
            n,
            int(user.max(initial=-1)) + 1,
            int(article.max(initial=-1)) + 1,
            first,
            address(keep, np.bool_, n),
        )
    )
    return keep


def running_counts(event_ms: Ints, begins: Mask, *, half_life_hours: float) -> NDArray[np.float64]:
    """Return the decayed count of its key right after each event.

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
    event_ms = np.ascontiguousarray(event_ms)
    library.recsys_running(
        address(event_ms, np.int64, n),
        address(begins, np.bool_, n),
        n,
        half_life_hours * 3_600_000.0,
        address(count, np.float64, n),
    )
    return count
