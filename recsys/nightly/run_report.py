"""The report of a run: what it counted, how long each stage took, which libraries it used."""

import importlib.metadata
import logging
import platform
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from recsys.blas import kernels
from recsys.learn.head_report import HeadReport
from recsys.nightly.publish_gate import Vitals
from recsys.steps import step
from recsys.training.damped import Damped

LIBRARIES = ("recsys", "numpy", "scipy", "scikit-learn", "implicit", "polars", "sqlite-utils")
LINUX_STATUS = Path("/proc/self/status")
STAGES = {
    "nightly": ("read", "new texts", "forecast", "text", "article vectors", "collaborative")
    + ("other signals", "topics", "users", "learn", "check pages", "score and write", "publish"),
    "refresh": ("base run", "read", "known users", "text", "article vectors", "collaborative")
    + ("other signals", "topics", "users", "check pages", "write", "publish"),
}
ERASE = "erase"  # the last stage of a nightly run, if old data is deleted
LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class RunReport:
    """What a run did; the ledger of the store keeps it as JSON.

    Attributes
    ----------
    run_id
        The run.
    kind
        "nightly" or "refresh".
    as_of
        The time up to which data was used, ISO 8601.
    folder
        The whole path of the folder that it was written to.
    status
        "begun", "published", "held back" or "failed". A run that was killed stays "begun".
    problems
        Why the run is not served; empty if it is.
    settings
        All settings, as the text of a `recsys.toml`.
    changed_settings
        Of a refresh: each setting that differs from the run that it refreshes.
    forced
        Why the run was published by hand although it was held back.
    window_from
        Oldest click used, ISO 8601.
    counts
        Numbers of articles, users, clicks, bots and so on, by name.
    seconds
        Duration of each stage.
    peak_mb
        Largest resident memory of the process so far, in MiB.
    heads
        How each head of the blend was learned.
    vitals
        Figures of a sample of the run's pages; None without live articles.
    warnings
        What looks as if a part of the logs were missing, or as if a crowd had clicked an article or
        a flood of articles had come; the run is served all the same.
    damped
        The articles that newcomers clicked more than is credible, those of which most was left out
        first; see `recsys.training.damped`.
    looked_at
        By list whose positions are logged: how much each of them is looked at, relative to the
        first; see `recsys.training.examination`.
    lifted_by_bots
        Ids of articles that would be in Popular Now if the clicks of bots counted.
    versions
        Python, the libraries and the kernels of the processor that decide what a run contains.
    """

    run_id: str
    kind: str
    as_of: str
    folder: str = ""
    status: str = "begun"
    problems: list[str] = field(default_factory=list)
    settings: str = ""
    changed_settings: list[str] = field(default_factory=list)
    forced: str = ""
    window_from: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    peak_mb: int = 0
    heads: dict[str, HeadReport] = field(default_factory=dict)
    vitals: Vitals | None = None
    warnings: list[str] = field(default_factory=list)
    damped: list[Damped] = field(default_factory=list)
    looked_at: dict[str, list[float]] = field(default_factory=dict)
    lifted_by_bots: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)


class StageClock:
    """Times the stages of a run, enters them in its report, and logs each.

    Parameters
    ----------
    report
        Gets the seconds of each stage.
    stages
        The names of all stages, in order.
    """

    def __init__(self, report: RunReport, stages: Sequence[str]) -> None:
        self._report, self._stages = report, stages

    @contextmanager
    def __call__(self, stage: str) -> Iterator[dict[str, int]]:
        """Time the block, which may enter what it counts, and log it."""
        number, start = self._stages.index(stage) + 1, time.perf_counter()
        with step(LOG, stage, number=number, total=len(self._stages)) as counts:
            yield counts
        self._report.seconds[stage] = round(time.perf_counter() - start, 3)


def library_versions() -> dict[str, str]:
    """Return the versions of all that decides what a run contains, by name.

    They are those of Python and of the libraries, and the kernels that were made for the processor.
    """
    versions = {"python": platform.python_version(), "processor": platform.machine()}
    versions |= {"C library": " ".join(platform.libc_ver())} | kernels()
    for name in LIBRARIES:
        versions[name] = importlib.metadata.version(name)
    return versions


def why_other_bytes(then: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Return the likely reason why a run that is built again is not the same to the byte.

    Parameters
    ----------
    then, now
        `RunReport.versions` of the first build and of this one. An earlier recsys entered fewer.
    """
    changed = [
        f"{name} {then.get(name, 'unknown')}, now {version}"
        for name, version in now.items()
        if then.get(name) != version
    ]
    if changed:
        return f"the likely reason: it was built with {'; '.join(changed)}"
    return (
        "the processor and all versions are those of the first build; the likely reason: rows from"
        " before its time were added to the store or deleted since, or it had signals of your own"
    )


def peak_memory_mb() -> int:
    """Return the largest resident memory of the process so far, in MiB; 0 on Windows.

    Linux is asked for the peak of this program, because the peak in `getrusage` includes the memory
    of the program that started this one.
    """
    if LINUX_STATUS.exists():
        lines = LINUX_STATUS.read_text().splitlines()
        peak = next(line for line in lines if line.startswith("VmHWM:"))
        return int(peak.split()[1]) // 1024
    try:
        import resource
    except ImportError:  # Windows has none
        return 0
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, the BSDs kibibytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit // 2**20
