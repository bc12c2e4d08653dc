"""Which instant each impression may be scored from: split by time, never at random.

- *nightly*: everything frozen at 04:00 UTC of the impression's day, as a night leaves it;
- *hourly*: everything as of the impression's hour;
- *streaming*: article counts up to the impression itself, the rest as of its hour.
"""

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from recsys.rows import HOUR_MS

Protocol = Literal["nightly", "hourly", "streaming"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)
RUN_HOUR = 4  # of the day, UTC: when newsrooms are quiet and the night has run
DAY_MS = 24 * HOUR_MS


def model_cut(shown_ms: NDArray[np.int64], protocol: Protocol) -> NDArray[np.int64]:
    """Return when the model that scores each impression was made.

    Examples
    --------
    >>> five, three = 5 * HOUR_MS + 1, DAY_MS + 3 * HOUR_MS
    >>> (model_cut(np.array([five, three]), "nightly") // HOUR_MS).tolist()
    [4, 4]
    >>> (model_cut(np.array([five, three]), "streaming") // HOUR_MS).tolist()
    [5, 27]
    """
    if protocol == "nightly":
        return (shown_ms - RUN_HOUR * HOUR_MS) // DAY_MS * DAY_MS + RUN_HOUR * HOUR_MS
    return shown_ms // HOUR_MS * HOUR_MS


def count_cut(shown_ms: NDArray[np.int64], protocol: Protocol) -> NDArray[np.int64]:
    """Return up to when clicks and views of articles are counted for each impression."""
    return shown_ms if protocol == "streaming" else model_cut(shown_ms, protocol)
