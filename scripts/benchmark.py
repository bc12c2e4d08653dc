"""Time the real commands, and yardsticks beside them, on a made-up newsroom; prints JSON lines.

    python scripts/benchmark.py --size S >> data/benchmarks/results.jsonl
    python scripts/benchmark.py --table data/benchmarks/results.jsonl
    python scripts/benchmark.py --plot data/benchmarks/results.jsonl > docs/cost.svg
    python scripts/benchmark.py --size growth >> data/benchmarks/growth.jsonl
    python scripts/benchmark.py --growth data/benchmarks/growth.jsonl

The newsroom is seeded: Zipf popularity, article lifetimes of 1 to 3 days, users with tastes,
articles of some 300 words. Its log has no impressions, so only the retrieval head is learned.
Seconds depend on the machine and on its other work: compare lines of one run only. This is why
the yardsticks (limits of the hardware, and other libraries) are timed in the same run.
"""

import argparse
import io
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
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.published.connection import connect
from recsys.published.user_rows import load_profiles, user_ids

AS_OF = datetime(2026, 3, 2, 4, tzinfo=UTC)
DAYS = 30
SECTIONS = 12
VOCABULARY = 40_000
FILES = (("articles", "parquet"), ("clicks", "csv"))
COMMAND = (sys.executable, "-c", "from recsys.cli.main import main; main()")
LIBRARIES = ("numpy", "scipy", "scikit-learn", "implicit", "polars")


@dataclass(frozen=True)
class Size:
    """The size of a newsroom.

    Attributes
    ----------
    articles, users, clicks
        How many of each.
    settings
        The recsys.toml; it says for how long articles are live (5,000 of them at M and L).
    """

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
    """Return settings with which articles are live for so many hours."""
    return (
        f"[data]\nmax_age_hours = {hours:g}\nactive_hours = 0\n"
        f"[collaborative]\nfactors = {factors}\n"
    )


# One newsroom of which one thing at a time grows. 625 articles are live, unless their number is
# what grows.
# The names are those of the raw lines.
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
# The age in hours, at its begin and at its end, of the data that each run finds new.
PARTS = {"first": (DAYS * 24.0, 25.0), "day": (25.0, 1.0), "hour": (1.0, 0.0)}


def articles(size: Size, rng: np.random.Generator) -> pl.DataFrame:
    """Return articles, published at even steps over the days, with words of their section."""
    n = size.articles
    section = rng.integers(0, SECTIONS, n)
    common = 1.0 / np.arange(1, VOCABULARY + 1)
    rank = rng.choice(VOCABULARY, size=(n, 300), p=common / common.sum())
    is_own = rng.random((n, 300)) < 0.4  # words of the section's own vocabulary
    word = np.where(is_own, VOCABULARY + section[:, None] * 3_000 + rank % 3_000, rank)
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
    """Return clicks between two ages in hours, each on an article that was new at the time."""
    age_hours = np.sort(rng.uniform(until, since, n))[::-1]
    activity = rng.zipf(1.6, size.users).clip(max=500).astype(float)
    user = rng.choice(size.users, n, p=activity / activity.sum())
    newest = (1 - age_hours / 24 / DAYS) * size.articles  # the newest article at that time
    a_day = size.articles / DAYS
    behind = rng.exponential(0.35 * a_day, n)  # most clicks are on articles of the day
    article = np.clip(newest - 1 - behind, 0, size.articles - 1)
    # Zipf: many clicks are on the few articles that most users read.
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
    """Write the files of a newsroom.

    It runs in a process of its own, since the processes that are measured would inherit its peak
    memory.
    """
    size, rng = (SIZES | GROWN)[name], np.random.default_rng(42)
    table = articles(size, rng)
    for part, (since, until) in PARTS.items():
        begin, end = (round(size.articles * (1 - age / 24 / DAYS)) for age in (since, until))
        table[begin:end].write_parquet(root / f"articles-{part}.parquet")
        n = round(size.clicks * (since - until) / 24 / DAYS)
        clicks(size, rng, n=n, since=since, until=until).write_csv(root / f"clicks-{part}.csv")


def timed(*arguments: str | Path) -> tuple[float, float]:
    """Run a command, and return its seconds and the peak memory of all its processes in MiB."""
    start, peak_kb = time.perf_counter(), 0
    with subprocess.Popen((*COMMAND, *map(str, arguments)), stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            peak_kb = max(peak_kb, resident_kb(process.pid))
            time.sleep(0.02)
    if process.returncode:
        raise SystemExit(f"recsys {' '.join(map(str, arguments))}: failed")
    return round(time.perf_counter() - start, 2), round(peak_kb / 1024)


def processor() -> str:
    """Return the name of the processor, as far as the system gives it."""
    try:
        first = Path("/proc/cpuinfo").read_text().partition("\n\n")[0]
    except OSError:
        return platform.processor() or platform.machine()
    pairs = (line.partition(":") for line in first.splitlines())
    value = {key.strip(): found.strip() for key, _, found in pairs}
    return ", ".join(f"{k} {value[k]}" for k in ("model name", "cpu family", "model") if k in value)


def resident_kb(pid: int) -> int:
    """Return the resident memory of a process and its children; 0 where there is no /proc."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:  # it has ended
        return 0
    own = next((line for line in status.splitlines() if line.startswith("VmRSS")), "VmRSS: 0")
    return int(own.split()[1]) + sum(resident_kb(int(child)) for child in children.split())


def main() -> None:
    """Make a newsroom, run the commands, and print a line for each; or show a file of lines."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", choices=[*SIZES, "growth"], default="S")
    reports: dict[str, tuple[Callable[[Path], str], str]] = {
        "table": (table_of, "results as a Markdown table"),
        "plot": (plot_of, "results as an SVG plot"),
        "growth": (growth_of, "results of --size growth as a Markdown table"),
    }
    for option, (_, what) in reports.items():
        parser.add_argument(f"--{option}", type=Path, help=f"print {what} instead")
    given = parser.parse_args()
    for option, (show, _) in reports.items():
        if (path := getattr(given, option)) is not None:
            print(show(path), end="")
            return
    for name in GROWN if given.size == "growth" else [given.size]:
        measure(name)


def measure(name: str) -> None:
    """Make a newsroom and time the commands on it; for a size of `SIZES` also the yardsticks."""
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
        root = Path(folder)
        maker = get_context("spawn").Process(target=make, args=(name, root))
        maker.start()
        maker.join()
        (root / "recsys.toml").write_text(size.settings)
        for part, command, stage in (
            ("first", "nightly", "first night"),
            ("day", "nightly", "next night"),
            ("hour", "refresh", "refresh"),
        ):
            measure_ingest(root, part, report)
            if part == "first" and name in SIZES:
                measure_ingest_yardsticks(root, report)
            at = AS_OF - timedelta(hours=PARTS[part][1])
            took, peak_mb = timed(command, *run_options(root), "--as-of", at.isoformat())
            report(stage, seconds=took, peak_mb=peak_mb, **stages(root / "recsys.db"))
        if name not in SIZES:
            return
        with get_context("spawn").Pool(1) as pool:
            report("scoring", **pool.apply(scoring, (root / "published",)))
        with get_context("spawn").Pool(1) as pool:
            report("serving", **pool.apply(serving, (root,)))
        with get_context("spawn").Pool(1) as pool:
            report("audience", **pool.apply(audience, (root,)))


def run_options(root: Path) -> tuple[str | Path, ...]:
    """Return the options of a nightly run or a refresh of the newsroom in a folder."""
    store, published, config = (root / name for name in ("recsys.db", "published", "recsys.toml"))
    return "--store", store, "--published", published, "--config", config


def measure_ingest(root: Path, part: str, report: Callable[..., None]) -> None:
    """Time `recsys ingest` on one part of a newsroom's files."""
    store = root / "recsys.db"
    files = [root / f"{kind}-{part}.{end}" for kind, end in FILES]
    n_clicks = sum(1 for _ in files[1].open("rb")) - 1
    took, peak_mb = timed("ingest", files[0], "--store", store)
    report(f"ingest articles, {part}", seconds=took, peak_mb=peak_mb)
    took, peak_mb = timed("ingest", files[1], "--store", store)
    rate = round(n_clicks / took)
    report(f"ingest clicks, {part}", seconds=took, peak_mb=peak_mb, rows_a_second=rate)


def measure_ingest_yardsticks(root: Path, report: Callable[..., None]) -> None:
    """Time plain inserts and, if it is installed, Spark's ALS on the first clicks."""
    clicks_file = root / "clicks-first.csv"
    report("yardsticks of ingest", **insert_yardsticks(clicks_file, root))
    if find_spec("pyspark"):
        with get_context("spawn").Pool(1) as pool:
            report("yardstick of nights", **pool.apply(spark, (clicks_file, root)))


def stages(store: Path) -> dict[str, float]:
    """Return the seconds of each stage of the last run, from the ledger."""
    from recsys.store.database import Store

    with Store(store, must_exist=True) as opened:
        seconds: dict[str, float] = opened.runs()[-1]["report"]["seconds"]
    return {f"{name} s": value for name, value in seconds.items()}


def best_of(function: Callable[[], object], times: int = 3) -> float:
    """Return the least seconds of a few calls: the one that was disturbed least."""
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def insert_yardsticks(path: Path, root: Path) -> dict[str, float]:
    """Return rows a second of plain inserts of clicks that are in memory already.

    `executemany` into a table without an index is the limit of SQLite, and `insert_all` is
    what another library does.
    """
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
    """Return the seconds of Spark MLlib's ALS alone, fitted to the clicks with our settings."""
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
    """Return microseconds for each user: of the product alone, of `implicit.topk`, and of ours."""
    from implicit.cpu.topk import topk
    from threadpoolctl import threadpool_limits

    from recsys.blend.linear import article_side
    from recsys.kernels.best import tops
    from recsys.nightly.workers import BLOCK
    from recsys.page.build import UserBlock
    from recsys.page.slots import pack_pages
    from recsys.published import folder as published_folder
    from recsys.serving.loaded_run import LoadedRun

    run = LoadedRun(published, published_folder.require_current(published))
    live, model = run.model.live, run.model
    states = first_users(run, 9_600)
    users, side = UserBlock.of(states, live), article_side(live, model.n_categories)
    items = np.ascontiguousarray(side.T)
    layout = run.builder.layout(None, has_context=False)
    wanted = layout.n_page
    blocks = [slice(i, i + BLOCK) for i in range(0, len(states), BLOCK)]

    def products(block: slice) -> NDArray[np.float32]:
        return users.sides[block] @ side

    def product(block: slice) -> None:
        products(block)  # not kept: else the time to allocate memory would be measured

    def kernel(block: slice) -> object:
        return tops(products(block), wanted)

    def pages(block: slice) -> object:
        part = users.part(block.start, min(block.stop, len(states)))
        return pack_pages(run.builder.block(part, layout))

    def each_us(work: Callable[[slice], object], n_threads: int) -> float:
        with ThreadPoolExecutor(n_threads) as pool:
            took = best_of(lambda: list(pool.map(work, blocks)))
        return round(1e6 * took / len(states), 2)

    figures: dict[str, float] = {"live": len(live.live_rows)}
    with threadpool_limits(1):
        for n_threads in (1, os.cpu_count() or 1):
            on = f"{n_threads} threads"
            peer = best_of(lambda n=n_threads: topk(items, users.sides, wanted, num_threads=n))
            figures[f"implicit.topk us, {on}"] = round(1e6 * peer / len(states), 2)
            figures[f"gemm us, {on}"] = each_us(product, n_threads)
            figures[f"kernel us, {on}"] = each_us(kernel, n_threads)
            figures[f"whole page us, {on}"] = each_us(pages, n_threads)
    return figures


def first_users(run: Any, n: int) -> list[Any]:
    """Return the states of the first `n` users of the nightly run that a run goes back to."""
    path = run.paths[-1]
    with (
        closing(connect(path)) as conn,
        closing(load_profiles(conn, path)) as profiles,
    ):
        return [run.users.state(packed) for _, packed, *_ in islice(profiles, n)]


def serving(root: Path) -> dict[str, float]:
    """Return latencies of `recommend` in microseconds, pages a second of threads, and starts."""
    from recsys import Recommender

    published = root / "published"
    began = time.perf_counter()
    recommender = Recommender(published)
    figures = {"open s": round(time.perf_counter() - began, 3)}
    command = [sys.executable, "-c", "import recsys"]
    figures["import s"] = round(best_of(lambda: subprocess.run(command, check=True)), 3)
    users, articles = random_requests(published, 400)
    at = AS_OF.replace(tzinfo=None)

    def whole(i: int) -> None:
        clicks = articles[(i + 7) % 300 :][:3]
        recommender.recommend(users[i % 400], articles[i % 400], recent_clicks=clicks, as_of=at)

    requests: dict[str, Callable[[int], object]] = {
        "user, article, 3 clicks": whole,
        "user": lambda i: recommender.recommend(users[i % 400], as_of=at),
        "article": lambda i: recommender.recommend(None, articles[i % 400], as_of=at),
        "anonymous": lambda i: recommender.recommend(as_of=at),
    }
    for name, ask in requests.items():
        figures |= latencies(name, ask, lambda n: n < 420)
    refresh = (*COMMAND, "refresh", *run_options(root), "--as-of", AS_OF.isoformat())
    with subprocess.Popen(refresh, stdout=subprocess.DEVNULL) as process:
        name = "user, article, 3 clicks, while a refresh publishes"
        figures |= latencies(name, whole, lambda n: process.poll() is None)
    for n_threads in (1, 8):
        with ThreadPoolExecutor(n_threads) as pool:
            took = best_of(lambda pool=pool: list(pool.map(whole, range(400))), 2)
        figures[f"pages/s, {n_threads} threads"] = round(400 / took)
    figures["peak_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    return figures


def audience(root: Path) -> dict[str, float]:
    """Return seconds of choosing 1,000 users for an article, and of its yardsticks.

    The rows alone are what SQLite takes to hand out ids and profiles. The product is that of the
    users' sides with the article, in numpy, at once, of profiles that are unpacked already.
    """
    from recsys import Recommender
    from recsys.blend.linear import article_side
    from recsys.blend.profiles import unpack_profiles

    published = root / "published"
    recommender = Recommender(published)
    run, at = recommender.run, AS_OF.replace(tzinfo=None)
    live = run.model.live
    middle = len(live.live_rows) // 2
    article_id = run.articles[live.live_rows[middle]].article_id
    chosen = best_of(lambda: recommender.audience(article_id, 1_000, as_of=at))
    peak_mb = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    query = "SELECT user_id, profile FROM users"
    with closing(connect(run.paths[-1])) as conn:
        rows = best_of(lambda: sum(1 for _ in conn.execute(query)))
        packed = [row[1] for row in conn.execute(query)]
    sizes = {"n_factors": live.factors.shape[1], "n_categories": run.model.n_categories}
    begins = range(0, len(packed), 10_000)
    parts = [unpack_profiles(packed[i : i + 10_000], **sizes) for i in begins]
    sides = np.concatenate([np.hstack((part.factors, part.affinity)) for part in parts])
    article = np.ascontiguousarray(article_side(live, run.model.n_categories)[:, middle])
    product = best_of(lambda: np.argpartition(-(sides @ article), 1_000))
    took, _ = timed(
        "audience", article_id, *run_options(root)[:4], "--n", "1000", "--as-of", AS_OF.isoformat()
    )
    return {
        "profiles": len(packed),
        "choose s": round(chosen, 3),
        "rows alone s": round(rows, 3),
        "product alone s": round(product, 4),
        "command s": took,
        "peak_mb": peak_mb,
    }


def random_requests(published: Path, n: int) -> tuple[list[str], list[str]]:
    """Return `n` random user ids and `n` random live article ids of the current run."""
    from recsys.published import folder as published_folder
    from recsys.serving.loaded_run import LoadedRun

    run = LoadedRun(published, published_folder.require_current(published))
    rng = np.random.default_rng(1)
    with closing(connect(run.paths[-1])) as conn:
        users = rng.choice(sorted(user_ids(conn)), n).tolist()
    live_ids = [run.articles[row].article_id for row in run.model.live.live_rows.tolist()]
    return users, rng.choice(live_ids, n).tolist()


def latencies(
    name: str, ask: Callable[[int], object], goes_on: Callable[[int], bool]
) -> dict[str, float]:
    """Ask for pages for as long as `goes_on` says, and return quantiles of the latencies."""
    seconds: list[float] = []
    while goes_on(len(seconds)):
        start = time.perf_counter()
        ask(len(seconds))
        seconds.append(time.perf_counter() - start)
    return {
        f"{name}: p{q} us": round(1e6 * float(np.percentile(seconds[20:], q))) for q in (50, 99)
    }


def table_of(path: Path) -> str:
    """Return the latest run of each size as a Markdown table."""
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    about = {"size", "articles", "users", "clicks", "cores", "cpu", "on", "python", "stage"}
    about |= set(LIBRARIES)
    latest = {(line["stage"], line["size"]): line for line in lines}
    figures: dict[tuple[str, str], dict[str, float]] = {}
    for (stage, size), line in latest.items():
        for name, value in line.items():
            if name not in about:
                figures.setdefault((stage, name), {})[size] = value
    sizes = [size for size in SIZES if any(size in found for found in figures.values())]
    rows = [("stage", "figure", *sizes), ("---",) * (2 + len(sizes))]
    for (stage, name), found in figures.items():
        rows.append((stage, name, *(f"{found[s]:,g}" if s in found else "-" for s in sizes)))
    return "".join("| " + " | ".join(row) + " |\n" for row in rows)


def growth_of(path: Path) -> str:
    """Return a Markdown table of seconds as one thing grows, with the power they grow by."""
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    line_of = {(line["size"], line["stage"]): line for line in lines}
    commands = {
        "first night": "first nightly run",
        "next night": "next nightly run",
        "refresh": "refresh",
    }
    stages = ("read", "text", "collaborative", "score and write")
    rows = [
        ("of four times the", *commands.values(), *(f"{stage} (next)" for stage in stages)),
        ("---",) * (1 + len(commands) + len(stages)),
    ]

    def growth(what: str, stage: str, figure: str) -> str:
        names = ["growth x1", *(f"{what} x{x}" for x in TIMES[1:])]
        seconds = [line_of[name, stage][figure] for name in names]
        power = np.log(max(seconds[-1], 1e-3) / max(seconds[0], 1e-3)) / np.log(TIMES[-1])
        return f"{', '.join(f'{s:.1f}' for s in seconds)} s ({power:+.1f})"

    for what in GROWTH:
        whole = [growth(what, command, "seconds") for command in commands]
        parts = [growth(what, "next night", f"{stage} s") for stage in stages]
        rows.append(("users" if what == "readers" else what, *whole, *parts))
    return "".join("| " + " | ".join(row) + " |\n" for row in rows)


def plot_of(path: Path) -> str:
    """Return seconds of each stage of the next nightly run against clicks, as SVG."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    latest = {line["clicks"]: line for line in lines if line["stage"] == "next night"}
    by_clicks = [latest[clicks] for clicks in sorted(latest)]

    figure = Figure(figsize=(8.0, 4.5), layout="constrained")
    axes = figure.subplots()
    for name in ("seconds", *(key for key in by_clicks[-1] if key.endswith(" s"))):
        label = "whole command" if name == "seconds" else name.removesuffix(" s")
        values = [max(line.get(name, 0.0), 0.001) for line in by_clicks]
        axes.loglog([line["clicks"] for line in by_clicks], values, marker="o", label=label)
    axes.set(xlabel="clicks in the store", ylabel="seconds", title="The next nightly run")
    axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    out = io.StringIO()
    # No date and no random ids, so that the same data gives the same bytes.
    with mpl.rc_context({"svg.hashsalt": "recsys"}):
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(out, format="svg", metadata=nothing)
    return out.getvalue()[out.getvalue().index("<svg") :]


if __name__ == "__main__":
    main()
