"""What each list of a layout ranks by: values, orders and caps, before lists meet on a page."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from recsys.blend.live_model import PageModel
from recsys.blend.signal_table import FORECAST
from recsys.kernels.best import tops
from recsys.languages import primary_language
from recsys.page.compose import Cap
from recsys.page.list_table import Layout, Order, PageList
from recsys.page.rules import EVERY, NO_RULES, Editorial

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
    language
        Number of the language of the page's articles; 0 for any.
    """

    values: Mapping[str, Floats]
    closed: Mask
    context: int | None
    language: int


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

    Attributes
    ----------
    site_language
        See `recsys.config.PageConfig`; "" where unknown.
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
        self._language_of_known = [model.languages[i] for i in model.language.tolist()]
        self._language = model.language[live.live_rows]
        n_in = np.bincount(self._language, minlength=len(model.languages)).tolist()
        named = list(enumerate(model.languages))[1:]
        self._enough = {name: i for i, name in named if n_in[i] >= model.config.page.n}
        most = max(((n_in[i], -i, name) for i, name in named if n_in[i]), default=(0, 0, ""))
        self.site_language = primary_language(model.config.page.language) or most[-1]
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
        """Return the articles that a list may show as it would rank them on a page alone.

        Those are the articles of the page's language that pass the filter of the list.
        """
        order = self.order(of, self.section_of(scored.context))
        if order is None:
            order = top_n(scored.values[of.name], len(self.model.story))
        barred = self.barred(of, NO_RULES, scored.language)
        return order if barred is None else order[~barred[order]]

    def barred(self, of: PageList, editorial: Editorial, language: int = 0) -> Mask | None:
        """Return the articles that a list must not show, None if it may show all.

        A list whose filter names languages shows these on every page.

        Parameters
        ----------
        of
            The list, with its filter.
        editorial
            What the rules ask.
        language
            Number of the language of the page's articles; 0 for any.
        """
        masks = [editorial.barred[key] for key in (EVERY, of.name) if key in editorial.barred]
        if of.key in self.model.filters:
            masks.append(~self.model.filters[of.key])
        if language and not of.filter.language:
            if (other := ~self.in_language(language)).any():
                masks.append(other)
        return np.logical_or.reduce(masks) if masks else None

    def in_language(self, language: int) -> Mask:
        """Return the live articles in a language, and those that do not say theirs."""
        result: Mask = (self._language == language) | (self._language == 0)
        return result

    def language_number(self, language: str) -> int:
        """Return the number of the language that a page in a language shows articles in.

        It is the language itself if at least `page.n` live articles are in it, else that of the
        site if as many are in that, else 0: articles in any language.
        """
        return self._enough.get(language) or self._enough.get(self.site_language, 0)

    def language_of(self, layout: Layout, context: int | None) -> str:
        """Return the language of a page that is asked for without one; "" where unknown.

        It is that of the layout, else of the article being read, else of the site.
        """
        of_article = "" if context is None else self._language_of_known[context]
        return layout.language or of_article or self.site_language


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
