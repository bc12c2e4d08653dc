"""The data scientist's commands: offline metrics, and a search for better settings."""

import logging
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from recsys.cli.options import (
    STANDARD_OUTPUT,
    ConfigOption,
    SignalOption,
    StoreOption,
    load_settings,
    named_files,
    now,
    parse_instant,
    writable_file,
)
from recsys.cli.terminal import Terminal, json_text, out
from recsys.config_file import toml_of
from recsys.errors import StoreError
from recsys.files import atomic_replacement
from recsys.rows import iso, to_ms
from recsys.steps import StepRecord
from recsys.store.database import Store

if TYPE_CHECKING:
    from recsys.evaluation.planned_work import Work
    from recsys.evaluation.report import Report
    from recsys.learn.protocols import Protocol
    from recsys.metrics import Interval

LOG = logging.getLogger(__name__)
PAGE_COLUMNS = ("any_click", "clicks", "weighted_clicks", "redundancy")


def evaluate(
    store: StoreOption,
    protocol: Annotated[str, typer.Option(help="nightly, hourly, streaming or all.")] = "nightly",
    test_from: Annotated[
        datetime | None,
        typer.Option(
            "--test-from",
            parser=parse_instant,
            metavar="ISO",
            help="Judge impressions from this time on. By default: those of the last two days.",
        ),
    ] = None,
    config: ConfigOption = None,
    scores: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]FILE",
            help="Compare a system of your own: a file with article_id, score, and any of user_id"
            " and at. Repeat it for more.",
        ),
    ] = None,
    signal: SignalOption = None,
    as_json: Annotated[
        Path | None,
        typer.Option(
            "--json",
            callback=writable_file,
            help="Also write the metrics to this JSON file; - prints them instead.",
        ),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(
            "--html", callback=writable_file, help="Also write a page of plots to this HTML file."
        ),
    ] = None,
    ablate: Annotated[
        bool, typer.Option("--ablate", help="Learn once more without each group of features.")
    ] = False,
) -> None:
    """Print offline metrics of every system beside its baselines."""
    from recsys.evaluation import run
    from recsys.evaluation.planned_work import planned_work
    from recsys.learn.protocols import PROTOCOLS
    from recsys.rows import from_ms

    protocols = _parse_protocol(protocol)
    settings = load_settings(config)
    own_scores, own_signals = named_files("--scores", scores), named_files("--signal", signal)
    with Store(store, must_exist=True) as opened:
        try:
            begin_ms, end_ms = run.find_test_window(opened, test_from, None)
        except StoreError as error:
            if test_from is None:
                raise
            raise typer.BadParameter(f"--test-from: {error}") from error
        if missing := run.no_moment(begin_ms, end_ms, settings.ingest.zone()):
            LOG.warning(missing)

        def work(protocols: "Sequence[Protocol]", ablate: bool) -> "Work":
            window = {"from_ms": begin_ms, "before_ms": end_ms}
            n_signals = len(own_signals)
            return planned_work(
                opened, settings, protocols, **window, ablate=ablate, n_signals=n_signals
            )

        works = {"this evaluation": work(protocols, ablate)}
        works |= {} if len(protocols) > 1 else {"--protocol all": work(PROTOCOLS, ablate)}
        works |= {} if ablate else {"--ablate": work(protocols, True)}
        with _costs_logged(works):
            report = run.evaluate(
                opened,
                settings,
                protocols,
                test_from=from_ms(begin_ms),
                ablate=ablate,
                scores=own_scores,
                signals=own_signals,
            )
    at, command = now(), shlex.join(["recsys", *sys.argv[1:]])
    as_text = report.to_json(evaluated_at=at, command=command)
    if as_json == STANDARD_OUTPUT:
        sys.stdout.write(json_text(as_text))
    else:
        _print_evaluation(report)
        if as_json is not None:
            with atomic_replacement(as_json) as partial:
                partial.write_text(as_text, "utf-8")
    if html is not None:
        with atomic_replacement(html) as partial:
            partial.write_text(report.to_html(evaluated_at=at, command=command), "utf-8")


@contextmanager
def _costs_logged(works: "dict[str, Work]") -> Iterator[None]:
    """Log how many steps an evaluation and longer ones have, and later about how long they take.

    Parameters
    ----------
    works
        The work of this evaluation first, and that with other options.
    """
    from recsys.learn import past_runs

    LOG.info("steps of %s", ", ".join(f"{name}: {work.total}" for name, work in works.items()))
    first = _FirstNightlyRun(works)
    runs = logging.getLogger(past_runs.__name__)
    runs.addHandler(first)
    try:
        yield
    finally:
        runs.removeHandler(first)


class _FirstNightlyRun(logging.Handler):
    """Logs about how long evaluations take when the first nightly run has been trained."""

    def __init__(self, works: "dict[str, Work]") -> None:
        super().__init__()
        self._works = works

    def emit(self, record: logging.LogRecord) -> None:
        """Log the times if the record is of the first run."""
        step: StepRecord | None = getattr(record, "step", None)
        if self._works and step is not None and step.seconds is not None:
            times = {
                name: _minutes(step.seconds * work.nightly_runs_worth)
                for name, work in self._works.items()
            }
            self._works = {}
            LOG.info("about the time of %s", ", ".join(f"{n}: {time}" for n, time in times.items()))


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def tune(
    store: StoreOption,
    to: Annotated[
        Path, typer.Option("--to", callback=writable_file, help="The recsys.toml to write.")
    ],
    until: Annotated[
        datetime | None,
        typer.Option(
            parser=parse_instant,
            metavar="ISO",
            help="Use only data before this time. By default: all data.",
        ),
    ] = None,
    folds: Annotated[int, typer.Option(min=1, help="How many of the last days are judged.")] = 2,
    trials: Annotated[int, typer.Option(min=1, help="How many settings are tried.")] = 20,
    protocol: Annotated[str, typer.Option(help="nightly, hourly or streaming.")] = "nightly",
    config: ConfigOption = None,
) -> None:
    """Search half-lives, factors and other settings; write the best as a recsys.toml."""
    from recsys.evaluation.tune import search_settings

    protocols = _parse_protocol(protocol)
    if len(protocols) > 1:
        raise typer.BadParameter("--protocol: tune takes one protocol at a time")
    with Store(store, must_exist=True) as opened:
        before_ms = opened.last_impression_ms() + 1 if until is None else to_ms(until)
        found = search_settings(
            opened,
            load_settings(config),
            protocols[0],
            before_ms=before_ms,
            n_days=folds,
            n_trials=trials,
        )
    with atomic_replacement(to) as partial:
        partial.write_text(toml_of(found.config), "utf-8")
    out.print(
        f"mean of the AUC in view and the nDCG@10 of the full list, {folds} days before"
        f" {iso(before_ms)}, {trials} trials: {found.best_score:.4f} with the settings in {to},"
        f" {found.initial_score:.4f} before",
        markup=False,
    )


def _parse_protocol(name: str) -> "list[Protocol]":
    from recsys.learn.protocols import PROTOCOLS

    chosen = [known for known in PROTOCOLS if name in (known, "all")]
    if not chosen:
        raise typer.BadParameter(
            f"--protocol must be one of {', '.join(PROTOCOLS)}, all; got {name!r}"
        )
    return chosen


def _print_evaluation(report: "Report") -> None:
    from recsys.evaluation.page_methods import FRONTIER, PAGE_TITLES

    window = f"impressions from {iso(report.from_ms)} to {iso(report.before_ms)}"
    for name, in_view in report.in_view.items():
        out.print(
            f"{name}, {window}: {in_view.n_impressions} impressions of"
            f" {in_view.n_users} users judged"
            f" ({in_view.n_single_class} left out, where all or none was clicked);"
            f" popularity is {in_view.popularity}"
        )
        if in_view.n_impressions:
            measured = in_view.systems["blend"]
            known = ("auc", "auc, unbiased", "mrr", "ndcg@5", "ndcg@10")
            columns = [column for column in known if column in measured]
            _print_metrics("in view: re-rank the shown articles", in_view.systems, columns)
            _print_differences(in_view.differences, in_view.n_scored, ("auc", "ndcg@10"))
        for group, value in report.ablation[name].items():
            out.print(
                f"  without {group}: AUC {-value.mean:+.4f}"
                f" ({-value.high:+.4f} to {-value.low:+.4f})"
            )
    full = report.full_list
    if full.n_lists:
        title = f"full list: choose from all live articles, {full.n_lists} lists of"
        title += f" {full.n_moments} moments"
        _print_metrics(title, full.systems, ("hit@5", "hit@10", "ndcg@10", "coverage@5", "gini@5"))
        _print_differences(full.differences, full.n_scored, ("hit@5", "ndcg@10"))
        for purpose, values in full.purposes.items():
            title = full.purpose_titles[purpose]
            _print_metrics(title, {n: {"ndcg@5": v} for n, v in values.items()}, ("ndcg@5",))
        pages = {PAGE_TITLES[method]: values for method, values in full.pages.items()}
        _print_metrics("whole pages, by what fills them", pages, PAGE_COLUMNS)
        points = {FRONTIER[name]: values for name, values in full.frontier.items()}
        measured = next(iter(points.values()))
        shown = [name for name in (*PAGE_COLUMNS[:2], "hit@5", "coverage@5") if name in measured]
        _print_metrics("whole pages, by how their lists choose", points, shown)
    for sentence in (*report.notes, *report.findings):
        out.print(sentence)


def _print_differences(
    differences: "Mapping[str, Mapping[str, dict[str, Interval]]]",
    own: Iterable[str],
    columns: Sequence[str],
) -> None:
    for name in own:
        if name in differences:
            others = {f"less {other}": values for other, values in differences[name].items()}
            _print_metrics(f"{name}: its metrics, paired,", others, columns)


def _print_metrics(
    title: str, systems: "dict[str, dict[str, Interval]]", columns: Sequence[str]
) -> None:
    table = Table("", *columns, title=f"{title} (mean, 95 % interval)", box=None, min_width=78)
    for name, values in systems.items():
        cells = []
        for column in columns:
            value = values[column]
            interval = f" {value.low:.3f} to {value.high:.3f}" if value.low < 0 else ""
            if 0 <= value.low < value.high:
                interval = f" {value.low:.3f}-{value.high:.3f}"
            cells.append("" if isnan(value.mean) else f"{value.mean:.3f}{interval}")
        table.add_row(name, *cells)
    # A fixed width, so that no number is cut off where the output is no terminal.
    Terminal(width=120).print(table)
