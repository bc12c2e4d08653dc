"""Arguments of a call: values of numpy, polars and pandas; what is refused, with a remedy."""

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pandas as pd
import polars as pl
import pytest

from recsys import Recommender
from recsys.serving.arguments import ids_of, now_ms_of

IDS = ["a0031", "a0002"]
ITERABLES = [
    IDS,
    tuple(IDS),
    np.array(IDS),
    np.array(IDS, dtype=object),
    pl.Series(IDS),
    pl.Series(IDS, dtype=pl.Categorical),
    pd.Series(IDS),
    pd.Series(IDS, index=[7, 3]),
    pd.Index(IDS),
    pd.array(IDS, dtype="string"),
    dict.fromkeys(IDS).keys(),
]


@pytest.fixture(scope="module")
def ask(by_hand):
    recommender = Recommender(by_hand.folder)

    def page(**arguments):
        return recommender.recommend(**{"user_id": "u0007", "as_of": by_hand.as_of} | arguments)

    return page


@pytest.mark.parametrize("ids", ITERABLES, ids=lambda ids: type(ids).__module__)
def test_every_list_of_ids_is_read_in_its_order(ids):
    assert ids_of("exclude", ids) == IDS


def test_iterators_are_read_once_and_sets_in_order_of_text():
    assert ids_of("exclude", (id_ for id_ in IDS)) == IDS
    assert ids_of("exclude", set(IDS)) == ids_of("exclude", frozenset(IDS)) == sorted(IDS)
    assert ids_of("exclude", [7, np.int64(8), 9.0]) == ["7", "8", "9"]
    assert ids_of("exclude", []) == ids_of("exclude", np.array([])) == []


def test_pages_are_the_same_whatever_holds_the_ids(ask):
    plain = ask(recent_clicks=IDS, exclude=IDS[:1])
    assert plain != ask(recent_clicks=IDS[::-1], exclude=IDS[:1])  # their order counts
    for make in (np.array, pl.Series, pd.Series, iter):
        assert ask(recent_clicks=make(IDS), exclude=make(IDS[:1])) == plain
    assert ask(recent_clicks=IDS, exclude={IDS[0]}) == plain
    assert ask(user_id=np.str_("u0007"), article_id=np.array(["a0030"])[0]) == ask(
        article_id="a0030"
    )


def test_numbers_of_numpy_count_as_whole_numbers(ask):
    assert ask(n=np.int64(3)) == ask(n=pl.Series([3])[0]) == ask(n=pd.Series([3])[0]) == ask(n=3)
    assert ask(n={"must_reads": np.uint8(2)}) == ask(n={"must_reads": 2})
    drawn = ask(explore=np.float32(0.5), random_state=np.int64(5))
    assert drawn == ask(explore=0.5, random_state=5)
    assert ask(explore=np.int64(1), random_state=5) == ask(explore=1, random_state=5) != ask()
    assert ask(lists={"must_reads"}) == ask(lists=np.array(["must_reads"]))


def test_rank_takes_the_same_ids(by_hand):
    recommender = Recommender(by_hand.folder)
    plain = recommender.rank("u0007", IDS, as_of=by_hand.as_of)
    for make in (np.array, pl.Series, pd.Series, set):
        assert set(recommender.rank("u0007", make(IDS), as_of=by_hand.as_of)) == set(plain)
    unknown = recommender.rank(7, [7, 8], recent_clicks=np.array([7]), as_of=by_hand.as_of)
    assert {found.article_id for found in unknown} == {"7", "8"}
    with pytest.raises(ValueError, match=r"candidates must be distinct, got \['7'\] repeatedly"):
        recommender.rank(None, [7, "7"])
    assert recommender.article(np.str_("a0030"), as_of=by_hand.as_of).article_id == "a0030"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"user_id": b"u1"}, TypeError, "user_id must be an id .* or None"),
        ({"article_id": ["a1"]}, TypeError, "article_id must be an id"),
        ({"recent_clicks": "a1"}, TypeError, r"recent_clicks .* got one text: write \['a1'\]"),
        ({"exclude": "a1"}, TypeError, r"exclude .* got one text: write \['a1'\]"),
        ({"exclude": None}, TypeError, "exclude .* leave it out"),
        ({"exclude": 7}, TypeError, "exclude must be a list"),
        ({"exclude": b"a1"}, TypeError, "exclude must be a list"),
        ({"exclude": {"a1": 1}}, TypeError, "exclude must be a list"),
        ({"exclude": np.array([["a1"]])}, TypeError, "exclude must be a list"),
        ({"exclude": np.array("a1")}, TypeError, "exclude must be a list"),
        ({"exclude": pd.DataFrame({"id": ["a1"]})}, TypeError, "exclude must be a list"),
        ({"exclude": pl.DataFrame({"id": ["a1"]})}, TypeError, "exclude must"),
        ({"exclude": ["a1", None]}, TypeError, "exclude .* None at position 1; leave missing"),
        ({"exclude": pd.Series(["a1", None])}, TypeError, "exclude .* at position 1"),
        ({"exclude": [1.5]}, TypeError, "exclude must hold ids only"),
        ({"n": True}, ValueError, "n must be a whole number from 1 to 100"),
        ({"n": np.float64(5)}, ValueError, "n must be a whole number"),
        ({"n": 101}, ValueError, "n must be a whole number from 1 to 100.* got 101"),
        ({"n": {"must_reads": np.int64(0)}}, ValueError, "n must be"),
        ({"n": {"best": 1}}, ValueError, "n names"),
        ({"lists": "must_reads"}, ValueError, "lists must be some of"),
        ({"lists": 5}, ValueError, "lists must be some of"),
        ({"lists": ["best"]}, ValueError, "lists must be .* got \\['best'\\]"),
        ({"language": "German"}, ValueError, "language must be a code such as 'de' .* 'German'"),
        ({"language": 7}, ValueError, "language must be a code"),
        ({"explore": 1.5}, ValueError, "explore must be a chance from 0 to 1.* got 1.5"),
        ({"explore": True}, ValueError, "explore must be a chance"),
        ({"explore": "1"}, ValueError, "explore must be a chance"),
        ({"explore": np.nan}, ValueError, "explore must be a chance"),
        ({"explore": np.ones(2)}, ValueError, "explore must be a chance"),
        ({"explore": {"must_reads": -1}}, ValueError, "explore must be a chance"),
        ({"explore": {"best": 0.1}}, ValueError, r"explore names \['best'\]; lists: you_may"),
        ({"as_of": "2026-03-02"}, TypeError, "as_of must be a datetime"),
        ({"as_of": pd.NaT}, TypeError, "as_of must be a datetime"),
    ],
)
def test_a_wrong_argument_is_named_with_its_remedy(ask, arguments, error, message):
    with pytest.raises(error, match=message):
        ask(**arguments)


def test_instants_of_pandas_and_of_any_zone_are_taken():
    noon = datetime(2026, 3, 2, 12, tzinfo=UTC)
    expected = 1_772_452_800_000
    assert now_ms_of(noon) == now_ms_of(noon.replace(tzinfo=None)) == expected
    assert now_ms_of(noon.astimezone(timezone(timedelta(hours=9)))) == expected
    assert now_ms_of(pd.Timestamp(noon)) == expected
