"""Choices among all live articles: the clicked ones, and live articles sampled beside them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.blend.linear import score_parts
from recsys.blend.live_model import UserState
from recsys.learn.choice import Choices
from recsys.learn.past_runs import PastRun, PastRuns
from recsys.rows import HOUR_MS, Clicks
from recsys.training.window import sampled_users, select_clicks

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
# For so long after a run, a click on an article that was live in the run counts as a choice.
CHOICE_HOURS = 12


@dataclass(frozen=True, slots=True)
class LiveChoice:
    """A user at the time of a run, and the live articles that the user clicked next.

    Attributes
    ----------
    user_key
        Store key of the user.
    n_reads
        How many reads the run knew of the user.
    user
        The user's state in the run; None for a user it did not know.
    clicked
        Live indices of the articles clicked next that the user had not read before.
    """

    user_key: int
    n_reads: int
    user: UserState | None
    clicked: set[int]


def later_clicks(past: PastRuns, run: PastRun, until_ms: int) -> tuple[Clicks, Ints]:
    """Return the clicks after a run on articles live in it, and their live indices.

    Clicks whose time is only a bound are left out, and so are users that the run did not sample.
    """
    window = run.window
    clicks = past.store.clicks(from_ms=window.as_of_ms, before_ms=until_ms)
    article_index = window.articles.id_map.index_of_keys(clicks.article_key)
    live_index = run.model.page.live.live_index_of(article_index)
    counts = (live_index >= 0) & ~clicks.time_is_bound
    counts &= sampled_users(clicks.user_key, window.sample_one_in)
    return select_clicks(clicks, counts), live_index[counts]


def live_choices(past: PastRuns, run: PastRun, *, before_ms: int) -> Iterator[LiveChoice]:
    """Yield each user who clicked a live, unread article in the `CHOICE_HOURS` after a run.

    Anonymous users are left out: no list is made for them alone.

    Parameters
    ----------
    past
        Gives the log.
    run
        The run.
    before_ms
        Clicks at this instant or later are not looked at.
    """
    window = run.window
    until_ms = min(window.as_of_ms + CHOICE_HOURS * HOUR_MS, before_ms)
    clicks, live_index = later_clicks(past, run, until_ms)
    is_named = ~np.isin(clicks.user_key, window.anonymous_keys)
    clicks, live_index = select_clicks(clicks, is_named), live_index[is_named]
    if not len(live_index):
        return
    order = np.argsort(clicks.user_key, kind="stable")
    user_keys, start = np.unique(clicks.user_key[order], return_index=True)
    user_index = window.users.index_of_keys(user_keys)
    n_reads = window.n_reads(user_index)
    for user_key, index, n, live_clicked in zip(
        user_keys.tolist(),
        user_index.tolist(),
        n_reads.tolist(),
        np.split(live_index[order], start[1:]),
        strict=True,
    ):
        user = run.model.users.state(index) if index >= 0 else None
        already_read = set() if user is None else set(user.read.tolist())
        clicked = set(live_clicked.tolist()) - already_read
        if clicked:
            yield LiveChoice(user_key, n, user, clicked)


def sampled_live_choices(
    past: PastRuns, run: PastRun, rng: np.random.Generator, *, before_ms: int, max_choices: int
) -> Choices:
    """Return the choices of `live_choices`, with a sample of the live articles not clicked.

    The features are the unweighted signals of the linear score.

    Parameters
    ----------
    past, run, before_ms
        See `live_choices`. `past.config.learn.n_negatives` is the size of the sample.
    rng
        Draws the sample.
    max_choices
        If there are more choices, this many are taken at even steps.

    References
    ----------
    McFadden, "Modelling the choice of residential location", 1978: alternatives drawn
    uniformly leave the weights consistent.
    """
    live = run.model.page.live
    n_live = len(live.live_rows)
    unweighted = live.unweighted()
    names = tuple(unweighted.weights)
    features: list[Floats] = [np.zeros((0, len(names)))]
    chosen: list[NDArray[np.bool_]] = [np.zeros(0, dtype=bool)]
    choices = list(live_choices(past, run, before_ms=before_ms))
    evenly = np.linspace(0, len(choices) - 1, min(max_choices, len(choices))).astype(np.int64)
    for choice in [choices[i] for i in evenly.tolist()]:
        signals = score_parts(unweighted, choice.user, None)
        clicked = np.array(sorted(choice.clicked), dtype=np.int64)
        is_other = np.ones(n_live, dtype=bool)
        is_other[clicked] = False
        if choice.user is not None:
            is_other[choice.user.read] = False
        others = np.flatnonzero(is_other)
        n_negatives = min(past.config.learn.n_negatives, len(others))
        alternatives = np.concatenate((clicked, rng.choice(others, n_negatives, replace=False)))
        zeros = np.zeros(n_live, dtype=np.float32)
        columns = [signals.get(name, zeros)[alternatives] for name in names]
        features.append(np.stack(columns, axis=1))
        chosen.append(np.arange(len(alternatives)) < len(clicked))
    sizes = [len(part) for part in chosen[1:]]
    table = np.concatenate(features).astype(np.float64)
    return Choices(
        dict(zip(names, table.T, strict=True)),
        np.concatenate(chosen),
        np.concatenate(([0], np.cumsum(np.array(sizes, dtype=np.int64)))),
    )
