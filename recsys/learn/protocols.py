"""The protocols: up to when clicks and views count for an impression.

An impression is judged, and learned from, by what would have been known when it was shown. The
data is split by time, never at random.

- *nightly*: clicks and views up to the nightly run count;
- *hourly*: those up to the last full hour count, as if a refresh ran every hour;
- *streaming*: those up to the impression itself count.

Under every protocol the time of the impression is known, and so is the text of an article from the
moment it is shown: the text arrives when the article is published, not when it is clicked.
"""

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from recsys.rows import HOUR_MS

Protocol = Literal["nightly", "hourly", "streaming"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)
NIGHTLY_RUN_HOUR = 4  # of the day, UTC: when newsrooms are quiet
DAY_MS = 24 * HOUR_MS


def last_nightly_run_ms(shown_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return when the last nightly run before each impression was.

    Examples
    --------
    >>> five, three = 5 * HOUR_MS + 1, DAY_MS + 3 * HOUR_MS
    >>> (last_nightly_run_ms(np.array([five, three])) // HOUR_MS).tolist()
    [4, 4]
    """
    offset_ms = NIGHTLY_RUN_HOUR * HOUR_MS
    return (shown_ms - offset_ms) // DAY_MS * DAY_MS + offset_ms


def counted_until_ms(
    shown_ms: NDArray[np.int64], protocol: Protocol, nightly_run_ms: int
) -> NDArray[np.int64]:
    """Return up to when clicks and views count for each impression.

    Parameters
    ----------
    shown_ms : array of int64, shape (n_impressions,)
        When each impression was shown.
    protocol
        The protocol.
    nightly_run_ms
        When the nightly run before the impressions was.

    Examples
    --------
    >>> shown = np.array([5 * HOUR_MS + 1])
    >>> [int(counted_until_ms(shown, p, 4 * HOUR_MS)[0]) / HOUR_MS for p in ("nightly", "hourly")]
    [4.0, 5.0]
    """
    if protocol == "nightly":
        return np.full(len(shown_ms), nightly_run_ms)
    if protocol == "hourly":
        return np.maximum(shown_ms // HOUR_MS * HOUR_MS, nightly_run_ms)
    return shown_ms
