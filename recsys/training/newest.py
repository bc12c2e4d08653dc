"""The order of Latest Stories: newest first, and no source more often than its readers warrant.

Whoever feeds a newsroom a thousand articles at once would otherwise have all of the list.
"""

import heapq
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recsys.page.rules import host_of

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

FREE_PLACES = 1  # of each source, however few of the clicks it has


def sources_of(urls: Sequence[str]) -> tuple[Ints, list[str]]:
    """Return the number of the source of each article, and the host of each source.

    An article without an address has source -1.

    Examples
    --------
    >>> source, hosts = sources_of(["https://b.example/1", "", "https://www.a.example/2"])
    >>> source.tolist(), hosts
    ([1, -1, 0], ['a.example', 'b.example'])
    """
    found = [host_of(url) for url in urls]
    hosts = sorted(set(found) - {""})
    number = {host: i for i, host in enumerate(hosts)} | {"": -1}
    return np.array([number[host] for host in found], dtype=np.int64), hosts


def in_turn(age_hours: Floats, source: Ints, share: Floats) -> Ints:
    """Return the articles newest first, those of each source held to their turn.

    Of the first n articles, a source has at most `FREE_PLACES` + n x its share of the clicks. So
    the source that most users read is not held at all. The limit gives way where no other articles
    are left. An article without a source is not held.

    Parameters
    ----------
    age_hours : array of float64, shape (n_articles,)
        Ages; of equal ones the first article comes first.
    source : array of int64, shape (n_articles,)
        Number of each article's source, -1 for none.
    share : array of float64, shape (n_sources,)
        Share of all clicks that the articles of each source have.

    Returns
    -------
    array of int64, shape (n_articles,)
        Indices of the articles.

    Examples
    --------
    Four articles of source 0 are the newest. It has no clicks, and so one place, until the
    articles of source 1 are used up.

    >>> source = np.array([0, 0, 0, 0, 1, 1])
    >>> in_turn(np.arange(6.0), source, np.array([0.0, 1.0])).tolist()
    [0, 4, 5, 1, 2, 3]
    """
    newest: Ints = np.lexsort((np.arange(len(age_hours)), age_hours))
    if len(share) < 2 or not share.any():
        return newest
    n_before = np.zeros(len(share), dtype=np.int64)
    waiting = []
    for rank, index in enumerate(newest.tolist()):
        turn = 0
        if (of := source[index]) >= 0:
            n_before[of] += 1
            turn = _first_place(int(n_before[of]), float(share[of]), len(newest))
        waiting.append((turn, rank))
    waiting.sort()
    order, ready, begin = [], list[int](), 0
    for place in range(len(newest)):
        if not ready and begin < len(waiting):  # no other article is left: the limit gives way
            place = max(place, waiting[begin][0])
        while begin < len(waiting) and waiting[begin][0] <= place:
            heapq.heappush(ready, waiting[begin][1])
            begin += 1
        order.append(newest[heapq.heappop(ready)])
    return np.array(order, dtype=np.int64)


def _first_place(number: int, share: float, n: int) -> int:
    """Return the first place (0 the first) that the article of a number (from 1) may have."""
    if number <= FREE_PLACES:
        return 0
    if number - FREE_PLACES > n * share:  # beyond the last place, and also if the share is 0
        return n
    return int(np.ceil((number - FREE_PLACES) / share)) - 1


def held_sources(
    newest: Ints, age_hours: Floats, source: Ints, hosts: Sequence[str], n: int
) -> list[str]:
    """Return a warning for each source of which the first `n` articles were held to their turn.

    Parameters
    ----------
    newest
        The order of `in_turn`.
    age_hours, source
        See `in_turn`.
    hosts
        The host of each source.
    n
        Slots of the longest list of latest articles.
    """
    by_age = np.lexsort((np.arange(len(age_hours)), age_hours))[:n]
    held = source[np.setdiff1d(by_age, newest[:n])]
    return [
        f"{hosts[of]} has {int((source[by_age] == of).sum())} of the {len(by_age)} newest articles:"
        " more than its share of the clicks warrants, so some come later in lists of the latest"
        for of in np.unique(held[held >= 0]).tolist()
    ]
