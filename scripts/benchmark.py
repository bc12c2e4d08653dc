"""Time the real commands on a made-up newsroom, and yardsticks beside them; JSON lines.

    python scripts/benchmark.py --size S >> data/benchmarks/results.jsonl
    python scripts/benchmark.py --table data/benchmarks/results.jsonl
    python scripts/benchmark.py --plot data/benchmarks/results.jsonl > data/benchmarks/cost.svg
    python scripts/benchmark.py --size growth >> data/benchmarks/growth.jsonl
    python scripts/benchmark.py --growth data/benchmarks/growth.jsonl

The newsroom is seeded: Zipf popularity, article lifetimes of 1 to 3 days, readers with
tastes, articles of some 300 words; its log has no impressions, so of learning only the head
that finds articles is timed. Seconds depend on the machine and on what else it does: compare
lines of one run only, which is why limits and peers are timed in the same run.
"""

import argparse
import json
import os
import platform
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.published import run_file

AS_OF = datetime(2026, 3, 2, 4, tzinfo=UTC)
DAYS = 30
SECTIONS = 12
VOCABULARY = 40_000
FILES = (("articles", "parquet"), ("clicks", "csv"))
COMMAND = (sys.executable, "-c", "from recsys.cli.main import main; main()")
LIBRARIES = ("numpy", "scipy", "scikit-learn", "implicit", "polars")


@dataclass(frozen=True)
class Size:
    """How big a newsroom is, and for how long its articles are live: 5,000 of them at M and L."""

    articles: int
    users: int
    clicks: int
    settings: str = ""


SIZES = {
    "XS": Size(500, 500, 8_000),
    "S": Size(2_000, 5_000, 100_000),
    "M": Size(20_000, 100_000, 3_000_000, "[data]\nmax_age_hours = 180\n"),
    "L": Size(100_000, 1_000_000, 30_000_000, "[data]\nmax_age_hours = 36\nactive_hours = 0\n"),
}
TIMES = (1, 2, 4)


def _live(hours: float, factors: int = 32) -> str:
    """Return settings by which articles are live for some hours."""
    return (
        f"[data]\nmax_age_hours = {hours:g}\nactive_hours = 0\n"
        f"[collaborative]\nfactors = {factors}\n"
    )


# One newsroom, of which one thing at a time grows; 625 articles are live, unless they are that.
GROWTH: dict[str, Callable[[int], Size]] = {
    "clicks": lambda x: Size(10_000, 50_000, 1_000_000 * x, _live(45)),
    "readers": lambda x: Size(10_000, 50_000 * x, 1_000_000, _live(45)),
    "live articles": lambda x: Size(10_000, 50_000, 1_000_000, _live(45 * x)),
    "archive": lambda x: Size(10_000 * x, 50_000, 1_000_000, _live(45 / x)),
    "factors": lambda x: Size(10_000, 50_000, 1_000_000, _live(45, 32 * x)),
}
GROWN = {"growth x1": GROWTH["clicks"](1)} | {
    f"{what} x{x}": of(x) for what, of in GROWTH.items() for x in TIMES[1:]
}
# Ages in hours of what is new since the first night (a day), and since the next (an hour).
PARTS = {"first": (DAYS * 24.0, 25.0), "day": (25.0, 1.0), "hour": (1.0, 0.0)}


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
    article = np.minimum(article, size.articles - 1)
    clicked_ms = round(AS_OF.timestamp() * 1000) - (age_hours * 3_600_000).astype(np.int64)
    return pl.DataFrame(
        {"user": user, "article": article, "ms": clicked_ms, "dwell": rng.gamma(2.0, 20.0, n)}
    ).select(
        pl.format("u{}", "user").alias("user_id"),
        pl.format("a{}", pl.col("article").cast(pl.String).str.zfill(6)).alias("article_id"),
        pl.from_epoch("ms", "ms").dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").alias("clicked_at"),
        pl.col("dwell").round(2).alias("dwell_seconds"),
    )


def make(name: str, root: Path) -> None:
    """Write a newsroom's files. In a process of its own: children inherit a peak of memory."""
    size, rng = (SIZES | GROWN)[name], np.random.default_rng(42)
    table = articles(size, rng)
    for part, (since, until) in PARTS.items():
        begin, end = (round(size.articles * (1 - age / 24 / DAYS)) for age in (since, until))
        table[begin:end].write_parquet(root / f"articles-{part}.parquet")
        n = round(size.clicks * (since - until) / 24 / DAYS)
        clicks(size, rng, n=n, since=since, until=until).write_csv(root / f"clicks-{part}.csv")


def timed(*arguments: str | Path) -> tuple[float, float]:
    """Run a command; return its seconds and the peak memory of all its processes in MiB."""
    start, peak_kb = time.perf_counter(), 0
    with subprocess.Popen((*COMMAND, *map(str, arguments)), stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            peak_kb = max(peak_kb, resident_kb(process.pid))
            time.sleep(0.02)
    if process.returncode:
        raise SystemExit(f"recsys {' '.join(map(str, arguments))}: failed")
    return round(time.perf_counter() - start, 2), round(peak_kb / 1024)


def processor() -> str:
    """Return what the machine computes with, as far as it says."""
    try:
        of_first = Path("/proc/cpuinfo").read_text().partition("\n\n")[0]
    except OSError:
        return platform.processor() or platform.is_bot()
    told = {k.strip(): v.strip() for k, _, v in (x.partition(":") for x in of_first.splitlines())}
    return ", ".join(f"{k} {told[k]}" for k in ("model name", "cpu family", "model") if k in told)


def resident_kb(pid: int) -> int:
    """Return the memory a process and its children hold now; 0 where there is no /proc."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:  # it has ended
        return 0
    own = next((line for line in status.splitlines() if line.startswith("VmRSS")), "VmRSS: 0")
    return int(own.split()[1]) + sum(resident_kb(int(child)) for child in children.split())


def main() -> None:
    """Make a newsroom, run the commands, print a line for each; or the table of such lines."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", choices=[*SIZES, "growth"], default="S")
    shown: dict[str, tuple[Callable[[Path], str], str]] = {
        "table": (table_of, "results as a Markdown table"),
        "plot": (plot_of, "results as an SVG plot"),
        "growth": (growth_of, "results of --size growth as a Markdown table"),
    }
    for option, (_, what) in shown.items():
        parser.add_argument(f"--{option}", type=Path, help=f"print {what} instead")
    given = parser.parse_args()
    for option, (show, _) in shown.items():
        if (path := getattr(given, option)) is not None:
            print(show(path), end="")
            return
    for name in GROWN if given.size == "growth" else [given.size]:
        measure(name)


def measure(name: str) -> None:
    """Make a newsroom and time the commands on it; of a `Size`, with limits and peers."""
    size = (SIZES | GROWN)[name]
    about = {
        "size": name,
        "articles": size.articles,
        "users": size.users,
        "clicks": size.clicks,
        "cores": os.cpu_count(),
        "cpu": processor(),
        "on": f"{datetime.now(UTC):%Y-%m-%d}",
        "python": platform.python_version(),
        **{lib: version(lib) for lib in LIBRARIES},
    }

    def report(stage: str, **figures: float) -> None:
        print(json.dumps({"stage": stage, **figures} | about), flush=True)

    with tempfile.TemporaryDirectory() as folder:
        root, store = Path(folder), Path(folder) / "recsys.db"
        published = root / "published"
        maker = get_context("spawn").Process(target=make, args=(name, root))
        maker.start()
        maker.join()
        config = root / "recsys.toml"
        config.write_text(size.settings)
        run = ("--store", store, "--published", published, "--config", config, "--as-of")
        for part, command, stage in (
            ("first", "nightly", "first night"),
            ("day", "nightly", "next night"),
            ("hour", "refresh", "refresh"),
        ):
            files = [root / f"{kind}-{part}.{end}" for kind, end in FILES]
            n_clicks = sum(1 for _ in files[1].open("rb")) - 1
            took, peak_mb = timed("ingest", files[0], "--store", store)
            report(f"ingest articles, {part}", seconds=took, peak_mb=peak_mb)
            took, peak_mb = timed("ingest", files[1], "--store", store)
            report(
                f"ingest clicks, {part}",
                seconds=took,
                peak_mb=peak_mb,
                rows_a_second=round(n_clicks / took),
            )
            if part == "first" and name in SIZES:
                report("yardsticks of ingest", **insert_yardsticks(files[1], root))
                if find_spec("pyspark"):
                    with get_context("spawn").Pool(1) as pool:
                        report("yardstick of nights", **pool.apply(spark, (files[1], root)))
            at = AS_OF - timedelta(hours=PARTS[part][1])
            took, peak_mb = timed(command, *run, at.isoformat())
            report(stage, seconds=took, peak_mb=peak_mb, **stages(store))
        if name not in SIZES:
            return
        with get_context("spawn").Pool(1) as pool:
            report("scoring", **pool.apply(scoring, (published,)))
        with get_context("spawn").Pool(1) as pool:
            report("serving", **pool.apply(serving, (published, store, config)))


def stages(store: Path) -> dict[str, float]:
    """Return the seconds of each stage of the last run, from the ledger."""
    from recsys.store.database import Store

    with Store(store, must_exist=True) as opened:
        found: dict[str, float] = opened.runs()[-1]["report"]["seconds"]
    return {f"{name} s": seconds for name, seconds in found.items()}


def best_of(function: Callable[[], object], times: int = 3) -> float:
    """Return the least seconds of a few calls: what the machine can do."""
    found = []
    for _ in range(times):
        start = time.perf_counter()
        function()
        found.append(time.perf_counter() - start)
    return min(found)


def insert_yardsticks(path: Path, root: Path) -> dict[str, float]:
    """Return rows a second of plain inserts of clicks already in memory: limit and peer."""
    from sqlite_utils import Database

    rows = pl.read_csv(path, n_rows=200_000).rows()
    columns = ("user_id", "article_id", "clicked_at", "dwell_seconds")

    def raw() -> None:
        with closing(sqlite3.connect(root / "raw.db")) as conn, conn:
            conn.execute("DROP TABLE IF EXISTS c")
            conn.execute("CREATE TABLE c (u TEXT, a TEXT, t TEXT, d REAL)")
            conn.executemany("INSERT INTO c VALUES (?, ?, ?, ?)", rows)

    def peer() -> None:
        database = Database(root / "utils.db")
        with closing(database.conn):
            database["c"].insert_all(
                (dict(zip(columns, row, strict=True)) for row in rows), replace=True, pk=columns[:3]
            )

    return {
        "sqlite3 executemany rows/s": round(len(rows) / best_of(raw, 2)),
        "sqlite-utils insert_all rows/s": round(len(rows) / best_of(peer, 1)),
    }


def spark(path: Path, root: Path) -> dict[str, float]:
    """Return seconds of Spark MLlib's ALS alone, fitted to the clicks with our settings."""
    from pyspark.ml.recommendation import ALS
    from pyspark.sql import SparkSession

    from recsys.config import Config

    number = pl.col("user_id", "article_id").str.slice(1).cast(pl.Int32)
    pairs = pl.scan_csv(path).select(number).group_by("user_id", "article_id").len("clicks")
    pairs.collect().write_parquet(root / "pairs.parquet")
    builder = SparkSession.builder.master(f"local[{os.cpu_count()}]")
    session = builder.config("spark.driver.memory", "8g").getOrCreate()
    data = (
        session.read.parquet(str(root / "pairs.parquet")).repartition(os.cpu_count() or 1).cache()
    )
    data.count()
    ours = Config().collaborative
    als = ALS(
        rank=ours.factors,
        maxIter=ours.iterations,
        regParam=ours.regularization,
        seed=1,
        alpha=ours.alpha,
        implicitPrefs=True,
        userCol="user_id",
        itemCol="article_id",
        ratingCol="clicks",
    )
    start = time.perf_counter()
    model = als.fit(data)
    model.userFactors.count(), model.itemFactors.count()
    took = time.perf_counter() - start
    session.stop()
    return {"Spark ALS fit s": round(took, 2)}


def scoring(published: Path) -> dict[str, float]:
    """Return microseconds a reader: the limit (GEMM), the peer (`implicit.topk`), ours."""
    from implicit.cpu.topk import topk
    from threadpoolctl import threadpool_limits

    from recsys import Recommender
    from recsys.blend.linear import article_side
    from recsys.kernels.lists import tops
    from recsys.nightly.workers import BLOCK
    from recsys.page.build import UserBlock, pack_pages
    from recsys.page.compose import slots_of

    run = Recommender(published)._current()
    live, model = run.model.live, run.model
    readers = []
    with (
        closing(run_file.connect(run.paths[-1])) as conn,
        closing(run_file.load_profiles(conn, run.paths[-1])) as profiles,
    ):
        for _, packed, *_ in profiles:
            readers.append(run.readers.reader(packed))
            if len(readers) == 9_600:
                break
    crowd, side = UserBlock.of(readers), article_side(live, model.n_categories)
    items = np.ascontiguousarray(side.T)
    n_slots = slots_of(model.config.n, model.config.n_latest)
    wanted = sum(n_slots.values())
    blocks = [slice(i, i + BLOCK) for i in range(0, len(readers), BLOCK)]

    def products(block: slice) -> NDArray[np.float32]:
        return crowd.sides[block] @ side

    def product(block: slice) -> None:
        products(block)  # not kept: fresh memory for every block would be what is timed

    def kernel(block: slice) -> object:
        return tops(products(block), wanted)

    def pages(block: slice) -> object:
        part = crowd.part(block.start, min(block.stop, len(readers)))
        return pack_pages(run.builder.block(part, n_slots))

    def each_us(work: Callable[[slice], object], n_threads: int) -> float:
        with ThreadPoolExecutor(n_threads) as pool:
            took = best_of(lambda: list(pool.map(work, blocks)))
        return round(1e6 * took / len(readers), 2)

    found: dict[str, float] = {"live": len(live.live_rows)}
    with threadpool_limits(1):
        for n_threads in (1, os.cpu_count() or 1):
            on = f"{n_threads} threads"
            peer = best_of(lambda n=n_threads: topk(items, crowd.sides, wanted, num_threads=n))
            found[f"implicit.topk us, {on}"] = round(1e6 * peer / len(readers), 2)
            found[f"gemm us, {on}"] = each_us(product, n_threads)
            found[f"kernel us, {on}"] = each_us(kernel, n_threads)
            found[f"whole page us, {on}"] = each_us(pages, n_threads)
    return found


def serving(published: Path, store: Path, config: Path) -> dict[str, float]:
    """Return latencies of `recommend` in microseconds, pages a second of threads, and starts."""
    from recsys import Recommender

    began = time.perf_counter()
    recommender = Recommender(published)
    figures = {"open s": round(time.perf_counter() - began, 3)}
    command = [sys.executable, "-c", "import recsys"]
    figures["import s"] = round(best_of(lambda: subprocess.run(command, check=True)), 3)
    run = recommender._current()
    with closing(run_file.connect(run.paths[-1])) as conn:
        rng = np.random.default_rng(1)
        users = rng.choice(sorted(run_file.user_ids(conn)), 400).tolist()
    ids = [run.articles[row].article_id for row in run.model.live.live_rows.tolist()]
    beside = rng.choice(ids, 400).tolist()
    at = AS_OF.replace(tzinfo=None)

    def whole(i: int) -> None:
        clicks = beside[(i + 7) % 300 :][:3]
        recommender.recommend(users[i % 400], beside[i % 400], recent_clicks=clicks, as_of=at)

    asked: dict[str, Callable[[int], object]] = {
        "reader, article, 3 clicks": whole,
        "reader": lambda i: recommender.recommend(users[i % 400], as_of=at),
        "article": lambda i: recommender.recommend(None, beside[i % 400], as_of=at),
        "nobody": lambda i: recommender.recommend(as_of=at),
    }

    def quantiles(name: str, ask: Callable[[int], object], more: Callable[[int], bool]) -> None:
        seconds: list[float] = []
        while more(len(seconds)):
            start = time.perf_counter()
            ask(len(seconds))
            seconds.append(time.perf_counter() - start)
        for q in (50, 99):
            figures[f"{name}: p{q} us"] = round(1e6 * float(np.percentile(seconds[20:], q)))

    for name, ask in asked.items():
        quantiles(name, ask, lambda n: n < 420)
    refresh = (
        *COMMAND,
        "refresh",
        "--store",
        store,
        "--published",
        published,
        "--config",
        config,
        "--as-of",
        AS_OF.isoformat(),
    )
    with subprocess.Popen(refresh, stdout=subprocess.DEVNULL) as process:
        quantiles("the first, while a refresh publishes", whole, lambda n: process.poll() is None)
    for n_threads in (1, 8):
        with ThreadPoolExecutor(n_threads) as pool:
            took = best_of(lambda pool=pool: list(pool.map(whole, range(400))), 2)
        figures[f"pages/s, {n_threads} threads"] = round(400 / took)
    figures["peak_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    return figures


def table_of(path: Path) -> str:
    """Return the latest run of each size as a Markdown table."""
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    about = {"size", "articles", "users", "clicks", "cores", "cpu", "on", "python", "stage"}
    figures: dict[tuple[str, str], dict[str, float]] = {}
    for line in lines:
        for name, value in line.items():
            if name not in about | set(LIBRARIES):
                figures.setdefault((line["stage"], name), {})[line["size"]] = value
    sizes = [size for size in SIZES if any(size in found for found in figures.values())]
    rows = [("stage", "figure", *sizes), ("---",) * (2 + len(sizes))]
    for (stage, name), found in figures.items():
        rows.append((stage, name, *(f"{found[s]:,g}" if s in found else "-" for s in sizes)))
    return "".join("| " + " | ".join(row) + " |\n" for row in rows)


def growth_of(path: Path) -> str:
    """Return seconds where one thing has grown as a Markdown table, and the power they grow by."""
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    found = {(line["size"], line["stage"]): line for line in lines}
    commands = ("first night", "next night", "refresh")
    stages = ("read", "text", "collaborative", "score and write")
    rows = [
        ("of four times the", *commands, *(f"{stage} (next night)" for stage in stages)),
        ("---",) * (1 + len(commands) + len(stages)),
    ]

    def grown(what: str, stage: str, figure: str) -> str:
        names = ["growth x1", *(f"{what} x{x}" for x in TIMES[1:])]
        before, *between, after = (found[name, stage][figure] for name in names)
        power = np.log(max(after, 1e-3) / max(before, 1e-3)) / np.log(TIMES[-1])
        told = ", ".join(f"{seconds:.1f}" for seconds in (before, *between, after))
        return f"{told} s ({power:+.1f})"

    for what in GROWTH:
        whole = [grown(what, command, "seconds") for command in commands]
        parts = [grown(what, "next night", f"{stage} s") for stage in stages]
        rows.append((what, *whole, *parts))
    return "".join("| " + " | ".join(row) + " |\n" for row in rows)


def plot_of(path: Path) -> str:
    """Return seconds of each stage of the next night against clicks, as SVG."""
    from recsys.evaluation.html_report import svg

    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    nights = {line["clicks"]: line for line in lines if line["stage"] == "next night"}
    found = [nights[clicks] for clicks in sorted(nights)]

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        for name in ("seconds", *(key for key in found[-1] if key.endswith(" s"))):
            label = "whole command" if name == "seconds" else name.removesuffix(" s")
            values = [max(line.get(name, 0.0), 0.001) for line in found]
            axes.loglog([line["clicks"] for line in found], values, marker="o", label=label)
        axes.set(xlabel="clicks in the store", ylabel="seconds", title="The next night")
        axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))

    return svg(draw, width=8.0, height=4.5)


if __name__ == "__main__":
    main()
