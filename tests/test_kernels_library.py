"""Arrays that do not get past the boundary of the compiled code."""

import numpy as np
import pytest

from recsys.config import MOST_LISTS
from recsys.config_types import MOST_SLOTS
from recsys.kernels import clicks, text
from recsys.kernels.best import tops
from recsys.kernels.library import library, require_rows


def test_a_wrong_array_is_refused_before_it_is_read():
    with pytest.raises(ValueError, match="scores must be a contiguous array of type float32"):
        tops(np.zeros((2, 3)), 1)
    with pytest.raises(ValueError, match="numbered from 0"):
        clicks.one_of_pair(np.array([-1]), np.array([0]), first=True)
    with pytest.raises(ValueError, match="below 2"):
        clicks.one_of_pair(np.array([2**40]), np.array([0]), first=True)
    with pytest.raises(ValueError, match="start must rise"):
        text.heaviest(np.array([0, 9]), np.zeros(3, np.float32), 1)


def test_columns_of_a_row_must_ascend():
    start = np.array([0, 2])
    value = np.ones(2, np.float32)
    require_rows("m", (start, np.array([1, 3], np.int32), value), 1, 4)
    with pytest.raises(ValueError, match="ascend"):
        require_rows("m", (start, np.array([3, 1], np.int32), value), 1, 4)
    two = np.array([0, 1, 2])
    require_rows("m", (two, np.array([3, 1], np.int32), value), 2, 4)


def test_the_header_and_the_settings_allow_the_same():
    assert (library.MAX_LISTS, library.MAX_SLOTS) == (MOST_LISTS, MOST_SLOTS)
