import numpy as np
from conftest import LISTS, biased_log

from recsys.learn.choice import Choices, CurveFit
from recsys.learn.impressions import POSITION, positions


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
