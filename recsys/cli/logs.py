"""The log of long commands: lines or JSON on standard error, and progress on a terminal."""

import inspect
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from recsys.cli.failures import error_text, status_of
from recsys.cli.terminal import err, inert, json_text
from recsys.rows import iso
from recsys.steps import StepRecord

PACKAGE = logging.getLogger("recsys")
OPTIONS = [
    inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=False,
        annotation=Annotated[bool, typer.Option(f"--{name.replace('_', '-')}", help=text)],
    )
    for name, text in {
        "verbose": "Log also what begins, and each share of a long stage.",
        "quiet": "Log warnings and errors only.",
        "log_json": "Log one JSON object a line.",
    }.items()
]


class LineFormatter(logging.Formatter):
    """Formats a record as one inert line: time, level, message."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return inert(f"{_time_of(record)} {record.levelname.lower()}: {record.getMessage()}")


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON, with the fields of its step."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        fields: dict[str, Any] = {
            "time": _time_of(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        step: StepRecord | None = getattr(record, "step", None)
        if step is not None:
            fields |= {"step": step.name, "counts": dict(step.counts), "seconds": step.seconds}
            if step.total:
                fields |= {"number": step.number, "total": step.total}
        return json_text(json.dumps(fields, ensure_ascii=False))


def _time_of(record: logging.LogRecord) -> str:
    return iso(round(record.created) * 1000)


class _LineHandler(logging.Handler):
    """Writes records to standard error, above the progress bar if there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        err.out(self.format(record), highlight=False)


class ProgressHandler(logging.Handler):
    """Moves a progress bar by the steps of records."""

    def __init__(self, progress: Progress) -> None:
        super().__init__(logging.DEBUG)
        self._progress, self._task = progress, progress.add_task("", total=None)

    def emit(self, record: logging.LogRecord) -> None:
        """Move the bar if the record is of a numbered step."""
        step: StepRecord | None = getattr(record, "step", None)
        if step is not None and step.total:
            done = step.number if step.seconds is not None else step.number - 1
            self._progress.update(
                self._task, description=inert(step.name), completed=done, total=step.total
            )


@contextmanager
def logging_to_stderr(level: int, *, as_json: bool, has_bar: bool) -> Iterator[None]:
    """Write the log of the package to standard error while the block runs.

    On a terminal a bar shows how many of how many steps are done, unless the command has its own.
    """
    lines = _LineHandler(level)
    lines.setFormatter(JsonFormatter() if as_json else LineFormatter())
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=err,
        transient=True,
        disable=as_json or not has_bar or not err.is_terminal,
    )
    with progress:
        handlers = [lines] if progress.disable else [lines, ProgressHandler(progress)]
        for handler in handlers:
            PACKAGE.addHandler(handler)
        PACKAGE.setLevel(min(handler.level for handler in handlers))
        try:
            yield
        finally:
            for handler in handlers:
                PACKAGE.removeHandler(handler)


def logged(command: Callable[..., None], *, has_bar: bool) -> Callable[..., None]:
    """Return a command whose work is logged, with three options more that say how.

    `has_bar`: whether a bar shows the steps on a terminal, or the command has a bar of its own.
    """

    @wraps(command)
    def run(*, verbose: bool, quiet: bool, log_json: bool, **given: Any) -> None:
        if verbose and quiet:
            raise typer.BadParameter("--verbose and --quiet exclude each other")
        level = logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO
        with logging_to_stderr(level, as_json=log_json, has_bar=has_bar):
            try:
                command(**given)
            except Exception as error:
                if log_json and (status := status_of(error)) is not None:
                    PACKAGE.error(error_text(error))
                    raise typer.Exit(status) from error
                raise

    signature = inspect.signature(command)
    parameters = [*signature.parameters.values(), *OPTIONS]
    annotations = {option.name: option.annotation for option in OPTIONS}
    run.__dict__["__signature__"] = signature.replace(parameters=parameters)
    run.__annotations__ = {**command.__annotations__, **annotations}
    return run
