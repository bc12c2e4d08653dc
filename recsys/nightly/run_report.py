"""The report of a run: what it counted, how long each stage took, which libraries it used."""

import importlib.metadata
import platform
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from recsys.learn.heads import HeadReport
from recsys.nightly import publish_gate

LIBRARIES = ("recsys", "numpy", "scipy", "scikit-learn", "implicit", "polars", "sqlite-utils")


@dataclass(slots=True)
class RunReport:
    """What a run did; stored as JSON in the ledger.

    Attributes
    ----------
    run_id, kind, as_of, status, problems
        Which run, and whether it is served; `problems` says why it is not.
    settings
        All of them, as a `recsys.toml`.
    forced
        Why it was published by hand although it was held back.
    window_from
        Oldest click used.
    counts
        Rows read and written, machines left out, and so on.
    seconds
        By stage.
    peak_mb
        Largest resident memory of the process so far, in MiB.
    heads
        How the heads of the blend were learned (`recsys.learn.heads.HeadReport`).
    vitals
        What the run would show.
    lifted_by_bots
        Articles that would rise most, and so stand in Popular Now, if the clicks of readers
        taken for machines were counted.
    versions
        Of Python and of the libraries that make the numbers.
    """

    run_id: str
    kind: str
    as_of: str
    status: str = "published"
    problems: list[str] = field(default_factory=list)
    settings: str = ""
    forced: str = ""
    window_from: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    peak_mb: int = 0
    heads: dict[str, HeadReport] = field(default_factory=dict)
    vitals: publish_gate.Vitals | None = None
    lifted_by_bots: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)


class StageClock:
    """Times stages and tells a listener of each."""

    def __init__(self, report: RunReport, on_progress: Callable[[str], None]) -> None:
        self._report, self._on_progress = report, on_progress

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Add the seconds that the block takes to a stage of the report."""
        self._on_progress(stage)
        start = time.perf_counter()
        yield
        self._report.seconds[stage] = round(time.perf_counter() - start, 3)


def library_versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that decide what a run contains."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        found[name] = importlib.metadata.version(name)
    return found


def peak_memory_mb() -> int:
    """Return the largest resident memory of the process so far, in MiB; 0 on Windows."""
    try:
        import resource
    except ImportError:  # Windows has none
        return 0
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux kibibytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit // 2**20
