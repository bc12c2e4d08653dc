"""An hour of clicks as packed columns: millions are read without an object for each.

A click takes 17 bytes: reader and article key (uint32), milliseconds within the hour
(uint32), reading time (float32, NaN where unknown), and whether the time is only a bound.
Column after column, little endian, clicks in the order of the store.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.rows import HOUR_MS, Clicks

_COLUMNS = ("<u4", "<u4", "<u4", "<f4", "u1")
_BYTES = sum(np.dtype(dtype).itemsize for dtype in _COLUMNS)


def pack_hour(rows: Iterable[Sequence[Any]], hour: int) -> bytes:
    """Return the columns of an hour's clicks.

    Parameters
    ----------
    rows
        (reader key, article key, instant in ms, seconds read or None, bound or not), in order.
    hour
        Whole hours since 1970.
    """
    columns = list(zip(*rows, strict=True)) or [()] * len(_COLUMNS)
    within = np.array(columns[2], dtype=np.int64) - hour * HOUR_MS
    arrays = (columns[0], columns[1], within, columns[3], columns[4])
    return b"".join(
        np.array(values, dtype=dtype).tobytes()
        for values, dtype in zip(arrays, _COLUMNS, strict=True)
    )


def unpack_hours(hours: Sequence[int], packed: Sequence[bytes]) -> Clicks:
    """Return the clicks of some hours, one hour after another.

    Parameters
    ----------
    hours, packed
        Ascending, and what `pack_hour` made of each.
    """
    sizes = [len(data) // _BYTES for data in packed]
    ends = np.cumsum([0, *sizes])
    clicks = Clicks(
        user_key=np.empty(ends[-1], dtype=np.int64),
        article_key=np.empty(ends[-1], dtype=np.int64),
        clicked_ms=np.empty(ends[-1], dtype=np.int64),
        dwell_seconds=np.empty(ends[-1], dtype=np.float32),
        time_is_bound=np.empty(ends[-1], dtype=bool),
    )
    columns: tuple[NDArray[Any], ...] = (
        clicks.user_key, clicks.article_key, clicks.clicked_ms, clicks.dwell_seconds,
        clicks.time_is_bound,
    )  # fmt: skip
    for hour, data, size, end in zip(hours, packed, sizes, ends[1:], strict=True):
        part, offset = slice(end - size, end), 0
        for column, dtype in zip(columns, _COLUMNS, strict=True):
            column[part] = np.frombuffer(data, dtype, count=size, offset=offset)
            offset += size * np.dtype(dtype).itemsize
        clicks.clicked_ms[part] += hour * HOUR_MS
    return clicks
