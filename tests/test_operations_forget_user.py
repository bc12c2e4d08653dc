"""Forgetting a user: no byte of the id is left in any file."""

import gzip
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing, suppress
from datetime import time
from decimal import Decimal

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import BY_HAND, LISTS, RECEIVED_MS

from recsys import Recommender
from recsys.errors import NotPublishedError, RunActiveError
from recsys.files import locked
from recsys.id_search import Found
from recsys.ingest.detect import expand
from recsys.ingest.load_files import load_files
from recsys.nightly.run import run_nightly
from recsys.operations.forget_user import forget_user
from recsys.published import folder as published_folder
from recsys.published import user_deletion
from recsys.published.connection import connect
from recsys.published.user_rows import find_profile
from recsys.rows import to_ms
from recsys.store.database import Store


def ids(page):
    return [[slot.article_id for slot in page[name]] for name in LISTS]


def holding(folder, wanted):
    """Return the names of the files that contain some bytes."""
    return [p.name for p in folder.rglob("*") if p.is_file() and wanted in p.read_bytes()]


@pytest.fixture
def newsroom(sample, tmp_path):
    """A store and two runs of it; the second is a refresh with new clicks of the user."""
    path, folder = tmp_path / "recsys.db", tmp_path / "published"
    shutil.copy(sample.store, path)
    folder.mkdir()
    night = published_folder.run_path(sample.folder, sample.report.run_id)
    shutil.copy(night, folder / night.name)
    published_folder.publish(folder, sample.report.run_id)
    wrong = {"user_id": "u0007", "article_id": "a0001", "clicked_at": "yesterday"}
    late = wrong | {"clicked_at": to_ms(sample.as_of) + 1000}
    (tmp_path / "log.jsonl").write_text(json.dumps(wrong) + "\n" + json.dumps(late) + "\n")
    with Store(path) as store:
        load_files(store, expand([tmp_path / "log.jsonl"]), received_ms=RECEIVED_MS + 10_000)
        run_nightly(
            store, folder, as_of_ms=to_ms(sample.as_of) + 2000, config=BY_HAND, kind="refresh"
        )
        (tmp_path / "log.jsonl").unlink()
        yield store, folder


def test_no_byte_of_a_forgotten_user_is_in_the_store_or_any_run(newsroom, sample, tmp_path):
    store, folder = newsroom
    recommender = Recommender(folder)
    anonymous, other = recommender.recommend(as_of=sample.as_of), "u0008"
    before = ids(recommender.recommend(other, as_of=sample.as_of))
    assert ids(recommender.recommend("u0007", as_of=sample.as_of)) != ids(anonymous)
    n_clicks = store.counts()["clicks"]
    assert len(holding(tmp_path, b"u0007")) >= 3  # the store, the night, the refresh

    found = forget_user(store, folder, "u0007")
    assert found.rows["users"] == 1
    assert found.rows["clicks"] == n_clicks - store.counts()["clicks"] > 0
    assert found.rows["impressions"] > 0
    assert found.rows["rejected_rows"] == 1
    assert (len(found.runs), found.left, found.problems) == (2, {}, [])
    assert holding(tmp_path, b"u0007") == []

    # A running server no longer knows the user, and serves all others as before.
    assert ids(recommender.recommend("u0007", as_of=sample.as_of)) == ids(anonymous)
    assert ids(recommender.recommend(other, as_of=sample.as_of)) == before
    assert set(forget_user(store, folder, "u0007").rows.values()) == {0}
    run_nightly(store, folder, as_of_ms=to_ms(sample.as_of) + 3000, config=BY_HAND)
    assert holding(tmp_path, b"u0007") == []


def test_a_user_of_the_base_run_alone_is_gone_from_a_running_server(newsroom, sample, tmp_path):
    store, folder = newsroom
    recommender = Recommender(folder)
    assert recommender.run.meta.base is not None
    anonymous = ids(recommender.recommend(as_of=sample.as_of))
    with closing(connect(recommender.run.paths[0])) as conn:
        assert find_profile(conn, "u0011", recommender.run.paths[0]) is None
    assert ids(recommender.recommend("u0011", as_of=sample.as_of)) != anonymous
    asked = threading.Event()
    done = threading.Event()

    def ask_once():
        recommender.recommend("u0012", as_of=sample.as_of)
        asked.set()
        done.wait(60)

    idle = threading.Thread(target=ask_once)
    idle.start()
    assert asked.wait(60)
    assert len(forget_user(store, folder, "u0011").runs) == 1
    assert ids(recommender.recommend("u0011", as_of=sample.as_of)) == anonymous
    # No thread keeps the files as they were, with the bytes of the id.
    open_files = []
    for fd in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the list of this folder was open itself
            open_files.append(os.readlink(f"/proc/self/fd/{fd}"))
    done.set()
    idle.join()
    assert not [path for path in open_files if str(folder) in path and "(deleted)" in path]


def test_a_server_of_an_earlier_run_forgets_too_while_the_current_one_is_damaged(
    newsroom, sample, tmp_path
):
    store, folder = newsroom
    current = published_folder.current_run(folder)
    published_folder.run_path(folder, current).write_bytes(b"damaged")
    recommender = Recommender(folder)
    assert recommender.run.meta.run_id == sample.report.run_id
    anonymous = ids(recommender.recommend(as_of=sample.as_of))
    assert ids(recommender.recommend("u0011", as_of=sample.as_of)) != anonymous
    found = forget_user(store, folder, "u0011")
    assert [*found.runs] == [str(published_folder.run_path(folder, sample.report.run_id))]
    assert [current in problem for problem in found.problems] == [True]
    assert ids(recommender.recommend("u0011", as_of=sample.as_of)) == anonymous
    assert len(recommender.health(as_of=sample.as_of).problems) == 1


def test_a_running_server_forgets_also_while_the_pointer_is_missing(newsroom, sample):
    store, folder = newsroom
    recommender = Recommender(folder)
    served = recommender.run.meta.run_id
    (folder / published_folder.POINTER).unlink()
    assert recommender.knows_user("u0011")
    forget_user(store, folder, "u0011")
    assert not recommender.knows_user("u0011")
    assert recommender.run is recommender.run  # opened once
    published_folder.publish(folder, sample.report.run_id)
    assert recommender.run.meta.run_id == sample.report.run_id != served


def test_what_a_killed_export_left_half_written_is_searched(newsroom, tmp_path):
    store, folder = newsroom
    user_deletion.note_exports(folder, [tmp_path / "pages.csv"])
    with (folder / published_folder.EXPORTS).open("a") as file:
        file.write('"/"\n"a\\u0000b"\n')  # no paths of files
    (tmp_path / ".pages.csv.partial").write_text("user_id\nu0007\n")
    found = forget_user(store, folder, "u0007")
    assert found.exports == {str(tmp_path / ".pages.csv.partial"): Found(1, 0)}
    assert str(tmp_path / "pages.csv") in found.missing
    assert not [path for path in found.missing if path.endswith(".partial")]


def test_columns_of_bytes_are_searched(newsroom, tmp_path):
    store, folder = newsroom
    name = b"u0007"
    tables = {
        "plain": {"a": [b"\xff u0007", None, b"u0007x"]},
        "list": {"a": [[name, None], None, [name]]},
        "struct": {"a": [{"b": name, "c": [{"d": "u0007"}]}, None]},
        "times": {"a": [time(1), None], "b": [b"", name], "c": [Decimal("1.5"), None]},
    }
    (tmp_path / "old").mkdir()
    for kind, columns in tables.items():
        pl.DataFrame(columns).write_parquet(tmp_path / "old" / kind)
    of_maps = pa.array([[("k", name)], None], pa.map_(pa.string(), pa.binary()))
    pq.write_table(pa.table({"a": of_maps}), tmp_path / "old" / "map")
    found = forget_user(store, folder, "u0007", also_search=[tmp_path / "old"])
    assert found.unsearched == []
    assert {os.path.basename(path): of for path, of in found.searched.items()} == {
        "plain": Found(1, 1),
        "list": Found(2, 0),
        "struct": Found(2, 0),
        "times": Found(1, 0),
        "map": Found(1, 0),
    }


def test_a_table_that_cannot_be_written_as_text_is_named(newsroom, tmp_path, monkeypatch):
    store, folder = newsroom
    pl.DataFrame({"a": ["u0007"]}).write_parquet(
        tmp_path / "a.parquet", compression="gzip", statistics=False
    )

    def panics(*_):
        raise pl.exceptions.PanicException("not implemented")

    monkeypatch.setattr(pl.DataFrame, "write_ndjson", panics)
    found = forget_user(store, folder, "u0007", also_search=[tmp_path / "a.parquet"])
    assert ["a.parquet: not implemented" in text for text in found.unsearched] == [True]


def test_what_is_no_regular_file_or_cannot_be_listed_is_named_and_not_waited_for(
    newsroom, tmp_path, monkeypatch
):
    store, folder = newsroom
    old, elsewhere = tmp_path / "old", tmp_path / "elsewhere"
    for path in (old / "closed", elsewhere):
        path.mkdir(parents=True)
        (path / "log").write_text("u0007")
    os.mkfifo(old / "pipe")
    (old / "device").symlink_to("/dev/zero")
    (old / "folder").symlink_to(elsewhere)
    (old / "file").symlink_to(elsewhere / "log")
    user_deletion.note_exports(folder, [old / "pipe"])
    scandir = os.scandir

    def closed(path="."):
        if os.fspath(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    found = forget_user(store, folder, "u0007", also_search=[old])
    assert found.searched == {str(old / "file"): Found(1, 0)}
    assert sorted(found.unsearched) == [
        f"{old / 'closed'}: Permission denied",
        f"{old / 'device'}: not a regular file",
        f"{old / 'folder'}: a link to a folder; name that folder by --search",
        f"{old / 'pipe'}: not a regular file",
    ]


def test_what_killed_runs_left_half_written_is_deleted(newsroom):
    store, folder = newsroom
    for name in ("000009-20260302T060000Z.partial", "000009-20260302T060000Z.partial-journal"):
        (folder / name).write_text("u0007")
    assert forget_user(store, folder, "u0007").left == {}


def test_bytes_of_a_longer_id_are_reported_and_not_deleted(newsroom):
    store, folder = newsroom
    n_users = store.counts()["users"]
    found = forget_user(store, folder, "u000")
    assert (found.rows["users"], found.is_found) == (0, False)
    assert store.counts()["users"] == n_users
    assert found.left


def test_no_user_is_forgotten_while_a_run_is_active(newsroom):
    store, folder = newsroom
    with locked(folder), pytest.raises(RunActiveError):
        forget_user(store, folder, "u0007")


def test_exports_and_files_of_events_that_still_have_the_id_are_named(newsroom, tmp_path):
    store, folder = newsroom
    outside = tmp_path / "outside"
    outside.mkdir()
    row = {"user_id": "j\u00fcrgen", "article_id": "a0001", "clicked_at": "2026-03-01T05:00:00Z"}
    with gzip.open(outside / "log.jsonl.gz", "wt") as file:
        file.write(json.dumps(row))
    pl.DataFrame([row | {"clicked_at": "2026-03-01T06:00:00Z"}]).write_parquet(
        outside / "log.parquet"
    )
    (outside / "log.csv").write_text(
        "user_id;article_id;clicked_at\nj\u00fcrgen;a0002;2026-03-01T07:00:00Z\n", "utf-16"
    )
    (outside / "none.csv").write_text(
        "user_id,article_id,clicked_at\nj\u00fcrgens,a0002,2026-03-01T07:00:00Z\n"
    )
    load_files(store, expand([outside]), received_ms=RECEIVED_MS + 10_000)
    (outside / "old").mkdir()
    (outside / "old" / "page.html").write_text("read by j&#252;rgen, j\u00fcrgen\n")
    (outside / "old" / "old.zip").write_bytes(b"PK\x03\x04 and so on")
    user_deletion.note_exports(folder, [outside / "gone.csv"])
    (outside / "lists.jsonl").write_text('{"user_id": "j\\u00fcrgen"}\n')
    user_deletion.note_exports(folder, [outside / "lists.jsonl"])
    found = forget_user(store, folder, "j\u00fcrgen", also_search=[outside / "old"])
    assert (found.rows["users"], found.rows["clicks"]) == (1, 3)
    assert found.event_files == {
        str(outside / "log.csv"): Found(1, 0),
        str(outside / "log.jsonl.gz"): Found(1, 0),
        str(outside / "log.parquet"): Found(1, 0),
        str(outside / "none.csv"): Found(0, 1),
    }
    assert found.exports == {str(outside / "lists.jsonl"): Found(1, 0)}
    assert found.searched == {str(outside / "old" / "page.html"): Found(1, 0)}
    assert found.missing == [str(outside / "gone.csv"), str(tmp_path / "log.jsonl")]
    assert ["old.zip" in text for text in found.unsearched] == [True]
    assert str(folder) not in found.other_folders


def test_a_folder_that_is_not_the_one_of_the_store_is_refused_and_others_are_named(
    newsroom, tmp_path
):
    store, folder = newsroom
    n_users = store.counts()["users"]
    with pytest.raises(NotPublishedError, match=f"no such folder.*{folder}"):
        forget_user(store, tmp_path / "publish", "u0007")
    assert store.counts()["users"] == n_users
    assert not (tmp_path / "publish").exists()
    (tmp_path / "other").mkdir()
    found = forget_user(store, tmp_path / "other", "u0007")
    assert (found.rows["users"], found.runs) == (1, {})
    assert str(folder) in found.other_folders
    again = forget_user(store, folder, "u0007")
    assert (again.rows["users"], len(again.runs), again.is_found) == (0, 2, True)


@pytest.mark.parametrize("user_id", ["", " ", "\udcff"])
def test_no_user_has_an_id_without_text(newsroom, user_id):
    store, folder = newsroom
    before = store.counts()
    with pytest.raises(ValueError, match="Unicode text that is not empty"):
        forget_user(store, folder, user_id)
    assert store.counts() == before


def test_a_store_in_use_is_a_problem_and_the_runs_forget_all_the_same(newsroom):
    store, folder = newsroom
    store._conn.execute("PRAGMA busy_timeout = 10")
    with closing(sqlite3.connect(store.path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM users").fetchall()
        found = forget_user(store, folder, "u0007")
    assert (found.rows["users"], len(found.runs)) == (1, 2)
    assert ["another process" in problem for problem in found.problems] == [True]


def test_servers_of_other_processes_and_threads_forget_while_they_serve(newsroom, sample):
    store, folder = newsroom
    code = (
        "import sys; from datetime import datetime; from recsys import Recommender\n"
        "r, at = Recommender(sys.argv[1]), datetime.fromisoformat(sys.argv[2])\n"
        "for _ in sys.stdin:\n"
        "    print(r.knows_user('u0011'), len(r.health(as_of=at).problems), flush=True)\n"
    )
    server = subprocess.Popen(
        [sys.executable, "-c", code, str(folder), sample.as_of.isoformat()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def asked():
        server.stdin.write("\n")
        server.stdin.flush()
        return server.stdout.readline()

    recommender, stop = Recommender(folder), threading.Event()
    known = []

    def ask():
        while not stop.is_set():
            known.append(recommender.knows_user("u0011"))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    try:
        assert asked() == "True 0\n"
        for thread in threads:
            thread.start()
        forget_user(store, folder, "u0011")
        assert not recommender.knows_user("u0011")
        assert asked() == "False 0\n"
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        server.communicate()
    assert known[0]
