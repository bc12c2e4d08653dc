"""Whole pages: what readers' products with the articles come to, in one call for a block.

`recsys.page.build` says what goes in and what comes out means.
"""

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.kernels.library import address, done, library, pointer, real, size
from recsys.kernels.lists import Articles, ArticlesStruct, CapStruct, PinStruct

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

N_LISTS = 4
CAPS_GAVE_WAY, SHORT = 1, 2  # how a page was made
# A slot of a block: live place (-1 for an empty one), score in its list, place of the reason
# in `CODES`, and the known index of the read article a reason names, else -1.
SLOT = np.dtype([("place", "<i4"), ("score", "<f4"), ("code", "u1"), ("because", "<i4")])

_ARRAYS: tuple[tuple[str, Any], ...] = (
    ("place_of", np.int64),
    ("story_start", np.int64),
    ("of_story", np.int64),
    ("section", np.int32),
    ("category", np.int64),
    ("article_side", np.float32),
    ("fixed", np.float32),
    ("centred", np.float32),
    ("importance", np.float32),
    ("rise", np.float32),
    ("newness", np.float32),
    ("risen", np.int64),
    ("together_start", np.int64),
    ("together_column", np.int32),
    ("together", np.float32),
    ("recent_weight", np.float32),
    ("code", np.uint8),
)
_INT = ctypes.sizeof(size)
_NUMBERS = (
    "context_text",
    "context_together",
    "context_section",
    "text",
    "affinity",
    "must_reads_personal",
    "story_similarity",
)


class _Run(ctypes.Structure):
    _fields_ = [
        ("of", ArticlesStruct),
        ("n_known", size),
        ("n_features", size),
        ("n_factors", size),
        *((name, pointer) for name, _ in _ARRAYS),
        ("recent_reads", size),
        *((name, real) for name in _NUMBERS),
        ("because_read", size),
        ("chosen", size),
    ]


class _Plan(ctypes.Structure):
    _fields_ = [
        ("n_slots", size * N_LISTS),
        ("minimum", size * N_LISTS),
        ("exempt", size * N_LISTS),
        ("priority", real * N_LISTS),
        ("barred", pointer * N_LISTS),
        ("boosts", pointer * N_LISTS),
        ("caps", pointer),
        ("n_caps", size),
        ("n_own", size),
        ("pins", pointer),
        ("n_pins", size),
        ("n_groups", size),
        ("spare", size),
        ("under_caps", size),
        ("farther", size),
        ("diversity", real),
        ("filled", real),
        ("least", real),
    ]


class _Ask(ctypes.Structure):
    _fields_ = [
        ("n_pages", size),
        ("has_reader", size),
        ("context", size),
        ("personal", pointer),
        ("sides", pointer),
        ("reads_start", pointer),
        ("reads", pointer),
        ("read_start", pointer),
        ("read", pointer),
        ("blocked", pointer),
        ("n_blocked", size),
        ("latest", pointer),
        ("slots", pointer),
        ("value", pointer),
        ("bound", pointer),
        ("how", pointer),
        ("n_closed", pointer),
    ]


library.recsys_pages.argtypes = [pointer, pointer, pointer]


class Run:
    """A run's arrays, named as in `pages.c`; they live as long as this does.

    Parameters
    ----------
    articles
        What lists see of the live ones.
    arrays, numbers
        The others.
    recent_reads, because_read, chosen, n_factors
        Reads that count as recent, codes of two reasons, and the first features of
        `article_side`, which are factors; the others are sections.
    """

    def __init__(
        self,
        articles: Articles,
        arrays: Mapping[str, NDArray[Any]],
        numbers: Mapping[str, float],
        *,
        recent_reads: int,
        because_read: int,
        chosen: int,
        n_factors: int,
    ) -> None:
        self._kept = (
            articles,
            [np.ascontiguousarray(arrays[name], dtype=dtype) for name, dtype in _ARRAYS],
        )
        n_features = len(arrays["article_side"])
        self.n_live, self.n_features = articles.struct.n_live, n_features
        self._struct = _Run(
            articles.struct,
            len(arrays["category"]),
            n_features,
            n_factors,
            *(array.ctypes.data for array in self._kept[1]),
            recent_reads,
            *(numbers[name] for name in _NUMBERS),
            because_read,
            chosen,
        )

    def block(self, plan: "Plan", of: "Block") -> "Made":
        """Return the pages of readers with no article before them."""
        n_pages = len(of.sides)
        return self._made(
            plan,
            n_pages,
            True,
            -1,
            address(of.personal, np.float32, n_pages, self.n_live),
            address(of.sides, np.float32, n_pages, self.n_features),
            address(of.reads_start, np.int64, n_pages + 1),
            address(of.reads, np.int64, len(of.reads)),
            address(of.read_start, np.int64, n_pages + 1),
            address(of.read, np.int64, len(of.read)),
            None,
            0,
            address(of.latest, np.int64, self.n_live),
        )

    def page(self, plan: "Plan", of: "One") -> "Made":
        """Return one page."""
        n_reads, n_read, n_blocked = len(of.reads), len(of.read), len(of.blocked)
        # All that is counted in one array, where each of it begins first: few addresses to tell.
        numbers = np.concatenate(([0, n_reads, 0, n_read], of.reads, of.read, of.blocked))
        at = address(numbers, np.int64, 4 + n_reads + n_read + n_blocked)
        reads, read = at + 4 * _INT, at + (4 + n_reads) * _INT
        return self._made(
            plan,
            1,
            of.has_reader,
            of.context,
            None,
            address(of.side, np.float32, self.n_features),
            at,
            reads,
            at + 2 * _INT,
            read,
            read + n_read * _INT,
            n_blocked,
            address(of.latest, np.int64, self.n_live),
        )

    def _made(self, plan: "Plan", n_pages: int, *asked: int | bool | None) -> "Made":
        slots = np.empty((n_pages, plan.n_slots), dtype=SLOT)
        worth = np.empty((2, n_pages))
        told = np.empty((2, n_pages), dtype=np.int32)
        at_worth = address(worth, np.float64, 2, n_pages)
        at_told = address(told, np.int32, 2, n_pages)
        at_slots = address(slots, SLOT, n_pages, plan.n_slots)
        ask = _Ask(
            n_pages,
            *asked,
            at_slots,
            at_worth,
            at_worth + 8 * n_pages,
            at_told,
            at_told + 4 * n_pages,
        )
        structs = self._struct, plan.struct, ask
        done(library.recsys_pages(*(ctypes.byref(struct) for struct in structs)))
        return Made(slots, *worth, *told)


@dataclass(frozen=True, slots=True)
class OfList:
    """What one list of a page is to hold."""

    n_slots: int
    priority: float
    minimum: int
    exempt: bool
    barred: NDArray[np.bool_] | None
    boosts: Doubles | None


class Plan:
    """What pages are to hold, worked out once for all pages under the same rules.

    Parameters
    ----------
    lists
        In their order.
    caps
        List (-1 for the page), group of each live article (-1 for none), most of a group.
    n_own
        How many of those, the first, give way where articles run out.
    pins
        List, slot and live place; the first of a story holds.
    spare, under_caps, farther, diversity, filled, least
        See `recsys.page.rankings` and `recsys.page.compose`.
    """

    def __init__(
        self,
        lists: Sequence[OfList],
        caps: Sequence[tuple[int, Ints, int]],
        n_own: int,
        pins: Sequence[tuple[int, int, int]],
        *,
        spare: int,
        under_caps: int,
        farther: int,
        diversity: float,
        filled: float,
        least: float,
    ) -> None:
        self.n_slots = sum(of.n_slots for of in lists)
        groups = [int(group.max(initial=-1)) + 1 for _, group, _ in caps]
        of_caps = (CapStruct * len(caps))(
            *(
                CapStruct(at, address(group, np.int64, len(group)), n, most)
                for (at, group, most), n in zip(caps, groups, strict=True)
            )
        )
        of_pins = (PinStruct * len(pins))(*(PinStruct(*pin) for pin in pins))
        self._kept = lists, caps, of_caps, of_pins

        def at(array: NDArray[Any] | None, dtype: Any) -> int | None:
            return None if array is None else address(array, dtype, len(array))

        self.struct = _Plan(
            (size * N_LISTS)(*(of.n_slots for of in lists)),
            (size * N_LISTS)(*(of.minimum for of in lists)),
            (size * N_LISTS)(*(of.exempt for of in lists)),
            (real * N_LISTS)(*(of.priority for of in lists)),
            (pointer * N_LISTS)(*(at(of.barred, np.bool_) for of in lists)),
            (pointer * N_LISTS)(*(at(of.boosts, np.float64) for of in lists)),
            ctypes.addressof(of_caps),
            len(caps),
            n_own,
            ctypes.addressof(of_pins),
            len(pins),
            sum(groups),
            spare,
            under_caps,
            farther,
            diversity,
            filled,
            least,
        )


class Block(NamedTuple):
    """Readers whose pages are asked for, with no article before them.

    Attributes
    ----------
    personal : array of float32, shape (n_pages, n_live)
        Products of readers and articles; completed in place.
    sides : array of float32, shape (n_pages, n_features)
        The readers' side of those products.
    reads_start, reads : array of int64
        Latest reads of each reader, newest first, as known indices, end to end.
    read_start, read : array of int64
        Live places that each has read.
    latest : array of int64, shape (n_live,)
        Live places, in the order of Latest Stories.
    """

    personal: Floats
    sides: Floats
    reads_start: Ints
    reads: Ints
    read_start: Ints
    read: Ints
    latest: Ints


class One(NamedTuple):
    """One page asked for; fields as of `Block`, of one reader.

    Attributes
    ----------
    side, reads, read
        Zeros and nothing of nobody.
    has_reader
        Whether it is anybody's.
    context
        Known index of the article being read, -1 for none.
    blocked : array of int64
        Live places to leave out.
    latest
        As of `Block`.
    """

    side: Floats
    reads: Ints
    read: Ints
    has_reader: bool
    context: int
    blocked: Ints
    latest: Ints


@dataclass(frozen=True, slots=True)
class Made:
    """Pages.

    Attributes
    ----------
    slots : array of `SLOT`, shape (n_pages, n_slots)
        Of all lists, end to end; what is empty is at the end of its list.
    value, bound : array of float64, shape (n_pages,)
        As of `recsys.page.compose.Composed`.
    how : array of int32, shape (n_pages,)
        Sum of `CAPS_GAVE_WAY` and `SHORT`.
    n_closed : array of int32, shape (n_pages,)
        Live articles that must not stand on it.
    """

    slots: NDArray[np.void]
    value: Doubles
    bound: Doubles
    how: NDArray[np.int32]
    n_closed: NDArray[np.int32]
