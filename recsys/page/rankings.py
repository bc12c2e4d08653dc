"""What each list would show: live articles in its own order, before lists meet on a page.

In blocks, the first axis of every array: one page is a block of one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.blend import LiveModel, spans
from recsys.config import PageConfig
from recsys.page.compose import (
    LATEST_STORIES,
    LISTS,
    MUST_READS,
    POPULAR_NOW,
    YOU_MAY_ALSO_LIKE,
    Cap,
    Wish,
    along,
    cells,
    first_of_group,
    stable_order,
)
from recsys.page.rules import EVERY, NO_RULES, Editorial

SPARE = 12  # candidates beyond those that can matter: some tell the same story
UNDER_CAPS = 64  # candidates of a list whose best may be too many of one kind
FARTHER = 4  # times as many are looked at: most may be of that kind

KEPT = 500  # beginnings of orders that are the same for all
_LEAST = np.finfo(np.float32).min  # of what may be chosen at all

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class PageModel:
    """What the page needs beside the scores.

    Attributes
    ----------
    live
        The articles and their signals.
    story : array of int64, shape (n_live,)
        Story of each live article.
    importance : array of float32, shape (n_live,)
        Score of Must-Reads before the personal part.
    rise : array of float32, shape (n_live,)
        Score of Popular Now.
    newest : array of int64, shape (n_live,)
        Live places, newest first: Latest Stories.
    n_categories
        Number of sections, the empty one (0) included.
    config
        What lists are worth to each other, and their limits.
    """

    live: LiveModel
    story: NDArray[np.int64]
    importance: NDArray[np.float32]
    rise: NDArray[np.float32]
    newest: NDArray[np.int64]
    n_categories: int
    config: PageConfig


@dataclass(frozen=True, slots=True)
class Scored:
    """What a block of pages is made from.

    Attributes
    ----------
    values : dict of array of float32, shape (n_pages, n_live)
        What each list thinks of every live article.
    closed : array of bool, shape (n_pages, n_live)
        What must not be on a page: read, being read, over, or of the same story.
    context
        Known index of the article being read, None on a front page.
    """

    values: dict[str, Floats]
    closed: Mask
    context: int | None

    def of(self, pages: Ints) -> "Scored":
        """Return what some of the pages are made from."""
        values = {name: of_list[pages] for name, of_list in self.values.items()}
        return Scored(values, self.closed[pages], self.context)


class Rankings:
    """Ranks the live articles of one run for each list.

    Attributes
    ----------
    model
        The run.
    caps
        Our own: so many of a section in Must-Reads.
    """

    def __init__(self, model: PageModel) -> None:
        self.model = model
        section = model.live.category[model.live.live_rows]
        most = model.config.must_reads_of_section
        self.caps = (Cap(MUST_READS, np.where(section > 0, section, -1), most),)
        self._near, self._cosine = _padded(model.live)
        self._told_again = np.bincount(model.story)[model.story] > 1
        self._risen = top_n(model.rise, len(model.rise))
        self._newest_section = section[model.newest]
        self._latest_of: dict[int, Ints] = {0: model.newest}
        self._first_of: dict[tuple[str, int, int, int], tuple[Ints, NDArray[np.float64]]] = {}

    def wishes(
        self,
        scored: Scored,
        n_slots: dict[str, int],
        editorial: Editorial = NO_RULES,
        caps: Sequence[Cap] | None = None,
        reach: int | None = None,
    ) -> list[Wish]:
        """Return what each list would show: those candidates that may matter.

        Parameters
        ----------
        scored, n_slots, editorial
            The pages, the slots of their lists, and what editors' rules ask.
        caps
            All that hold, by default our own.
        reach
            Candidates of a list under a cap, by default `UNDER_CAPS`.
        """
        config, n_page = self.model.config, sum(n_slots.values())
        wishes = []
        for name in (name for name in LISTS if name in n_slots):
            n = n_page + len(editorial.pins)
            own = [c for c in (self.caps if caps is None else caps) if c.name in (None, name)]
            if own:
                n = max(n, reach or UNDER_CAPS)
            far = n * (FARTHER if own else 1) + SPARE
            places, worth = self._ordered(name, scored, far, editorial, n_page)
            for cap in own:  # no other list can take more of a group than it has slots
                group = np.append(cap.group, -1)[places]
                near = first_of_group(group, cap.most + n_page - n_slots[name])
                places, worth = _kept(near, places, worth)
            if self._told_again[places].any():
                story = np.where(places >= 0, self.model.story[places], -1)
                places, worth = _kept(first_of_group(story, 1), places, worth)
            if name == YOU_MAY_ALSO_LIKE and config.diversity:
                places, worth = self._diverse(places, worth)
            wishes.append(
                Wish(
                    name, n_slots[name], places[:, :n], worth[:, :n],
                    getattr(config, f"{name}_priority"), config.minimum, name in config.exempt,
                )
            )  # fmt: skip
        return wishes

    def alone(self, name: str, scored: Scored) -> Ints:
        """Return all live articles as a list would rank them on the first of some pages.

        With no other list there, and nothing closed.
        """
        first = Scored(
            {name: scored.values[name][:1]}, np.zeros_like(scored.closed[:1]), scored.context
        )
        order: Ints = self._ordered(name, first, scored.closed.shape[1], NO_RULES, 1)[0][0]
        return order

    def _ordered(
        self, name: str, scored: Scored, n: int, editorial: Editorial, n_page: int
    ) -> tuple[Ints, NDArray[np.float64]]:
        """Return the best candidates of a list, best first, and what each is worth to it."""
        closed = barred(name, scored.closed, editorial)
        boosts, values = editorial.boosts.get(name), scored.values[name]
        if name not in (POPULAR_NOW, LATEST_STORIES):
            places, found = tops(np.where(closed, -np.inf, values), n)
        else:
            order = self._risen if name == POPULAR_NOW else self._latest(scored.context)
            if boosts is None and not closed[:, order[:n]].any():  # as most pages
                return self._undisturbed(name, order, values[:1], n, n_page, len(closed))
            places = _free(order, closed, len(order) if boosts is not None else n)
            found = along(values, np.maximum(places, 0))
            if name == LATEST_STORIES:
                found = np.broadcast_to(-np.arange(places.shape[1], dtype=np.float32), found.shape)
            found = np.where(places >= 0, found, -np.inf)
        if boosts is not None:
            last = _last(places >= 0, n_page)
            lowest = along(found, last[:, np.newaxis])
            span = np.where(np.isfinite(lowest), found[:, :1] - lowest, 1.0)
            lifted = np.full(closed.shape, -np.inf, dtype=np.float32)
            if name in (POPULAR_NOW, LATEST_STORIES):
                page, at = cells(places >= 0)
                lifted[page, places[page, at]] = found[page, at]
            else:
                lifted = np.where(closed, -np.inf, values)
            places, found = tops(lifted + (boosts * span).astype(np.float32), n)
        return places, worths(found, n_page)

    def _undisturbed(
        self, name: str, order: Ints, values: Floats, n: int, n_page: int, n_pages: int
    ) -> tuple[Ints, NDArray[np.float64]]:
        """Return what a list with one order for all shows where nothing of it is closed."""
        key = (name, id(order), n, n_page)
        known = self._first_of.get(key)
        if known is None:
            places = order[np.newaxis, :n]
            found = values[:, order[:n]]
            if name == LATEST_STORIES:
                found = -np.arange(places.shape[1], dtype=np.float32)[np.newaxis]
            known = places, worths(found, n_page)
            if len(self._first_of) >= KEPT:  # callers may ask for any number of slots
                self._first_of.clear()
            self._first_of[key] = known
        places, worth = known
        return np.repeat(places, n_pages, axis=0), np.repeat(worth, n_pages, axis=0)

    def _latest(self, context: int | None) -> Ints:
        """Return the newest, those of the article's section first."""
        section = 0 if context is None else int(self.model.live.category[context])
        if section not in self._latest_of:
            same = self._newest_section == section
            newest = self.model.newest
            self._latest_of[section] = np.concatenate((newest[same], newest[~same]))
        return self._latest_of[section]

    def _diverse(
        self, places: Ints, worth: NDArray[np.float64]
    ) -> tuple[Ints, NDArray[np.float64]]:
        """Return candidates, each worth less by what it says again of better ones.

        References
        ----------
        Carbonell, Goldstein, "The use of MMR, diversity-based reranking for reordering
        documents and producing summaries", SIGIR 1998; here against all better candidates.
        """
        n_pages, n = places.shape
        pages, ranks = np.arange(n_pages)[:, np.newaxis], np.arange(n)
        rank_of = np.full((n_pages, len(self.model.story) + 1), n, dtype=np.int32)
        rank_of[pages, places] = ranks
        rank_of[:, -1] = n  # of nobody: what stands for no more candidates or neighbours
        near = self._near[places] + pages[:, :, np.newaxis] * rank_of.shape[1]
        better = rank_of.ravel()[near] < ranks[:, np.newaxis]
        again = np.where(better, self._cosine[places], 0.0).max(axis=2, initial=0.0)
        worth = np.where(places >= 0, worth - self.model.config.diversity * again, worth)
        order = np.argsort(np.where(places >= 0, -worth, np.inf), axis=1, kind="stable")
        return along(places, order), along(worth, order)


def _padded(live: LiveModel) -> tuple[Ints, NDArray[np.float64]]:
    """Return the neighbours of live articles as live places, and the cosine of each.

    Rows are as long as the longest; what is not filled is the place after the last, and 0.
    """
    start, n_live = live.similar.start, len(live.live_rows)
    size = start[live.live_rows + 1] - start[live.live_rows]
    at = spans(start[live.live_rows], size)
    row, column = np.repeat(np.arange(n_live), size), spans(np.zeros_like(size), size)
    shape = (n_live, int(size.max(initial=0)))
    near, cosine = np.full(shape, n_live), np.zeros(shape)
    near[row, column], cosine[row, column] = live.similar.column[at], live.similar.value[at]
    return near, cosine


def barred(name: str, closed: Mask, editorial: Editorial) -> Mask:
    """Return what a list must not show."""
    for key in (EVERY, name):
        if key in editorial.barred:
            closed = closed | editorial.barred[key]
    return closed


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
    n = min(n, n_live)
    if n < 1:
        return np.zeros((n_rows, 0), dtype=np.int64), scores[:, :0]
    # All that reach the n-th best score, so that ties at the edge go by place. Of strided parts
    # the best scores, the n-th best of those is reached by n at least, and sooner found.
    n_parts = max(n + n // 2, min(4 * n, n_live // 16))
    best = scores
    if n_live >= 2 * n_parts:
        best = scores[:, : n_live // n_parts * n_parts].reshape(n_rows, -1, n_parts).max(axis=1)
    edge = np.partition(best, best.shape[1] - n, axis=1)[:, best.shape[1] - n, np.newaxis]
    row, place = cells(scores >= np.maximum(edge, _LEAST))
    count = np.bincount(row, minlength=n_rows)
    at = spans(np.zeros_like(count), count)
    places = np.full((n_rows, max(int(count.max(initial=0)), n)), -1)
    values = np.full(places.shape, -np.inf, dtype=np.float32)
    places[row, at], values[row, at] = place, scores[row, place]
    order = _falling(values)[:, :n]
    return along(places, order), along(values, order)


def _falling(values: Floats) -> Ints:
    """Return the order of each row's values, largest first, ties as they stand.

    What a stable `numpy.argsort` of the negated does, in half its time: a float32's bits
    rise with its value (but for the sign), so that value and place make one whole number.
    """
    bits = (0.0 - values).view(np.int32).astype(np.int64)  # 0.0 - 0.0 is 0.0, and not -0.0
    return stable_order(np.where(bits >= 0, bits, bits ^ np.int64(0x7FFFFFFF)))


def top_n(scores: Floats, n: int) -> Ints:
    """Return the places of the `n` best of one row of scores, as `tops`."""
    places: Ints = tops(scores[np.newaxis], n)[0][0]
    return places[places >= 0]


def _free(order: Ints, closed: Mask, n: int) -> Ints:
    """Return for each row the first `n` of an order that are not closed; -1 for no more."""
    n = min(n, len(order))
    for ahead in (order[: 4 * n], order):
        shut = closed[:, ahead]
        if len(ahead) == len(order) or ((~shut).sum(axis=1) >= n).all():
            break
    first = stable_order(shut)[:, :n]
    return np.where(along(shut, first), -1, ahead[first])


def _kept(mask: Mask, places: Ints, worth: NDArray[np.float64]) -> tuple[Ints, NDArray[np.float64]]:
    """Return candidates without some, the others moved up; -1 where there are no more."""
    if mask.all():
        return places, worth
    order = stable_order(~mask)
    places = np.where(mask, places, -1)
    return along(places, order), along(worth, order)


def _last(there: Mask, n_page: int) -> Ints:
    """Return for each row the last candidate that a page of the list alone would show."""
    last: Ints = np.minimum(np.maximum(there.sum(axis=1), 1), n_page) - 1
    return last


def worths(scores: Floats, n_page: int) -> NDArray[np.float64]:
    """Return falling scores on a scale common to all lists.

    1 for the best, 0 for the one that would be the last on a page of this list alone;
    what is below that keeps its order.

    Parameters
    ----------
    scores : array, shape (n_rows, n_candidates)
        Of a list's candidates, best first; -inf, where there are no more, gives 0.
    n_page
        Slots of all lists.

    Examples
    --------
    >>> worths(np.array([[5.0, 4.0, 3.0, 2.0]]), 3).tolist()
    [[1.0, 0.5, 0.0, -0.5]]
    """
    if not scores.shape[1]:
        return np.zeros(scores.shape)
    values = scores.astype(np.float64)
    there = np.isfinite(values)
    last = _last(there, n_page)
    values = np.where(there, values, 0.0)
    low = along(values, last[:, np.newaxis])
    reach = values[:, :1] - low
    scaled = (values - low) / np.where(reach > 0, reach, 1.0)
    return np.where(there, scaled, 0.0)
