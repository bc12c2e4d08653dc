"""A server of eight threads while nights, refreshes and rules publish: whole pages, and fresh."""

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
from recsys.published import connection, run_file
from recsys.published import folder as published_folder

pytestmark = pytest.mark.slow
N_THREADS = 8
PAGES = "pages served while runs and rules change"
N_TURNS = 8  # commands of the short form; the long one has five times as many, times --scale
GIVE_UP_S = 120  # a thread that still serves the run before by then never follows


def memory_mb():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6


class Server:
    """Threads that ask for pages, and look at each."""

    def __init__(self, folder):
        self.folder, self.recommender = folder, Recommender(folder / "p")
        self.stop, self.errors = threading.Event(), []
        self.n_pages, self.served = [0] * N_THREADS, [""] * N_THREADS  # the latest run, by thread
        self.blocked = frozenset()  # articles of rules whose command has ended
        self.articles = {}  # of each run that was published
        self.learn()
        self.threads = [threading.Thread(target=self.ask, args=(i,)) for i in range(N_THREADS)]

    def learn(self):
        """Note the articles of the current run, and return its name."""
        run_id = published_folder.current_run(self.folder / "p")
        path = published_folder.run_path(self.folder / "p", run_id)
        with closing(connection.connect(path)) as conn:
            known = run_file.load_articles(conn, path)
        self.articles[run_id] = {article.article_id for article in known}
        return run_id

    def all_follow(self, run_id):
        """Wait until every thread has had a page of a run."""
        end = time.monotonic() + GIVE_UP_S
        while min(self.served) < run_id:
            assert time.monotonic() < end, (run_id, self.served)
            time.sleep(0.01)

    def ask(self, number):
        rng = random.Random(number)
        while not self.stop.is_set():
            user = f"u{rng.randrange(1900):04}" if rng.random() < 0.3 else None
            beside = f"a{rng.randrange(280):04}" if rng.random() < 0.7 else None
            blocked = self.blocked
            try:
                page = self.recommender.recommend(user, beside, as_of=AS_OF + timedelta(hours=6))
            except Exception as error:
                self.errors.append(repr(error))
                continue
            ids = [slot.article_id for slots in page.values() for slot in slots]
            if len(set(ids)) < len(ids) or not ids or beside in ids:
                self.errors.append(f"{page.run_id}: {ids}")
            if page.run_id < self.served[number]:
                self.errors.append(f"{page.run_id} after {self.served[number]}")
            if page.run_id in self.articles and not set(ids) <= self.articles[page.run_id]:
                self.errors.append(f"{page.run_id} shows articles of another run")
            if blocked & set(ids):
                self.errors.append(f"{blocked & set(ids)} blocked, and shown")
            self.served[number] = page.run_id
            self.n_pages[number] += 1


def test_pages_stay_whole_and_fresh_while_runs_and_rules_change(
    newsroom, tmp_path, record_property
):
    record_property(PAGES, serve(copied(newsroom, tmp_path / "newsroom"), N_TURNS))


@pytest.mark.long
def test_pages_stay_whole_and_fresh_for_many_runs(newsroom, tmp_path, scale, record_property):
    n_turns = 5 * N_TURNS * scale
    record_property(PAGES, serve(copied(newsroom, tmp_path / "newsroom"), n_turns))


def serve(folder, n_turns):
    """Serve pages while runs and rules change, check them, and return how many they were."""
    well(folder, "ingest", "later.articles.jsonl", "later.clicks.csv", *STORE)
    server = Server(folder)
    memory = []
    for thread in server.threads:
        thread.start()
    try:
        for turn in range(1, n_turns + 1):
            if turn % 4 == 3:
                article = f"a{turn % 280:04}"
                who = ("--author", "jo", "--reason", "a test", "--from", at(-1))
                well(folder, "rules", "add", "block", article, *BOTH, *who)
                server.blocked |= {article}
            else:
                kind = NIGHT if turn % 4 == 1 else ("refresh", *BOTH, "--as-of")
                well(folder, *kind, at(2 + turn / 1000))
                server.all_follow(server.learn())
            gc.collect()
            memory.append(memory_mb())
    finally:
        server.stop.set()
        for thread in server.threads:
            thread.join()
    print(
        f"{sum(server.n_pages)} pages by {N_THREADS} threads, {n_turns} turns,"
        f" {len(server.errors)} errors, memory {memory[0]:.0f} to {memory[-1]:.0f} MB"
    )
    assert server.errors == []
    half = n_turns // 2
    assert max(memory[half:]) < 1.25 * max(memory[:half])
    return sum(server.n_pages)


def test_a_stale_run_is_a_problem_of_its_health(newsroom):
    recommender = Recommender(newsroom / "p")
    assert recommender.health(as_of=AS_OF + timedelta(hours=36)).problems == ()
    late = recommender.health(as_of=AS_OF + timedelta(hours=36, seconds=60)).problems
    assert "knows nothing of the last 36.0 hours" in late[0]


def test_a_server_starts_while_a_night_publishes(newsroom, tmp_path):
    folder = copied(newsroom, tmp_path / "newsroom")
    night = subprocess.Popen([*COMMAND, *NIGHT, at(2)], cwd=folder, stdout=subprocess.DEVNULL)
    while night.poll() is None:
        page = Recommender(folder / "p").recommend("u0007", as_of=AS_OF)
        assert sum(map(len, page.values())) == 21
    assert night.returncode == 0
