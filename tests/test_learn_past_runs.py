import numpy as np
from conftest import RECEIVED_MS

from recsys.config import Config, LearnConfig
from recsys.learn.impressions import impression_features
from recsys.learn.live_choices import live_choices
from recsys.learn.past_runs import PastRuns
from recsys.learn.protocols import DAY_MS
from recsys.rows import HOUR_MS
from recsys.training.window import sampled_users


def test_a_past_run_to_learn_from_is_trained_on_a_sample_of_users(sample_store):
    """Its refresh has the same sample, and choices are those of the sample alone."""
    begin = RECEIVED_MS - DAY_MS
    past = PastRuns(sample_store, Config(learn=LearnConfig(days=1, max_users=100)))
    whole, some = past.nightly(begin, begin), past.sampled_nightly(begin, begin + 1)
    one_in = some.window.sample_one_in
    assert one_in >= 2
    assert 20 < len(some.window.users) <= 100 < len(whole.window.users)
    keys = whole.window.users.keys
    assert some.window.users.keys.tolist() == keys[sampled_users(keys, one_in)].tolist()
    # The signals of articles still count the clicks of all users.
    for name, signal in whole.model.page.live.static.items():
        np.testing.assert_array_equal(some.model.page.live.static[name], signal)
    np.testing.assert_array_equal(some.window.live_rows, whole.window.live_rows)
    later = past.refresh(some, begin + 8 * HOUR_MS, begin + 8 * HOUR_MS)
    assert later.window.sample_one_in == one_in
    user_keys = np.array([c.user_key for c in live_choices(past, later, before_ms=RECEIVED_MS)])
    assert len(user_keys) >= 10
    assert sampled_users(user_keys, one_in).all()
    shown = impression_features(past, some, "nightly", from_ms=begin, before_ms=RECEIVED_MS)
    assert sampled_users(shown.user_key, one_in).all()


def test_a_run_with_few_users_is_not_sampled(sample_store):
    past = PastRuns(sample_store, Config(learn=LearnConfig(days=1)))
    begin = RECEIVED_MS - DAY_MS
    assert past.sampled_nightly(begin, begin) is past.nightly(begin, begin)
