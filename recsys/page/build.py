"""Readers' pages out of scores: the lists composed, slots, reasons."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from recsys.blend import STATIC_PARTS, BlockScorer, Reader, personal_parts, total
from recsys.page.compose import (
    LATEST_STORIES,
    LISTS,
    MUST_READS,
    POPULAR_NOW,
    YOU_MAY_ALSO_LIKE,
    Composed,
    Pin,
    along,
    cells,
    compose,
)
from recsys.page.rankings import PageModel, Rankings, Scored, barred, top_n
from recsys.page.reasons import CHOSEN, CODES, closest_read, leading_parts, reason_codes
from recsys.page.rules import NO_RULES, Editorial

POOL = 20  # articles a slot that explores is drawn from
NOTHING = np.zeros(0, dtype=np.int64)
# A slot of a block: live place (-1 for an empty one), score in its list, place of the reason
# in `CODES`, and the known index of the read article a reason names, else -1.
SLOT = np.dtype([("place", "<i4"), ("score", "<f4"), ("code", "u1"), ("because", "<i4")])

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
Parts = dict[str, Floats]


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
class Pages:
    """A block of pages.

    Attributes
    ----------
    lists : dict of array of `SLOT`, shape (n_pages, n_slots)
        By list; what is empty is at its end.
    notes
        By page, by list: how it was filled against its own limits, or why it is short.
    composed
        The solution.
    """

    lists: dict[str, NDArray[np.void]]
    notes: list[dict[str, str]]
    composed: Composed


@dataclass(frozen=True, slots=True)
class Built:
    """A page, and what it was made from.

    Attributes
    ----------
    lists
        The slots of each list.
    parts
        Weighted parts of every live article's score on this page.
    scored
        What each list thinks of every live article, and which are closed; a block of one.
    pages
        The page as a block of one.
    """

    lists: dict[str, list[Slot]]
    parts: Parts
    scored: Scored
    pages: Pages

    @property
    def notes(self) -> dict[str, str]:
        """Return by list how it was filled against its own limits, or why it is short."""
        return self.pages.notes[0]


def slots_out_of(rows: NDArray[np.void]) -> list[Slot]:
    """Return the filled slots of one list of one page."""
    return [
        Slot(place, round(value, 4), CODES[code], because)
        for place, value, code, because in rows.tolist()
        if place >= 0
    ]


def pack_pages(pages: Pages) -> list[bytes | None]:
    """Return each page as bytes, `SLOT`s of all lists; None for one that has notes to tell."""
    rows = np.concatenate(list(pages.lists.values()), axis=1)
    return [None if notes else row.tobytes() for row, notes in zip(rows, pages.notes, strict=True)]


def unpack_page(packed: bytes, n_slots: dict[str, int]) -> dict[str, list[Slot]]:
    """Return a page of `pack_pages`, its slots by list."""
    lists = _by_list(np.frombuffer(packed, dtype=SLOT), n_slots)
    return {name: slots_out_of(rows) for name, rows in lists.items()}


def _by_list(slots: NDArray[np.void], n_slots: dict[str, int]) -> dict[str, NDArray[np.void]]:
    """Return the slots of all lists, end to end on the last axis, list by list."""
    ends = np.cumsum(list(n_slots.values()))
    return dict(zip(n_slots, np.split(slots, ends[:-1], axis=-1), strict=True))


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
        self._static = total(static, n_live)
        # Less their mean, static parts tell what sets an article apart; else
        # "popular" would be said of everything. One that counts against is no reason.
        self._centred = {
            name: part - part.mean() if getattr(live.weights, name) > 0 else part - np.inf
            for name, part in static.items()
            if len(part)
        }
        self._section = live.category[live.live_rows]
        self.rankings = Rankings(model)

    @cached_property
    def _scorer(self) -> BlockScorer:
        """Return the scorer of blocks; a server, which makes single pages, never pays for it."""
        return BlockScorer.of(self.model.live, self.model.n_categories)

    def page(
        self,
        reader: Reader | None,
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
        personal = personal_parts(self.model.live, reader, context)
        scores = total(personal, len(self.model.story)) + self._static
        parts = personal | self._static_parts
        readers = [] if reader is None else [reader]
        scored = self._scored(readers, context, blocked, scores[np.newaxis])
        of_block = {name: part[np.newaxis] for name, part in parts.items()}
        pages = self._pages(readers, scored, n_slots, editorial, of_block)
        lists = {
            name: [
                Slot(slot.place, slot.score, slot.code, slot.because, rules)
                if (rules := editorial.touched.get((name, slot.place), ()))
                else slot
                for slot in slots_out_of(rows[0])
            ]
            for name, rows in pages.lists.items()
        }
        return Built(lists, parts, scored, pages)

    def block(self, readers: Sequence[Reader], text: Floats, n_slots: dict[str, int]) -> Pages:
        """Return the pages of readers with no article before them, under no rules.

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
        scored = self._scored(readers, None, NOTHING, scores)
        return self._pages(readers, scored, n_slots, NO_RULES, {"text": text})

    def _scored(
        self, readers: Sequence[Reader], context: int | None, blocked: Ints, scores: Floats
    ) -> Scored:
        model = self.model
        must = np.broadcast_to(model.importance, scores.shape)
        if readers or context is not None:
            must = must + model.live.weights.must_reads_personal * (scores - self._static)
        values = {
            YOU_MAY_ALSO_LIKE: scores,
            MUST_READS: must,
            POPULAR_NOW: np.broadcast_to(model.rise, scores.shape),
            LATEST_STORIES: np.broadcast_to(self._static_parts["recency"], scores.shape),
        }
        return Scored(values, self._closed(readers, context, blocked, scores.shape), context)

    def _pages(
        self,
        readers: Sequence[Reader],
        scored: Scored,
        n_slots: dict[str, int],
        editorial: Editorial,
        parts: Parts,
    ) -> Pages:
        composed, notes, pins = self._composed(scored, n_slots, editorial)
        slots = self._slots(composed.lists, readers, scored, parts)
        lists = _by_list(slots, {name: p.shape[1] for name, p in composed.lists.items()})
        for pin in pins:
            lists[pin.name]["code"][:, pin.slot] = CODES.index(CHOSEN)
            lists[pin.name]["because"][:, pin.slot] = -1
        return Pages(lists, notes, composed)

    def _composed(
        self, scored: Scored, n_slots: dict[str, int], editorial: Editorial
    ) -> tuple[Composed, list[dict[str, str]], list[Pin]]:
        """Return the pages, what they have to say of themselves, and the pins that hold."""
        story, own = self.model.story, self.rankings.caps
        n_pages, n_live = scored.closed.shape
        # A page under rules is made alone, so all pages of a block have the same pins: none.
        pins = _holding(editorial.pins, n_slots, story, scored.closed[:1])
        pages = np.arange(n_pages)
        notes: list[dict[str, str]] = [{} for _ in range(n_pages)]
        found: Composed | None = None
        # Wider only for the rare page that comes out short: candidates, then our own caps.
        for reach, caps in ((None, own), (n_live, own), (n_live, ())):
            limits = (*caps, *editorial.caps)
            rest = scored if found is None else scored.of(pages)
            wishes = self.rankings.wishes(rest, n_slots, editorial, limits, reach)
            composed = compose(wishes, story, limits, pins)
            if found is None:
                found = composed
            else:
                for name, places in composed.lists.items():
                    found.lists[name][pages] = places
                found.value[pages], found.bound[pages] = composed.value, composed.bound
            if not caps:
                for page in pages.tolist():
                    notes[page][MUST_READS] = "too few sections left: more of one than usual"
            short = np.any([(places < 0).any(axis=1) for places in composed.lists.values()], axis=0)
            pages = pages[short]
            if not len(pages):
                break
        assert found is not None
        for page in pages.tolist():
            for name, places in found.lists.items():
                filled, n = int((places[page] >= 0).sum()), n_slots[name]
                if filled < n:
                    notes[page][name] = (
                        f"{filled} of {n} slots, no candidates left: of {n_live} live articles"
                        f" {int(scored.closed[page].sum())} are read, over, or of the story"
                        " being read"
                    )
        return found, notes, pins

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
        readers = [] if reader is None else [reader]
        parts = {part: values[np.newaxis] for part, values in built.parts.items()}
        places = np.array(drawn, dtype=np.int64)[np.newaxis]
        slots = slots_out_of(self._slots({name: places}, readers, built.scored, parts)[0])
        return kept | {name: kept[name] + slots}, dict.fromkeys(drawn, n_drawn / max(len(pool), 1))

    def _closed(
        self,
        readers: Sequence[Reader],
        context: int | None,
        blocked: Ints,
        shape: tuple[int, ...],
    ) -> NDArray[np.bool_]:
        """Return which live places must not be on the pages, nor any of their story."""
        story = self.model.story
        closed = np.zeros(shape, dtype=bool)
        closed[:, story[blocked]] = True
        for page, reader in enumerate(readers):
            closed[page, story[reader.read]] = True
        if context is not None:
            live = self.model.live
            here = live.live_place([context])
            column, value = live.similar.row(context)
            same = column[value >= self.model.config.story_similarity]
            closed[:, story[here[here >= 0]]] = True
            closed[:, story[same]] = True
        result: NDArray[np.bool_] = closed[:, story]
        return result

    def _lead(self, readers: Sequence[Reader], parts: Parts, places: Ints) -> Ints:
        """Return the part (place in `PARTS`) that most lifts each of some live places."""
        live, weights = self.model.live, self.model.live.weights
        found = {name: along(part, places) for name, part in parts.items()}
        if readers and "als" not in parts:  # of a block, where nobody needs them all
            factors = np.stack([reader.factors for reader in readers])
            affinity = np.stack([reader.affinity for reader in readers])
            found["als"] = weights.als * np.einsum("psf,pf->ps", live.factors[places], factors)
            section = self._section[places]
            found["affinity"] = weights.affinity * along(affinity, section)
        return leading_parts(found | {name: part[places] for name, part in self._centred.items()})

    def _slots(
        self, lists: dict[str, Ints], readers: Sequence[Reader], scored: Scored, parts: Parts
    ) -> NDArray[np.void]:
        """Return the slots of all lists, with their scores and reasons; -1 is an empty place."""
        places = np.concatenate(list(lists.values()), axis=1)
        slots = np.zeros(places.shape, dtype=SLOT)
        slots["place"], slots["because"] = places, -1
        if not len(self.model.story):
            return slots
        there, lead = np.maximum(places, 0), np.zeros_like(places)
        list_of = np.repeat(
            [LISTS.index(name) for name in lists], [p.shape[1] for p in lists.values()]
        )
        for name in lists:
            mine = list_of == LISTS.index(name)
            slots["score"][:, mine] = along(scored.values[name], there[:, mine])
            if name == YOU_MAY_ALSO_LIKE:
                lead[:, mine] = self._lead(readers, parts, there[:, mine])
        slots["score"] = slots["score"].round(4)
        slots["code"] = reason_codes(
            list_of, lead, self._section[there] > 0, self.model.rise[there] > 0
        )
        if readers:
            named = (slots["code"] == CODES.index("because_read")) & (places >= 0)
            for page, slot in zip(*(at.tolist() for at in cells(named)), strict=True):
                place = int(places[page, slot])
                slots["because"][page, slot] = closest_read(
                    self.model.live, readers[page].reads, place
                )
        return slots


def _holding(
    pins: tuple[Pin, ...],
    n_slots: dict[str, int],
    story: NDArray[np.int64],
    closed: NDArray[np.bool_],
) -> list[Pin]:
    """Return the pins that hold: not read, not being read, the first of a story."""
    held: dict[int, Pin] = {}
    for pin in pins:
        if not closed[0, pin.place] and pin.slot < n_slots.get(pin.name, 0):
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
