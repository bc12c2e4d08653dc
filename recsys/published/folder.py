"""A published folder: its runs, which of them is served, and the rules that servers follow.

    000041-20260301T060000Z.sqlite    a run that was published
    000042-20260302T060000Z.held      a run that was not: held back, or not looked at yet
    current                           the name of the run that is served
    rules.json                        editors' rules
    rules.last.json                   a copy of them, for servers that start while it is damaged
    exports.jsonl                     the files that `recsys export` wrote

A file with one of these names is complete: it was written under another name and then renamed.
Runs, pointer and rules may be signed, see `recsys.published.signature`.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import msgspec
from filelock import FileLock

from recsys.errors import NotPublishedError, RuleError, SnapshotError, reason_of
from recsys.files import create_folder, fsync_path, write_text
from recsys.keys import RUN_KEY
from recsys.page.rules import Rule, rules_of
from recsys.published import connection, run_file
from recsys.published.signature import (
    OF_POINTER,
    OF_RULES,
    is_hex_of,
    key_missing,
    mac_of,
    not_signed,
)

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


def current_run(folder: Path, run_key: bytes | None = None) -> str | None:
    """Return the run that is served, None before the first.

    Parameters
    ----------
    folder
        The published folder.
    run_key
        The key by which the pointer must be signed; None if it need not be.

    Raises
    ------
    SnapshotError
        If the file that names it cannot be read, or is not signed by the key.
    """
    run_id, signature = _pointer(folder)
    if run_id is not None and run_key is not None:
        if not is_hex_of(signature, run_key, OF_POINTER, run_id.encode("utf-8")):
            raise not_signed(folder / POINTER, "`recsys rollback RUN` signs it")
    return run_id


def signed_current_run(folder: Path, run_key: bytes | None) -> str | None:
    """Return the run that is served; None if the pointer is damaged or not signed by the key.

    So that a forged pointer is not believed, where the first night with a key must not fail.
    """
    with suppress(SnapshotError):
        return current_run(folder, run_key)
    return None


def _pointer(folder: Path) -> tuple[str | None, str]:
    """Return the run that the pointer names, None before the first, and its signature or ""."""
    try:
        text = (folder / POINTER).read_text("utf-8", errors="replace")
    except FileNotFoundError:
        return None, ""
    except OSError as error:
        raise SnapshotError(
            f"{folder / POINTER}: {reason_of(error)}; `recsys rollback RUN`"
        ) from error
    run_id, _, signature = text.strip().partition("\n")
    return run_id.strip() or None, signature


def touch_pointer(folder: Path) -> None:
    """Write the pointer again as it is, so that servers look whether a run's file has changed."""
    run_id, signature = _pointer(folder)
    if run_id is not None:
        _write_pointer(folder, run_id, signature)


def _write_pointer(folder: Path, run_id: str, signature: str) -> None:
    lines = [run_id, signature] if signature else [run_id]
    write_text(folder / POINTER, "".join(f"{line}\n" for line in lines))


def require_key(folder: Path, run_key: bytes | None) -> None:
    """Check that a key is given if what a folder serves is signed.

    Raises
    ------
    SnapshotError
        If the pointer or the rules are signed and there is no key: servers that have it would
        not follow what is written without.
    """
    if run_key is not None:
        return
    with suppress(OSError):
        if (folder / POINTER).read_bytes().strip().count(b"\n"):
            raise key_missing(folder / POINTER)
    with suppress(OSError):
        if _split_rules((folder / RULES).read_bytes())[1]:
            raise key_missing(folder / RULES)


def require_current(folder: Path, run_key: bytes | None = None) -> str:
    """Return the run that is served.

    Raises
    ------
    NotPublishedError
        If there is none.
    SnapshotError
        See `current_run`.
    """
    run_id = current_run(folder, run_key)
    if run_id is None:
        raise NotPublishedError(
            f"{folder}: nothing is published here; run"
            f" `recsys nightly --store DB --published {folder}` first"
        )
    return run_id


def publish(folder: Path, run_id: str, run_key: bytes | None = None) -> None:
    """Let a run be served from now on: one that was written tonight, held back, or an earlier one.

    Parameters
    ----------
    folder, run_id
        The folder, and the run in it.
    run_key
        The key by which the run must be signed, and which signs the pointer.

    Raises
    ------
    SnapshotError
        If the run's file is not there, damaged, or not signed by the key, or if the folder is
        signed and there is no key; the current run stays.
    """
    require_key(folder, run_key)
    held, found = held_path(folder, run_id), found_path(folder, run_id)
    base = run_file.verify(found, run_key).base
    if base is not None and not run_path(folder, base).exists():
        raise SnapshotError(f"{found}: refreshes {base}, which is not there any more")
    if found == held:
        os.replace(held, run_path(folder, run_id))
    fsync_path(folder)  # the run has its name on the disk before the pointer names it
    signature = ""
    if run_key is not None:
        signature = mac_of(run_key, OF_POINTER, run_id.encode("utf-8")).hex()
    _write_pointer(folder, run_id, signature)


def delete_partials(folder: Path) -> None:
    """Delete what failed runs left half written."""
    for partial in folder.glob("[0-9]*-*.partial*"):  # SQLite leaves a journal beside one
        partial.unlink()


def prune(folder: Path, keep: int, run_key: bytes | None = None) -> list[str]:
    """Delete old runs and what failed runs left half written; return the runs deleted.

    The `keep` newest published runs stay, the `keep` newest that were held back, the current run
    (with a key only if the pointer is signed by it), and the base runs of all these.
    """
    delete_partials(folder)
    runs, held = run_ids(folder), run_ids(folder, ".held")
    kept: set[str | None] = {*runs[-keep:], signed_current_run(folder, run_key)}
    stays = [run_path(folder, run_id) for run_id in runs if run_id in kept]
    for path in stays + [held_path(folder, run_id) for run_id in held[-keep:]]:
        try:
            with closing(connection.connect(path, None)) as conn:
                kept.add(run_file.load_meta(conn, path).base)
        except SnapshotError:
            continue  # damaged, or of another format: it refreshes nothing that is served
    deleted = [run_id for run_id in runs if run_id not in kept]
    for run_id in deleted:
        run_path(folder, run_id).unlink(missing_ok=True)
    for run_id in held[:-keep]:
        held_path(folder, run_id).unlink(missing_ok=True)
    return deleted


def write_rules(folder: Path, rules: Sequence[Rule], run_key: bytes | None = None) -> None:
    """Let servers of a folder follow these rules from now on; with a key, signed by it."""
    create_folder(folder)
    text = msgspec.json.format(msgspec.json.encode(rules), indent=1)
    if run_key is not None:
        mac = mac_of(run_key, OF_RULES, text).hex().encode("ascii")
        text = b'{"signature": "' + mac + b'", "rules": ' + text + b"}"
    for name in (RULES, RULES_COPY):
        write_text(folder / name, text.decode("utf-8") + "\n")


@contextmanager
def rules_locked(folder: Path) -> Iterator[None]:
    """Hold the rules of a folder against other commands."""
    create_folder(folder)
    with FileLock(folder / ".rules.lock"):
        yield


class _SignedRules(msgspec.Struct):
    signature: str
    rules: msgspec.Raw


def _split_rules(data: bytes) -> tuple[bytes, str]:
    """Return the rules of a file as JSON, and their signature; "" if they have none."""
    try:
        found = msgspec.json.decode(data, type=_SignedRules)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return data, ""
    return bytes(found.rules), found.signature


def _read_rules(path: Path, list_names: Sequence[str] | None, run_key: bytes | None) -> list[Rule]:
    """Return the rules of a file.

    Raises
    ------
    OSError, RuleError
        If it cannot be read, is not signed by the key, or holds a rule that cannot be.
    """
    text, signature = _split_rules(path.read_bytes())
    if run_key is not None and not is_hex_of(signature, run_key, OF_RULES, text):
        raise RuleError(f"not signed with the key of {RUN_KEY}")
    rules = rules_of(text, list_names)
    ids = [rule.rule_id for rule in rules]
    if twice := [id_ for id_, n in Counter(ids).items() if n > 1 or not id_]:
        raise RuleError(f"each rule must have a rule_id of its own, got {twice[0]!r}")
    return rules


def load_rules(
    folder: Path, list_names: Sequence[str], run_key: bytes | None = None
) -> tuple[Rule, ...]:
    """Return the rules that servers of a folder follow; none before the first.

    Parameters
    ----------
    folder
        The published folder.
    list_names
        The lists of the served run: a rule about another list is refused.
    run_key
        The key by which they must be signed, and must be there; None if they need not.

    Raises
    ------
    SnapshotError
        If the file is damaged or missing, is not signed by the key, or holds a rule that cannot be.
    """
    path = folder / RULES
    if run_key is None and not path.exists() and not (folder / RULES_COPY).exists():
        return ()
    try:
        return tuple(_read_rules(path, list_names, run_key))
    except (OSError, RuleError) as error:
        raise SnapshotError(
            f"{path}: damaged: {reason_of(error)}; `recsys rules list --store DB"
            f" --published {folder}` writes the file again, and `recsys rules end` ends a rule"
        ) from error


def last_rules(folder: Path, run_key: bytes | None = None) -> tuple[Rule, ...] | None:
    """Return the rules as a command last wrote them, whatever lists they name; None for no copy.

    Servers that start while `load_rules` refuses the file follow these.
    """
    try:
        return tuple(_read_rules(folder / RULES_COPY, None, run_key))
    except (OSError, RuleError):
        return None
