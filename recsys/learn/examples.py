"""Past choices with what was known of each candidate then, and the nights they followed.

One computation for learning and for evaluation, and the functions a server calls for
what is personal: what is learned from is what is served, and what is measured too.
"""

import io
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.blend.curves import (
    PERSONAL_FEATURES,
    age_hours,
    clock_features,
    personal_features,
    with_ranks,
)
from recsys.blend.linear import spans
from recsys.blend.live_model import PARTS, STATIC_PARTS
from recsys.config import Config
from recsys.learn.choice import Choices
from recsys.learn.regimes import DAY_MS, Protocol, count_cut
from recsys.page.compose import LISTS
from recsys.rows import HOUR_MS, UNKNOWN_TIME, Impressions
from recsys.signals.event_counts import Events
from recsys.store.database import Store
from recsys.training.article_signals import static_signals
from recsys.training.births import births_of
from recsys.training.train import Model, base_run_of, factors_before, train, user_state_of
from recsys.training.window import (
    TrainingWindow,
    read_training_window,
    sampled_users,
    select_clicks,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
ProgressListener = Callable[[str], None]

EXAMPLES_VERSION = 1  # to be raised when a feature or a signal comes to mean something else
CHOICE_HOURS = 12  # after an instant in which a click on a live article counts as its choice
POSITION = "position"
_FEATURE_OF = {"text": "recent_text"}  # a part of the linear score, among the features


@dataclass(frozen=True, slots=True)
class TrainedWindow:
    """A night and its model."""

    window: TrainingWindow
    model: Model


@dataclass(frozen=True, slots=True)
class Examples:
    """Choices of one day to learn from, and the unweighted parts of the linear score."""

    choices: Choices
    signals: Mapping[str, Floats]


class Past:
    """Nights of the past, each made once: as a nightly run or a refresh would have.

    Parameters
    ----------
    store, config
        As of a night.
    listener
        Told of each model made.
    keep
        Whether the store keeps what each day taught, for later nights to learn from.
    """

    def __init__(
        self,
        store: Store,
        config: Config,
        on_progress: ProgressListener = lambda what: None,
        *,
        keep: bool = False,
    ) -> None:
        self.store, self.config, self._on_progress, self.keep = store, config, on_progress, keep
        self._nights: dict[tuple[int, int], TrainedWindow] = {}
        self._studied: dict[tuple[int, int], TrainedWindow] = {}
        self._seen: dict[tuple[int, Protocol, int, int, int], Seen] = {}

    def window(self, as_of_ms: int, until_ms: int) -> TrainedWindow:
        """Return the night of an instant, knowing the texts of what was shown before `until`."""
        if (as_of_ms, until_ms) not in self._nights:
            self._nights[as_of_ms, until_ms] = self._build(as_of_ms, until_ms, None)
        return self._nights[as_of_ms, until_ms]

    def window_for_learning(self, as_of_ms: int, until_ms: int) -> TrainedWindow:
        """Return `window` for learning: of so many of its readers as that needs."""
        if (as_of_ms, until_ms) in self._nights:
            return self._nights[as_of_ms, until_ms]
        if (as_of_ms, until_ms) not in self._studied:
            most = self.config.learn.max_users
            made = self._build(as_of_ms, until_ms, None, most)
            self._studied[as_of_ms, until_ms] = made
            if made.window.sample_one_in == 1:
                self._nights[as_of_ms, until_ms] = made
        return self._studied[as_of_ms, until_ms]

    def refreshed(self, last: TrainedWindow, as_of_ms: int, until_ms: int) -> TrainedWindow:
        """Return what a refresh made of a night at a later instant; not kept."""
        if as_of_ms == last.window.as_of_ms:
            return last
        return self._build(as_of_ms, until_ms, last)

    def seen_after(
        self, last: TrainedWindow, protocol: Protocol, *, from_ms: int, before_ms: int, most: int
    ) -> "Seen":
        """Return the function of that name of a night of this past, worked out once."""
        key = (last.window.as_of_ms, protocol, from_ms, before_ms, most)
        if key not in self._seen:
            span = {"from_ms": from_ms, "before_ms": before_ms}
            self._seen[key] = seen_after(self, last, protocol, **span, most=most)
        return self._seen[key]

    def examples(
        self, what: str, begin_ms: int, end_ms: int, make: Callable[[], Examples]
    ) -> Examples:
        """Return what a day taught a head; made, or as the store kept it."""
        if not self.keep:
            return make()
        what = self._kept_as(what, begin_ms)
        packed = self.store.derived.examples(end_ms, what)
        if packed is None:
            packed = _pack(make())
            oldest_ms = end_ms - self.config.learn.days * DAY_MS
            self.store.derived.put_examples(end_ms, what, packed, oldest_ms=oldest_ms)
        return _unpack(packed)

    def has_examples(self, what: str, begin_ms: int, end_ms: int) -> bool:
        """Return whether the store keeps what a day taught a head."""
        return self.store.derived.examples(end_ms, self._kept_as(what, begin_ms)) is not None

    def _kept_as(self, what: str, begin_ms: int) -> str:
        return f"{what} from {begin_ms}, {self.config.digest()}, {EXAMPLES_VERSION}"

    def release(self) -> None:
        """Forget the nights: they would be made anew."""
        self._nights.clear()
        self._studied.clear()
        self._seen.clear()

    def _build(
        self, as_of_ms: int, until_ms: int, last: TrainedWindow | None, max_users: int | None = None
    ) -> TrainedWindow:
        self._on_progress("model of a night" if last is None else "refresh of an hour")
        shown = self.store.impressions(from_ms=as_of_ms, before_ms=until_ms)
        announced = np.unique(shown.article_key)
        run = None if last is None else base_run_of(last.window, last.model)
        earlier = None if run is None else run.earlier
        window = read_training_window(
            self.store, as_of_ms, self.config, announced, earlier, max_users
        )
        carried = None
        if run is not None and last is not None:
            carried = (run, factors_before(window, last.model))
        model = train(self.store, window, self.config, lambda stage: nullcontext(), carried)
        return TrainedWindow(window, model)


def _pack(examples: Examples) -> bytes:
    """Return examples as an uncompressed NPZ file."""
    choices = examples.choices
    arrays: dict[str, Any] = {"chosen": choices.chosen, "start": choices.start}
    arrays |= {f"feature {name}": values for name, values in choices.features.items()}
    arrays |= {f"signal {name}": values for name, values in examples.signals.items()}
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def _unpack(packed: bytes) -> Examples:
    with np.load(io.BytesIO(packed), allow_pickle=False) as arrays:
        found = {
            kind: {
                name.removeprefix(kind): arrays[name]
                for name in arrays.files
                if name.startswith(kind)
            }
            for kind in ("feature ", "signal ")
        }
        choices = Choices(found["feature "], arrays["chosen"], arrays["start"])
    return Examples(choices, found["signal "])


@dataclass(frozen=True, slots=True)
class Seen:
    """Impressions, and what was known of each candidate.

    Attributes
    ----------
    user_key, n_reads : array of int64, shape (n_impressions,)
        The reader, and how many reads the model knew of them.
    shown_ms : array of int64, shape (n_impressions,)
        When it was shown.
    choices
        Every feature of every candidate, and what was clicked.
    signals : dict of array of float64, shape (n_candidates,)
        Unweighted parts of the linear score, by name of `PARTS`.
    place, propensity : array, shape (n_candidates,)
        Position in one of our lists (1-based, 0 where not known), and the logged chance of
        having been shown.
    section : array of str, shape (n_impressions,)
        Of the (first) article clicked, "" for none.
    unseen : array of bool, shape (n_impressions,)
        Whether that article was never shown or clicked before.
    """

    user_key: Ints
    n_reads: Ints
    shown_ms: Ints
    choices: Choices
    signals: dict[str, Floats]
    place: Ints
    propensity: Floats
    section: NDArray[np.str_]
    unseen: NDArray[np.bool_]


def seen_after(
    past: Past,
    last: TrainedWindow,
    protocol: Protocol,
    *,
    from_ms: int,
    before_ms: int,
    most: int | None = None,
) -> Seen:
    """Return the impressions of a time span with their candidates' features.

    Parameters
    ----------
    past
        Where they are read.
    last
        The model they were, or would have been, served from; not later than `from_ms`.
    protocol
        Up to when clicks and views are counted.
    from_ms, before_ms
        Impressions shown in [from_ms, before_ms).
    most
        If there are more impressions, evenly spread ones of them.
    """
    shown = past.store.impressions(from_ms=from_ms, before_ms=before_ms)
    if last.window.sample_one_in > 1:
        shown = _picked(
            shown, np.flatnonzero(sampled_users(shown.user_key, last.window.sample_one_in))
        )
    if most is not None and len(shown.shown_ms) > most:
        shown = _picked(shown, np.linspace(0, len(shown.shown_ms) - 1, most).astype(np.int64))
    window, key = last.window, shown.article_key
    size = np.diff(shown.start)
    cut = count_cut(shown.shown_ms, protocol, window.as_of_ms)
    events = _events_until(past, window, int(cut.max(initial=window.as_of_ms)))
    known = window.articles.id_map.index_of_keys(key)
    context = window.articles.id_map.index_of_keys(shown.context_key)
    instant = np.repeat(cut, size)
    row_of = window.users.index_of_keys(shown.user_key)
    features = _personal(last, shown, row_of, known, context)
    signals = {
        part: features[_FEATURE_OF.get(part, part)] for part in PARTS if part not in STATIC_PARTS
    }
    features |= events.of_articles(key, instant)
    # Of a reader who never clicked, a run knows nothing, not even what they were shown.
    is_known = np.repeat(row_of >= 0, size)
    exposed = events.of_users(np.repeat(shown.user_key, size), key, instant)
    features |= {name: np.where(is_known, values, 0.0) for name, values in exposed.items()}
    beside = np.repeat(context, size)
    born, written, context_written = _births(window, events, instant, known, beside)
    features |= clock_features(
        written, np.repeat(shown.shown_ms, size), context_written, (known == beside) & (known >= 0)
    )
    signals |= static_signals(events, key, age_hours(born, instant), instant, past.config)
    first, place = _first_clicked(shown), positions(shown)
    # For the fit alone, which so leaves to the place what is the place's; nothing is
    # placed yet when a choice is ranked, so the curve of it is not served.
    features[POSITION] = np.log1p(place)
    names = np.array([article.category for article in last.model.articles] + [""])
    return Seen(
        user_key=shown.user_key,
        n_reads=_n_reads(window, row_of),
        shown_ms=shown.shown_ms,
        choices=Choices(with_ranks(features, shown.start), shown.clicked, shown.start),
        signals=signals,
        place=place,
        propensity=shown.propensity,
        section=names[np.where(first >= 0, known[first], -1)] if len(known) else names[:0],
        unseen=(first >= 0) & (features["unseen"][first] > 0) if len(known) else first > 0,
    )


def positions(shown: Impressions) -> NDArray[np.int64]:
    """Return the 1-based place of each article shown in one of our lists, 0 elsewhere.

    Only a log of `source` "you_may_also_like" and so on is in order of position; the
    research sets are shuffled.
    """
    size = np.diff(shown.start)
    place = spans(np.ones_like(size), size)
    ours = np.array([name in LISTS for name in shown.source], dtype=bool)
    return np.where(np.repeat(ours, size), place, 0).astype(np.int64)


def _first_clicked(shown: Impressions) -> Ints:
    """Return the candidate first clicked of each impression, -1 where none was."""
    first = np.full(len(shown.shown_ms), -1)
    clicked = np.flatnonzero(shown.clicked)[::-1]
    first[np.searchsorted(shown.start, clicked, side="right") - 1] = clicked
    return first


def _picked(shown: Impressions, rows: Ints) -> Impressions:
    size = np.diff(shown.start)[rows]
    start = np.concatenate(([0], np.cumsum(size)))
    inside = spans(shown.start[rows], size)
    return Impressions(
        user_key=shown.user_key[rows],
        context_key=shown.context_key[rows],
        shown_ms=shown.shown_ms[rows],
        start=start,
        article_key=shown.article_key[inside],
        clicked=shown.clicked[inside],
        clicked_ms=shown.clicked_ms[rows],
        source=[shown.source[row] for row in rows.tolist()],
        propensity=shown.propensity[inside],
    )


def _events_until(past: Past, window: TrainingWindow, until_ms: int) -> Events:
    """Return the events before an instant at or after a night."""
    if until_ms <= window.as_of_ms:
        return window.events
    clicks = past.store.clicks(from_ms=window.counted_from_ms, before_ms=until_ms)
    # Machines as the night knew them: one that runs later is no machine yet.
    human = ~np.isin(clicks.user_key, window.bot_keys)
    views = past.store.impressions(from_ms=window.counted_from_ms, before_ms=until_ms)
    known = (window.events.known_key, window.events.known_ms)
    return Events.of(select_clicks(clicks, human), views, window.counted_from_ms, known)


def _births(
    window: TrainingWindow, events: Events, instant: Ints, known: Ints, beside: Ints
) -> tuple[Ints, Ints, Ints]:
    """Return when candidates came and were written, and when the article read beside was.

    As known at the hour; UNKNOWN_TIME for an index of -1.
    """
    births = births_of(window.articles, events)
    hour = np.maximum(instant // HOUR_MS * HOUR_MS, window.as_of_ms)
    born, written, context = (np.full(len(instant), UNKNOWN_TIME) for _ in range(3))
    for cut in np.unique(hour).tolist():
        came, wrote = births.at(cut), births.written_at(cut)
        rows = np.flatnonzero((hour == cut) & (known >= 0))
        born[rows], written[rows] = came[known[rows]], wrote[known[rows]]
        rows = np.flatnonzero((hour == cut) & (beside >= 0))
        context[rows] = wrote[beside[rows]]
    return born, written, context


def _n_reads(window: TrainingWindow, row_of: Ints) -> Ints:
    """Return how many reads a night knows of readers, 0 for a row of -1."""
    counts = np.bincount(window.user_index, minlength=len(window.users))
    return np.where(row_of >= 0, counts[row_of], 0) if len(counts) else np.zeros_like(row_of)


def _personal(
    last: TrainedWindow, shown: Impressions, row_of: Ints, known: Ints, context: Ints
) -> dict[str, Floats]:
    """Return `PERSONAL_FEATURES` of all candidates; the row of an unknown reader is -1."""
    model = last.model
    features = {name: np.zeros(len(known)) for name in PERSONAL_FEATURES}
    for i, row in enumerate(row_of.tolist()):
        part = slice(shown.start[i], shown.start[i + 1])
        found = personal_features(
            model.rank,
            model.page.live,
            user_state_of(model.readers, row) if row >= 0 else None,
            int(context[i]) if context[i] >= 0 else None,
            known[part],
        )
        for name, values in found.items():
            features[name][part] = values
    return features
