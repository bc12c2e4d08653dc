"""Topics of small newsrooms, whose articles are as similar as each test says."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from recsys.training.topics import LEAST_CLOSENESS, PAIRS_OF_DOUBT, topics_of


def topics(titles, cosine, *, summaries=None, tags=None, live=None):
    """Return the topics of articles of which each pair has the same cosine."""
    live = np.arange(len(titles)) if live is None else np.array(live)
    similar = np.full((len(titles), len(live)), cosine)
    similar[live, np.arange(len(live))] = 0.0  # an article is none of its own similar ones
    return topics_of(
        titles,
        summaries or [""] * len(titles),
        tags or [""] * len(titles),
        similar=csr_matrix(similar),
        live_rows=live,
    )


def test_a_topic_is_a_phrase_that_similar_articles_share():
    titles = ["Coal exit: who pays", "Miners fear the coal exit", "A new opera house"]
    assert topics(titles, 0.5) == [["coal exit"], ["coal exit"], []]


@pytest.mark.parametrize("away", [-0.01, 0.01])
def test_articles_that_share_a_phrase_must_be_alike(away):
    # Two articles are two pairs; closeness is 2 x cosine / (2 + PAIRS_OF_DOUBT).
    least = LEAST_CLOSENESS * (2 + PAIRS_OF_DOUBT) / 2
    found = topics(["Coal exit now", "A late coal exit"], least + away)
    assert found == ([["coal exit"]] * 2 if away > 0 else [[], []])


def test_a_single_word_is_a_topic_if_it_is_written_as_a_name():
    titles = ["What Norhaven wants", "Why Norhaven waits", "Storms and rain", "Here storms again"]
    assert topics(titles, 0.9) == [["Norhaven"], ["Norhaven"], [], []]


def test_months_and_numbers_and_clauses_make_no_topic():
    titles = ["Rain in March, wind", "The March of rain", "In 2026: wind, rain", "Late 2026 wind"]
    assert all("March" not in found for found in topics(titles, 0.9))
    assert all("2026" not in " ".join(found) for found in topics(titles, 0.9))
    assert topics(["Coal, exit and more", "Late coal, exit again"], 0.9) == [[], []]


def test_a_tag_is_a_topic_in_its_most_frequent_spelling():
    tags = ["Harbour tunnel\nroads", "harbour tunnel", "harbour tunnel", "Opera"]
    found = topics(["One", "Two", "Three", "Four"], 0.5, tags=tags)
    assert found == [["harbour tunnel"]] * 3 + [[]]


def test_what_most_articles_share_is_no_topic():
    titles = [f"{word} coal exit" for word in "abcdefghijkl"]
    assert topics(titles[:10], 0.5) == [["coal exit"]] * 10
    assert topics(titles, 0.5) == [[]] * 12


def test_summaries_count_and_articles_that_are_not_live_have_topics():
    summaries = ["Ruth Aldana yields.", "Again Ruth Aldana speaks", ""]
    found = topics(["One", "Two", "Three"], 0.9, summaries=summaries, live=[1, 2])
    assert found == [["Ruth Aldana"], ["Ruth Aldana"], []]


def test_scripts_without_capitals_have_phrases_and_those_without_blanks_tags_only():
    assert topics(["새 석탄 퇴출 계획", "늦은 석탄 퇴출"], 0.9)[1] == []  # words of one character
    titles = ["정부의 에너지전환 기본계획", "새로운 에너지전환 기본계획"]
    assert topics(titles, 0.9) == [["에너지전환 기본계획"]] * 2
    assert topics(["王室の新しい城", "王室の古い城"], 0.9, tags=["王室"] * 2) == [["王室"]] * 2


def test_no_articles_have_no_topics():
    assert topics([], 0.0) == []
