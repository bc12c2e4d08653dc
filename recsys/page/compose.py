"""Which article fills which slot: one assignment for all lists of a page.

Slots on one side, stories on the other: a slot is worth what its list thinks of the best
article of a story, times how much the slot is looked at, times what the list is worth to
the page. A story takes at most one slot, so no article and no story stands twice, and the
best page is a linear assignment, solved exactly. Caps (so many of a section, of an author)
are no part of an assignment: the best page without them bounds what one within them can be
worth; of too many, the best few stay, and the rest of the page is assigned anew.

Pages are composed in blocks, the first axis of every array: one page is a block of one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.kernels import lists as kernels

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

# On the page in this order, which is the reader's.
YOU_MAY_ALSO_LIKE = "you_may_also_like"
POPULAR_NOW = "popular_now"
MUST_READS = "must_reads"
LATEST_STORIES = "latest_stories"
LISTS = (YOU_MAY_ALSO_LIKE, POPULAR_NOW, MUST_READS, LATEST_STORIES)

FILLED = 10.0  # worth of any article in a slot, so that none stays empty without need
MINIMUM = 100.0  # worth of one of a list's first slots, beyond any score


def slots_of(n: int, n_latest: int) -> dict[str, int]:
    """Return the slots of each list: `n`, but `n_latest` for Latest Stories."""
    return dict.fromkeys(LISTS, n) | {LATEST_STORIES: n_latest}


@dataclass(frozen=True, slots=True)
class Wish:
    """What one list would show on each page of a block.

    Attributes
    ----------
    name, n_slots
        The list, and its slots.
    places : array of int64, shape (n_pages, n_candidates)
        Live places, one a story, best first; -1 where a page has no more.
    values : array of float64, shape (n_pages, n_candidates)
        What each is worth to the list, from 1 for the best to 0; not rising.
    priority
        What the list is worth to the page.
    minimum
        Slots it keeps before other lists get more, when articles run out.
    exempt
        Whether it may tell a story again that another list tells by another article.
    """

    name: str
    n_slots: int
    places: Ints
    values: Floats
    priority: float = 1.0
    minimum: int = 0
    exempt: bool = False


@dataclass(frozen=True, slots=True)
class Cap:
    """At most so many of a group in one list (`name`), or on the page (None).

    `group` has a number for each live article, -1 for those in no group.
    """

    name: str | None
    group: Ints
    most: int


@dataclass(frozen=True, slots=True)
class Pin:
    """An article that holds a slot (0 the first) of a list."""

    name: str
    slot: int
    place: int


@dataclass(frozen=True, slots=True)
class Composed:
    """A block of pages.

    Attributes
    ----------
    lists : dict of array of int64, shape (n_pages, n_slots)
        Live places by list, best first; -1 for a slot that stays empty.
    value : array of float64, shape (n_pages,)
        Position-weighted worth of each page, pins left out.
    bound : array of float64, shape (n_pages,)
        No page within the caps that fills as much is worth more.
    """

    lists: dict[str, Ints]
    value: Floats
    bound: Floats


def compose(
    wishes: Sequence[Wish], story: Ints, caps: Sequence[Cap] = (), pins: Sequence[Pin] = ()
) -> Composed:
    """Return the best pages; within caps, good ones, and the bound on any better.

    Parameters
    ----------
    wishes
        What each list would show; nothing else is shown in it but pins.
    story : array of int64, shape (n_live,)
        Story of each live article; one story, one slot, but in exempt lists.
    caps
        What must not be exceeded. Pins count, but are never taken away.
    pins
        Articles that hold a slot of every page, at most one a slot and one a story.

    Notes
    -----
    Branch and bound over caps took 140 assignments a page on MIND, prices for them
    (Lagrangian relaxation) 49; what is done here takes two, and its pages were worth
    0.015 % less than the best of the latter on average, 0.7 % at most.
    """
    place_of = {wish.name: at for at, wish in enumerate(wishes)}
    lists, value, bound = kernels.compose(
        [(w.n_slots, w.places, w.values, w.priority, w.minimum, w.exempt) for w in wishes],
        story,
        [(-1 if c.name is None else place_of[c.name], c.group, c.most) for c in caps],
        [(place_of[pin.name], pin.slot, pin.place) for pin in pins],
        filled=FILLED,
        minimum=MINIMUM,
    )
    return Composed(dict(zip(place_of, lists, strict=True)), value, bound)
