"""The steps of an evaluation: how many there are, and about what each costs."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np

from recsys.config import Config
from recsys.evaluation.backtest import Served, served_spans
from recsys.evaluation.full_list import moments
from recsys.evaluation.in_view import FEATURE_GROUPS, served_hours
from recsys.learn.examples import ExampleBuilder
from recsys.learn.past_runs import PastRuns
from recsys.learn.protocols import Protocol
from recsys.store.database import Store

# How long each step of `Work` takes on the sample, in nightly runs. On larger data the runs take
# the larger share.
_COSTS = (1.0, 0.2, 3.0, 5.0, 14.0, 4.0)


@dataclass(frozen=True, slots=True)
class Work:
    """The number of steps of an evaluation, by what they do.

    Attributes
    ----------
    nightly_runs, refreshes
        Runs of the past to train.
    heads
        Times that both heads are learned.
    lists
        Moments to make full lists at.
    reports
        Protocols to report.
    left_out
        Times that the ranking head is learned without some features.
    """

    nightly_runs: int
    refreshes: int
    heads: int
    lists: int
    reports: int
    left_out: int

    @property
    def total(self) -> int:
        """Return the number of all steps."""
        return sum(astuple(self))

    @property
    def nightly_runs_worth(self) -> float:
        """Return about how many times as long as training one nightly run all steps take."""
        return float(np.dot(astuple(self), _COSTS))


def planned_work(
    store: Store,
    config: Config,
    protocols: Sequence[Protocol],
    *,
    from_ms: int,
    before_ms: int,
    ablate: bool = False,
    n_signals: int = 0,
) -> Work:
    """Return the steps of an evaluation, without taking any.

    Parameters
    ----------
    store, config, protocols, ablate
        See `recsys.evaluation.evaluate`.
    from_ms, before_ms
        The test window.
    n_signals
        How many signals the caller gives.
    """
    builder = ExampleBuilder(PastRuns(store, config))
    spans = served_spans(from_ms, before_ms)
    learned = {begin for span in spans for begin, _ in builder.days(span.as_of_ms)}
    n_moments = sum(1 for _ in moments(from_ms, before_ms, config.ingest.zone()))
    n_refreshes = len(learned) + n_moments
    if any(protocol != "nightly" for protocol in protocols):
        n_refreshes += sum(_n_refreshes(span) for span in spans)
    n_groups = len(FEATURE_GROUPS) * ablate + n_signals
    return Work(
        nightly_runs=len(learned | {span.as_of_ms for span in spans}),
        refreshes=n_refreshes,
        heads=len(spans),
        lists=n_moments,
        reports=len(protocols),
        left_out=len(protocols) * n_groups,
    )


def _n_refreshes(span: Served) -> int:
    """Return how many hourly refreshes serve a span; in the first hour the nightly run does."""
    return int((np.array(served_hours(span.from_ms, span.before_ms)[:-1]) > span.as_of_ms).sum())
