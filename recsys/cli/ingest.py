"""The command that reads files into the store, and what it prints about them."""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from recsys.cli.options import (
    ConfigOption,
    JsonOption,
    StoreOption,
    load_settings,
    now,
    user_key,
)
from recsys.cli.terminal import err, out, print_json
from recsys.errors import InputRefusedError
from recsys.ingest.detect import FORMATS, READERS, InputFile, expand
from recsys.ingest.dry_run import Understood, understand
from recsys.ingest.load_files import LoadReport, load_files
from recsys.keys import USER_KEY
from recsys.rows import FIELDS, to_ms
from recsys.store.database import Store

MAX_COLUMNS = 30  # names of columns that hold no field which a report prints; JSON has all
MAX_COLUMN_NAME = 60  # characters

LOG = logging.getLogger(__name__)


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
    if not any(os.path.exists(file.path) for file in found):
        raise InputRefusedError(str(paths[0]), "no such file; nothing was read")
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
        print_load_report(report)
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
        self._numbers = {path: i for i, path in enumerate(self._bytes_before, start=1)}
        self._task, self._file = progress.add_task("ingest", total=total), Path()

    def move(self, path: Path, position: int) -> None:
        if path != self._file:
            number, of = self._numbers[path], len(self._numbers)
            is_next_tenth = 10 * number // of > 10 * (number - 1) // of
            level = logging.INFO if is_next_tenth else logging.DEBUG
            LOG.log(level, "file %d of %d: %s", number, of, path)
            self._file = path
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
                asdict(file)
                | {
                    name: [[*key, n] for key, n in getattr(file, name).most_common()]
                    for name in ("rejected", "ignored")
                }
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
        for (entry, reason), n in file.ignored.most_common():
            out.print(f"  ignored: {n} x {entry}: {reason}", markup=False)
        if file.n_naive:
            out.print(f"  {_times_without_offset(file.n_naive)}")
        if file.n_anonymous:
            out.print(f"  {file.n_anonymous} rows name no user and no session: they are anonymous")
        for row in file.rows:
            out.print(f"  {json.dumps(row, ensure_ascii=False)[:1000]}", markup=False)
        if file.unknown_columns:
            out.print(f"  {_unknown_columns(file.unknown_columns)}", markup=False)
        for named in file.not_there:
            out.print(f"  not a column of this file, but in the settings: {named}", markup=False)
        if file.mapping:
            out.print("  a mapping to start from, in recsys.toml (--config):", markup=False)
            for line in file.mapping.splitlines():
                out.print(f"    {line}", markup=False)


def _times_without_offset(n: int) -> str:
    return f"{n} times without an offset were taken as UTC; see --timezone"


def _unknown_columns(names: list[str]) -> str:
    """Return a line about columns that hold no field; a file may have a million of them."""
    shown = ", ".join(name[:MAX_COLUMN_NAME] for name in names[:MAX_COLUMNS])
    more = f" and {len(names) - MAX_COLUMNS} more" if len(names) > MAX_COLUMNS else ""
    return f"columns that hold no field: {shown}{more}"


def print_load_report(report: LoadReport) -> None:
    """Print what was new, changed, known, rejected, ignored, skipped and refused."""
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
        out.print(_times_without_offset(report.n_naive))
    if report.unknown_columns:
        out.print(_unknown_columns(list(report.unknown_columns)), markup=False)
    if report.rejected:
        out.print("rejected rows are in the store, table rejected_rows", markup=False)
    for path, n_rows, n_lines in report.few_rows:
        LOG.warning(
            "%s: only %d rows were found in %d lines; is a quote not closed?", path, n_rows, n_lines
        )
    for path, reason in report.skipped:
        out.print(f"skipped: {path}: {reason}", markup=False)
    for file in report.without_rows:
        LOG.error("%s: no row of this file could be used", file)
    for error in report.refused:
        LOG.error("%s", error)
