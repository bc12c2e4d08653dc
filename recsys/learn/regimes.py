"""What may be known of the moment an impression was shown: split by time, never at random.

- *nightly*: everything frozen when the night ran;
- *hourly*: counts as of the impression's hour, as a refresh leaves them;
- *streaming*: counts up to the impression itself.

The clock is always known, and so is the text of an article from the moment it is shown:
publishing is not clicking.
"""

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from recsys.rows import HOUR_MS

Protocol = Literal["nightly", "hourly", "streaming"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)
RUN_HOUR = 4  # of the day, UTC: when newsrooms are quiet and the night has run
DAY_MS = 24 * HOUR_MS


def night_of(shown_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return when the night before each impression ran.

    Examples
    --------
    >>> five, three = 5 * HOUR_MS + 1, DAY_MS + 3 * HOUR_MS
    >>> (night_of(np.array([five, three])) // HOUR_MS).tolist()
    [4, 4]
    """
    return (shown_ms - RUN_HOUR * HOUR_MS) // DAY_MS * DAY_MS + RUN_HOUR * HOUR_MS


def count_cut(shown_ms: NDArray[np.int64], protocol: Protocol, night_ms: int) -> NDArray[np.int64]:
    """Return up to when clicks and views are counted for each impression after a night.

    Examples
    --------
    >>> shown = np.array([5 * HOUR_MS + 1])
    >>> [int(count_cut(shown, p, 4 * HOUR_MS)[0]) / HOUR_MS for p in ("nightly", "hourly")]
    [4.0, 5.0]
    """
    if protocol == "nightly":
        return np.full(len(shown_ms), night_ms)
    if protocol == "hourly":
        return np.maximum(shown_ms // HOUR_MS * HOUR_MS, night_ms)
    return shown_ms
