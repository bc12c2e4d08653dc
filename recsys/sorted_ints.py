"""Distinct whole numbers, and pairs of them, as `numpy.unique` tells them, but sooner.

`numpy.unique` keeps a hash table (numpy 2.3 on); a plain sort of int64 is several times as fast.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def starts_of_runs(ordered: Ints) -> NDArray[np.bool_]:
    """Return which of some ordered numbers differ from the one before.

    Examples
    --------
    >>> starts_of_runs(np.array([4, 4, 7])).tolist()
    [True, False, True]
    """
    first = np.ones(len(ordered), dtype=bool)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return first


def distinct(values: Ints) -> Ints:
    """Return the distinct values, ascending."""
    ordered = np.sort(values)
    return ordered[starts_of_runs(ordered)]


def counted(values: Ints) -> tuple[Ints, Ints]:
    """Return the distinct values, ascending, and how often each stands there.

    Examples
    --------
    >>> [part.tolist() for part in counted(np.array([5, 3, 5]))]
    [[3, 5], [1, 2]]
    """
    ordered = np.sort(values)
    start = np.flatnonzero(starts_of_runs(ordered))
    return ordered[start], np.diff(start, append=len(ordered))


def runs(ordered: Ints) -> list[slice]:
    """Return where each distinct value of some ordered numbers stands.

    Examples
    --------
    >>> [(run.start, run.stop) for run in runs(np.array([4, 4, 7]))]
    [(0, 2), (2, 3)]
    """
    edges = [*np.flatnonzero(starts_of_runs(ordered)).tolist(), len(ordered)]
    return [slice(begin, end) for begin, end in pairwise(edges)]


def make_pair(user_key: Ints, other: Ints) -> Ints:
    """Return one number for a reader and an article (or an hour): sorted faster than two."""
    return (user_key << 32) | other


def split_pair(pair: Ints) -> tuple[Ints, Ints]:
    """Return the reader and the article (or hour) of each `make_pair`."""
    return pair >> 32, pair & 0xFFFFFFFF
