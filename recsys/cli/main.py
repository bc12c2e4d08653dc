"""The command line: arguments in, one call, an exit status out.

The only room that prints, and the only one beside serving that reads the clock.

Exit status: 0 done; 1 failed (and `ingest --strict` with a rejected row); 2 wrong usage,
or a file that is not what it should be; 3 held back; 4 another run is active.
"""

import json
import os
import sqlite3
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from recsys.cli.editor import explain, preview, rules
from recsys.cli.lazy_import import load_when_asked
from recsys.cli.operator import (
    diff,
    forget,
    publish,
    rebuild,
    rollback,
    runs,
    show_config,
)
from recsys.cli.options import (
    TITLES,
    USER_KEY,
    ArticleOption,
    AsOfOption,
    ConfigOption,
    PublishedOption,
    StoreOption,
    UserOption,
    err,
    instant,
    out,
    stored_user_id,
    user_key,
)
from recsys.config import load_config, toml_of
from recsys.errors import HeldBackError, InputRefusedError, RecsysError, RunActiveError
from recsys.files import atomic_replacement
from recsys.ingest.detect import FORMATS, READERS, expand
from recsys.ingest.load_files import LoadReport, load_files
from recsys.rows import FIELDS, iso, to_ms
from recsys.serving.recommender import Recommender
from recsys.serving.responses import Page
from recsys.store.database import Store

if TYPE_CHECKING:
    from recsys.evaluation.run import Evaluation
    from recsys.learn.heads import HeadReport
    from recsys.learn.regimes import Protocol
    from recsys.metrics import Interval
    from recsys.nightly.run import Kind as RunKind

# scikit-learn imports scipy.stats for a helper that is not called here; loading it takes longer
# than loading scikit-learn.
load_when_asked("scipy.stats")

app = typer.Typer(
    help=__doc__.partition("\n")[0] if __doc__ else None,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(rules, name="rules")
app.command()(explain)
app.command()(preview)
for command in (runs, rollback, publish, diff, rebuild, forget):
    app.command()(command)
app.command("config")(show_config)


@app.command()
def ingest(
    paths: Annotated[list[Path], typer.Argument(help="files, or folders of them")],
    store: StoreOption,
    format: Annotated[str, typer.Option(help=f"auto, {', '.join(FORMATS)}")] = "auto",
    kind: Annotated[str | None, typer.Option(help=", ".join(FIELDS))] = None,
    strict: Annotated[bool, typer.Option("--strict", help="fail on a rejected row")] = False,
    hash_users: Annotated[
        bool, typer.Option("--hash-users", help=f"store readers' ids hashed by ${USER_KEY}")
    ] = False,
) -> None:
    """Read files into the store; the same file twice changes nothing."""
    read_format = next((name for name in READERS if name == format), None)
    if read_format is None and format != "auto":
        raise typer.BadParameter(f"{format!r}; one of auto, {', '.join(FORMATS)}")
    read_kind = next((name for name in FIELDS if name == kind), None)
    if read_kind is None and kind is not None:
        raise typer.BadParameter(f"{kind!r}; one of {', '.join(FIELDS)}")
    key = user_key() if hash_users else None
    if hash_users and key is None:
        raise typer.BadParameter(f"--hash-users: set {USER_KEY} to a secret of 16 to 64 bytes")
    found = list(expand(paths))
    with Store(store) as opened, _progress(found) as progress:
        report = load_files(
            opened,
            found,
            received_ms=to_ms(datetime.now(UTC)),
            format=read_format,
            kind=read_kind,
            user_key=key,
            progress=progress.moved,
        )
    _print_load(report)
    if report.refused:
        raise typer.Exit(2)
    if strict and report.rejected:
        raise typer.Exit(1)


class _Bar:
    """A bar over the bytes of several files."""

    def __init__(self, progress: Progress, paths: list[Path]) -> None:
        self._progress = progress
        self._before = {}
        total = 0
        for path in paths:
            self._before[path] = total
            total += path.stat().st_size
        self._task = progress.add_task("ingest", total=total)

    def moved(self, path: Path, position: int) -> None:
        self._progress.update(self._task, completed=self._before[path] + position)


@contextmanager
def _progress(paths: list[Path]) -> Iterator[_Bar]:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    # Silent unless a person looks on: cron mails what is printed.
    with Progress(
        *columns, TimeRemainingColumn(), console=err, transient=True, disable=not err.is_terminal
    ) as progress:
        yield _Bar(progress, paths)


def _print_load(report: LoadReport) -> None:
    for kind, added in report.added.items():
        out.print(f"{kind}: {added.new} new, {added.changed} changed, {added.known} known")
    for (reason, field), n in report.rejected.most_common():
        out.print(f"rejected: {n} x {field + ': ' if field else ''}{reason}", markup=False)
    if report.rejected:
        out.print("rejected rows are in the store, table rejected_rows", markup=False)
    for error in report.refused:
        err.print(str(error), style="red", markup=False)


@app.command()
def nightly(
    store: StoreOption,
    published: PublishedOption,
    as_of: AsOfOption = None,
    config: ConfigOption = None,
) -> None:
    """Train, score and publish a run."""
    _run("nightly", store, published, as_of, config)


@app.command()
def refresh(
    store: StoreOption,
    published: PublishedOption,
    as_of: AsOfOption = None,
    config: ConfigOption = None,
) -> None:
    """Publish new articles, counts and clicks with the current run's factors, untrained."""
    _run("refresh", store, published, as_of, config)


def _run(
    kind: "RunKind",
    store: Path,
    published: Path,
    as_of: datetime | None,
    config: Path | None,
) -> None:
    from recsys.nightly.run import run_nightly

    settings = load_config(config)
    with Store(store, must_exist=True) as opened:
        report = run_nightly(
            opened,
            published,
            as_of_ms=to_ms(as_of or datetime.now(UTC)),
            config=settings,
            kind=kind,
            on_progress=lambda stage: err.print(f"{kind}: {stage}") if err.is_terminal else None,
            n_processes=os.cpu_count() or 1,
        )
    out.print(f"published {report.run_id} as of {report.as_of}")
    if report.lifted_by_bots:
        out.print(
            "  would rise by clicks of machines, which do not count: "
            + ", ".join(report.lifted_by_bots),
            markup=False,
        )
    if report.vitals is not None and report.vitals.never:
        out.print(
            f"  on none of {report.vitals.n_pages} pages looked at: "
            + ", ".join(report.vitals.never),
            markup=False,
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
    n: Annotated[int, typer.Option(min=1, max=100, help="slots of each ranked list")] = 5,
    recent: Annotated[
        list[str] | None, typer.Option(help="article just clicked; repeat, oldest first")
    ] = None,
    as_of: AsOfOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Print one page."""
    page = Recommender(published).recommend(
        stored_user_id(user), article, n=n, recent_clicks=tuple(recent or ()), as_of=as_of
    )
    if as_json:
        sys.stdout.write(json.dumps(_plain(page), ensure_ascii=False, indent=2) + "\n")
    else:
        _print_page(page)


@app.command()
def rank(
    published: PublishedOption,
    articles: Annotated[list[str], typer.Argument(help="ids of the articles to order")],
    user: UserOption = None,
    article: ArticleOption = None,
    as_of: AsOfOption = None,
) -> None:
    """Print given articles in the order a reader is likeliest to click them."""
    for place, found in enumerate(
        Recommender(published).rank(
            stored_user_id(user), articles, article_id=article, as_of=as_of
        ),
        start=1,
    ):
        out.print(f"{place:3}  {found.article_id}  {found.score:.3f}", markup=False)


def _plain(page: Page) -> dict[str, object]:
    lists = {
        name: [
            {"rank": rank} | slot.as_dict() | {"parts": dict(slot.parts)}
            for rank, slot in enumerate(slots, start=1)
        ]
        for name, slots in page.items()
    }
    for slots in lists.values():
        for slot in slots:
            if (instant := slot["published_at"]) is not None:
                slot["published_at"] = instant.isoformat()
    return {"run_id": page.run_id, "notes": list(page.notes), "lists": lists}


def _print_page(page: Page) -> None:
    for name, slots in page.items():
        out.print(f"\n{TITLES[name]}", style="bold")
        for rank, slot in enumerate(slots, start=1):
            section = f"  [{slot.category}]" if slot.category else ""
            out.print(f"  {rank}  {slot.title or slot.article_id}{section}", markup=False)
            out.print(f"     {slot.reason}", style="dim", markup=False)
    for note in page.notes:
        out.print(f"\nnote: {note}", markup=False)


@app.command()
def export(
    published: PublishedOption,
    to: Annotated[Path, typer.Option("--to", help=".csv, .jsonl or .parquet")],
) -> None:
    """Write the served run's lists as plain rows for a CMS."""
    import polars as pl

    from recsys.operations.export_rows import COLUMNS, export_rows

    writers = {".csv": "write_csv", ".jsonl": "write_ndjson", ".parquet": "write_parquet"}
    if to.suffix not in writers:
        raise typer.BadParameter(f"{to}: the ending must be one of {', '.join(writers)}")
    schema: dict[str, pl.DataType] = dict.fromkeys(COLUMNS, pl.String())
    schema |= {"rank": pl.Int64(), "score": pl.Float64()}
    frame = pl.DataFrame(list(export_rows(published)), schema=schema, orient="row")
    with atomic_replacement(to) as partial:
        getattr(frame, writers[to.suffix])(partial)
    out.print(f"{len(frame)} rows to {to}", markup=False)


@app.command()
def evaluate(
    store: StoreOption,
    protocol: Annotated[
        str, typer.Option(help="nightly, hourly, streaming, or all three")
    ] = "nightly",
    test_from: Annotated[
        datetime | None,
        typer.Option("--test-from", parser=instant, metavar="ISO", help="default: last two days"),
    ] = None,
    config: ConfigOption = None,
    as_json: Annotated[Path | None, typer.Option("--json", help="also write JSON here")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="also write a page of plots")] = None,
    ablate: Annotated[
        bool, typer.Option("--ablate", help="learn anew without each group of features")
    ] = False,
) -> None:
    """Print offline metrics of the systems, beside their baselines."""
    from recsys.evaluation import report, run
    from recsys.evaluation.html_report import render
    from recsys.learn.regimes import DAY_MS

    protocols = _protocols(protocol)
    settings = load_config(config)
    with Store(store, must_exist=True) as opened, err.status("evaluating") as status:
        before_ms = opened.last_impression_ms() + 1
        from_ms = before_ms - 2 * DAY_MS if test_from is None else to_ms(test_from)
        if from_ms >= before_ms:
            raise typer.BadParameter(f"no impression from {iso(from_ms)} on, the last is earlier")
        found = run.evaluate(
            opened,
            settings,
            protocols,
            from_ms=from_ms,
            before_ms=before_ms,
            ablate=ablate,
            on_progress=status.update,
        )
    when = f"impressions from {iso(from_ms)} to {iso(before_ms)}"
    _print_evaluation(found, when)
    if as_json is not None:
        plain = {
            name: report.as_json(name, in_view, found.full_list, found.ablation[name])
            for name, in_view in found.in_view.items()
        }
        text = json.dumps(plain if len(plain) > 1 else plain[protocols[0]], indent=2)
        with atomic_replacement(as_json) as partial:
            partial.write_text(text + "\n", "utf-8")
    if html is not None:
        page = render(
            f"recsys evaluate: {store.name}", [when], found.in_view, found.full_list, found.ablation
        )
        with atomic_replacement(html) as partial:
            partial.write_text(page, "utf-8")


def _print_evaluation(found: "Evaluation", when: str) -> None:
    from recsys.evaluation.backtest import PURPOSE

    for name, in_view in found.in_view.items():
        out.print(
            f"{name}, {when}: {in_view.n_impressions} judged of {in_view.n_users} readers"
            f" ({in_view.n_single_class} of a single class left out);"
            f" popularity is {in_view.popularity}"
        )
        known = in_view.systems["blend"]
        columns = [c for c in ("auc", "auc, unbiased", "mrr", "ndcg@5", "ndcg@10") if c in known]
        _print_metrics("in view: re-rank what was shown", in_view.systems, columns)
        for group, value in found.ablation[name].items():
            out.print(
                f"  without {group}: AUC {-value.mean:+.4f}"
                f" ({-value.high:+.4f} to {-value.low:+.4f})"
            )
    full = found.full_list
    title = f"full list: from all live articles at noon, {full.n_lists} lists"
    _print_metrics(title, full.systems, ("hit@5", "hit@10", "ndcg@10", "coverage@5", "gini@5"))
    for purpose, values in full.purposes.items():
        title = f"{TITLES[purpose]}: {PURPOSE[purpose]}"
        _print_metrics(title, {n: {"ndcg@5": value} for n, value in values.items()}, ("ndcg@5",))
    for way, figures in full.pages.items():
        values_of = ", ".join(f"{figure} {value:.3f}" for figure, value in figures.items())
        out.print(f"  pages composed by {way}: {values_of}")


@app.command()
def tune(
    store: StoreOption,
    to: Annotated[Path, typer.Option("--to", help="the recsys.toml to write")],
    until: Annotated[
        datetime | None,
        typer.Option(parser=instant, metavar="ISO", help="look at nothing later (default: all)"),
    ] = None,
    folds: Annotated[int, typer.Option(min=1, help="days judged, the last ones")] = 2,
    trials: Annotated[int, typer.Option(min=1, help="settings tried")] = 20,
    protocol: Annotated[str, typer.Option(help="nightly, hourly or streaming")] = "nightly",
    config: ConfigOption = None,
) -> None:
    """Search half-lives, factors and what else a night takes as given; write a recsys.toml."""
    from recsys.evaluation.tune import search

    chosen = _protocols(protocol)
    if len(chosen) > 1:
        raise typer.BadParameter("one regime at a time")
    with Store(store, must_exist=True) as opened, err.status("tuning") as status:
        before_ms = opened.last_impression_ms() + 1 if until is None else to_ms(until)
        found = search(
            opened,
            load_config(config),
            chosen[0],
            before_ms=before_ms,
            n_folds=folds,
            n_trials=trials,
            on_progress=status.update,
        )
    with atomic_replacement(to) as partial:
        partial.write_text(toml_of(found.config), "utf-8")
    out.print(
        f"{found.value:.4f} with the settings in {to}, {found.before:.4f} before: mean of AUC in"
        f" view and nDCG@10 of the full list, {folds} days before"
        f" {iso(before_ms)}, {trials} trials",
        markup=False,
    )


def _protocols(name: str) -> "list[Protocol]":
    from recsys.learn.regimes import PROTOCOLS

    chosen = [known for known in PROTOCOLS if name in (known, "all")]
    if not chosen:
        raise typer.BadParameter(f"{name!r}; one of {', '.join(PROTOCOLS)}, all")
    return chosen


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
    # As wide as it needs, also where no terminal says how wide: cut figures are no figures.
    Console(highlight=False, width=120).print(table)


def sample_folder() -> Path:
    """Return the folder of the sample newsroom: of the installed package, or of a checkout."""
    packaged = Path(str(files("recsys") / "sample"))
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "data" / "sample"


@app.command()
def demo() -> None:
    """Make a page of the sample newsroom: ingest, nightly, recommend, in a temporary folder."""
    from recsys.nightly.run import run_nightly

    about = json.loads((sample_folder() / "sample.json").read_text("utf-8"))
    as_of = instant(about["as_of"])
    with tempfile.TemporaryDirectory() as folder:
        published = Path(folder) / "published"
        with Store(Path(folder) / "recsys.db") as store:
            out.print(f"$ recsys ingest {sample_folder().name} --store recsys.db", style="green")
            _print_load(load_files(store, expand([sample_folder()]), received_ms=to_ms(as_of)))
            out.print("$ recsys nightly --store recsys.db --published published", style="green")
            report = run_nightly(store, published, as_of_ms=to_ms(as_of), config=load_config(None))
            out.print(
                f"published {report.run_id}: {report.counts['live_articles']} live articles,"
                f" {report.counts['readers']} readers"
            )
        recommender = Recommender(published)
        for user, article in about["pages"]:
            out.print(
                f"\n$ recsys recommend --published published --user {user} --article {article}",
                style="green",
            )
            beside = recommender.article(article)
            out.print(f"beside: {article if beside is None else beside.title}", markup=False)
            _print_page(recommender.recommend(user, article, as_of=as_of))


def main() -> None:
    """Run the command line; every error of ours is one line and an exit status."""
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
    err.print(f"recsys: {error or type(error).__name__}", style="red", markup=False)
    sys.exit(status)
