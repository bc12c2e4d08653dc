"""Pack the clicks of one hour into a byte string, so that millions are read as arrays.

Reading rows one by one would create a Python object for each value. A packed click takes 17 bytes:
user key and article key (uint32), milliseconds within the hour (uint32), reading time (float32,
NaN if unknown), and whether the time is only a bound (uint8). The columns follow one another,
little endian, and the clicks are in the order of the store.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.rows import HOUR_MS, Clicks
from recsys.sorted_ints import differs_from_previous, equal_slices

_DTYPES = ("<u4", "<u4", "<u4", "<f4", "u1")
_BYTES_PER_CLICK = sum(np.dtype(dtype).itemsize for dtype in _DTYPES)


def pack_hour(rows: Iterable[Sequence[Any]], hour: int) -> bytes:
    """Pack the clicks of one hour.

    Parameters
    ----------
    rows
        (user key, article key, instant in ms, reading time in seconds or None, whether the time is
        a bound) of each click, ordered by instant, user key and article key.
    hour
        Whole hours since 1970.
    """
    columns = list(zip(*rows, strict=True)) or [()] * len(_DTYPES)
    ms_within_hour = np.array(columns[2], dtype=np.int64) - hour * HOUR_MS
    dwell_seconds = np.array(columns[3], dtype=np.float64)  # None becomes NaN
    return _packed(
        np.array(columns[0]),
        np.array(columns[1]),
        ms_within_hour,
        dwell_seconds,
        np.array(columns[4]),
    )


def n_packed(packed: bytes) -> int:
    """Return the number of clicks in a packed hour."""
    return len(packed) // _BYTES_PER_CLICK


def merge_hours(clicks: Clicks, packed_before: Mapping[int, bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield each hour of new clicks, packed together with the clicks it held before.

    Parameters
    ----------
    clicks
        New clicks, in any order.
    packed_before
        By hour, the clicks packed earlier; an hour that is missing held none.

    Notes
    -----
    Clicks of one user on one article at one instant are one click, as in the store. Its reading
    time is the longest one; its time is a bound if it was one
    in any of them.
    """
    hours_before = sorted(packed_before)
    before = unpack_hours(hours_before, [packed_before[hour] for hour in hours_before])
    columns = [
        np.concatenate((getattr(before, field.name), getattr(clicks, field.name)))
        for field in fields(Clicks)
    ]
    order = _click_order(*columns[:4])
    user, article, clicked_ms, dwell, is_bound = (column[order] for column in columns)
    first = np.flatnonzero(
        differs_from_previous(clicked_ms)
        | differs_from_previous(user)
        | differs_from_previous(article)
    )
    is_bound = np.logical_or.reduceat(is_bound, first) if len(first) else is_bound
    user, article, clicked_ms, dwell = (
        column[first] for column in (user, article, clicked_ms, dwell)
    )
    clicked_hour = clicked_ms // HOUR_MS
    for part in equal_slices(clicked_hour):
        hour = int(clicked_hour[part.start])
        ms_within_hour = clicked_ms[part] - hour * HOUR_MS
        yield hour, _packed(user[part], article[part], ms_within_hour, dwell[part], is_bound[part])


def _click_order(
    user: NDArray[np.int64],
    article: NDArray[np.int64],
    clicked_ms: NDArray[np.int64],
    dwell_seconds: NDArray[np.float32],
) -> NDArray[np.int64]:
    """Return the order by instant, user and article, longest reading time first."""
    order = np.arange(len(clicked_ms))
    unsorted = order
    if (clicked_ms[1:] >= clicked_ms[:-1]).all():  # as in most logs: only ties need sorting
        is_tie = clicked_ms[1:] == clicked_ms[:-1]
        unsorted = np.flatnonzero(np.append(is_tie, False) | np.append(False, is_tie))
    keys = (-dwell_seconds, article, user, clicked_ms)  # NaN is sorted last
    order[unsorted] = unsorted[np.lexsort(tuple(key[unsorted] for key in keys))]
    return order


def _packed(*columns: NDArray[Any]) -> bytes:
    return b"".join(
        column.astype(dtype).tobytes() for column, dtype in zip(columns, _DTYPES, strict=True)
    )


def unpack_hours(hours: Sequence[int], packed: Sequence[bytes]) -> Clicks:
    """Return the clicks of packed hours, oldest first.

    Parameters
    ----------
    hours
        Whole hours since 1970, ascending.
    packed
        The packed clicks of each hour.
    """
    sizes = [n_packed(data) for data in packed]
    ends = np.cumsum([0, *sizes])
    clicks = Clicks(
        user_key=np.empty(ends[-1], dtype=np.int64),
        article_key=np.empty(ends[-1], dtype=np.int64),
        clicked_ms=np.empty(ends[-1], dtype=np.int64),
        dwell_seconds=np.empty(ends[-1], dtype=np.float32),
        time_is_bound=np.empty(ends[-1], dtype=bool),
    )
    columns: tuple[NDArray[Any], ...] = (
        clicks.user_key,
        clicks.article_key,
        clicks.clicked_ms,
        clicks.dwell_seconds,
        clicks.time_is_bound,
    )
    for hour, data, size, end in zip(hours, packed, sizes, ends[1:], strict=True):
        part, offset = slice(end - size, end), 0
        for column, dtype in zip(columns, _DTYPES, strict=True):
            column[part] = np.frombuffer(data, dtype, count=size, offset=offset)
            offset += size * np.dtype(dtype).itemsize
        clicks.clicked_ms[part] += hour * HOUR_MS
    return clicks
