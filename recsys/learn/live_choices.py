"""Choices among all live articles: clicked ones, and live articles drawn beside them."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from recsys.blend.linear import score
from recsys.blend.live_model import PARTS, UserState
from recsys.learn.choice import Choices
from recsys.learn.examples import CHOICE_HOURS, Floats, Ints, Past, TrainedWindow, _n_reads
from recsys.rows import HOUR_MS, Clicks
from recsys.training.train import user_state_of
from recsys.training.window import sampled_users, select_clicks


@dataclass(frozen=True, slots=True)
class LiveChoice:
    """A reader at an instant, and the live, unread articles (live places) clicked next."""

    user_key: int
    n_reads: int
    reader: UserState | None
    clicked: set[int]


def later_clicks(past: Past, at: TrainedWindow, until_ms: int) -> tuple[Clicks, Ints]:
    """Return its readers' clicks after a model on what was live, of known time, and the places."""
    window = at.window
    later = past.store.clicks(from_ms=window.as_of_ms, before_ms=until_ms)
    known = window.articles.id_map.index_of_keys(later.article_key)
    place = at.model.page.live.live_index_of(known)
    counted = (
        (place >= 0) & ~later.time_is_bound & sampled_users(later.user_key, window.sample_one_in)
    )
    return select_clicks(later, counted), place[counted]


def live_choices(past: Past, at: TrainedWindow, *, before_ms: int) -> Iterator[LiveChoice]:
    """Yield every reader who clicked a live, unread article in the hours after a model.

    Clicks at `before_ms` or later are not looked at.
    """
    window = at.window
    until_ms = min(window.as_of_ms + CHOICE_HOURS * HOUR_MS, before_ms)
    later, place = later_clicks(past, at, until_ms)
    if not len(place):
        return
    order = np.argsort(later.user_key, kind="stable")
    users, start = np.unique(later.user_key[order], return_index=True)
    row_of = window.users.index_of_keys(users)
    n_reads = _n_reads(window, row_of)
    for user_key, row, n, mine in zip(
        users.tolist(),
        row_of.tolist(),
        n_reads.tolist(),
        np.split(place[order], start[1:]),
        strict=True,
    ):
        reader = user_state_of(at.model.readers, row) if row >= 0 else None
        clicked = set(mine.tolist()) - (set() if reader is None else set(reader.read.tolist()))
        if clicked:
            yield LiveChoice(user_key, n, reader, clicked)


def sampled_live_choices(
    past: Past, at: TrainedWindow, rng: np.random.Generator, *, before_ms: int, most: int
) -> Choices:
    """Return `live_choices` among what was clicked and some other live articles.

    Features are the unweighted parts of the linear score. If there are more choices than
    `most`, evenly spread ones of them are taken.

    References
    ----------
    McFadden, "Modelling the choice of residential location", 1978: alternatives drawn
    uniformly leave the weights consistent.
    """
    live = at.model.page.live
    n_live = len(live.live_rows)
    ones: dict[str, Any] = dict.fromkeys(PARTS, 1.0)
    plain = dataclasses.replace(live, weights=msgspec.structs.replace(live.weights, **ones))
    features: list[Floats] = [np.zeros((0, len(PARTS)))]
    chosen: list[NDArray[np.bool_]] = [np.zeros(0, dtype=bool)]
    found = list(live_choices(past, at, before_ms=before_ms))
    for i in np.linspace(0, len(found) - 1, min(most, len(found))).astype(np.int64).tolist():
        choice = found[i]
        parts = score(plain, choice.reader, None)
        clicked = np.array(sorted(choice.clicked), dtype=np.int64)
        is_other = np.ones(n_live, dtype=bool)
        is_other[clicked] = False
        if choice.reader is not None:
            is_other[choice.reader.read] = False
        others = np.flatnonzero(is_other)
        sampled_users = rng.choice(
            others, min(past.config.learn.n_negatives, len(others)), replace=False
        )
        places = np.concatenate((clicked, sampled_users))
        none = np.zeros(n_live, dtype=np.float32)
        features.append(np.stack([parts.get(name, none)[places] for name in PARTS], axis=1))
        chosen.append(np.arange(len(places)) < len(clicked))
    sizes = [len(part) for part in chosen[1:]]
    table = np.concatenate(features).astype(np.float64)
    return Choices(
        dict(zip(PARTS, table.T, strict=True)),
        np.concatenate(chosen),
        np.concatenate(([0], np.cumsum(np.array(sizes, dtype=np.int64)))),
    )
