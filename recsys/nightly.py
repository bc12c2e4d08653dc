"""One night: from the store to a published run. The one composer of all rooms."""

import dataclasses
import fcntl
import importlib.metadata
import platform
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from recsys import snapshot
from recsys.config import BlendConfig, Config
from recsys.errors import HeldBackError, RecsysError, RunActiveError, SnapshotError
from recsys.learn.examples import Past
from recsys.learn.heads import HeadReport, learn
from recsys.model import ArticleModel, Model, reader_of, recent_items, train
from recsys.night import read_night
from recsys.page.build import PageBuilder, pack_pages
from recsys.page.compose import slots_of
from recsys.readers import pack_profile, profile_of
from recsys.refresh import refresh
from recsys.rows import HOUR_MS, iso
from recsys.store import Store

Kind = Literal["nightly", "refresh"]
BLOCK = 64  # readers scored at once: the block's score matrices stay in the cache
LIBRARIES = ("recsys", "numpy", "scipy", "scikit-learn", "implicit", "polars", "sqlite-utils")


@dataclass(slots=True)
class RunReport:
    """What a run did; stored as JSON in the ledger.

    Attributes
    ----------
    run_id, kind, as_of, status, problems
        Which run, and whether it is served; `problems` says why it is not.
    config
        Fingerprint of the settings.
    window_from
        Oldest click used.
    counts
        Rows read and written, machines left out, and so on.
    seconds
        By stage.
    peak_mb
        Largest resident memory of the process so far, in MiB.
    heads
        How the heads of the blend were learned (`recsys.learn.heads.HeadReport`).
    versions
        Of Python and of the libraries that make the numbers.
    """

    run_id: str
    kind: str
    as_of: str
    status: str = "published"
    problems: list[str] = field(default_factory=list)
    config: str = ""
    window_from: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    peak_mb: int = 0
    heads: dict[str, HeadReport] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)


class _Clock:
    """Times stages and tells a listener of each."""

    def __init__(self, report: RunReport, listener: Callable[[str], None]) -> None:
        self._report, self._listener = report, listener

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        self._listener(stage)
        start = time.perf_counter()
        yield
        self._report.seconds[stage] = round(time.perf_counter() - start, 3)


def reader_pages(
    model: Model, builder: PageBuilder, n_slots: dict[str, int], as_of_ms: int
) -> Iterator[tuple[str, bytes, bytes | None]]:
    """Yield every reader, with packed profile and page, made in blocks.

    A page that has something to say of itself is left to whoever asks for it.
    """
    live = model.page.live
    n_live = len(live.live_rows)
    similar = csr_matrix(
        (live.similar.value, live.similar.column, live.similar.start),
        shape=(len(model.articles), n_live),
    )
    order = sorted(range(len(model.user_ids)), key=model.user_ids.__getitem__)
    for start in range(0, len(order), BLOCK):
        rows = order[start : start + BLOCK]
        readers = [reader_of(model, row) for row in rows]
        recent = recent_items(model.reads[rows], live.weights)
        cosine = (recent @ similar).toarray().astype(np.float32)
        pages = pack_pages(builder.block(readers, live.weights.text * cosine, n_slots))
        for row, reader, page in zip(rows, readers, pages, strict=True):
            profile = profile_of(reader, live.live_rows, as_of_ms)
            yield model.user_ids[row], pack_profile(profile), page


def common_pages(builder: PageBuilder, n_slots: dict[str, int]) -> Iterator[tuple[str, int, bytes]]:
    """Yield the anonymous front page, then that of each live article; as `reader_pages`."""
    wanted: list[tuple[str, int | None]] = [(snapshot.ANONYMOUS, None)]
    wanted += [(snapshot.ARTICLE, known) for known in builder.model.live.live_rows.tolist()]
    for audience, known in wanted:
        (page,) = pack_pages(builder.page(None, known, n_slots).pages)
        if page is not None:
            yield audience, -1 if known is None else known, page


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; the system lets go of it if the process dies."""
    with (folder / ".lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunActiveError(f"{folder}: another run is active here") from error
        yield


def problems_of(meta: snapshot.Meta, folder: Path, config: Config) -> list[str]:
    """Return what looks wrong with tonight, against sane bounds and the current run."""
    n_live, n_readers = meta.n_live, meta.n_readers
    if not n_live:
        return ["no live articles: are articles or clicks of the last days in the store?"]
    run_id = snapshot.current_run(folder)
    if run_id is None:
        return []
    path = snapshot.run_path(folder, run_id)
    try:
        conn = snapshot.connect(path)
        try:
            last = snapshot.load_meta(conn, path)
        finally:
            conn.close()
    except SnapshotError:
        return []  # a damaged current run is no yardstick, and a reason to publish
    share = config.publish.min_share_of_last_run
    pairs = (("live articles", n_live, last.n_live), ("readers", n_readers, last.n_readers))
    return [
        f"{tonight} {what}, {before} in {run_id}: below the share of {share}"
        for what, tonight, before in pairs
        if tonight < share * before
    ]


def _next_run_id(folder: Path, store: Store, as_of_ms: int) -> str:
    known = snapshot.run_ids(folder) + [run["run_id"] for run in store.runs()]
    sequence = max((int(r[:6]) for r in known if r[:6].isdigit()), default=0) + 1
    return f"{sequence:06d}-{iso(as_of_ms)[:19].replace(':', '').replace('-', '')}Z"


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        found[name] = importlib.metadata.version(name)
    return found


def run_nightly(
    store: Store,
    folder: Path,
    *,
    as_of_ms: int,
    config: Config,
    kind: Kind = "nightly",
    listener: Callable[[str], None] = lambda stage: None,
) -> RunReport:
    """Train, score and publish one night, or refresh the current run.

    Parameters
    ----------
    store
        What to learn from; the run is entered in its ledger.
    folder
        Where runs are published; made if absent.
    as_of_ms
        Nothing of this instant or later is used.
    config
        All settings.
    kind
        "refresh" carries the current run's factors on instead of training: new
        articles, counts, recency and clicks since then, in a fraction of the time.
    listener
        Told the name of each stage as it starts.

    Returns
    -------
    RunReport
        Of a run that is now served.

    Raises
    ------
    HeldBackError
        If the run looks wrong: it is kept, in the ledger and as a file, not served.
    RunActiveError
        If another run is at work on this folder.
    NotPublishedError
        If a refresh finds no run to carry on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _lock(folder):
        run_id = _next_run_id(folder, store, as_of_ms)
        report = RunReport(run_id, kind, iso(as_of_ms), config=config.digest())
        report.versions = _versions()
        report.window_from = iso(as_of_ms - round(config.data.window_days * 24 * HOUR_MS))
        try:
            _run(store, folder, as_of_ms, config, report, _Clock(report, listener))
        except (RecsysError, OSError, ValueError) as error:
            report.status, report.problems = "failed", [str(error)]
            raise
        finally:
            report.peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            store.put_run(
                run_id, report.kind, report.as_of, report.status, dataclasses.asdict(report)
            )
    if report.problems:
        raise HeldBackError(run_id, report.problems)
    return report


def _run(
    store: Store, folder: Path, as_of_ms: int, config: Config, report: RunReport, stage: _Clock
) -> None:
    about = {"run_id": report.run_id, "as_of": report.as_of}
    path = snapshot.run_path(folder, report.run_id)
    if report.kind == "refresh":
        found = refresh(store, folder, as_of_ms, config, stage)
        meta = _meta(about, found.model, found.weights, found.base, found.n_readers)
        with stage("write"):
            readers = ((user, packed, None) for user, packed in sorted(found.profiles.items()))
            made = found.model
            snapshot.write(
                path, meta, made.page, found.rank, made.carry, made.articles, readers, ()
            )
        report.counts = made.counts | {"readers_touched": len(found.profiles)}
    else:
        with stage("read"):
            night = read_night(store, as_of_ms, config)
        with stage("learn"):
            heads = learn(Past(store, config, keep=True), as_of_ms, ("nightly", "hourly"))
        report.heads = heads.reports
        config = dataclasses.replace(config, blend=heads.weights)
        model = train(store, night, config, stage)
        meta = _meta(about, model, heads.weights, None, len(model.user_ids))
        rank = dataclasses.replace(
            model.rank, curves=heads.curves["nightly"], refresh_curves=heads.curves["hourly"]
        )
        n_slots = slots_of(config.page.n, config.page.n_latest)
        with stage("score and write"), threadpool_limits(1, "blas"):
            builder = PageBuilder(model.page)
            snapshot.write(
                path, meta, model.page, rank, model.carry, model.articles,
                reader_pages(model, builder, n_slots, as_of_ms), common_pages(builder, n_slots),
            )  # fmt: skip
        report.counts = model.counts
    report.counts["readers"] = meta.n_readers
    with stage("publish"):
        report.problems = problems_of(meta, folder, config)
        if report.problems:
            report.status = "held back"
            return
        snapshot.make_current(folder, report.run_id)
        snapshot.prune(folder, config.publish.keep_runs)


def _meta(
    about: dict[str, str], model: ArticleModel, weights: BlendConfig, base: str | None,
    n_readers: int,
) -> snapshot.Meta:  # fmt: skip
    return snapshot.Meta(
        **about, base=base, weights=weights, n_live=len(model.page.live.live_rows),
        n_readers=n_readers,
    )  # fmt: skip
