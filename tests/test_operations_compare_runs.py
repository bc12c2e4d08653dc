from conftest import LISTS

from recsys import Recommender
from recsys.operations.compare_runs import compare_runs
from recsys.published import folder as published_folder


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
