"""Make a run: read the training window, train, score, check, and publish."""

import dataclasses
import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

from recsys.blas import blas_on_one_thread
from recsys.blend.curves import taken_names
from recsys.blend.live_model import PageModel, UserState
from recsys.blend.profiles import UserStateBuilder
from recsys.config import Config
from recsys.config_file import differences, toml_of
from recsys.errors import HeldBackError, RecsysError, StoreError, printable_path
from recsys.files import create_folder, locked
from recsys.learn.examples import Day, ExampleBuilder, examples_of
from recsys.learn.forecast import learn_forecast
from recsys.learn.heads import learn_heads
from recsys.learn.past_runs import PastRuns
from recsys.learn.protocols import Protocol
from recsys.nightly.publish_gate import (
    MANY_CHOICES,
    evenly_spaced,
    measure_vitals,
    non_finite_signals,
    publish_problems,
)
from recsys.nightly.refresh import refresh
from recsys.nightly.run_report import (
    ERASE,
    STAGES,
    RunReport,
    StageClock,
    library_versions,
    peak_memory_mb,
)
from recsys.nightly.workers import build_examples_of_day, score_users
from recsys.page.list_table import require_known_names
from recsys.page.rules import Rule
from recsys.published import folder as published_folder
from recsys.published import run_file
from recsys.published.connection import connect
from recsys.rows import HOUR_MS, iso
from recsys.signals.own_signals import NO_OWN_SIGNALS, OwnSignals, require_new_names
from recsys.steps import step
from recsys.store.database import Store
from recsys.training.article_signals import articles_lifted_by_bots
from recsys.training.text_vectors import count_new_texts
from recsys.training.train import ArticleModel, train, window_sizes, with_weights
from recsys.training.window import read_training_window

LOG = logging.getLogger(__name__)
Kind = Literal["nightly", "refresh"]
MANY_USERS = 20_000  # with fewer users, starting a process takes longer than its task
MANY_CLICKS = 2_000_000  # with more clicks, past runs are trained one at a time, to save memory
PROTOCOLS_SERVED: tuple[Protocol, ...] = ("nightly", "hourly")
WATCHED_COUNTS = ("live_articles", "users", "clicks")  # compared with those of the last run


@dataclass(frozen=True, slots=True)
class _Job:
    """The inputs of a run, and what reports on it."""

    store: Store
    folder: Path
    as_of_ms: int
    config: Config
    n_processes: int
    report: RunReport
    stage: StageClock
    own_signals: OwnSignals
    run_key: bytes | None

    @property
    def path(self) -> Path:
        """Return the file that the run is written to before it is published."""
        return published_folder.held_path(self.folder, self.report.run_id)


def run_nightly(
    store: Store,
    folder: Path,
    *,
    as_of_ms: int,
    config: Config | None = None,
    kind: Kind = "nightly",
    n_processes: int = 1,
    own_signals: OwnSignals = NO_OWN_SIGNALS,
    run_key: bytes | None = None,
) -> RunReport:
    """Train, score and publish a nightly run, or refresh the current run.

    The eight parameters are those of the `recsys nightly` command.

    Parameters
    ----------
    store
        What to learn from; the run is entered in its ledger.
    folder
        Where runs are published; made if absent.
    as_of_ms
        No data of this instant or later is used.
    config
        All settings. By default the shipped ones; for a refresh those of the run that it
        refreshes.
    kind
        "refresh" carries the factors of the current run over instead of training: it
        publishes new articles, counts, recency and clicks in a fraction of the time.
    n_processes
        How many processes may share the work of a run with many users. They are spawned: a
        script that asks for more than one must keep its own work under
        `if __name__ == "__main__"`.
    own_signals
        Signals of your own, by name: functions, also those of `recsys.nightly.read_signal`, which
        reads files. The examples of a run with them are not kept. A
        refresh needs the signals of the run that it refreshes.
    run_key
        The key that signs the run, the pointer and the rules, and by which the run that is
        refreshed must be signed. By default nothing is signed.

    Returns
    -------
    RunReport
        The report of the run, which is now served.

    Raises
    ------
    ConfigError
        If the settings name a signal or scorer that there is not.
    HeldBackError
        If the run looks wrong: its file and its entry in the ledger are kept, but it is not
        served.
    RunActiveError
        If another run is at work on this folder.
    NotPublishedError
        If there is no current run to refresh.
    SnapshotError
        If that run is damaged or not signed by the key, or the folder is signed and no key given.
    """
    published_folder.require_key(folder, run_key)
    if kind == "refresh":
        published_folder.require_current(folder, run_key)
    create_folder(folder)
    with locked(folder):
        run_id = _next_run_id(folder, store, as_of_ms)
        config, changed_settings = _settings(folder, config, kind, run_key)
        require_known_names(config)
        require_new_names(own_signals, taken_names())
        where = printable_path(str(folder.absolute()))
        report = RunReport(run_id, kind, iso(as_of_ms), where, settings=toml_of(config))
        report.changed_settings = changed_settings
        report.versions = library_versions()
        report.window_from = iso(as_of_ms - round(config.data.window_days * 24 * HOUR_MS))
        will_erase = kind == "nightly" and config.data.keep_days
        stage = StageClock(report, STAGES[kind] + ((ERASE,) if will_erase else ()))
        job = _Job(
            store, folder, as_of_ms, config, n_processes, report, stage, own_signals, run_key
        )
        _enter_in_ledger(job)  # a run that is killed leaves this entry
        LOG.info("%s run %s begins, as of %s", kind, run_id, report.as_of)
        try:
            with blas_on_one_thread():
                _write_and_publish(job)
        except BaseException as error:
            _fail(job, error)
            raise
        report.peak_mb = peak_memory_mb()
        _enter_in_ledger(job)
        _log_end(job)
    if report.problems:
        raise HeldBackError(run_id, report.problems)
    return report


def _settings(
    folder: Path, config: Config | None, kind: Kind, run_key: bytes | None
) -> tuple[Config, list[str]]:
    """Return the settings of a run, and how those of a refresh differ from its base run's."""
    if kind == "nightly":
        return config or Config(), []
    path = published_folder.run_path(folder, published_folder.require_current(folder, run_key))
    with closing(connect(path, run_key)) as conn:
        base = run_file.load_meta(conn, path).config
    return (base, []) if config is None else (config, differences(base, config))


def _next_run_id(folder: Path, store: Store, as_of_ms: int) -> str:
    known = published_folder.run_ids(folder) + published_folder.run_ids(folder, ".held")
    known += [run["run_id"] for run in store.runs()]
    sequence = max((int(r[:6]) for r in known if r[:6].isdigit()), default=0) + 1
    return f"{sequence:06d}-{iso(as_of_ms)[:19].replace(':', '').replace('-', '')}Z"


def _enter_in_ledger(job: _Job) -> None:
    report = job.report
    entry = dataclasses.asdict(report)
    job.store.put_run(report.run_id, report.kind, report.as_of, report.status, entry)


def _log_end(job: _Job) -> None:
    """Log warnings of a run, how its heads were learned, and that it has ended."""
    report = job.report
    for warning in report.warnings:
        LOG.warning("run %s: %s", report.run_id, warning)
    seconds = sum(report.seconds.values())
    what = f"{seconds:.2f} s, peak memory {report.peak_mb} MiB"
    LOG.info("run %s is %s: %s", report.run_id, report.status, what)


def _fail(job: _Job, error: BaseException) -> None:
    """Enter a failed run in the ledger; name the cause if one of its processes died."""
    report, died = job.report, isinstance(error, BrokenExecutor)
    why = "a process of the run died" if died else str(error) or type(error).__name__
    report.status, report.problems = "failed", [why]
    with suppress(StoreError):  # the error of the run may be one of the store
        _enter_in_ledger(job)
    if died:
        raise RecsysError(
            f"{report.run_id}: {why}, perhaps for lack of memory; the current run is still"
            " served, and the next run starts from the beginning"
        ) from error


def _write_and_publish(job: _Job) -> None:
    """Write the run's file, publish it unless it looks wrong, and delete what is too old."""
    report, config = job.report, job.config
    meta, page = _write_refresh(job) if report.kind == "refresh" else _write_nightly(job)
    report.looked_at = {name: curve.round(3).tolist() for name, curve in page.examination.items()}
    with job.stage("publish"):
        report.problems = publish_problems(
            meta, report.vitals, page, job.folder, report.counts, job.run_key
        )
        if report.problems:
            if not len(page.live.live_rows):
                report.problems.append(_newest_data(job))
            report.status = "held back"
            return
        published_folder.publish(job.folder, report.run_id, job.run_key)
        if job.run_key is not None:
            _sign_rules(job, job.run_key)
        report.status = "published"
        published_folder.prune(job.folder, config.publish.keep_runs, job.run_key)
    if report.kind == "nightly" and config.data.keep_days:
        with job.stage(ERASE) as counts:
            kept_ms = round(config.data.keep_days * 24 * HOUR_MS)
            for table, n in job.store.deletion.delete_before(job.as_of_ms - kept_ms).items():
                report.counts[f"erased_{table}"] = counts[table] = n


def _sign_rules(job: _Job, run_key: bytes) -> None:
    """Write the rules of the store for the folder's servers once more, signed by the key of now.

    Servers with a key take missing rules for removed ones, so that there must be some, even none.
    """
    with published_folder.rules_locked(job.folder):
        rules = [Rule(**row) for row in job.store.latest_rules()]
        published_folder.write_rules(job.folder, rules, run_key)


def _newest_data(job: _Job) -> str:
    """Return in words how new the data of the store is, beside the time of the run."""
    newest = [f"{name} {iso(ms)}" for name, ms in job.store.newest_ms().items()]
    found = f"the newest data of the store: {', '.join(newest)}" if newest else "no data at all"
    return f"{found}; this run is as of {job.report.as_of}"


def _write_refresh(job: _Job) -> tuple[run_file.RunMeta, PageModel]:
    """Refresh the current run and write the result; return its meta data and its model."""
    refreshed = refresh(
        job.store,
        job.folder,
        job.as_of_ms,
        job.config,
        job.stage,
        job.own_signals,
        job.run_key,
    )
    model, page, profiles = refreshed.model, refreshed.model.page, refreshed.profiles
    users = {"users": refreshed.n_users, "users_with_new_events": len(profiles)}
    job.report.counts, job.report.warnings = model.counts | users, list(model.warnings)
    job.report.damped = list(model.damped)
    packed, states = list(profiles.values()), UserStateBuilder(page)
    sample = [states.state(packed[i]) for i in evenly_spaced(len(packed))]
    meta = _check_pages(job, model, sample, refreshed.weights, refreshed.nightly_run_id)
    with job.stage("write") as counts:
        rows = ((user_id, profile, None) for user_id, profile in sorted(profiles.items()))
        models = (page, refreshed.rank, model.carry)
        run_file.write(job.path, meta, models, model.articles, rows, job.run_key)
        counts["users"] = len(profiles)
    return meta, page


def _write_nightly(job: _Job) -> tuple[run_file.RunMeta, PageModel]:
    """Train and score a nightly run and write it; return its meta data and its model."""
    store, config, stage = job.store, job.config, job.stage
    with stage("read") as counts:
        window = read_training_window(store, job.as_of_ms, config)
        counts |= window_sizes(window)
        n_processes = job.n_processes if len(window.users) >= MANY_USERS else 1
    job.report.lifted_by_bots = articles_lifted_by_bots(window, config)
    past = PastRuns(store, config, job.own_signals)
    builder = ExampleBuilder(past, keep_in_store=not job.own_signals)
    n_at_once = 1 if len(window.user_index) > MANY_CLICKS else n_processes
    with _workers(n_processes) as workers, ThreadPoolExecutor(n_at_once) as threads:
        with stage("new texts") as counts:
            n_counted = count_new_texts(store, window.articles, config, workers)
            counts["articles_vectorised"] = n_counted
        tasks = _start_building_examples(workers, threads, builder, job.as_of_ms)
        with stage("forecast") as counts:
            curves, of_forecast = learn_forecast(window, config)
            counts["choices"] = of_forecast.n
        model = train(store, window, config, stage, curves, None, job.own_signals)
        with stage("learn") as counts:
            for task in tasks:
                task.result()
            heads = learn_heads(builder, job.as_of_ms, PROTOCOLS_SERVED, has_forecast=bool(curves))
            counts["choices"] = sum(report.n for report in heads.reports.values())
    job.report.heads = {"forecast": of_forecast} | heads.reports
    job.report.counts = model.counts | {"articles_vectorised": n_counted}
    job.report.damped, job.report.warnings = list(model.damped), list(model.warnings)
    model = with_weights(model, heads.weights)
    sample = [model.users.state(i) for i in evenly_spaced(len(model.users.user_ids))]
    meta = _check_pages(job, model, sample, heads.weights, None)
    rank = dataclasses.replace(
        model.rank, curves=heads.curves["nightly"], refresh_curves=heads.curves["hourly"]
    )
    with stage("score and write") as counts:
        # No page can be made of numbers that are not finite: the run is held back without any.
        is_sound = not non_finite_signals(model.page)
        rows = score_users(model.users, model.page, job.as_of_ms, n_processes) if is_sound else ()
        models = (model.page, rank, model.carry)
        run_file.write(job.path, meta, models, model.articles, rows, job.run_key)
        counts["users"] = len(model.users.user_ids)
    return meta, model.page


@contextmanager
def _workers(n_processes: int) -> Iterator[ProcessPoolExecutor | None]:
    """Yield a pool of processes to share a run with; None if this process does all the work."""
    if n_processes == 1:
        yield None
        return
    with ProcessPoolExecutor(n_processes, get_context("spawn"), blas_on_one_thread) as workers:
        yield workers


def _start_building_examples(
    workers: ProcessPoolExecutor | None,
    threads: ThreadPoolExecutor,
    builder: ExampleBuilder,
    as_of_ms: int,
) -> list[Future[None]]:
    """Let other processes build the examples that the store lacks, and return their tasks.

    Each thread waits for one process, so as many days are built at once as there are threads.
    """
    if workers is None or builder.past.own_signals:  # functions are not sent to processes
        return []
    days = builder.days_not_in_store(PROTOCOLS_SERVED, as_of_ms)
    path, config = builder.past.store.path, builder.past.config

    def build(number: int, day: Day) -> None:
        with step(LOG, examples_of(day), number=number, total=len(days)):
            workers.submit(build_examples_of_day, path, config, PROTOCOLS_SERVED, day).result()

    return [threads.submit(build, number, day) for number, day in enumerate(days, start=1)]


def _check_pages(
    job: _Job,
    model: ArticleModel,
    users: Sequence[UserState],
    weights: Mapping[str, float],
    nightly_run_id: str | None,
) -> run_file.RunMeta:
    """Measure the vitals on a sample of users, enter them in the report, return the meta data."""
    report = job.report
    with job.stage("check pages") as counts:
        if len(model.page.live.live_rows) and not non_finite_signals(model.page):
            report.vitals = measure_vitals(
                model.page,
                [article.article_id for article in model.articles],
                users,
                job.as_of_ms,
                {name: report.counts[name] for name in WATCHED_COUNTS},
                {
                    name: auc
                    for name, head in report.heads.items()
                    for auc in (head.learned if head.used else head.shipped,)
                    if auc is not None and head.n >= MANY_CHOICES
                },
            )
            counts["pages"] = report.vitals.n_pages
    return run_file.RunMeta(
        run_id=report.run_id,
        base=nightly_run_id,
        as_of=report.as_of,
        n_users=report.counts["users"],
        weights=weights,
        config=job.config,
        vitals=None if report.vitals is None else dataclasses.asdict(report.vitals),
    )
