"""Compute how new an article is, and estimate publication times from serial numbers."""

import numpy as np
from numpy.typing import NDArray

from recsys.rows import HOUR_MS

MIN_ARTICLES = 10  # fewer serial numbers do not show an order
RECENT_HOURS = 72.0  # articles first seen in this time decide whether serial numbers are trusted
# Serial numbers are trusted if at least a quarter of the recent articles were first seen within
# this time after their estimated publication. The rest may be old articles that came back, or
# articles that are rarely shown.
TRUSTED_LAG_HOURS = 12.0
PACE_HOURS = 48.0  # the latest time, from which the pace of new serial numbers is taken


def recency(age_hours: NDArray[np.float64], *, half_life_hours: float) -> NDArray[np.float64]:
    """Compute recency: 1 for a new article, 0.5 after a half-life, and towards 0 with age.

    Parameters
    ----------
    age_hours : array of float64, shape (n_articles,)
        Hours since publication, or since the article was first seen; a negative age counts as 0.
    half_life_hours : float
        Age at which recency is 0.5.

    Examples
    --------
    >>> recency(np.array([0.0, 12.0, 24.0]), half_life_hours=12.0).tolist()
    [1.0, 0.5, 0.25]
    """
    values: NDArray[np.float64] = np.exp2(-np.maximum(age_hours, 0.0) / half_life_hours)
    return values


def published_ms_by_serial(
    serial: NDArray[np.float64], first_seen_ms: NDArray[np.int64], as_of_ms: int
) -> NDArray[np.float64] | None:
    """Estimate when articles without a date were published, from their serial numbers.

    A publishing system numbers articles in the order in which they are written. So an article was
    published no later than any article with a higher number was first seen. An article whose number
    is higher than any number seen so far will be published in the future, at the pace of the last
    two days.

    Parameters
    ----------
    serial : array of float64, shape (n_articles,)
        The article ids as numbers; NaN for an id that is not a number.
    first_seen_ms : array of int64, shape (n_articles,)
        When each article was first seen, in ms; ignored unless it is before `as_of_ms`.
    as_of_ms
        Time up to which data may be used, in ms.

    Returns
    -------
    array of float64, shape (n_articles,), or None
        Instants in ms, later than `as_of_ms` for articles of the future; NaN where `serial` is NaN.
        None if fewer than ten numbers are known, or if the numbers do not follow time: fewer than a
        quarter of the articles first seen in the last three days were seen within
        `TRUSTED_LAG_HOURS` of their estimate.

    Examples
    --------
    >>> serial = np.append(np.arange(100.0, 120.0), [104.5, 122.0])
    >>> first_seen_ms = np.append(np.arange(20) * HOUR_MS, [30 * HOUR_MS] * 2)
    >>> published_ms = published_ms_by_serial(serial, first_seen_ms, 20 * HOUR_MS)
    >>> (published_ms[-2:] / HOUR_MS).tolist()
    [4.5, 23.0]
    """
    known = np.flatnonzero((first_seen_ms < as_of_ms) & ~np.isnan(serial))
    known = known[np.argsort(serial[known], kind="stable")]
    if len(known) < MIN_ARTICLES:
        return None
    numbers, seen_ms = serial[known], first_seen_ms[known].astype(np.float64)
    published_ms = np.minimum.accumulate(seen_ms[::-1])[::-1]
    is_recent = seen_ms > as_of_ms - RECENT_HOURS * HOUR_MS
    lag_ms = (seen_ms - published_ms)[is_recent]
    if not is_recent.any() or np.quantile(lag_ms, 0.25) > TRUSTED_LAG_HOURS * HOUR_MS:
        return None
    pace_start = np.flatnonzero(published_ms > published_ms[-1] - PACE_HOURS * HOUR_MS)[0]
    n_numbers = numbers[-1] - numbers[pace_start]
    ms_per_number = (
        (published_ms[-1] - published_ms[pace_start]) / n_numbers if n_numbers > 0 else 0
    )
    estimate: NDArray[np.float64] = np.interp(serial, numbers, published_ms)
    is_ahead = serial > numbers[-1]
    estimate[is_ahead] = as_of_ms + (serial[is_ahead] - numbers[-1]) * ms_per_number
    estimate[np.isnan(serial)] = np.nan
    return estimate
