"""What each list would show: live articles in its own order, before lists meet on a page.

In blocks, the first axis of every array: one page is a block of one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.blend.live_model import PageModel
from recsys.kernels import lists as kernels
from recsys.page.compose import (
    LATEST_STORIES,
    LISTS,
    MUST_READS,
    POPULAR_NOW,
    YOU_MAY_ALSO_LIKE,
    Cap,
    Wish,
)
from recsys.page.rules import EVERY, NO_RULES, Editorial

SPARE = 12  # candidates beyond those that can matter: some tell the same story
UNDER_CAPS = 64  # candidates of a list whose best may be too many of one kind
FARTHER = 4  # times as many are looked at: most may be of that kind

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

NO_ORDER = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Scored:
    """What a block of pages is made from.

    Attributes
    ----------
    values : dict of array of float32, shape (n_pages, n_live)
        What each list thinks of every live article; one row if it is the same on all pages.
    closed : array of bool, shape (n_pages, n_live)
        What must not be on a page: read, being read, over, or of the same story.
    context
        Known index of the article being read, None on a front page.
    """

    values: dict[str, Floats]
    closed: Mask
    context: int | None


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
        live = model.live
        self.articles = kernels.Articles(
            model.story, live.live_rows, live.similar.start, live.similar.column, live.similar.value
        )
        self.risen = top_n(model.rise, len(model.rise))
        self._newest_section = section[model.newest]
        self._latest_of: dict[int, Ints] = {0: model.newest}

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
        names = [name for name in LISTS if name in n_slots]
        lists = []
        for name in names:
            n = n_page + len(editorial.pins)
            own = [c for c in (self.caps if caps is None else caps) if c.name in (None, name)]
            if own:
                n = max(n, reach or UNDER_CAPS)
            lists.append(
                kernels.Ranked(
                    values=scored.values[name],
                    order=self._order(name, scored.context),
                    by_turn=name == LATEST_STORIES,
                    closed=barred(name, scored.closed, editorial),
                    boosts=editorial.boosts.get(name),
                    # No other list can take more of a group than it has slots.
                    caps=[(cap.group, cap.most + n_page - n_slots[name]) for cap in own],
                    far=n * (FARTHER if own else 1) + SPARE,
                    n=n,
                    diversity=config.diversity if name == YOU_MAY_ALSO_LIKE else 0.0,
                )
            )
        return [
            Wish(
                name,
                n_slots[name],
                places,
                worth,
                getattr(config, f"{name}_priority"),
                config.minimum,
                name in config.exempt,
            )
            for name, (places, worth) in zip(
                names, self.articles.wishes(lists, n_page), strict=True
            )
        ]

    def alone(self, name: str, scored: Scored) -> Ints:
        """Return all live articles as a list would rank them on the first of some pages.

        With no other list there, and nothing closed.
        """
        order = self._order(name, scored.context)
        return order if len(order) else top_n(scored.values[name][0], len(self.model.story))

    def _order(self, name: str, context: int | None) -> Ints:
        """Return a list's order where it has one for all readers, else nothing."""
        if name == POPULAR_NOW:
            return self.risen
        return self.latest(context) if name == LATEST_STORIES else NO_ORDER

    def latest(self, context: int | None) -> Ints:
        """Return the newest, those of the article's section first."""
        section = 0 if context is None else int(self.model.live.category[context])
        if section not in self._latest_of:
            same = self._newest_section == section
            newest = self.model.newest
            self._latest_of[section] = np.concatenate((newest[same], newest[~same]))
        return self._latest_of[section]


def barred(name: str, closed: Mask, editorial: Editorial) -> Mask:
    """Return what a list must not show."""
    for key in (EVERY, name):
        if key in editorial.barred:
            closed = closed | editorial.barred[key]
    return closed


def top_n(scores: Floats, n: int) -> Ints:
    """Return the places of the `n` best of one row of scores, best first, ties by place."""
    places: Ints = kernels.tops(scores[np.newaxis], n)[0][0]
    return places[places >= 0]
