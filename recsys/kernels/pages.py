"""Whole pages: scores, lists, assignment and reasons in one call for a block of users.

`recsys.page.build` says what goes in and what the result means.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.kernels.library import (
    COMPUTED_SIGNALS,
    done,
    ffi,
    library,
    pointer,
    require_finite,
    require_indices,
    require_rows,
    require_starts,
)

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Mask = NDArray[np.bool_]
Sparse = tuple[Ints, NDArray[np.int32], Floats]

# Flags of how a page came about.
CAPS_GAVE_WAY, SHORT_OF_ARTICLES = library.CAPS_GAVE_WAY, library.SHORT_OF_ARTICLES
# One slot: live index (-1 for an empty slot), score in its list, index of the reason in
# `recsys.page.reasons.CODES`, and the known index of the read article that the reason names (-1
# for none).
SLOT = np.dtype([("live_index", "<i4"), ("score", "<f4"), ("code", "u1"), ("because", "<i4")])
assert SLOT.itemsize == library.SLOT_BYTES  # noqa: S101 - of two constants, at import


@dataclass(frozen=True, slots=True, kw_only=True)
class RunArrays:
    """What the kernels need to know of a run; checked and kept alive by `Run`.

    Attributes
    ----------
    story, live_rows : array of int64, shape (n_live,)
        Story (a live index) and known index of each live article.
    live_index_of, category : array of int64, shape (n_known,)
        Live index (-1 if not live) and section of each known article.
    similar, item_item
        Sparse matrices, n_known x n_live: cosine of text, and how much articles are read together.
    article_side : array of float32, shape (n_features, n_live)
        Articles' side of the products: `n_factors` factors, then vectors, then sections.
    n_factors
        See `article_side`.
    vectors : array of float32, shape (n_known, n_dimensions)
        The publisher's vectors of articles; without columns if there are none.
    fixed : array of float32, shape (n_live,)
        Sum of the weighted static signals.
    centred : array of float32, shape (n_static, n_live)
        Weighted static signals, each less its mean; -inf for a signal that gives no reason.
    importance, rise : array of float32, shape (n_live,)
    recent_weight : array of float32, shape (recent_reads + 1, recent_reads)
        Weights of recent reads, by how many there are.
    weights
        Of the signals that the kernels compute, by name.
    importance_personal
        Share of the personal score in the score of important lists.
    story_similarity
        Cosine from which an article is the same story as the one being read.
    because_read, chosen
        Indices of two reason codes.
    """

    story: Ints
    live_rows: Ints
    live_index_of: Ints
    category: Ints
    similar: Sparse
    item_item: Sparse
    article_side: Floats
    n_factors: int
    vectors: Floats
    fixed: Floats
    centred: Floats
    importance: Floats
    rise: Floats
    recent_weight: Floats
    weights: Mapping[str, float]
    importance_personal: float
    story_similarity: float
    because_read: int
    chosen: int


def _check(run: RunArrays) -> None:
    """Raise ValueError unless all indices are in range and all numbers are finite."""
    n_live, n_known, n_features = len(run.story), len(run.category), len(run.article_side)
    n_sections = n_features - run.n_factors - run.vectors.shape[1]
    if max(n_live, n_known) >= 2**31 - 1:
        raise ValueError("a run has fewer than 2**31 articles")
    require_indices("story", run.story, n_live)
    if (run.story[run.story] != run.story).any():
        raise ValueError("story must be an article of the story, the same for all of it")
    require_indices("live_rows", run.live_rows, n_known)
    require_indices("live_index_of", run.live_index_of, n_live, least=-1)
    require_indices("category", run.category, n_sections)
    require_rows("similar", run.similar, n_known, n_live)
    require_rows("item_item", run.item_item, n_known, n_live)
    for name in ("vectors", "article_side", "fixed", "importance", "rise", "recent_weight"):
        require_finite(name, getattr(run, name))
    if np.isnan(run.centred).any() or np.isposinf(run.centred).any():
        raise ValueError("centred must hold finite numbers or -inf only")
    numbers = [run.weights[name] for name in COMPUTED_SIGNALS]
    require_finite("weights", np.array([*numbers, run.importance_personal, run.story_similarity]))


class Run:
    """A run as the kernels know it.

    Raises
    ------
    ValueError
        If an array does not have its shape, an index is out of range, or a number is not finite.
    """

    def __init__(self, run: RunArrays) -> None:
        _check(run)
        self.n_live, self.n_known = len(run.story), len(run.category)
        self.n_features, self.n_signals = len(run.article_side), len(run.centred)
        self.n_signals += len(COMPUTED_SIGNALS)
        n_live, recent_reads = self.n_live, run.recent_weight.shape[1]
        order = np.argsort(run.story, kind="stable")
        story_start = np.searchsorted(run.story[order], np.arange(n_live + 1))
        weights = np.array([run.weights[name] for name in COMPUTED_SIGNALS])

        def of_live(name: str, array: NDArray[Any], dtype: Any) -> Any:
            return pointer(name, np.ascontiguousarray(array, dtype=dtype), dtype, n_live)

        def rows(name: str, matrix: Sparse) -> tuple[Any, Any, Any]:
            start, column, value = matrix
            return (
                pointer(f"{name}.start", start, np.int64, self.n_known + 1),
                pointer(f"{name}.column", column, np.int32, len(column)),
                pointer(f"{name}.value", value, np.float32, len(column)),
            )

        n_static, shape = len(run.centred), run.article_side.shape
        n_dimensions = run.vectors.shape[1]
        articles = (
            n_live,
            self.n_known,
            of_live("story", run.story, np.int64),
            of_live("live_rows", run.live_rows, np.int64),
            pointer("live_index_of", run.live_index_of, np.int64, self.n_known),
            *rows("similar", run.similar),
        )
        fields = (
            articles,
            self.n_features,
            run.n_factors,
            n_dimensions,
            n_static,
            pointer("story_start", story_start, np.int64, n_live + 1),
            of_live("of_story", order, np.int64),
            of_live("section", run.category[run.live_rows], np.int32),
            pointer("category", run.category, np.int64, self.n_known),
            pointer("article_side", run.article_side, np.float32, *shape),
            pointer("vectors", run.vectors, np.float32, self.n_known, n_dimensions),
            of_live("fixed", run.fixed, np.float32),
            pointer("centred", np.ascontiguousarray(run.centred), np.float32, n_static, n_live),
            of_live("importance", run.importance, np.float32),
            of_live("rise", run.rise, np.float32),
            *rows("item_item", run.item_item),
            pointer("recent_weight", run.recent_weight, np.float32, recent_reads + 1, recent_reads),
            recent_reads,
            pointer("weights", weights, np.float64, len(weights)),
            run.importance_personal,
            run.story_similarity,
            run.because_read,
            run.chosen,
        )
        self._kept = fields  # cffi's pointers keep their arrays alive, its structures do not
        self._struct = ffi.new("Run *", fields)

    def block(self, plan: "Plan", of: "Block") -> "Pages":
        """Return the pages of users, without an article that is being read."""
        n_pages = len(of.sides)
        require_starts("reads_start", of.reads_start, len(of.reads))
        require_starts("read_start", of.read_start, len(of.read))
        return self._pages(
            plan,
            n_pages,
            True,
            -1,
            pointer("personal", of.personal, np.float32, n_pages, self.n_live),
            pointer("sides", of.sides, np.float32, n_pages, self.n_features),
            pointer("reads_start", of.reads_start, np.int64, n_pages + 1),
            pointer("reads", of.reads, np.int64, len(of.reads)),
            pointer("read_start", of.read_start, np.int64, n_pages + 1),
            pointer("read", of.read, np.int64, len(of.read)),
            ffi.NULL,
            0,
        )

    def page(self, plan: "Plan", of: "One") -> "Pages":
        """Return one page."""
        n_reads, n_read, n_blocked = len(of.reads), len(of.read), len(of.blocked)
        # All counted things in one array, after where each of them begins: one pointer to make.
        numbers = np.concatenate(([0, n_reads, 0, n_read], of.reads, of.read, of.blocked))
        at = pointer("numbers", numbers, np.int64, 4 + n_reads + n_read + n_blocked)
        return self._pages(
            plan,
            1,
            of.has_user,
            of.context,
            ffi.NULL,
            pointer("side", of.side, np.float32, self.n_features),
            at,
            at + 4,
            at + 2,
            at + 4 + n_reads,
            at + 4 + n_reads + n_read,
            n_blocked,
        )

    def _pages(self, plan: "Plan", n_pages: int, *request: Any) -> "Pages":
        slots = np.empty((n_pages, plan.n_slots), dtype=SLOT)
        worth = np.empty(2 * n_pages)
        flags = np.empty(2 * n_pages, dtype=np.int32)
        at_worth, at_flags = ffi.from_buffer("double[]", worth), ffi.from_buffer("int32_t[]", flags)
        status = library.recsys_pages(
            self._struct,
            plan.struct,
            ffi.new(
                "Request *",
                (
                    n_pages,
                    *request,
                    ffi.from_buffer("uint8_t[]", slots),
                    at_worth,
                    at_worth + n_pages,
                    at_flags,
                    at_flags + n_pages,
                ),
            ),
        )
        if status == library.DAMAGED:
            raise ValueError("a page was asked for with an index out of range or a bad number")
        done(status)
        return Pages(slots, worth[:n_pages], worth[n_pages:], flags[:n_pages], flags[n_pages:])


class PlanList(NamedTuple):
    """One list of a page.

    Attributes
    ----------
    kernel_score
        A constant of `kernels.h`.
    n_slots, minimum, priority, diversity, exempt
        See `recsys.page.list_table.PageList`.
    examination : array of float64, shape (n_slots,)
        How much each slot is looked at, relative to the first.
    values : array of float32, shape (n_live,), or None
        Its scores, where they are the same on all pages.
    order : array of int64, or None
        Live indices, best first, for a list with one order on all pages.
    by_turn
        Whether ordered articles score 0, -1, -2 ... instead of `values`.
    follows_article
        Whether it keeps its own ranks beside an article.
    barred : array of bool, shape (n_live,), or None
        Articles that it must not show.
    boosts : array of float64, shape (n_live,), or None
        How far each article is lifted, in distances from the list's best to the last of a page.
    code : array of uint8, shape (n_signals, 2, 2)
        Index of the reason's code, by leading signal, whether the article is in a section, and
        whether it rises.
    """

    kernel_score: int
    n_slots: int
    minimum: int
    priority: float
    examination: Doubles
    diversity: float
    exempt: bool
    values: Floats | None
    order: Ints | None
    by_turn: bool
    follows_article: bool
    barred: Mask | None
    boosts: Doubles | None
    code: NDArray[np.uint8]


class Plan:
    """What pages are to hold, worked out once for all pages under the same rules.

    Parameters
    ----------
    run
        The run of the pages.
    lists
        In their order on the page.
    caps
        List (-1 for the page), group of each live article (-1 for none), most of a group.
    n_own_caps
        How many of those, the first, give way where articles run out.
    pins
        List, slot and live index; the first of a story holds.
    spare, under_caps, farther
        See `recsys.page.rankings`.
    filled, least
        See `recsys.page.compose`.
    click_share, n_own
        See `recsys.config_page.PageConfig`; `n_own` is at most `under_caps`.

    Raises
    ------
    ValueError
        If an index or a number is out of range.
    """

    def __init__(
        self,
        run: Run,
        lists: Sequence[PlanList],
        caps: Sequence[tuple[int, Ints, int]],
        n_own_caps: int,
        pins: Sequence[tuple[int, int, int]],
        *,
        spare: int,
        under_caps: int,
        farther: int,
        filled: float,
        least: float,
        click_share: float,
        n_own: int,
    ) -> None:
        n_live, n_lists = run.n_live, len(lists)
        if not (0 <= click_share <= 1 and 1 <= n_own <= under_caps):
            raise ValueError(f"click_share or n_own out of range: {click_share}, {n_own}")
        _check_plan(run, lists, caps, pins)
        self.n_slots = sum(of.n_slots for of in lists)
        n_groups = [int(group.max(initial=-1)) + 1 for _, group, _ in caps]
        groups = [pointer("group", group, np.int64, n_live) for _, group, _ in caps]
        of_caps = [
            (at, group, n, most)
            for (at, _, most), group, n in zip(caps, groups, n_groups, strict=True)
        ]
        of_lists = [_list_fields(of, run) for of in lists]
        cap_array, pin_array = ffi.new("Cap[]", of_caps), ffi.new("Pin[]", list(pins))
        self.struct = ffi.new(
            "Plan *",
            (
                of_lists,
                n_lists,
                cap_array,
                len(of_caps),
                n_own_caps,
                pin_array,
                len(pins),
                sum(n_groups),
                spare,
                under_caps,
                farther,
                filled,
                least,
                click_share,
                n_own,
            ),
        )
        self._kept = groups, of_lists, cap_array, pin_array


def _list_fields(of: PlanList, run: Run) -> tuple[Any, ...]:
    """Return the fields of a `List` of kernels.h."""
    n_live = run.n_live

    def optional(name: str, array: NDArray[Any] | None, dtype: Any) -> Any:
        return ffi.NULL if array is None else pointer(name, array, dtype, n_live)

    order, n_order = ffi.NULL, 0
    if of.order is not None:
        order, n_order = pointer("order", of.order, np.int64, len(of.order)), len(of.order)
    return (
        of.kernel_score,
        of.n_slots,
        of.minimum,
        of.exempt,
        of.priority,
        pointer("examination", of.examination, np.float64, of.n_slots),
        of.diversity,
        optional("values", of.values, np.float32),
        order,
        n_order,
        of.by_turn,
        of.follows_article,
        optional("barred", of.barred, np.bool_),
        optional("boosts", of.boosts, np.float64),
        pointer("code", of.code, np.uint8, run.n_signals, 2, 2),
    )


def _check_plan(
    run: Run,
    lists: Sequence[PlanList],
    caps: Sequence[tuple[int, Ints, int]],
    pins: Sequence[tuple[int, int, int]],
) -> None:
    """Raise ValueError unless every index and number of a plan is in range."""
    if not 1 <= len(lists) <= library.MAX_LISTS:
        raise ValueError(f"a page has from 1 to {library.MAX_LISTS} lists, got {len(lists)}")
    for of in lists:
        if not 1 <= of.n_slots <= library.MAX_SLOTS:
            raise ValueError(f"a list has from 1 to {library.MAX_SLOTS} slots, got {of.n_slots}")
        if (of.kernel_score == library.GIVEN_SCORE) != (of.values is not None):
            raise ValueError("values belong to lists with a given score, and only to those")
        if not (0 < of.priority <= 1e4 and 0 <= of.diversity <= 1e4):
            raise ValueError(f"priority or diversity out of range: {of.priority}, {of.diversity}")
        if not ((of.examination > 0) & (of.examination <= 1)).all():
            raise ValueError("examination must be above 0 and at most 1")
        if of.order is not None:
            require_indices("order", of.order, run.n_live)
        if of.values is not None:
            require_finite("values", of.values)
        if of.boosts is not None and not (np.abs(of.boosts) <= 1e6).all():
            raise ValueError("boosts must be numbers from -1e6 to 1e6")
    for at, group, most in caps:
        require_indices("group", group, max(run.n_live, 1), least=-1)
        if not -1 <= at < len(lists) or not 0 <= most <= 10**6:
            raise ValueError(f"a cap of list {at} and {most} articles is out of range")
    for at, slot, article in pins:
        if not (
            0 <= at < len(lists) and 0 <= slot < library.MAX_SLOTS and 0 <= article < run.n_live
        ):
            raise ValueError(f"a pin of list {at}, slot {slot}, article {article} is out of range")


class Block(NamedTuple):
    """Users whose pages are asked for, without an article that is being read.

    Attributes
    ----------
    personal : array of float32, shape (n_pages, n_live)
        Products of users and articles; completed in place.
    sides : array of float32, shape (n_pages, n_features)
        The users' side of those products.
    reads_start, reads : array of int64
        Latest reads of each user, newest first, as known indices, end to end.
    read_start, read : array of int64
        Live articles that each user has read.
    """

    personal: Floats
    sides: Floats
    reads_start: Ints
    reads: Ints
    read_start: Ints
    read: Ints


class One(NamedTuple):
    """One page that is asked for.

    Attributes
    ----------
    side, reads, read
        See `Block`; zeros and empty arrays for an anonymous user, who has no history.
    has_user
        Whether anything is known of the user.
    context
        Known index of the article being read, -1 for none.
    blocked : array of int64
        Live articles to leave out.
    """

    side: Floats
    reads: Ints
    read: Ints
    has_user: bool
    context: int
    blocked: Ints


@dataclass(frozen=True, slots=True)
class Pages:
    """Pages as the kernels make them.

    Attributes
    ----------
    slots : array of `SLOT`, shape (n_pages, n_slots)
        List after list; empty slots come last in their list.
    value, bound : array of float64, shape (n_pages,)
        What each page is worth, and what no page within the caps that fills as many slots can be
        worth more than; see `recsys.page.compose`.
    how : array of int32, shape (n_pages,)
        Flags `CAPS_GAVE_WAY` and `SHORT_OF_ARTICLES`.
    n_closed : array of int32, shape (n_pages,)
        Live articles that must not be on the page.
    """

    slots: NDArray[np.void]
    value: Doubles
    bound: Doubles
    how: NDArray[np.int32]
    n_closed: NDArray[np.int32]
