import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recsys import sorted_ints

NUMBERS = st.lists(st.one_of(st.integers(0, 9), st.integers(-(2**62), 2**62)), max_size=40)


@given(NUMBERS)
def test_distinct_numbers_are_what_numpy_says(numbers):
    values = np.array(numbers, dtype=np.int64)
    distinct, counts = np.unique(values, return_counts=True)
    np.testing.assert_array_equal(sorted_ints.distinct(values), distinct)
    np.testing.assert_array_equal(sorted_ints.counted(values)[1], counts)
