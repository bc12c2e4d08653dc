import shutil

import pytest
from conftest import LISTS

from recsys import Recommender, SnapshotError
from recsys.operations.compare_runs import compare_runs
from recsys.published import folder as published_folder


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


def test_runs_that_serve_the_same_do_not_differ(by_hand, folder, sample):
    run_id = by_hand.report.run_id
    found = compare_runs(folder, run_id, run_id)
    assert found.is_same
    assert (found.added, found.removed, found.weights) == ([], [], {})
    assert found.n_users[0] == found.n_users[1] == found.n_compared > 0
    assert set(found.share_kept.values()) == {1.0}
    # The same night with learned weights: other weights and pages, the same articles.
    other = compare_runs(folder, run_id, sample.report.run_id, second_folder=sample.folder)
    assert not other.is_same
    assert (other.added, other.removed) == ([], [])
    assert {"als", "text"} <= set(other.weights)
    assert other.share_kept["you_may_also_like"] < 1.0


def test_what_changed_is_named(by_hand, folder, held):
    run_id = by_hand.report.run_id
    found = compare_runs(folder, run_id, held)
    now, later = Recommender(folder), None
    published_folder.publish(folder, held)
    later = Recommender(folder)
    live = [
        {r.run.articles[i].article_id for i in r.run.model.live.live_rows} for r in (now, later)
    ]
    assert live[0] == live[1] or now.run is not later.run
    assert set(found.removed) - set(found.added) == set(found.removed)
    assert len(found.removed) > 10
    page = later.recommend(as_of=by_hand.as_of)
    for name in LISTS:
        shown = [slot.article_id for slot in page[name]]
        assert set(shown) <= set(found.front_page[name][1])
