"""The command line: ingest files, publish runs, print pages; the app of all commands.

Only the command line prints, and only the command line and serving read the clock.

Exit status: 0 done; 1 failed (a file gave no row, or `ingest --strict` rejected a row); 2 wrong
usage, or a file is not in the format that it should have; 3 the run is held back; 4 another run is
active.
"""

import importlib.metadata
import json
import os
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from recsys.cli.editor import explain, preview, rules
from recsys.cli.evaluate import evaluate, tune
from recsys.cli.lazy_import import load_on_first_use
from recsys.cli.operator import (
    diff,
    forget,
    health,
    publish,
    rebuild,
    rollback,
    runs,
    show_config,
)
from recsys.cli.options import (
    USER_KEY,
    ArticleOption,
    AsOfOption,
    ConfigOption,
    JsonOption,
    LayoutOption,
    PublishedOption,
    SignalOption,
    StoreOption,
    UserOption,
    load_settings,
    named_files,
    now,
    parse_instant,
    stored_user_id,
    usage_errors,
    user_key,
)
from recsys.cli.terminal import accept_any_encoding, err, out, print_json
from recsys.config import Config
from recsys.errors import HeldBackError, InputRefusedError, RecsysError, RunActiveError
from recsys.files import atomic_replacement, create_private_file
from recsys.ingest.detect import FORMATS, READERS, InputFile, expand
from recsys.ingest.dry_run import Understood, understand
from recsys.ingest.load_files import LoadReport, load_files
from recsys.rows import FIELDS, to_ms
from recsys.serving.recommender import Recommender
from recsys.serving.responses import Page
from recsys.store.database import Store

if TYPE_CHECKING:
    from recsys.learn.heads import HeadReport
    from recsys.nightly.run import Kind as RunKind
    from recsys.nightly.run_report import RunReport

# scikit-learn imports scipy.stats for a helper that this package does not call; loading
# scipy.stats takes longer than loading scikit-learn.
load_on_first_use("scipy.stats")

app = typer.Typer(
    help="Recommend articles on a news site: load data, publish a run each night, serve pages.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        out.print(f"recsys {importlib.metadata.version('recsys')}")
        raise typer.Exit


@app.callback()
def options_of_all_commands(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Take the options that come before a command."""


@app.command()
def ingest(
    paths: Annotated[list[Path], typer.Argument(help="Files, or folders of files.")],
    store: StoreOption,
    format: Annotated[str, typer.Option(help=f"auto, {', '.join(FORMATS)}.")] = "auto",
    kind: Annotated[str | None, typer.Option(help=f"{', '.join(FIELDS)}.")] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with status 1 if a row is rejected.")
    ] = False,
    config: ConfigOption = None,
    timezone: Annotated[
        str | None,
        typer.Option(help="Zone of times without an offset, such as Europe/Berlin. Else UTC."),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Store nothing; print how the first rows of each file are understood."
        ),
    ] = False,
    as_json: JsonOption = False,
    hash_users: Annotated[
        bool,
        typer.Option("--hash-users", help=f"Store user ids as hashes by the key in ${USER_KEY}."),
    ] = False,
) -> None:
    """Read files into the store; reading a file twice changes nothing."""
    read_format = next((name for name in READERS if name == format), None)
    if read_format is None and format != "auto":
        raise typer.BadParameter(
            f"--format must be one of auto, {', '.join(FORMATS)}; got {format!r}"
        )
    read_kind = next((name for name in FIELDS if name == kind), None)
    if read_kind is None and kind is not None:
        raise typer.BadParameter(f"--kind must be one of {', '.join(FIELDS)}; got {kind!r}")
    key = user_key() if hash_users else None
    if hash_users and key is None:
        raise typer.BadParameter(f"--hash-users: set {USER_KEY} to a secret of 16 to 64 bytes")
    reading = load_settings(config).ingest
    if timezone is not None:
        reading = msgspec.structs.replace(reading, timezone=timezone)
    found = list(expand(paths))
    if dry_run:
        _print_understood(
            [
                understand(
                    file,
                    received_ms=to_ms(now()),
                    format=read_format,
                    kind=read_kind,
                    config=reading,
                )
                for file in found
                if not file.skipped
            ],
            as_json,
        )
        return
    with Store(store) as opened, _progress_bar(found) as bar:
        report = load_files(
            opened,
            found,
            received_ms=to_ms(now()),
            format=read_format,
            kind=read_kind,
            user_key=key,
            config=reading,
            progress=bar.move,
        )
    if as_json:
        print_json(report.as_dict())
    else:
        _print_load_report(report)
    if report.refused:
        raise typer.Exit(2)
    if report.without_rows or (strict and report.rejected):
        raise typer.Exit(1)


class _Bar:
    """A progress bar over the bytes of several files."""

    def __init__(self, progress: Progress, found: list[InputFile]) -> None:
        self._progress = progress
        self._bytes_before = {}
        total = 0
        for file in found:
            if not file.skipped and os.path.isfile(file.path):
                self._bytes_before[file.path] = total
                total += file.path.stat().st_size
        self._task = progress.add_task("ingest", total=total)

    def move(self, path: Path, position: int) -> None:
        self._progress.update(self._task, completed=self._bytes_before[path] + position)


@contextmanager
def _progress_bar(found: list[InputFile]) -> Iterator[_Bar]:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    # Silent where the output is no terminal: cron mails everything that is printed.
    with Progress(
        *columns, TimeRemainingColumn(), console=err, transient=True, disable=not err.is_terminal
    ) as progress:
        yield _Bar(progress, found)


def _print_understood(files: list[Understood], as_json: bool) -> None:
    if as_json:
        print_json(
            [
                asdict(file) | {"rejected": [[*key, n] for key, n in file.rejected.most_common()]}
                for file in files
            ]
        )
        return
    for file in files:
        out.print(f"{file.file}: {file.format or 'unknown format'} {file.kind}", markup=False)
        if file.problem:
            out.print(f"  refused: {file.problem}", markup=False)
        else:
            counts = f"{file.n_usable} usable and {file.n_rejected} rejected rows at its beginning"
            out.print(f"  {counts}", markup=False)
        for (field, reason), n in file.rejected.most_common():
            out.print(f"  rejected: {n} x {field + ': ' if field else ''}{reason}", markup=False)
        for row in file.rows:
            out.print(f"  {json.dumps(row, ensure_ascii=False)[:1000]}", markup=False)
        if file.unknown_columns:
            out.print(
                f"  columns that hold no field: {', '.join(file.unknown_columns)}", markup=False
            )
        if file.mapping:
            out.print("  a mapping to start from, in recsys.toml (--config):", markup=False)
            out.print(indent(file.mapping, "    "), markup=False)


def _print_load_report(report: LoadReport) -> None:
    for kind, added in report.added.items():
        withdrawn = f", {added.withdrawn} withdrawn" if added.withdrawn else ""
        out.print(
            f"{kind}: {added.new} new, {added.changed} changed, {added.known} known{withdrawn}"
        )
    for (reason, field), n in report.rejected.most_common():
        out.print(f"rejected: {n} x {field + ': ' if field else ''}{reason}", markup=False)
        for sample in report.samples[reason, field]:
            out.print(f"    {sample}", markup=False)
    for (entry, reason), n in report.ignored.most_common():
        out.print(f"ignored: {n} x {entry}: {reason}", markup=False)
    if report.n_naive:
        out.print(f"{report.n_naive} times without an offset were taken as UTC; see --timezone")
    if report.unknown_columns:
        columns = ", ".join(report.unknown_columns)
        out.print(f"columns that hold no field: {columns}", markup=False)
    if report.rejected:
        out.print("rejected rows are in the store, table rejected_rows", markup=False)
    for path, reason in report.skipped:
        out.print(f"skipped: {path}: {reason}", markup=False)
    for file in report.without_rows:
        err.print(f"{file}: no row of this file could be used", style="red", markup=False)
    for error in report.refused:
        err.print(str(error), style="red", markup=False)


@app.command()
def nightly(
    store: StoreOption,
    published: PublishedOption,
    as_of: AsOfOption = None,
    config: ConfigOption = None,
    signal: SignalOption = None,
) -> None:
    """Train on the training window, score every user, publish a run."""
    _run("nightly", store, published, as_of, config, signal)


@app.command()
def refresh(
    store: StoreOption,
    published: PublishedOption,
    as_of: AsOfOption = None,
    config: ConfigOption = None,
    signal: SignalOption = None,
) -> None:
    """Publish new articles, counts and clicks on top of the current run, without training."""
    _run("refresh", store, published, as_of, config, signal)


def _run(
    kind: "RunKind",
    store: Path,
    published: Path,
    as_of: datetime | None,
    config: Path | None,
    signal: list[str] | None,
) -> None:
    from recsys.nightly import read_signal, run_nightly

    own = {name: read_signal(path, name) for name, path in named_files("--signal", signal).items()}
    settings = None if config is None else load_settings(config)
    with Store(store, must_exist=True) as opened:
        report = run_nightly(
            opened,
            published,
            as_of_ms=to_ms(as_of or now()),
            config=settings,
            kind=kind,
            on_progress=lambda stage: err.print(f"{kind}: {stage}") if err.is_terminal else None,
            n_processes=os.cpu_count() or 1,
            own_signals=own,
        )
    _print_run_report(report)


def _print_run_report(report: "RunReport") -> None:
    out.print(f"published {report.run_id} as of {report.as_of}")
    for change in report.changed_settings:
        out.print(f"  other settings than the run it refreshes: {change}", markup=False)
    for warning in report.warnings:
        out.print(f"  warning: {warning}", markup=False)
    if report.lifted_by_bots:
        articles = ", ".join(report.lifted_by_bots)
        out.print(
            f"  clicks of bots were left out; they would have lifted: {articles}", markup=False
        )
    if report.vitals is not None and report.vitals.never_shown:
        articles = ", ".join(report.vitals.never_shown)
        out.print(
            f"  on none of the {report.vitals.n_pages} inspected pages: {articles}", markup=False
        )
    out.print("  " + ", ".join(f"{n} {name}" for name, n in report.counts.items()))
    out.print("  " + ", ".join(f"{name} {s:.2f} s" for name, s in report.seconds.items()))
    for name, head in report.heads.items():
        out.print(f"  {name}: {_head_text(head)}")
    out.print(f"  peak memory {report.peak_mb} MiB")


def _head_text(head: "HeadReport") -> str:
    if head.learned is None:
        return f"shipped weights: {head.why}"
    figures = f"AUC {head.learned:.3f}, shipped {head.shipped:.3f}, {head.n} choices"
    served = "learned weights" if head.used else "shipped weights"
    return f"{served} ({figures})" + (f"; {head.why}" if head.why else "")


@app.command()
def recommend(
    published: PublishedOption,
    user: UserOption = None,
    article: ArticleOption = None,
    layout: LayoutOption = None,
    n: Annotated[
        int | None,
        typer.Option(min=1, max=100, help="Slots of each ranked list. By default: the settings."),
    ] = None,
    recent: Annotated[
        list[str] | None,
        typer.Option(help="An article that the user just clicked; repeat it, oldest first."),
    ] = None,
    as_of: AsOfOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print one page."""
    recommender = Recommender(published)
    with usage_errors():
        page = recommender.recommend(
            stored_user_id(user),
            article,
            layout=layout,
            n=n,
            recent_clicks=tuple(recent or ()),
            as_of=as_of,
        )
    if as_json:
        print_json(_plain_page(page))
    else:
        _print_page(page)


@app.command()
def rank(
    published: PublishedOption,
    articles: Annotated[list[str], typer.Argument(help="The ids of the articles to order.")],
    user: UserOption = None,
    article: ArticleOption = None,
    as_of: AsOfOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print given articles in the order in which the user is most likely to click them."""
    ranked = Recommender(published).rank(
        stored_user_id(user), articles, article_id=article, as_of=as_of
    )
    if as_json:
        print_json(
            [
                {"rank": rank, "article_id": found.article_id, "score": found.score}
                for rank, found in enumerate(ranked, start=1)
            ]
        )
        return
    for rank, found in enumerate(ranked, start=1):
        out.print(f"{rank:3}  {found.article_id}  {found.score:.3f}", markup=False)


def _plain_page(page: Page) -> dict[str, object]:
    """Return a page as values that JSON has, with the rank and the parts of each slot."""
    lists = {
        name: [
            {"rank": rank, **slot.as_dict(), "parts": dict(slot.parts)}
            for rank, slot in enumerate(slots, start=1)
        ]
        for name, slots in page.items()
    }
    return {**page.as_dict(), "lists": lists}


def _print_page(page: Page) -> None:
    for name, slots in page.items():
        out.print()
        out.print(page.titles[name], style="bold", markup=False)
        for rank, slot in enumerate(slots, start=1):
            section = f"  [{slot.category}]" if slot.category else ""
            out.print(f"  {rank}  {slot.title or slot.article_id}{section}", markup=False)
            out.print(f"     {slot.reason}", style="dim", markup=False)
    for note in page.notes:
        out.print()
        out.print(f"note: {note}", markup=False)


@app.command()
def export(
    published: PublishedOption,
    to: Annotated[Path, typer.Option("--to", help="A .csv, .jsonl or .parquet file to write.")],
    as_of: AsOfOption = None,
) -> None:
    """Write the lists of the current run as plain rows for a CMS, in a file that only you read."""
    import polars as pl

    from recsys.operations.export_rows import COLUMNS, export_rows, without_formulas

    writers = {".csv": "write_csv", ".jsonl": "write_ndjson", ".parquet": "write_parquet"}
    if to.suffix not in writers:
        raise typer.BadParameter(f"--to must end in one of {', '.join(writers)}; got {to}")
    schema: dict[str, pl.DataType] = dict.fromkeys(COLUMNS, pl.String())
    schema |= {"rank": pl.Int64(), "score": pl.Float64()}
    rows = list(export_rows(published, as_of=as_of or now()))
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    if to.suffix == ".csv":
        frame = without_formulas(frame)
    with atomic_replacement(to) as partial:
        partial.unlink(missing_ok=True)
        create_private_file(partial)  # it names users
        getattr(frame, writers[to.suffix])(partial)
    out.print(f"wrote {len(frame)} rows to {to}", markup=False)


def sample_folder() -> Path:
    """Return the folder of the sample newsroom, of the installed package or of a checkout."""
    packaged = Path(str(files("recsys") / "sample"))
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "data" / "sample"


@app.command()
def demo() -> None:
    """Ingest a sample newsroom, publish a run of it, print its pages; in a temporary folder."""
    from recsys.nightly.run import run_nightly

    about = json.loads(sample_folder().with_suffix(".json").read_text("utf-8"))
    as_of = parse_instant(about["as_of"])
    with tempfile.TemporaryDirectory() as folder:
        published = Path(folder) / "published"
        with Store(Path(folder) / "recsys.db") as store:
            out.print(f"$ recsys ingest {sample_folder().name} --store recsys.db", style="green")
            report = load_files(store, expand([sample_folder()]), received_ms=to_ms(as_of))
            _print_load_report(report)
            out.print("$ recsys nightly --store recsys.db --published published", style="green")
            run = run_nightly(store, published, as_of_ms=to_ms(as_of), config=Config())
            out.print(
                f"published {run.run_id}: {run.counts['live_articles']} live articles,"
                f" {run.counts['users']} users"
            )
        recommender = Recommender(published)
        for user, article in about["pages"]:
            out.print()
            out.print(
                f"$ recsys recommend --published published --user {user} --article {article}",
                style="green",
            )
            context = recommender.article(article, as_of=as_of)
            out.print(f"beside: {article if context is None else context.title}", markup=False)
            _print_page(recommender.recommend(user, article, as_of=as_of))


for command in (evaluate, tune, explain, preview, runs, health, rollback, publish, diff, rebuild):
    app.command()(command)
app.command()(forget)
app.command("config")(show_config)
app.add_typer(rules, name="rules")


def main() -> None:
    """Run the command line; an error of this package is one line and an exit status."""
    accept_any_encoding()
    try:
        app(standalone_mode=True)
    except HeldBackError as error:
        _fail(error, 3)
    except RunActiveError as error:
        _fail(error, 4)
    except InputRefusedError as error:
        _fail(error, 2)
    except BrokenPipeError:
        sys.exit(1)
    except (RecsysError, OSError, sqlite3.Error, MemoryError) as error:
        _fail(error, 1)


def _fail(error: Exception, status: int) -> None:
    err.print(f"recsys: {str(error) or type(error).__name__}", style="red", markup=False)
    sys.exit(status)
