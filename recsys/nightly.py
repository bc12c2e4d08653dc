"""One night: from the store to a published run. The one composer of all rooms."""

import dataclasses
import importlib.metadata
import platform
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

import numpy as np
from threadpoolctl import threadpool_limits

from recsys import snapshot
from recsys.config import BlendConfig, Config
from recsys.errors import HeldBackError, RecsysError, SnapshotError
from recsys.files import locked
from recsys.learn.examples import Past
from recsys.learn.heads import HeadReport, days_of, learn
from recsys.learn.regimes import Protocol
from recsys.model import ArticleModel, article_vectors, train, with_weights
from recsys.night import read_night
from recsys.page.rankings import PageModel
from recsys.refresh import refresh
from recsys.rows import HOUR_MS, iso
from recsys.shards import scored, teach_day
from recsys.store import Store

Kind = Literal["nightly", "refresh"]
MANY_READERS = 20_000  # from here on a task of its own is worth a process
REGIMES: tuple[Protocol, ...] = ("nightly", "hourly")
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


@contextmanager
def _teaching(
    store: Store, config: Config, as_of_ms: int, n_processes: int
) -> Iterator[Callable[[], None]]:
    """Let other processes keep what the past days teach; yields what waits for them."""
    if n_processes == 1:
        yield lambda: None
        return
    with ProcessPoolExecutor(n_processes, get_context("spawn")) as pool:
        days = [
            pool.submit(teach_day, store.path, config, REGIMES, *day)
            for day in days_of(store, config, as_of_ms)
        ]
        yield lambda: _wait_for(days)


def _wait_for(days: Sequence[Future[None]]) -> None:
    """Wait for tasks, and raise what one raised."""
    for day in days:
        day.result()


def problems_of(
    meta: snapshot.Meta, page: PageModel, report: RunReport, folder: Path, store: Store,
    config: Config,
) -> list[str]:  # fmt: skip
    """Return what looks wrong with tonight, against sane bounds and the runs before."""
    if not meta.n_live:
        return ["no live articles: are articles or clicks of the last days in the store?"]
    signals = {"factors": page.live.factors, "importance": page.importance, "rise": page.rise}
    found = [
        f"{name}: some are not finite numbers"
        for name, values in (signals | page.live.static).items()
        if not np.isfinite(values).all()
    ]
    run_id = snapshot.current_run(folder)
    if run_id is None:
        return found
    path = snapshot.run_path(folder, run_id)
    try:
        with closing(snapshot.connect(path)) as conn:
            last = snapshot.load_meta(conn, path)
    except SnapshotError:
        return found  # a damaged current run is no yardstick, and a reason to publish
    # A refresh reads fewer days of clicks than a night, so each is held against its own kind.
    kept = set(snapshot.run_ids(folder))
    alike = [
        (run["run_id"], run["report"]["counts"]["clicks"])
        for run in store.runs()
        if (run["kind"], run["status"]) == (report.kind, "published") and run["run_id"] in kept
    ]
    run_alike, clicks_before = alike[-1] if alike else (run_id, 0)
    share = config.publish.min_share_of_last_run
    pairs = (
        ("live articles", meta.n_live, last.n_live, run_id),
        ("readers", meta.n_readers, last.n_readers, run_id),
        ("clicks", report.counts["clicks"], clicks_before, run_alike),
    )
    return found + [
        f"{tonight} {what}, {before} in {of_run}: below the share of {share}"
        for what, tonight, before, of_run in pairs
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
    n_processes: int = 1,
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
    n_processes
        How many may work at a night with many readers. They are spawned: a script that
        asks for more than one keeps its own work under `if __name__ == "__main__"`.

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
    with locked(folder):
        run_id = _next_run_id(folder, store, as_of_ms)
        report = RunReport(run_id, kind, iso(as_of_ms), config=config.digest())
        report.versions = _versions()
        report.window_from = iso(as_of_ms - round(config.data.window_days * 24 * HOUR_MS))
        try:
            _run(store, folder, as_of_ms, config, report, _Clock(report, listener), n_processes)
        except BrokenExecutor as error:
            report.status, report.problems = "failed", ["a process of the run died"]
            raise RecsysError(
                f"{run_id}: a process of the run died, perhaps for lack of memory; what is"
                " served stays, and the next run begins anew"
            ) from error
        except BaseException as error:
            report.status, report.problems = "failed", [str(error) or type(error).__name__]
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
    store: Store, folder: Path, as_of_ms: int, config: Config, report: RunReport, stage: _Clock,
    n_processes: int,
) -> None:  # fmt: skip
    about = {"run_id": report.run_id, "as_of": report.as_of}
    path = snapshot.run_path(folder, report.run_id)
    if report.kind == "refresh":
        found = refresh(store, folder, as_of_ms, config, stage)
        meta = _meta(about, found.model, found.weights, found.base, found.n_readers)
        with stage("write"):
            readers = ((user, packed, None) for user, packed in sorted(found.profiles.items()))
            made = found.model
            page = made.page
            snapshot.write(path, meta, page, found.rank, made.carry, made.articles, readers)
        report.counts = made.counts | {"readers_touched": len(found.profiles)}
    else:
        with stage("read"):
            night = read_night(store, as_of_ms, config)
            if len(night.users) < MANY_READERS:
                n_processes = 1
        with stage("new texts"):
            _, n_counted = article_vectors(store, night.articles, config)
        with _teaching(store, config, as_of_ms, n_processes) as taught:
            model = train(store, night, config, stage)
            with stage("learn"):
                taught()
                heads = learn(Past(store, config, keep=True), as_of_ms, REGIMES)
        report.heads = heads.reports
        model = with_weights(model, heads.weights)
        page = model.page
        meta = _meta(about, model, heads.weights, None, len(model.readers.user_ids))
        rank = dataclasses.replace(
            model.rank, curves=heads.curves["nightly"], refresh_curves=heads.curves["hourly"]
        )
        with stage("score and write"), threadpool_limits(1, "blas"):
            snapshot.write(
                path, meta, page, rank, model.carry, model.articles,
                scored(model.readers, page, as_of_ms, n_processes),
            )  # fmt: skip
        report.counts = model.counts | {"articles_vectorised": n_counted}
    report.counts["readers"] = meta.n_readers
    with stage("publish"):
        report.problems = problems_of(meta, page, report, folder, store, config)
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
