import shutil
from contextlib import closing

import msgspec
import pytest
from conftest import BY_HAND

from recsys import Recommender, SnapshotError
from recsys.config import PublishConfig
from recsys.nightly.run import run_nightly
from recsys.published import connection
from recsys.published import folder as published_folder
from recsys.rows import to_ms
from recsys.store.database import Store


def test_a_run_held_back_stands_apart_until_it_is_published(by_hand, folder, held):
    first = by_hand.report.run_id
    assert (published_folder.run_ids(folder), published_folder.run_ids(folder, ".held")) == (
        [first],
        [held],
    )
    assert published_folder.found_path(folder, held) == published_folder.held_path(folder, held)
    published_folder.publish(folder, held)
    assert published_folder.run_ids(folder) == [first, held]
    assert published_folder.run_ids(folder, ".held") == []
    assert Recommender(folder).recommend(as_of=by_hand.as_of).run_id == held


def test_old_runs_held_back_go_with_old_runs(folder, held):
    for number in range(3):
        copy = published_folder.held_path(folder, f"90000{number}-x")
        shutil.copy(published_folder.held_path(folder, held), copy)
    published_folder.prune(folder, 2)
    assert published_folder.run_ids(folder, ".held") == ["900001-x", "900002-x"]


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "", "a.b", "a\x00b", "a b"])
def test_what_is_no_name_of_a_run_is_no_path(folder, name):
    with pytest.raises(SnapshotError, match="is not the name of a run"):
        published_folder.run_path(folder, name)
    with pytest.raises(SnapshotError):
        published_folder.publish(folder, name)


def test_the_nightly_run_of_a_refresh_is_never_pruned(sample, tmp_path):
    config = msgspec.structs.replace(BY_HAND, publish=PublishConfig(keep_runs=1))
    at = to_ms(sample.as_of)
    with Store(sample.store) as store:
        runs = [
            run_nightly(store, tmp_path, as_of_ms=at, config=config, kind=kind).run_id
            for kind in ("nightly", "refresh", "refresh")
        ]
        assert published_folder.run_ids(tmp_path) == [runs[0], runs[2]]
        assert Recommender(tmp_path).recommend("u0007", as_of=sample.as_of)["must_reads"]
        published_folder.run_path(tmp_path, runs[0]).unlink()
        with pytest.raises(SnapshotError, match="not there any more"):
            published_folder.publish(tmp_path, runs[2])


def test_old_runs_are_pruned_but_never_the_current_one(sample, tmp_path):
    config = msgspec.structs.replace(BY_HAND, publish=PublishConfig(keep_runs=2))
    with Store(sample.store) as store:
        runs = [
            run_nightly(store, tmp_path, as_of_ms=to_ms(sample.as_of), config=config).run_id
            for _ in range(3)
        ]
    assert published_folder.run_ids(tmp_path) == runs[1:]
    published_folder.publish(tmp_path, runs[1])
    assert published_folder.prune(tmp_path, 1) == []
    assert published_folder.current_run(tmp_path) == runs[1]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT data FROM arrays WHERE name = 'factors'",
        "SELECT data FROM articles WHERE name = 'title'",
    ],
)
def test_a_damaged_run_is_never_made_current(query, sample, tmp_path):
    with Store(sample.store) as store:
        runs = [
            run_nightly(store, tmp_path, as_of_ms=to_ms(sample.as_of), config=BY_HAND).run_id
            for _ in range(2)
        ]
    path = published_folder.run_path(tmp_path, runs[0])
    data = bytearray(path.read_bytes())
    with closing(connection.connect(path)) as conn:
        offset = data.find(conn.execute(query).fetchone()[0][:64])
    data[offset + 8] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(SnapshotError, match="damaged"):
        published_folder.publish(tmp_path, runs[0])
    with pytest.raises(SnapshotError, match="no run 000009-never"):
        published_folder.publish(tmp_path, "000009-never")
    assert published_folder.current_run(tmp_path) == runs[1]


def test_a_pointer_that_is_not_signed_by_the_key_is_not_believed(tmp_path):
    for number in range(3):
        (tmp_path / f"00000{number}-x.sqlite").write_bytes(b"damaged")
    (tmp_path / "current").write_text("000000-x\n")
    assert published_folder.signed_current_run(tmp_path, None) == "000000-x"
    assert published_folder.signed_current_run(tmp_path, b"the key of the night") is None
    assert published_folder.prune(tmp_path, 1) == ["000001-x"]
    assert published_folder.prune(tmp_path, 1, b"the key of the night") == ["000000-x"]
