"""What of a night is one task a shard: pages of some readers, examples of one past day.

Tasks take data and return data, so that another engine may run them. Here it is this
process, or several on this machine; the result is the same.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from threadpoolctl import threadpool_limits

from recsys.config import Config
from recsys.learn.examples import Past
from recsys.learn.heads import teach
from recsys.learn.regimes import Protocol
from recsys.model import Readers, reader_of
from recsys.page.build import Crowd, PageBuilder, pack_pages
from recsys.page.compose import slots_of
from recsys.page.rankings import PageModel
from recsys.readers import pack_profile, profile_of
from recsys.store import Store

BLOCK = 48  # readers scored at once: the block's score matrices stay in the cache
SHARD = 64 * BLOCK  # readers a task
Row = tuple[str, bytes, bytes | None]  # reader, packed profile, packed page


class Scorer:
    """Makes the pages of shards of readers, from one night's articles.

    Parameters
    ----------
    page, as_of_ms
        The night.
    """

    def __init__(self, page: PageModel, as_of_ms: int) -> None:
        live, config = page.live, page.config
        self._live, self._as_of_ms = live, as_of_ms
        self._builder = PageBuilder(page)
        self._n_slots = slots_of(config.n, config.n_latest)

    def rows(self, shard: Readers) -> list[Row]:
        """Return every reader with packed profile and page, made in blocks.

        A page that has something to say of itself is left to whoever asks for it: None.
        """
        found = []
        for start in range(0, len(shard.user_ids), BLOCK):
            block = range(start, min(start + BLOCK, len(shard.user_ids)))
            readers = [reader_of(shard, row) for row in block]
            pages = self._builder.block(Crowd.of(readers), self._n_slots)
            for row, reader, page in zip(block, readers, pack_pages(pages), strict=True):
                profile = profile_of(reader, self._live.live_rows, self._as_of_ms)
                found.append((shard.user_ids[row], pack_profile(profile), page))
        return found


_scorer: Scorer | None = None  # of a process that makes nothing but pages


def _prepare(page: PageModel, as_of_ms: int) -> None:
    global _scorer  # a task is told its shard alone; the articles are sent once
    threadpool_limits(1, "blas")
    _scorer = Scorer(page, as_of_ms)


def _rows(shard: Readers) -> list[Row]:
    assert _scorer is not None
    return _scorer.rows(shard)


def scored(readers: Readers, page: PageModel, as_of_ms: int, n_processes: int) -> Iterator[Row]:
    """Yield the rows of all readers, in order of their ids.

    Parameters
    ----------
    readers, page, as_of_ms
        The night.
    n_processes
        1 for this process alone.
    """
    order = sorted(range(len(readers.user_ids)), key=readers.user_ids.__getitem__)
    shards = (readers.of(order[i : i + SHARD]) for i in range(0, len(order), SHARD))
    if n_processes == 1:
        scorer = Scorer(page, as_of_ms)
        for shard in shards:
            yield from scorer.rows(shard)
        return
    with ProcessPoolExecutor(
        n_processes, get_context("spawn"), initializer=_prepare, initargs=(page, as_of_ms)
    ) as pool:
        ahead: deque[Future[list[Row]]] = deque()
        for shard in shards:  # a few ahead, not all of them in memory
            ahead.append(pool.submit(_rows, shard))
            if len(ahead) > 2 * n_processes:
                yield from ahead.popleft().result()
        while ahead:
            yield from ahead.popleft().result()


def teach_day(
    store: Path, config: Config, regimes: Sequence[Protocol], begin_ms: int, end_ms: int
) -> None:
    """Keep in a store what one past day teaches, unless it is kept already."""
    with Store(store, must_exist=True) as opened:
        teach(Past(opened, config, keep=True), regimes, begin_ms, end_ms)
