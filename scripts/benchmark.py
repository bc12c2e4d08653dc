"""Time the real commands on a made-up newsroom; one JSON line a stage.

    python scripts/benchmark.py --size S >> data/benchmarks/results.jsonl

The newsroom is seeded: Zipf popularity, article lifetimes of 1 to 3 days, readers with
tastes, articles of some 300 words. Seconds depend on the machine and on what else it does:
compare lines of one run only.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import polars as pl

AS_OF = datetime(2026, 3, 2, 4, tzinfo=UTC)
DAYS = 30
SECTIONS = 12
VOCABULARY = 40_000
LIBRARIES = ("numpy", "scipy", "scikit-learn", "implicit", "polars")


@dataclass(frozen=True)
class Size:
    """How big a newsroom is; `fresh` are the clicks of the hour before a refresh."""

    articles: int
    users: int
    clicks: int
    fresh: int


SIZES = {
    "XS": Size(500, 500, 8_000, 500),
    "S": Size(2_000, 5_000, 100_000, 2_000),
    "M": Size(20_000, 100_000, 3_000_000, 20_000),
}


def articles(size: Size, rng: np.random.Generator) -> pl.DataFrame:
    """Return articles, published evenly over the days, with words of their section."""
    n = size.articles
    section = rng.integers(0, SECTIONS, n)
    common = 1.0 / np.arange(1, VOCABULARY + 1)
    rank = rng.choice(VOCABULARY, size=(n, 300), p=common / common.sum())
    own = rng.random((n, 300)) < 0.4  # words of the section's own part of the vocabulary
    word = np.where(own, VOCABULARY + section[:, None] * 3_000 + rank % 3_000, rank)
    published = AS_OF - timedelta(days=DAYS)
    step = timedelta(days=DAYS) / n
    return pl.DataFrame(
        {
            "article_id": [f"a{i:06d}" for i in range(n)],
            "title": [" ".join(f"word{w}" for w in row[:8]) for row in word],
            "body": [" ".join(f"word{w}" for w in row[8:]) for row in word],
            "category": [f"section {s}" for s in section],
            "published_at": [(published + step * i).isoformat() for i in range(n)],
        }
    )


def clicks(
    size: Size, rng: np.random.Generator, *, n: int, since: float, until: float
) -> pl.DataFrame:
    """Return clicks between two ages in hours: a reader, and an article alive at that time."""
    age_hours = np.sort(rng.uniform(until, since, n))[::-1]
    activity = rng.zipf(1.6, size.users).clip(max=500).astype(float)
    user = rng.choice(size.users, n, p=activity / activity.sum())
    newest = (1 - age_hours / 24 / DAYS) * size.articles  # number of the newest at that time
    a_day = size.articles / DAYS
    behind = rng.exponential(0.35 * a_day, n)  # most clicks are on today's
    article = np.clip(newest - 1 - behind, 0, size.articles - 1)
    # Zipf: many clicks land on the few articles that everybody reads.
    step = np.where(rng.random(n) < 0.6, 40, 1)
    article = (article // step * step).astype(np.int64)
    taste = user % SECTIONS
    article = np.where(rng.random(n) < 0.5, article // SECTIONS * SECTIONS + taste, article)
    return pl.DataFrame(
        {
            "user_id": [f"u{u}" for u in user],
            "article_id": [f"a{a:06d}" for a in np.minimum(article, size.articles - 1)],
            "clicked_at": [(AS_OF - timedelta(hours=float(age))).isoformat() for age in age_hours],
            "dwell_seconds": rng.gamma(2.0, 20.0, n),
        }
    )


def make(name: str, root: Path) -> None:
    """Write a newsroom's files. In a process of its own: children inherit a peak of memory."""
    size, rng = SIZES[name], np.random.default_rng(42)
    articles(size, rng).write_parquet(root / "articles.parquet")
    old = clicks(size, rng, n=size.clicks, since=DAYS * 24.0, until=1.0)
    old.write_csv(root / "clicks.csv")
    clicks(size, rng, n=size.fresh, since=1.0, until=0.0).write_csv(root / "fresh.csv")


def timed(*arguments: str | Path) -> tuple[float, float]:
    """Run a command; return its seconds and peak memory in MiB."""
    start = time.perf_counter()
    command = (sys.executable, "-c", "from recsys.cli import main; main()", *map(str, arguments))
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"recsys {' '.join(map(str, arguments))}: failed")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def main() -> None:
    """Make a newsroom, run the commands, print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", choices=SIZES, default="S")
    name = parser.parse_args().size
    size = SIZES[name]
    about = {
        "size": name, "articles": size.articles, "users": size.users, "clicks": size.clicks,
        "cores": os.cpu_count(), "cpu": platform.processor() or platform.machine(),
        "python": platform.python_version(), **{lib: version(lib) for lib in LIBRARIES},
    }  # fmt: skip

    def report(stage: str, rows: int, seconds: float, peak_mb: float) -> None:
        line = {"stage": stage, "rows": rows, "seconds": round(seconds, 2),
                "rows_a_second": round(rows / seconds), "peak_mb": round(peak_mb)}  # fmt: skip
        print(json.dumps(line | about), flush=True)

    with tempfile.TemporaryDirectory() as folder:
        root, store = Path(folder), Path(folder) / "recsys.db"
        published = root / "published"
        maker = get_context("spawn").Process(target=make, args=(name, root))
        maker.start()
        maker.join()
        at, earlier = AS_OF.isoformat(), (AS_OF - timedelta(hours=1)).isoformat()
        run = ("--store", store, "--published", published, "--as-of")
        runs = (
            ("ingest articles", size.articles, ("ingest", root / "articles.parquet", *run[:2])),
            ("ingest clicks", size.clicks, ("ingest", root / "clicks.csv", *run[:2])),
            ("first night", size.clicks, ("nightly", *run, earlier)),
            ("ingest an hour", size.fresh, ("ingest", root / "fresh.csv", *run[:2])),
            ("refresh", size.fresh, ("refresh", *run, at)),
            ("next night", size.clicks, ("nightly", *run, at)),
        )
        for stage, rows, arguments in runs:
            report(stage, rows, *timed(*arguments))
            if arguments[0] != "ingest":
                stages(store, stage, about)


def stages(store: Path, run: str, about: dict[str, object]) -> None:
    """Print the seconds of each stage of the last run, from the ledger."""
    from recsys.store import Store

    with Store(store, must_exist=True) as opened:
        report = opened.runs()[-1]["report"]
    line = {"stages_of": run, "seconds": report["seconds"], "size": about["size"]}
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
