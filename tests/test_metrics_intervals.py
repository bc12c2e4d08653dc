import math

import numpy as np
import pytest

from recsys import metrics


def test_the_interval_of_a_constant_is_the_constant():
    assert metrics.bootstrap(np.ones(9), np.arange(9)) == metrics.Interval(1.0, 1.0, 1.0)


def test_clustered_intervals_are_wider_than_unclustered_ones():
    rng = np.random.default_rng(0)
    cluster = np.repeat(np.arange(40), 25)
    values = np.repeat(rng.normal(size=40), 25)
    clustered = metrics.bootstrap(values, cluster)
    unclustered = metrics.bootstrap(values, np.arange(1000))
    assert clustered.high - clustered.low > 3 * (unclustered.high - unclustered.low)
    assert clustered.low < clustered.mean < clustered.high
    # The standard error of 40 independent means: 1.96 x std / sqrt(40) each way.
    width = 2 * 1.96 * values.std() / math.sqrt(40)
    assert clustered.high - clustered.low == pytest.approx(width, rel=0.15)
