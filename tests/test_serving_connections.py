"""Connections: taken in turns, closed when a run is retired, and never taken through a fork."""

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from conftest import BY_HAND

from recsys import Recommender
from recsys.nightly.run import run_nightly
from recsys.published import folder as published_folder
from recsys.rows import HOUR_MS, to_ms
from recsys.serving.connections import SQLITE_USE, ConnectionPool, Turn
from recsys.store.database import Store

# Forks while threads ask for pages and other runs are published; each child must serve both runs
# as the parent does, which it cannot with a lock that a thread of the parent held.
FORKING = """
import json, os, signal, sys, threading
from datetime import datetime
from pathlib import Path
from recsys.files import write_text
from recsys.serving.recommender import Recommender

folder, as_of, runs = Path(sys.argv[1]), datetime.fromisoformat(sys.argv[2]), sys.argv[3:]
recommender, done, expected = Recommender(folder), threading.Event(), {}

def page():
    return recommender.recommend("u0007", "a0030", as_of=as_of)

for run_id in runs:
    write_text(folder / "current", run_id)
    expected[run_id] = page().to_json()

def publish():
    while not done.is_set():
        for run_id in runs:
            write_text(folder / "current", run_id)
            done.wait(0.02)

def ask():
    while not done.is_set():
        page()

threads = [threading.Thread(target=work) for work in (publish, ask, ask)]
for thread in threads:
    thread.start()
failed = []
for _ in range(12):
    child = os.fork()
    if not child:
        signal.alarm(60)
        seen = set()
        while seen != set(runs):
            found = page()
            if found.to_json() != expected[found.run_id]:
                os._exit(1)
            seen.add(found.run_id)
        os._exit(0)
    failed.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
done.set()
for thread in threads:
    thread.join()
sys.exit(str(failed) if any(failed) else 0)
"""
# Forks while other threads hold each lock of this package: two as long as the process lives, and
# those for which a fork waits until it begins. The child must follow what is published later.
HOLDING = """
import os, signal, sys, threading
from datetime import datetime
from pathlib import Path
from recsys.files import write_text
from recsys.serving.connections import SQLITE_USE
from recsys.serving.recommender import Recommender

folder, as_of, runs = Path(sys.argv[1]), datetime.fromisoformat(sys.argv[2]), sys.argv[3:]
others = [Recommender(folder) for _ in range(2)]
released, done = threading.Event(), threading.Event()

def hold(block, until):
    held = threading.Event()
    def work():
        with block:
            held.set()
            until.wait(60)
    threading.Thread(target=work, daemon=True).start()
    assert held.wait(60)

for recommender in others:
    hold(recommender._followed._following.taken(), done)
hold(SQLITE_USE, released)
hold(SQLITE_USE.lock, released)
threading.Timer(0.2, released.set).start()
published, publish = os.pipe()
child = os.fork()
if not child:
    signal.alarm(60)
    os.read(published, 1)
    found = [other.recommend("u0007", as_of=as_of).run_id for other in others]
    os._exit(0 if found == [runs[1]] * 2 else 1)
write_text(folder / "current", runs[1])
os.write(publish, b"x")
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
done.set()
sys.exit(status)
"""
APPLICATION = """
import os
import recsys

recommender = recsys.Recommender("published")
recommender.recommend("u0007")  # the parent has had a connection


def application(environ, start_response):
    def start(status, headers):
        start_response(status, [*headers, ("Worker", str(os.getpid()))])

    return recommender.recommend("u0007")(environ, start)
"""


@pytest.fixture(scope="module")
def published(by_hand, tmp_path_factory):
    folder = tmp_path_factory.mktemp("two") / "published"
    shutil.copytree(by_hand.folder, folder)
    with Store(by_hand.store) as store:
        as_of_ms = to_ms(by_hand.as_of) + HOUR_MS
        second = run_nightly(store, folder, as_of_ms=as_of_ms, config=BY_HAND)
    return folder, (by_hand.report.run_id, second.run_id)


@pytest.fixture
def two_runs(published, tmp_path):
    """A folder with two runs, of which the first is the current one; and their ids."""
    folder = tmp_path / "published"
    shutil.copytree(published[0], folder)
    published_folder.publish(folder, published[1][0])
    return folder, published[1]


def deleted_files(process="self"):
    """Return the deleted files that a process has open."""
    found = []
    for link in Path(f"/proc/{process}/fd").iterdir():
        try:
            found.append(os.readlink(link))
        except FileNotFoundError:  # the listing of this folder was open itself
            continue
    return [path for path in found if path.endswith(".sqlite (deleted)")]


@pytest.mark.parametrize("code", [FORKING, HOLDING], ids=["at work", "holding every lock"])
def test_children_of_a_server_serve_what_it_serves(code, two_runs, by_hand):
    folder, runs = two_runs
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code]
    done = subprocess.run(
        [*command, folder, by_hand.as_of.isoformat(), *runs],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_fork_waits_for_threads_inside_sqlite_and_closes_what_is_idle(two_runs):
    folder, (first, _) = two_runs
    pool = ConnectionPool([published_folder.run_path(folder, first)])
    with pool.connected() as conns:
        idle = conns[0][0]
    in_use, may_end, forked = threading.Event(), threading.Event(), threading.Event()

    def use():
        with SQLITE_USE:
            in_use.set()
            may_end.wait(60)

    def fork():  # what `os.fork` does before and after
        SQLITE_USE.before_fork()
        forked.set()
        SQLITE_USE.after_fork_in_parent()

    threads = [threading.Thread(target=work) for work in (use, fork)]
    threads[0].start()
    assert in_use.wait(60)
    threads[1].start()
    with pool.connected() as conns:  # a thread that is not the last one inside goes on
        assert conns[0][0].execute("SELECT count(*) FROM meta").fetchone()[0] > 0
    assert not forked.is_set()
    may_end.set()
    assert forked.wait(60)
    for thread in threads:
        thread.join()
    with pytest.raises(Exception, match="closed"):
        idle.execute("SELECT 1")
    with pool.connected() as conns:
        assert conns[0][0] is not idle
    pool.retire()


def test_a_turn_is_one_threads_until_it_ends_or_the_process_forks():
    turn = Turn()
    with turn.taken() as first, turn.taken() as second:
        assert (first, second) == (True, False)
    with turn.taken() as first:
        assert first
        SQLITE_USE.after_fork_in_child()  # what `os.fork` does in a child
        with turn.taken() as of_child:
            assert of_child
    with turn.taken() as later:
        assert later


def test_a_pool_lends_one_connection_in_turns_and_closes_it_when_retired(two_runs):
    folder, (first, _) = two_runs
    pool = ConnectionPool([published_folder.run_path(folder, first)])
    with pool.connected() as conns:
        before = conns[0][0]
    with pool.connected() as conns, pool.connected() as others:
        assert conns[0][0] is before
        assert others[0][0] is not before
        pool.retire()
        assert before.execute("SELECT 1").fetchone() == (1,)
    for conn in (before, others[0][0]):
        with pytest.raises(Exception, match="closed"):
            conn.execute("SELECT 1")


def test_idle_threads_keep_no_files_of_runs_that_were_deleted(two_runs, by_hand):
    folder, (first, second) = two_runs
    recommender, asked = Recommender(folder), threading.Barrier(4)
    done = threading.Event()

    def ask():
        recommender.recommend("u0007", as_of=by_hand.as_of)
        asked.wait(60)
        done.wait(60)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    asked.wait(60)
    published_folder.publish(folder, second)
    recommender.recommend("u0008", as_of=by_hand.as_of)
    assert published_folder.prune(folder, 1) == [first]
    kept = [path for path in deleted_files() if str(folder) in path]
    done.set()
    for thread in threads:
        thread.join()
    assert kept == []


def test_workers_of_gunicorn_follow_each_run_that_was_published_after_they_forked(two_runs):
    folder, (first, second) = two_runs
    (folder.parent / "news_site.py").write_text(APPLICATION)
    address = folder.parent / "socket"
    command = [sys.executable, "-m", "gunicorn", "--preload", "--workers", "2", "--threads", "2"]
    server = subprocess.Popen(
        [*command, "--bind", f"unix:{address}", "--no-control-socket", "news_site:application"],
        cwd=folder.parent,
        env=os.environ | {"PYTHONPATH": os.environ.get("PYTHONPATH", "")},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        workers = runs_of_workers(address, server, {first})
        published_folder.publish(folder, second)
        assert runs_of_workers(address, server, {second}) == workers
        assert published_folder.prune(folder, 1) == [first]
        assert [deleted_files(pid) for pid in (server.pid, *workers)] == [[], [], []]
    finally:
        server.terminate()
        server.communicate(timeout=60)


def runs_of_workers(address, server, runs):
    """Ask until both workers have answered with pages of these runs; return their process ids."""
    workers = set()
    for _ in range(600):
        run_id, worker = run_of_page(address, server)
        assert run_id in runs
        workers.add(worker)
        if len(workers) == 2:
            return workers
        time.sleep(0.1)
    raise AssertionError(f"of two workers, {workers} answered")


def run_of_page(address, server):
    """Return the run of a page from a server on a socket of Unix, and the process that answered."""
    for _ in range(300):
        if address.exists():
            break
        assert server.poll() is None, server.stderr.read()
        time.sleep(0.1)
    connection = http.client.HTTPConnection("localhost", timeout=60)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(address))
    connection.request("GET", "/")
    response = connection.getresponse()
    found = json.loads(response.read())
    connection.close()
    return found["run_id"], response.headers["Worker"]
