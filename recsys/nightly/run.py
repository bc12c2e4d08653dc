"""One night: from the store to a published run. The one composer of all rooms."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

from threadpoolctl import threadpool_limits

from recsys.blend.live_model import PageModel, UserState
from recsys.blend.profiles import UserStateBuilder
from recsys.config import BlendConfig, Config, toml_of
from recsys.errors import HeldBackError, RecsysError, StoreError
from recsys.files import locked
from recsys.learn.examples import Past
from recsys.learn.heads import days_of, days_without_examples, learn
from recsys.learn.regimes import Protocol
from recsys.nightly import publish_gate
from recsys.nightly.publish_gate import publish_problems
from recsys.nightly.refresh import refresh
from recsys.nightly.run_report import (
    RunReport,
    StageClock,
    library_versions,
    peak_memory_mb,
)
from recsys.nightly.workers import build_examples_of_days, scored
from recsys.published import folder as published_folder
from recsys.published import run_file
from recsys.rows import HOUR_MS, iso
from recsys.store.database import Store
from recsys.training.article_signals import lifted_by_bots
from recsys.training.text_vectors import count_new_texts
from recsys.training.train import ArticleModel, train, user_state_of, with_weights
from recsys.training.window import read_training_window

Kind = Literal["nightly", "refresh"]
MANY_USERS = 20_000  # from here on a task of its own is worth a process
MANY_CLICKS = 2_000_000  # from here on past nights are made one at a time, for memory
REGIMES: tuple[Protocol, ...] = ("nightly", "hourly")


@contextmanager
def _workers(n_processes: int) -> Iterator[ProcessPoolExecutor | None]:
    """Yield processes to share a night with; None where it is this one's alone."""
    if n_processes == 1:
        yield None
        return
    with ProcessPoolExecutor(n_processes, get_context("spawn")) as workers:
        yield workers


def _examples_ahead(
    workers: ProcessPoolExecutor | None, n_at_once: int, store: Store, config: Config, as_of_ms: int
) -> list[Future[None]]:
    """Let other processes keep what the past days teach, and return their tasks."""
    if workers is None:
        return []
    past = Past(store, config, keep=True)
    days = days_without_examples(past, REGIMES, days_of(store, config, as_of_ms))
    shares = [days[i::n_at_once] for i in range(min(n_at_once, len(days)))]
    return [
        workers.submit(build_examples_of_days, store.path, config, REGIMES, share)
        for share in shares
    ]


def _next_run_id(folder: Path, store: Store, as_of_ms: int) -> str:
    known = published_folder.run_ids(folder) + published_folder.run_ids(folder, ".held")
    known += [run["run_id"] for run in store.runs()]
    sequence = max((int(r[:6]) for r in known if r[:6].isdigit()), default=0) + 1
    return f"{sequence:06d}-{iso(as_of_ms)[:19].replace(':', '').replace('-', '')}Z"


def run_nightly(
    store: Store,
    folder: Path,
    *,
    as_of_ms: int,
    config: Config,
    kind: Kind = "nightly",
    on_progress: Callable[[str], None] = lambda stage: None,
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
        report = RunReport(run_id, kind, iso(as_of_ms), settings=toml_of(config))
        report.versions = library_versions()
        report.window_from = iso(as_of_ms - round(config.data.window_days * 24 * HOUR_MS))
        entry = (run_id, report.kind, report.as_of)
        store.put_run(*entry, "begun", dataclasses.asdict(report))  # for one that is killed
        try:
            _run(
                store,
                folder,
                as_of_ms,
                config,
                report,
                StageClock(report, on_progress),
                n_processes,
            )
        except BaseException as error:
            died = isinstance(error, BrokenExecutor)
            why = "a process of the run died" if died else str(error) or type(error).__name__
            report.status, report.problems = "failed", [why]
            with suppress(StoreError):  # what failed the run may fail the ledger too
                store.put_run(*entry, report.status, dataclasses.asdict(report))
            if died:
                raise RecsysError(
                    f"{run_id}: {why}, perhaps for lack of memory; what is served stays, and"
                    " the next run begins anew"
                ) from error
            raise
        report.peak_mb = peak_memory_mb()
        store.put_run(*entry, report.status, dataclasses.asdict(report))
    if report.problems:
        raise HeldBackError(run_id, report.problems)
    return report


def _run(
    store: Store,
    folder: Path,
    as_of_ms: int,
    config: Config,
    report: RunReport,
    stage: StageClock,
    n_processes: int,
) -> None:
    path = published_folder.held_path(folder, report.run_id)
    if report.kind == "refresh":
        meta, page = _refreshed(store, folder, path, as_of_ms, config, report, stage)
    else:
        meta, page = _trained(store, path, as_of_ms, config, report, stage, n_processes)
    with stage("publish"):
        report.problems = publish_problems(meta, report.vitals, page, folder, config)
        if report.problems:
            report.status = "held back"
            return
        published_folder.publish(folder, report.run_id)
        published_folder.prune(folder, config.publish.keep_runs)
    if report.kind == "nightly" and config.data.keep_days:
        with stage("erase"):
            kept_ms = round(config.data.keep_days * 24 * HOUR_MS)
            for table, n in store.erasure.before(as_of_ms - kept_ms).items():
                report.counts[f"erased_{table}"] = n


def _refreshed(
    store: Store,
    folder: Path,
    path: Path,
    as_of_ms: int,
    config: Config,
    report: RunReport,
    stage: StageClock,
) -> tuple[run_file.RunMeta, PageModel]:
    """Write the current run and what came since."""
    found = refresh(store, folder, as_of_ms, config, stage)
    made, page = found.model, found.model.page
    touched = {"readers": found.n_users, "readers_touched": len(found.profiles)}
    report.counts = made.counts | touched
    packed, builder = list(found.profiles.values()), UserStateBuilder(page)
    readers = [builder.reader(packed[i]) for i in publish_gate.sampled(len(packed))]
    meta = _check_pages(report, made, readers, as_of_ms, found.weights, found.base, stage)
    with stage("write"):
        rows = ((user, profile, None) for user, profile in sorted(found.profiles.items()))
        run_file.write(path, meta, page, found.rank, made.carry, made.articles, rows)
    return meta, page


def _trained(
    store: Store,
    path: Path,
    as_of_ms: int,
    config: Config,
    report: RunReport,
    stage: StageClock,
    n_processes: int,
) -> tuple[run_file.RunMeta, PageModel]:
    """Write a night, trained and scored."""
    with stage("read"):
        window = read_training_window(store, as_of_ms, config)
        if len(window.users) < MANY_USERS:
            n_processes = 1
    report.lifted_by_bots = lifted_by_bots(window, config)
    with _workers(n_processes) as workers:
        with stage("new texts"):
            n_counted = count_new_texts(store, window.articles, config, workers)
        n_at_once = 1 if len(window.user_index) > MANY_CLICKS else n_processes
        tasks = _examples_ahead(workers, n_at_once, store, config, as_of_ms)
        model = train(store, window, config, stage)
        with stage("learn"):
            for task in tasks:
                task.result()
            heads = learn(Past(store, config, keep=True), as_of_ms, REGIMES)
    report.heads = heads.reports
    report.counts = model.counts | {"articles_vectorised": n_counted}
    model = with_weights(model, heads.weights)
    some = [
        user_state_of(model.readers, row)
        for row in publish_gate.sampled(len(model.readers.user_ids))
    ]
    meta = _check_pages(report, model, some, as_of_ms, heads.weights, None, stage)
    rank = dataclasses.replace(
        model.rank, curves=heads.curves["nightly"], refresh_curves=heads.curves["hourly"]
    )
    with stage("score and write"), threadpool_limits(1, "blas"):
        rows = scored(model.readers, model.page, as_of_ms, n_processes)
        run_file.write(path, meta, model.page, rank, model.carry, model.articles, rows)
    return meta, model.page


def _check_pages(
    report: RunReport,
    made: ArticleModel,
    readers: Sequence[UserState],
    as_of_ms: int,
    weights: BlendConfig,
    base: str | None,
    stage: StageClock,
) -> run_file.RunMeta:
    """Look at what a run will show, and return what it says of itself."""
    with stage("look"):
        if len(made.page.live.live_rows):
            watched = {what: report.counts[what] for what in ("live_articles", "readers", "clicks")}
            ids = [article.article_id for article in made.articles]
            auc = {
                name: (head.learned if head.used else head.shipped) or 0.5
                for name, head in report.heads.items()
                if head.n >= publish_gate.MANY_CHOICES
            }
            report.vitals = publish_gate.vitals_of(made.page, ids, readers, as_of_ms, watched, auc)
    return run_file.RunMeta(
        run_id=report.run_id,
        base=base,
        as_of=report.as_of,
        n_users=report.counts["readers"],
        weights=weights,
        vitals=None if report.vitals is None else dataclasses.asdict(report.vitals),
    )
