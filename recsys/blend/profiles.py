"""Profiles: what a run keeps of each user, and how a profile grows with new events.

A profile outlives its run. Known articles keep their indices from one refresh to the next, and
counts are decayed to the instant of a request. So a refresh writes only the profiles of users with
new events, and leaves the others to its base run.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.blend.curves import after_reads
from recsys.blend.linear import spans
from recsys.blend.live_model import PageModel, UserState
from recsys.kernels import users as kernels
from recsys.kernels.clicks import one_of_pair
from recsys.rows import HOUR_MS
from recsys.signals.event_features import READ_HOURS, SHOWN_HOURS, USER_FEATURES
from recsys.sorted_ints import distinct, make_pair, split_pair

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

_HALF_LIVES = np.array((*SHOWN_HOURS, *READ_HOURS))
_OF_VIEWS = np.arange(len(SHOWN_HOURS))
_OF_READS = np.arange(len(SHOWN_HOURS), len(USER_FEATURES))
# Words of 32 bits before the arrays of a profile: two of an instant, and three lengths. The
# kernels (users.c) read profiles too.
_HEAD = 5
NOTHING_EXPOSED = np.zeros(0, dtype=np.int64)
NO_COUNTS = np.zeros((len(USER_FEATURES), 0), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Profile:
    """What a run keeps of one user; articles by their known index.

    Attributes
    ----------
    as_of_ms
        When the counts were made.
    factors, affinity
        See `recsys.blend.live_model.UserState`; a section that came later has no affinity yet.
    reads : array of int64
        Latest reads, newest first.
    read : array of int64, ascending
        Articles read that were live at the time.
    met : array of int64, ascending
        Live articles that were shown to the user or read.
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
    """Numbers of several users, end to end.

    Attributes
    ----------
    start : array of int64, shape (n_users + 1,)
        Where the numbers of each user begin.
    values : array of int64
        The numbers.
    """

    start: Ints
    values: Ints

    @classmethod
    def of(cls, user: Ints, values: Ints, n_users: int) -> "Parts":
        """Return numbers that come user by user."""
        return cls(np.searchsorted(user, np.arange(n_users + 1)), values)

    @property
    def user(self) -> Ints:
        """Return the user index of each value."""
        return np.repeat(np.arange(len(self.start) - 1), np.diff(self.start))

    @property
    def pair(self) -> Ints:
        """Return each value and its user as one number."""
        return make_pair(self.user, self.values)


@dataclass(frozen=True, slots=True)
class Profiles:
    """Profiles of many users as arrays; see `Profile` for the fields.

    Attributes
    ----------
    as_of_ms : array of int64, shape (n_users,)
    factors, affinity : array of float32, one row a user
        A section that came after a profile has affinity 0.
    reads, read, met : Parts
    exposure_counts : array of float32, shape (n_features, n_exposed of all)
    """

    as_of_ms: Ints
    factors: Floats
    affinity: Floats
    reads: Parts
    read: Parts
    exposed: Parts
    exposure_counts: Floats


def pack_profiles(profiles: Profiles) -> list[bytes]:
    """Return each profile as bytes: the instant, three int32 lengths, then the arrays."""
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
    """Return the profiles of `pack_profiles`, which know of `n_categories` sections or fewer."""
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
    """Return one profile of `pack_profiles`.

    Raises
    ------
    ValueError
        If it is damaged: its lengths do not fit, or a number is not finite.
    """
    as_of_ms = int(np.frombuffer(packed, dtype="<i8", count=1)[0])
    n_reads, n_read, n_exposed = np.frombuffer(packed, dtype="<i4", count=3, offset=8).tolist()
    n_indices = n_reads + n_read + n_exposed
    n_counts = len(USER_FEATURES) * n_exposed
    if min(n_reads, n_read, n_exposed) < 0 or len(packed) < 20 + 4 * (
        n_indices + n_counts + n_factors
    ):
        raise ValueError("the lengths in a profile do not fit it")
    indices = np.frombuffer(packed, dtype="<i4", count=n_indices, offset=20).astype(np.int64)
    floats = np.frombuffer(packed, dtype="<f4", offset=20 + 4 * n_indices)
    if not np.isfinite(floats).all():
        raise ValueError("a number in a profile is not finite")
    return Profile(
        as_of_ms=as_of_ms,
        factors=floats[n_counts : n_counts + n_factors],
        affinity=floats[n_counts + n_factors :],
        reads=indices[:n_reads],
        read=indices[n_reads : n_reads + n_read],
        exposed=indices[n_reads + n_read :],
        exposure_counts=floats[:n_counts].reshape(len(USER_FEATURES), n_exposed),
    )


def _decay(hours: NDArray[np.float64], half_lives: NDArray[np.float64]) -> Floats:
    """Return the share of a count that is left after some hours, shape (n_half_lives, n_hours)."""
    return np.exp2(-hours / half_lives[:, np.newaxis]).astype(np.float32)


def user_model(model: PageModel, *, known_reads: int) -> kernels.UserModel:
    """Return a run as the kernels that read profiles know it.

    Parameters
    ----------
    model
        The run.
    known_reads
        How many reads of a user they read, the latest first.

    Raises
    ------
    ValueError
        If an index in the run is out of range, or a number is not finite.
    """
    live = model.live
    return kernels.UserModel(
        live.live_index_by_known(),
        live.factors,
        live.gram,
        confidence=live.click_confidence,
        n_categories=model.n_categories,
        n_counts=len(USER_FEATURES),
        known_reads=known_reads,
    )


class UserStateBuilder:
    """Makes the states of users of one run, from the profiles that it or its base run keeps.

    Parameters
    ----------
    model
        The run.

    Raises
    ------
    ValueError
        If an index in the run is out of range, or a number is not finite.
    """

    def __init__(self, model: PageModel) -> None:
        self._live = model.live
        self._kernel = user_model(model, known_reads=model.live.blend.known_reads)

    def state(self, packed: bytes, clicks: Sequence[int] = ()) -> UserState:
        """Return what pages need to know of a user: without counts of exposed articles.

        Parameters
        ----------
        packed
            The profile, of `pack_profiles`; b"" for a user without one.
        clicks
            Known indices of the articles clicked since, oldest first. A click that the profile
            knows is not learned twice.

        Raises
        ------
        ValueError
            If the profile is damaged, or of another run.
        """
        side, reads, read = self._kernel.state(packed, clicks)
        n = self._kernel.n_factors
        return UserState(side[:n], side[n:], reads, read, NOTHING_EXPOSED, NO_COUNTS)

    def state_at(self, packed: bytes, as_of_ms: int, clicks: Sequence[int] = ()) -> UserState:
        """Return a user's state with counts decayed to an instant; parameters as in `state`.

        Raises
        ------
        ValueError
            If the profile is damaged, of another run, or of a later instant.
        """
        before, after = self.state(packed), self.state(packed, clicks)
        exposed, counts = NOTHING_EXPOSED, NO_COUNTS
        if packed:
            profile = unpack_profile(packed, n_factors=self._kernel.n_factors)
            _require_sound_counts(profile, as_of_ms)
            hours = np.array([(as_of_ms - profile.as_of_ms) / HOUR_MS])
            counts = profile.exposure_counts * _decay(hours, _HALF_LIVES)
            exposed = profile.exposed
            if as_of_ms > profile.as_of_ms:
                still_live = self._live.live_index_of(exposed) >= 0
                counts, exposed = counts[:, still_live], exposed[still_live]
        counted = dataclasses.replace(after, exposed=exposed, exposure_counts=np.log1p(counts))
        new_reads = self._live.live_rows[np.setdiff1d(after.read, before.read)]
        return after_reads(counted, new_reads)


def _require_sound_counts(profile: Profile, as_of_ms: int) -> None:
    """Raise ValueError for counts that no run writes; the kernels do not read them."""
    counts = profile.exposure_counts
    if not (np.isfinite(counts).all() and (counts >= 0).all()):
        raise ValueError("counts must be finite and not negative")
    if (np.diff(profile.exposed) <= 0).any():
        raise ValueError("articles that were exposed must ascend")
    if profile.as_of_ms > as_of_ms:
        raise ValueError(f"a profile of {profile.as_of_ms} ms is later than {as_of_ms} ms")


def empty_profile(n_factors: int, n_categories: int, as_of_ms: int) -> Profiles:
    """Return the profile of one user without any history."""
    nothing = Parts(np.zeros(2, dtype=np.int64), NOTHING_EXPOSED)
    factors, affinity = (np.zeros((1, n), dtype=np.float32) for n in (n_factors, n_categories))
    instant = np.array([as_of_ms], dtype=np.int64)
    return Profiles(instant, factors, affinity, nothing, nothing, nothing, NO_COUNTS)


class Exposures(NamedTuple):
    """Articles that users were shown or read since a run: user (a row of profiles) and instant."""

    user: Ints
    article: Ints
    event_ms: Ints

    @property
    def pair(self) -> Ints:
        """Return each article and its user as one number."""
        return make_pair(self.user, self.article)


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
    """Return profiles after new events: what a nightly run would know of the users.

    Parameters
    ----------
    profiles
        Before.
    clicked : (array of int64, array of int64)
        Users (rows of `profiles`) and articles clicked since, each pair once, oldest first.
    first, shown
        Articles clicked since for the first time, and articles shown.
    factors : array of float32, one row a user
        After these clicks (see `recsys.blend.linear.fold_in`).
    is_live : array of bool, shape (n_known,)
        As of now.
    as_of_ms
        Now.
    known_reads
        How many reads are kept.
    """
    n, (user, article) = len(profiles.as_of_ms), clicked
    reads, read, exposed = profiles.reads, profiles.read, profiles.exposed
    # Latest reads, newest first: these clicks, then those known, of which each article once.
    users = np.concatenate((user[::-1], reads.user))
    articles = np.concatenate((article[::-1], reads.values))
    once = np.flatnonzero(one_of_pair(users, articles, first=True))
    once = once[np.argsort(users[once], kind="stable")]
    latest = Parts.of(users[once], articles[once], n)
    late = np.arange(len(once)) - latest.start[latest.user] < known_reads
    latest = Parts.of(latest.user[late], latest.values[late], n)

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
    hours = (as_of_ms - profiles.as_of_ms[exposed.user[old]]) / HOUR_MS
    index = np.searchsorted(pair, old_pair)
    counts[:, index] = profiles.exposure_counts[:, old] * _decay(hours, _HALF_LIVES)
    for rows, of in zip((_OF_VIEWS, _OF_READS), events, strict=True):
        weight = _decay((as_of_ms - of.event_ms) / HOUR_MS, _HALF_LIVES[rows])
        index = np.searchsorted(pair, of.pair)
        for row, values in zip(rows.tolist(), weight, strict=True):
            np.add.at(counts[row], index, values)
    now = is_live[article]
    pairs = [was_read, make_pair(user[now], article[now])]
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
    """Return ascending pairs of users and articles as the articles of each user."""
    return Parts.of(*split_pair(pair), n_users)
