"""Events in time order, asked what had happened to something by some instant."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from recsys.rows import HOUR_MS

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
        order = np.lexsort((event_ms, key))
        self._ms = event_ms[order]
        self._keys, self._start = np.unique(key[order], return_index=True)
        length = np.diff(np.append(self._start, len(order)))
        place = np.arange(len(order)) - np.repeat(self._start, length)
        self._origin = int(self._ms.min(initial=0))
        # One ascending number for key and time, so that one search finds both.
        self._span = int(self._ms.max(initial=0)) - self._origin + 2
        rank = np.repeat(np.arange(len(self._keys)), length)
        self._code = rank * self._span + (self._ms - self._origin)
        self._rank, self._place_in_key = rank, place

    @cached_property
    def _steps(self) -> list[tuple[int, NDArray[np.int64]]]:
        """Return the doubling steps of `_running`: which events have one `step` before."""
        steps = []
        step, later = 1, np.flatnonzero(self._place_in_key >= 1)
        while len(later):
            steps.append((step, later))
            step *= 2
            later = later[self._place_in_key[later] >= step]
        return steps

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
            result[i, rows] = self._running(half)[last] * np.exp2(-since / half)
        return result

    def _decayed_at(self, as_of_ms: int, half_lives_hours: Sequence[float]) -> NDArray[np.float64]:
        """Return the decayed counts of all keys at one instant: a plain sum, for a night."""
        before = self._ms < as_of_ms
        rank, age_hours = self._rank[before], (as_of_ms - self._ms[before]) / HOUR_MS
        return np.stack(
            [
                np.bincount(rank, weights=np.exp2(-age_hours / half), minlength=len(self._keys))
                for half in half_lives_hours
            ]
        )

    def _place(self, query_key: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        if not len(self._keys):
            return np.zeros(len(query_key), dtype=np.int64), np.zeros(len(query_key), dtype=bool)
        place = np.minimum(np.searchsorted(self._keys, query_key), len(self._keys) - 1)
        return place, self._keys[place] == query_key

    def _running(self, half_life_hours: float) -> NDArray[np.float64]:
        """Return the decayed count of its key right after each event.

        Notes
        -----
        Doubling: with s_n(i) the count of the last n events up to i, s_2n(i) = s_n(i) +
        2 ** (-(t_i - t_(i-n)) / half_life) s_n(i - n).

        References
        ----------
        Hillis, Steele, "Data parallel algorithms", CACM 29(12), 1986.
        """
        count = np.ones(len(self._ms))
        for step, later in self._steps:
            apart = (self._ms[later] - self._ms[later - step]) / HOUR_MS
            count[later] += np.exp2(-apart / half_life_hours) * count[later - step]
        return count
