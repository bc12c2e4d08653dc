"""Forecast clicks: which share of the next clicks each live article will get.

The forecast of an article is the exponential of a sum of curves, one for each of its features:
shares of recent clicks and views, click rates, and age. All of them are free of scale, so a curve
that was learned in a busy week holds in a quiet one. `recsys.learn.forecast` learns the curves each
night from past moments. The sum is split into three signals, so that a reason can name what lifts
an article. Before curves are learned, the signals have the shipped values.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from recsys.signals.event_features import POPULARITY_HOURS, RATE_HOURS

Floats = NDArray[np.float64]
Curves = Mapping[str, Floats]  # by feature: knots and the value at each, shape (2, n_knots)

LOG_AGE = "log_age"
CLICK_FEATURES = tuple(f"popularity_{hours:g}h" for hours in POPULARITY_HOURS)
VIEW_FEATURES = tuple(
    f"{name}_{hours:g}h" for name in ("click_rate", "views") for hours in RATE_HOURS
)
FORECAST_FEATURES = (*CLICK_FEATURES, *VIEW_FEATURES, LOG_AGE)


def log_age(age_hours: Floats) -> Floats:
    """Return the feature `LOG_AGE`, log(1 + age in hours)."""
    result: Floats = np.log1p(np.maximum(age_hours, 0.0))
    return result


def summed_curves(curves: Curves, features: Mapping[str, Floats], names: Sequence[str]) -> Floats:
    """Return the sum of the curves of some features, shape (n,); a feature may have no curve."""
    total = np.zeros(len(features[names[0]]))
    for name in names:
        if name in curves:
            total += np.interp(features[name], *curves[name])
    return total
