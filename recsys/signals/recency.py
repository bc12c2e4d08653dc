"""How new an article is; and when it was written, where only its serial number tells."""

import numpy as np
from numpy.typing import NDArray

from recsys.rows import HOUR_MS

# Numbers are trusted if a quarter of the articles first seen lately were first seen this
# soon after the birth they tell; the others are old ones that came back, or rarely shown.
TRUSTED_LAG_HOURS = 12.0
SLOPE_HOURS = 48.0  # of the newest numbers, for those yet to come


def recency(age_hours: NDArray[np.float64], *, half_life_hours: float) -> NDArray[np.float64]:
    """Return 1 for an article of this moment, 0.5 after a half-life, towards 0.

    Parameters
    ----------
    age_hours : array of float64, shape (n_articles,)
        Hours since publication, or since first seen; a negative age counts as 0.

    Examples
    --------
    >>> recency(np.array([0.0, 12.0, 24.0]), half_life_hours=12.0).tolist()
    [1.0, 0.5, 0.25]
    """
    fresh: NDArray[np.float64] = np.exp2(-np.maximum(age_hours, 0.0) / half_life_hours)
    return fresh


def born_by_serial(
    serial: NDArray[np.float64], seen_ms: NDArray[np.int64], as_of_ms: int
) -> NDArray[np.float64] | None:
    """Return when articles were written, told by their numbers; None where those tell nothing.

    A newsroom's system numbers its articles as they are written. So an article is no
    younger than the first sight of any article with a higher number, and one whose
    number is higher than any seen is yet to come, at the pace of the last two days.

    Parameters
    ----------
    serial : array of float64, shape (n_articles,)
        The article ids as numbers; NaN for one that is not.
    seen_ms : array of int64, shape (n_articles,)
        First sight; what is not before `as_of_ms` is not known yet.
    as_of_ms
        The present.

    Returns
    -------
    array of float64, shape (n_articles,), or None
        Instants in ms, later than `as_of_ms` for those to come; NaN where `serial` is.
        None if fewer than ten numbers are known, or if they are in no order of time: fewer
        than a quarter of the articles first seen in the last three days were seen within
        `TRUSTED_LAG_HOURS` of the birth the numbers tell.

    Examples
    --------
    >>> serial = np.append(np.arange(100.0, 120.0), [104.5, 122.0])
    >>> seen = np.append(np.arange(20) * HOUR_MS, [30 * HOUR_MS] * 2)
    >>> born = born_by_serial(serial, seen, 20 * HOUR_MS)
    >>> (born[-2:] / HOUR_MS).tolist()
    [4.5, 23.0]
    """
    known = np.flatnonzero((seen_ms < as_of_ms) & ~np.isnan(serial))
    known = known[np.argsort(serial[known], kind="stable")]
    if len(known) < 10:
        return None
    numbers, seen = serial[known], seen_ms[known].astype(np.float64)
    born = np.minimum.accumulate(seen[::-1])[::-1]
    recent = seen > as_of_ms - 72 * HOUR_MS
    lag_ms = (seen - born)[recent]
    if not recent.any() or np.quantile(lag_ms, 0.25) > TRUSTED_LAG_HOURS * HOUR_MS:
        return None
    late = np.flatnonzero(born > born[-1] - SLOPE_HOURS * HOUR_MS)[0]
    rise = numbers[-1] - numbers[late]
    pace_ms = (born[-1] - born[late]) / rise if rise > 0 else 0.0
    told: NDArray[np.float64] = np.interp(serial, numbers, born)
    ahead = serial > numbers[-1]
    told[ahead] = as_of_ms + (serial[ahead] - numbers[-1]) * pace_ms
    told[np.isnan(serial)] = np.nan
    return told
