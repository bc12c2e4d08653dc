"""Forgetting a user: no byte of the id is left in any file."""

import json
import shutil

import pytest
from conftest import BY_HAND, LISTS, RECEIVED_MS

from recsys import Recommender
from recsys.errors import RunActiveError
from recsys.files import locked
from recsys.ingest.load_files import load_files
from recsys.nightly.run import run_nightly
from recsys.operations.forget_user import forget_user
from recsys.published import folder as published_folder
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
        load_files(store, [tmp_path / "log.jsonl"], received_ms=RECEIVED_MS + 10_000)
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
    assert holding(tmp_path, b"u0007") == []

    # A running server no longer knows the user, and serves all others as before.
    assert ids(recommender.recommend("u0007", as_of=sample.as_of)) == ids(anonymous)
    assert ids(recommender.recommend(other, as_of=sample.as_of)) == before
    assert set(forget_user(store, folder, "u0007").rows.values()) == {0}
    run_nightly(store, folder, as_of_ms=to_ms(sample.as_of) + 3000, config=BY_HAND)
    assert holding(tmp_path, b"u0007") == []


def test_bytes_of_a_longer_id_are_reported_and_not_deleted(newsroom):
    store, folder = newsroom
    n_users = store.counts()["users"]
    found = forget_user(store, folder, "u000")
    assert found.rows["users"] == 0
    assert store.counts()["users"] == n_users
    assert found.left


def test_no_user_is_forgotten_while_a_run_is_active(newsroom):
    store, folder = newsroom
    with locked(folder), pytest.raises(RunActiveError):
        forget_user(store, folder, "u0007")
