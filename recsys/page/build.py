"""One reader's page out of scores: rankings of the four lists, slots, reasons."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from recsys.blend import (
    STATIC_PARTS,
    BlockScorer,
    LiveModel,
    Reader,
    score,
    total,
)
from recsys.config import PageConfig
from recsys.page.compose import (
    LATEST_STORIES,
    LISTS,
    MUST_READS,
    POPULAR_NOW,
    YOU_MAY_ALSO_LIKE,
    Cap,
    Composed,
    Pin,
    Wish,
    compose,
    first_of_group,
    top_n,
    worths,
)
from recsys.page.reasons import CHOSEN, closest_read, leading_parts, reason_code
from recsys.page.rules import EVERY, NO_RULES, Editorial

SPARE = 12  # candidates beyond those that can matter: some tell the same story
UNDER_CAPS = 64  # candidates of a list whose best may be too many of one kind
FARTHER = 4  # times as many are looked at: most may be of that kind
POOL = 20  # articles a slot that explores is drawn from
NOTHING = np.zeros(0, dtype=np.int64)

Floats = NDArray[np.float32]
Parts = dict[str, Floats]


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
class Slot:
    """One filled slot: a live place, its score in its list, the reason's code.

    `because` is the known index of the read article a reason names, else -1; `rules` are
    the editors' rules that put the article here, or lifted or lowered it.
    """

    place: int
    score: float
    code: str
    because: int
    rules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Built:
    """A page, and what it was made from.

    Attributes
    ----------
    lists
        The slots of each list.
    parts
        Weighted parts of every live article's score on this page.
    values : dict of array of float32, shape (n_live,)
        What each list thinks of every live article, before rules.
    closed : array of bool, shape (n_live,)
        What must not be on the page: read, being read, over, or of the same story.
    notes
        By list: how it was filled against its own rules, or why it is short.
    composed
        The solution.
    """

    lists: dict[str, list[Slot]]
    parts: Parts
    values: Parts
    closed: NDArray[np.bool_]
    notes: dict[str, str]
    composed: Composed


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
        static = live.static_parts()
        self._static = total(static, n_live)
        self._newness = static["recency"]
        # Less their mean, static parts tell what sets an article apart; else
        # "popular" would be said of everything. One that counts against is no reason.
        self._centred = {
            name: part - part.mean() if getattr(live.weights, name) > 0 else part - np.inf
            for name, part in static.items()
            if len(part)
        }
        section = live.category[live.live_rows]
        self._risen = top_n(model.rise, n_live)
        self._has_section, self._is_rising = (section > 0).tolist(), (model.rise > 0).tolist()
        self._newest_section = section[model.newest]
        most = model.config.must_reads_of_section
        self._caps = (Cap(MUST_READS, np.where(section > 0, section, -1), most),)

    @cached_property
    def _scorer(self) -> BlockScorer:
        """Return the scorer of blocks; a server, which makes single pages, never pays for it."""
        return BlockScorer.of(self.model.live, self.model.n_categories)

    def page(
        self,
        reader: Reader | None,
        context: int | None,
        n_slots: dict[str, int],
        blocked: NDArray[np.int64] = NOTHING,
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
        parts = score(self.model.live, reader, context)
        scores = total(parts, len(self.model.story))
        closed = self._closed(reader, context, blocked)
        return self._built(reader, context, n_slots, closed, editorial, parts, scores)

    def block(self, readers: list[Reader], text: Floats, n_slots: dict[str, int]) -> list[Built]:
        """Return the pages of readers with no article before them, under no rules.

        Their parts are of the text alone, all that slots need.

        Parameters
        ----------
        readers
            A block of readers.
        text : array of float32, shape (n_block, n_live)
            Weighted similarity to their recent reads.
        n_slots
            Slots of each list.
        """
        factors = np.stack([reader.factors for reader in readers])
        affinity = np.stack([reader.affinity for reader in readers])
        scores = self._scorer.personal(factors, affinity, text) + self._static
        return [
            self._built(
                reader, None, n_slots, self._closed(reader, None, NOTHING), NO_RULES,
                {"text": text[row]}, scores[row],
            )
            for row, reader in enumerate(readers)
        ]  # fmt: skip

    def _built(
        self,
        reader: Reader | None,
        context: int | None,
        n_slots: dict[str, int],
        closed: NDArray[np.bool_],
        editorial: Editorial,
        parts: Parts,
        scores: Floats,
    ) -> Built:
        model = self.model
        must = model.importance
        if reader is not None or context is not None:
            must = must + model.live.weights.must_reads_personal * (scores - self._static)
        values = {
            YOU_MAY_ALSO_LIKE: scores, MUST_READS: must,
            POPULAR_NOW: model.rise, LATEST_STORIES: self._newness,
        }  # fmt: skip
        pins = _holding(editorial.pins, n_slots, model.story, closed)
        notes: dict[str, str] = {}
        n_live = len(model.story)
        # Wider only for the rare page that comes out short: candidates, then our own caps.
        for reach, caps in ((UNDER_CAPS, self._caps), (n_live, self._caps), (n_live, ())):
            limits = (*caps, *editorial.caps)
            wishes = self._wishes(n_slots, values, closed, context, editorial, limits, reach)
            composed = compose(wishes, model.story, limits, pins)
            short = [name for name, places in composed.lists.items() if -1 in places]
            if not short:
                break
        if not caps and MUST_READS in composed.lists:
            notes[MUST_READS] = "too few sections left: more of one than usual"
        for name in short:
            filled = sum(place >= 0 for place in composed.lists[name])
            notes[name] = (
                f"{filled} of {n_slots[name]} slots, no candidates left: of {n_live} live"
                f" articles {int(closed.sum())} are read, over, or of the story being read"
            )
        held = {(pin.name, pin.slot) for pin in pins}
        liked = [place for place in composed.lists.get(YOU_MAY_ALSO_LIKE, ()) if place >= 0]
        lead = dict(zip(liked, self._lead(reader, parts, liked), strict=True))
        lists = {
            name: [
                self._slot(
                    reader, name, place, float(values[name][place]), lead.get(place, 0),
                    editorial, pinned=(name, rank) in held,
                )
                for rank, place in enumerate(places)
                if place >= 0
            ]
            for name, places in composed.lists.items()
        }  # fmt: skip
        return Built(lists, parts, values, closed, notes, composed)

    def wishes(self, built: Built, context: int | None, n_slots: dict[str, int]) -> list[Wish]:
        """Return what the lists of a page under no rules would show."""
        return self._wishes(
            n_slots, built.values, built.closed, context, NO_RULES, self._caps, UNDER_CAPS
        )

    def alone(self, name: str, built: Built, context: int | None) -> NDArray[np.int64]:
        """Return all live articles as a list would rank them with no other list and no limit."""
        nothing = np.zeros(len(built.closed), dtype=bool)
        return self._ordered(name, built.values, nothing, context, len(nothing))[0]

    def _wishes(
        self,
        n_slots: dict[str, int],
        values: Parts,
        closed: NDArray[np.bool_],
        context: int | None,
        editorial: Editorial,
        caps: tuple[Cap, ...],
        reach: int,
    ) -> list[Wish]:
        """Return what each list would show: those candidates that may matter."""
        config, n_page = self.model.config, sum(n_slots.values())
        wishes = []
        for name in (name for name in LISTS if name in n_slots):
            n = n_page + len(editorial.pins)
            own = [cap for cap in caps if cap.name in (None, name)]
            if own:
                n = max(n, reach)
            barred = _barred(name, closed, editorial)
            far = n * (FARTHER if own else 1) + SPARE
            places, worth = self._ordered(name, values, barred, context, far, editorial, n_page)
            for cap in own:  # no other list can take more of a group than it has slots
                near = first_of_group(cap.group[places], cap.most + n_page - n_slots[name])
                places, worth = places[near], worth[near]
            story = self.model.story[places]
            if len(set(story.tolist())) < len(places):
                first = np.sort(np.unique(story, return_index=True)[1])
                places, worth = places[first], worth[first]
            if name == YOU_MAY_ALSO_LIKE and config.diversity:
                places, worth = self._diverse(places, worth)
            wishes.append(
                Wish(
                    name, n_slots[name], places[:n], worth[:n],
                    getattr(config, f"{name}_priority"), config.minimum, name in config.exempt,
                )
            )  # fmt: skip
        return wishes

    def _ordered(
        self,
        name: str,
        values: Parts,
        barred: NDArray[np.bool_],
        context: int | None,
        n: int,
        editorial: Editorial = NO_RULES,
        n_page: int = 1,
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the best candidates of a list, best first, and what each is worth to it."""
        boosts = editorial.boosts.get(name)
        if name in (YOU_MAY_ALSO_LIKE, MUST_READS):
            scores = np.where(barred, -np.inf, values[name])
            places = top_n(scores, n)
        else:
            order = self._risen if name == POPULAR_NOW else self._latest(context)
            ahead = len(order) if boosts is not None else 4 * n
            places = order[:ahead][~barred[order[:ahead]]]
            if len(places) < n < len(order):
                places = order[~barred[order]]
            places = places if boosts is not None else places[:n]
            scores = values[name]
            if name == LATEST_STORIES:
                scores = np.full(len(barred), -np.inf, dtype=np.float32)
                scores[places] = -np.arange(len(places))
        worth = worths(scores[places], n_page)
        if boosts is not None:
            lowest, reach = scores[places[n_page - 1 : n_page]], scores[places[:1]]
            span = float((reach - lowest)[0]) if len(lowest) and len(reach) else 1.0
            places = top_n(np.where(barred, -np.inf, scores + boosts * span), n)
            worth = worths((scores + boosts * span)[places], n_page)
        return places, worth

    def _diverse(
        self, places: NDArray[np.int64], worth: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return candidates, each worth less by what it says again of better ones.

        References
        ----------
        Carbonell, Goldstein, "The use of MMR, diversity-based reranking for reordering
        documents and producing summaries", SIGIR 1998; here against all better candidates.
        """
        similar, live_rows = self.model.live.similar, self.model.live.live_rows
        start, end = similar.start[live_rows[places]], similar.start[live_rows[places] + 1]
        size = end - start
        owner = np.repeat(np.arange(len(places)), size)
        at = np.arange(len(owner)) + np.repeat(start - (np.cumsum(size) - size), size)
        rank_of = np.full(len(live_rows), len(places))
        rank_of[places] = np.arange(len(places))
        other = rank_of[similar.column[at]]
        better = other < owner
        again = np.zeros(len(places))
        np.maximum.at(again, owner[better], similar.value[at[better]])
        worth = worth - self.model.config.diversity * again
        order = np.argsort(-worth, kind="stable")
        return places[order], worth[order]

    def explored(
        self,
        built: Built,
        reader: Reader | None,
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
        story, liked = self.model.story, built.lists[YOU_MAY_ALSO_LIKE]
        kept = built.lists | {YOU_MAY_ALSO_LIKE: liked[: max(len(liked) - n, 0)]}
        barred = _barred(YOU_MAY_ALSO_LIKE, built.closed, editorial)
        used = {int(story[slot.place]) for slots in kept.values() for slot in slots}
        scores = built.values[YOU_MAY_ALSO_LIKE]
        pool: list[int] = []
        for place in top_n(np.where(barred, -np.inf, scores), len(story)):
            if int(story[place]) not in used and len(pool) < POOL:
                used.add(int(story[place]))
                pool.append(int(place))
        n_drawn = min(len(liked) - len(kept[YOU_MAY_ALSO_LIKE]), len(pool))
        drawn = [pool[i] for i in rng.permutation(len(pool))[:n_drawn].tolist()]
        slots = [
            self._slot(
                reader, YOU_MAY_ALSO_LIKE, place, float(scores[place]), lead, editorial,
                pinned=False,
            )
            for place, lead in zip(drawn, self._lead(reader, built.parts, drawn), strict=True)
        ]  # fmt: skip
        page = kept | {YOU_MAY_ALSO_LIKE: kept[YOU_MAY_ALSO_LIKE] + slots}
        return page, dict.fromkeys(drawn, n_drawn / max(len(pool), 1))

    def _closed(
        self, reader: Reader | None, context: int | None, blocked: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Return which live places must not be on the page, nor any of their story."""
        story = self.model.story
        closed = np.zeros(len(story), dtype=bool)
        closed[story[blocked]] = True
        if reader is not None:
            closed[story[reader.read]] = True
        if context is not None:
            live = self.model.live
            here = live.live_place([context])
            column, value = live.similar.row(context)
            same = column[value >= self.model.config.story_similarity]
            closed[story[here[here >= 0]]] = True
            closed[story[same]] = True
        return closed[story]

    def _latest(self, context: int | None) -> NDArray[np.int64]:
        """Return the newest, those of the article's section first."""
        newest = self.model.newest
        section = 0 if context is None else self.model.live.category[context]
        if section == 0:
            return newest
        same = self._newest_section == section
        return np.concatenate((newest[same], newest[~same]))

    def _lead(self, reader: Reader | None, parts: Parts, places: list[int]) -> list[int]:
        """Return the part (place in `PARTS`) that most lifts each of some live places."""
        if not places:
            return []
        live, weights = self.model.live, self.model.live.weights
        found = {name: part[places] for name, part in parts.items()}
        if reader is not None and "als" not in parts:  # of a block, where nobody needs them all
            found["als"] = weights.als * (live.factors[places] @ reader.factors)
            section = live.category[live.live_rows[places]]
            found["affinity"] = weights.affinity * reader.affinity[section]
        centred = {name: part[places] for name, part in self._centred.items()}
        lead: list[int] = leading_parts(found | centred).tolist()
        return lead

    def _slot(
        self,
        reader: Reader | None,
        name: str,
        place: int,
        value: float,
        lead: int,
        editorial: Editorial,
        *,
        pinned: bool,
    ) -> Slot:
        code = CHOSEN
        if not pinned:
            code = reason_code(
                name,
                lead,
                has_category=self._has_section[place],
                rising=self._is_rising[place],
            )
        because = -1
        if code == "because_read" and reader is not None:
            because = closest_read(self.model.live, reader.reads, place)
        return Slot(place, round(value, 4), code, because, editorial.touched.get((name, place), ()))


def _barred(name: str, closed: NDArray[np.bool_], editorial: Editorial) -> NDArray[np.bool_]:
    """Return what a list must not show."""
    for key in (EVERY, name):
        if key in editorial.barred:
            closed = closed | editorial.barred[key]
    return closed


def _holding(
    pins: tuple[Pin, ...],
    n_slots: dict[str, int],
    story: NDArray[np.int64],
    closed: NDArray[np.bool_],
) -> list[Pin]:
    """Return the pins that hold: not read, not being read, the first of a story."""
    held: dict[int, Pin] = {}
    for pin in pins:
        if not closed[pin.place] and pin.slot < n_slots.get(pin.name, 0):
            held.setdefault(int(story[pin.place]), pin)
    return list(held.values())


def slot_parts(
    model: PageModel, parts: dict[str, NDArray[np.float32]], list_name: str, place: int
) -> dict[str, float]:
    """Return what a slot's score is made of, by name; zero parts are left out.

    Parameters
    ----------
    model
        The run.
    parts
        From `recsys.blend.score`, for the reader and article of the page.
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
