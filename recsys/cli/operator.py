"""The operators' commands: runs and how they differ, settings, forgetting a user."""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from recsys.cli.options import (
    AsOfOption,
    ConfigOption,
    JsonOption,
    KnownStoreOption,
    PublishedOption,
    StoreOption,
    load_settings,
    run_key,
    usage_errors,
    user_key,
)
from recsys.cli.terminal import err, out, print_json
from recsys.config_file import config_of, load_tables
from recsys.errors import SnapshotError, StoreError
from recsys.files import is_locked, locked
from recsys.id_search import Found
from recsys.ids import spelled_id
from recsys.keys import USER_KEY
from recsys.operations.compare_runs import RunDifference, compare_runs
from recsys.operations.describe_settings import settings_of, toml_with_comments
from recsys.operations.forget_user import ForgetReport, forget_user
from recsys.pseudonym import hashed_user, key_fingerprint
from recsys.published import folder as published_folder
from recsys.rows import to_ms
from recsys.serving.recommender import Recommender
from recsys.store.database import Store

RunArgument = Annotated[str, typer.Argument(help="The id of a run, see `recsys runs`.")]


def runs(
    published: PublishedOption,
    store: KnownStoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the runs of a folder, the current one marked."""
    if not published.is_dir():
        published_folder.require_current(published)
    try:
        current = published_folder.current_run(published, run_key())
    except SnapshotError as error:  # the list names the runs that a rollback may serve
        current = None
        err.print(f"warning: {error}", markup=False)
    kept, held = published_folder.run_ids(published), published_folder.run_ids(published, ".held")
    ledger: dict[str, dict[str, Any]] = {}
    if store is not None:
        with Store(store, must_exist=True) as opened:
            ledger = {entry["run_id"]: entry["report"] for entry in opened.runs()}
    newest, at_work = max(ledger, default=""), is_locked(published)
    found: list[dict[str, Any]] = []
    for run_id in sorted({*kept, *held, *ledger}):
        report = ledger.get(run_id)
        file = "held back" if run_id in held else "kept" if run_id in kept else "deleted"
        if report is None:
            status = "published" if file == "kept" else file
        elif report["status"] == "begun" and file != "kept":
            status = "running" if run_id == newest and at_work else "killed"
            file = "unfinished"
        else:
            # A run that was killed just after it was published has not entered that.
            status = "published" if report["status"] == "begun" else report["status"]
        found.append(
            {
                "run_id": run_id,
                "is_current": run_id == current,
                "status": status,
                "file": file,
                "report": report,
            }
        )
    if as_json:
        print_json(found)
        return
    marks = {"held back": "h", "kept": " ", "deleted": "-", "unfinished": "u"}
    for run in found:
        line = f"{'*' if run['is_current'] else marks[run['file']]} {run['run_id']}"
        if (report := run["report"]) is None:
            out.print(f"{line}  {run['status']}", markup=False)
            continue
        out.print(line + _report_text(report, run["status"]), markup=False)
        for problem in report["problems"]:
            out.print(f"    {problem}", markup=False)
        for warning in report.get("warnings", ()):
            out.print(f"    warning: {warning}", markup=False)
        if report.get("forced"):
            out.print(f"    published all the same: {report['forced']}", markup=False)
    out.print("* current run, h held back, u unfinished, - file deleted")


def _report_text(report: dict[str, Any], status: str) -> str:
    """Return the ledger's report of a run as the rest of its line."""
    counts = report["counts"]
    if not counts:  # a run that did not come so far
        return f"  {report['kind']}, {status}, as of {report['as_of']}"
    return (
        f"  {report['kind']}, {status}, as of {report['as_of']},"
        f" {counts.get('live_articles', 0)} live articles,"
        f" {counts.get('users', 0)} users,"
        f" {sum(report['seconds'].values()):.1f} s, {report['peak_mb']} MiB"
    )


def health(
    published: PublishedOption,
    max_hours: Annotated[
        float, typer.Option(help="How old the data of the run may be, in hours.")
    ] = 36.0,
    as_of: AsOfOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print which run servers of a folder serve, and what is wrong with it (exit status 1)."""
    recommender = Recommender(published)
    with usage_errors():
        found = recommender.health(as_of=as_of, max_hours=max_hours)
    if as_json:
        print_json(asdict(found))
    else:
        out.print(f"{found.run_id}: {found.hours:g} hours old")
        for problem in found.problems:
            out.print(f"problem: {problem}", style="red")
        for note in found.notes:
            out.print(f"note: {note}")
    if found.problems:
        raise typer.Exit(1)


def rollback(
    published: PublishedOption,
    run: Annotated[
        str | None, typer.Argument(help="The run to serve. By default: the one before.")
    ] = None,
) -> None:
    """Serve an earlier run again."""
    # A rollback to a named run is how a pointer that is not signed by the key is signed.
    current = published_folder.current_run(published, run_key() if run is None else None)
    if run is None:
        earlier = [r for r in published_folder.run_ids(published) if current is None or r < current]
        if not earlier:
            published_folder.require_current(published)
            err.print(f"{published}: no run before {current} is kept", style="red")
            raise typer.Exit(1)
        run = earlier[-1]
    if run in published_folder.run_ids(published, ".held"):
        err.print(
            f"{run} was held back; `recsys publish {run} --force --reason TEXT` publishes it",
            style="red",
            markup=False,
        )
        raise typer.Exit(3)
    published_folder.publish(published, run, run_key())
    out.print(f"serving {run}, was {current}", markup=False)


def publish(
    run: RunArgument,
    store: StoreOption,
    published: PublishedOption,
    force: Annotated[
        bool, typer.Option("--force", help="Publish it although it was held back.")
    ] = False,
    reason: Annotated[
        str, typer.Option(help="Why it is published all the same; kept in the ledger.")
    ] = "",
) -> None:
    """Serve a run; a run that was held back needs --force and --reason."""
    with Store(store, must_exist=True) as opened, locked(published):
        entry = next((entry for entry in opened.runs() if entry["run_id"] == run), None)
        if run in published_folder.run_ids(published, ".held"):
            problems = [] if entry is None else entry["report"]["problems"]
            if not (force and reason):
                err.print(
                    f"{run} was held back: {'; '.join(problems) or 'it did not end'};"
                    " --force and --reason TEXT publish it",
                    style="red",
                    markup=False,
                )
                raise typer.Exit(3)
            if entry is not None:
                entry["report"] |= {"status": "published", "forced": reason}
        published_folder.publish(published, run, run_key())
        if entry is not None:
            status = entry["report"]["status"]
            opened.put_run(run, entry["kind"], entry["as_of"], status, entry["report"])
    out.print(f"serving {run}", markup=False)


def diff(
    first: RunArgument,
    second: RunArgument,
    published: PublishedOption,
    as_json: JsonOption = False,
) -> None:
    """Print what changed from one run to another."""
    found = compare_runs(published, first, second, run_key=run_key())
    if as_json:
        print_json(asdict(found))
    else:
        _print_difference(found)


def _print_difference(found: RunDifference) -> None:
    if found.is_same:
        out.print("the same, to the byte")
        return
    for what, ids in (("new", found.added), ("no longer live", found.removed)):
        some = f": {', '.join(ids[:8])}{', ...' if len(ids) > 8 else ''}" if ids else ""
        out.print(f"{what}: {len(ids)} articles{some}", markup=False)
    out.print(f"users: {found.n_users[0]}, now {found.n_users[1]}")
    for name, (before, after) in found.weights.items():
        out.print(f"weight of {name}: {before:g}, now {after:g}")
    out.print(
        f"share of articles that stayed on the pages of {found.n_compared} users; articles that"
        " stayed on the front page"
    )
    for name, (ids_before, ids_after) in found.front_page.items():
        new = ", ".join(article_id for article_id in ids_after if article_id not in ids_before)
        out.print(
            f"  {found.titles[name]}: {found.share_kept[name]:.0%};"
            f" {len(set(ids_before) & set(ids_after))} of {len(ids_before)}, new: {new or '-'}",
            markup=False,
        )


def rebuild(
    run: RunArgument,
    store: StoreOption,
    published: PublishedOption,
    to: Annotated[Path, typer.Option("--to", help="A new folder in which the run is built.")],
) -> None:
    """Build a run again with the ledger's settings and time; compare it with the first build."""
    from recsys.nightly.run import run_nightly
    from recsys.nightly.run_report import why_other_bytes

    key = run_key()
    with Store(store, must_exist=True) as opened:
        ledger = opened.runs()
        position = next((i for i, entry in enumerate(ledger) if entry["run_id"] == run), None)
        if position is None:
            err.print(f"{store}: the ledger has no run {run}; see `recsys runs`", style="red")
            raise typer.Exit(1)
        # A refresh builds on the runs that were published before it, from its base run on.
        earlier = [e for e in ledger[:position] if e["status"] == "published"]
        nightly_runs = [i for i, e in enumerate(earlier) if e["kind"] == "nightly"]
        is_refresh = ledger[position]["kind"] == "refresh"
        first = nightly_runs[-1] if nightly_runs and is_refresh else position
        for entry in (*earlier[first:], ledger[position]):
            tables = tomllib.loads(entry["report"]["settings"])
            built = run_nightly(
                opened,
                to,
                as_of_ms=to_ms(datetime.fromisoformat(entry["as_of"])),
                config=config_of(tables, f"settings of {entry['run_id']}"),
                kind=entry["kind"],
                n_processes=os.cpu_count() or 1,
                run_key=key,
            )
    out.print(f"built {run} again as {built.run_id} in {to}", markup=False)
    if run in published_folder.run_ids(published):
        found = compare_runs(published, run, built.run_id, second_folder=to, run_key=key)
        _print_difference(found)
        if not found.is_same:
            then = ledger[position]["report"].get("versions", {})
            out.print(why_other_bytes(then, built.versions), markup=False)


def show_config(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Print the settings in force as TOML, with what each means and where its value comes from."""
    settings = settings_of(load_settings(config), load_tables(config))
    if as_json:
        print_json([asdict(setting) for setting in settings])
    else:
        text = toml_with_comments(settings, "" if config is None else config.name)
        for line in text.removesuffix("\n").split("\n"):
            out.print(line)


def show_store(
    store: StoreOption,
    action: Annotated[
        str, typer.Argument(help="sizes, or vacuum: give free space back to the disk.")
    ] = "sizes",
    as_json: JsonOption = False,
) -> None:
    """Print how large the store is, by table; `vacuum` gives free space back to the disk."""
    if action not in ("sizes", "vacuum"):
        raise typer.BadParameter(f"the action must be sizes or vacuum; got {action!r}")
    with Store(store, must_exist=True) as opened:
        before = opened.size()
        if action == "vacuum":
            opened.vacuum()
        size = opened.size()
    if as_json:
        print_json(asdict(size) | {"total_bytes": size.total_bytes})
        return
    table = Table("table", "rows", "MB", box=None)
    for name, found in size.tables.items():
        table.add_row(name, f"{found.rows:,}", f"{found.bytes / 1e6:,.1f}")
    out.print(table)
    out.print(f"free pages: {size.free_bytes / 1e6:,.1f} MB; write-ahead log:", end=" ")
    out.print(f"{size.log_bytes / 1e6:,.1f} MB; total: {size.total_bytes / 1e6:,.1f} MB")
    if action == "vacuum":
        out.print(f"before: {before.total_bytes / 1e6:,.1f} MB")


def forget(
    user: Annotated[str, typer.Argument(help="The id of the user.")],
    store: StoreOption,
    published: PublishedOption,
    search: Annotated[
        list[Path] | None,
        typer.Option(help="A file or folder, such as of old logs, to search too; repeat it."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Delete a user from the store and every run; name the other files that have the id."""
    for path in search or ():
        if not path.exists():
            raise typer.BadParameter(f"{path}: there is no such file or folder")
    with Store(store, must_exist=True) as opened:
        stored, own = _id_in_store(opened, user)
        with usage_errors():
            found = forget_user(
                opened,
                published,
                stored,
                own_id=own,
                also_search=tuple(search or ()),
                run_key=run_key(),
            )
    if as_json:
        print_json(_plain_report(found))
    else:
        _print_forgotten(found, store, published)
    if not found.is_found:
        err.print(
            f"no such user in {store} or in the runs of {published}; check the id", markup=False
        )
    for problem in found.problems:
        err.print(f"the user may still be there: {problem}", style="red", markup=False)
    for file in (left := [file for file, of in found.left.items() if of.whole]):
        text = f"the user may still be there: {file} has the id by itself"
        err.print(text, style="red", markup=False)
    if found.problems or left or not found.is_found:
        raise typer.Exit(1)


def _plain_report(found: ForgetReport) -> dict[str, object]:
    """Return a report as values that JSON has."""

    def places(by_file: Mapping[str, Found]) -> list[dict[str, object]]:
        return [{"file": path, **of._asdict()} for path, of in by_file.items()]

    names = ("left", "exports", "event_files", "searched")
    found_in = {name: places(getattr(found, name)) for name in names}
    return {"is_found": found.is_found} | asdict(found) | found_in


def _print_forgotten(found: ForgetReport, store: Path, published: Path) -> None:
    rows = ", ".join(f"{n} {table}" for table, n in found.rows.items())
    out.print(f"{store}: deleted {rows}", markup=False)
    out.print(f"{published}: deleted the user from {len(found.runs)} runs", markup=False)
    for path, n in found.runs.items():
        out.print(f"  {path}: deleted {n} {'entry' if n == 1 else 'entries'}", markup=False)
    for path, of in found.left.items():
        out.print(f"{path}: bytes of the id are left, {_places(of)}", markup=False)
    if not found.left:
        out.print("no byte of the id is left in the store or in any run")
    for by_file, what, remedy in (
        (found.exports, "an export", "write it again, or delete it"),
        (found.event_files, "read by ingest", "delete the user there, or it comes back"),
        (found.searched, "searched", "delete the user there"),
    ):
        for path, of in by_file.items():
            out.print(f"still in {path} ({what}), {_places(of)}: {remedy}", markup=False)
    for text in found.unsearched:
        out.print(f"not searched: {text}", markup=False)
    if found.missing:
        n = len(found.missing)
        out.print(f"not there any more: {n} files of events or exports (--json names them)")
    for folder in found.other_folders:
        out.print(
            f"runs of this store are in {folder} too: --published forgets there", markup=False
        )
    out.print("not covered: backups, and files that were copied, moved or sent elsewhere")


def _places(of: Found) -> str:
    """Return in words how often an id was found."""
    parts = [f"{of.whole} times by itself"] if of.whole else []
    parts += [f"{of.within} times within longer words"] if of.within else []
    return " and ".join(parts)


def _id_in_store(store: Store, user: str) -> tuple[str, str | None]:
    """Return a user's id as the store has it, and the id itself if the store hashes user ids.

    Raises
    ------
    StoreError
        If the store hashes user ids, and the key is not the one of the environment.
    """
    if store.user_key_fingerprint is None:
        return spelled_id(user), None
    key = user_key()
    if key is None or key_fingerprint(key) != store.user_key_fingerprint:
        raise StoreError(
            f"{store.path}: user ids in this store are hashed with a key that {USER_KEY} does not"
            f" have (fingerprint {store.user_key_fingerprint}); set it to the key that they were"
            " ingested with"
        )
    return hashed_user(user, key), spelled_id(user)
