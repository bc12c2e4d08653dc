"""Examples of one past day for each head to learn from, built once and kept in the store."""

import io
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray

from recsys.learn.choice import Choices
from recsys.learn.impressions import impression_features
from recsys.learn.live_choices import sampled_live_choices
from recsys.learn.past_runs import PastRuns
from recsys.learn.protocols import DAY_MS, Protocol
from recsys.rows import HOUR_MS, iso
from recsys.steps import step

Floats = NDArray[np.float64]
Day = tuple[int, int]  # its begin and its end

LOG = logging.getLogger(__name__)
# The store keeps so many results for each day that is learned from: those of three heads, with
# two settings or at two hours of the day.
KEPT_PER_DAY = 6
EXAMPLES_VERSION = 7  # raise it when a feature or a signal changes its meaning
RETRIEVAL = "retrieval"  # name of the retrieval head
LIVE_HOURS = 8  # after a nightly run: when the choices among all live articles begin


def examples_of(day: Day) -> str:
    """Return the name of the step that builds the examples of a day."""
    return f"examples of the day from {iso(day[0])}"


def ranking_head(protocol: Protocol) -> str:
    """Return the name of the ranking head of a protocol."""
    return f"ranking, {protocol}"


@dataclass(frozen=True, slots=True)
class Examples:
    """Choices of one day to learn from.

    Attributes
    ----------
    choices
        The choices, with their features.
    signals : dict of array of float64, shape (n_alternatives,)
        The unweighted signals of the linear score, where the features are not these signals.
    has_forecast
        Whether the forecast of that day was learned. The shipped one has another scale, so that
        weights that were learned with one do not fit the other.
    """

    choices: Choices
    signals: Mapping[str, Floats]
    has_forecast: bool


class ExampleBuilder:
    """Builds the examples of past days, each once.

    Parameters
    ----------
    past
        Trains the runs of those days.
    keep_in_store
        Whether the store keeps the examples for later runs; else this object keeps them.
    """

    def __init__(self, past: PastRuns, *, keep_in_store: bool = False) -> None:
        self.past, self._keep_in_store = past, keep_in_store
        self._built: dict[tuple[str, int, int], Examples] = {}

    def days(self, as_of_ms: int) -> list[Day]:
        """Return the begin and the end of each day to learn from, as far as the log reaches back.

        They end with a full hour, so that runs that start at about the same time share them.
        """
        oldest_ms = self.past.store.first_event_ms()
        end_ms = as_of_ms // HOUR_MS * HOUR_MS
        begins = [end_ms - back * DAY_MS for back in range(self.past.config.learn.days, 0, -1)]
        return [(b, b + DAY_MS) for b in begins if oldest_ms is not None and b > oldest_ms]

    def days_not_in_store(self, protocols: Sequence[Protocol], as_of_ms: int) -> list[Day]:
        """Return the days of which the store lacks the examples of a head."""
        heads = [RETRIEVAL, *(ranking_head(protocol) for protocol in protocols)]
        return [
            (begin, end)
            for begin, end in self.days(as_of_ms)
            if any(self._stored(head, begin, end) is None for head in heads)
        ]

    def build_into_store(self, protocols: Sequence[Protocol], as_of_ms: int) -> None:
        """Build the examples of all days that the store lacks, with one day's run in memory.

        Does nothing if the store does not keep examples.
        """
        if self._keep_in_store:
            days = self.days_not_in_store(protocols, as_of_ms)
            for number, day in enumerate(days, start=1):
                with step(LOG, examples_of(day), number=number, total=len(days)):
                    self.build(protocols, day)

    def build(self, protocols: Sequence[Protocol], day: Day) -> None:
        """Build the examples of one day for all heads, and release its runs."""
        self.retrieval(day)
        for protocol in protocols:
            self.ranking(protocol, day)
        self.past.release()

    def retrieval(self, day: Day) -> Examples:
        """Return the examples of one day for the retrieval head: choices among live articles."""
        begin, end = day

        def build() -> Examples:
            # The seed depends on the day alone, so every run gets the same examples of it.
            seed = (self.past.config.learn.random_state, begin // HOUR_MS)
            rng = np.random.default_rng(seed)
            instant = begin + LIVE_HOURS * HOUR_MS
            run = self.past.refresh(self.past.sampled_nightly(begin, end), instant, instant)
            choices = sampled_live_choices(
                self.past, run, rng, before_ms=end, max_choices=self._max_choices()
            )
            return Examples(choices, {}, bool(run.model.carry.forecast))

        return self._once(RETRIEVAL, day, build)

    def ranking(self, protocol: Protocol, day: Day) -> Examples:
        """Return the examples of one day for the ranking head: choices among what was shown."""
        begin, end = day

        def build() -> Examples:
            run = self.past.sampled_nightly(begin, end)
            features = impression_features(
                self.past,
                run,
                protocol,
                from_ms=begin,
                before_ms=end,
                max_impressions=self._max_choices(),
            )
            has_forecast = bool(run.model.carry.forecast)
            return Examples(features.choices, features.signals, has_forecast)

        return self._once(ranking_head(protocol), day, build)

    def _max_choices(self) -> int:
        """Return how many choices of one day are learned from at most."""
        learn = self.past.config.learn
        return -(-learn.max_choices // max(learn.days, 1))

    def _once(self, head: str, day: Day, build: Callable[[], Examples]) -> Examples:
        """Return the examples of a head and a day: those built before, or new ones."""
        begin, end = day
        if not self._keep_in_store:
            if (head, begin, end) not in self._built:
                with step(LOG, f"{head}: {examples_of(day)}") as counts:
                    self._built[head, begin, end] = build()
                    counts["choices"] = len(self._built[head, begin, end].choices)
            return self._built[head, begin, end]
        packed = self._stored(head, begin, end)
        if packed is None:
            packed = _pack(build())
            days = self.past.config.learn.days
            self.past.store.derived.put_examples(
                end,
                self._stored_name(head, begin),
                packed,
                oldest_ms=end - days * DAY_MS,
                most=KEPT_PER_DAY * days,
            )
        return _unpack(packed)

    def _stored(self, head: str, begin: int, end: int) -> bytes | None:
        return self.past.store.derived.examples(end, self._stored_name(head, begin))

    def _stored_name(self, head: str, begin: int) -> str:
        return f"{head} from {begin}, {self.past.config.digest()}, {EXAMPLES_VERSION}"


def _pack(examples: Examples) -> bytes:
    """Return examples as the bytes of an NPZ file, compressed to about an eighth."""
    choices = examples.choices
    arrays: dict[str, Any] = {"chosen": choices.chosen, "start": choices.start}
    arrays["has_forecast"] = np.array(examples.has_forecast)
    arrays |= {f"feature {name}": values for name, values in choices.features.items()}
    arrays |= {f"signal {name}": values for name, values in examples.signals.items()}
    file = io.BytesIO()
    np.savez(file, **arrays)
    return zstandard.ZstdCompressor().compress(file.getvalue())


def _unpack(packed: bytes) -> Examples:
    """Return the examples of `_pack`."""
    with np.load(io.BytesIO(zstandard.decompress(packed)), allow_pickle=False) as arrays:
        features, signals = (
            {
                name.removeprefix(kind): arrays[name]
                for name in arrays.files
                if name.startswith(kind)
            }
            for kind in ("feature ", "signal ")
        )
        choices = Choices(features, arrays["chosen"], arrays["start"])
        return Examples(choices, signals, bool(arrays["has_forecast"]))
