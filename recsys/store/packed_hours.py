"""An hour of clicks as packed columns: millions are read without an object for each.

A click takes 17 bytes: reader and article key (uint32), milliseconds within the hour
(uint32), reading time (float32, NaN where unknown), and whether the time is only a bound.
Column after column, little endian, clicks in the order of the store.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.rows import HOUR_MS, Clicks
from recsys.sorted_ints import runs, starts_of_runs

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
    dwell = np.array(columns[3], dtype=np.float64)  # None is NaN
    return _packed(np.array(columns[0]), np.array(columns[1]), within, dwell, np.array(columns[4]))


def n_packed(packed: bytes) -> int:
    """Return how many clicks an hour's columns hold."""
    return len(packed) // _BYTES


def merged_hours(clicks: Clicks, before: Mapping[int, bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield the hours of new clicks, and the columns of each with what was packed before.

    Parameters
    ----------
    clicks
        In any order.
    before
        What `pack_hour` made of some of those hours; of the others there was nothing.

    Notes
    -----
    A click that stands there twice is one; its reading time is the first that is known, what
    was packed before coming first, as in the store, and a time that was a bound stays one.
    """
    old = unpack_hours(sorted(before), [before[hour] for hour in sorted(before)])
    user, article, clicked_ms, dwell, bound = (
        np.concatenate((getattr(old, field.name), getattr(clicks, field.name)))
        for field in fields(Clicks)
    )
    order = np.arange(len(clicked_ms))
    tied = order
    if (clicked_ms[1:] >= clicked_ms[:-1]).all():  # as logs mostly are
        again = clicked_ms[1:] == clicked_ms[:-1]
        tied = np.flatnonzero(np.append(again, False) | np.append(False, again))
    keys = (np.isnan(dwell), article, user, clicked_ms)
    order[tied] = tied[np.lexsort(tuple(key[tied] for key in keys))]
    user, article, clicked_ms, dwell, bound = (
        values[order] for values in (user, article, clicked_ms, dwell, bound)
    )
    first = np.flatnonzero(
        starts_of_runs(clicked_ms) | starts_of_runs(user) | starts_of_runs(article)
    )
    bound = np.logical_or.reduceat(bound, first) if len(first) else bound
    user, article, clicked_ms, dwell = (
        values[first] for values in (user, article, clicked_ms, dwell)
    )
    hour = clicked_ms // HOUR_MS
    for part in runs(hour):
        of_hour = int(hour[part.start])
        within = clicked_ms[part] - of_hour * HOUR_MS
        yield of_hour, _packed(user[part], article[part], within, dwell[part], bound[part])


def _packed(*columns: NDArray[Any]) -> bytes:
    return b"".join(
        values.astype(dtype).tobytes() for values, dtype in zip(columns, _COLUMNS, strict=True)
    )


def unpack_hours(hours: Sequence[int], packed: Sequence[bytes]) -> Clicks:
    """Return the clicks of some hours, one hour after another.

    Parameters
    ----------
    hours, packed
        Ascending, and what `pack_hour` made of each.
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
        for column, dtype in zip(columns, _COLUMNS, strict=True):
            column[part] = np.frombuffer(data, dtype, count=size, offset=offset)
            offset += size * np.dtype(dtype).itemsize
        clicks.clicked_ms[part] += hour * HOUR_MS
    return clicks
