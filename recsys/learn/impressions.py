"""Past impressions, with every feature of each candidate as it was known then.

Learning and evaluation share this one computation, and its personal features come from the
function that the server calls. So what is learned from is what is served and measured.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.blend.curves import (
    GIVEN,
    PERSONAL_FEATURES,
    age_hours,
    clock_features,
    personal_features,
    with_ranks,
)
from recsys.blend.signal_table import signal_names, static_values
from recsys.learn.choice import Choices
from recsys.learn.past_runs import PastRun, PastRuns
from recsys.learn.protocols import Protocol, counted_until_ms
from recsys.page.list_table import list_names
from recsys.rows import HOUR_MS, UNKNOWN_TIME, Impressions
from recsys.signals.event_counts import Events
from recsys.signals.own_signals import own_values
from recsys.signals.static_signals import ArticlesAt
from recsys.training.births import births_of
from recsys.training.examination import positions, select_impressions
from recsys.training.window import TrainingWindow, sampled_users, select_clicks

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

POSITION = "position"
# The signals of the linear score that the features have under another name.
_FEATURE_OF_SIGNAL = {
    "text": "recent_text",
    "vectors": f"{GIVEN}_taste",
    "context_vectors": f"{GIVEN}_context",
}


@dataclass(frozen=True, slots=True)
class ImpressionFeatures:
    """Impressions, and what was known of each candidate when it was shown.

    Attributes
    ----------
    user_key : array of int64, shape (n_impressions,)
        The user.
    n_reads : array of int64, shape (n_impressions,)
        How many reads the run knew of the user.
    shown_ms : array of int64, shape (n_impressions,)
        When the impression was shown.
    choices
        Every feature of every candidate, and what was clicked.
    signals : dict of array of float64, shape (n_candidates,)
        The unweighted signals of the linear score, by name.
    context_key : array of int64, shape (n_impressions,)
        The article being read; -1 for a front page.
    article_key : array of int64, shape (n_candidates,)
        The candidates.
    position : array of int64, shape (n_candidates,)
        1-based position in one of our lists, 0 where it is unknown; see
        `recsys.training.examination.positions`.
    propensity : array of float64, shape (n_candidates,)
        The logged chance that the candidate had of being shown.
    clicked_section : array of str, shape (n_impressions,)
        Section of the first article clicked, "" if none was.
    clicked_is_cold : array of bool, shape (n_impressions,)
        Whether that article had never been shown or clicked before.
    """

    user_key: Ints
    n_reads: Ints
    shown_ms: Ints
    choices: Choices
    signals: dict[str, Floats]
    context_key: Ints
    article_key: Ints
    position: Ints
    propensity: Floats
    clicked_section: NDArray[np.str_]
    clicked_is_cold: NDArray[np.bool_]


def impression_features(
    past: PastRuns,
    run: PastRun,
    protocol: Protocol,
    *,
    from_ms: int,
    before_ms: int,
    max_impressions: int | None = None,
) -> ImpressionFeatures:
    """Return the impressions of a time span, with the features of their candidates.

    Parameters
    ----------
    past
        Gives the log and the settings.
    run
        The run that served the impressions, or would have; not later than `from_ms`. If it
        was trained on a sample of users, only their impressions are returned.
    protocol
        Up to when clicks and views count.
    from_ms, before_ms
        Impressions shown in [from_ms, before_ms).
    max_impressions
        If there are more, take this many at even steps. None takes all.
    """
    shown = _impressions(past, run.window, from_ms, before_ms, max_impressions)
    window, key = run.window, shown.article_key
    size = np.diff(shown.start)
    until_ms = counted_until_ms(shown.shown_ms, protocol, window.as_of_ms)
    events = _events_until(past, window, int(until_ms.max(initial=window.as_of_ms)))
    article_index = window.articles.id_map.index_of_keys(key)
    context_index = window.articles.id_map.index_of_keys(shown.context_key)
    instant_ms = np.repeat(until_ms, size)
    user_index = window.users.index_of_keys(shown.user_key)
    features = _personal_features(run, shown, user_index, article_index, context_index)
    signals = {
        name: features[_FEATURE_OF_SIGNAL.get(name, name)]
        for name in signal_names("contextual", "personal")
    }
    counted = events.article_features(key, instant_ms)
    features |= counted
    # A run keeps no profile of a user who never clicked, so it does not know what such a user
    # was shown either.
    is_known = np.repeat(user_index >= 0, size)
    exposures = events.user_features(np.repeat(shown.user_key, size), key, instant_ms)
    features |= {name: np.where(is_known, values, 0.0) for name, values in exposures.items()}
    context = np.repeat(context_index, size)
    born_ms, written_ms, context_written_ms = _birth_times(
        window, events, instant_ms, article_index, context
    )
    features |= clock_features(
        written_ms,
        np.repeat(shown.shown_ms, size),
        context_written_ms,
        (article_index == context) & (article_index >= 0),
    )
    ages = age_hours(born_ms, instant_ms)
    if past.own_signals:
        known = np.flatnonzero(article_index >= 0)
        known_ids = [window.articles.id_map.ids[i] for i in article_index[known].tolist()]
        for name, values in own_values(past.own_signals, known_ids, instant_ms[known]).items():
            features[name] = np.zeros(len(key))
            features[name][known] = values
            signals[name] = features[name]
    curves, settings = run.model.carry.forecast, past.config.popularity
    articles = ArticlesAt(events, key, ages, instant_ms, counted, settings, curves)
    signals |= static_values(articles)
    position = positions(shown, list_names(past.config))
    # The fit uses the position, so that no other feature explains what the position explains.
    # Its curve is not served: a candidate that is about to be ranked has no position yet.
    features[POSITION] = np.log1p(position)
    first = _first_clicked(shown)
    section_of = np.array([article.category for article in run.model.articles] + [""])
    any_candidate = len(article_index) > 0
    return ImpressionFeatures(
        user_key=shown.user_key,
        n_reads=window.n_reads(user_index),
        shown_ms=shown.shown_ms,
        choices=Choices(with_ranks(features, shown.start), shown.clicked, shown.start),
        signals=signals,
        context_key=shown.context_key,
        article_key=key,
        position=position,
        propensity=shown.propensity,
        clicked_section=section_of[np.where(first >= 0, article_index[first], -1)]
        if any_candidate
        else section_of[:0],
        clicked_is_cold=(first >= 0) & (features["unseen"][first] > 0)
        if any_candidate
        else first > 0,
    )


def _impressions(
    past: PastRuns,
    window: TrainingWindow,
    from_ms: int,
    before_ms: int,
    max_impressions: int | None,
) -> Impressions:
    """Return the impressions of the window's users in a time span, at most so many of them."""
    shown = past.store.impressions(from_ms=from_ms, before_ms=before_ms)
    if window.sample_one_in > 1:
        is_sampled = sampled_users(shown.user_key, window.sample_one_in)
        shown = select_impressions(shown, np.flatnonzero(is_sampled))
    n = len(shown.shown_ms)
    if max_impressions is not None and n > max_impressions:
        evenly = np.linspace(0, n - 1, max_impressions).astype(np.int64)
        shown = select_impressions(shown, evenly)
    return shown


def _first_clicked(shown: Impressions) -> Ints:
    """Return the first clicked candidate of each impression, -1 where none was clicked."""
    first = np.full(len(shown.shown_ms), -1)
    clicked = np.flatnonzero(shown.clicked)[::-1]
    first[np.searchsorted(shown.start, clicked, side="right") - 1] = clicked
    return first


def _events_until(past: PastRuns, window: TrainingWindow, until_ms: int) -> Events:
    """Return the events before an instant that is not earlier than the end of the window."""
    if until_ms <= window.as_of_ms:
        return window.events
    clicks = past.store.clicks(from_ms=window.counted_from_ms, before_ms=until_ms)
    # Bots are those that the run knew: a user who starts to click like a bot later is none yet.
    is_person = ~np.isin(clicks.user_key, window.bot_keys)
    views = past.store.impressions(from_ms=window.counted_from_ms, before_ms=until_ms)
    seen_before = (window.events.earlier_key, window.events.earlier_ms)
    clicks = select_clicks(clicks, is_person)
    return Events.from_logs(
        clicks, views, window.counted_from_ms, seen_before, shared_key=window.shared_key
    )


def _birth_times(
    window: TrainingWindow, events: Events, instant_ms: Ints, article_index: Ints, context: Ints
) -> tuple[Ints, Ints, Ints]:
    """Return when candidates were born and written, and when the article being read was written.

    All are as known at the hour of the instant; UNKNOWN_TIME for an index of -1.
    """
    births = births_of(window.articles, events)
    hour_ms = np.maximum(instant_ms // HOUR_MS * HOUR_MS, window.as_of_ms)
    born_ms, written_ms, context_written_ms = (
        np.full(len(instant_ms), UNKNOWN_TIME) for _ in range(3)
    )
    for hour in np.unique(hour_ms).tolist():
        born, written = births.born_ms_at(hour), births.written_ms_at(hour)
        rows = np.flatnonzero((hour_ms == hour) & (article_index >= 0))
        born_ms[rows], written_ms[rows] = born[article_index[rows]], written[article_index[rows]]
        rows = np.flatnonzero((hour_ms == hour) & (context >= 0))
        context_written_ms[rows] = written[context[rows]]
    return born_ms, written_ms, context_written_ms


def _personal_features(
    run: PastRun, shown: Impressions, user_index: Ints, article_index: Ints, context_index: Ints
) -> dict[str, Floats]:
    """Return `PERSONAL_FEATURES` of all candidates.

    The index of an unknown user, or of a front page instead of an article being read, is -1.
    """
    model = run.model
    features = {name: np.zeros(len(article_index)) for name in PERSONAL_FEATURES}
    for i, (user, context) in enumerate(
        zip(user_index.tolist(), context_index.tolist(), strict=True)
    ):
        inside = slice(shown.start[i], shown.start[i + 1])
        of_impression = personal_features(
            model.rank,
            model.page.live,
            model.users.state(user) if user >= 0 else None,
            context if context >= 0 else None,
            article_index[inside],
        )
        for name, values in of_impression.items():
            features[name][inside] = values
    return features
