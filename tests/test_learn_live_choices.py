from conftest import RECEIVED_MS

from recsys.config import Config, LearnConfig
from recsys.learn.impressions import impression_features
from recsys.learn.live_choices import live_choices
from recsys.learn.past_runs import PastRuns
from recsys.learn.protocols import DAY_MS
from recsys.rows import HOUR_MS


def test_no_choice_is_later_than_the_given_instant(sample_store):
    begin, end = RECEIVED_MS - 2 * DAY_MS, RECEIVED_MS - DAY_MS
    past = PastRuns(sample_store, Config(learn=LearnConfig(days=1)))
    run = past.nightly(begin, end)
    clicks = sample_store.clicks(from_ms=begin, before_ms=begin + HOUR_MS)
    for choice in live_choices(past, run, before_ms=begin + HOUR_MS):
        assert choice.user_key in clicks.user_key
    shown = impression_features(
        past, run, "nightly", from_ms=begin, before_ms=end, max_impressions=50
    )
    assert len(shown.shown_ms) == 50
    assert (shown.shown_ms < end).all()
