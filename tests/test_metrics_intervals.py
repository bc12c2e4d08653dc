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


def test_values_of_one_moment_move_together_where_moments_are_resampled_too():
    rng = np.random.default_rng(0)
    user, moment = np.repeat(np.arange(50), 20), np.tile(np.arange(20), 50)
    values = rng.normal(size=20)[moment]  # users do not differ at all
    of_users = metrics.bootstrap(values, user)
    assert of_users.low == pytest.approx(of_users.high)
    crossed = metrics.bootstrap(values, user, crossed=moment)
    width = 2 * 1.96 * values.std() / math.sqrt(20)
    assert crossed.high - crossed.low == pytest.approx(width, rel=0.2)
    assert crossed.mean == pytest.approx(of_users.mean)


def test_one_moment_is_as_none_and_the_order_of_clusters_does_not_matter():
    rng = np.random.default_rng(1)
    values, user = rng.normal(size=60), rng.integers(0, 9, size=60)
    one = np.full(60, 3)
    assert metrics.bootstrap(values, user, crossed=one) == metrics.bootstrap(values, user)
    values[0] = np.nan  # is left out, with its clusters
    assert metrics.bootstrap(values, user, crossed=one) == metrics.bootstrap(values[1:], user[1:])


def test_a_sample_that_draws_no_value_is_left_out():
    # Two values, each alone in its user and moment: half of the samples draw neither or one.
    found = metrics.bootstrap(np.array([0.0, 1.0]), np.arange(2), crossed=np.arange(2))
    assert (found.mean, found.low, found.high) == (0.5, 0.0, 1.0)
