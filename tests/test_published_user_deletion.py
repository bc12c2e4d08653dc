import json
import shutil
import sqlite3
from contextlib import closing

import pytest

from recsys.id_search import IdSearch
from recsys.published import folder as published_folder
from recsys.published.connection import connect
from recsys.published.run_file import digest_of_about, read_about, verify
from recsys.published.user_deletion import exports, forget, note_exports


@pytest.fixture
def runs(sample, tmp_path):
    """A folder with a published run and a held one, of which the user is a bot in the second."""
    source = published_folder.run_path(sample.folder, sample.report.run_id)
    for path in (
        published_folder.run_path(tmp_path, "000001-x"),
        published_folder.held_path(tmp_path, "000002-x"),
    ):
        shutil.copy(source, path)
    with closing(connect(path)) as conn:
        about = read_about(conn, path)
    about["bots"] = ["jürgen", "u0007"]
    about["digest"] = digest_of_about(about)
    with closing(sqlite3.connect(path, isolation_level=None)) as conn:
        for key in ("bots", "digest"):
            conn.execute("UPDATE meta SET value = ? WHERE key = ?", (json.dumps(about[key]), key))
    (tmp_path / "current").write_text("000001-x\n")
    return tmp_path


def test_users_and_bots_are_deleted_from_published_and_held_runs(runs):
    found = {"000001-x.sqlite": 1, "000002-x.held": 2}
    n_deleted, unread = forget(runs, "u0007")
    assert (n_deleted, unread) == ({str(runs / name): n for name, n in found.items()}, [])
    assert forget(runs, "u0007") == ({}, [])
    for name in found:
        assert b"u0007" not in (runs / name).read_bytes()
        verify(runs / name)  # the digests are right again
    assert forget(runs, "jürgen")[0] == {str(runs / "000002-x.held"): 1}
    assert IdSearch(["jürgen"]).count([(runs / "000002-x.held").read_bytes()]) == (0, 0)


def test_a_run_that_cannot_be_read_is_named_and_the_others_go_on(runs):
    (runs / "000001-x.sqlite").write_bytes(b"damaged")
    n_deleted, unread = forget(runs, "u0008")
    assert [*n_deleted] == [str(runs / "000002-x.held")]
    assert ["000001-x.sqlite" in problem for problem in unread] == [True]


def test_exports_are_noted_once_with_their_whole_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert exports(tmp_path) == []
    for name in ("a.csv", "ü\n.csv", "a.csv"):
        note_exports(tmp_path, [tmp_path.relative_to(tmp_path) / name])
    assert exports(tmp_path) == [str(tmp_path / "a.csv"), str(tmp_path / "ü\n.csv")]
    with (tmp_path / published_folder.EXPORTS).open("a") as file:
        file.write("damaged\n7\n")
    assert len(exports(tmp_path)) == 2
