"""The data scientist's commands: offline metrics, and a search for better settings."""

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from recsys.cli.options import ConfigOption, StoreOption, load_settings, parse_instant
from recsys.cli.terminal import Terminal, out, print_json
from recsys.config_file import toml_of
from recsys.files import atomic_replacement
from recsys.rows import iso, to_ms
from recsys.store.database import Store

if TYPE_CHECKING:
    from recsys.evaluation.run import Evaluation
    from recsys.learn.protocols import Protocol
    from recsys.metrics import Interval

STANDARD_OUTPUT = Path("-")


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
    as_json: Annotated[
        Path | None,
        typer.Option(
            "--json", help="Also write the metrics to this JSON file; - prints them instead."
        ),
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", help="Also write a page of plots to this HTML file.")
    ] = None,
    ablate: Annotated[
        bool, typer.Option("--ablate", help="Learn once more without each group of features.")
    ] = False,
) -> None:
    """Print offline metrics of every system beside its baselines."""
    from recsys.evaluation import run
    from recsys.evaluation.html_report import render
    from recsys.evaluation.json_report import as_json as plain_report
    from recsys.learn.protocols import DAY_MS

    protocols = _parse_protocol(protocol)
    settings = load_settings(config)
    with Store(store, must_exist=True) as opened:
        before_ms = opened.last_impression_ms() + 1
        from_ms = before_ms - 2 * DAY_MS if test_from is None else to_ms(test_from)
        if from_ms >= before_ms:
            raise typer.BadParameter(
                f"--test-from: the store has no impression from {iso(from_ms)} on;"
                f" its last is of {iso(before_ms - 1)}"
            )
        found = run.evaluate(
            opened,
            settings,
            protocols,
            from_ms=from_ms,
            before_ms=before_ms,
            ablate=ablate,
        )
    test_window = f"impressions from {iso(from_ms)} to {iso(before_ms)}"
    if as_json != STANDARD_OUTPUT:
        _print_evaluation(found, test_window)
    if as_json is not None:
        plain = {
            name: plain_report(name, in_view, found.full_list, found.ablation[name])
            for name, in_view in found.in_view.items()
        }
        value = plain if len(plain) > 1 else plain[protocols[0]]
        if as_json == STANDARD_OUTPUT:
            print_json(value)
        else:
            with atomic_replacement(as_json) as partial:
                partial.write_text(json.dumps(value, indent=2) + "\n", "utf-8")
    if html is not None:
        page = render(
            f"recsys evaluate: {store.name}",
            [test_window],
            found.in_view,
            found.full_list,
            found.ablation,
        )
        with atomic_replacement(html) as partial:
            partial.write_text(page, "utf-8")


def tune(
    store: StoreOption,
    to: Annotated[Path, typer.Option("--to", help="The recsys.toml to write.")],
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


def _print_evaluation(found: "Evaluation", test_window: str) -> None:
    from recsys.evaluation.full_list import PAGE_METHOD_TITLES

    for name, in_view in found.in_view.items():
        out.print(
            f"{name}, {test_window}: {in_view.n_impressions} of {in_view.n_users} users judged"
            f" ({in_view.n_single_class} left out, where all or none was clicked);"
            f" popularity is {in_view.popularity}"
        )
        measured = in_view.systems["blend"]
        columns = [c for c in ("auc", "auc, unbiased", "mrr", "ndcg@5", "ndcg@10") if c in measured]
        _print_metrics("in view: re-rank the shown articles", in_view.systems, columns)
        for group, value in found.ablation[name].items():
            out.print(
                f"  without {group}: AUC {-value.mean:+.4f}"
                f" ({-value.high:+.4f} to {-value.low:+.4f})"
            )
    full = found.full_list
    title = f"full list: choose from all live articles at noon, {full.n_lists} lists"
    _print_metrics(title, full.systems, ("hit@5", "hit@10", "ndcg@10", "coverage@5", "gini@5"))
    for purpose, values in full.purposes.items():
        title = full.purpose_titles[purpose]
        _print_metrics(title, {n: {"ndcg@5": value} for n, value in values.items()}, ("ndcg@5",))
    for method, values_by_name in full.pages.items():
        values_of = ", ".join(f"{name} {value:.3f}" for name, value in values_by_name.items())
        out.print(f"  pages filled by {PAGE_METHOD_TITLES[method]}: {values_of}")


def _print_metrics(
    title: str, systems: "dict[str, dict[str, Interval]]", columns: Sequence[str]
) -> None:
    table = Table("", *columns, title=f"{title} (mean, 95 % interval)", box=None, min_width=78)
    for name, values in systems.items():
        cells = []
        for column in columns:
            value = values[column]
            interval = f" {value.low:.3f}-{value.high:.3f}" if value.low < value.high else ""
            cells.append(f"{value.mean:.3f}{interval}")
        table.add_row(name, *cells)
    # A fixed width, so that no number is cut off where the output is no terminal.
    Terminal(width=120).print(table)
