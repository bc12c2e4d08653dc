"""What the best page is: one assignment for all its lists, under caps and pins.

Slots on one side, stories on the other. A slot is worth how likely this user is to click the best
article of a story, among those that its list thinks best (`PageConfig.click_share`), times how much
the slot is looked at (estimated from logged positions where there are any, else 1 / log2(slot + 1),
the first slot being 1), times what the list is worth to the page. A story takes
at most one slot, so no article and no story appears twice, and the best page is a linear
assignment, solved exactly. Caps (so many articles of a section, of an author) are not part of an
assignment: the best page without them bounds what a page within them can be worth; of too many
articles of a group the best few stay, and the rest of the page is assigned again.

`kernels/assignment.c` composes; `tests/naive_pages.py` does the same in plain Python. Branch and
bound over caps took 140 assignments a page on MIND, Lagrangian prices 49; this takes two, and its
pages were worth 0.015 % less than the best of the latter on average, 0.7 % at most.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FILLED = 10.0  # worth of any article in a slot, so that no slot stays empty without need
MINIMUM = 100.0  # worth of one of a list's first slots, beyond any score
NO_EXAMINATION = np.zeros(0)  # of a list without logged positions


@dataclass(frozen=True, slots=True)
class Cap:
    """At most `most` articles of each group in one list (`name`), or on the page (None).

    `group` has a number for each live article, -1 for articles without a group. `rule_id` is the
    editors' rule that asks for it, "" for a cap of the layout.
    """

    name: str | None
    group: NDArray[np.int64]
    most: int
    rule_id: str = ""


@dataclass(frozen=True, slots=True)
class Pin:
    """An article that holds a slot (0 the first) of a list."""

    name: str
    slot: int
    live_index: int


def published_examination(n_positions: int) -> Floats:
    """Return how much each position is looked at by the published curve: 1 / log2(position + 1).

    It is the discount of discounted cumulative gain (Jarvelin, Kekalainen, "Cumulated gain-based
    evaluation of IR techniques", ACM TOIS 20(4), 2002).

    Parameters
    ----------
    n_positions
        The length of the result; its first entry is 1.
    """
    return 1.0 / np.log2(np.arange(2, n_positions + 2, dtype=np.float64))


def examination_at(curve: Floats, n_positions: int) -> Floats:
    """Return an estimated curve for so many positions.

    Beyond the positions of the log it falls as the published one does.

    Parameters
    ----------
    curve : array of float64
        From `recsys.training.examination`; empty where nothing was estimated.
    n_positions
        The length of the result.
    """
    published = published_examination(n_positions)
    known = min(len(curve), n_positions)
    if not known:
        return published
    tail = curve[known - 1] * published[known:] / published[known - 1]
    return np.concatenate((curve[:known], tail))
