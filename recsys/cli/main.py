"""The command line: ingest files, publish runs, print pages; the app of all commands.

Only the command line prints, and only the command line and serving read the clock.

Exit status: 0 done; 1 failed (a file gave no row, or `ingest --strict` rejected a row); 2 wrong
usage, or a file is not in the format that it should have; 3 the run is held back; 4 another run is
active.
"""

import importlib.metadata
import json
import os
import sys
import tempfile
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recsys.cli.audience import audience
from recsys.cli.editor import explain, preview, rules
from recsys.cli.embed import embed
from recsys.cli.evaluate import evaluate, tune
from recsys.cli.failures import error_text, status_of
from recsys.cli.inert_group import InertGroup
from recsys.cli.ingest import ingest, print_load_report
from recsys.cli.lazy_import import load_on_first_use
from recsys.cli.logs import logged
from recsys.cli.manual import epilog_of
from recsys.cli.operator import (
    diff,
    forget,
    health,
    publish,
    rebuild,
    rollback,
    runs,
    show_config,
    show_store,
)
from recsys.cli.options import (
    ArticleOption,
    AsOfOption,
    ConfigOption,
    JsonOption,
    LanguageOption,
    LayoutOption,
    PublishedOption,
    SignalOption,
    StoreOption,
    UserOption,
    given_settings,
    named_files,
    now,
    parse_instant,
    run_key,
    stored_user_id,
    usage_errors,
    writable_file,
)
from recsys.cli.row_files import require_known_suffix, write_rows
from recsys.cli.terminal import accept_any_encoding, err, out, print_json
from recsys.config import Config
from recsys.ingest.detect import expand
from recsys.ingest.load_files import load_files
from recsys.keys import misspelled
from recsys.rows import to_ms
from recsys.serving.recommender import Recommender
from recsys.serving.responses import Page
from recsys.store.database import Store

if TYPE_CHECKING:
    from recsys.learn.head_report import HeadReport
    from recsys.nightly.run import Kind as RunKind
    from recsys.nightly.run_report import RunReport

# scikit-learn imports scipy.stats for a helper that this package does not call; loading
# scipy.stats takes longer than loading scikit-learn.
load_on_first_use("scipy.stats")

app = typer.Typer(
    cls=InertGroup,
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


app.command()(ingest)


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
    settings = given_settings(config)
    with Store(store, must_exist=True) as opened:
        report = run_nightly(
            opened,
            published,
            as_of_ms=to_ms(as_of or now()),
            config=settings,
            kind=kind,
            n_processes=os.cpu_count() or 1,
            own_signals=own,
            run_key=run_key(),
        )
    _print_run_report(report)


def _print_run_report(report: "RunReport") -> None:
    out.print(f"published {report.run_id} as of {report.as_of}")
    for change in report.changed_settings:
        out.print(f"  other settings than the run it refreshes: {change}", markup=False)
    for warning in report.warnings:
        out.print(f"  warning: {warning}", markup=False)
    for of in report.damped:
        out.print(
            f"  of {of.clicks} clicks of newcomers on {of.article_id} {of.share_counted:.0%} count",
            markup=False,
        )
    for name, looked_at in report.looked_at.items():
        positions = ", ".join(f"{chance:.2f}" for chance in looked_at)
        out.print(f"  positions of {name} are looked at: {positions}", markup=False)
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
    language: LanguageOption = None,
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
            language=language,
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
    new: Annotated[
        list[str] | None,
        typer.Option(help="One of the articles that is new since the run; repeat it."),
    ] = None,
    as_of: AsOfOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print given articles in the order in which the user is most likely to click them."""
    recommender = Recommender(published)
    with usage_errors():
        ranked = recommender.rank(
            stored_user_id(user), articles, new=new or (), article_id=article, as_of=as_of
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
        score = "unknown" if found.score is None else f"{found.score:.3f}"
        out.print(f"{rank:3}  {found.article_id}  {score}", markup=False)


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
    to: Annotated[
        Path,
        typer.Option(
            "--to", callback=writable_file, help="A .csv, .jsonl or .parquet file to write."
        ),
    ],
    as_of: AsOfOption = None,
) -> None:
    """Write the lists of the current run as plain rows for a CMS, in a file that only you read."""
    import polars as pl

    from recsys.operations.export_rows import COLUMNS, export_rows

    require_known_suffix(to)
    schema: dict[str, pl.DataType] = dict.fromkeys(COLUMNS, pl.String())
    schema |= {"rank": pl.Int64(), "score": pl.Float64()}
    write_rows(
        to, list(export_rows(published, as_of=as_of or now(), run_key=run_key())), schema, published
    )


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
            print_load_report(report)
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
app.command()(audience)
app.command()(forget)
app.command()(embed)
app.command("config")(show_config)
app.command("store")(show_store)
app.add_typer(rules, name="rules")
LOGGED = (ingest, embed, nightly, refresh, rebuild, evaluate, tune)
for group, prefix in ((app, ""), (rules, "rules ")):
    for info in group.registered_commands:
        if info.callback is not None:
            info.epilog = epilog_of(prefix + (info.name or info.callback.__name__))
            if info.callback in LOGGED:
                info.callback = logged(info.callback, has_bar=info.callback is not ingest)


def main() -> None:
    """Run the command line; an error of this package is one line and an exit status."""
    accept_any_encoding()
    for question in misspelled(os.environ):
        err.print(f"warning: {question}", markup=False)
    try:
        app(standalone_mode=True)
    except BrokenPipeError:
        sys.exit(1)
    except Exception as error:
        if (status := status_of(error)) is None:
            raise
        err.print(f"recsys: {error_text(error)}", style="red", markup=False)
        sys.exit(status)
