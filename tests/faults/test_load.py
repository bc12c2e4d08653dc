"""A server of eight threads while nights, refreshes and rules publish: whole pages, and soon."""

import gc
import os
import random
import subprocess
import threading
import time
from contextlib import closing
from datetime import timedelta

import pytest
from newsroom import AS_OF, BOTH, COMMAND, NIGHT, STORE, at, copied, well

from recsys import Recommender
from recsys.published import folder as published_folder
from recsys.published import run_file

N_THREADS = 8
LATE_SECONDS = 2.0  # after a command has ended, every page is of what it published


def memory_mb():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6


class Server:
    """Threads that ask for pages, and look at each."""

    def __init__(self, folder):
        self.folder, self.recommender = folder, Recommender(folder / "p")
        self.stop, self.errors, self.n_pages = threading.Event(), [], [0] * N_THREADS
        self.newest = published_folder.current_run(folder / "p")  # and since when
        self.since = time.monotonic()
        self.blocked: dict[str, float] = {}  # articles, and since when
        self.known: dict[str, set[str]] = {}  # articles of each run that was published
        self.learn(self.newest)
        self.threads = [threading.Thread(target=self.ask, args=(i,)) for i in range(N_THREADS)]

    def learn(self, run_id):
        path = published_folder.run_path(self.folder / "p", run_id)
        with closing(run_file.connect(path)) as conn:
            known = run_file.load_articles(conn, path)
        self.known[run_id] = {article.article_id for article in known}

    def published(self):
        run_id = published_folder.current_run(self.folder / "p")
        self.learn(run_id)
        self.newest, self.since = run_id, time.monotonic()

    def ask(self, number):
        rng = random.Random(number)
        while not self.stop.is_set():
            user = f"u{rng.randrange(1900):04}" if rng.random() < 0.3 else None
            beside = f"a{rng.randrange(280):04}" if rng.random() < 0.7 else None
            newest, since, asked = self.newest, self.since, time.monotonic()
            blocked = dict(self.blocked)
            try:
                page = self.recommender.recommend(user, beside, as_of=AS_OF + timedelta(hours=6))
            except Exception as error:
                self.errors.append(repr(error))
                continue
            ids = [slot.article_id for slots in page.values() for slot in slots]
            if len(set(ids)) < len(ids) or not ids or beside in ids:
                self.errors.append(f"{page.run_id}: {ids}")
            if page.run_id < newest and asked - since > LATE_SECONDS:
                self.errors.append(f"{page.run_id} {asked - since:.1f} s after {newest}")
            if page.run_id in self.known and not set(ids) <= self.known[page.run_id]:
                self.errors.append(f"{page.run_id} shows articles of another run")
            stale = [a for a, when in blocked.items() if a in ids and asked - when > 1.0]
            if stale:
                self.errors.append(f"{stale} blocked, and shown")
            self.n_pages[number] += 1


def test_pages_stay_whole_and_fresh_while_runs_and_rules_change(newsroom, tmp_path):
    serve(copied(newsroom, tmp_path / "newsroom"), seconds=20)


@pytest.mark.long
def test_pages_stay_whole_and_fresh_for_minutes(newsroom, tmp_path):
    serve(copied(newsroom, tmp_path / "newsroom"), seconds=300)


def serve(folder, seconds):
    well(folder, "ingest", "later.articles.jsonl", "later.clicks.csv", *STORE)
    server = Server(folder)
    memory, n_published = [], 0
    for thread in server.threads:
        thread.start()
    try:
        end, turn = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            turn += 1
            if turn % 4 == 3:
                article = f"a{turn % 280:04}"
                well(
                    folder,
                    "rules",
                    "add",
                    "block",
                    article,
                    *BOTH,
                    "--author",
                    "jo",
                    "--reason",
                    "a test",
                    "--from",
                    at(-1),
                )
                server.blocked[article] = time.monotonic()
            else:
                kind = (*NIGHT,) if turn % 4 == 1 else ("refresh", *BOTH, "--as-of")
                well(folder, *kind, at(2 + turn / 1000))
                server.published()
                n_published += 1
            gc.collect()
            memory.append(memory_mb())
    finally:
        server.stop.set()
        for thread in server.threads:
            thread.join()
    n_pages = sum(server.n_pages)
    print(
        f"{n_pages} pages by {N_THREADS} threads in {seconds} s, {n_published} runs published,"
        f" {len(server.errors)} errors, memory {memory[0]:.0f} to {memory[-1]:.0f} MB"
    )
    assert server.errors == []
    assert n_pages > 10 * seconds
    assert n_published >= 2
    half = len(memory) // 2
    assert max(memory[half:]) < 1.25 * max(memory[: half or 1])


def test_a_stale_run_is_told(newsroom):
    recommender = Recommender(newsroom / "p")
    assert recommender.health(as_of=AS_OF + timedelta(hours=36)).problems == ()
    late = recommender.health(as_of=AS_OF + timedelta(hours=36, seconds=60)).problems
    assert "knows nothing of the last 36.0 hours" in late[0]


def test_a_server_starts_while_a_night_publishes(newsroom, tmp_path):
    folder = copied(newsroom, tmp_path / "newsroom")
    night = subprocess.Popen([*COMMAND, *NIGHT, at(2)], cwd=folder, stdout=subprocess.DEVNULL)
    n_started = 0
    while night.poll() is None:
        page = Recommender(folder / "p").recommend("u0007", as_of=AS_OF)
        assert sum(map(len, page.values())) == 21
        n_started += 1
    assert night.returncode == 0
    assert n_started > 3
