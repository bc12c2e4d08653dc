"""What a run keeps of a reader, and how it grows with what came since.

A profile outlives its run: known articles keep their numbers from one refresh to the
next, and counts are decayed to the moment they are asked about. So a refresh writes the
profiles of those who clicked or were shown something, and leaves the others alone.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from recsys.blend import LiveModel, Reader, fold_in, spans
from recsys.page.rankings import PageModel
from recsys.rank import (
    READ_HOURS,
    READER_FEATURES,
    SHOWN_HOURS,
    after_reads,
    unknown_reader,
)
from recsys.rows import HOUR_MS

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

_HALF_LIVES = np.array((*SHOWN_HOURS, *READ_HOURS))
_OF_VIEWS = np.arange(len(SHOWN_HOURS))
_OF_READS = np.arange(len(SHOWN_HOURS), len(READER_FEATURES))
NOTHING_MET = np.zeros(0, dtype=np.int64)
NO_COUNTS = np.zeros((len(READER_FEATURES), 0), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Profile:
    """What a run keeps of one reader; articles by their known index.

    Attributes
    ----------
    as_of_ms
        When the counts were made.
    factors, affinity
        As of `recsys.blend.Reader`; a section that came later has no affinity yet.
    reads : array of int64
        Latest reads, newest first.
    read : array of int64, ascending
        Articles read that were live at the time.
    met : array of int64, ascending
        Live articles that were shown to the reader or read.
    met_counts : array of float32, shape (n_features, n_met)
        How often, decayed by the half-life of each of `READER_FEATURES`.
    """

    as_of_ms: int
    factors: Floats
    affinity: Floats
    reads: Ints
    read: Ints
    met: Ints
    met_counts: Floats


def pack_profile(profile: Profile) -> bytes:
    """Return a profile as bytes: the instant, three int32 lengths, then the arrays."""
    indices = (profile.reads, profile.read, profile.met)
    floats = (profile.met_counts, profile.factors, profile.affinity)
    return b"".join(
        (
            np.array([profile.as_of_ms], dtype="<i8").tobytes(),
            np.array([len(a) for a in indices], dtype="<i4").tobytes(),
            *(a.astype("<i4").tobytes() for a in indices),
            *(a.astype("<f4").tobytes() for a in floats),
        )
    )


def pack_profiles(
    as_of_ms: int,
    reads: tuple[Ints, Ints],
    read: tuple[Ints, Ints],
    met: tuple[Ints, Ints],
    met_counts: Floats,
    factors: Floats,
    affinity: Floats,
) -> list[bytes]:
    """Return `pack_profile` of many readers at once.

    Parameters
    ----------
    as_of_ms
        Of all of them.
    reads, read, met
        As of `Profile`: where each reader's begin (n_readers + 1), and all of them end to end.
    met_counts : array of float32, shape (n_features, n_met of all)
    factors, affinity : array of float32, a row a reader
    """
    lengths = [np.diff(start) for start, _ in (reads, read, met)]
    n_fixed = 5 + factors.shape[1] + affinity.shape[1]  # an instant has two words of 32 bits
    ends = np.cumsum(n_fixed + sum(lengths) + len(met_counts) * lengths[2])
    at = np.concatenate(([0], ends[:-1]))
    words = np.empty(int(ends[-1]) if len(ends) else 0, dtype="<u4")
    instant = np.array([as_of_ms], dtype="<i8").view("<u4")
    head = np.column_stack([*(np.full(len(at), word) for word in instant), *lengths])
    words[at[:, np.newaxis] + np.arange(5)] = head
    at = at + 5
    parts = [values.astype("<i4") for _, values in (reads, read, met)]
    parts += [counts.astype("<f4") for counts in met_counts]
    for values, length in zip(parts, lengths + [lengths[2]] * len(met_counts), strict=True):
        words[spans(at, length)] = values.view("<u4")
        at = at + length
    for table in (factors, affinity):
        columns = np.arange(table.shape[1])
        words[at[:, np.newaxis] + columns] = np.ascontiguousarray(table, "<f4").view("<u4")
        at = at + len(columns)
    packed = words.tobytes()
    edges = (4 * np.concatenate(([0], ends))).tolist()
    return [packed[begin:end] for begin, end in pairwise(edges)]


def unpack_profile(packed: bytes, *, n_factors: int) -> Profile:
    """Return the profile of `pack_profile`."""
    as_of_ms = int(np.frombuffer(packed, dtype="<i8", count=1)[0])
    n_reads, n_read, n_met = np.frombuffer(packed, dtype="<i4", count=3, offset=8).tolist()
    n_indices = n_reads + n_read + n_met
    indices = np.frombuffer(packed, dtype="<i4", count=n_indices, offset=20).astype(np.int64)
    floats = np.frombuffer(packed, dtype="<f4", offset=20 + 4 * n_indices)
    n_counts = len(READER_FEATURES) * n_met
    return Profile(
        as_of_ms=as_of_ms,
        factors=floats[n_counts : n_counts + n_factors],
        affinity=floats[n_counts + n_factors :],
        reads=indices[:n_reads],
        read=indices[n_reads : n_reads + n_read],
        met=indices[n_reads + n_read :],
        met_counts=floats[:n_counts].reshape(len(READER_FEATURES), n_met),
    )


def _decayed(profile: Profile, as_of_ms: int) -> Floats:
    hours = (as_of_ms - profile.as_of_ms) / HOUR_MS
    decay = np.exp2(-hours / _HALF_LIVES).astype(np.float32)
    counts: Floats = profile.met_counts * decay[:, np.newaxis]
    return counts


def reader_at(profile: Profile, live: LiveModel, n_categories: int, as_of_ms: int) -> Reader:
    """Return the reader of a profile, as of a run that may be later.

    Parameters
    ----------
    profile
        Of this run, or of the night it refreshes.
    live, n_categories, as_of_ms
        The run.
    """
    counts, met = _decayed(profile, as_of_ms), profile.met
    if as_of_ms > profile.as_of_ms:
        still = live.live_place(met) >= 0
        counts, met = counts[:, still], met[still]
    reader = page_reader(profile, live, n_categories)
    return dataclasses.replace(reader, met=met, met_counts=np.log1p(counts))


def page_reader(profile: Profile, live: LiveModel, n_categories: int) -> Reader:
    """Return what pages ask of a reader: `reader_at` with no counts of what they met."""
    affinity = profile.affinity
    if len(affinity) < n_categories:
        affinity = np.pad(affinity, (0, n_categories - len(affinity)))
    read = live.live_place(profile.read)
    return Reader(profile.factors, affinity, profile.reads, read[read >= 0], NOTHING_MET, NO_COUNTS)


def profile_of(reader: Reader, live_rows: Ints, as_of_ms: int) -> Profile:
    """Return what is kept of a reader of a run made as of an instant."""
    return Profile(
        as_of_ms=as_of_ms,
        factors=reader.factors,
        affinity=reader.affinity,
        reads=reader.reads,
        read=live_rows[reader.read],
        met=reader.met,
        met_counts=np.expm1(reader.met_counts),
    )


def advanced(
    profile: Profile,
    clicked: Ints,
    first: tuple[Ints, Ints],
    shown: tuple[Ints, Ints],
    *,
    factors: Floats,
    is_live: NDArray[np.bool_],
    as_of_ms: int,
    known_reads: int,
) -> Profile:
    """Return a profile after what came since: what a night would know of the reader.

    Parameters
    ----------
    profile
        Before.
    clicked : array of int64
        Articles clicked since, each once, oldest first.
    first, shown : (array of int64, array of int64)
        Articles clicked since for the first time, and articles shown, and when in ms.
    factors
        After these clicks (see `recsys.blend.fold_in`).
    is_live : array of bool, shape (n_known,)
        As of now.
    as_of_ms
        Now.
    known_reads
        How many reads are kept.
    """
    newest_first = dict.fromkeys([*clicked[::-1].tolist(), *profile.reads.tolist()])
    old = is_live[profile.met]
    before = np.union1d(profile.read, profile.reads)
    counted = is_live[first[0]] & ~np.isin(first[0], before)
    seen = is_live[shown[0]]
    met = np.unique(np.concatenate((profile.met[old], first[0][counted], shown[0][seen])))
    counts = np.zeros((len(_HALF_LIVES), len(met)), dtype=np.float32)
    counts[:, np.searchsorted(met, profile.met[old])] = _decayed(profile, as_of_ms)[:, old]
    for rows, (article, event_ms), use in ((_OF_VIEWS, shown, seen), (_OF_READS, first, counted)):
        hours = (as_of_ms - event_ms[use]) / HOUR_MS
        weight = np.exp2(-hours / _HALF_LIVES[rows, np.newaxis]).astype(np.float32)
        place = np.searchsorted(met, article[use])
        for row, values in zip(rows.tolist(), weight, strict=True):
            np.add.at(counts[row], place, values)
    return dataclasses.replace(
        profile,
        as_of_ms=as_of_ms,
        factors=factors,
        reads=np.array(list(newest_first)[:known_reads], dtype=np.int64),
        read=np.union1d(profile.read, clicked[is_live[clicked]]),
        met=met,
        met_counts=counts,
    )


def after_clicks(model: PageModel, reader: Reader | None, fresh: Sequence[int]) -> Reader:
    """Return a reader who has also clicked `fresh` (known indices, oldest first) just now.

    Counts of what they met stay as they were, for no page asks for them: see `with_counts`.
    """
    live = model.live
    if reader is None:
        reader = unknown_reader(live.factors.shape[1], model.n_categories)
    newest_first = dict.fromkeys([*reversed(fresh), *reader.reads.tolist()])
    # A click the night already knew is not learned twice.
    unseen = _unseen(live, reader, fresh)
    return dataclasses.replace(
        reader,
        factors=fold_in(
            reader.factors, live.factors[unseen], gram=live.gram, confidence=live.click_confidence
        ),
        reads=np.array(list(newest_first)[: live.weights.known_reads], dtype=np.int64),
        read=np.array(sorted({*reader.read.tolist(), *unseen}), dtype=np.int64),
    )


def with_counts(model: PageModel, before: Reader | None, after: Reader) -> Reader:
    """Return a reader `after_clicks` whose counts know of those clicks too."""
    known = set() if before is None else set(before.read.tolist())
    unseen = [place for place in after.read.tolist() if place not in known]
    return after_reads(after, model.live.live_rows[unseen])


def _unseen(live: LiveModel, reader: Reader, fresh: Sequence[int]) -> list[int]:
    """Return the live places of clicks on what the reader had not read, each once."""
    places, read = live.live_place(fresh).tolist(), set(reader.read.tolist())
    return [place for place in dict.fromkeys(places) if place >= 0 and place not in read]
