import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.kernels import clicks


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=60), st.booleans())
def test_one_click_of_each_user_and_article_is_kept(pairs, first):
    kept = {}
    for i, pair in enumerate(pairs):
        if not (first and pair in kept):
            kept[pair] = i
    user, article = (np.array([p[c] for p in pairs], dtype=np.int64) for c in (0, 1))
    found = np.flatnonzero(clicks.one_of_pair(user, article, first=first))
    assert found.tolist() == sorted(kept.values())


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 10**8)), max_size=40))
def test_running_counts_are_sums_of_decayed_events(events):
    events = sorted(events)
    keys, ms = (np.array([e[c] for e in events], dtype=np.int64) for c in (0, 1))
    begins = np.append(True, keys[1:] != keys[:-1])[: len(keys)]
    found = clicks.running_counts(ms, begins, half_life_hours=3.0)
    for i, (key, at) in enumerate(events):
        plain = sum(2 ** (-(at - t) / 3_600_000 / 3.0) for k, t in events[: i + 1] if k == key)
        assert found[i] == pytest.approx(plain)
