"""Full disks, read-only folders, damaged files, locks, clocks: one line, and the next run works."""

import ctypes
import os
import random
import resource
import shutil
import sqlite3
import subprocess
from contextlib import closing

import pytest
from newsroom import (
    AS_OF,
    BOTH,
    COMMAND,
    NIGHT,
    STORE,
    at,
    content,
    copied,
    left_over,
    page_of,
    run,
    served,
    well,
)
from scenes import INGEST

from recsys import Recommender, SnapshotError
from recsys.published import connection, user_rows
from recsys.published import folder as published_folder

pytestmark = pytest.mark.slow
FLIPS = 60
READERS = ("u0007", "u0100", "u0555", "unknown")


@pytest.fixture
def hurt(newsroom, tmp_path):
    return copied(newsroom, tmp_path / "hurt")


def one_line(done, status=1):
    assert done.status == status, done
    # The lines of the log begin with a time.
    (line,) = [line for line in done.said.splitlines() if not line.startswith("20")]
    return line


@pytest.mark.parametrize("command", [INGEST, (*NIGHT, at(2)), ("refresh", *BOTH, "--as-of", at(2))])
def test_a_full_disk_costs_one_run(newsroom, hurt, command):
    kilobytes = (0, 40, 4000) if command[0] == "ingest" else (100, 2000)
    before = content(newsroom)
    for size in kilobytes:

        def full(size=size):  # every file may grow so far and no farther
            resource.setrlimit(resource.RLIMIT_FSIZE, (size << 10, size << 10))

        done = run(hurt, *command, preexec_fn=full)
        if not done.status:
            break
        one_line(done)
        after = content(hurt)
        assert all(set(before[table]) <= set(after[table]) for table in before)
        assert page_of(hurt) == page_of(newsroom)
    assert size > kilobytes[0]  # the first was too little
    well(hurt, *INGEST)
    well(hurt, *NIGHT, at(3))
    assert left_over(hurt) == []


def test_a_folder_that_may_not_be_written_to_is_one_line(newsroom, hurt):
    def without_roots_right():  # root may write anywhere but for this capability
        ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)  # PR_CAPBSET_DROP, CAP_DAC_OVERRIDE

    (hurt / "p").chmod(0o555)
    try:
        said = one_line(run(hurt, *NIGHT, at(2), preexec_fn=without_roots_right))
        assert "Permission denied" in said or "unable to open" in said
        assert page_of(hurt) == page_of(newsroom)
    finally:
        (hurt / "p").chmod(0o755)
    well(hurt, *NIGHT, at(2))


def test_a_file_where_a_folder_should_be_is_one_line(hurt):
    shutil.rmtree(hurt / "p")
    (hurt / "p").write_text("a file")
    one_line(run(hurt, *NIGHT, at(2)))


def test_a_store_that_is_none_or_newer_is_one_line(newsroom, hurt):
    (hurt / "s.db").write_bytes(b"no database at all" * 100)
    assert "not a database" in one_line(run(hurt, *NIGHT, at(2)))
    shutil.copy(newsroom / "s.db", hurt / "s.db")
    with closing(sqlite3.connect(hurt / "s.db")) as conn:
        conn.execute("PRAGMA user_version = 99")
    for command in (INGEST, (*NIGHT, at(2))):
        assert "upgrade recsys" in one_line(run(hurt, *command))
    assert page_of(hurt) == page_of(newsroom)


def test_a_damaged_store_is_one_line_and_the_page_stays(newsroom, hurt):
    data = bytearray((hurt / "s.db").read_bytes())
    for place in range(4096, len(data), 4096):  # every page but the first
        data[place : place + 64] = b"\xff" * 64
    (hurt / "s.db").write_bytes(bytes(data))
    one_line(run(hurt, *NIGHT, at(2)))
    assert page_of(hurt) == page_of(newsroom)


# This takes half a minute: so long a writer waits for another.
def test_a_store_another_process_holds_is_one_line(newsroom, hurt):
    with closing(sqlite3.connect(hurt / "s.db", isolation_level=None)) as conn:
        conn.execute("BEGIN EXCLUSIVE")
        conn.execute("DELETE FROM clicks")
        said = one_line(run(hurt, "ingest", "later.clicks.csv", *STORE))
        assert "locked" in said
        assert page_of(hurt) == page_of(newsroom)
        conn.execute("ROLLBACK")
    well(hurt, "ingest", "later.clicks.csv", *STORE)


def answers(folder):
    """Return what a server that starts now says to some readers; and that it says why."""
    recommender = Recommender(folder / "p")
    pages = {}
    for user in READERS:
        page = recommender.recommend(user, "a0030", as_of=AS_OF)
        pages[user] = [page.run_id, *(s.article_id for slots in page.values() for s in slots)]
    return pages, recommender.health(as_of=AS_OF).problems


def test_flipped_and_missing_bytes_never_reach_a_page(newsroom, hurt, record_property):
    runs = published_folder.run_ids(hurt / "p")
    path = published_folder.run_path(hurt / "p", runs[-1])
    whole, _ = answers(newsroom)
    published_folder.publish(hurt / "p", runs[0])
    earlier, _ = answers(hurt)
    published_folder.publish(hurt / "p", runs[-1])
    data, rng = path.read_bytes(), random.Random(7)
    damages = [data[: rng.randrange(len(data))] for _ in range(FLIPS // 4)]
    for _ in range(FLIPS):
        flipped = bytearray(data)
        for _ in range(rng.choice((1, 1, 64))):
            flipped[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        damages.append(bytes(flipped))
    n_fell_back = 0
    for damaged in damages:
        path.unlink()
        path.write_bytes(damaged)
        pages, problems = answers(hurt)
        for user, page in pages.items():
            # The page, or that of the run before, or the anonymous one where a user's row is hurt.
            assert page in (whole[user], earlier[user], whole["unknown"]), user
            if page != whole[user] and page[0] != earlier[user][0]:
                continue
            n_fell_back += page[0] == earlier[user][0]
            assert problems or page == whole[user]
    assert n_fell_back
    record_property("runs with bytes flipped or missing", len(damages))
    # What the night publishes next is whole again.
    well(hurt, *NIGHT, at(2))
    assert answers(hurt)[1] == ()


def test_a_damaged_run_is_not_published(hurt):
    runs = published_folder.run_ids(hurt / "p")
    path = published_folder.run_path(hurt / "p", runs[0])
    data = bytearray(path.read_bytes())
    with closing(connection.connect(path)) as conn:
        profile = user_rows.find_profile(conn, "u0007", path)[0]
    data[data.find(profile[:40]) + 30] ^= 1  # one bit, of one reader
    path.write_bytes(bytes(data))
    assert "damaged" in one_line(run(hurt, "rollback", "--published", "p"))
    assert published_folder.current_run(hurt / "p") == runs[-1]
    with closing(connection.connect(path)) as conn, pytest.raises(SnapshotError, match="user"):
        user_rows.find_profile(conn, "u0007", path)


@pytest.mark.parametrize("pointer", [None, b"", b"000009-never", b"\xff\xfe", b"../../etc/passwd"])
def test_a_pointer_that_is_lost_or_wrong_stops_no_page(newsroom, hurt, pointer):
    path = hurt / "p" / published_folder.POINTER
    path.unlink()
    if pointer is not None:
        path.write_bytes(pointer)
    pages, problems = answers(hurt)
    assert pages == answers(newsroom)[0]
    assert problems
    running = Recommender(newsroom / "p")
    assert running.health(as_of=AS_OF).problems == ()
    well(hurt, "rollback", published_folder.run_ids(hurt / "p")[-1], "--published", "p")
    assert answers(hurt)[1] == ()


def test_a_run_of_a_newer_version_is_left_to_newer_servers(newsroom, hurt):
    runs = published_folder.run_ids(hurt / "p")
    running = Recommender(hurt / "p")
    path = published_folder.run_path(hurt / "p", "000099-20260303T060000Z")
    shutil.copy(published_folder.run_path(hurt / "p", runs[-1]), path)
    with closing(sqlite3.connect(path)) as conn, conn:
        conn.execute("UPDATE meta SET value = '99' WHERE key = 'format'")
    (hurt / "p" / published_folder.POINTER).write_text(path.stem)
    for recommender in (running, Recommender(hurt / "p")):
        assert recommender.recommend("u0007", as_of=AS_OF).run_id == runs[-1]
        assert "format 99" in recommender.health(as_of=AS_OF).problems[0]


def test_a_clock_that_goes_back_publishes_nothing_and_loses_nothing(newsroom, hurt):
    said = one_line(run(hurt, *NIGHT, at(-24)), status=3)
    assert "clock" in said
    assert page_of(hurt) == page_of(newsroom)
    well(hurt, *NIGHT, at(2))


def test_two_nights_at_once_are_one_and_another_time(hurt):
    nights = [
        subprocess.Popen(
            [*COMMAND, *NIGHT, at(2)],
            cwd=hurt,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            encoding="utf-8",
        )
        for _ in range(3)
    ]
    said = [night.communicate()[1] for night in nights]
    statuses = sorted(night.returncode for night in nights)
    assert statuses[0] == 0
    assert set(statuses) <= {0, 4}
    assert all(
        "another run is active" in s for s, n in zip(said, nights, strict=True) if n.returncode == 4
    )
    assert len(published_folder.run_ids(hurt / "p")) == 2 + statuses.count(0)
    assert left_over(hurt) == []


def test_a_run_is_the_same_on_any_number_of_threads_and_again(newsroom, hurt, tmp_path):
    well(hurt, *NIGHT, at(2))
    expected = served(hurt)
    for threads in ("1", "3"):
        again = copied(newsroom, tmp_path / f"on {threads}")
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")
        env = os.environ | dict.fromkeys(names, threads)
        assert run(again, *NIGHT, at(2), env=env).status == 0
        assert served(again) == expected
