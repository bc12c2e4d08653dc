"""Which article fills which slot: one assignment for all lists of a page.

Slots on one side, stories on the other: a slot is worth what its list thinks of the best
article of a story, times how much the slot is looked at, times what the list is worth to
the page. A story takes at most one slot, so no article and no story stands twice, and the
best page is a linear assignment, solved exactly. Caps (so many of a section, of an author)
are no part of an assignment: the best page without them bounds what one within them can be
worth; of too many, the best few stay, and the rest of the page is assigned anew.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

# On the page in this order, which is the reader's.
YOU_MAY_ALSO_LIKE = "you_may_also_like"
POPULAR_NOW = "popular_now"
MUST_READS = "must_reads"
LATEST_STORIES = "latest_stories"
LISTS = (YOU_MAY_ALSO_LIKE, POPULAR_NOW, MUST_READS, LATEST_STORIES)

_NEVER = 1e6  # cost of what is not allowed
_FILLED = 10.0  # worth of any article in a slot, so that none stays empty without need
_MINIMUM = 100.0  # worth of one of a list's first slots, beyond any score


def slots_of(n: int, n_latest: int) -> dict[str, int]:
    """Return the slots of each list: `n`, but `n_latest` for Latest Stories."""
    return dict.fromkeys(LISTS, n) | {LATEST_STORIES: n_latest}


def top_n(scores: NDArray[np.float32], n: int) -> Ints:
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


def first_of_group(group: Ints, most: int) -> NDArray[np.bool_]:
    """Return which are among the first `most` of their group; all of no group (-1).

    Examples
    --------
    >>> first_of_group(np.array([4, 4, -1, 4, -1]), 2).tolist()
    [True, True, True, False, True]
    """
    order = np.argsort(group, kind="stable")
    ordered = group[order]
    rank = np.arange(len(group)) - np.searchsorted(ordered, ordered)
    first = np.zeros(len(group), dtype=bool)
    first[order] = (rank < most) | (ordered < 0)
    return first


@cache
def _slot_weight(slot: int) -> float:
    """Return how much a slot (0 the first) is looked at: 1 / log2(slot + 2), as in DCG.

    References
    ----------
    Järvelin, Kekäläinen, "Cumulated gain-based evaluation of IR techniques", ACM
    Transactions on Information Systems 20(4), 2002.
    """
    return 1.0 / math.log2(slot + 2)


@dataclass(frozen=True, slots=True)
class Wish:
    """What one list would show.

    Attributes
    ----------
    name, n_slots
        The list, and its slots.
    places : array of int64, shape (n_candidates,)
        Live places, one a story, best first.
    values : array of float64, shape (n_candidates,)
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
    """A page.

    Attributes
    ----------
    lists
        Live places by list, best first; -1 for a slot that stays empty.
    value
        Position-weighted worth of the page, pins left out.
    bound
        No page within the caps that fills as much is worth more.
    """

    lists: dict[str, list[int]]
    value: float
    bound: float


def compose(
    wishes: Sequence[Wish], story: Ints, caps: Sequence[Cap] = (), pins: Sequence[Pin] = ()
) -> Composed:
    """Return the best page; within caps, a good one, and the bound on any better.

    Parameters
    ----------
    wishes
        What each list would show; nothing else is shown in it but pins.
    story : array of int64, shape (n_live,)
        Story of each live article; one story, one slot, but in exempt lists.
    caps
        What must not be exceeded. Pins count, but are never taken away.
    pins
        Articles that hold a slot, at most one a slot and one a story.

    Notes
    -----
    Branch and bound over caps took 140 assignments a page on MIND, prices for them
    (Lagrangian relaxation) 49; what is done here takes two, and its pages were worth
    0.015 % less than the best of the latter on average, 0.7 % at most.
    """
    problem = _Problem(wishes, story, pins)
    chosen = unlimited = problem.assigned(problem.cost)
    if caps:
        chosen = problem.repaired(chosen, [problem.limit(cap) for cap in caps])
    return problem.composed(chosen, unlimited)


@dataclass(frozen=True, slots=True)
class _Limit:
    """A cap in a problem: the group of each choice, and the room of each group.

    `group` is an array of int64, shape (n_slots, n_columns); its highest number stands for
    no group, with room for all.
    """

    group: Ints
    room: Ints


class _Problem:
    """Slots x stories: what each pair is worth, and whose article it would be."""

    def __init__(self, wishes: Sequence[Wish], story: Ints, pins: Sequence[Pin]) -> None:
        self.wishes, self.pins = wishes, pins
        held = {(pin.name, pin.slot) for pin in pins}
        self.slots = [
            (i, slot)
            for i, wish in enumerate(wishes)
            for slot in range(wish.n_slots)
            if (wish.name, slot) not in held
        ]
        self.wish_of = [i for i, _ in self.slots]
        places = np.concatenate([wish.places for wish in wishes])
        columns, column = np.unique(_of_story(wishes, places, story), return_inverse=True)
        n_rows, n_columns = len(self.slots), len(columns)
        self.rows = np.arange(n_rows)
        # One column more for each slot: to stay empty, at no cost.
        self.cost = np.full((n_rows, n_columns + n_rows), _NEVER)
        self.cost[:, n_columns:][np.diag_indices(n_rows)] = 0.0
        self.place = np.full((len(wishes), n_columns + n_rows), -1, dtype=np.int64)
        weights, fill = np.zeros(n_rows), np.zeros(n_rows)
        for row, (i, slot) in enumerate(self.slots):
            weights[row] = wishes[i].priority * _slot_weight(slot)
            fill[row] = _MINIMUM if slot < wishes[i].minimum else _FILLED
        self.fill = fill
        begin = first = 0
        for i, wish in enumerate(wishes):
            end, last = begin + self.wish_of.count(i), first + len(wish.places)
            own = column[first:last]
            worth = np.outer(weights[begin:end], wish.values) + fill[begin:end, np.newaxis]
            self.cost[begin:end, own] = -worth
            self.place[i, own] = wish.places
            begin, first = end, last
        if pins:
            pinned = np.array([pin.place for pin in pins])
            taken = np.isin(columns, np.concatenate((story[pinned], len(story) + pinned)))
            self.cost[:, :n_columns][:, taken] = _NEVER

    def assigned(self, cost: Floats) -> Ints:
        """Return the column of each slot that costs least in all."""
        chosen: Ints = linear_sum_assignment(cost)[1]
        return chosen

    def limit(self, cap: Cap) -> _Limit:
        """Return what a cap means for each choice."""
        inside = [cap.name in (None, wish.name) for wish in self.wishes]
        group = np.append(cap.group, -1)[self.place]
        group[np.logical_not(inside)] = -1
        n_groups = int(cap.group.max(initial=-1)) + 1
        pinned = cap.group[[p.place for p in self.pins if cap.name in (None, p.name)]]
        room = cap.most - np.bincount(pinned[pinned >= 0], minlength=n_groups)
        group[group < 0] = n_groups
        return _Limit(group[self.wish_of], np.append(np.maximum(room, 0), len(self.rows)))

    def repaired(self, chosen: Ints, limits: Sequence[_Limit]) -> Ints:
        """Return a page within the limits: where too many are chosen, the best few stay."""
        cost = self.cost.copy()
        while True:
            closed = np.zeros(cost.shape, dtype=bool)
            for limit in limits:
                of = limit.group[self.rows, chosen]
                for group in np.flatnonzero(np.bincount(of) > limit.room[: of.max() + 1]):
                    rows = np.flatnonzero(of == group)
                    rows = rows[np.argsort(self.cost[rows, chosen[rows]], kind="stable")]
                    rest = limit.group == group
                    rest[:, chosen[rows[: limit.room[group]]]] = False
                    closed |= rest
            if not closed.any():
                return chosen
            cost[closed] = _NEVER
            chosen = self.assigned(cost)

    def composed(self, chosen: Ints, unlimited: Ints) -> Composed:
        """Return the page of a solution, with pins in their slots, and its bound."""
        lists = {wish.name: [-1] * wish.n_slots for wish in self.wishes}
        for pin in self.pins:
            lists[pin.name][pin.slot] = pin.place
        place = self.place[self.wish_of, chosen].tolist() if self.slots else []
        order = {i: iter([p for (of, _), p in zip(self.slots, place, strict=True)
                          if of == i and p >= 0]) for i in range(len(self.wishes))}  # fmt: skip
        for i, slot in self.slots:  # what stays empty is at the end
            lists[self.wishes[i].name][slot] = next(order[i], -1)
        filled = float(self.fill[self.place[self.wish_of, chosen] >= 0].sum())
        worth, bound = (-float(self.cost[self.rows, c].sum()) for c in (chosen, unlimited))
        return Composed(lists, worth - filled, bound - filled)


def _of_story(wishes: Sequence[Wish], places: Ints, story: Ints) -> Ints:
    """Return what takes one slot at most: a candidate's story, or in an exempt list itself.

    An article that other lists would show too stays with its story, so that it stands once.
    """
    found = story[places]
    if any(wish.exempt for wish in wishes):
        exempt = np.repeat([wish.exempt for wish in wishes], [len(w.places) for w in wishes])
        alone = exempt & ~np.isin(places, places[~exempt])
        found = np.where(alone, len(story) + places, found)
    return found


def worths(scores: Floats | NDArray[np.float32], n_page: int) -> Floats:
    """Return falling scores on a scale common to all lists.

    1 for the best, 0 for the one that would be the last on a page of this list alone;
    what is below that keeps its order.

    Parameters
    ----------
    scores : array, shape (n_candidates,)
        Of a list's candidates, best first.
    n_page
        Slots of all lists.

    Examples
    --------
    >>> worths(np.array([5.0, 4.0, 3.0, 2.0]), 3).tolist()
    [1.0, 0.5, 0.0, -0.5]
    """
    if not len(scores):
        return np.zeros(0)
    values = scores.astype(np.float64)
    low = values[min(n_page, len(values)) - 1]
    reach = values[0] - low
    result: Floats = (values - low) / reach if reach > 0 else values - low
    return result


def greedy(
    rankings: Mapping[str, Sequence[int]],
    n_slots: Mapping[str, int],
    story: Ints,
    blocked: Ints,
) -> dict[str, list[int]]:
    """Return a page by turns: each list its best free candidate, first places first.

    What the assignment is measured against.

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
    """
    used = set(story[blocked].tolist())
    story_of = story.tolist()
    chosen: dict[str, list[int]] = {name: [] for name in LISTS if name in n_slots}
    ahead = {name: iter(rankings[name]) for name in chosen}
    for turn in range(max(n_slots.values(), default=0)):
        for name in chosen:
            if turn < n_slots[name]:
                for candidate in ahead[name]:
                    if story_of[candidate] not in used:
                        used.add(story_of[candidate])
                        chosen[name].append(candidate)
                        break
    return chosen
