"""One reader's page out of scores: rankings of the four lists, slots, reasons."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.blend import STATIC_PARTS, BlockScorer, LiveModel, Reader, score, total
from recsys.page.compose import (
    LATEST_STORIES,
    MUST_READS,
    POPULAR_NOW,
    YOU_MAY_ALSO_LIKE,
    compose,
    compose_block,
    top_n,
)
from recsys.page.reasons import leading_parts, reason_code

SPARE = 43  # candidates beyond the page's own slots: stories and other lists take some
POOL = 20  # articles a slot that explores is drawn from
SHARED = 256  # candidates of the lists that are the same for everyone
NOTHING = np.zeros(0, dtype=np.int64)


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
    story_similarity
        Cosine from which an article tells the story of the one being read.
    """

    live: LiveModel
    story: NDArray[np.int64]
    importance: NDArray[np.float32]
    rise: NDArray[np.float32]
    newest: NDArray[np.int64]
    n_categories: int
    story_similarity: float


@dataclass(frozen=True, slots=True)
class Slot:
    """One filled slot: a live place, its score in its list, the reason's code.

    `because` is the known index of the read article a reason names, else -1.
    """

    place: int
    score: float
    code: str
    because: int


@dataclass(frozen=True, slots=True)
class Built:
    """A page, and the weighted parts of every live article's score on it."""

    lists: dict[str, list[Slot]]
    parts: dict[str, NDArray[np.float32]]


class PageBuilder:
    """Makes pages of one run; what is the same for all readers is worked out once.

    `page` makes one page; `block` the pages of many readers with no article before
    them, and gives what `page` would give each of them.
    """

    def __init__(self, model: PageModel) -> None:
        self.model = model
        live = model.live
        self._shared = {
            MUST_READS: top_n(model.importance, len(model.story)),
            POPULAR_NOW: top_n(model.rise, len(model.story)),
            LATEST_STORIES: model.newest,
        }
        static = live.static_parts()
        self._static = total(static, len(live.live_rows))
        self._newness = static["recency"]
        # Less their mean, static parts tell what sets an article apart; else
        # "popular" would be said of everything. One that counts against is no reason.
        self._centred = {
            name: part - part.mean() if getattr(live.weights, name) > 0 else part - np.inf
            for name, part in static.items()
            if len(part)
        }
        self._newest_category = live.category[live.live_rows[model.newest]]

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
        """
        model, live = self.model, self.model.live
        parts = score(live, reader, context)
        scores = total(parts, len(live.live_rows))
        away = self._away(reader, context, blocked)
        used = np.zeros(len(model.story), dtype=bool)
        used[model.story[away]] = True
        open_scores = np.where(used[model.story], -np.inf, scores)
        personal = scores - self._static
        must = model.importance + live.weights.must_reads_personal * personal
        # Best candidates first; all of them for the rare reader who has read so much of
        # the best that a list comes out short.
        n_live = len(model.story)
        for liked, reach in ((sum(n_slots.values()) + SPARE, SHARED), (n_live, n_live)):
            candidates = np.sort(self._shared[MUST_READS][:reach])
            rankings = {
                YOU_MAY_ALSO_LIKE: top_n(open_scores, liked),
                MUST_READS: candidates[np.argsort(-must[candidates], kind="stable")],
                POPULAR_NOW: self._shared[POPULAR_NOW][:reach],
                LATEST_STORIES: self._latest(context)[:reach],
            }
            chosen = compose(
                {name: ranking.tolist() for name, ranking in rankings.items()},
                n_slots, model.story, away,
            )  # fmt: skip
            if all(len(places) == n_slots[name] for name, places in chosen.items()):
                break
        places = np.array(chosen.get(YOU_MAY_ALSO_LIKE, ()), dtype=np.int64)
        lead = iter(self._lead({name: part[places] for name, part in parts.items()}, places))
        page: dict[str, list[Slot]] = {}
        for name, found in chosen.items():
            values: Any = {
                YOU_MAY_ALSO_LIKE: scores,
                MUST_READS: must,
                POPULAR_NOW: model.rise,
                LATEST_STORIES: self._newness,
            }[name]
            page[name] = [
                _slot(
                    model, reader, name, place, float(values[place]),
                    next(lead) if name == YOU_MAY_ALSO_LIKE else 0,
                )
                for place in found
            ]  # fmt: skip
        return Built(page, parts)

    def explored(
        self,
        built: Built,
        reader: Reader | None,
        context: int | None,
        blocked: NDArray[np.int64],
        n: int,
        rng: np.random.Generator,
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
        used = set(story[self._away(reader, context, blocked)].tolist())
        used |= {int(story[slot.place]) for slots in kept.values() for slot in slots}
        scores = total(built.parts, len(story))
        pool: list[int] = []
        for place in top_n(np.where(np.isin(story, list(used)), -np.inf, scores), len(story)):
            if int(story[place]) not in used and len(pool) < POOL:
                used.add(int(story[place]))
                pool.append(int(place))
        n_drawn = min(len(liked) - len(kept[YOU_MAY_ALSO_LIKE]), len(pool))
        drawn = np.array(pool, dtype=np.int64)[rng.permutation(len(pool))[:n_drawn]]
        lead = self._lead({name: part[drawn] for name, part in built.parts.items()}, drawn)
        slots = [
            _slot(self.model, reader, YOU_MAY_ALSO_LIKE, place, float(scores[place]), part)
            for place, part in zip(drawn.tolist(), lead, strict=True)
        ]
        page = kept | {YOU_MAY_ALSO_LIKE: kept[YOU_MAY_ALSO_LIKE] + slots}
        return page, dict.fromkeys(drawn.tolist(), n_drawn / max(len(pool), 1))

    def _away(
        self, reader: Reader | None, context: int | None, blocked: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Return the live places that must not be on the page."""
        away = [blocked]
        if reader is not None:
            away.append(reader.read)
        if context is not None:
            live = self.model.live
            here = live.live_place([context])
            column, value = live.similar.row(context)
            away += [here[here >= 0], column[value >= self.model.story_similarity].astype(np.int64)]
        return np.concatenate(away)

    def _latest(self, context: int | None) -> NDArray[np.int64]:
        """Return the newest, those of the article's section first."""
        category = 0 if context is None else self.model.live.category[context]
        if category == 0:
            return self._shared[LATEST_STORIES]
        same = self._newest_category == category
        newest = self.model.newest
        return np.concatenate((newest[same], newest[~same]))

    def block(
        self, readers: list[Reader], text: NDArray[np.float32], n_slots: dict[str, int]
    ) -> list[dict[str, list[Slot]]]:
        """Return the pages of readers with no article before them.

        Parameters
        ----------
        readers
            A block of readers.
        text : array of float32, shape (n_block, n_live)
            Weighted similarity to their recent reads.
        n_slots
            Slots of each list.
        """
        model, n_block = self.model, len(readers)
        factors = np.stack([reader.factors for reader in readers])
        affinity = np.stack([reader.affinity for reader in readers])
        personal = self._scorer.personal(factors, affinity, text)
        scores = personal + self._static
        rows = np.repeat(np.arange(n_block), [len(reader.read) for reader in readers])
        used = np.zeros((n_block, len(model.story)), dtype=bool)
        used[rows, model.story[np.concatenate([reader.read for reader in readers])]] = True
        candidates = np.sort(self._shared[MUST_READS][:SHARED])
        must = (
            model.importance[candidates]
            + model.live.weights.must_reads_personal * personal[:, candidates]
        )
        n_candidates = min(sum(n_slots.values()) + SPARE, len(model.story))
        liked = np.full((n_block, n_candidates), -1, dtype=np.int64)
        scores_open = np.where(used[:, model.story], -np.inf, scores)
        for row in range(n_block):
            best = top_n(scores_open[row], n_candidates)
            liked[row, : len(best)] = best
        rankings = {
            YOU_MAY_ALSO_LIKE: liked,
            MUST_READS: candidates[np.argsort(-must, axis=1, kind="stable")],
            POPULAR_NOW: self._shared[POPULAR_NOW][np.newaxis, :SHARED],
            LATEST_STORIES: self._shared[LATEST_STORIES][np.newaxis, :SHARED],
        }
        chosen = compose_block(rankings, n_slots, model.story, used)
        pages = self._block_slots(readers, factors, affinity, chosen, scores, personal, text)
        short = np.any([(places < 0).any(axis=1) for places in chosen.values()], axis=0)
        for row in np.flatnonzero(short).tolist():
            pages[row] = self.page(readers[row], None, n_slots).lists
        return pages

    def _lead(self, parts: dict[str, NDArray[np.float32]], places: NDArray[np.int64]) -> list[Any]:
        """Return the part (place in `PARTS`) that most lifts each of some live places."""
        centred = {name: part[places] for name, part in self._centred.items()}
        lead: list[Any] = leading_parts(parts | centred).tolist()
        return lead

    def _block_slots(
        self,
        readers: list[Reader],
        factors: NDArray[np.float32],
        affinity: NDArray[np.float32],
        chosen: dict[str, NDArray[np.int64]],
        scores: NDArray[np.float32],
        personal: NDArray[np.float32],
        text: NDArray[np.float32],
    ) -> list[dict[str, list[Slot]]]:
        model, live = self.model, self.model.live
        weights = live.weights
        places = chosen.get(YOU_MAY_ALSO_LIKE, np.zeros((len(readers), 0), dtype=np.int64))
        rows = np.arange(len(readers))[:, np.newaxis]
        lead_parts = {
            "text": text[rows, places],
            "als": weights.als * np.einsum("bf,bsf->bs", factors, live.factors[places]),
            "affinity": weights.affinity * affinity[rows, live.category[live.live_rows[places]]],
        }
        lead = self._lead(lead_parts, places)
        pages: list[dict[str, list[Slot]]] = []
        for row, reader in enumerate(readers):
            page: dict[str, list[Slot]] = {}
            for name, found in chosen.items():
                slots = []
                for rank, place in enumerate(found[row].tolist()):
                    if place < 0:
                        continue
                    value, part = self._newness[place], 0
                    if name == YOU_MAY_ALSO_LIKE:
                        value, part = scores[row, place], lead[row][rank]
                    elif name == POPULAR_NOW:
                        value = model.rise[place]
                    elif name == MUST_READS:
                        value = model.importance[place]
                        value = value + weights.must_reads_personal * personal[row, place]
                    slots.append(_slot(model, reader, name, place, float(value), part))
                page[name] = slots
            pages.append(page)
        return pages


def _slot(
    model: PageModel, reader: Reader | None, name: str, place: int, value: float, lead: int
) -> Slot:
    known = model.live.live_rows[place]
    code = reason_code(
        name,
        lead,
        has_category=bool(model.live.category[known] > 0),
        rising=bool(model.rise[place] > 0),
    )
    because = -1
    if code == "because_read" and reader is not None:
        because = _closest_read(model.live, reader.reads, place)
    return Slot(place, round(value, 4), code, because)


def _closest_read(live: LiveModel, reads: NDArray[np.int64], place: int) -> int:
    """Return the recent read (known index) that adds most to a place's text part."""
    best, best_value = -1, 0.0
    decay = 1.0
    for known in reads[: live.weights.recent_reads].tolist():
        column, value = live.similar.row(known)
        found = np.flatnonzero(column == place)
        if len(found) and decay * value[found[0]] > best_value:
            best, best_value = known, float(decay * value[found[0]])
        decay *= live.weights.recent_decay
    return best


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
