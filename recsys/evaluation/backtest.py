"""Back-tests: the functions of the night with an earlier `as_of`, against what came next.

Two tasks, and neither stands for the other: a ranker that wins on what an editor had
already chosen can be worthless at choosing from all live articles.
"""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.blend import PARTS, STATIC_PARTS, LiveModel, Reader, score, total
from recsys.config import Config
from recsys.evaluation.protocol import DAY_MS, Protocol, count_cut, model_cut
from recsys.model import Model, reader_of, static_signals, train
from recsys.night import Night, events_of, read_night, select_clicks
from recsys.page.build import PageBuilder
from recsys.page.compose import YOU_MAY_ALSO_LIKE, slots_of, top_n
from recsys.rows import HOUR_MS, UNKNOWN_TIME, Impressions
from recsys.store import Store

Floats = NDArray[np.float64]
Listener = Callable[[str], None]

# Which parts of the score make each system; the blend is all of them.
PARTS_OF = {
    "popularity": ("popularity",),
    "ctr": ("ctr",),
    "recency": ("recency",),
    "text": ("context_text", "text"),
    "collaborative": ("context_item_item", "als"),
    "blend": PARTS,
}
SYSTEMS = ("random", *PARTS_OF)
NOON_HOURS = 12
FULL_LIST_HOURS = 12
LONGEST = 10


@dataclass(frozen=True, slots=True)
class InView:
    """Past impressions, each candidate scored by each system.

    Attributes
    ----------
    start, clicked
        As `recsys.evaluation.metrics.judge` wants them.
    user_key, n_reads : array of int64, shape (n_impressions,)
        The reader, and how many reads the model knew of them.
    parts
        Weighted parts of the blend's score by name, shape (n_candidates,).
    scores
        By system, shape (n_candidates,).
    """

    start: NDArray[np.int64]
    clicked: NDArray[np.bool_]
    user_key: NDArray[np.int64]
    n_reads: NDArray[np.int64]
    parts: dict[str, Floats]
    scores: dict[str, Floats]


def _no_stage(name: str) -> nullcontext[None]:
    return nullcontext()


def in_view(
    store: Store, config: Config, protocol: Protocol, *, from_ms: int, before_ms: int,
    listener: Listener = lambda what: None, random_state: int = 42,
) -> InView:  # fmt: skip
    """Return the impressions of a time span, scored as they would have been then.

    A candidate that the model does not know yet (first seen after its cut) gets its
    counts as of the protocol's instant, age 0, and nothing from the other signals.

    Parameters
    ----------
    store, config
        As of a night.
    protocol
        What was known when.
    from_ms, before_ms
        Impressions shown in [from_ms, before_ms).
    listener
        Told of each model made.
    random_state
        Of the random system.
    """
    seen = store.impressions(from_ms=from_ms, before_ms=before_ms)
    n_candidates = len(seen.article_key)
    parts = {name: np.zeros(n_candidates) for name in PARTS}
    n_reads = np.zeros(len(seen.shown_ms), dtype=np.int64)
    cuts = model_cut(seen.shown_ms, protocol)
    for cut in np.unique(cuts).tolist():
        listener(f"model of hour {(cut - from_ms) // HOUR_MS:+d}")
        night = read_night(store, cut, config)
        model = train(store, night, config, _no_stage)
        rows = np.flatnonzero(cuts == cut)
        n_reads[rows] = _score_rows(night, model, seen, rows, parts)
        _count_rows(store, night, config, protocol, seen, rows, parts)
    scores = {
        name: np.sum([parts[part] for part in used], axis=0) for name, used in PARTS_OF.items()
    }
    scores["random"] = np.random.default_rng(random_state).random(n_candidates)
    return InView(
        start=seen.start,
        clicked=seen.clicked,
        user_key=seen.user_key,
        n_reads=n_reads,
        parts=parts,
        scores={name: scores[name] for name in SYSTEMS},
    )


def _score_rows(
    night: Night,
    model: Model,
    seen: Impressions,
    rows: NDArray[np.int64],
    parts: dict[str, Floats],
) -> NDArray[np.int64]:
    """Fill in the parts that depend on reader and context; return reads known a reader."""
    live = model.page.live
    reader_row = night.users.index_of_keys(seen.user_key[rows])
    context = night.articles.id_map.index_of_keys(seen.context_key[rows])
    n_reads = np.zeros(len(rows), dtype=np.int64)
    counts = np.bincount(night.user_index, minlength=len(night.users))
    for i, row in enumerate(rows.tolist()):
        part = slice(seen.start[row], seen.start[row + 1])
        place = live.live_place(night.articles.id_map.index_of_keys(seen.article_key[part]))
        reader = None
        if reader_row[i] >= 0:
            reader = reader_of(model, int(reader_row[i]))
            n_reads[i] = counts[reader_row[i]]
        found = score(live, reader, int(context[i]) if context[i] >= 0 else None)
        for name, values in found.items():
            if name not in STATIC_PARTS and len(values):
                parts[name][part] = np.where(place >= 0, values[place], 0.0)
    return n_reads


def _count_rows(
    store: Store,
    night: Night,
    config: Config,
    protocol: Protocol,
    seen: Impressions,
    rows: NDArray[np.int64],
    parts: dict[str, Floats],
) -> None:
    """Fill in the parts that are counts of articles, as of the protocol's instant."""
    candidates = np.concatenate([np.arange(seen.start[r], seen.start[r + 1]) for r in rows])
    instant = np.repeat(count_cut(seen.shown_ms[rows], protocol), np.diff(seen.start)[rows])
    events = night.events
    if protocol == "streaming":
        last = int(instant.max())
        clicks = store.clicks(from_ms=night.window_from_ms, before_ms=last)
        # Machines as the night knew them: one that runs later is no machine yet.
        human = ~np.isin(clicks.user_key, night.machine_keys)
        views = store.impressions(from_ms=night.views_from_ms, before_ms=last)
        events = events_of(select_clicks(clicks, human), views)
    key = seen.article_key[candidates]
    place = night.articles.id_map.index_of_keys(key)
    born = np.full(len(key), UNKNOWN_TIME)
    born[place >= 0] = night.born_ms[place[place >= 0]]  # a first night may know nothing
    age_hours = np.where(born != UNKNOWN_TIME, (instant - born) / HOUR_MS, 0.0)
    for name, signal in static_signals(events, key, age_hours, instant, config).items():
        parts[name][candidates] = getattr(config.blend, name) * signal


@dataclass(frozen=True, slots=True)
class FullList:
    """Lists made at some noons from all live articles, and what readers clicked next.

    Attributes
    ----------
    lists
        By system, shape (n_lists, 10): places over all noons, -1 for no entry.
    relevant
        Places each reader clicked in the following hours.
    user_key : array of int64, shape (n_lists,)
        The reader.
    n_live
        Live articles of all noons together; places count on from noon to noon.
    """

    lists: dict[str, NDArray[np.int64]]
    relevant: list[set[int]]
    user_key: NDArray[np.int64]
    n_live: int


def noons(from_ms: int, before_ms: int) -> Iterator[int]:
    """Yield the noons (UTC) of a time span that have their hours after them in it."""
    first = -(-(from_ms - NOON_HOURS * HOUR_MS) // DAY_MS) * DAY_MS + NOON_HOURS * HOUR_MS
    yield from range(first, before_ms - FULL_LIST_HOURS * HOUR_MS + 1, DAY_MS)


@dataclass(frozen=True, slots=True)
class NoonReader:
    """A reader at a noon: the run they would be served from, and what they clicked next.

    `clicked` are live places, unread before; `offset` is added to them to tell the
    articles of one noon from those of another.
    """

    builder: PageBuilder
    user_key: int
    reader: Reader | None
    clicked: set[int]
    offset: int


def noon_readers(
    store: Store, config: Config, *, from_ms: int, before_ms: int, listener: Listener
) -> Iterator[NoonReader]:
    """Yield every reader who clicked a live, unread article in the 12 hours after a noon."""
    offset = 0
    for noon in noons(from_ms, before_ms):
        listener("model of a noon")
        night = read_night(store, noon, config)
        model = train(store, night, config, _no_stage)
        builder, live = PageBuilder(model.page), model.page.live
        later = store.clicks(from_ms=noon, before_ms=noon + FULL_LIST_HOURS * HOUR_MS)
        place = live.live_place(night.articles.id_map.index_of_keys(later.article_key))
        place[later.time_is_bound] = -1
        for user_key in np.unique(later.user_key[place >= 0]).tolist():
            row = int(night.users.index_of_keys(np.array([user_key]))[0])
            reader = reader_of(model, row) if row >= 0 else None
            read = set() if reader is None else set(reader.read.tolist())
            clicked = set(place[(later.user_key == user_key) & (place >= 0)].tolist()) - read
            if clicked:
                yield NoonReader(builder, user_key, reader, clicked, offset)
        offset += len(live.live_rows)


def full_list(
    store: Store, config: Config, *, from_ms: int, before_ms: int,
    listener: Listener = lambda what: None, random_state: int = 42,
) -> FullList:  # fmt: skip
    """Return lists from all live articles, of every reader who then clicked one.

    A hit is a click within 12 hours after noon on an article that was live at noon
    and that the reader had not read. `page` is You May Also Like as composed with the
    other lists; the systems are rankings on their own.
    """
    rng = np.random.default_rng(random_state)
    n_slots = slots_of(config.page.n, config.page.n_latest) | {YOU_MAY_ALSO_LIKE: LONGEST}
    lists: dict[str, list[NDArray[np.int64]]] = {name: [] for name in (*SYSTEMS, "page")}
    relevant: list[set[int]] = []
    readers: list[int] = []
    n_live = 0
    span = {"from_ms": from_ms, "before_ms": before_ms}
    for choice in noon_readers(store, config, **span, listener=listener):
        here = choice.builder.model.live
        n_live = choice.offset + len(here.live_rows)
        relevant.append({choice.offset + place for place in choice.clicked})
        readers.append(choice.user_key)
        for name, found in _rankings(here, choice.reader, rng).items():
            lists[name].append(_padded(found, choice.offset))
        page = choice.builder.page(choice.reader, None, n_slots).lists[YOU_MAY_ALSO_LIKE]
        places = np.array([slot.place for slot in page], dtype=np.int64)
        lists["page"].append(_padded(places, choice.offset))
    empty = np.zeros((0, LONGEST), dtype=np.int64)
    return FullList(
        lists={name: np.array(found) if found else empty for name, found in lists.items()},
        relevant=relevant,
        user_key=np.array(readers, dtype=np.int64),
        n_live=n_live,
    )


def _rankings(
    live: LiveModel, reader: Reader | None, rng: np.random.Generator
) -> dict[str, NDArray[np.int64]]:
    parts, n_live = score(live, reader, None), len(live.live_rows)
    scores = {
        name: total({part: parts[part] for part in used if part in parts}, n_live)
        for name, used in PARTS_OF.items()
    }
    scores["random"] = rng.random(n_live).astype(np.float32)
    for values in scores.values():
        if reader is not None:
            values[reader.read] = -np.inf
    return {name: top_n(values, LONGEST) for name, values in scores.items()}


def _padded(places: NDArray[np.int64], offset: int) -> NDArray[np.int64]:
    row = np.full(LONGEST, -1, dtype=np.int64)
    row[: len(places)] = places + offset
    return row
