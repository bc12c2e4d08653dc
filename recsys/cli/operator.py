"""The operators' commands: runs, what changed between them, which is served; a reader forgotten."""

import os
import sys
import tomllib
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from recsys.cli.options import (
    TITLES,
    ConfigOption,
    PublishedOption,
    StoreOption,
    err,
    out,
    stored_user_id,
)
from recsys.config import config_of, load_tables
from recsys.files import locked
from recsys.operations.compare_runs import Difference, difference
from recsys.operations.describe_settings import settings_of, toml_with_comments
from recsys.published import folder as published_folder
from recsys.rows import to_ms
from recsys.store.database import Store

RunArgument = Annotated[str, typer.Argument(help="a run's id, as `recsys runs` lists them")]


def runs(published: PublishedOption, store: Annotated[Path | None, typer.Option()] = None) -> None:
    """List the runs of a folder, the served one marked; with --store, the whole ledger."""
    current = published_folder.current_run(published)
    kept, held = published_folder.run_ids(published), published_folder.run_ids(published, ".held")
    entries = []
    if store is not None:
        with Store(store, must_exist=True) as opened:
            entries = opened.runs()
    known = {entry["run_id"]: entry for entry in entries}
    for run_id in sorted({*kept, *held, *known}):
        mark = "h" if run_id in held else ("" if run_id in kept else "-")
        line = f"{'*' if run_id == current else mark:1} {run_id}"
        if run_id in known:
            report = known[run_id]["report"]
            counts = report["counts"]
            line += (
                f"  {report['kind']}, {report['status']}, as of {report['as_of']},"
                f" {counts.get('live_articles', 0)} live articles,"
                f" {counts.get('readers', 0)} readers,"
                f" {sum(report['seconds'].values()):.1f} s, {report['peak_mb']} MiB"
            )
            line = "\n    ".join((line, *report["problems"]))
            if report.get("forced"):
                line += f"\n    published all the same: {report['forced']}"
        out.print(line, markup=False)
    out.print("* served now, h held back, - file no longer kept")


def rollback(
    published: PublishedOption,
    run: Annotated[str | None, typer.Argument(help="by default the run before")] = None,
) -> None:
    """Serve an earlier run again."""
    current = published_folder.current_run(published)
    if run is None:
        earlier = [r for r in published_folder.run_ids(published) if current is None or r < current]
        if not earlier:
            published_folder.require_current(published)
            err.print(f"{published}: no run before {current} is kept", style="red")
            raise typer.Exit(1)
        run = earlier[-1]
    if run in published_folder.run_ids(published, ".held"):
        err.print(f"{run} was held back; `recsys publish {run} --force --reason ...`", style="red")
        raise typer.Exit(3)
    published_folder.publish(published, run)
    out.print(f"serving {run}, was {current}")


def publish(
    run: RunArgument,
    store: StoreOption,
    published: PublishedOption,
    force: Annotated[bool, typer.Option("--force", help="although it was held back")] = False,
    reason: Annotated[str, typer.Option(help="why, for the ledger")] = "",
) -> None:
    """Serve a run; one that was held back, with --force and a reason."""
    with Store(store, must_exist=True) as opened, locked(published):
        entry = next((entry for entry in opened.runs() if entry["run_id"] == run), None)
        if run in published_folder.run_ids(published, ".held"):
            problems = [] if entry is None else entry["report"]["problems"]
            if not (force and reason):
                err.print(
                    f"{run} was held back: {'; '.join(problems) or 'it did not end'}; "
                    "--force and --reason TEXT publish it",
                    style="red",
                )
                raise typer.Exit(3)
            if entry is not None:
                entry["report"] |= {"status": "published", "forced": reason}
        published_folder.publish(published, run)
        if entry is not None:
            status = entry["report"]["status"]
            opened.put_run(run, entry["kind"], entry["as_of"], status, entry["report"])
    out.print(f"serving {run}")


def diff(first: RunArgument, second: RunArgument, published: PublishedOption) -> None:
    """Print what changed from one run to another."""
    _print_difference(difference(published, first, second))


def _print_difference(found: Difference) -> None:
    if found.same:
        out.print("the same, to the byte")
        return
    for what, ids in (("came", found.came), ("went", found.went)):
        some = f": {', '.join(ids[:8])}{', ...' if len(ids) > 8 else ''}" if ids else ""
        out.print(f"live articles that {what}: {len(ids)}{some}", markup=False)
    out.print(f"readers: {found.readers[0]}, now {found.readers[1]}")
    for name, (before, after) in found.weights.items():
        out.print(f"weight of {name}: {before:g}, now {after:g}")
    out.print(f"articles still there, on the pages of {found.n_compared} readers, and of the front")
    for name, (was, now) in found.front.items():
        out.print(
            f"  {TITLES[name]}: {found.kept[name]:.0%}; {len(set(was) & set(now))} of"
            f" {len(was)}, new: {', '.join(i for i in now if i not in was) or '-'}",
            markup=False,
        )


def rebuild(
    run: RunArgument,
    store: StoreOption,
    published: PublishedOption,
    to: Annotated[Path, typer.Option("--to", help="the folder to build it in, a new one")],
) -> None:
    """Build a run again from the ledger's settings and instant, and say whether it is the same."""
    from recsys.nightly.run import run_nightly

    with Store(store, must_exist=True) as opened:
        ledger = opened.runs()
        place = next((i for i, entry in enumerate(ledger) if entry["run_id"] == run), None)
        if place is None:
            err.print(f"{store}: no run {run} in the ledger", style="red")
            raise typer.Exit(1)
        # A refresh carries on what was published before it, from its night on.
        published_then = [e for e in ledger[:place] if e["status"] == "published"]
        nights = [i for i, e in enumerate(published_then) if e["kind"] == "nightly"]
        first = nights[-1] if nights and ledger[place]["kind"] == "refresh" else place
        for entry in (*published_then[first:], ledger[place]):
            tables = tomllib.loads(entry["report"]["settings"])
            config = config_of(tables, f"settings of {entry['run_id']}")
            built = run_nightly(
                opened,
                to,
                as_of_ms=to_ms(datetime.fromisoformat(entry["as_of"])),
                config=config,
                kind=entry["kind"],
                n_processes=os.cpu_count() or 1,
            )
    out.print(f"{run} built again as {built.run_id} in {to}", markup=False)
    if run in published_folder.run_ids(published):
        _print_difference(difference(published, run, built.run_id, other=to))


def show_config(
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Print the settings in force as TOML, with what each means and where its value comes from."""
    tables = load_tables(config)
    settings = settings_of(config_of(tables, str(config)), tables)
    if as_json:
        rows = msgspec.json.format(msgspec.json.encode(settings), indent=2)
        sys.stdout.write(rows.decode("utf-8") + "\n")
    else:
        sys.stdout.write(toml_with_comments(settings, "" if config is None else config.name))


def forget(
    user: Annotated[str, typer.Argument(help="the reader's id, exactly")],
    store: StoreOption,
    published: PublishedOption,
) -> None:
    """Delete a reader from the store and from every published run, and look for what is left."""
    from recsys.operations.forget_user import forget as forget_reader

    with Store(store, must_exist=True) as opened:
        name = stored_user_id(user) if opened.hashed_with else user
        found = forget_reader(opened, published, name or user)
    rows = ", ".join(f"{n} {table}" for table, n in found.rows.items())
    out.print(f"deleted {rows}; from {found.n_runs} runs", markup=False)
    for name, n in found.left.items():
        out.print(
            f"{name}: the id's bytes stand in {n} places, in other ids or texts", markup=False
        )
    if not found.left:
        out.print("no byte of the id is left in the store or in any run", markup=False)
