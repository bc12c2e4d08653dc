"""Make newsrooms out of the sample by the real commands, and run commands in them."""

import csv
import gzip
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from recsys import Recommender
from recsys.published import connection, run_file
from recsys.published import folder as published_folder

COMMAND = (sys.executable, "-c", "from recsys.cli.main import main; main()")
AS_OF = datetime.fromisoformat("2026-03-02T06:00:00+00:00")
HERE = Path(__file__).parent / "faults"
SAMPLE = HERE.parents[1] / "data" / "sample"
SHIPPED_WEIGHTS = "[learn]\ndays = 0\n"  # learns nothing: a run takes a fraction of the time
Row = dict[str, object]


def at(hours: float) -> str:
    """Return an instant some hours after the end of the sample, as an option's value."""
    return (AS_OF + timedelta(hours=hours)).isoformat()


@dataclass(frozen=True)
class Done:
    """The exit status of a command, and what it printed to standard error and standard output."""

    status: int
    said: str
    out: str


def run(cwd: Path, *arguments: str, **options) -> Done:
    """Run a recsys command to its end."""
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        **options,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Done(done.returncode, done.stderr, done.stdout)


def well(cwd: Path, *arguments: str, **options) -> Done:
    """Run a command that must succeed."""
    done = run(cwd, *arguments, **options)
    assert done.status == 0, (arguments, done)
    return done


def killed(cwd: Path, step: int, *arguments: str) -> int | None:
    """Run a command that is killed at a step; at step 0 it is not, and its steps are returned.

    See `killed.py` for what a step is.
    """
    done = subprocess.run(
        [sys.executable, str(HERE / "killed.py"), str(step), *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        encoding="utf-8",
        timeout=300,
    )
    if step:
        assert done.returncode == -signal.SIGKILL, (step, done.returncode, done.stderr)
        return None
    assert done.returncode == 0, done.stderr
    return int(done.stderr.rsplit("steps ", 1)[1])


def killed_after(cwd: Path, seconds: float, *arguments: str) -> bool:
    """Run a command and kill it after some seconds; return whether it was still running."""
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        cwd=cwd,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(seconds)
    process.kill()
    return process.wait() == -signal.SIGKILL


STORE = ("--store", "s.db")
BOTH = (*STORE, "--published", "p")
NIGHT = ("nightly", *BOTH, "--config", "c.toml", "--as-of")


def make(folder: Path) -> None:
    """Make a newsroom with two nightly runs, the second served, and files of later data."""
    folder.mkdir(parents=True)
    (folder / "c.toml").write_text(SHIPPED_WEIGHTS)
    later = [
        {
            "article_id": f"new{i}",
            "title": f"Coal exit: new report {i}",
            "category": "Politics",
            "body": "The coal exit moves on. " * (i + 3),
            "published_at": at(0.5),
        }
        for i in range(20)
    ]
    (folder / "later.articles.jsonl").write_text("".join(json.dumps(row) + "\n" for row in later))
    rows = ["user_id,article_id,clicked_at"]
    rows += [f"u{i % 90:04},new{i % 20},{at(0.5 + i / 1000)}" for i in range(400)]
    (folder / "later.clicks.csv").write_text("\n".join(rows) + "\n")
    well(folder, "ingest", SAMPLE, *STORE)
    well(folder, *NIGHT, at(-24))
    well(folder, *NIGHT, at(0))


def copied(folder: Path, to: Path) -> Path:
    """Return a copy of a newsroom."""
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(folder, to)
    return to


def page_of(folder: Path, user: str = "u0007") -> list[str]:
    """Return the run id and the article ids of a page, as a new server serves it."""
    recommender = Recommender(folder / "p")
    page = recommender.recommend(user, "a0030", as_of=AS_OF)
    return [page.run_id, *(slot.article_id for slots in page.values() for slot in slots)]


def content(folder: Path) -> dict[str, list]:
    """Return the rows of a store with external ids, sorted: equal for equal stores."""
    queries = {
        "articles": "SELECT article_id, title, body, revision FROM articles"
        " JOIN article_ids USING (article_key)",
        "clicks": "SELECT user_id, article_id, clicked_at, dwell_seconds, time_is_bound FROM clicks"
        " JOIN users USING (user_key) JOIN article_ids USING (article_key)",
        "impressions": "SELECT user_id, shown_at, length(shown), clicked FROM impressions"
        " JOIN users USING (user_key)",
        "rejected": "SELECT file, row, field, reason, raw FROM rejected_rows",
        "audiences": "SELECT * FROM audiences",
    }
    with closing(sqlite3.connect(folder / "s.db")) as conn:
        assert conn.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        return {name: sorted(map(repr, conn.execute(query))) for name, query in queries.items()}


def served(folder: Path) -> dict[str, object]:
    """Return digests of everything in the served run."""
    path = published_folder.run_path(folder / "p", published_folder.require_current(folder / "p"))
    with closing(connection.connect(path)) as conn:
        return run_file.digests(conn, path)


def left_over(folder: Path) -> list[str]:
    """Return unfinished files, which no command leaves behind when it ends."""
    return sorted(path.name for path in (folder / "p").iterdir() if "partial" in path.name)


def environment(**more: str) -> dict[str, str]:
    """Return the environment of this process with more variables."""
    return os.environ | more


def keep(row: Row) -> Row:
    """Return a row as it is."""
    return row


def altered_sample(
    folder: Path,
    *,
    article: Callable[[Row], Row] = keep,
    click: Callable[[Row], Row | None] = keep,
    impression: Callable[[Row], Row | None] = keep,
) -> Path:
    """Write a copy of the sample with altered rows; a row for which None is returned is left out.

    Rows that ingest rejects are not copied.
    """
    folder.mkdir(parents=True)
    with (SAMPLE / "articles.jsonl").open(encoding="utf-8") as file:
        articles = [json.loads(line) for line in file if '"body"' in line]
    with gzip.open(SAMPLE / "impressions.jsonl.gz", "rt", encoding="utf-8") as file:
        impressions = [json.loads(line) for line in file]
    with gzip.open(SAMPLE / "clicks.csv.gz", "rt", encoding="utf-8", errors="replace") as file:
        rows = list(csv.DictReader(file))
    clicks = [row for row in rows if str(row["clicked_at"]).startswith("2026")]
    for name, found in (
        ("articles.jsonl", map(article, articles)),
        ("impressions.jsonl", filter(None, map(impression, impressions))),
    ):
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in found), "utf-8")
    with (folder / "clicks.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, clicks[0].keys())
        writer.writeheader()
        writer.writerows(filter(None, map(click, clicks)))
    return folder
