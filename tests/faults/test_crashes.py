"""A machine loses power at any moment: what a command acknowledged is there, all else is whole.

`crash_model.py` says what may be on the disk then.
"""

import csv
import random
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing, contextmanager, nullcontext
from copy import deepcopy
from pathlib import Path
from subprocess import PIPE

import pytest
from crash_model import Disk, Entry, compiled, crashes, points, traced
from newsroom import COMMAND, content, copied, page_of, well
from scenes import FORGOTTEN, SCENES, check, files_with, rules_of, spread, staged

SOME = 2  # points of a command at which the short form crashes, besides the end
CRASHES = "crashes of the machine, replayed from a trace of writes"
MANY = 4  # the same of the long form, times --scale
CLICKS = 3000  # of an ingest: several pages of the store


@pytest.fixture(scope="module")
def tracer(tmp_path_factory):
    """The library that traces writes."""
    found = compiled(tmp_path_factory.mktemp("tracer"))
    if found is None:
        pytest.skip("no library can be loaded before others here (LD_PRELOAD), or none compiled")
    return found


@contextmanager
def open_elsewhere(path):
    """Let another process have a database open, so that no process closes it as the last one.

    This process cannot: where it reads the files of a database, its locks on them are gone
    (SQLite, "How To Corrupt An SQLite Database File", section 2.2).
    """
    code = (
        "import sqlite3, sys; conn = sqlite3.connect(sys.argv[1])\n"
        "conn.execute('SELECT * FROM sqlite_schema').fetchall(); print('open', flush=True)\n"
        "sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True) as other:
        assert other.stdout.readline() == "open\n"
        yield
        other.stdin.close()


# ---- the model --------------------------------------------------------------------


def entry(what, *fields, data=b""):
    return Entry(what, tuple(map(str, fields)), data)


def found_by(disk, folder, n_random=200):
    """Return all that crashes may leave: the files and their content."""
    return {
        tuple(sorted((str(Path(path).relative_to(folder)), c) for path, c in crash.found.items()))
        for crash in disk.crashes(random.Random(1), n_random)
    }


def test_what_was_not_synced_may_be_lost_in_any_order(tmp_path):
    disk = Disk(tmp_path)
    disk.apply(entry("C", 1, tmp_path / "a"))
    disk.apply(entry("D", tmp_path))
    disk.apply(entry("W", 1, 0, 1, data=b"x"))
    disk.apply(entry("W", 1, 1, 1, data=b"y"))
    # The second write alone leaves a gap. A write of one byte may be torn: then nothing is there.
    contents = {dict(found)["a"] for found in found_by(disk, tmp_path)}
    assert contents == {b"", b"x", b"\0y", b"xy"}
    disk.apply(entry("S", 1))
    disk.apply(entry("T", 1, 1))
    contents = {dict(found)["a"] for found in found_by(disk, tmp_path)}
    assert contents == {b"x", b"xy"}


def test_a_name_is_certain_only_when_its_folder_was_synced(tmp_path):
    (tmp_path / "current").write_bytes(b"old")
    disk = Disk(tmp_path)
    for step in (
        entry("C", -1, tmp_path / "partial"),
        entry("W", -1, 0, 3, data=b"new"),
        entry("R", -1, tmp_path / "partial", tmp_path / "current"),
    ):
        disk.apply(step)
    # The file was not synced before it got the name: the name may lead to nothing.
    assert (("current", b""),) in found_by(deepcopy(disk), tmp_path)
    disk.apply(entry("S", -1))
    assert found_by(disk, tmp_path) == {
        (("current", b"old"),),
        (("current", b"old"), ("partial", b"new")),
        (("current", b"new"),),
    }
    disk.apply(entry("D", tmp_path))
    assert found_by(disk, tmp_path) == {(("current", b"new"),)}


def test_what_is_in_a_folder_that_is_lost_is_lost(tmp_path):
    disk, deep = Disk(tmp_path), tmp_path / "deep"
    for step in (entry("M", -1, deep), entry("C", -2, deep / "a"), entry("D", deep)):
        disk.apply(step)
    lost, kept, *_ = disk.crashes(random.Random(1), 0)
    assert list((lost.restore(tmp_path / "lost")).iterdir()) == []
    assert (kept.restore(tmp_path / "kept") / "deep" / "a").read_bytes() == b""


def rows_after_crashes(start, log, folder):
    """Return the numbers of rows that the table t of a database has after crashes at the end."""
    found = set()
    for _, crash in crashes(start, log, [len(log)], seed=1, n_random=5):
        with closing(sqlite3.connect(crash.restore(folder / crash.digest.hex()) / "x.db")) as conn:
            found.add(conn.execute("SELECT count(*) FROM t").fetchone()[0])
    return found


def test_the_model_finds_a_commit_that_was_not_synced(tracer, tmp_path):
    code = (
        "import sqlite3, sys; conn = sqlite3.connect('x.db', isolation_level=None)\n"
        "conn.execute('PRAGMA synchronous = ' + sys.argv[1])\n"
        "conn.execute('INSERT INTO t VALUES (2)')"
    )
    found = {}
    for level in ("NORMAL", "FULL"):
        folder = tmp_path / level
        folder.mkdir()
        with closing(sqlite3.connect(folder / "x.db", isolation_level=None)) as conn:
            conn.execute("PRAGMA journal_mode = WAL")
            conn.execute("CREATE TABLE t (n INTEGER)")
        with open_elsewhere(folder / "x.db"):
            start = Disk(folder)
            log = traced(tracer, folder, [sys.executable, "-c", code, level])
            found[level] = rows_after_crashes(start, log, tmp_path / "after" / level)
    assert found == {"NORMAL": {0, 1}, "FULL": {1}}


# ---- commands ---------------------------------------------------------------------


def test_an_ingest_that_ended_is_on_the_disk_while_others_have_the_store(tracer, tmp_path):
    folder = tmp_path / "site"
    folder.mkdir()
    for name, user in (("a.csv", "u1"), ("b.csv", "u2")):
        with (folder / name).open("w") as file:
            rows = csv.writer(file)
            rows.writerow(("user_id", "article_id", "clicked_at"))
            for i in range(CLICKS):
                at = f"2026-03-01T{i // 3600:02}:{i // 60 % 60:02}:{i % 60:02}Z"
                rows.writerow((user, f"a{i % 50}", at))
    store = folder / "new" / "folder" / "s.db"
    ingest = (*COMMAND, "ingest", "--store", str(store))
    start = Disk(folder)
    log = traced(tracer, folder, [*ingest, "a.csv"])
    assert clicks_after_crashes(start, log, tmp_path / "first", store) == {CLICKS}
    with open_elsewhere(store):  # no checkpoint ends this ingest
        start = Disk(folder)
        log = traced(tracer, folder, [*ingest, "b.csv"])
        assert clicks_after_crashes(start, log, tmp_path / "second", store) == {2 * CLICKS}


@pytest.mark.slow
def test_an_ingest_that_ended_after_another_was_killed_is_on_the_disk(tracer, tmp_path):
    folder, store = tmp_path / "site", tmp_path / "site" / "new" / "folder" / "s.db"
    folder.mkdir()
    (folder / "a.csv").write_text("user_id,article_id,clicked_at\nu1,a1,2026-03-01T06:00:00Z\n")
    ingest = (*COMMAND, "ingest", "a.csv", "--store", str(store))
    log = traced(tracer, folder, ingest)
    of_store = next(e.fields[0] for e in log if e.what == "C" and e.fields[1].endswith("-wal"))
    commit = max(i for i, e in enumerate(log) if e.what == "W" and e.fields[0] == of_store)
    n_before = sum(point < commit for point in points(log))
    # Before it has waited for the two folders, and for the commit of the row.
    for dies_at in (1, 2, n_before + 1):
        shutil.rmtree(folder / "new", ignore_errors=True)
        start = Disk(folder)
        log = traced(tracer, folder, ingest, dies_at=dies_at)
        # The row may be in the log of the store by now. The next ingest then has none to add.
        with open_elsewhere(store) if store.exists() else nullcontext():
            log += traced(tracer, folder, ingest)
            found = clicks_after_crashes(start, log, tmp_path / f"killed {dies_at}", store)
        assert found == {1}, dies_at


def clicks_after_crashes(start, log, folder, store):
    """Return the numbers of clicks in a store after crashes at the end of a log."""
    found = set()
    for _, crash in crashes(start, log, [len(log)], seed=1, n_random=5):
        hurt = crash.restore(folder / crash.digest.hex())
        with closing(sqlite3.connect(hurt / store.relative_to(start.folder))) as conn:
            assert conn.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
            found.add(conn.execute("SELECT count(*) FROM clicks").fetchone()[0])
    return found


@pytest.fixture(scope="module")
def scenes(newsroom, tracer, tmp_path_factory):
    """Return by scene the newsroom before and after its command, the disk before it, its log."""
    found = {}

    def scene(name):
        if name not in found:
            before = staged(newsroom, name, tmp_path_factory.mktemp(name))
            after = copied(before, before.parent / "after")
            # A web server or another command may have the store open all the while.
            with open_elsewhere(after / "s.db"):
                start = Disk(after)
                log = traced(tracer, after, [*COMMAND, *SCENES[name].command])
            found[name] = before, after, start, log
        return found[name]

    return scene


def check_acknowledged(name, after, hurt):
    """After a command has ended, no crash takes back what it did."""
    if name == "forget":
        assert files_with(FORGOTTEN, hurt) == []
    assert content(hurt) == content(after)
    assert page_of(hurt) == page_of(after)
    assert rules_of(hurt) == rules_of(after)


def check_crashes(name, scene, at, tmp_path, n_random, most=None):
    """Check what crashes at some points leave, at most some of each point; return how many."""
    before, after, start, log = scene
    n, n_of_point = 0, dict.fromkeys(at, 0)
    for point, crash in crashes(start, log, at, seed=name, n_random=n_random):
        if n_of_point[point] == most:
            continue
        n_of_point[point], n = n_of_point[point] + 1, n + 1
        hurt = tmp_path / "hurt"
        shutil.rmtree(hurt, ignore_errors=True)
        crash.restore(hurt)
        if point == len(log):
            check_acknowledged(name, after, hurt)
        check(name, before, after, hurt)
    return n


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENES)
def test_a_crash_at_some_points(name, scenes, tmp_path, record_property):
    scene = scenes(name)
    all_points = points(scene[3])
    at = [all_points[i - 1] for i in spread(len(all_points), SOME + 1)]
    n = check_crashes(name, scene, at, tmp_path, n_random=0, most=1)
    assert n
    record_property(CRASHES, n)


@pytest.mark.long
@pytest.mark.parametrize("name", SCENES)
def test_a_crash_at_many_points(name, scenes, tmp_path, scale, record_property):
    scene = scenes(name)
    all_points = points(scene[3])
    n_points = min(MANY * scale, len(all_points))  # all of them at --scale 30
    at = [all_points[i - 1] for i in spread(len(all_points), n_points)]
    n = check_crashes(name, scene, at, tmp_path, n_random=scale - 1, most=1 + scale)
    record_property(CRASHES, n)


@pytest.mark.slow
def test_a_file_that_a_command_wrote_is_on_the_disk(newsroom, tracer, tmp_path):
    folder = copied(newsroom, tmp_path / "newsroom")
    well(folder, *SCENES["rules"].command)
    for name, command in (
        ("lists.csv", ("export", "--published", "p", "--to", "lists.csv")),
        ("rules.json", ("rules", "export", "--store", "s.db", "--published", "p")),
    ):
        command = command if "--to" in command else (*command, "--to", name)
        start = Disk(folder)
        log = traced(tracer, folder, [*COMMAND, *command])
        for _, crash in crashes(start, log, [len(log)], seed=name, n_random=3):
            assert crash.found[str(folder / name)] == (folder / name).read_bytes()
