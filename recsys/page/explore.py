"""Show now and then what the scores would not: the last slot of a list, drawn at random.

Clicks on articles that were drawn say what an article is worth that no score would have put there.
Every slot that may be drawn has a propensity, the chance that it holds the article it holds, so
that evaluation can weigh what was shown by its chance (`recsys.evaluation.propensity`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.page.build import Built, PageBuilder
from recsys.page.compose import Cap
from recsys.page.list_table import PageList
from recsys.page.reasons import EXPLORED
from recsys.page.rules import NO_RULES, Editorial
from recsys.page.slots import Slot

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Explored:
    """A page on which some lists may hold an article drawn at random.

    Attributes
    ----------
    lists
        The slots of each list; all but the last ones of lists that explore are as they were.
    propensity : dict
        By live index, of each slot that might have been drawn: the chance, given the slots of the
        lists before it, that it holds this article.
    """

    lists: dict[str, list[Slot]]
    propensity: dict[int, float]


def explored(
    builder: PageBuilder,
    built: Built,
    chances: Mapping[str, float],
    rng: np.random.Generator,
    editorial: Editorial = NO_RULES,
) -> Explored:
    """Return a page with the last slot of each list drawn at random, by its chance.

    An article is drawn evenly from all live ones that the list may show: of no story on the page,
    not read, and within filters, caps and rules. A slot that editors pinned an article to is never
    drawn, nor is that of a list for which there is nothing else to show.

    Parameters
    ----------
    builder
        Built the page.
    built
        The page.
    chances
        By list, from 0 to 1; 0 for the lists that are left out.
    rng
        What it is drawn with; the lists draw in the order of the page.
    editorial
        The rules that the page was built under.
    """
    lists, propensity = dict(built.lists), {}
    for of in built.layout.lists:
        chance = chances.get(of.name, 0.0)
        if chance <= 0 or not lists[of.name] or _is_pinned(of, lists[of.name], editorial):
            continue
        kept, last = lists[of.name][:-1], lists[of.name][-1]
        pool = _pool(builder, built, of, lists | {of.name: kept}, last, editorial)
        is_drawn = rng.random() < chance
        if not len(pool):
            continue
        if not is_drawn:
            propensity[last.live_index] = 1.0 - chance
            continue
        article = int(pool[rng.integers(len(pool))])
        score = round(float(built.scored.values[of.name][article]), 4)
        lists[of.name] = [*kept, Slot(article, score, EXPLORED, -1)]
        propensity[article] = chance / len(pool)
    return Explored(lists, propensity)


def _is_pinned(of: PageList, slots: Sequence[Slot], editorial: Editorial) -> bool:
    """Return whether editors pinned an article to the last filled slot of a list."""
    at = (of.name, slots[-1].live_index)
    return any((pin.name, pin.live_index) == at for pin in editorial.pins)


def _pool(
    builder: PageBuilder,
    built: Built,
    of: PageList,
    lists: Mapping[str, Sequence[Slot]],
    last: Slot,
    editorial: Editorial,
) -> NDArray[np.int64]:
    """Return the live articles that a list may be given, apart from the one that it has there."""
    story = builder.model.story
    is_out = built.closed.copy()
    barred = builder.rankings.barred(of, editorial, built.language)
    if barred is not None:
        is_out |= barred
    shown = {name: [slot.live_index for slot in slots] for name, slots in lists.items()}
    on_page = [article for articles in shown.values() for article in articles]
    is_used = np.zeros(len(story), dtype=bool)
    is_used[story[[*on_page, last.live_index]]] = True
    is_out |= is_used[story]
    for cap in (*builder.rankings.caps(built.layout), *editorial.caps):
        if cap.name in (None, of.name):
            is_out |= _is_full(cap, on_page if cap.name is None else shown[of.name])
    return np.flatnonzero(~is_out)


def _is_full(cap: Cap, shown: Sequence[int]) -> Mask:
    """Return the live articles of groups of which enough are shown."""
    groups = cap.group[shown]
    n_shown = np.bincount(groups[groups >= 0], minlength=int(cap.group.max(initial=0)) + 1)
    full: Mask = (cap.group >= 0) & (n_shown[cap.group] >= cap.most)
    return full
