"""Which article fills which slot: rank by rank, each list its best free candidate.

The lists take turns, so that none starves: first place of every list, then second
places. A slot takes its list's best candidate whose story is not on the page yet,
was not read, and is not the article being read.
"""

from collections.abc import Mapping, Sequence
from itertools import count

import numpy as np
from numpy.typing import NDArray

# On the page and in this order of turns: what the page owes its reader comes first.
YOU_MAY_ALSO_LIKE = "you_may_also_like"
POPULAR_NOW = "popular_now"
MUST_READS = "must_reads"
LATEST_STORIES = "latest_stories"
LISTS = (YOU_MAY_ALSO_LIKE, POPULAR_NOW, MUST_READS, LATEST_STORIES)


def slots_of(n: int, n_latest: int) -> dict[str, int]:
    """Return the slots of each list: `n`, but `n_latest` for Latest Stories."""
    return dict.fromkeys(LISTS, n) | {LATEST_STORIES: n_latest}


def top_n(scores: NDArray[np.float32], n: int) -> NDArray[np.int64]:
    """Return the places of the `n` best scores, best first, ties by place.

    -inf marks what must not be chosen and is left out.

    Examples
    --------
    >>> top_n(np.array([1.0, 3.0, -np.inf, 3.0], dtype=np.float32), 3).tolist()
    [1, 3, 0]
    """
    n = min(n, len(scores))
    if n < 1:
        return np.zeros(0, dtype=np.int64)
    # All that reach the n-th best score, so that ties at the edge go by place.
    edge = np.partition(scores, len(scores) - n)[len(scores) - n]
    near = np.flatnonzero((scores >= edge) & (scores > -np.inf))
    return near[np.argsort(-scores[near], kind="stable")][:n]


def compose(
    rankings: Mapping[str, Sequence[int]],
    n_slots: Mapping[str, int],
    story: NDArray[np.int64],
    blocked: NDArray[np.int64],
) -> dict[str, list[int]]:
    """Return the articles of each list of one page, best first.

    Parameters
    ----------
    rankings
        Candidates (live places) of each list, best first.
    n_slots
        Slots of each list; a list absent here is not filled.
    story : array of int, shape (n_live,)
        Story of each live article.
    blocked : array of int
        Live places that must not appear, nor any article of their story.

    Returns
    -------
    dict
        A list is shorter than asked only if its candidates are used up.
    """
    used = set(story[blocked].tolist())
    story_of = story.tolist()
    chosen: dict[str, list[int]] = {name: [] for name in LISTS if name in n_slots}
    ahead = {name: iter(rankings[name]) for name in chosen}
    for turn in count():
        open_lists = [name for name in chosen if turn < n_slots[name]]
        if not open_lists:
            return chosen
        for name in open_lists:
            for candidate in ahead[name]:
                if story_of[candidate] not in used:
                    used.add(story_of[candidate])
                    chosen[name].append(candidate)
                    break
    raise AssertionError  # count() has no end


def compose_block(
    rankings: Mapping[str, NDArray[np.int64]],
    n_slots: Mapping[str, int],
    story: NDArray[np.int64],
    used: NDArray[np.bool_],
) -> dict[str, NDArray[np.int64]]:
    """Return what `compose` returns, for a block of readers at once.

    Parameters
    ----------
    rankings
        Shape (n_block, n_candidates), or (1, n_candidates) where shared by all;
        -1 where there is no candidate.
    n_slots, story
        As in `compose`.
    used : array of bool, shape (n_block, n_live)
        Stories that must not appear, by story index. Changed: stories placed are added.

    Returns
    -------
    dict of array of int64, shape (n_block, slots)
        -1 in slots that could not be filled.
    """
    n_block = len(used)
    everyone = np.arange(n_block)
    chosen = {
        name: np.full((n_block, n_slots[name]), -1, dtype=np.int64)
        for name in LISTS
        if name in n_slots
    }
    for turn in range(max(n_slots.values(), default=0)):
        for name, places in chosen.items():
            if turn >= n_slots[name] or not rankings[name].shape[1]:
                continue
            candidates = rankings[name]
            stories = np.where(candidates >= 0, story[candidates], 0)
            free = ~used[everyone[:, np.newaxis], stories] & (candidates >= 0)
            best = free.argmax(axis=1)
            found = free[everyone, best]
            pick = np.broadcast_to(candidates, free.shape)[everyone, best]
            places[found, turn] = pick[found]
            used[everyone[found], story[pick[found]]] = True
    return chosen
