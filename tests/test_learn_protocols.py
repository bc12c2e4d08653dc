import numpy as np
import pytest

from recsys.learn.protocols import DAY_MS, PROTOCOLS, counted_until_ms, last_nightly_run_ms


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_no_event_counts_that_is_later_than_the_impression(protocol):
    shown_ms = np.random.default_rng(0).integers(0, 40 * DAY_MS, 500)
    run_ms = last_nightly_run_ms(shown_ms)
    assert ((run_ms <= shown_ms) & (run_ms > shown_ms - DAY_MS)).all()
    for as_of_ms in np.unique(run_ms).tolist():
        after = shown_ms[run_ms == as_of_ms]
        until_ms = counted_until_ms(after, protocol, as_of_ms)
        assert ((until_ms <= after) & (until_ms >= as_of_ms)).all()
