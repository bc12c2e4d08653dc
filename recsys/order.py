"""Whole numbers put in order, as `numpy.unique` and `numpy.argsort` do, but sooner.

`numpy.unique` keeps a hash table or sorts places beside values; a plain sort of int64 is several
times as fast. So number and place are sorted as one number, where both fit into 63 bits.
"""

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def stable_order(keys: Ints) -> Ints:
    """Return the order of whole numbers, least first, ties as they stand.

    Examples
    --------
    >>> stable_order(np.array([2, 0, 2, 1])).tolist()
    [1, 3, 0, 2]
    """
    bits = len(keys).bit_length()
    if not len(keys) or keys.min() < 0 or int(keys.max()).bit_length() + bits > 63:
        return np.argsort(keys, kind="stable")
    packed = keys << bits
    packed |= np.arange(len(keys))
    packed.sort()
    packed &= (1 << bits) - 1
    return packed


def begins(ordered: Ints) -> NDArray[np.bool_]:
    """Return which of some ordered numbers differ from the one before.

    Examples
    --------
    >>> begins(np.array([4, 4, 7])).tolist()
    [True, False, True]
    """
    first = np.ones(len(ordered), dtype=bool)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return first


def distinct(values: Ints) -> Ints:
    """Return the distinct values, ascending."""
    ordered = np.sort(values)
    return ordered[begins(ordered)]


def counted(values: Ints) -> tuple[Ints, Ints]:
    """Return the distinct values, ascending, and how often each stands there.

    Examples
    --------
    >>> [part.tolist() for part in counted(np.array([5, 3, 5]))]
    [[3, 5], [1, 2]]
    """
    ordered = np.sort(values)
    start = np.flatnonzero(begins(ordered))
    return ordered[start], np.diff(start, append=len(ordered))


def first_places(keys: Ints) -> tuple[Ints, Ints]:
    """Return the distinct values, ascending, and the place where each stands first.

    Examples
    --------
    >>> [part.tolist() for part in first_places(np.array([5, 3, 5]))]
    [[3, 5], [1, 0]]
    """
    order = stable_order(keys)
    ordered = keys[order]
    first = begins(ordered)
    return ordered[first], order[first]
