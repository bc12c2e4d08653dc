import json

import numpy as np
import pytest
from conftest import LISTS, LOOKED, RECEIVED_MS, biased_log

from recsys import metrics
from recsys.evaluation import propensity
from recsys.learn.choice import Choices, CurveFit
from recsys.learn.impressions import POSITION, positions
from recsys.rows import HOUR_MS


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


def test_weighted_auc_agrees_with_plain_auc_and_with_counting_pairs():
    rng = np.random.default_rng(2)
    scores, clicked = rng.integers(0, 4, 60).astype(float), rng.random(60) < 0.3
    start = np.array([0, 7, 7, 20, 41, 60])
    plain = metrics.auc(metrics.judge(scores, clicked, start))
    same = metrics.weighted_auc(scores, clicked, start, np.full(60, 3.0))
    np.testing.assert_allclose(same, plain)
    weight = rng.uniform(0.5, 5, 60)
    found = metrics.weighted_auc(scores, clicked, start, weight)
    for i in range(5):
        rows = range(start[i], start[i + 1])
        pairs = [(p, q) for p in rows for q in rows if clicked[p] and not clicked[q]]
        won = sum(
            weight[p] * weight[q] * ((scores[p] > scores[q]) + (scores[p] == scores[q]) / 2)
            for p, q in pairs
        )
        if pairs:
            assert found[i] == pytest.approx(won / sum(weight[p] * weight[q] for p, q in pairs))
        else:
            assert np.isnan(found[i])


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


def test_a_fit_with_the_position_gives_other_features_less_credit():
    log = biased_log(6_000, np.random.default_rng(4))
    position = np.log1p(positions(log, LISTS).astype(float))
    appeal = log.article_key.astype(float)
    with_position = Choices({"appeal": appeal, POSITION: position}, log.clicked, log.start)
    without = Choices({"appeal": appeal}, log.clicked, log.start)
    slopes = [np.ptp(CurveFit(c).curves(1e6)["appeal"][1]) for c in (with_position, without)]
    # Better articles had higher positions: without the position, the curve of the appeal also
    # explains the clicks that the position brought.
    assert slopes[0] < slopes[1]


def test_logged_propensities_are_stored_and_wrong_ones_rejected(store, load):
    shown = {"user_id": "u", "shown": ["a", "b"], "clicked": ["b"], "source": "you_may_also_like"}
    rows = [
        shown | {"shown_at": RECEIVED_MS - HOUR_MS, "propensities": [1.0, 0.1]},
        shown | {"shown_at": RECEIVED_MS - 2 * HOUR_MS},
        shown | {"shown_at": RECEIVED_MS - 3 * HOUR_MS, "propensities": [1.0]},
        shown | {"shown_at": RECEIVED_MS - 4 * HOUR_MS, "propensities": [1.0, 0.0]},
    ]
    report = load({"i.jsonl": "".join(json.dumps(row) + "\n" for row in rows)})
    assert sum(report.rejected.values()) == 2
    assert {field for _, field in report.rejected} == {"propensities"}
    kept = store.impressions(from_ms=0, before_ms=RECEIVED_MS)
    assert kept.propensity.tolist() == [1.0, 1.0, 1.0, 0.1]  # oldest first
    assert kept.source == ["you_may_also_like"] * 2
    assert positions(kept, LISTS).tolist() == [1, 2, 1, 2]
