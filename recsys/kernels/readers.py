"""One reader out of what is kept of them and what they clicked since, and their factors then."""

import ctypes
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recsys.kernels.library import address, brief, done, pointer, real, size

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

DAMAGED = 1


class _Told(ctypes.Structure):
    _fields_ = [
        ("n_known", size),
        ("n_factors", size),
        ("n_categories", size),
        ("n_counts", size),
        ("known_reads", size),
        ("place_of", pointer),
        ("factors", pointer),
        ("gram", pointer),
        ("confidence", real),
    ]


brief.recsys_fold_in.argtypes = [pointer, pointer, size, pointer, size, real, pointer]
brief.recsys_reader.argtypes = [pointer, ctypes.c_char_p, size, pointer, size, pointer, pointer]


def fold_in(before: Floats, clicked: Floats, gram: Floats, confidence: float) -> Floats:
    """Return the factors of `recsys.blend.linear.fold_in`, which says what they are."""
    n = len(before)
    after = np.empty(n, dtype=np.float32)
    done(
        brief.recsys_fold_in(
            address(before, np.float32, n),
            address(clicked, np.float32, len(clicked), n),
            len(clicked),
            address(gram, np.float32, n, n),
            n,
            confidence,
            address(after, np.float32, n),
        )
    )
    return after


class Told:
    """What a run tells its readers by.

    Parameters
    ----------
    place_of : array of int64, shape (n_known,)
        Live place of each known article, -1 for none.
    factors : array of float32, shape (n_live, n_factors)
    gram : array of float32, shape (n_factors, n_factors)
    confidence
        As of `recsys.blend.linear.fold_in`.
    n_categories, n_counts
        Sections, and counts kept of each article that a reader met.
    known_reads
        Most reads of a reader.
    """

    def __init__(
        self,
        place_of: Ints,
        factors: Floats,
        gram: Floats,
        *,
        confidence: float,
        n_categories: int,
        n_counts: int,
        known_reads: int,
    ) -> None:
        n_factors = factors.shape[1]
        self._kept = place_of, np.ascontiguousarray(factors), np.ascontiguousarray(gram)
        self.n_factors, self._n_features = n_factors, n_factors + n_categories
        self._known_reads = known_reads
        self._struct = _Told(
            len(place_of),
            n_factors,
            n_categories,
            n_counts,
            known_reads,
            address(place_of, np.int64, len(place_of)),
            address(self._kept[1], np.float32, *factors.shape),
            address(self._kept[2], np.float32, n_factors, n_factors),
            confidence,
        )
        self._at = ctypes.addressof(self._struct)

    def reader(self, packed: bytes, clicks: Sequence[int]) -> tuple[Floats, Ints, Ints]:
        """Return a reader's side of products, latest reads, and read live places.

        Parameters
        ----------
        packed
            Of `recsys.blend.profiles.pack_profiles`; b"" for nobody.
        clicks
            Known indices of what they clicked since, oldest first.

        Raises
        ------
        ValueError
            If `packed` is no profile of this run.
        """
        side = np.empty(self._n_features, dtype=np.float32)
        # Two lengths, the reads, and no more read places than the profile and the clicks name.
        n_most = 2 + self._known_reads + len(packed) // 4 + len(clicks)
        found, since = np.empty(n_most, dtype=np.int64), (size * len(clicks))(*clicks)
        status = brief.recsys_reader(
            self._at,
            packed,
            len(packed),
            since,
            len(clicks),
            address(side, np.float32, len(side)),
            address(found, np.int64, n_most),
        )
        if status == DAMAGED:
            raise ValueError("a reader's profile is not of this run's shape")
        done(status)
        n_reads, n_read = found[:2].tolist()
        return side, found[2 : 2 + n_reads], found[2 + n_reads : 2 + n_reads + n_read]
