import numpy as np
import pytest
from conftest import LISTS, LOOKED, biased_log

from recsys.config_types import MOST_SLOTS
from recsys.page.compose import examination_at, published_examination
from recsys.rows import UNKNOWN_TIME
from recsys.training import examination
from recsys.training.examination import estimate_examination, positions

NEVER = 10**9  # after every click of the logs here


def examination_of_lists(log, as_of_ms, **options):
    """Return the curves of a log of which everything counts, unless the options say otherwise."""
    every = np.ones(len(log.user_key), dtype=bool)
    options = {"counts": every, "known_keys": np.arange(8)} | options
    return examination.examination_of_lists(log, LISTS, as_of_ms, **options)


def test_a_planted_curve_is_found_for_the_list_that_has_it():
    log = biased_log(20_000, np.random.default_rng(2), source="must_reads")
    curves = examination_of_lists(log, NEVER)
    assert list(curves) == ["must_reads"]
    assert curves["must_reads"] == pytest.approx(LOOKED[1:], abs=0.03)


def test_few_clicks_leave_the_published_curve_almost_as_it_is():
    # Article 7 in the first and in the second position, twice each, and both clicks in the first.
    # Published, the second position is looked at 1 / log2(3) = .6309 as much as the first; with
    # 20 clicks of prior knowledge, it is (0 + 20 x .6309) / (2 + 20) = .5736.
    position, article = np.array([1, 2, 1, 2]), np.array([7, 7, 7, 7])
    clicked = np.array([True, False, True, False])
    assert estimate_examination(position, article, clicked) == pytest.approx(
        [1.0, 20 / np.log2(3) / 22]
    )


def test_articles_shown_in_one_position_alone_say_nothing():
    position, article = np.array([1, 2] * 50), np.array([1, 2] * 50)
    clicked = np.array([False, True] * 50)
    assert estimate_examination(position, article, clicked) == pytest.approx(
        published_examination(2)
    )


def test_a_curve_always_falls():
    # Each article once in each position; all clicks are in the second.
    position, article = np.array([1, 2] * 100), np.repeat(np.arange(100), 2)
    found = estimate_examination(position, article, position == 2)
    assert found.tolist() == [1.0, 0.99]


def test_clicks_that_were_not_made_yet_do_not_count():
    log = biased_log(3_000, np.random.default_rng(4))
    as_of_ms = 2_000
    before = examination_of_lists(log, as_of_ms)["you_may_also_like"]
    log.clicked[log.start[as_of_ms] :] = True  # clicks of 2,000 ms and later
    after = examination_of_lists(log, as_of_ms)["you_may_also_like"]
    assert before.tolist() == after.tolist()
    log.clicked_ms[as_of_ms:] = UNKNOWN_TIME  # now known to have been before
    known = examination_of_lists(log, as_of_ms)["you_may_also_like"]
    assert known.tolist() != after.tolist()


def test_only_the_newest_impressions_of_a_list_are_looked_at(monkeypatch):
    log = biased_log(2_000, np.random.default_rng(5))
    monkeypatch.setattr(examination, "MOST_IMPRESSIONS", 500)
    newest = log.start[-501]
    expected = estimate_examination(
        positions(log, LISTS)[newest:], log.article_key[newest:], log.clicked[newest:]
    )
    found = examination_of_lists(log, NEVER)["you_may_also_like"]
    assert found.tolist() == expected.tolist()


def test_a_log_of_other_sources_has_no_curves():
    log = biased_log(100, np.random.default_rng(1), source="mind")
    assert examination_of_lists(log, NEVER) == {}


def test_beyond_the_known_positions_a_curve_falls_as_the_published_one():
    # 1 / log2(4) = .5 and 1 / log2(3) = .6309: the third position gets .8 x .5 / .6309.
    found = examination_at(np.array([1.0, 0.8]), 3)
    assert found == pytest.approx([1.0, 0.8, 0.8 * 0.5 * np.log2(3)])
    assert examination_at(np.array([1.0, 0.8]), 1).tolist() == [1.0]


def test_a_user_counts_with_the_newest_few_impressions():
    log = biased_log(400, np.random.default_rng(6))
    log.user_key[:] = np.arange(400) % 20  # 20 impressions of each
    newest = positions(log, LISTS)[log.start[300] :], log.article_key[log.start[300] :]
    expected = estimate_examination(*newest, log.clicked[log.start[300] :])
    assert examination_of_lists(log, NEVER)["you_may_also_like"].tolist() == expected.tolist()


def test_impressions_that_do_not_count_and_unknown_articles_say_nothing():
    log = biased_log(400, np.random.default_rng(7))
    half = np.arange(400) < 200
    found = examination_of_lists(log, NEVER, counts=half)["you_may_also_like"]
    first = slice(0, log.start[200])
    expected = estimate_examination(
        positions(log, LISTS)[first], log.article_key[first], log.clicked[first]
    )
    assert found.tolist() == expected.tolist()
    assert examination_of_lists(log, NEVER, counts=~half & half) == {}
    assert examination_of_lists(log, NEVER, known_keys=np.array([9])) == {}


def test_the_longest_list_has_as_many_positions_as_a_list_may_have_slots():
    n = 10_000
    position, same = np.arange(1, n + 1), np.zeros(n, dtype=np.int64)
    # All clicks are in the first position: the curve falls as steeply as it may.
    curve = estimate_examination(position, same, position == 1)
    assert len(curve) == MOST_SLOTS
    assert curve.min() > 0
    assert (np.diff(curve) < 0).all()
