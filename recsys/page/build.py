"""Readers' pages out of scores: the lists composed, slots, reasons."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import accumulate, islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.blend.linear import article_side, recent_weights, score, total_score
from recsys.blend.live_model import STATIC_PARTS, PageModel, UserState
from recsys.kernels import pages as kernels
from recsys.kernels.pages import SLOT
from recsys.page import rankings
from recsys.page.compose import (
    FILLED,
    LATEST_STORIES,
    LISTS,
    MINIMUM,
    MUST_READS,
    POPULAR_NOW,
    YOU_MAY_ALSO_LIKE,
)
from recsys.page.rankings import Rankings, Scored, barred, top_n
from recsys.page.reasons import (
    CHOSEN,
    CODE_TABLE,
    CODES,
    closest_read,
    leading_parts,
    reason_code,
)
from recsys.page.rules import NO_RULES, Editorial

POOL = 20  # articles a slot that explores is drawn from
PLANS_KEPT = 64  # of pages of some slots under some rules
NOTHING = np.zeros(0, dtype=np.int64)

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
Parts = dict[str, Floats]


class Slot(NamedTuple):
    """One filled slot: a live place, its score in its list, the reason's code.

    `because` is the known index of the read article a reason names, else -1; `rules` are
    the editors' rules that put the article here, or lifted or lowered it.

    A tuple, for every page view makes a score of them.
    """

    place: int
    score: float
    code: str
    because: int
    rules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pages:
    """A block of pages.

    Attributes
    ----------
    slots : array of `SLOT`, shape (n_pages, n_slots)
        Of all lists, end to end; what is empty is at the end of its list.
    notes
        By page, by list: how it was filled against its own limits, or why it is short.
    value, bound : array of float64, shape (n_pages,)
        As of `recsys.page.compose.Composed`.
    """

    slots: NDArray[np.void]
    notes: list[dict[str, str]]
    value: NDArray[np.float64]
    bound: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class UserBlock:
    """Some readers, as pages see them.

    Attributes
    ----------
    sides : array of float32, shape (n_users, n_features)
        Their side of products with articles: factors, then section tastes.
    reads_start, reads : array of int64
        Latest reads of each, newest first, as known indices, end to end.
    read_start, read : array of int64
        Live places that each has read, end to end.
    """

    sides: Floats
    reads_start: Ints
    reads: Ints
    read_start: Ints
    read: Ints

    @classmethod
    def of(cls, readers: Sequence[UserState]) -> "UserBlock":
        """Return some readers, at least one."""

        def ends(parts: Sequence[Ints]) -> Ints:
            return np.array([0, *accumulate(map(len, parts))])

        reads, read = [r.reads for r in readers], [r.read for r in readers]
        sides = np.stack([np.concatenate((r.factors, r.affinity)) for r in readers])
        return cls(sides, ends(reads), np.concatenate(reads), ends(read), np.concatenate(read))

    def part(self, begin: int, end: int) -> "UserBlock":
        """Return some of them."""
        reads, read = self.reads_start[begin : end + 1], self.read_start[begin : end + 1]
        return UserBlock(
            self.sides[begin:end],
            reads - reads[0],
            self.reads[reads[0] : reads[-1]],
            read - read[0],
            self.read[read[0] : read[-1]],
        )


class Built:
    """A page, and what it was made from, worked out when somebody asks.

    Attributes
    ----------
    lists
        The slots of each list.
    notes
        By list: how it was filled against its own limits, or why it is short.
    value, bound
        As of `recsys.page.compose.Composed`.
    """

    def __init__(
        self,
        builder: "PageBuilder",
        asked: tuple[UserState | None, int | None, Ints],
        lists: dict[str, list[Slot]],
        made: Pages,
    ) -> None:
        self._builder, self._asked, self.lists = builder, asked, lists
        self.notes = made.notes[0]
        self.value, self.bound = float(made.value[0]), float(made.bound[0])

    @cached_property
    def parts(self) -> Parts:
        """Return the weighted parts of every live article's score on this page."""
        reader, context, _ = self._asked
        return score(self._builder.model.live, reader, context)

    @cached_property
    def scored(self) -> Scored:
        """Return what each list thinks of every live article, and which are closed."""
        return self._builder.scored(self.parts, *self._asked)


def slots_of_page(rows: NDArray[np.void], n_slots: dict[str, int]) -> dict[str, list[Slot]]:
    """Return the filled slots of a page by list, out of `SLOT`s of all lists."""
    slots = iter(rows.tolist())
    return {
        name: [
            Slot(place, round(value, 4), CODES[code], because)
            for place, value, code, because in islice(slots, n)
            if place >= 0
        ]
        for name, n in n_slots.items()
    }


def pack_pages(pages: Pages) -> list[bytes | None]:
    """Return each page as bytes, `SLOT`s of all lists; None for one that has notes to tell."""
    packed = zip(pages.slots, pages.notes, strict=True)
    return [None if notes else slots.tobytes() for slots, notes in packed]


def unpack_page(packed: bytes, n_slots: dict[str, int]) -> dict[str, list[Slot]]:
    """Return a page of `pack_pages`, its slots by list."""
    return slots_of_page(np.frombuffer(packed, dtype=SLOT), n_slots)


class PageBuilder:
    """Makes pages of one run; what is the same for all readers is worked out once.

    `page` makes one page; `block` the pages of many readers with no article before
    them, and gives what `page` would give each of them.

    A list ranks all live articles, so it is filled from its own ranking, however far down.
    Where that would break our own cap (so many of a section in Must-Reads), the cap gives
    way; where live, unread, allowed stories run out, each list keeps its minimum before
    another gets more, and what is left stays empty. Either way the page says so.
    """

    def __init__(self, model: PageModel) -> None:
        self.model = model
        live, n_live = model.live, len(model.story)
        self._static_parts = static = live.static_parts()
        self._static = total_score(static, n_live)
        # Less their mean, static parts tell what sets an article apart; else
        # "popular" would be said of everything. One that counts against is no reason.
        self._centred = {
            name: part - part.mean() if getattr(live.weights, name) > 0 else part - np.inf
            for name, part in static.items()
            if len(part)
        }
        self._section = live.category[live.live_rows]
        self.rankings = Rankings(model)
        self._article_side = article_side(live, model.n_categories)
        self._nobody = np.zeros(len(self._article_side), dtype=np.float32)
        self._run = self._as_run()
        self._plan = lru_cache(maxsize=PLANS_KEPT)(self._plan_for)

    def _as_run(self) -> kernels.Run:
        """Return the run as the kernels know it."""
        model, live, weights = self.model, self.model.live, self.model.live.weights
        n_live = len(model.story)
        recent = np.zeros((weights.recent_reads + 1, weights.recent_reads))
        for n in range(1, len(recent)):
            recent[n, :n] = recent_weights(n, weights.recent_decay)
        arrays: dict[str, NDArray[Any]] = {
            "place_of": live.places(),
            "story_start": np.searchsorted(np.sort(model.story), np.arange(n_live + 1)),
            "of_story": np.argsort(model.story, kind="stable"),
            "section": self._section,
            "category": live.category,
            "article_side": self._article_side,
            "fixed": self._static,
            "centred": np.array(list(self._centred.values())),
            "importance": model.importance,
            "rise": model.rise,
            "newness": self._static_parts["recency"],
            "risen": self.rankings.risen,
            "together_start": live.item_item.start,
            "together_column": live.item_item.column,
            "together": live.item_item.value,
            "recent_weight": recent,
            "code": CODE_TABLE,
        }
        numbers = {
            "context_text": weights.context_text,
            "context_together": weights.context_item_item,
            "context_section": weights.context_category,
            "text": weights.text,
            "affinity": weights.affinity,
            "must_reads_personal": weights.must_reads_personal,
            "story_similarity": model.config.story_similarity,
        }
        return kernels.Run(
            self.rankings.articles,
            arrays,
            numbers,
            recent_reads=weights.recent_reads,
            because_read=CODES.index("because_read"),
            chosen=CODES.index(CHOSEN),
            n_factors=live.factors.shape[1],
        )

    def _plan_for(self, slots: tuple[int, ...], editorial: Editorial) -> kernels.Plan:
        """Return what pages of so many slots are to hold, as far as rules have a say."""
        config, own = self.model.config, self.rankings.caps
        at = {name: place for place, name in enumerate(LISTS)}
        nothing = np.zeros(len(self.model.story), dtype=bool)
        lists = [
            kernels.OfList(
                n,
                getattr(config, f"{name}_priority"),
                config.minimum,
                name in config.exempt,
                barred(name, nothing, editorial) if editorial.barred else None,
                editorial.boosts.get(name),
            )
            for name, n in zip(LISTS, slots, strict=True)
        ]
        caps = (*own, *editorial.caps)
        return kernels.Plan(
            lists,
            [(-1 if cap.name is None else at[cap.name], cap.group, cap.most) for cap in caps],
            len(own),
            [(at[pin.name], pin.slot, pin.place) for pin in editorial.pins],
            spare=rankings.SPARE,
            under_caps=rankings.UNDER_CAPS,
            farther=rankings.FARTHER,
            diversity=config.diversity,
            filled=FILLED,
            least=MINIMUM,
        )

    def page(
        self,
        reader: UserState | None,
        context: int | None,
        n_slots: dict[str, int],
        blocked: Ints = NOTHING,
        editorial: Editorial = NO_RULES,
    ) -> Built:
        """Return the lists of one page.

        Parameters
        ----------
        reader
            None for an anonymous one.
        context
            Known index of the article being read, None on a front page. Latest
            Stories are of its section, as far as they reach.
        n_slots
            Slots of each list.
        blocked
            Live places to leave out, beside what was read and the article itself.
        editorial
            What editors' rules ask.
        """
        at, latest = -1 if context is None else context, self.rankings.latest(context)
        if reader is None:
            of = kernels.One(self._nobody, NOTHING, NOTHING, False, at, blocked, latest)
        else:
            side = np.concatenate((reader.factors, reader.affinity))
            of = kernels.One(side, reader.reads, reader.read, True, at, blocked, latest)
        plan = self._plan(tuple(n_slots.values()), editorial)
        made = self._notes_of(self._run.page(plan, of), n_slots)
        lists = slots_of_page(made.slots[0], n_slots)
        if touched := editorial.touched:
            lists = {
                name: [s._replace(rules=touched.get((name, s.place), ())) for s in slots]
                for name, slots in lists.items()
            }
        return Built(self, (reader, context, blocked), lists, made)

    def block(self, crowd: UserBlock, n_slots: dict[str, int]) -> Pages:
        """Return the pages of readers with no article before them, under no rules."""
        of = kernels.Block(
            crowd.sides @ self._article_side,
            crowd.sides,
            crowd.reads_start,
            crowd.reads,
            crowd.read_start,
            crowd.read,
            self.rankings.latest(None),
        )
        plan = self._plan(tuple(n_slots.values()), NO_RULES)
        return self._notes_of(self._run.block(plan, of), n_slots)

    def _notes_of(self, made: kernels.Made, n_slots: dict[str, int]) -> Pages:
        notes: list[dict[str, str]] = [{} for _ in made.how]
        for page in np.flatnonzero(made.how).tolist():
            if made.how[page] & kernels.CAPS_GAVE_WAY:
                notes[page][MUST_READS] = "too few sections left: more of one than usual"
            if not made.how[page] & kernels.SHORT:
                continue
            for name, slots in slots_of_page(made.slots[page], n_slots).items():
                filled, n = len(slots), n_slots[name]
                if filled < n:
                    notes[page][name] = (
                        f"{filled} of {n} slots, no candidates left: of {len(self.model.story)}"
                        f" live articles {made.n_closed[page]} are read, over, or of the story"
                        " being read"
                    )
        return Pages(made.slots, notes, made.value, made.bound)

    def scored(
        self, parts: Parts, reader: UserState | None, context: int | None, blocked: Ints
    ) -> Scored:
        """Return what each list thinks of the live articles, as a block of one page.

        What the kernels work out for themselves: for those who ask why.
        """
        model = self.model
        scores = total_score(parts, len(model.story))
        must = model.importance
        if reader is not None or context is not None:
            must = must + model.live.weights.must_reads_personal * (scores - self._static)
        values = {
            YOU_MAY_ALSO_LIKE: scores,
            MUST_READS: must,
            POPULAR_NOW: model.rise,
            LATEST_STORIES: self._static_parts["recency"],
        }
        closed = self._closed(reader, context, blocked)[np.newaxis]
        return Scored({name: of[np.newaxis] for name, of in values.items()}, closed, context)

    def explored(
        self,
        built: Built,
        reader: UserState | None,
        n: int,
        rng: np.random.Generator,
        editorial: Editorial = NO_RULES,
    ) -> tuple[dict[str, list[Slot]], dict[int, float]]:
        """Return a page whose last `n` slots of You May Also Like are drawn at random.

        They are drawn evenly from the best `POOL` articles that may stand there, one a
        story, those they replace among them.

        Returns
        -------
        lists
            The page; its other slots as they were.
        propensity : dict
            By live place drawn: the chance it had, exactly - slots drawn over articles to
            draw from.
        """
        name, story, liked = YOU_MAY_ALSO_LIKE, self.model.story, built.lists[YOU_MAY_ALSO_LIKE]
        kept = built.lists | {name: liked[: max(len(liked) - n, 0)]}
        closed = barred(name, built.scored.closed, editorial)[0]
        used = {int(story[slot.place]) for slots in kept.values() for slot in slots}
        pool: list[int] = []
        for place in top_n(np.where(closed, -np.inf, built.scored.values[name][0]), len(story)):
            if int(story[place]) not in used and len(pool) < POOL:
                used.add(int(story[place]))
                pool.append(int(place))
        n_drawn = min(len(liked) - len(kept[name]), len(pool))
        drawn = [pool[i] for i in rng.permutation(len(pool))[:n_drawn].tolist()]
        slots = [self._slot(built, reader, place) for place in drawn]
        return kept | {name: kept[name] + slots}, dict.fromkeys(drawn, n_drawn / max(len(pool), 1))

    def _closed(
        self, reader: UserState | None, context: int | None, blocked: Ints
    ) -> NDArray[np.bool_]:
        """Return which live places must not be on a page, nor any of their story."""
        story = self.model.story
        closed = np.zeros(len(story), dtype=bool)
        closed[story[blocked]] = True
        if reader is not None:
            closed[story[reader.read]] = True
        if context is not None:
            live = self.model.live
            here = live.live_index_of([context])
            column, value = live.similar.row(context)
            same = column[value >= self.model.config.story_similarity]
            closed[story[here[here >= 0]]] = True
            closed[story[same]] = True
        result: NDArray[np.bool_] = closed[story]
        return result

    def _slot(self, built: Built, reader: UserState | None, place: int) -> Slot:
        """Return a slot of You May Also Like that holds a live place, with its reason."""
        here = {part: values[[place]] for part, values in (built.parts | self._centred).items()}
        code = reason_code(
            YOU_MAY_ALSO_LIKE,
            int(leading_parts(here)[0]),
            has_category=bool(self._section[place] > 0),
            rising=bool(self.model.rise[place] > 0),
        )
        because = -1
        if reader is not None and code == "because_read":
            because = closest_read(self.model.live, reader.reads, place)
        value = round(float(built.scored.values[YOU_MAY_ALSO_LIKE][0, place]), 4)
        return Slot(place, value, code, because)


def slot_parts(
    model: PageModel, parts: dict[str, NDArray[np.float32]], list_name: str, place: int
) -> dict[str, float]:
    """Return what a slot's score is made of, by name; zero parts are left out.

    Parameters
    ----------
    model
        The run.
    parts
        From `recsys.blend.linear.score`, for the reader and article of the page.
    list_name, place
        The slot.
    """
    if list_name == POPULAR_NOW:
        found = {"rise": float(model.rise[place])}
    elif list_name == LATEST_STORIES:
        found = {"recency": float(parts["recency"][place])}
    else:
        found = {name: float(part[place]) for name, part in parts.items()}
        if list_name == MUST_READS:
            personal = sum(value for name, value in found.items() if name not in STATIC_PARTS)
            found = {
                "importance": float(model.importance[place]),
                "personal": model.live.weights.must_reads_personal * personal,
            }
    return {name: round(value, 4) for name, value in found.items() if value}
