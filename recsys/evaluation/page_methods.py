"""The methods that fill a page in an evaluation, and the settings that its frontier compares.

The frontier is what a publisher chooses on: how much of its lists' purpose, or of its articles'
exposure, a page gives up for clicks.
"""

import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np
from msgspec import structs

from recsys.blend.linear import total_score
from recsys.blend.live_model import PageModel, UserState
from recsys.config_page import PageConfig
from recsys.evaluation.scatter_plot import Point
from recsys.evaluation.systems import BEST_FIXED
from recsys.evaluation.turn_taking import fill_by_turns
from recsys.metrics import Interval
from recsys.page.build import Built, PageBuilder
from recsys.page.explore import explored
from recsys.page.list_table import Layout
from recsys.page.rankings import top_n
from recsys.page.rules import NO_RULES
from recsys.page.slots import Slot

Page = dict[str, list[int]]  # the live indices of each list

PAGE_METHOD_TITLES = {
    "assignment": "the assignment",
    "by turns": "turns of the lists",
    "one ranking": "one ranking by the user's score, cut into lists",
    "separate lists": "each list alone",
}
PAGE_METHODS = tuple(PAGE_METHOD_TITLES)
PAGE_TITLES = {**PAGE_METHOD_TITLES, BEST_FIXED: "the best fixed articles, known afterwards"}

OWN_CANDIDATES = (8, 12, 20, 40)
EXPLORE_CHANCES = (0.05, 0.1, 0.2, 0.5)
RANKS_ALONE = "ranks alone"
_BY_CANDIDATES = {f"own candidates {n}": n for n in OWN_CANDIDATES}
_BY_CHANCE = {f"explore {chance:g}": chance for chance in EXPLORE_CHANCES}
# The points of the frontier, by how a list chooses and by how often its last slot is drawn.
FRONTIER = {
    RANKS_ALONE: "ranks and priorities alone",
    **{name: f"clicks, among its best {n}" for name, n in _BY_CANDIDATES.items()},
    **{name: f"as served, last slots drawn at {chance:g}" for name, chance in _BY_CHANCE.items()},
}


class Frontier:
    """Composes the pages of one run with every setting of the frontier.

    Parameters
    ----------
    model
        The run.
    """

    def __init__(self, model: PageModel) -> None:
        page = model.config.page
        settings = {RANKS_ALONE: {"click_share": 0.0}} | {
            name: {"own_candidates": n} for name, n in _BY_CANDIDATES.items()
        }
        self._builders = {}
        for name, changed in settings.items():
            # What the shipped settings leave at 0 is no choice between clicks and purpose.
            of = {"click_share": page.click_share or PageConfig().click_share} | changed
            config = structs.replace(model.config, page=structs.replace(page, **of))
            self._builders[name] = PageBuilder(dataclasses.replace(model, config=config))

    def pages(
        self, builder: PageBuilder, built: Built, user: UserState | None, seed: Iterable[int]
    ) -> dict[str, Page]:
        """Return a user's page at each point of `FRONTIER`.

        Parameters
        ----------
        builder, built
            The page as it is served, and what built it.
        user
            The user, None for an anonymous one.
        seed
            Of what is drawn: the same at every chance, so that these differ by the chance alone.
        """
        found = {}
        for name, other in self._builders.items():
            layout = other.layouts[built.layout.name]
            found[name] = _indices(other.page(user, None, layout).lists)
        for name, chance in _BY_CHANCE.items():
            rng = np.random.default_rng(tuple(seed))
            chances = dict.fromkeys(built.layout.names, chance)
            found[name] = _indices(explored(builder, built, chances, rng).lists)
        return found


def pages_by_method(builder: PageBuilder, built: Built) -> dict[str, Page]:
    """Return a page filled by each of `PAGE_METHODS`, as live indices by list.

    Parameters
    ----------
    builder
        Built the page.
    built
        The page as it is served: by the assignment.
    """
    layout, is_closed, story = built.layout, built.closed, builder.model.story
    free = {}
    for of in layout.lists:
        order = builder.rankings.alone(of, built.scored)
        barred = builder.rankings.barred(of, NO_RULES, built.language)
        is_out = is_closed if barred is None else is_closed | barred
        free[of.name] = order[~is_out[order]].tolist()
    return {
        "assignment": _indices(built.lists),
        "by turns": fill_by_turns(free, layout, story, np.flatnonzero(is_closed)),
        "one ranking": _one_ranking(builder, built),
        "separate lists": {of.name: free[of.name][: of.n_slots] for of in layout.lists},
    }


def _indices(lists: Mapping[str, list[Slot]]) -> Page:
    return {name: [slot.live_index for slot in slots] for name, slots in lists.items()}


def _one_ranking(builder: PageBuilder, built: Built) -> Page:
    """Return the best stories by the user's score: the first list gets the best, and so on."""
    scores = total_score(built.parts, len(builder.model.story))
    is_open = ~built.closed
    if built.language:
        is_open &= builder.rankings.in_language(built.language)
    ranked = top_n(np.where(is_open, scores, -np.inf), len(scores))
    _, first = np.unique(builder.model.story[ranked], return_index=True)
    return cut(ranked[np.sort(first)].tolist(), built.layout)


def cut(articles: list[int], layout: Layout) -> Page:
    """Return a page of articles, best first: the slots of the first list, then of the second."""
    page, at = {}, 0
    for of in layout.lists:
        page[of.name] = articles[at : at + of.n_slots]
        at += of.n_slots
    return page


def chosen_for_clicks(
    pages: Mapping[str, Mapping[str, Interval]], frontier: Mapping[str, Mapping[str, Interval]]
) -> dict[str, list[Point]]:
    """Return clicks a page and what each list is judged by, at each way of choosing articles.

    Parameters
    ----------
    pages, frontier
        See `recsys.evaluation.full_list_report.FullListReport`.
    """
    labels = {RANKS_ALONE: "0"} | {name: f"{n}" for name, n in _BY_CANDIDATES.items()}
    of = {label: frontier[name] for name, label in labels.items()}
    of["one ranking"] = pages["one ranking"]
    metrics = [name for name in pages["one ranking"] if name == "hit@5" or name.endswith("ndcg@5")]
    return {
        metric: [
            Point(label, found["clicks"].mean, found[metric].mean, label != "one ranking")
            for label, found in of.items()
        ]
        for metric in metrics
    }


def chosen_for_exposure(
    pages: Mapping[str, Mapping[str, Interval]], frontier: Mapping[str, Mapping[str, Interval]]
) -> dict[str, list[Point]]:
    """Return hits and coverage at each chance of a drawn slot; the parameters are as above."""
    of = {"0": pages["assignment"]}
    of |= {f"{chance:g}": frontier[name] for name, chance in _BY_CHANCE.items()}
    titles = {"coverage@5": "of the personal list", "coverage": "of the whole page"}
    return {
        title: [
            Point(label, found["hit@5"].mean, found[metric].mean)
            for label, found in of.items()
            if "hit@5" in found
        ]
        for metric, title in titles.items()
    }
