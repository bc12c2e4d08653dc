from datetime import UTC, date, datetime

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.ids import usable_id
from recsys.ingest import columns


def series(values, dtype=None):
    return pl.Series("x", values, dtype=dtype)


def test_objects_and_nested_lists_become_json():
    instant = pl.Series([2**62], dtype=pl.Int64).cast(pl.Datetime("us"))  # beyond Python's years
    frame = pl.DataFrame({"name": ["Rail"], "at": instant, "raw": [b"x"]})
    column, is_wrong = columns.readable(frame.to_struct("x"))
    assert column.to_list() == [f'{{"name": "Rail", "at": {2**62}, "raw": "x"}}']
    assert is_wrong.to_list() == [False]
    column, _ = columns.readable(series([[{"name": "a"}, {"name": "b"}], None]))
    assert columns.name_lists("tags", column)[0].to_list() == [["a", "b"], []]


def test_bytes_and_categories_become_text_and_durations_cannot_be_read():
    column, is_wrong = columns.readable(series([b"caf\xc3\xa9", b"\xff", None]))
    assert column.to_list() == ["café", None, None]
    assert is_wrong.to_list() == [False, True, False]
    column, _ = columns.readable(series(["a"], pl.Categorical))
    assert column.dtype == pl.String
    assert columns.readable(series([1], pl.Duration("ms")))[1].to_list() == [True]


@pytest.mark.parametrize(
    ("column", "ids"),
    [
        (series(["a1", "a2", None]), ["a1", "a2", None]),
        (
            series(["a1", " a2", "cafe\u0301", "7.0", "", "NaN"]),
            ["a1", "a2", "café", "7", None, None],
        ),
        (series([7, None]), ["7", None]),
        (series([7.0, None, float("nan"), -0.0]), ["7", None, None, "0"]),
    ],
)
def test_ids_have_one_spelling_whatever_the_type_of_their_column(column, ids):
    found, problems = columns.ids(column)
    assert found.to_list() == ids
    assert problems.null_count() == len(ids)


@pytest.mark.parametrize(
    "column",
    [
        series([7.5]),
        series([2.0**53]),
        series([float("inf")]),
        series([True]),
        series([date(2026, 3, 2)]),
        series([datetime(2026, 3, 2, tzinfo=UTC)]),
        series(["x" * 513]),
        series(["a\x00"]),
    ],
)
def test_what_cannot_be_an_id_has_a_problem(column):
    found, problems = columns.ids(column)
    assert found.to_list() == [None]
    assert problems[0]


IDS = st.text(max_size=6) | st.text("0179.eE+-", max_size=6) | st.sampled_from(["null", "True"])


@settings(deadline=None, max_examples=300)
@given(st.lists(IDS.filter(lambda text: text.isascii() or text.encode("utf-8", "replace") != b"?")))
def test_whole_columns_and_single_texts_give_the_same_ids(texts):
    texts = [text.encode("utf-8", "ignore").decode() for text in texts]
    expected = []
    for text in texts:
        try:
            expected.append((usable_id(text), False))
        except ValueError:
            expected.append((None, True))
    found, problems = columns.ids(series(texts, pl.String))
    assert list(zip(found, problems.is_not_null(), strict=True)) == expected
    lists, list_problems = columns.id_lists(series([texts], pl.List(pl.String)))
    assert lists.to_list() == [[id_ for id_, _ in expected if id_ is not None]]
    assert (list_problems[0] is not None) == any(wrong for _, wrong in expected)


@pytest.mark.parametrize(
    ("column", "lists"),
    [
        (series(["a1 a2", "a3", "", None]), [["a1", "a2"], ["a3"], [], None]),
        (series(["['a1' 'a2']", "a3 a4"]), [["a1", "a2"], ["a3", "a4"]]),
        (series([["a1", None, "7.0"], [], None]), [["a1", "7"], [], None]),
        (series([[1, 2], None]), [["1", "2"], None]),
        (series([[1.0, None], [], None]), [["1"], [], None]),
        (series([[1, 2]], pl.Array(pl.Int64, 2)), [["1", "2"]]),
    ],
)
def test_lists_of_ids_are_read_from_lists_and_texts(column, lists):
    found, problems = columns.id_lists(columns.readable(column)[0])
    assert found.to_list() == lists
    assert problems.null_count() == len(lists)


@pytest.mark.parametrize("column", [series([[1.5]]), series([[True]]), series([7]), series(["{}"])])
def test_what_is_no_list_of_ids_has_a_problem(column):
    assert columns.id_lists(column)[1][0]


def test_numbers_are_finite_and_nan_is_none():
    found, is_wrong = columns.numbers(series([" 41.5", "nan", "inf", "long", "", None]))
    assert found.to_list() == [41.5, None, None, None, None, None]
    assert is_wrong.to_list() == [False, False, True, True, False, False]
    found, is_wrong = columns.numbers(series([1.0, float("nan"), float("-inf")]))
    assert found.to_list() == [1.0, None, None]
    assert is_wrong.to_list() == [False, False, True]
    assert columns.numbers(series([True]))[1].to_list() == [True]


def test_flags_are_words_numbers_and_letters():
    found, is_wrong = columns.flags(series(["TRUE", "0", "t", "no", "1.0", "", "NaN", "maybe"]))
    assert found.to_list() == [True, False, True, False, True, None, None, None]
    assert is_wrong.to_list() == [False] * 7 + [True]
    assert columns.flags(series([1, 0, 2]))[0].to_list() == [True, False, None]


def test_lists_of_numbers_are_finite():
    texts = series(["[0.1, 1]", "0.1 1", "[0.1 1.]", "", "[0.1, null]", "[nan]", "x"])
    found, is_wrong = columns.number_lists(texts)
    assert found.to_list() == [[0.1, 1.0]] * 3 + [None] * 4
    assert is_wrong.to_list() == [False] * 4 + [True] * 3
    found, is_wrong = columns.number_lists(series([[1.0, float("inf")], [2.0], [], None]))
    assert found.to_list() == [None, [2.0], None, None]
    assert is_wrong.to_list() == [True, False, False, False]
    found, is_wrong = columns.number_lists(series([[1e9, -1e9], [1.1e9], [1.0] * 3]), longest=2)
    assert found.to_list() == [[1e9, -1e9], None, None]
    assert is_wrong.to_list() == [False, True, True]
