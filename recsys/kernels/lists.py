"""Parts of a page's making, each alone: the best of scores, wishes of lists, the assignment."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.kernels.library import address, done, library, pointer, real, size

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Mask = NDArray[np.bool_]

MOST_LISTS = 8
library.recsys_tops.argtypes = [pointer, size, size, size, pointer, pointer]
library.recsys_wishes.argtypes = [pointer, size, size, size, pointer, size]
library.recsys_compose.argtypes = [
    pointer,
    size,
    size,
    size,
    pointer,
    pointer,
    size,
    pointer,
    size,
    real,
    real,
    pointer,
    pointer,
    pointer,
]


class _List(ctypes.Structure):
    _fields_ = [
        ("values", pointer),
        ("values_stride", size),
        ("order", pointer),
        ("n_order", size),
        ("by_turn", size),
        ("closed", pointer),
        ("boosts", pointer),
        ("group", pointer),
        ("near", pointer),
        ("counted", pointer),
        ("n_caps", size),
        ("far", size),
        ("n", size),
        ("diversity", real),
        ("places", pointer),
        ("worth", pointer),
    ]


class ArticlesStruct(ctypes.Structure):
    """`Articles` of pages.c."""

    _fields_ = [
        ("n_live", size),
        ("story", pointer),
        ("live_rows", pointer),
        ("start", pointer),
        ("column", pointer),
        ("likeness", pointer),
    ]


class _Wish(ctypes.Structure):
    _fields_ = [
        ("n_slots", size),
        ("n", size),
        ("places", pointer),
        ("values", pointer),
        ("priority", real),
        ("minimum", size),
        ("exempt", size),
    ]


class CapStruct(ctypes.Structure):
    """`Cap` of pages.c."""

    _fields_ = [("list", size), ("group", pointer), ("n_groups", size), ("most", size)]


class PinStruct(ctypes.Structure):
    """`Pin` of pages.c."""

    _fields_ = [("list", size), ("slot", size), ("place", size)]


def tops(scores: Floats, n: int) -> tuple[Ints, Floats]:
    """Return for each row the places of the best scores and the scores, ties by place.

    Parameters
    ----------
    scores : array of float32, shape (n_rows, n_live)
        -inf marks what must not be chosen and is left out.
    n
        How many.

    Returns
    -------
    places, values : array, shape (n_rows, n or less)
        Best first; -1 and -inf where a row has no more.

    Examples
    --------
    >>> scores = np.array([[1.0, 3.0, -np.inf, 3.0]], dtype=np.float32)
    >>> tops(scores, 4)[0].tolist()
    [[1, 3, 0, -1]]
    """
    n_rows, n_live = scores.shape
    n = max(min(n, n_live), 0)
    places, values = np.empty((n_rows, n), np.int64), np.empty((n_rows, n), np.float32)
    scores = np.ascontiguousarray(scores)
    done(
        library.recsys_tops(
            address(scores, np.float32, n_rows, n_live),
            n_rows,
            n_live,
            n,
            address(places, np.int64, n_rows, n),
            address(values, np.float32, n_rows, n),
        )
    )
    return places, values


@dataclass(frozen=True, slots=True)
class Ranked:
    """One list, and what it thinks of the live articles on each page of a block.

    Attributes
    ----------
    values : array of float32, shape (n_pages, n_live)
        Its scores; one row if all pages think alike.
    order : array of int64
        Live places, best first, for a list with one order on all pages of the block; else
        empty.
    by_turn
        Whether such a list's scores are 0, -1, -2 ... by turn instead of `values`.
    closed : array of bool, shape (n_pages, n_live)
        What must not be shown.
    boosts : array of float64, shape (n_live,), or None
        What each article is lifted by, in spans from the list's best to the last of a page.
    caps
        Group of each live article (-1 for none), and how many of a group can matter.
    far, n
        Candidates looked at, and kept.
    diversity
        What likeness (a cosine of 1) to a better candidate costs.
    """

    values: Floats
    order: Ints
    by_turn: bool
    closed: Mask
    boosts: Doubles | None
    caps: Sequence[tuple[Ints, int]]
    far: int
    n: int
    diversity: float


class Articles:
    """The live articles of a run, as the lists of a page see them.

    Parameters
    ----------
    story, live_rows : array of int64, shape (n_live,)
        Story of each, and its row in what follows.
    start, column, likeness
        Rows of a sparse matrix with `n_live` columns.
    """

    def __init__(
        self, story: Ints, live_rows: Ints, start: Ints, column: NDArray[np.int32], likeness: Floats
    ) -> None:
        self._kept = story, live_rows, start, column, likeness  # as long as their addresses are
        n_live = self._n_live = len(story)
        if len(live_rows) and live_rows.max() >= len(start) - 1:
            raise ValueError(f"{len(start) - 1} rows of likeness, but live rows beyond")
        self.struct = ArticlesStruct(
            n_live,
            address(story, np.int64, n_live),
            address(live_rows, np.int64, n_live),
            address(start, np.int64, len(start)),
            address(column, np.int32, len(column)),
            address(likeness, np.float32, len(column)),
        )

    def wishes(self, lists: Sequence[Ranked], n_page: int) -> list[tuple[Ints, Doubles]]:
        """Return by list the candidates of each page, best first, and what each is worth to it.

        Parameters
        ----------
        lists
            All of one block.
        n_page
            Slots of all lists.

        Returns
        -------
        list of (places, worth), arrays of shape (n_pages, n)
            One a story; -1 and 0 where a page has no more. Worth is 1 for the best and 0 for
            the one that would be the last on a page of this list alone; below that it goes on
            falling.
        """
        n_pages, n_live = len(lists[0].closed), self._n_live
        found: list[tuple[Ints, Doubles]] = []
        structures: list[_List] = []
        alive: list[object] = []
        n_groups = 0
        for of in lists:
            places, worth = np.empty((n_pages, of.n), np.int64), np.empty((n_pages, of.n))
            found.append((places, worth))
            sizes = [int(group.max(initial=-1)) + 1 for group, _ in of.caps]
            n_groups = max(n_groups, sum(sizes))
            counted = (size * len(sizes))(*(sum(sizes[:i]) for i in range(len(sizes))))
            near = (size * len(sizes))(*(most for _, most in of.caps))
            groups = (pointer * len(sizes))(*(address(g, np.int64, n_live) for g, _ in of.caps))
            alive += (groups, near, counted)
            n_rows = len(of.values)
            structures.append(
                _List(
                    address(of.values, np.float32, n_rows, n_live),
                    n_live if n_rows == n_pages else 0,
                    address(of.order, np.int64, len(of.order)),
                    len(of.order),
                    of.by_turn,
                    address(of.closed, np.bool_, n_pages, n_live),
                    None if of.boosts is None else address(of.boosts, np.float64, n_live),
                    ctypes.addressof(groups),
                    ctypes.addressof(near),
                    ctypes.addressof(counted),
                    len(sizes),
                    of.far,
                    of.n,
                    of.diversity,
                    address(places, np.int64, n_pages, of.n),
                    address(worth, np.float64, n_pages, of.n),
                )
            )
        done(
            library.recsys_wishes(
                (_List * len(lists))(*structures),
                len(lists),
                n_pages,
                n_page,
                ctypes.byref(self.struct),
                n_groups,
            )
        )
        return found


def compose(
    wishes: Sequence[tuple[int, Ints, Doubles, float, int, bool]],
    story: Ints,
    caps: Sequence[tuple[int, Ints, int]],
    pins: Sequence[tuple[int, int, int]],
    *,
    filled: float,
    minimum: float,
) -> tuple[list[Ints], Doubles, Doubles]:
    """Return the best pages by list, their worth, and the bound on it; see `page.compose`.

    Parameters
    ----------
    wishes
        By list: slots, candidates and what each is worth (n_pages x n), the list's priority,
        the slots it keeps, and whether it may tell a story that stands elsewhere.
    story : array of int64, shape (n_live,)
    caps
        List (-1 for the page), group of each live article, and the most of a group.
    pins
        List, slot and live place.
    filled, minimum
        What any article is worth in a slot, and in one of those a list keeps.
    """
    if len(wishes) > MOST_LISTS:
        raise ValueError(f"a page has at most {MOST_LISTS} lists, got {len(wishes)}")
    n_live, n_pages = len(story), len(wishes[0][1])
    n_slots = [n for n, *_ in wishes]
    lists = np.empty((n_pages, sum(n_slots)), dtype=np.int64)
    value, bound = np.empty(n_pages), np.empty(n_pages)
    of_lists = (_Wish * len(wishes))(
        *(
            _Wish(
                n,
                places.shape[1],
                address(places, np.int64, n_pages, places.shape[1]),
                address(values, np.float64, n_pages, places.shape[1]),
                priority,
                least,
                exempt,
            )
            for n, places, values, priority, least, exempt in wishes
        )
    )
    of_caps = (CapStruct * len(caps))(
        *(
            CapStruct(at, address(group, np.int64, n_live), int(group.max(initial=-1)) + 1, most)
            for at, group, most in caps
        )
    )
    of_pins = (PinStruct * len(pins))(*(PinStruct(*pin) for pin in pins))
    done(
        library.recsys_compose(
            of_lists,
            len(wishes),
            n_pages,
            n_live,
            address(story, np.int64, n_live),
            of_caps,
            len(caps),
            of_pins,
            len(pins),
            filled,
            minimum,
            address(lists, np.int64, n_pages, sum(n_slots)),
            address(value, np.float64, n_pages),
            address(bound, np.float64, n_pages),
        )
    )
    ends = np.cumsum(n_slots)
    return [lists[:, end - n : end] for end, n in zip(ends, n_slots, strict=True)], value, bound
