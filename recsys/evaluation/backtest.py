"""Back-tests: the functions of the night with an earlier `as_of`, against what came next.

Two tasks, and neither stands for the other: a ranker that wins on what an editor had
already chosen can be worthless at choosing from all live articles.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import block_diag, csr_matrix

from recsys.blend.curves import POPULARITY_HOURS, curve_parts
from recsys.blend.linear import score, total_score
from recsys.blend.live_model import PARTS, LiveModel, UserState
from recsys.config import BlendConfig
from recsys.evaluation import propensity
from recsys.evaluation.turn_taking import greedy
from recsys.learn.examples import CHOICE_HOURS, Past, Seen, TrainedWindow, seen_after
from recsys.learn.heads import (
    HeadReport,
    Heads,
    fit_ranking_head,
    joined,
    learn,
    linear_score,
    mean_auc,
)
from recsys.learn.live_choices import later_clicks, live_choices
from recsys.learn.regimes import DAY_MS, Protocol, night_of
from recsys.page.build import Built, PageBuilder
from recsys.page.compose import MUST_READS, POPULAR_NOW, YOU_MAY_ALSO_LIKE, slots_of
from recsys.page.rankings import top_n
from recsys.rows import HOUR_MS, iso
from recsys.sorted_ints import make_pair

Floats = NDArray[np.float64]

# Baselines in view, each one feature of a candidate.
FEATURE_OF = {
    "ctr": "click_rate_24h",
    "text": "text",
    "als": "als",
    "item-item": "context_item_item",
}
# Baselines of the full list, each some parts of the linear score.
PARTS_OF = {
    "popularity": ("popularity",),
    "ctr": ("ctr",),
    "recency": ("recency",),
    "text": ("text",),
    "collaborative": ("als", "context_item_item"),
    "hand weights": PARTS,
}
SYSTEMS = (
    "random",
    "popularity",
    "ctr",
    "recency",
    "text",
    "als",
    "item-item",
    "collaborative",
    "hand weights",
    "blend",
)
# What an ablation leaves out, by the beginnings of feature names.
GROUPS = {
    "popularity": ("popularity_",),
    "click rate and views": ("click_rate_", "views_"),
    "age": ("age", "seen_age", "unseen"),
    "shown and read": ("shown_", "read_", "itself"),
    "taste in text and section": ("text", "recent_text", "affinity"),
    "ALS": ("als",),
    "the article being read": ("context_", "age_distance"),
    "places within the choice": ("place_",),
}
# Ways to fill a page: ours; each list in turn its best; each list as if it were alone.
PAGES = ("assignment", "by turns", "four lists")
# What a list is for, and so what an article in it was worth: clicks on it in the hour that
# followed, and reading time (in full reads) of those who clicked it in the day that followed.
GAINS = {POPULAR_NOW: 1, MUST_READS: 24}
PURPOSE = {
    POPULAR_NOW: "clicks in the next hour",
    MUST_READS: "reading time of the next day",
}
LIST_SYSTEMS = ("random", *PARTS_OF, "blend", "page")
NOON_HOURS = 12
LONGEST = 10


@dataclass(frozen=True, slots=True)
class InView:
    """Past impressions, each candidate scored by each system.

    Attributes
    ----------
    start, clicked
        As `recsys.metrics.judge` wants them.
    user_key, n_reads, shown_ms : array of int64, shape (n_impressions,)
        The reader, how many reads the model knew of them, and when it was shown.
    section : array of str, shape (n_impressions,)
        Of the (first) article clicked, "" for none.
    unseen : array of bool, shape (n_impressions,)
        Whether that article was cold: never shown or clicked before.
    weight : array of float64, shape (n_candidates,)
        What each counts by its chance of having been shown and looked at; all 1 where the
        log tells neither.
    parts
        What each feature adds to the blend's score, shape (n_candidates,).
    scores
        By system, shape (n_candidates,).
    popularity
        The feature whose half-life did best on this very test.
    heads
        How the blend was learned, by night.
    """

    start: NDArray[np.int64]
    clicked: NDArray[np.bool_]
    user_key: NDArray[np.int64]
    n_reads: NDArray[np.int64]
    shown_ms: NDArray[np.int64]
    section: NDArray[np.str_]
    unseen: NDArray[np.bool_]
    weight: Floats
    parts: dict[str, Floats]
    scores: dict[str, Floats]
    popularity: str
    heads: dict[str, dict[str, HeadReport]]


@dataclass(frozen=True, slots=True)
class EvaluatedNight:
    """A night of the test: its model, what it had learned, and the span it was served."""

    last: TrainedWindow
    heads: Heads
    from_ms: int
    before_ms: int


def nights(
    past: Past, regimes: Sequence[Protocol], *, from_ms: int, before_ms: int
) -> list[EvaluatedNight]:
    """Return the nights whose models were served in a time span, each having learned.

    Parameters
    ----------
    past, regimes
        What is read, and for which regimes curves are learned.
    from_ms, before_ms
        The span.
    """
    first = int(night_of(np.array([from_ms]))[0])
    served = []
    for night_ms in range(first, before_ms, DAY_MS):
        heads = learn(past, night_ms, regimes)
        begin, end = max(night_ms, from_ms), min(night_ms + DAY_MS, before_ms)
        served.append(EvaluatedNight(past.window(night_ms, night_ms + DAY_MS), heads, begin, end))
    return served


def without_features(
    past: Past, served: Sequence[EvaluatedNight], regime: Protocol, names: Sequence[str]
) -> list[EvaluatedNight]:
    """Return nights whose curves of a regime were learned without some features."""
    found = []
    for night in served:
        curves, report = fit_ranking_head(past, night.last.window.as_of_ms, regime, names)
        heads = Heads(night.heads.weights, {regime: curves}, {f"ranking, {regime}": report})
        found.append(dataclasses.replace(night, heads=heads))
    return found


def seen_of(
    past: Past, served: Sequence[EvaluatedNight], regimes: Sequence[Protocol]
) -> dict[Protocol, list[tuple[int, Seen]]]:
    """Return, by regime, the impressions of some nights' days, each with its night's place.

    Features are of the night itself, or of the refresh of the impression's hour.
    """
    found: dict[Protocol, list[tuple[int, Seen]]] = {regime: [] for regime in regimes}
    for i, night in enumerate(served):
        if "nightly" in found:
            span = {"from_ms": night.from_ms, "before_ms": night.before_ms}
            found["nightly"].append((i, seen_after(past, night.last, "nightly", **span)))
        later = [regime for regime in regimes if regime != "nightly"]
        first = night.from_ms // HOUR_MS * HOUR_MS + HOUR_MS
        cuts = [night.from_ms, *range(first, night.before_ms, HOUR_MS), night.before_ms]
        for begin, end in pairwise(cuts if later else ()):
            hour = max(begin // HOUR_MS * HOUR_MS, night.last.window.as_of_ms)
            at = past.refreshed(night.last, hour, end)
            for regime in later:
                part = seen_after(past, at, regime, from_ms=begin, before_ms=end)
                found[regime].append((i, part))
    return found


def in_view(
    seen: Sequence[tuple[int, Seen]],
    served: Sequence[EvaluatedNight],
    protocol: Protocol,
    *,
    chance: Floats,
    random_state: int = 42,
) -> InView:
    """Return impressions, scored as they would have been then.

    The blend is the head that orders given articles, as a server's `Recommender.rank`.

    Parameters
    ----------
    seen, served
        From `seen_of` and `nights`.
    protocol
        What was known when.
    chance
        That a place is looked at, from `propensity.position_propensities` of the time before.
    random_state
        Of the random system.
    """
    scored = [_scored(part, served[i].heads, protocol) for i, part in seen]
    choices = joined([part.choices for _, part in seen], ())
    scores = _stacked([scores for scores, _ in scored])
    scores["random"] = np.random.default_rng(random_state).random(len(choices.chosen))
    # The half-life that turns out best on this very test: a generous baseline.
    trials = {name: scores.pop(name) for name in list(scores) if name.startswith("popularity_")}
    best = max(trials, key=lambda name: mean_auc(trials[name], choices), default="")
    scores["popularity"] = trials[best] if best else scores["random"]
    return InView(
        start=choices.start,
        clicked=choices.chosen,
        user_key=np.concatenate([part.user_key for _, part in seen]),
        n_reads=np.concatenate([part.n_reads for _, part in seen]),
        shown_ms=np.concatenate([part.shown_ms for _, part in seen]),
        section=np.concatenate([part.section for _, part in seen]),
        unseen=np.concatenate([part.unseen for _, part in seen]),
        weight=np.concatenate(
            [
                propensity.weights(part.place, part.choices.chosen, part.propensity, chance)
                for _, part in seen
            ]
        ),
        parts=_stacked([parts for _, parts in scored]),
        scores={name: scores[name] for name in SYSTEMS},
        popularity=best,
        heads={iso(night.last.window.as_of_ms): night.heads.reports for night in served},
    )


def _scored(
    part: Seen, heads: Heads, protocol: Protocol
) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Return candidates' scores by system, and what each feature adds to the blend's."""
    features, signals = part.choices.features, part.signals
    curves = heads.curves[protocol]
    linear = {name: getattr(heads.weights, name) * signals[name] for name in PARTS}
    parts = curve_parts(curves, features) if curves else linear
    trials = (f"popularity_{hours:g}h" for hours in POPULARITY_HOURS)
    scores = {name: features[name] for name in trials}
    scores |= {name: features[feature] for name, feature in FEATURE_OF.items()}
    scores["recency"] = -features["age"]
    scores["collaborative"] = linear["als"] + linear["context_item_item"]
    scores["hand weights"] = linear_score(signals, BlendConfig())
    scores["blend"] = np.sum(list(parts.values()), axis=0)
    return scores, parts


def _stacked(pieces: Sequence[Mapping[str, Floats]]) -> dict[str, Floats]:
    """Return arrays by name, those of all pieces end to end, 0 where a piece has none."""
    names = list(dict.fromkeys(name for piece in pieces for name in piece))
    length = [len(next(iter(piece.values()), ())) for piece in pieces]
    return {
        name: np.concatenate(
            [piece.get(name, np.zeros(n)) for piece, n in zip(pieces, length, strict=True)]
        )
        for name in names
    }


@dataclass(frozen=True, slots=True)
class FullList:
    """Lists made at some noons from all live articles, and what readers clicked next.

    Attributes
    ----------
    lists
        By system, shape (n_lists, 10): places over all noons, -1 for no entry.
    relevant
        Places each reader clicked in the following hours.
    user_key, n_reads : array of int64, shape (n_lists,)
        The reader, and how many reads the model knew of them.
    noon : array of int64, shape (n_lists,)
        Which noon each list was made at.
    first_place : array of int64, shape (n_noons + 1,)
        Noon i has places `first_place[i]:first_place[i + 1]`.
    pages
        By way of composing (`PAGES`), the lists of each reader's page by name, as places.
    gains
        By list with a purpose of its own (`GAINS`), what showing each article was worth
        to it, shape (n_live,).
    share : array of float64, shape (n_live,)
        Share of a noon's readers who had read each article; smoothed, never 0.
    story : array of int64, shape (n_live,)
        Story of each live article.
    unseen : array of bool, shape (n_live,)
        Articles nobody had clicked by that noon.
    vectors : csr_matrix, shape (n_live, n_terms)
        Text of each; terms of different noons do not match.
    """

    lists: dict[str, NDArray[np.int64]]
    relevant: list[set[int]]
    user_key: NDArray[np.int64]
    n_reads: NDArray[np.int64]
    noon: NDArray[np.int64]
    first_place: NDArray[np.int64]
    pages: dict[str, list[dict[str, list[int]]]]
    gains: dict[str, Floats]
    share: Floats
    story: NDArray[np.int64]
    unseen: NDArray[np.bool_]
    vectors: csr_matrix


def noons(from_ms: int, before_ms: int) -> Iterator[int]:
    """Yield the noons (UTC) of a time span that have their hours after them in it."""
    first = -(-(from_ms - NOON_HOURS * HOUR_MS) // DAY_MS) * DAY_MS + NOON_HOURS * HOUR_MS
    yield from range(first, before_ms - CHOICE_HOURS * HOUR_MS + 1, DAY_MS)


def full_list(past: Past, served: list[EvaluatedNight], *, random_state: int = 42) -> FullList:
    """Return lists from all live articles, of every reader who then clicked one.

    A hit is a click within 12 hours after noon on an article that was live at noon
    and that the reader had not read. The blend is the head that finds articles; `page`
    is You May Also Like as composed with the other lists, from a refresh of that noon.
    """
    rng = np.random.default_rng(random_state)
    n_slots = slots_of(past.config.page.n, past.config.page.n_latest)
    longer = n_slots | {YOU_MAY_ALSO_LIKE: LONGEST}
    lists: dict[str, list[NDArray[np.int64]]] = {name: [] for name in LIST_SYSTEMS}
    relevant: list[set[int]] = []
    readers: list[tuple[int, int]] = []
    pages: dict[str, list[dict[str, list[int]]]] = {name: [] for name in PAGES}
    gains: dict[str, list[Floats]] = {name: [np.zeros(0)] for name in GAINS}
    noon_of: list[int] = []
    first_place = [0]
    about: list[tuple[Floats, NDArray[np.int64], NDArray[np.bool_], csr_matrix]] = []
    offset = 0
    before_ms = max((night.before_ms for night in served), default=0)
    for night in served:
        for noon in noons(night.from_ms, before_ms):
            if noon >= night.before_ms:
                continue
            at = past.refreshed(night.last, noon, noon)
            model = at.model.page
            learned = dataclasses.replace(model.live, weights=night.heads.weights)
            builder = PageBuilder(dataclasses.replace(model, live=learned))
            for choice in live_choices(past, at, before_ms=before_ms):
                relevant.append({offset + place for place in choice.clicked})
                readers.append((choice.user_key, choice.n_reads))
                for name, found in _rankings(at, learned, choice.reader, rng).items():
                    lists[name].append(_padded(found, offset))
                page = builder.page(choice.reader, None, longer).lists
                liked = np.array([slot.place for slot in page[YOU_MAY_ALSO_LIKE]], dtype=np.int64)
                lists["page"].append(_padded(liked, offset))
                noon_of.append(len(about))
                built = builder.page(choice.reader, None, n_slots)
                for name, lists_of in by_each_way(builder, built, n_slots).items():
                    moved = {key: [offset + p for p in found] for key, found in lists_of.items()}
                    pages[name].append(moved)
            about.append(_about(at, offset))
            for name, values in _gains(past, at, before_ms).items():
                gains[name].append(values)
            offset += len(learned.live_rows)
            first_place.append(offset)
    empty = np.zeros((0, LONGEST), dtype=np.int64)
    return FullList(
        lists={name: np.array(found) if found else empty for name, found in lists.items()},
        relevant=relevant,
        user_key=np.array([key for key, _ in readers], dtype=np.int64),
        n_reads=np.array([n for _, n in readers], dtype=np.int64),
        noon=np.array(noon_of, dtype=np.int64),
        first_place=np.array(first_place, dtype=np.int64),
        pages=pages,
        gains={name: np.concatenate(values) for name, values in gains.items()},
        share=np.concatenate([np.zeros(0), *(part[0] for part in about)]),
        story=np.concatenate([np.zeros(0, np.int64), *(part[1] for part in about)]),
        unseen=np.concatenate([np.zeros(0, bool), *(part[2] for part in about)]),
        vectors=_blocks([part[3] for part in about]),
    )


def by_each_way(
    builder: PageBuilder, built: Built, n_slots: dict[str, int]
) -> dict[str, dict[str, list[int]]]:
    """Return a page by each way of composing (`PAGES`), as live places by list."""
    orders = {name: builder.rankings.alone(name, built.scored) for name in n_slots}
    shut = built.scored.closed[0]
    free = {name: order[~shut[order]].tolist() for name, order in orders.items()}
    closed = np.flatnonzero(shut)
    return {
        "assignment": {name: [s.place for s in slots] for name, slots in built.lists.items()},
        "by turns": greedy(free, n_slots, builder.model.story, closed),
        "four lists": {name: free[name][:n] for name, n in n_slots.items()},
    }


def _gains(past: Past, at: TrainedWindow, before_ms: int) -> dict[str, Floats]:
    """Return what each live article turned out to be worth to the lists of `GAINS`."""
    n_live = len(at.model.page.live.live_rows)
    found = {}
    for name, hours in GAINS.items():
        until_ms = min(at.window.as_of_ms + hours * HOUR_MS, before_ms)
        later, place = later_clicks(past, at, until_ms)
        pair = make_pair(later.user_key, later.article_key)
        counted = np.unique(pair, return_index=True)[1]  # one click a reader
        full = past.config.collaborative.full_dwell_seconds
        read = np.minimum(later.dwell_seconds[counted] / full, 1.0)
        worth = np.ones(len(counted)) if name == POPULAR_NOW else np.nan_to_num(read, nan=0.5)
        gain = np.bincount(place[counted], weights=worth, minlength=n_live)
        found[name] = gain.astype(np.float64)  # of no clicks numpy makes integers
    return found


def _about(
    at: TrainedWindow, offset: int
) -> tuple[Floats, NDArray[np.int64], NDArray[np.bool_], csr_matrix]:
    """Return of the live articles: share of readers, story, coldness, and text vectors."""
    live, rank = at.model.page.live, at.model.rank
    n_users = np.bincount(at.window.article_index, minlength=len(at.window.articles.id_map))
    read = n_users[live.live_rows]
    terms = rank.vectors
    used, column = np.unique(terms.column, return_inverse=True)  # of millions, those in use
    shape = (len(at.window.articles.id_map), max(len(used), 1))
    vectors = csr_matrix((terms.value, column, terms.start), shape=shape)
    share = (read + 1.0) / (len(at.window.users) + 1.0)
    return np.minimum(share, 1.0), offset + at.model.page.story, read == 0, vectors[live.live_rows]


def _blocks(vectors: list[csr_matrix]) -> csr_matrix:
    """Return vectors of all noons, one below the other, columns side by side."""
    if not vectors:
        return csr_matrix((0, 1))
    return block_diag(vectors, format="csr")


def _rankings(
    at: TrainedWindow, learned: LiveModel, reader: UserState | None, rng: np.random.Generator
) -> dict[str, NDArray[np.int64]]:
    live = at.model.page.live
    parts, n_live = score(live, reader, None), len(live.live_rows)
    scores = {
        name: total_score({part: parts[part] for part in used if part in parts}, n_live)
        for name, used in PARTS_OF.items()
    }
    scores["blend"] = total_score(score(learned, reader, None), n_live)
    scores["random"] = rng.random(n_live).astype(np.float32)
    for values in scores.values():
        if reader is not None:
            values[reader.read] = -np.inf
    return {name: top_n(values, LONGEST) for name, values in scores.items()}


def _padded(places: NDArray[np.int64], offset: int) -> NDArray[np.int64]:
    row = np.full(LONGEST, -1, dtype=np.int64)
    row[: len(places)] = places + offset
    return row


def features_of_group(group: str, names: Sequence[str]) -> list[str]:
    """Return the features of a group of `GROUPS`, their places within the choice too."""
    starts = GROUPS[group]
    return [
        name
        for name in names
        if name.startswith(starts) or name.removeprefix("place_").startswith(starts)
    ]
