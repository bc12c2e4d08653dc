"""The parts of a nightly run that are divided into tasks: pages of users, examples of past days.

Tasks take data and return data, so another engine may run them. Here threads of this process
build the pages, and other processes build the examples. The result does not depend on how the
work is divided.
"""

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from recsys.blend.linear import user_sides
from recsys.blend.live_model import PageModel
from recsys.blend.profiles import Parts, Profiles, pack_profiles
from recsys.config import Config
from recsys.learn.examples import Day, ExampleBuilder
from recsys.learn.past_runs import PastRuns
from recsys.learn.protocols import Protocol
from recsys.matrices import unit_rows
from recsys.page.build import PageBuilder, UserBlock
from recsys.page.slots import pack_pages
from recsys.steps import StepRecord
from recsys.store.database import Store
from recsys.training.users import TrainedUsers

LOG = logging.getLogger(__name__)
BLOCK = 96  # users scored at once: fewer make each product slower, more leave the cache
SHARD = 32 * BLOCK  # users of one task
Row = tuple[str, bytes, bytes | None]  # user id, packed profile, packed page


class PageScorer:
    """Builds profiles and pages of shards of users, all from one run; threads may share it.

    Parameters
    ----------
    page
        The model of the run.
    as_of_ms
        The run's `as_of`.
    """

    def __init__(self, page: PageModel, as_of_ms: int) -> None:
        self._live, self._as_of_ms = page.live, as_of_ms
        self._builder = PageBuilder(page)
        self._layout = self._builder.layout(None, has_context=False)

    def rows(self, shard: TrainedUsers) -> list[Row]:
        """Return the id, packed profile and packed page of each user.

        The page is None where it has a note, for example that a list is short: such a page is
        built when it is asked for.
        """
        latest, live, exposed = shard.latest_reads, shard.live_reads.sorted_indices(), shard.exposed
        tastes = unit_rows(latest @ self._live.vectors)
        users = UserBlock(
            user_sides(self._live, shard.factors, tastes, shard.affinity),
            latest.indptr.astype(np.int64),
            latest.indices.astype(np.int64),
            live.indptr.astype(np.int64),
            live.indices.astype(np.int64),
        )
        pages: list[bytes | None] = []
        for begin in range(0, len(shard.user_ids), BLOCK):
            end = min(begin + BLOCK, len(shard.user_ids))
            pages += pack_pages(self._builder.block(users.part(begin, end), self._layout))
        profiles = Profiles(
            np.full(len(shard.user_ids), self._as_of_ms),
            shard.factors,
            shard.affinity,
            Parts(users.reads_start, users.reads),
            Parts(users.read_start, self._live.live_rows[users.read]),
            Parts(exposed.indptr, exposed.indices),
            np.expm1(shard.exposure_counts),
        )
        return list(zip(shard.user_ids, pack_profiles(profiles), pages, strict=True))


def score_users(
    users: TrainedUsers, page: PageModel, as_of_ms: int, n_threads: int
) -> Iterator[Row]:
    """Yield the id, packed profile and packed page of every user, in id order.

    Parameters
    ----------
    users
        The users of the run.
    page, as_of_ms
        See `PageScorer`.
    n_threads
        How many threads share the work. They run side by side, since most of their time is
        spent in compiled code.
    """
    order = sorted(range(len(users.user_ids)), key=users.user_ids.__getitem__)
    shards = (users.select(order[i : i + SHARD]) for i in range(0, len(order), SHARD))
    scorer, n_scored = PageScorer(page, as_of_ms), 0

    def rows_of(task: Future[list[Row]]) -> list[Row]:
        nonlocal n_scored
        rows = task.result()
        n_scored += len(rows)
        progress = StepRecord("users scored", n_scored, len(order))
        LOG.debug("%d of %d users scored", n_scored, len(order), extra={"step": progress})
        return rows

    with ThreadPoolExecutor(n_threads) as pool:
        pending: deque[Future[list[Row]]] = deque()
        for shard in shards:
            pending.append(pool.submit(scorer.rows, shard))
            if len(pending) > 2 * n_threads:  # so that not all shards are in memory
                yield from rows_of(pending.popleft())
        while pending:
            yield from rows_of(pending.popleft())


def build_examples_of_day(
    store: Path, config: Config, protocols: Sequence[Protocol], day: Day
) -> None:
    """Build the examples of a past day into a store, unless the store has them.

    Parameters
    ----------
    store
        File of the store, which keeps the examples.
    config
        All settings.
    protocols
        The protocols to build examples for.
    day
        Its begin and its end.
    """
    with Store(store, must_exist=True) as opened:
        ExampleBuilder(PastRuns(opened, config), keep_in_store=True).build(protocols, day)
