"""Count events on keys as of any instant, each event halving in weight every half-life."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from recsys.kernels.clicks import running_counts
from recsys.rows import HOUR_MS, UNKNOWN_TIME
from recsys.sorted_ints import differs_from_previous

NEVER = np.iinfo(np.int64).max


class Timeline:
    """Events on keys (an article, or a user and an article), sorted once for many queries.

    A query counts the events strictly before its instant. An event at the very instant is not known
    yet.

    Parameters
    ----------
    key, event_ms : array of int64, shape (n_events,)
        Key and instant (in ms) of each event, in any order.

    Examples
    --------
    >>> timeline = Timeline(np.array([7, 7]), np.array([0, HOUR_MS]))
    >>> query_key, query_ms = np.array([7, 7, 8]), np.array([1, 2, 2]) * HOUR_MS
    >>> timeline.decayed_counts(query_key, query_ms, [1.0]).tolist()
    [[0.5, 0.75, 0.0]]
    """

    def __init__(self, key: NDArray[np.int64], event_ms: NDArray[np.int64]) -> None:
        ordered, self._ms = _sorted_events(key, event_ms)
        self._is_first = differs_from_previous(ordered)
        self._start = np.flatnonzero(self._is_first)
        self._keys = ordered[self._start]
        n_events = np.diff(self._start, append=len(ordered))
        self._origin_ms = int(self._ms.min(initial=0))
        self._span_ms = int(self._ms.max(initial=0)) - self._origin_ms + 2
        self._key_index = np.repeat(np.arange(len(self._keys)), n_events)
        # The latest answer of `_decayed_at`: instant, half-lives, counts.
        self._latest: tuple[int, tuple[float, ...], NDArray[np.float64]] | None = None

    @cached_property
    def _code(self) -> NDArray[np.int64]:
        """Each event's key and instant as one number, ascending, so that one search finds both."""
        return self._key_index * self._span_ms + (self._ms - self._origin_ms)

    @cached_property
    def _on_one_key(self) -> "Timeline":
        """All events, as if they were on one key."""
        return Timeline(np.zeros_like(self._ms), self._ms)

    def first_ms(self, query_key: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the instant of the first event on each key; NEVER if there is none."""
        key_index, is_known = self._find(query_key)
        first_ms = np.full(len(query_key), NEVER)
        first_ms[is_known] = self._ms[self._start[key_index[is_known]]]
        return first_ms

    def last_ms(self, query_key: NDArray[np.int64], before_ms: int) -> NDArray[np.int64]:
        """Return the instant of the last event on each key strictly before an instant.

        UNKNOWN_TIME is the value of a key without one.
        """
        last_ms = np.full(len(query_key), UNKNOWN_TIME)
        key_index, is_known = self._find(query_key)
        known_index = key_index[is_known]
        ms_from_origin = np.clip(before_ms - self._origin_ms, 0, self._span_ms - 1)
        query_code = known_index * self._span_ms + ms_from_origin
        last_event = np.searchsorted(self._code, query_code, side="left") - 1
        has_event = last_event >= self._start[known_index]
        last_ms[np.flatnonzero(is_known)[has_event]] = self._ms[last_event[has_event]]
        return last_ms

    def decayed_counts(
        self,
        query_key: NDArray[np.int64],
        query_ms: NDArray[np.int64],
        half_lives_hours: Sequence[float],
    ) -> NDArray[np.float64]:
        """Count the events on a key strictly before each query's instant, halving every half-life.

        Parameters
        ----------
        query_key, query_ms : array of int64, shape (n_queries,)
            Key and instant (in ms) of each query.
        half_lives_hours
            Ages at which an event counts 0.5.

        Returns
        -------
        array of float64, shape (n_half_lives, n_queries)

        Raises
        ------
        ValueError
            If a half-life is not positive.

        Notes
        -----
        count(q) = sum over events e on q's key with t_e < t_q of 2 ** (-(t_q - t_e) / half_life),
        which is `popularity.decayed_clicks` for many instants at once. The running count after each
        event is computed once; a query takes the one after its last event and decays it from there,
        so no power grows without bound.
        """
        if not all(half_life > 0 for half_life in half_lives_hours):
            raise ValueError(f"half-lives must be positive, got {list(half_lives_hours)}")
        counts = np.zeros((len(half_lives_hours), len(query_key)))
        key_index, is_known = self._find(query_key)
        if is_known.any() and np.ptp(query_ms[is_known]) == 0:
            counts_of_keys = self._decayed_at(int(query_ms[is_known][0]), half_lives_hours)
            counts[:, is_known] = counts_of_keys[:, key_index[is_known]]
            return counts
        known_index = key_index[is_known]
        ms_from_origin = np.clip(query_ms[is_known] - self._origin_ms, 0, self._span_ms - 1)
        query_code = known_index * self._span_ms + ms_from_origin
        last_event = np.searchsorted(self._code, query_code, side="left") - 1
        has_event = last_event >= self._start[known_index]
        queries, last_event = np.flatnonzero(is_known)[has_event], last_event[has_event]
        hours_since = (query_ms[queries] - self._ms[last_event]) / HOUR_MS
        for i, half_life in enumerate(half_lives_hours):
            running = running_counts(self._ms, self._is_first, half_life_hours=half_life)
            counts[i, queries] = running[last_event] * np.exp2(-hours_since / half_life)
        return counts

    def total_counts(
        self, query_ms: NDArray[np.int64], half_lives_hours: Sequence[float]
    ) -> NDArray[np.float64]:
        """Count the events on all keys together, as `decayed_counts` counts those on one.

        Parameters
        ----------
        query_ms : array of int64, shape (n_queries,)
            Instant (in ms) of each query.
        half_lives_hours
            Ages at which an event counts 0.5.

        Returns
        -------
        array of float64, shape (n_half_lives, n_queries)
        """
        instants, instant_index = np.unique(query_ms, return_inverse=True)
        if len(instants) == 1:
            counts_of_keys = self._decayed_at(int(instants[0]), half_lives_hours)
            counts: NDArray[np.float64] = counts_of_keys.sum(axis=1, keepdims=True)
        else:
            counts = self._on_one_key.decayed_counts(
                np.zeros_like(instants), instants, half_lives_hours
            )
        total: NDArray[np.float64] = counts[:, instant_index]
        return total

    def _decayed_at(self, as_of_ms: int, half_lives_hours: Sequence[float]) -> NDArray[np.float64]:
        """Count the events on all keys at one instant, shape (n_half_lives, n_keys).

        The latest answer is cached, because a query for some keys is usually followed by one for
        the total.
        """
        query = (as_of_ms, tuple(half_lives_hours))
        if self._latest is not None and self._latest[:2] == query:
            return self._latest[2]
        is_before = self._ms < as_of_ms
        key_index = self._key_index[is_before]
        age_hours = (as_of_ms - self._ms[is_before]) / HOUR_MS
        counts = np.stack(
            [
                np.bincount(
                    key_index, weights=np.exp2(-age_hours / half_life), minlength=len(self._keys)
                )
                for half_life in half_lives_hours
            ]
        ).astype(np.float64, copy=False)  # bincount of no events has integers
        self._latest = (*query, counts)
        return counts

    def _find(self, query_key: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the index in `_keys` of each key, and whether the key is known.

        The index of an unknown key has no meaning.
        """
        if not len(self._keys):
            return np.zeros(len(query_key), dtype=np.int64), np.zeros(len(query_key), dtype=bool)
        key_index = np.minimum(np.searchsorted(self._keys, query_key), len(self._keys) - 1)
        return key_index, self._keys[key_index] == query_key


def _sorted_events(
    key: NDArray[np.int64], event_ms: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return keys and instants ordered by both.

    If a key and an instant fit into 63 bits, they are sorted as one number, which is faster.
    """
    origin_ms = int(event_ms.min(initial=NEVER)) if len(key) else 0
    n_bits = (int(event_ms.max(initial=origin_ms)) - origin_ms).bit_length()
    if len(key) and (key.min() < 0 or int(key.max()).bit_length() + n_bits > 63):
        order = np.lexsort((event_ms, key))
        return key[order], event_ms[order]
    code = np.sort(key << n_bits | (event_ms - origin_ms))
    return code >> n_bits, (code & ((1 << n_bits) - 1)) + origin_ms
