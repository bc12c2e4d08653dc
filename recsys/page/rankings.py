"""What each list of a layout ranks by: values, orders and caps, before lists meet on a page."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from recsys.blend.live_model import PageModel
from recsys.blend.signal_table import FORECAST
from recsys.kernels.best import tops
from recsys.page.compose import Cap
from recsys.page.list_table import Layout, Order, PageList
from recsys.page.rules import EVERY, Editorial

SPARE = 12  # candidates beyond those that can matter: some are of the same story
UNDER_CAPS = 64  # candidates of a list whose best may be too many of one group
FARTHER = 4  # times as many are looked at: most may be of that group

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Scored:
    """What the lists of one page think of the live articles: for explanations.

    Attributes
    ----------
    values : dict of array of float32, shape (n_live,)
        Scores by list.
    closed : array of bool, shape (n_live,)
        Articles that must not be on the page: read, being read, expired, or of such a story.
    context
        Known index of the article being read, None on a front page.
    """

    values: Mapping[str, Floats]
    closed: Mask
    context: int | None


# The orders that hold on all pages, whatever section the article being read is in.
_VALUES_OF_ORDER: dict[Order, str] = {
    "expected": "expected",
    "risen": "rise",
    "popular": "popularity",
}


class Rankings:
    """Ranks the live articles of one run for each list of its layouts.

    Parameters
    ----------
    model
        The run.
    """

    def __init__(self, model: PageModel) -> None:
        self.model = model
        static, live = model.live.static, model.live
        self.values = {
            "expected": expected_clicks(static),
            "rise": model.rise,
            "popularity": static["popularity"],
            "recency": static["recency"],
        }
        self.section = live.category[live.live_rows]
        sections = np.unique(self.section[self.section > 0])
        self._section_groups = np.where(
            self.section > 0, np.searchsorted(sections, self.section), -1
        )
        self._orders = {
            order: top_n(self.values[values], len(model.story))
            for order, values in _VALUES_OF_ORDER.items()
        }
        self._by_section = lru_cache(maxsize=1024)(self._section_first)

    def caps(self, layout: Layout) -> list[Cap]:
        """Return the layout's own caps: so many articles of a section in a list."""
        return [
            Cap(of.name, self._section_groups, of.max_of_section)
            for of in layout.lists
            if of.max_of_section > 0
        ]

    def order(self, of: PageList, section: int) -> Ints | None:
        """Return the order of a list that has one for all users, None for the others.

        Parameters
        ----------
        section
            Section of the article being read, 0 for none.
        """
        order = of.row.order
        if order is None:
            return None
        if order in self._orders:
            return self._orders[order]
        return self._by_section(order == "latest", section)

    def _section_first(self, is_latest: bool, section: int) -> Ints:
        """Return the newest or the most popular articles, those of a section first."""
        order = self.model.newest if is_latest else self._orders["popular"]
        if section <= 0:
            return order
        same = self.section[order] == section
        return np.concatenate((order[same], order[~same]))

    def section_of(self, context: int | None) -> int:
        """Return the section of the article being read, 0 for none."""
        return 0 if context is None else int(self.model.live.category[context])

    def alone(self, of: PageList, scored: Scored) -> Ints:
        """Return the articles that pass a list's filter as it would rank them on a page alone."""
        order = self.order(of, self.section_of(scored.context))
        if order is None:
            order = top_n(scored.values[of.name], len(self.model.story))
        passes = self.model.filters.get(of.key)
        return order if passes is None else order[passes[order]]

    def barred(self, of: PageList, editorial: Editorial) -> Mask | None:
        """Return the articles that a list must not show by its filter and the rules; or None."""
        masks = [editorial.barred[key] for key in (EVERY, of.name) if key in editorial.barred]
        if of.key in self.model.filters:
            masks.append(~self.model.filters[of.key])
        return np.logical_or.reduce(masks) if masks else None


def expected_clicks(static: Mapping[str, Floats]) -> Floats:
    """Return the forecast of live articles; those without a recent click come after all others.

    A list of what is popular holds no article without clicks, however many are expected of it.

    Parameters
    ----------
    static : dict of array of float32, shape (n_live,)
        Unweighted static signals.

    Returns
    -------
    array of float32, shape (n_live,)
    """
    forecast: Floats = np.sum([static[name] for name in FORECAST], axis=0, dtype=np.float32)
    is_clicked = static["popularity"] > 0
    if is_clicked.all() or not is_clicked.any():
        return forecast
    gap = np.float32(1.0) + forecast[~is_clicked].max() - forecast[is_clicked].min()
    return np.where(is_clicked, forecast, forecast - np.maximum(gap, 0.0)).astype(np.float32)


def boosts_of(of: PageList, editorial: Editorial) -> NDArray[np.float64] | None:
    """Return how far rules lift each article in a list, None for not at all."""
    found = [editorial.boosts[key] for key in (EVERY, of.name) if key in editorial.boosts]
    return np.sum(found, axis=0) if found else None


def top_n(scores: Floats, n: int) -> Ints:
    """Return the indices of the `n` best scores, best first, ties by index.

    A score that is not finite is left out.
    """
    index: Ints = tops(scores[np.newaxis], n)[0][0]
    return index[index >= 0]
