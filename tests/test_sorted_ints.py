import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recsys import sorted_ints

INTEGERS = st.lists(st.one_of(st.integers(0, 9), st.integers(-(2**62), 2**62)), max_size=40)


@given(INTEGERS)
def test_distinct_values_and_counts_equal_those_of_numpy_unique(integers):
    values = np.array(integers, dtype=np.int64)
    distinct, counts = np.unique(values, return_counts=True)
    np.testing.assert_array_equal(sorted_ints.distinct(values), distinct)
    np.testing.assert_array_equal(sorted_ints.distinct_counts(values)[0], distinct)
    np.testing.assert_array_equal(sorted_ints.distinct_counts(values)[1], counts)


@given(INTEGERS)
def test_equal_slices_cover_a_sorted_array_with_one_value_each(integers):
    ordered = np.sort(np.array(integers, dtype=np.int64))
    parts = [ordered[part].tolist() for part in sorted_ints.equal_slices(ordered)]
    assert sum(parts, []) == ordered.tolist()
    assert [len(set(part)) for part in parts] == [1] * len(np.unique(ordered))


@given(st.integers(0, 2**31 - 1), st.integers(0, 2**32 - 1))
def test_a_pair_splits_into_the_numbers_it_was_made_of(user_key, other):
    pair = sorted_ints.make_pair(np.array([user_key]), np.array([other]))
    assert [part.tolist() for part in sorted_ints.split_pair(pair)] == [[user_key], [other]]
