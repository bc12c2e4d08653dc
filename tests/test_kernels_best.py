import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.kernels.best import tops


@settings(deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(1, 3000),
    st.integers(1, 300),
    st.sampled_from(["random", "rising", "falling", "few", "closed"]),
)
def test_the_best_are_those_of_a_plain_sort(seed, n_live, n, kind):
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(2, n_live)).astype(np.float32)
    if kind == "rising":
        scores.sort(axis=1)
    elif kind == "falling":
        scores = -np.sort(-scores, axis=1)
    elif kind == "few":
        scores = rng.integers(-1, 2, (2, n_live)).astype(np.float32) * np.float32(-0.0 + 1)
    elif kind == "closed":
        scores[rng.random(scores.shape) < 0.9] = -np.inf
    index, values = tops(scores, n)
    for row in range(2):
        order = sorted(range(n_live), key=lambda i: (-scores[row, i], i))
        best = [i for i in order if scores[row, i] > -np.inf][:n]
        found = index[row][index[row] >= 0].tolist()
        assert found == best
        np.testing.assert_array_equal(values[row][: len(best)], scores[row, best])


def test_minus_zero_is_zero_and_a_nan_is_never_chosen():
    scores = np.array([[np.nan, -0.0, 0.0, -1.0, np.inf]], dtype=np.float32)
    assert tops(scores, 5)[0].tolist() == [[1, 2, 3, -1, -1]]
