"""Log the steps of long work through `logging`: what began, how far it is, and what it counted.

The fields of a record are in its attribute `step`, so that a handler can draw progress or write
JSON. Nothing is printed unless the application adds a handler to the logger "recsys".
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class StepRecord:
    """The attribute `step` of a log record.

    Attributes
    ----------
    name
        The step.
    number, total
        It is step `number` of `total`, counted from 1; 0 where that is not known.
    counts
        What the step counted, by name; empty when the step begins.
    seconds
        How long the step took; None when it begins.
    """

    name: str
    number: int = 0
    total: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    seconds: float | None = None


class Steps:
    """Logs the steps of work whose number of steps is known before.

    A step has the number of steps that have ended, itself included: a step may hold others.

    Parameters
    ----------
    total
        How many steps there are; 0 where that is not known, so that none has a number.
    """

    def __init__(self, total: int = 0) -> None:
        self._total, self._n_ended = total, 0

    @contextmanager
    def step(self, logger: logging.Logger, name: str) -> Iterator[dict[str, int]]:
        """Log a step as the function `step` does."""
        with _logged(logger, lambda: self._record(name)) as counts:
            yield counts
        self._n_ended += 1

    def _record(self, name: str) -> StepRecord:
        return StepRecord(name, self._n_ended + 1 if self._total else 0, self._total)


@contextmanager
def step(
    logger: logging.Logger, name: str, *, number: int = 0, total: int = 0
) -> Iterator[dict[str, int]]:
    """Log that a step begins (level DEBUG), and that it has ended (level INFO).

    Parameters
    ----------
    logger
        The logger of the module that does the work.
    name, number, total
        See `StepRecord`.

    Yields
    ------
    dict of int
        The block enters what it counts; the last record has it. A block that raises logs no end.
    """
    with _logged(logger, lambda: StepRecord(name, number, total)) as counts:
        yield counts


@contextmanager
def _logged(
    logger: logging.Logger, record_now: Callable[[], StepRecord]
) -> Iterator[dict[str, int]]:
    """Log a step, whose number may be another one when it ends; see `step`."""
    start, record = time.perf_counter(), record_now()
    logger.debug("%s begins", _place(record), extra={"step": record})
    counts: dict[str, int] = {}
    yield counts
    seconds = round(time.perf_counter() - start, 3)
    record = replace(record_now(), counts=counts, seconds=seconds)
    figures = [f"{n} {what.replace('_', ' ')}" for what, n in counts.items()]
    text = ", ".join([*figures, f"{seconds:.2f} s"])
    logger.info("%s: %s", _place(record), text, extra={"step": record})


def _place(record: StepRecord) -> str:
    return f"{record.number} of {record.total}: {record.name}" if record.total else record.name
