"""Whole pages: what readers' products with the articles come to, in one call for a block.

`recsys.page.build` says what goes in and what comes out means.
"""

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.kernels.library import address, brief, done, library, pointer, real, size
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
    ("place_of", np.int64), ("story_start", np.int64), ("of_story", np.int64),
    ("section", np.int32), ("category", np.int64), ("article_side", np.float32),
    ("fixed", np.float32), ("centred", np.float32), ("importance", np.float32),
    ("rise", np.float32), ("newness", np.float32), ("risen", np.int64),
    ("together_start", np.int64), ("together_column", np.int32), ("together", np.float32),
    ("recent_weight", np.float32), ("code", np.uint8),
)  # fmt: skip
_NUMBERS = (
    "context_text", "context_together", "context_section", "text", "must_reads_personal",
    "story_similarity",
)  # fmt: skip


class _Run(ctypes.Structure):
    _fields_ = [
        ("of", ArticlesStruct), ("n_known", size), ("n_features", size), ("n_factors", size),
        *((name, pointer) for name, _ in _ARRAYS), ("recent_reads", size),
        *((name, real) for name in _NUMBERS), ("because_read", size), ("chosen", size),
    ]  # fmt: skip


class _Plan(ctypes.Structure):
    _fields_ = [
        ("n_slots", size * N_LISTS), ("minimum", size * N_LISTS), ("exempt", size * N_LISTS),
        ("priority", real * N_LISTS), ("barred", pointer * N_LISTS), ("boosts", pointer * N_LISTS),
        ("caps", pointer), ("n_caps", size), ("n_own", size), ("pins", pointer), ("n_pins", size),
        ("n_groups", size), ("spare", size), ("under_caps", size), ("farther", size),
        ("diversity", real), ("filled", real), ("least", real),
    ]  # fmt: skip


class _Ask(ctypes.Structure):
    _fields_ = [
        ("n_pages", size), ("has_reader", size), ("context", size), ("personal", pointer),
        ("sides", pointer), ("reads_start", pointer), ("reads", pointer), ("read_start", pointer),
        ("read", pointer), ("blocked", pointer), ("n_blocked", size), ("latest", pointer),
        ("slots", pointer), ("value", pointer), ("bound", pointer), ("how", pointer),
        ("n_closed", pointer),
    ]  # fmt: skip


library.recsys_pages.argtypes = [pointer, pointer, pointer]
brief.recsys_products.argtypes = [pointer, pointer, size, size, pointer]
brief.recsys_products.restype = None


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
            articles.struct, len(arrays["category"]), n_features, n_factors,
            *(array.ctypes.data for array in self._kept[1]), recent_reads,
            *(numbers[name] for name in _NUMBERS), because_read, chosen,
        )  # fmt: skip

    def products(self, side: Floats) -> Floats:
        """Return one reader's products with the live articles, shape (1, n_live)."""
        personal = np.empty((1, self.n_live), dtype=np.float32)
        brief.recsys_products(
            address(side, np.float32, 1, self.n_features), self._struct.article_side,
            self.n_features, self.n_live, personal.ctypes.data,
        )  # fmt: skip
        return personal

    def pages(self, plan: "Plan", ask: "Ask") -> "Made":
        """Return the pages asked for."""
        n_pages, n_live, n_slots = len(ask.sides), self.n_live, plan.n_slots
        slots = np.empty((n_pages, n_slots), dtype=SLOT)
        value, bound = np.empty(n_pages), np.empty(n_pages)
        how, n_closed = np.empty(n_pages, dtype=np.int32), np.empty(n_pages, dtype=np.int32)
        asked = _Ask(
            n_pages, ask.has_reader, ask.context,
            address(ask.personal, np.float32, n_pages, n_live),
            address(ask.sides, np.float32, n_pages, self.n_features),
            address(ask.reads_start, np.int64, n_pages + 1),
            address(ask.reads, np.int64, len(ask.reads)),
            address(ask.read_start, np.int64, n_pages + 1),
            address(ask.read, np.int64, len(ask.read)),
            address(ask.blocked, np.int64, len(ask.blocked)), len(ask.blocked),
            address(ask.latest, np.int64, n_live), slots.ctypes.data, value.ctypes.data,
            bound.ctypes.data, how.ctypes.data, n_closed.ctypes.data,
        )  # fmt: skip
        structs = self._struct, plan.struct, asked
        done(library.recsys_pages(*(ctypes.byref(struct) for struct in structs)))
        return Made(slots, value, bound, how, n_closed)


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
            ctypes.addressof(of_caps), len(caps), n_own, ctypes.addressof(of_pins), len(pins),
            sum(groups), spare, under_caps, farther, diversity, filled, least,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ask:
    """The pages asked for.

    Attributes
    ----------
    personal : array of float32, shape (n_pages, n_live)
        Products of readers and articles; completed in place.
    sides : array of float32, shape (n_pages, n_features)
        The readers' side of those products; zeros of nobody.
    reads_start, reads : array of int64
        Latest reads of each reader, newest first, as known indices, end to end.
    read_start, read : array of int64
        Live places that each has read.
    has_reader
        Whether these are anybody's.
    context
        Known index of the article being read, -1 for none.
    blocked : array of int64
        Live places to leave out.
    latest : array of int64, shape (n_live,)
        Live places, in the order of Latest Stories.
    """

    personal: Floats
    sides: Floats
    reads_start: Ints
    reads: Ints
    read_start: Ints
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
