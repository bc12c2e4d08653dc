"""Forgetting a user: no byte of the id is left in any file."""

import json
import os
import shutil
import threading
from contextlib import closing, suppress

import pytest
from conftest import BY_HAND, LISTS, RECEIVED_MS

from recsys import Recommender
from recsys.errors import RunActiveError
from recsys.files import locked
from recsys.ingest.detect import expand
from recsys.ingest.load_files import load_files
from recsys.nightly.run import run_nightly
from recsys.operations.forget_user import forget_user
from recsys.published import folder as published_folder
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
    assert (found.n_runs, found.left) == (2, {})
    assert found.unread == []
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
    assert forget_user(store, folder, "u0011").n_runs == 1
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
    assert found.n_runs == 1
    assert [current in problem for problem in found.unread] == [True]
    assert ids(recommender.recommend("u0011", as_of=sample.as_of)) == anonymous
    assert len(recommender.health(as_of=sample.as_of).problems) == 1


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
