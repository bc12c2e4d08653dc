"""Why a slot holds what it holds, worked out when somebody asks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from recsys.blend.live_model import STATIC_PARTS, UserState
from recsys.page.build import Built, PageBuilder, slot_parts
from recsys.page.compose import MUST_READS, YOU_MAY_ALSO_LIKE
from recsys.page.known_articles import KnownArticle, KnownArticles
from recsys.page.reasons import reads_behind
from recsys.page.rules import Editorial, Rule

LONGEST = 10  # articles named as displaced, or as reads behind a slot


@dataclass(frozen=True, slots=True)
class Driver:
    """A past read behind a slot, and what it adds to the score by text and by readers."""

    article_id: str
    title: str
    text: float
    als: float


@dataclass(frozen=True, slots=True)
class Displaced:
    """An article that the list alone would have shown at or before this slot, and why not."""

    article_id: str
    title: str
    why: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a slot holds what it holds.

    Attributes
    ----------
    parts
        What the score is made of.
    ranks
        The article's rank among all live ones by each signal of the score, 1 the best.
    list_rank
        Its rank in the list's own order, before the page was composed.
    drivers
        The reads behind it, those that add most first.
    rules
        Editors' rules that put it here, lifted or lowered it.
    displaced
        What the list ranks above it, and why that is not in the list.
    note
        How the list was filled against its own limits, or why it is short; mostly "".
    """

    parts: Mapping[str, float]
    ranks: Mapping[str, int]
    list_rank: int
    drivers: tuple[Driver, ...]
    rules: tuple[Rule, ...]
    displaced: tuple[Displaced, ...]
    note: str


class PageTrace:
    """One page's making, kept to be asked about; works nothing out before that.

    Parameters
    ----------
    builder, articles
        Of the run.
    rules
        In force or not.
    reader, context, n_slots, blocked, editorial
        As given to `PageBuilder.page`.
    """

    def __init__(
        self,
        builder: PageBuilder,
        articles: KnownArticles,
        rules: Sequence[Rule],
        reader: UserState | None,
        context: int | None,
        n_slots: dict[str, int],
        blocked: NDArray[np.int64],
        editorial: Editorial,
    ) -> None:
        self.builder, self.articles = builder, articles
        self._rules, self._reader, self._context = rules, reader, context
        self._n_slots, self._blocked, self._editorial = n_slots, blocked, editorial

    @cached_property
    def built(self) -> Built:
        """Return the page, composed once."""
        return self.builder.page(
            self._reader, self._context, self._n_slots, self._blocked, self._editorial
        )

    def parts(self, name: str, place: int) -> dict[str, float]:
        """Return what the score of a live place in a list is made of."""
        return slot_parts(self.builder.model, self.built.parts, name, place)

    def article(self, place: int) -> KnownArticle:
        """Return the article of a live place."""
        return self.articles[self.builder.model.live.live_rows[place]]

    def explanation(self, name: str, place: int, rules: Sequence[str]) -> Explanation:
        """Return why a list has a live place in a slot that these rules touched."""
        order = self.builder.rankings.alone(name, self.built.scored)
        rank = int(np.flatnonzero(order == place)[0])
        return Explanation(
            parts=self.parts(name, place),
            ranks=self._ranks(name, place),
            list_rank=rank + 1,
            drivers=self._drivers(place) if name in (YOU_MAY_ALSO_LIKE, MUST_READS) else (),
            rules=tuple(rule for rule in self._rules if rule.rule_id in rules),
            displaced=self.displaced(name, order[:rank].tolist()),
            note=self.built.notes.get(name, ""),
        )

    def _ranks(self, name: str, place: int) -> dict[str, int]:
        if name not in (YOU_MAY_ALSO_LIKE, MUST_READS):
            values = self.built.scored.values[name][0]
            return {name: int((values > values[place]).sum()) + 1}
        return {
            part: int((values > values[place]).sum()) + 1
            for part, values in self.built.parts.items()
            if values[place] or part in STATIC_PARTS
        }

    def _drivers(self, place: int) -> tuple[Driver, ...]:
        """Return the reads behind a slot.

        By text what each adds to the mean; by readers its term of the ALS preference,
        y_j' (G + (c - 1) sum y y')^-1 c y_i, over reads that are live.

        References
        ----------
        Hu, Koren, Volinsky, "Collaborative Filtering for Implicit Feedback Datasets",
        ICDM 2008, section 5.
        """
        reader, live = self._reader, self.builder.model.live
        if reader is None:
            return ()
        text = dict(reads_behind(live, reader.reads, place))
        known = live.live_index_of(reader.reads)
        places = known[known >= 0]
        factors, c = live.factors[places], live.click_confidence
        spread = live.gram + (c - 1.0) * factors.T @ factors
        terms = factors @ np.linalg.solve(spread, c * live.factors[place])
        als = dict(zip(live.live_rows[places].tolist(), terms.tolist(), strict=True))
        drivers = []
        for row in dict.fromkeys([*text, *als]):
            by_text = live.weights.text * text.get(row, 0.0)
            by_als = live.weights.als * als.get(row, 0.0)
            article = self.articles[row]
            drivers.append(
                Driver(article.article_id, article.title, round(by_text, 4), round(by_als, 4))
            )
        drivers.sort(key=lambda driver: -(driver.text + driver.als))
        return tuple(d for d in drivers if d.text + d.als > 0)[:LONGEST]

    def displaced(self, name: str, above: Sequence[int]) -> tuple[Displaced, ...]:
        """Return which of some live places are not in a list, and why."""
        built, story = self.built, self.builder.model.story
        stands = {slot.place: where for where, slots in built.lists.items() for slot in slots}
        of_story = {int(story[place]): place for place in stands}
        found = []
        for place in above:
            if stands.get(place) == name:
                continue
            twin = of_story.get(int(story[place]))
            if place in self._editorial.barred_by:
                why = f"rule {self._editorial.barred_by[place]}"
            elif built.scored.closed[0, place]:
                why = self._closed_why(place)
            elif place in stands:
                why = f"stands in {stands[place]}"
            elif twin is not None:
                why = f"tells the story of {self.article(twin).article_id} in {stands[twin]}"
            else:
                why = "too many of its section, or too like a better one"
            article = self.article(place)
            found.append(Displaced(article.article_id, article.title, why))
        return tuple(found[:LONGEST])

    def _closed_why(self, place: int) -> str:
        story = self.builder.model.story
        if self._reader is not None and place in self._reader.read:
            return "already read"
        if self._reader is not None and story[place] in story[self._reader.read]:
            return "its story is already read"
        if place in self._blocked:
            return "over, not out yet, or excluded by the caller"
        return "the article being read, or its story"
