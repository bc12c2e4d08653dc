"""Why a slot holds its article, computed when it is asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.blend.linear import reads_behind, reads_behind_vectors
from recsys.blend.live_model import Floats, UserState
from recsys.blend.signal_table import SIGNALS, signal_names
from recsys.computed_once import computed_once
from recsys.page.build import Built, PageBuilder
from recsys.page.known_articles import KnownArticle, KnownArticles
from recsys.page.list_table import Layout, PageList
from recsys.page.rules import EVERY, Editorial, Rule

LONGEST = 10  # articles named as displaced, or as reads behind a slot
_PERSONAL = ("personal", "important")  # scorers whose slots have reads behind them


# What an editor reads for each part of a score: signals, and what some scorers have of their own.
PART_LABELS: Mapping[str, str] = {row.name: row.label for row in SIGNALS} | {
    "expected": "clicks expected in the next hours",
    "rise": "more clicks than expected",
    "importance": "read by many today",
    "personal": "fits this user and article",
    "similar": "close to this article",
}


@dataclass(frozen=True, slots=True)
class Driver:
    """A past read behind a slot, and what it adds to the score by text, readers and vectors.

    The title is "" where the list must not name it, see `PageTrace.title`.
    """

    article_id: str
    title: str
    text: float
    als: float
    vectors: float


@dataclass(frozen=True, slots=True)
class Displaced:
    """An article that the list alone would have shown at or before this slot, and why not.

    The title is "" where the list must not name it, see `PageTrace.title`.
    """

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
        That the slot was drawn at random, how the list was filled against its own limits, or why
        it is short; mostly "".
    """

    parts: Mapping[str, float]
    ranks: Mapping[str, int]
    list_rank: int
    drivers: tuple[Driver, ...]
    rules: tuple[Rule, ...]
    displaced: tuple[Displaced, ...]
    note: str


class PageTrace:
    """How one page was made, kept to be asked about; works nothing out before that.

    Parameters
    ----------
    builder, articles
        Of the run.
    rules
        All rules, in force or not.
    user, context, layout, blocked, editorial, language
        See `PageBuilder.page`.
    withheld : array of bool, shape (n_known,)
        The known articles that must not be shown at the time of the request.
    """

    def __init__(
        self,
        builder: PageBuilder,
        articles: KnownArticles,
        rules: Sequence[Rule],
        *,
        user: UserState | None,
        context: int | None,
        layout: Layout,
        blocked: NDArray[np.int64],
        editorial: Editorial,
        language: int,
        withheld: NDArray[np.bool_],
    ) -> None:
        self.builder, self.articles, self.layout = builder, articles, layout
        self._withheld = withheld
        self._rules, self._user, self.context = rules, user, context
        self._blocked, self._editorial, self._language = blocked, editorial, language

    @computed_once
    def built(self) -> Built:
        """Return the page, composed once."""
        return self.builder.page(
            self._user,
            self.context,
            self.layout,
            self._blocked,
            self._editorial,
            self._language,
        )

    def _list(self, name: str) -> PageList:
        return self.layout.lists[self.layout.index(name)]

    def parts(self, name: str, live_index: int) -> dict[str, float]:
        """Return what the score of a live article in a list is made of."""
        return slot_parts(self.builder, self.built.parts, self._list(name), live_index)

    def title(self, name: str, known_index: int) -> str:
        """Return the title of a known article; "" where a list must not name it.

        That is an article that has expired, was withdrawn, or is barred from the list by a rule.
        """
        barred = (self._editorial.unnamed.get(key) for key in (EVERY, name))
        if self._withheld[known_index] or any(m is not None and m[known_index] for m in barred):
            return ""
        title: str = self.articles.column("title")[known_index]
        return title

    def title_read(self, name: str, live_index: int) -> str:
        """Return the title of the recent read most like an article that a list may name, or ""."""
        if self._user is None:
            return ""
        reads = reads_behind(self.builder.model.live, self._user.reads, live_index)
        closest_first = sorted(reads, key=lambda read: -read[1])
        titles = (self.title(name, known) for known, value in closest_first if value > 0)
        return next(filter(None, titles), "")

    def article(self, live_index: int) -> KnownArticle:
        """Return a live article."""
        return self.articles[self.builder.model.live.live_rows[live_index]]

    def explanation(self, name: str, live_index: int, rules: Sequence[str]) -> Explanation:
        """Return why a list has a live article in a slot that these rules touched."""
        of = self._list(name)
        order = self.builder.rankings.alone(of, self.built.scored)
        found = np.flatnonzero(order == live_index)
        rank = int(found[0]) if len(found) else len(order)  # a pin may be in no order
        return Explanation(
            parts=self.parts(name, live_index),
            ranks=self._ranks(of, live_index),
            list_rank=rank + 1,
            drivers=self._drivers(name, live_index) if of.scorer in _PERSONAL else (),
            rules=tuple(rule for rule in self._rules if rule.rule_id in rules),
            displaced=self.displaced(name, order[:rank].tolist()),
            note=self._note(name, live_index),
        )

    def _note(self, name: str, live_index: int) -> str:
        if all(slot.live_index != live_index for slot in self.built.lists[name]):
            return "drawn at random from all that the list may show, to explore"
        return self.built.notes.get(name, "")

    def _ranks(self, of: PageList, live_index: int) -> dict[str, int]:
        if of.scorer not in _PERSONAL:
            values = self.built.scored.values[of.name]
            return {of.name: int((values > values[live_index]).sum()) + 1}
        return {
            name: int((values > values[live_index]).sum()) + 1
            for name, values in self.built.parts.items()
            if values[live_index] or name in signal_names("static")
        }

    def _drivers(self, name: str, live_index: int) -> tuple[Driver, ...]:
        """Return the reads behind a slot of a list.

        By text and vectors, what each read adds to the mean; by users, its term of the ALS
        preference, y_j' (G + (c - 1) sum y y')^-1 c y_i, over reads that are live.

        References
        ----------
        Hu, Koren, Volinsky, "Collaborative Filtering for Implicit Feedback Datasets",
        ICDM 2008, section 5.
        """
        user, live = self._user, self.builder.model.live
        if user is None:
            return ()
        text = dict(reads_behind(live, user.reads, live_index))
        vectors = dict(reads_behind_vectors(live, user.reads, live_index))
        known = live.live_index_of(user.reads)
        read = known[known >= 0]
        factors, c = live.factors[read], live.click_confidence
        spread = live.gram + (c - 1.0) * factors.T @ factors
        terms = factors @ np.linalg.lstsq(spread, c * live.factors[live_index], rcond=None)[0]
        als = dict(zip(live.live_rows[read].tolist(), terms.tolist(), strict=True))
        drivers = []
        for row in dict.fromkeys([*text, *als, *vectors]):
            by_text = live.weights["text"] * text.get(row, 0.0)
            by_als = live.weights["als"] * als.get(row, 0.0)
            by_vectors = live.weights["vectors"] * vectors.get(row, 0.0)
            article_id = self.articles.column("article_id")[row]
            added = (round(by, 4) for by in (by_text, by_als, by_vectors))
            drivers.append(Driver(article_id, self.title(name, row), *added))
        drivers.sort(key=lambda driver: -(driver.text + driver.als + driver.vectors))
        return tuple(d for d in drivers if d.text + d.als + d.vectors > 0)[:LONGEST]

    def displaced(self, name: str, above: Sequence[int]) -> tuple[Displaced, ...]:
        """Return which of some live articles are not in a list, and why."""
        built, story = self.built, self.builder.model.story
        list_of = {slot.live_index: key for key, slots in built.lists.items() for slot in slots}
        of_story = {int(story[article]): article for article in list_of}
        barred = self.builder.rankings.barred(self._list(name), self._editorial, self._language)
        found = []
        for index in above:
            if list_of.get(index) == name:
                continue
            twin = of_story.get(int(story[index]))
            if index in self._editorial.barred_by:
                why = f"rule {self._editorial.barred_by[index]}"
            elif barred is not None and barred[index]:
                why = "does not pass the filter of the list, or is in another language"
            elif built.scored.closed[index]:
                why = self._closed_why(index)
            elif index in list_of:
                why = f"is in {list_of[index]}"
            elif twin is not None:
                why = f"same story as {self.article(twin).article_id} in {list_of[twin]}"
            else:
                why = "less likely to be clicked, too many of its section, or too like a better one"
            row = self.builder.model.live.live_rows[index]
            article_id = self.articles.column("article_id")[row]
            found.append(Displaced(article_id, self.title(name, row), why))
            if len(found) == LONGEST:
                break
        return tuple(found)

    def _closed_why(self, index: int) -> str:
        story = self.builder.model.story
        if self._user is not None and index in self._user.read:
            return "already read"
        if self._user is not None and story[index] in story[self._user.read]:
            return "its story is already read"
        if index in self._blocked:
            return "expired, withdrawn, not published yet, or excluded by the caller"
        return "the article being read, or its story"


def slot_parts(
    builder: PageBuilder, parts: Mapping[str, Floats], of: PageList, article: int
) -> dict[str, float]:
    """Return what the score of a live article in a list is made of; zero parts are left out.

    Parameters
    ----------
    builder
        Of the run.
    parts
        From `recsys.blend.linear.score_parts`, for the user and article of the page.
    of, article
        The list, and the live index.
    """
    model = builder.model
    found: dict[str, float]
    if of.row.values:
        found = {of.row.values: float(builder.rankings.values[of.row.values][article])}
    elif of.scorer == "similar":
        weight = model.live.weights["context_text"]
        text = float(parts["context_text"][article]) if "context_text" in parts else 0.0
        found = {"similar": text / weight if weight else 0.0}
    else:
        found = {name: float(part[article]) for name, part in parts.items()}
        if of.scorer == "important":
            static = {row.name for row in SIGNALS if row.kind == "static"}
            personal = sum(value for name, value in found.items() if name not in static)
            found = {
                "importance": float(model.importance[article]),
                "personal": model.live.blend.important_personal * personal,
            }
    return {name: round(value, 4) for name, value in found.items() if value}
