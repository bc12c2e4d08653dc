"""Distinct integers, their counts, and pairs of integers, computed by sorting.

The results equal those of `numpy.unique`, which builds a hash table from numpy 2.3 on; a plain
sort of int64 is several times as fast.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def differs_from_previous(values: Ints) -> NDArray[np.bool_]:
    """Mark each value that differs from the one before it; the first is always marked.

    In a sorted array the marks are the beginnings of the groups of equal values.

    Examples
    --------
    >>> differs_from_previous(np.array([4, 4, 7])).tolist()
    [True, False, True]
    """
    marks = np.ones(len(values), dtype=bool)
    np.not_equal(values[1:], values[:-1], out=marks[1:])
    return marks


def distinct(values: Ints) -> Ints:
    """Return the distinct values, ascending."""
    ordered = np.sort(values)
    return ordered[differs_from_previous(ordered)]


def distinct_counts(values: Ints) -> tuple[Ints, Ints]:
    """Return the distinct values, ascending, and the number of occurrences of each.

    Examples
    --------
    >>> [part.tolist() for part in distinct_counts(np.array([5, 3, 5]))]
    [[3, 5], [1, 2]]
    """
    ordered = np.sort(values)
    start = np.flatnonzero(differs_from_previous(ordered))
    return ordered[start], np.diff(start, append=len(ordered))


def equal_slices(ordered: Ints) -> list[slice]:
    """Return one slice for each distinct value of a sorted array, covering its occurrences.

    Examples
    --------
    >>> [(part.start, part.stop) for part in equal_slices(np.array([4, 4, 7]))]
    [(0, 2), (2, 3)]
    """
    edges = [*np.flatnonzero(differs_from_previous(ordered)).tolist(), len(ordered)]
    return [slice(begin, end) for begin, end in pairwise(edges)]


def make_pair(user_key: Ints, other: Ints) -> Ints:
    """Pack a user key and an article key (or an hour) into one int64.

    One array of packed pairs sorts faster than two arrays. `user_key` must be in [0, 2**31) and
    `other` in [0, 2**32).
    """
    return (user_key << 32) | other


def split_pair(pair: Ints) -> tuple[Ints, Ints]:
    """Return the user key and the article key (or hour) that `make_pair` packed."""
    return pair >> 32, pair & 0xFFFFFFFF
