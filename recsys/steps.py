"""Log the steps of long work through `logging`: what began, how far it is, and what it counted.

The fields of a record are in its attribute `step`, so that a handler can draw progress or write
JSON. Nothing is printed unless the application adds a handler to the logger "recsys".
"""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field


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
    place = f"{number} of {total}: {name}" if total else name
    record = StepRecord(name, number, total)
    logger.debug("%s begins", place, extra={"step": record})
    start = time.perf_counter()
    counts: dict[str, int] = {}
    yield counts
    seconds = round(time.perf_counter() - start, 3)
    record = StepRecord(name, number, total, counts, seconds)
    figures = [f"{n} {what.replace('_', ' ')}" for what, n in counts.items()]
    logger.info("%s: %s", place, ", ".join([*figures, f"{seconds:.2f} s"]), extra={"step": record})
