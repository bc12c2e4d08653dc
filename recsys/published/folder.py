"""A published folder: its runs, which of them is served, and the rules that servers follow.

    000041-20260301T060000Z.sqlite    a run that was published
    000042-20260302T060000Z.held      a run that was not: held back, or not looked at yet
    current                           the name of the run that is served
    rules.json                        editors' rules
    rules.last.json                   a copy of them, for servers that start while it is damaged
    exports.jsonl                     the files that `recsys export` wrote

A file with one of these names is complete: it was written under another name and then renamed.
"""

import os
import re
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import msgspec

from recsys.errors import NotPublishedError, RuleError, SnapshotError, reason_of
from recsys.files import write_text
from recsys.page.rules import Rule, rules_of
from recsys.published import connection, run_file

POINTER = "current"
RULES = "rules.json"
RULES_COPY = "rules.last.json"
EXPORTS = "exports.jsonl"


def run_path(folder: Path, run_id: str) -> Path:
    """Return the file of a published run.

    Raises
    ------
    SnapshotError
        If it is not the name of a run: a name read from a file could be any path.
    """
    if not re.fullmatch(r"[\w-]+", run_id):
        raise SnapshotError(f"{folder}: {run_id!r} is not the name of a run")
    return folder / f"{run_id}.sqlite"


def held_path(folder: Path, run_id: str) -> Path:
    """Return the file of a run that was not published, or not yet."""
    return run_path(folder, run_id).with_suffix(".held")


def found_path(folder: Path, run_id: str) -> Path:
    """Return the file of a run, published or held back.

    Raises
    ------
    SnapshotError
        If there is none.
    """
    for path in (held_path(folder, run_id), run_path(folder, run_id)):
        if path.exists():
            return path
    raise SnapshotError(f"{folder}: no run {run_id}; `recsys runs --published {folder}` lists them")


def run_ids(folder: Path, suffix: str = ".sqlite") -> list[str]:
    """Return the published runs of a folder, oldest first (an id starts with its number).

    With ".held", those that were not.
    """
    return sorted(path.stem for path in folder.glob(f"*{suffix}"))


def current_run(folder: Path) -> str | None:
    """Return the run that is served, None before the first.

    Raises
    ------
    SnapshotError
        If the file that names it cannot be read.
    """
    try:
        return (folder / POINTER).read_text("utf-8", errors="replace").strip() or None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SnapshotError(
            f"{folder / POINTER}: {reason_of(error)}; `recsys rollback RUN`"
        ) from error


def require_current(folder: Path) -> str:
    """Return the run that is served.

    Raises
    ------
    NotPublishedError
        If there is none.
    """
    run_id = current_run(folder)
    if run_id is None:
        raise NotPublishedError(
            f"{folder}: nothing is published here; run"
            f" `recsys nightly --store DB --published {folder}` first"
        )
    return run_id


def publish(folder: Path, run_id: str) -> None:
    """Let a run be served from now on: one that was written tonight, held back, or an earlier one.

    Raises
    ------
    SnapshotError
        If the run's file is not there or damaged; the current run stays.
    """
    held, found = held_path(folder, run_id), found_path(folder, run_id)
    base = run_file.verify(found).base
    if base is not None and not run_path(folder, base).exists():
        raise SnapshotError(f"{found}: refreshes {base}, which is not there any more")
    if found == held:
        os.replace(held, run_path(folder, run_id))
    write_text(folder / POINTER, run_id + "\n")


def delete_partials(folder: Path) -> None:
    """Delete what failed runs left half written."""
    for partial in folder.glob("[0-9]*-*.partial*"):  # SQLite leaves a journal beside one
        partial.unlink()


def prune(folder: Path, keep: int) -> list[str]:
    """Delete old runs and what failed runs left half written; return the runs deleted.

    The `keep` newest published runs stay, the `keep` newest that were held back, the current run,
    and the base runs of all these.
    """
    delete_partials(folder)
    runs, held = run_ids(folder), run_ids(folder, ".held")
    kept: set[str | None] = {*runs[-keep:], current_run(folder)}
    stays = [run_path(folder, run_id) for run_id in runs if run_id in kept]
    for path in stays + [held_path(folder, run_id) for run_id in held[-keep:]]:
        try:
            with closing(connection.connect(path)) as conn:
                kept.add(run_file.load_meta(conn, path).base)
        except SnapshotError:
            continue  # damaged, or of another format: it refreshes nothing that is served
    deleted = [run_id for run_id in runs if run_id not in kept]
    for run_id in deleted:
        run_path(folder, run_id).unlink(missing_ok=True)
    for run_id in held[:-keep]:
        held_path(folder, run_id).unlink(missing_ok=True)
    return deleted


def write_rules(folder: Path, rules: Sequence[Rule]) -> None:
    """Let servers of a folder follow these rules from now on."""
    folder.mkdir(parents=True, exist_ok=True)
    text = msgspec.json.format(msgspec.json.encode(rules), indent=1)
    for name in (RULES, RULES_COPY):
        write_text(folder / name, text.decode("utf-8") + "\n")


def load_rules(folder: Path, list_names: Sequence[str]) -> tuple[Rule, ...]:
    """Return the rules that servers of a folder follow; none before the first.

    Parameters
    ----------
    folder
        The published folder.
    list_names
        The lists of the served run: a rule about another list is refused.

    Raises
    ------
    SnapshotError
        If the file is damaged or missing, or holds a rule that cannot be.
    """
    path = folder / RULES
    if not path.exists() and not (folder / RULES_COPY).exists():
        return ()
    try:
        return tuple(rules_of(path.read_bytes(), list_names))
    except (OSError, RuleError) as error:
        raise SnapshotError(
            f"{path}: damaged: {reason_of(error)}; `recsys rules list --store DB"
            f" --published {folder}` writes the file again, and `recsys rules end` ends a rule"
        ) from error


def last_rules(folder: Path) -> tuple[Rule, ...] | None:
    """Return the rules as a command last wrote them, whatever lists they name; None for no copy.

    Servers that start while `load_rules` refuses the file follow these.
    """
    try:
        return tuple(rules_of((folder / RULES_COPY).read_bytes(), None))
    except (OSError, RuleError):
        return None
