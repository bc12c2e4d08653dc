"""Warn of logs that a run can use, but that look as if a part of them were missing."""

import numpy as np
from numpy.typing import NDArray

from recsys.rows import HOUR_MS, Impressions

DAY_MS = 24 * HOUR_MS
# With a click on one impression in 30, none on so many is an accident of 3 in 100.
MANY_IMPRESSIONS = 100


def click_warnings(impressions: Impressions, as_of_ms: int) -> list[str]:
    """Return a warning if no impression holds a click: none at all, or none of the last day.

    Parameters
    ----------
    impressions
        The impressions before `as_of_ms`.
    as_of_ms
        The end of the last day. A day with fewer than `MANY_IMPRESSIONS` has no warning.
    """
    is_clicked = has_click(impressions.start, impressions.clicked)
    if len(is_clicked) and not is_clicked.any():
        return [_warning(len(is_clicked), "")]
    of_last_day = is_clicked[impressions.shown_ms >= as_of_ms - DAY_MS]
    if len(of_last_day) >= MANY_IMPRESSIONS and not of_last_day.any():
        return [_warning(len(of_last_day), " of the last 24 hours")]
    return []


def has_click(start: NDArray[np.int64], clicked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which impressions hold a click, shape (n_impressions,).

    Examples
    --------
    >>> has_click(np.array([0, 2, 2, 3]), np.array([False, True, False])).tolist()
    [True, False, False]
    """
    n_clicks = np.concatenate(([0], np.cumsum(clicked)))
    held: NDArray[np.bool_] = n_clicks[start[1:]] > n_clicks[start[:-1]]
    return held


def _warning(n: int, of_when: str) -> str:
    return (
        f"0 of {n} impressions{of_when} hold a click: the logs of clicks may be missing; the"
        " ranking head learns from the field `clicked` of impressions"
    )
