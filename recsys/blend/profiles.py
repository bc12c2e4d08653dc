"""What a run keeps of a reader, and how it grows with what came since.

A profile outlives its run: known articles keep their numbers from one refresh to the
next, and counts are decayed to the moment they are asked about. So a refresh writes the
profiles of those who clicked or were shown something, and leaves the others alone.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.blend.curves import READ_HOURS, SHOWN_HOURS, USER_FEATURES, after_reads
from recsys.blend.linear import spans
from recsys.blend.live_model import PageModel, UserState
from recsys.kernels import readers as kernels
from recsys.kernels.clicks import one_of_pair
from recsys.rows import HOUR_MS
from recsys.sorted_ints import distinct, make_pair, split_pair

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

_HALF_LIVES = np.array((*SHOWN_HOURS, *READ_HOURS))
_OF_VIEWS = np.arange(len(SHOWN_HOURS))
_OF_READS = np.arange(len(SHOWN_HOURS), len(USER_FEATURES))
# Words of 32 bits before a profile's arrays: an instant of two, and three lengths. Profiles are
# read in `recsys.kernels.readers` too.
_HEAD = 5
NOTHING_EXPOSED = np.zeros(0, dtype=np.int64)
NO_COUNTS = np.zeros((len(USER_FEATURES), 0), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Profile:
    """What a run keeps of one reader; articles by their known index.

    Attributes
    ----------
    as_of_ms
        When the counts were made.
    factors, affinity
        As of `recsys.blend.live_model.UserState`; a section that came later has no affinity yet.
    reads : array of int64
        Latest reads, newest first.
    read : array of int64, ascending
        Articles read that were live at the time.
    met : array of int64, ascending
        Live articles that were shown to the reader or read.
    exposure_counts : array of float32, shape (n_features, n_met)
        How often, decayed by the half-life of each of `USER_FEATURES`.
    """

    as_of_ms: int
    factors: Floats
    affinity: Floats
    reads: Ints
    read: Ints
    exposed: Ints
    exposure_counts: Floats


class Parts(NamedTuple):
    """Numbers of some readers, end to end: where each reader's begin (n_users + 1), and they."""

    start: Ints
    values: Ints

    @classmethod
    def of(cls, reader: Ints, values: Ints, n_users: int) -> "Parts":
        """Return numbers that stand reader by reader."""
        return cls(np.searchsorted(reader, np.arange(n_users + 1)), values)

    @property
    def reader(self) -> Ints:
        """Return whose each number is."""
        return np.repeat(np.arange(len(self.start) - 1), np.diff(self.start))

    @property
    def pair(self) -> Ints:
        """Return each number and whose it is, as one."""
        return make_pair(self.reader, self.values)


@dataclass(frozen=True, slots=True)
class Profiles:
    """Profiles of some readers, as arrays: for many at once. Fields as of `Profile`.

    Attributes
    ----------
    as_of_ms : array of int64, shape (n_users,)
    factors, affinity : array of float32, a row a reader
        A section that came after a profile has affinity 0.
    reads, read, met : Parts
    exposure_counts : array of float32, shape (n_features, n_met of all)
    """

    as_of_ms: Ints
    factors: Floats
    affinity: Floats
    reads: Parts
    read: Parts
    exposed: Parts
    exposure_counts: Floats


def pack_profiles(profiles: Profiles) -> list[bytes]:
    """Return profiles as bytes: the instant, three int32 lengths, then the arrays."""
    parts = (profiles.reads, profiles.read, profiles.exposed)
    exposure_counts, n = profiles.exposure_counts, len(profiles.as_of_ms)
    lengths = [np.diff(part.start) for part in parts]
    tables = (profiles.factors, profiles.affinity)
    n_fixed = _HEAD + sum(table.shape[1] for table in tables)
    size = n_fixed + sum(lengths) + len(exposure_counts) * lengths[2]
    edges = np.concatenate(([0], np.cumsum(size)))
    at, words = edges[:-1], np.empty(int(edges[-1]), dtype="<u4")
    instants = profiles.as_of_ms.astype("<i8").view("<u4").reshape(n, 2)
    words[at[:, np.newaxis] + np.arange(_HEAD)] = np.column_stack((instants, *lengths))
    at = at + _HEAD
    columns = [part.values.astype("<i4") for part in parts]
    columns += [counts.astype("<f4") for counts in exposure_counts]
    for values, length in zip(columns, lengths + [lengths[2]] * len(exposure_counts), strict=True):
        words[spans(at, length)] = values.view("<u4")
        at = at + length
    for table in tables:
        width = np.arange(table.shape[1])
        words[at[:, np.newaxis] + width] = np.ascontiguousarray(table, "<f4").view("<u4")
        at = at + len(width)
    packed = words.tobytes()
    return [packed[begin:end] for begin, end in pairwise((4 * edges).tolist())]


def unpack_profiles(packed: Sequence[bytes], *, n_factors: int, n_categories: int) -> Profiles:
    """Return the profiles of `pack_profiles`, of this many sections or of fewer."""
    words, n = np.frombuffer(b"".join(packed), dtype="<u4"), len(packed)
    ends = np.cumsum([0, *(len(data) // 4 for data in packed)])
    at, ends = ends[:-1], ends[1:]
    instants = np.ascontiguousarray(words[at[:, np.newaxis] + np.arange(2)])
    lengths = words[at[:, np.newaxis] + np.arange(2, _HEAD)].astype(np.int64).T
    at = at + _HEAD

    def taken(length: Ints, dtype: str) -> NDArray[Any]:
        nonlocal at
        inside, at = spans(at, length), at + length
        return words[inside].view(dtype)

    reads, read, exposed = (
        Parts(np.concatenate(([0], np.cumsum(length))), taken(length, "<i4").astype(np.int64))
        for length in lengths
    )
    exposure_counts = np.array([taken(lengths[2], "<f4") for _ in USER_FEATURES])
    factors = taken(np.full(n, n_factors), "<f4").reshape(n, n_factors)
    n_known = ends - at
    affinity = np.zeros((n, n_categories), dtype=np.float32)
    affinity[np.arange(n_categories) < n_known[:, np.newaxis]] = taken(n_known, "<f4")
    as_of_ms = instants.view("<i8").ravel().astype(np.int64)
    return Profiles(as_of_ms, factors, affinity, reads, read, exposed, exposure_counts)


def unpack_profile(packed: bytes, *, n_factors: int) -> Profile:
    """Return one profile of `pack_profiles`."""
    as_of_ms = int(np.frombuffer(packed, dtype="<i8", count=1)[0])
    n_reads, n_read, n_met = np.frombuffer(packed, dtype="<i4", count=3, offset=8).tolist()
    n_indices = n_reads + n_read + n_met
    indices = np.frombuffer(packed, dtype="<i4", count=n_indices, offset=20).astype(np.int64)
    floats = np.frombuffer(packed, dtype="<f4", offset=20 + 4 * n_indices)
    n_counts = len(USER_FEATURES) * n_met
    return Profile(
        as_of_ms=as_of_ms,
        factors=floats[n_counts : n_counts + n_factors],
        affinity=floats[n_counts + n_factors :],
        reads=indices[:n_reads],
        read=indices[n_reads : n_reads + n_read],
        exposed=indices[n_reads + n_read :],
        exposure_counts=floats[:n_counts].reshape(len(USER_FEATURES), n_met),
    )


def _decay(hours: NDArray[np.float64], half_lives: NDArray[np.float64]) -> Floats:
    """Return what counts are worth after some hours, shape (n_half_lives, n_hours)."""
    return np.exp2(-hours / half_lives[:, np.newaxis]).astype(np.float32)


class UserStateBuilder:
    """Makes readers of one run, out of what it or the night it refreshes kept of them.

    Parameters
    ----------
    model
        The run.
    """

    def __init__(self, model: PageModel) -> None:
        self._live = live = model.live
        self._told = kernels.Told(
            live.places(),
            live.factors,
            live.gram,
            confidence=live.click_confidence,
            n_categories=model.n_categories,
            n_counts=len(USER_FEATURES),
            known_reads=live.weights.known_reads,
        )

    def reader(self, packed: bytes, clicks: Sequence[int] = ()) -> UserState:
        """Return what pages ask of a reader: with no counts of what they met.

        Parameters
        ----------
        packed
            Their profile, of `pack_profiles`; b"" for somebody of whom nothing is kept.
        clicks
            Known indices of what they clicked since, oldest first. One that the profile knows is
            not learned twice.

        Raises
        ------
        ValueError
            If the profile is of another shape than this run.
        """
        side, reads, read = self._told.reader(packed, clicks)
        n = self._told.n_factors
        return UserState(side[:n], side[n:], reads, read, NOTHING_EXPOSED, NO_COUNTS)

    def reader_at(self, packed: bytes, as_of_ms: int, clicks: Sequence[int] = ()) -> UserState:
        """Return a reader whose counts are of an instant of this run; as of `reader`."""
        before, after = self.reader(packed), self.reader(packed, clicks)
        exposed, counts = NOTHING_EXPOSED, NO_COUNTS
        if packed:
            profile = unpack_profile(packed, n_factors=self._told.n_factors)
            hours = np.array([(as_of_ms - profile.as_of_ms) / HOUR_MS])
            counts, exposed = profile.exposure_counts * _decay(hours, _HALF_LIVES), profile.exposed
            if as_of_ms > profile.as_of_ms:
                still = self._live.live_index_of(exposed) >= 0
                counts, exposed = counts[:, still], exposed[still]
        counted = dataclasses.replace(after, exposed=exposed, exposure_counts=np.log1p(counts))
        return after_reads(counted, self._live.live_rows[np.setdiff1d(after.read, before.read)])


def empty_profile(n_factors: int, n_categories: int, as_of_ms: int) -> Profiles:
    """Return the profile of one reader of whom nothing is known."""
    nothing = Parts(np.zeros(2, dtype=np.int64), NOTHING_EXPOSED)
    factors, affinity = (np.zeros((1, n), dtype=np.float32) for n in (n_factors, n_categories))
    instant = np.array([as_of_ms], dtype=np.int64)
    return Profiles(instant, factors, affinity, nothing, nothing, nothing, NO_COUNTS)


class Exposures(NamedTuple):
    """Articles that readers met since, each with its reader (a row of profiles) and when."""

    reader: Ints
    article: Ints
    event_ms: Ints

    @property
    def pair(self) -> Ints:
        """Return each article and who met it, as one."""
        return make_pair(self.reader, self.article)


def advanced(
    profiles: Profiles,
    clicked: tuple[Ints, Ints],
    first: Exposures,
    shown: Exposures,
    *,
    factors: Floats,
    is_live: NDArray[np.bool_],
    as_of_ms: int,
    known_reads: int,
) -> Profiles:
    """Return profiles after what came since: what a night would know of the readers.

    Parameters
    ----------
    profiles
        Before.
    clicked : (array of int64, array of int64)
        Readers (rows of `profiles`) and articles clicked since, each pair once, oldest first.
    first, shown
        Articles clicked since for the first time, and articles shown.
    factors : array of float32, a row a reader
        After these clicks (see `recsys.blend.linear.fold_in`).
    is_live : array of bool, shape (n_known,)
        As of now.
    as_of_ms
        Now.
    known_reads
        How many reads are kept.
    """
    n, (reader, article) = len(profiles.as_of_ms), clicked
    reads, read, exposed = profiles.reads, profiles.read, profiles.exposed
    # Latest reads, newest first: these clicks, then those known, of which each article once.
    who = np.concatenate((reader[::-1], reads.reader))
    what = np.concatenate((article[::-1], reads.values))
    once = np.flatnonzero(one_of_pair(who, what, first=True))
    once = once[np.argsort(who[once], kind="stable")]
    latest = Parts.of(who[once], what[once], n)
    late = np.arange(len(once)) - latest.start[latest.reader] < known_reads
    latest = Parts.of(latest.reader[late], latest.values[late], n)

    was_read = read.pair
    before = np.concatenate((was_read, reads.pair))
    counted = is_live[first.article] & ~np.isin(first.pair, before)
    seen, old = is_live[shown.article], np.flatnonzero(is_live[exposed.values])
    old_pair = exposed.pair[old]
    events = [
        Exposures(*(column[use] for column in of)) for of, use in ((shown, seen), (first, counted))
    ]
    pair = distinct(np.concatenate([old_pair, *(of.pair for of in events)]))
    counts = np.zeros((len(_HALF_LIVES), len(pair)), dtype=np.float32)
    hours = (as_of_ms - profiles.as_of_ms[exposed.reader[old]]) / HOUR_MS
    place = np.searchsorted(pair, old_pair)
    counts[:, place] = profiles.exposure_counts[:, old] * _decay(hours, _HALF_LIVES)
    for rows, of in zip((_OF_VIEWS, _OF_READS), events, strict=True):
        weight = _decay((as_of_ms - of.event_ms) / HOUR_MS, _HALF_LIVES[rows])
        place = np.searchsorted(pair, of.pair)
        for row, values in zip(rows.tolist(), weight, strict=True):
            np.add.at(counts[row], place, values)
    now = is_live[article]
    pairs = [was_read, make_pair(reader[now], article[now])]
    return Profiles(
        np.full(n, as_of_ms),
        factors,
        profiles.affinity,
        latest,
        _parts_of(distinct(np.concatenate(pairs)), n),
        _parts_of(pair, n),
        counts,
    )


def _parts_of(pair: Ints, n_users: int) -> Parts:
    """Return ascending pairs of readers and articles as the articles of each reader."""
    return Parts.of(*split_pair(pair), n_users)
