import numpy as np
import pytest

from recsys.evaluation.in_view_report import calibration, contributions


def test_calibration_bins_hold_every_candidate_once_and_have_the_right_mean():
    start, clicked = np.array([0, 2, 4, 6]), np.array([1, 0, 0, 1, 0, 0], dtype=bool)
    bins = calibration(np.zeros(6), clicked, start)
    assert sum(n for n, _, _ in bins) == 4  # the impression without a click is left out
    assert sum(n * real for n, _, real in bins) == pytest.approx(2)
    assert {predicted for _, predicted, _ in bins} == {0.5}


def test_contributions_are_spreads_within_impressions():
    start = np.array([0, 2, 4])
    parts = {"constant": np.array([1.0, 1.0, 5.0, 5.0]), "varied": np.array([0.0, 2.0, 0.0, 2.0])}
    found = contributions(parts, start)
    assert found == {"varied": 1.0, "constant": 0.0}
