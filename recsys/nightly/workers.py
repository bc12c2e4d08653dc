"""What of a night is one task a shard: pages of some readers, examples of one past day.

Tasks take data and return data, so that another engine may run them. Here it is threads of
this process, and processes for past days; the result is the same.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from recsys.blend.live_model import PageModel
from recsys.blend.profiles import Parts, Profiles, pack_profiles
from recsys.config import Config
from recsys.learn.examples import Past
from recsys.learn.heads import build_examples
from recsys.learn.regimes import Protocol
from recsys.page.build import PageBuilder, UserBlock, pack_pages
from recsys.page.compose import slots_of
from recsys.store.database import Store
from recsys.training.train import TrainedUsers

BLOCK = 96  # readers scored at once: fewer cost more a product, more leave the cache
SHARD = 32 * BLOCK  # readers a task
Row = tuple[str, bytes, bytes | None]  # reader, packed profile, packed page


class Scorer:
    """Makes the pages of shards of readers, from one night's articles; threads may share it.

    Parameters
    ----------
    page, as_of_ms
        The night.
    """

    def __init__(self, page: PageModel, as_of_ms: int) -> None:
        self._live_rows, self._as_of_ms = page.live.live_rows, as_of_ms
        self._builder = PageBuilder(page)
        self._n_slots = slots_of(page.config.n, page.config.n_latest)

    def rows(self, shard: TrainedUsers) -> list[Row]:
        """Return every reader with packed profile and page, made in blocks.

        A page that has something to say of itself is left to whoever asks for it: None.
        """
        reads, read, exposed = shard.reads, shard.read_places.sorted_indices(), shard.exposed
        crowd = UserBlock(
            np.hstack((shard.factors, shard.affinity)),
            reads.indptr.astype(np.int64),
            reads.indices.astype(np.int64),
            read.indptr.astype(np.int64),
            read.indices.astype(np.int64),
        )
        pages: list[bytes | None] = []
        for begin in range(0, len(shard.user_ids), BLOCK):
            end = min(begin + BLOCK, len(shard.user_ids))
            pages += pack_pages(self._builder.block(crowd.part(begin, end), self._n_slots))
        profiles = Profiles(
            np.full(len(shard.user_ids), self._as_of_ms),
            shard.factors,
            shard.affinity,
            Parts(crowd.reads_start, crowd.reads),
            Parts(crowd.read_start, self._live_rows[crowd.read]),
            Parts(exposed.indptr, exposed.indices),
            np.expm1(shard.exposure_counts),
        )
        return list(zip(shard.user_ids, pack_profiles(profiles), pages, strict=True))


def scored(readers: TrainedUsers, page: PageModel, as_of_ms: int, n_threads: int) -> Iterator[Row]:
    """Yield the rows of all readers, in order of their ids.

    Parameters
    ----------
    readers, page, as_of_ms
        The night.
    n_threads
        How many work at it; most of their time is spent outside the interpreter.
    """
    order = sorted(range(len(readers.user_ids)), key=readers.user_ids.__getitem__)
    shards = (readers.of(order[i : i + SHARD]) for i in range(0, len(order), SHARD))
    scorer = Scorer(page, as_of_ms)
    with ThreadPoolExecutor(n_threads) as pool:
        ahead: deque[Future[list[Row]]] = deque()
        for shard in shards:  # a few ahead, not all of them in memory
            ahead.append(pool.submit(scorer.rows, shard))
            if len(ahead) > 2 * n_threads:
                yield from ahead.popleft().result()
        while ahead:
            yield from ahead.popleft().result()


def build_examples_of_days(
    store: Path, config: Config, regimes: Sequence[Protocol], days: Sequence[tuple[int, int]]
) -> None:
    """Keep in a store what some past days teach, one after another, unless it is kept already."""
    with Store(store, must_exist=True) as opened:
        for day in days:
            build_examples(Past(opened, config, keep=True), regimes, *day)
