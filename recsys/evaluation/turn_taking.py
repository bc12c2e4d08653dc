"""Pages filled by plain turns: the baseline that the assignment is measured against."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from recsys.page.list_table import Layout


def fill_by_turns(
    rankings: Mapping[str, Sequence[int]],
    layout: Layout,
    story: NDArray[np.int64],
    blocked: NDArray[np.int64],
) -> dict[str, list[int]]:
    """Return a page by turns: each list takes its best free candidate, first slots first.

    Parameters
    ----------
    rankings
        Candidates (live indices) of each list, best first.
    layout
        The lists of the page.
    story : array of int64, shape (n_live,)
        Story of each live article.
    blocked : array of int64
        Live articles that must not appear, nor any article of their story.
    """
    used = set(story[blocked].tolist())
    story_of = story.tolist()
    chosen: dict[str, list[int]] = {of.name: [] for of in layout.lists}
    ahead = {name: iter(rankings[name]) for name in chosen}
    for turn in range(max((of.n_slots for of in layout.lists), default=0)):
        for of in layout.lists:
            if turn < of.n_slots:
                for candidate in ahead[of.name]:
                    if story_of[candidate] not in used:
                        used.add(story_of[candidate])
                        chosen[of.name].append(candidate)
                        break
    return chosen
