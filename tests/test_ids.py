"""One spelling of an id, whatever the type of the value."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys import hashed_user
from recsys.ids import MOST_CHARACTERS, spelled_id, usable_id


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


@pytest.mark.parametrize(
    ("text", "id_"),
    [
        ("a7", "a7"),
        ("\ufeff 7.00 ", "7"),
        ("-0.0", "0"),
        ("007.0", "007.0"),
        ("12e45", "12e45"),
        ("9007199254740991.0", "9007199254740991"),
        ("/2026/03/a b,c", "/2026/03/a b,c"),
        ("{110D559F}", "{110D559F}"),
        ("None", None),
        ("\u200b", None),
    ],
)
def test_a_text_of_a_file_holds_an_id_or_says_that_there_is_none(text, id_):
    assert usable_id(text) == id_


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x" * (MOST_CHARACTERS + 1), "too long"),
        ("a\x00", "control"),
        ("a\x9b1m", "control"),
        ("a\u202eb", "control"),
        ("a\ufffd", "unreadable"),
        ("\ud800b", "unreadable"),
        ("True", "true or false"),
        ("1.23457E+17", "rounded"),
        ("1e+22", "rounded"),
        ('{"id": 7}', "list or an object"),
        ("[7]", "list or an object"),
        ("[]", "list or an object"),
        ("9007199254740993000.0", "rounded"),
    ],
)
def test_a_text_that_cannot_be_an_id_is_refused(text, reason):
    with pytest.raises(ValueError, match=reason):
        usable_id(text)


@given(st.text() | st.integers())
def test_a_spelled_id_is_spelled_the_same_again(value):
    assert spelled_id(spelled_id(value)) == spelled_id(value)


def test_a_hash_is_that_of_the_spelled_id():
    key = b"sixteen bytes and more"
    assert hashed_user(7, key) == hashed_user(" 7 ", key) == hashed_user(np.int64(7), key)
    assert hashed_user("cafe\u0301", key) == hashed_user("caf\u00e9", key)
