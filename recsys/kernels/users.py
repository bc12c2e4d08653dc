"""The state of one user for pages: a packed profile, and the clicks since it was written."""

import ctypes
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recsys.kernels.library import (
    address,
    brief,
    done,
    ffi,
    library,
    pointer,
    require_finite,
    require_indices,
)

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

_user_state = brief(
    "recsys_user_state",
    ctypes.c_void_p,
    ctypes.c_char_p,
    ctypes.c_int64,
    ctypes.POINTER(ctypes.c_int64),
    ctypes.c_int64,
    ctypes.c_void_p,
    ctypes.c_void_p,
)


def fold_in(before: Floats, clicked: Floats, gram: Floats, confidence: float) -> Floats:
    """Return factors after clicks; see `recsys.blend.linear.fold_in`.

    Parameters
    ----------
    before : array of float32, shape (n_factors,)
    clicked : array of float32, shape (n_clicks, n_factors)
    gram : array of float32, shape (n_factors, n_factors)
    confidence
        Of each click.
    """
    n = len(before)
    after = np.empty(n, dtype=np.float32)
    done(
        library.recsys_fold_in(
            pointer("before", before, np.float32, n),
            pointer("clicked", clicked, np.float32, len(clicked), n),
            len(clicked),
            pointer("gram", gram, np.float32, n, n),
            n,
            confidence,
            pointer("after", after, np.float32, n),
        )
    )
    return after


class UserModel:
    """What user states of one run are made from.

    Parameters
    ----------
    live_index_of : array of int64, shape (n_known,)
        Live index of each known article, -1 if it is not live.
    factors : array of float32, shape (n_live, n_factors)
    gram : array of float32, shape (n_factors, n_factors)
    confidence
        Of a click made just now.
    n_categories, n_counts
        Number of sections, and of counts that a profile keeps of each exposed article.
    known_reads
        Most reads of a user.

    Raises
    ------
    ValueError
        If an index is out of range or a number is not finite.
    """

    def __init__(
        self,
        live_index_of: Ints,
        factors: Floats,
        gram: Floats,
        *,
        confidence: float,
        n_categories: int,
        n_counts: int,
        known_reads: int,
    ) -> None:
        n_live, n_factors = factors.shape
        require_indices("live_index_of", live_index_of, n_live, least=-1)
        require_finite("factors", factors)
        require_finite("gram", gram)
        if not np.isfinite(confidence):
            raise ValueError(f"click_confidence must be a finite number, got {confidence}")
        self.n_factors, self._n_features = n_factors, n_factors + n_categories
        self._known_reads, self._n_known = known_reads, len(live_index_of)
        self._arrays = (
            pointer("live_index_of", live_index_of, np.int64, len(live_index_of)),
            pointer("factors", np.ascontiguousarray(factors), np.float32, n_live, n_factors),
            pointer("gram", np.ascontiguousarray(gram), np.float32, n_factors, n_factors),
        )
        self._struct = ffi.new(
            "UserModel *",
            (
                self._n_known,
                n_factors,
                n_categories,
                n_counts,
                known_reads,
                *self._arrays,
                confidence,
            ),
        )
        self._address = address(self._struct)

    def state(self, packed: bytes, clicks: Sequence[int]) -> tuple[Floats, Ints, Ints]:
        """Return a user's side of products, latest reads, and live articles read.

        Parameters
        ----------
        packed
            A profile of `recsys.blend.profiles.pack_profiles`; b"" for an anonymous user.
        clicks
            Known indices of the articles clicked since, oldest first. Indices that the run does
            not know are left out.

        Raises
        ------
        ValueError
            If `packed` is not a profile of this run.
        """
        side = np.empty(self._n_features, dtype=np.float32)
        # Two lengths, the reads, and at most the articles that the profile and the clicks name.
        n_most = 2 + self._known_reads + len(packed) // 4 + len(clicks)
        found = np.empty(n_most, dtype=np.int64)
        since = [click for click in clicks if 0 <= click < self._n_known]
        status = _user_state(
            self._address,
            packed,
            len(packed),
            (ctypes.c_int64 * len(since))(*since) if since else None,
            len(since),
            address(pointer("side", side, np.float32, len(side))),
            address(pointer("found", found, np.int64, n_most)),
        )
        if status == library.DAMAGED:
            raise ValueError("a user's profile does not have the shape of this run")
        done(status)
        n_reads, n_read = found[:2].tolist()
        return side, found[2 : 2 + n_reads], found[2 + n_reads : 2 + n_reads + n_read]
