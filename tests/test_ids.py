"""One spelling of an id, whatever the type of the value."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys import hashed_user
from recsys.ids import MOST_CHARACTERS, spelled_id


@pytest.mark.parametrize(
    ("value", "spelled"),
    [
        ("a7", "a7"),
        (" a7\t", "a7"),
        ("7.0", "7"),
        ("\ufeffa7\u200b", "a7"),
        ("7.50", "7.50"),
        ("", ""),
        (np.str_("a7"), "a7"),
        (7, "7"),
        (-7, "-7"),
        (0, "0"),
        (np.int64(7), "7"),
        (np.uint8(200), "200"),
        (2**70, "1180591620717411303424"),
        (7.0, "7"),
        (np.float32(7), "7"),
        (2.0**53 - 1, "9007199254740991"),
        (pl.Series([7, None])[0], "7"),
        (pd.Series([7, None])[0], "7"),  # pandas has made it 7.0
        ("Cafe\u0301", "Caf\u00e9"),
        ("\u1112\u1161\u11ab", "\ud55c"),
        ("e\u0301" * (MOST_CHARACTERS // 2 + 1), "e\u0301" * (MOST_CHARACTERS // 2 + 1)),
        ("\ud800", "\ud800"),
    ],
)
def test_a_text_is_composed_and_a_whole_number_is_its_digits(value, spelled):
    found = spelled_id(value)
    assert (type(found), found) == (str, spelled)


@pytest.mark.parametrize(
    "value",
    [None, True, np.bool_(True), b"a7", 7.5, 2.0**53, np.nan, np.inf, pd.NA, pd.NaT, ["a7"], 1j]
    + [np.bytes_(b"a7"), np.datetime64("2026-03-02"), np.array(["a7"])],
)
def test_any_other_value_is_refused(value):
    with pytest.raises(TypeError, match="a text or a whole number"):
        spelled_id(value)


@given(st.text() | st.integers())
def test_a_spelled_id_is_spelled_the_same_again(value):
    assert spelled_id(spelled_id(value)) == spelled_id(value)


def test_a_hash_is_that_of_the_spelled_id():
    key = b"sixteen bytes and more"
    assert hashed_user(7, key) == hashed_user(" 7 ", key) == hashed_user(np.int64(7), key)
    assert hashed_user("cafe\u0301", key) == hashed_user("caf\u00e9", key)
