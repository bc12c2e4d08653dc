"""Events in time order, asked what had happened to something by some instant."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from recsys.kernels.clicks import running_counts
from recsys.rows import HOUR_MS
from recsys.sorted_ints import starts_of_runs

NEVER = np.iinfo(np.int64).max


class Timeline:
    """Events on keys (an article, or a reader and an article), sorted once.

    An event of the very instant asked about is not known yet: only what came strictly
    before counts.

    Parameters
    ----------
    key, event_ms : array of int64, shape (n_events,)
        What an event was on, and when; in any order.

    Examples
    --------
    >>> line = Timeline(np.array([7, 7]), np.array([0, HOUR_MS]))
    >>> line.decayed(np.array([7, 7, 8]), np.array([1, 2, 2]) * HOUR_MS, [1.0]).tolist()
    [[0.5, 0.75, 0.0]]
    """

    def __init__(self, key: NDArray[np.int64], event_ms: NDArray[np.int64]) -> None:
        ordered, self._ms = _in_order(key, event_ms)
        self._begins = starts_of_runs(ordered)
        self._start = np.flatnonzero(self._begins)
        self._keys = ordered[self._start]
        length = np.diff(self._start, append=len(ordered))
        self._origin = int(self._ms.min(initial=0))
        self._span = int(self._ms.max(initial=0)) - self._origin + 2
        self._rank = np.repeat(np.arange(len(self._keys)), length)
        self._latest: tuple[int, tuple[float, ...], NDArray[np.float64]] | None = None

    @cached_property
    def _code(self) -> NDArray[np.int64]:
        """Return one ascending number for key and time, so that one search finds both."""
        return self._rank * self._span + (self._ms - self._origin)

    @cached_property
    def _whole(self) -> "Timeline":
        """Return all events as if on one key."""
        return Timeline(np.zeros_like(self._ms), self._ms)

    def first_ms(self, query_key: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return when each key had its first event; the far future for none."""
        place, known = self._place(query_key)
        first = np.full(len(query_key), NEVER)
        first[known] = self._ms[self._start[place[known]]]
        return first

    def decayed(
        self,
        query_key: NDArray[np.int64],
        query_ms: NDArray[np.int64],
        half_lives_hours: Sequence[float],
    ) -> NDArray[np.float64]:
        """Count the events of a key strictly before each query, halving every half-life.

        Parameters
        ----------
        query_key, query_ms : array of int64, shape (n_queries,)
            What is asked about, as of when.
        half_lives_hours
            Ages at which an event counts 0.5.

        Returns
        -------
        array of float64, shape (n_half_lives, n_queries)

        Notes
        -----
        count(q) = sum over events e of q's key with t_e < t_q of
        2 ** (-(t_q - t_e) / half_life): `popularity.decayed_clicks` for
        many instants at once. A running count after each event is read off at the
        query's last event and decayed on from there, so no power ever grows.
        """
        if not all(half > 0 for half in half_lives_hours):
            raise ValueError(f"half-lives must be positive, got {list(half_lives_hours)}")
        result = np.zeros((len(half_lives_hours), len(query_key)))
        place, known = self._place(query_key)
        if known.any() and np.ptp(query_ms[known]) == 0:
            at_once = self._decayed_at(int(query_ms[known][0]), half_lives_hours)
            result[:, known] = at_once[:, place[known]]
            return result
        asked = np.clip(query_ms[known] - self._origin, 0, self._span - 1)
        last = np.searchsorted(self._code, place[known] * self._span + asked, side="left") - 1
        some = last >= self._start[place[known]]
        rows, last = np.flatnonzero(known)[some], last[some]
        since = (query_ms[rows] - self._ms[last]) / HOUR_MS
        for i, half in enumerate(half_lives_hours):
            result[i, rows] = running_counts(self._ms, self._begins, half_life_hours=half)[
                last
            ] * np.exp2(-since / half)
        return result

    def total(
        self, query_ms: NDArray[np.int64], half_lives_hours: Sequence[float]
    ) -> NDArray[np.float64]:
        """Count the events of all keys as `decayed` does, shape (n_half_lives, n_queries)."""
        instants, place = np.unique(query_ms, return_inverse=True)  # each asked once
        if len(instants) == 1:
            at_once = self._decayed_at(int(instants[0]), half_lives_hours)
            found: NDArray[np.float64] = at_once.sum(axis=1, keepdims=True)
        else:
            found = self._whole.decayed(np.zeros_like(instants), instants, half_lives_hours)
        total: NDArray[np.float64] = found[:, place]
        return total

    def _decayed_at(self, as_of_ms: int, half_lives_hours: Sequence[float]) -> NDArray[np.float64]:
        """Return the decayed counts of all keys at one instant: a plain sum, for a night.

        The latest answer is kept: who asks for some keys asks for the total next.
        """
        asked, latest = (as_of_ms, tuple(half_lives_hours)), self._latest
        if latest is not None and latest[:2] == asked:
            return latest[2]
        before = self._ms < as_of_ms
        rank, age_hours = self._rank[before], (as_of_ms - self._ms[before]) / HOUR_MS
        found = np.stack(
            [
                np.bincount(rank, weights=np.exp2(-age_hours / half), minlength=len(self._keys))
                for half in half_lives_hours
            ]
        ).astype(np.float64, copy=False)  # bincount of nothing is int
        self._latest = (*asked, found)
        return found

    def _place(self, query_key: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        if not len(self._keys):
            return np.zeros(len(query_key), dtype=np.int64), np.zeros(len(query_key), dtype=bool)
        place = np.minimum(np.searchsorted(self._keys, query_key), len(self._keys) - 1)
        return place, self._keys[place] == query_key


def _in_order(
    key: NDArray[np.int64], event_ms: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return keys and times, in order of both: sorted as one number where that has 63 bits."""
    origin = int(event_ms.min(initial=NEVER)) if len(key) else 0
    bits = (int(event_ms.max(initial=origin)) - origin).bit_length()
    if len(key) and (key.min() < 0 or int(key.max()).bit_length() + bits > 63):
        order = np.lexsort((event_ms, key))
        return key[order], event_ms[order]
    code = np.sort(key << bits | (event_ms - origin))
    return code >> bits, (code & ((1 << bits) - 1)) + origin
