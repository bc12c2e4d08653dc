import numpy as np
import pytest
from conftest import LISTS, LOOKED, biased_log

from recsys import metrics
from recsys.evaluation import propensity
from recsys.training.examination import positions


def test_planted_position_bias_is_found_although_better_articles_have_higher_positions():
    log = biased_log(20_000, np.random.default_rng(1))
    found = propensity.position_propensities(log, LISTS)
    assert found[1:] == pytest.approx(LOOKED[1:], abs=0.03)
    naive = log.clicked.reshape(-1, 4).mean(axis=0)
    assert naive[3] / naive[0] < 0.2  # the click rates alone overstate the bias


def test_a_log_of_other_sources_has_no_positions():
    log = biased_log(100, np.random.default_rng(1), source="mind")
    assert not positions(log, LISTS).any()
    assert propensity.position_propensities(log, LISTS).tolist() == [1.0]


def test_weights_are_inverse_chances_with_a_bound():
    position, clicked = np.array([1, 3, 3, 0]), np.array([True, True, False, True])
    chance = np.array([1.0, 1.0, 0.6, 0.4])
    found = propensity.weights(position, clicked, np.array([1.0, 1.0, 0.1, 0.001]), chance)
    assert found == pytest.approx([1.0, 1 / 0.4, 1 / 0.1, 1 / propensity.MIN_CHANCE])


def test_weights_prefer_appealing_articles_to_those_that_were_shown_first():
    log = biased_log(20_000, np.random.default_rng(3))
    chance, position = propensity.position_propensities(log, LISTS), positions(log, LISTS)
    weight = propensity.weights(position, log.clicked, log.propensity, chance)
    user = np.arange(len(log.start) - 1)

    def lead(w):
        """Return the AUC of the order by true appeal less that of the order as shown."""
        clicks = np.add.reduceat(w * log.clicked, log.start[:-1])
        by_appeal, as_shown = (
            metrics.bootstrap(
                metrics.weighted_auc(scores.astype(float), log.clicked, log.start, w),
                user,
                weight=clicks,
                n_resamples=10,
            ).mean
            for scores in (log.article_key, -position)
        )
        return by_appeal - as_shown

    # Without weights, the position bias makes the order as shown look better.
    assert lead(np.ones_like(weight)) < 0 < 0.02 < lead(weight)
