import numpy as np
import pytest

from recsys.learn.choice import (
    ChoiceLikelihood,
    Choices,
    CurveFit,
    concatenate_choices,
    fit_weights,
)


def planted(utility, rng, features):
    """Return choices of one in eight alternatives, by utility plus Gumbel noise: a logit model."""
    n = len(utility) // 8
    value = (utility + rng.gumbel(size=len(utility))).reshape(n, 8)
    chosen = value == value.max(axis=1, keepdims=True)
    return Choices(features, chosen.ravel(), np.arange(0, 8 * n + 1, 8))


def test_likelihood_and_gradient_match_hand_arithmetic():
    likelihood = ChoiceLikelihood(np.array([1, 0, 0, 0], bool), np.array([0, 2, 4]))
    value, gradient = likelihood(np.array([0.5, 0.0, 2.0, 0.0]))
    chance = np.exp(0.5) / (np.exp(0.5) + 1)
    assert likelihood.n == 1  # the second choice has nothing chosen
    assert value == pytest.approx(np.log(chance))
    assert gradient == pytest.approx([1 - chance, chance - 1, 0, 0])


def test_planted_weights_are_found_and_a_constant_feature_keeps_its_prior():
    rng = np.random.default_rng(5)
    features = {"a": rng.normal(size=24_000), "b": rng.normal(size=24_000), "c": np.ones(24_000)}
    choices = planted(1.5 * features["a"] - 0.7 * features["b"], rng, features)
    found = fit_weights(choices, {"a": 0.0, "b": 1.0, "c": 9.0})
    assert found["b"] == pytest.approx(0.0, abs=1e-9)  # never negative
    assert found["c"] == 9.0
    features["b"] = -features["b"]
    found = fit_weights(choices, {"a": 0.0, "b": 1.0, "c": 9.0})
    assert found["a"] == pytest.approx(1.5, abs=0.1)
    assert found["b"] == pytest.approx(0.7, abs=0.1)


def test_few_choices_stay_near_the_prior():
    rng = np.random.default_rng(5)
    features = {"a": rng.normal(size=80)}
    found = fit_weights(planted(0 * features["a"], rng, features), {"a": 2.0}, penalty=1e4)
    assert found["a"] == pytest.approx(2.0, abs=0.05)


def test_a_planted_bend_is_found_and_a_strong_penalty_gives_a_straight_curve():
    rng = np.random.default_rng(6)
    x, flat = rng.uniform(-2, 2, 40_000), np.ones(40_000)
    fit = CurveFit(planted(2 * np.abs(x), rng, {"x": x, "flat": flat}))
    straight, bent = (fit.curves(penalty)["x"] for penalty in (1e8, 3.0))
    assert set(fit.curves(3.0)) == {"x"}  # a constant feature has no curve
    at = np.array([-1.8, 0.0, 1.8])
    curve = np.interp(at, *bent)
    assert curve - curve[1] == pytest.approx(2 * np.abs(at), abs=0.5)
    assert np.ptp(np.interp(at, *straight)) < 0.2


def test_curves_fitted_twice_are_the_same():
    rng = np.random.default_rng(7)
    x = rng.normal(size=8_000)
    choices = planted(x, rng, {"x": x})
    first, second = (CurveFit(choices).curves(10.0)["x"] for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_concatenated_choices_are_the_parts_end_to_end():
    one = Choices({"x": np.array([1.0, 2.0])}, np.array([True, False]), np.array([0, 2]))
    both = concatenate_choices([one, one.select(0, 0), one], ["x"])
    assert both.start.tolist() == [0, 2, 4]
    assert both.features["x"].tolist() == [1.0, 2.0, 1.0, 2.0]
    assert both.select(1, 2).start.tolist() == [0, 2]


def test_counted_choices_weigh_as_many_choices_of_one():
    score = np.array([0.5, 0.0, -1.0])
    counted = ChoiceLikelihood(np.array([2.0, 1.0, 0.0]), np.array([0, 3]), count_each=True)
    chosen = np.array([1, 0, 0, 1, 0, 0, 0, 1, 0], bool)  # the first twice, the second once
    single = ChoiceLikelihood(chosen, np.array([0, 3, 6, 9]))
    value, gradient = single(np.tile(score, 3))
    assert counted(score)[0] == pytest.approx(value)
    assert counted(score)[1] == pytest.approx(gradient.reshape(3, 3).sum(axis=0))


def test_curves_of_counted_choices_are_those_of_single_ones():
    rng = np.random.default_rng(3)
    feature = rng.normal(size=40)
    counts = rng.integers(0, 3, 40).astype(float)
    counted = Choices({"a": feature}, counts > 0, np.arange(0, 41, 8))
    alternatives, start, chosen = [], [0], []
    for begin in range(0, 40, 8):
        for place in np.repeat(np.arange(8), counts[begin : begin + 8].astype(int)):
            alternatives.append(feature[begin : begin + 8])
            chosen.append(np.arange(8) == place)
            start.append(start[-1] + 8)
    single = Choices({"a": np.concatenate(alternatives)}, np.concatenate(chosen), np.array(start))
    found = CurveFit(counted, counts).curves(1e6)["a"]  # straight: the knots of both differ
    twin = CurveFit(single).curves(1e6)["a"]
    slope, twin_slope = (np.ptp(c[1]) / np.ptp(c[0]) for c in (found, twin))
    assert slope == pytest.approx(twin_slope, rel=0.1)
