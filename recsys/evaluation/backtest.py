"""Train the nightly runs of a test window again, each with an earlier `as_of`.

`in_view` and `full_list` then judge them by what users did next. These are two tasks, and
neither can replace the other: a system that is best at ordering what an editor had already
chosen may be useless at choosing from all live articles.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recsys.errors import StoreError
from recsys.learn.examples import ExampleBuilder
from recsys.learn.heads import Heads, learn_heads
from recsys.learn.past_runs import PastRun
from recsys.learn.protocols import DAY_MS, Protocol, last_nightly_run_ms
from recsys.rows import iso
from recsys.steps import step
from recsys.training.liveness import NO_TITLES, has_title

LOG = logging.getLogger(__name__)


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
    """

    run: PastRun
    heads: Heads
    from_ms: int
    before_ms: int


def evaluated_runs(
    builder: ExampleBuilder, protocols: Sequence[Protocol], *, from_ms: int, before_ms: int
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
    first_ms = int(last_nightly_run_ms(np.array([from_ms]))[0])
    runs = []
    nights_ms = range(first_ms, before_ms, DAY_MS)
    for number, as_of_ms in enumerate(nights_ms, start=1):
        with step(LOG, f"night of {iso(as_of_ms)}", number=number, total=len(nights_ms)):
            run = builder.past.nightly(as_of_ms, as_of_ms + DAY_MS)
            has_forecast = bool(run.model.carry.forecast)
            heads = learn_heads(builder, as_of_ms, protocols, has_forecast=has_forecast)
        begin, end = max(as_of_ms, from_ms), min(as_of_ms + DAY_MS, before_ms)
        runs.append(EvaluatedRun(run, heads, begin, end))
    return runs
