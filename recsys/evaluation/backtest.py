"""Train the nightly runs of a test window again, each with an earlier `as_of`.

`in_view` and `full_list` then judge them by what users did next. These are two tasks, and
neither can replace the other: a system that is best at ordering what an editor had already
chosen may be useless at choosing from all live articles.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from recsys.errors import StoreError
from recsys.learn.examples import RETRIEVAL, ExampleBuilder
from recsys.learn.heads import Heads, fit_retrieval_head, learn_heads
from recsys.learn.past_runs import PastRun
from recsys.learn.protocols import DAY_MS, Protocol, last_nightly_run_ms
from recsys.rows import iso
from recsys.training.liveness import NO_TITLES, has_title

LOG = logging.getLogger(__name__)


class Served(NamedTuple):
    """A nightly run of the test window, and the time span [from_ms, before_ms) that it served."""

    as_of_ms: int
    from_ms: int
    before_ms: int


@dataclass(frozen=True, slots=True)
class EvaluatedRun:
    """A nightly run of the test window.

    Attributes
    ----------
    run
        The run.
    heads
        What it had learned.
    from_ms, before_ms
        It served the impressions shown in [from_ms, before_ms).
    weights_without
        By own signal: the retrieval head that has not learned it.
    """

    run: PastRun
    heads: Heads
    from_ms: int
    before_ms: int
    weights_without: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


def served_spans(from_ms: int, before_ms: int) -> list[Served]:
    """Return the nightly runs of the test window [from_ms, before_ms), and what each served."""
    first_ms = int(last_nightly_run_ms(np.array([from_ms]))[0])
    return [
        Served(as_of_ms, max(as_of_ms, from_ms), min(as_of_ms + DAY_MS, before_ms))
        for as_of_ms in range(first_ms, before_ms, DAY_MS)
    ]


def evaluated_runs(
    builder: ExampleBuilder,
    protocols: Sequence[Protocol],
    *,
    from_ms: int,
    before_ms: int,
) -> list[EvaluatedRun]:
    """Train the nightly runs that served a time span, and learn their heads.

    Parameters
    ----------
    builder
        Builds the examples that the heads learn from; its `past` trains the runs.
    protocols
        The protocols to learn ranking heads for.
    from_ms, before_ms
        The time span [from_ms, before_ms).

    Raises
    ------
    StoreError
        If no article of the store has a title, and the settings require one.
    """
    articles = builder.past.store.articles(known_by_ms=before_ms)
    has_no_titles = len(articles.id_map) > 0 and not has_title(articles).any()
    if has_no_titles and builder.past.config.data.require_title:
        raise StoreError(NO_TITLES)
    runs = []
    for as_of_ms, begin, end in served_spans(from_ms, before_ms):
        run = builder.past.nightly(as_of_ms, as_of_ms + DAY_MS)
        has_forecast = bool(run.model.carry.forecast)
        with builder.past.steps.step(LOG, f"heads learned by {iso(as_of_ms)}"):
            heads = learn_heads(builder, as_of_ms, protocols, has_forecast=has_forecast)
            is_used = heads.reports[RETRIEVAL].used
            weights_without = {}
            for name in builder.past.own_signals:
                weights, _ = fit_retrieval_head(
                    builder, as_of_ms, has_forecast, [name], is_used=is_used
                )
                weights_without[name] = {**weights, name: 0.0}
        runs.append(EvaluatedRun(run, heads, begin, end, weights_without))
    return runs
