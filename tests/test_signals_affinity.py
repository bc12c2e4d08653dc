import math

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from recsys.signals import affinity


def test_affinity_agrees_with_hand_arithmetic():
    items = csr_matrix(np.array([[1, 1, 0], [0, 0, 2], [0, 0, 0]], dtype=np.float32))
    found = affinity.category_affinity(items, np.array([0, 0, 1]), n_categories=3)
    # Both sections have half of all clicks; user 0 in section 0: (2 + 2.5) / (2 + 5) / .5.
    assert found[0] == pytest.approx([math.log(4.5 / 7 / 0.5), math.log(2.5 / 7 / 0.5), 0.0])
    assert found[2].tolist() == [0.0, 0.0, 0.0]
