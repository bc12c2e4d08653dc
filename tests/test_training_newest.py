import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.training.newest import FREE_PLACES, held_sources, in_turn, sources_of


def test_one_source_is_not_held():
    ages = np.array([3.0, 1.0, 1.0, 2.0])
    for shares in ([1.0], []):
        source = np.full(4, len(shares) - 1)
        assert in_turn(ages, source, np.array(shares)).tolist() == [1, 2, 3, 0]


def test_without_clicks_no_source_is_held():
    source = np.array([0, 0, 0, 1])
    assert in_turn(np.arange(4.0), source, np.zeros(2)).tolist() == [0, 1, 2, 3]


def test_a_source_has_one_place_and_its_share_of_the_others():
    source = np.array([0] * 6 + [1] * 6)  # source 0 has the six newest articles
    order = in_turn(np.arange(12.0), source, np.array([0.25, 0.75]))
    # Source 0 has 1 + n / 4 of the first n: the second at place 4, the third at 8, then 12.
    # Source 1 has 1 + 3 n / 4: never fewer than it needs here.
    assert source[order].tolist() == [0, 1, 1, 0, 1, 1, 1, 0, 1, 0, 0, 0]
    assert order[source[order] == 0].tolist() == [0, 1, 2, 3, 4, 5]


def test_articles_without_a_source_are_not_held():
    source = np.array([-1, -1, 0, 0, 1])
    assert in_turn(np.arange(5.0), source, np.array([0.0, 1.0])).tolist() == [0, 1, 2, 4, 3]


@settings(deadline=None)
@given(st.lists(st.integers(-1, 3), max_size=30), st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_every_article_comes_once_and_each_source_in_order_of_age(source, share):
    found = in_turn(np.arange(float(len(source))), np.array(source, dtype=int), np.array(share))
    assert sorted(found.tolist()) == list(range(len(source)))
    for of in range(-1, 4):
        own = [i for i in found.tolist() if source[i] == of]
        assert own == sorted(own)


def test_a_flood_of_one_source_has_one_of_the_first_places():
    source = np.array([0] * 1000 + [1] * 50)
    order = in_turn(np.arange(1050.0), source, np.array([0.0, 1.0]))
    assert (source[order[:50]] == 0).sum() == FREE_PLACES
    held = held_sources(order, np.arange(1050.0), source, ["flood.example", "news.example"], 6)
    assert held == [
        "flood.example has 6 of the 6 newest articles: more than its share of the clicks warrants,"
        " so some come later in lists of the latest"
    ]


@pytest.mark.parametrize("url", ["", "not an address", "http://[broken"])
def test_an_article_without_a_readable_address_has_no_source(url):
    source, hosts = sources_of([url, "https://news.example/1"])
    assert source.tolist() == [-1, 0]
    assert hosts == ["news.example"]
