"""Whole pages by hand: clicks, places, repeats, and the best fixed articles."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.evaluation.page_report import best_fixed, dealt, padded_pages, page_report

CLICKED = st.lists(st.sets(st.integers(0, 9), max_size=4), max_size=12)


def report(pages, relevant, story=None):
    n = len(pages)
    story = np.arange(10) if story is None else np.array(story)
    slots = {name: len(shown) for name, shown in pages[0].items()} if pages else {}
    pages = padded_pages(pages, slots)
    return page_report(pages, relevant, story, np.arange(n), np.zeros(n, dtype=np.int64))


def test_clicks_count_by_their_place_in_their_list():
    pages = [{"a": [0, 1], "b": [2, 3]}, {"a": [0, 1], "b": [2, 3]}]
    found = report(pages, [{1, 2, 9}, {9}])
    assert found["any_click"].mean == 0.5
    assert found["clicks"].mean == 1.0  # two and none
    # Article 1 has the second place, article 2 the first one of its list.
    assert found["weighted_clicks"].mean == pytest.approx((1 / math.log2(3) + 1) / 2)


def test_an_article_that_is_on_a_page_twice_counts_once_at_its_better_place():
    found = report([{"a": [5, 1], "b": [1]}], [{1}])
    assert (found["clicks"].mean, found["weighted_clicks"].mean) == (1.0, 1.0)
    assert found["redundancy"].mean == pytest.approx(1 / 3)


def test_redundancy_coverage_and_exposure_are_of_stories_and_articles():
    found = report([{"a": [0, 1], "b": [2]}], [set()], story=[7, 7, 8, 9])
    assert found["redundancy"].mean == pytest.approx(1 / 3)
    assert found["coverage"].mean == 0.75
    assert found["coverage"].low == found["coverage"].high == 0.75


def test_an_empty_slot_is_no_article():
    pages = {"a": np.array([[3, -1]]), "b": np.array([[-1, -1]])}
    found = page_report(pages, [{3, 9}], np.arange(10), np.zeros(1, int), np.zeros(1, int))
    assert (found["clicks"].mean, found["redundancy"].mean) == (1.0, 0.0)
    assert found["coverage"].mean == 0.1


def test_no_pages_have_no_figures():
    assert all(math.isnan(report([], [])[name].mean) for name in ("any_click", "clicks"))


def test_the_best_fixed_articles_reach_most_users_first():
    # Article 1 reaches three users; of the rest, 4 reaches one more, and 2 none.
    assert best_fixed([{1, 2}, {1, 2}, {1}, {4}], 3) == [1, 4, 2]
    assert best_fixed([{3}, {3}, set()], 5) == [3]
    assert best_fixed([], 5) == []


@given(CLICKED, st.integers(0, 6))
def test_the_first_best_fixed_article_is_the_most_clicked_and_none_is_chosen_twice(clicked, n):
    chosen = best_fixed(clicked, n)
    every = sorted(set().union(*clicked))
    assert len(chosen) == len(set(chosen)) == min(n, len(every))
    if chosen:
        count = {article: sum(article in of for of in clicked) for article in every}
        assert count[chosen[0]] == max(count.values())


def test_a_fixed_page_fills_first_places_first():
    assert dealt([7, 8, 9, 6], {"a": 2, "b": 1}) == {"a": [7, 9], "b": [8]}
    assert dealt([7], {"a": 2, "b": 1}) == {"a": [7], "b": []}
