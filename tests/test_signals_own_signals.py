from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from recsys.errors import ConfigError
from recsys.rows import HOUR_MS
from recsys.signals.own_signals import from_table, own_values, require_new_names

AT_MS = np.array([0, 5, 9]) * HOUR_MS


def hour(n):
    return datetime(1970, 1, 1, n, tzinfo=UTC)


def test_a_function_gets_articles_and_instants_and_a_missing_number_is_0():
    seen = []

    def compute(rows):
        seen.append(rows.rows())
        return [1.5, None, float("nan")]

    found = own_values({"mood": compute}, ["a", "b", "a"], AT_MS)
    assert seen == [[("a", hour(0)), ("b", hour(5)), ("a", hour(9))]]
    assert found["mood"].tolist() == [1.5, 0.0, 0.0]


def test_a_value_of_a_table_counts_from_its_instant_on():
    table = pl.DataFrame(
        {"article_id": ["a", "a", "b"], "at": [hour(9), hour(4), hour(6)], "value": [3.0, 2.0, 7.0]}
    ).with_columns(pl.col("at").cast(pl.Datetime("ms", "UTC")))
    ids, at_ms = ["a", "a", "b", "b", "a"], np.array([9, 3, 5, 6, 8]) * HOUR_MS
    found = own_values({"mood": from_table(table, "mood")}, ids, at_ms)["mood"]
    assert found.tolist() == [3.0, 0.0, 0.0, 7.0, 2.0]


def test_a_table_without_instants_counts_always():
    table = pl.DataFrame({"article_id": ["b"], "value": [7.0]})
    found = own_values({"mood": from_table(table, "mood")}, ["a", "b", "b"], AT_MS)["mood"]
    assert found.tolist() == [0.0, 7.0, 7.0]


def test_two_values_of_an_article_are_refused():
    table = pl.DataFrame({"article_id": ["b", "b"], "value": [7.0, 8.0]})
    with pytest.raises(ConfigError, match="signal mood: two values of article 'b'"):
        from_table(table, "mood")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0], "signal mood: 3 numbers are needed, one for each row; got 1"),
        ([1.0, 2.0, float("inf")], "signal mood: a number is infinite"),
        (["x", "y", "z"], "signal mood: not a column of numbers"),
    ],
)
def test_what_a_function_returns_is_checked(values, message):
    with pytest.raises(ConfigError, match=message):
        own_values({"mood": lambda rows: values}, ["a", "b", "c"], AT_MS)


def test_names_are_new_and_plain():
    require_new_names({"mood": len}, {"text"})
    with pytest.raises(ConfigError, match="signal text: recsys has a signal or a system"):
        require_new_names({"text": len}, {"text"})
    with pytest.raises(ConfigError, match="got 'My mood'"):
        require_new_names({"My mood": len}, set())
