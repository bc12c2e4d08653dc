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
Doubles = NDArray[np.float64]

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
        self.n_factors, self.n_features = n_factors, n_factors + n_categories
        self.n_live, self.n_known = n_live, len(live_index_of)
        self._known_reads = known_reads
        self._arrays = (
            pointer("live_index_of", live_index_of, np.int64, len(live_index_of)),
            pointer("factors", np.ascontiguousarray(factors), np.float32, n_live, n_factors),
            pointer("gram", np.ascontiguousarray(gram), np.float32, n_factors, n_factors),
        )
        self.struct = ffi.new(
            "UserModel *",
            (
                self.n_known,
                n_factors,
                n_categories,
                n_counts,
                known_reads,
                *self._arrays,
                confidence,
            ),
        )
        self._address = address(self.struct)

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
        side = np.empty(self.n_features, dtype=np.float32)
        # Two lengths, the reads, and at most the articles that the profile and the clicks name.
        n_most = 2 + self._known_reads + len(packed) // 4 + len(clicks)
        found = np.empty(n_most, dtype=np.int64)
        since = [click for click in clicks if 0 <= click < self.n_known]
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


class ArticleScores:
    """Scores one live article for users, out of their packed profiles.

    Parameters
    ----------
    users
        The run, with the number of latest reads that count (`known_reads`).
    side : array of float32, shape (n_features,)
        The article's side of the products with users, weighted: factors, then sections.
    text : array of float32, shape (n_known,)
        Its weighted cosine of text with each known article.
    recent_weight : array of float32, shape (recent_reads + 1, recent_reads)
        Weights of recent reads, by how many there are.
    fixed
        Sum of its weighted static signals.
    activity : array of float64, shape (n_live + 1,)
        Added to the score, by how many live articles a user has read.
    excludes : array of bool, shape (n_live,)
        Whether a user who has read this live article is left out.
    vectors : array of float32, shape (n_known, n_dimensions)
        The publisher's vectors of articles; without columns where there are none.
    vector : array of float32, shape (n_dimensions,)
        That of the article, weighted.

    Raises
    ------
    ValueError
        If an array does not have its shape, or a number is not finite.
    """

    def __init__(
        self,
        users: UserModel,
        *,
        side: Floats,
        text: Floats,
        recent_weight: Floats,
        fixed: float,
        activity: Doubles,
        excludes: NDArray[np.bool_],
        vectors: Floats,
        vector: Floats,
    ) -> None:
        require_finite("side", side)
        require_finite("text", text)
        require_finite("recent_weight", recent_weight)
        require_finite("activity", activity)
        require_finite("vectors", vectors)
        require_finite("vector", vector)
        require_finite("fixed", np.array([fixed]))
        n_recent = recent_weight.shape[1]
        fields = (
            users.n_features,
            pointer("side", side, np.float32, users.n_features),
            pointer("text", text, np.float32, users.n_known),
            pointer("recent_weight", recent_weight, np.float32, n_recent + 1, n_recent),
            n_recent,
            fixed,
            pointer("activity", activity, np.float64, users.n_live + 1),
            pointer("excludes", excludes, np.bool_, users.n_live),
            len(vector),
            pointer("vectors", vectors, np.float32, users.n_known, len(vector)),
            pointer("vector", vector, np.float32, len(vector)),
        )
        self._users, self._kept = users, fields  # cffi's structures do not keep arrays alive
        self._struct = ffi.new("ScoredArticle *", fields)

    def scores(self, packed: Sequence[bytes]) -> Doubles:
        """Return the score of the article for each of some users.

        Parameters
        ----------
        packed
            The profiles of the users, see `UserModel.state`.

        Returns
        -------
        array of float64, shape (n_users,)
            -inf for a user who is left out, NaN for one whose profile does not have the shape of
            this run.
        """
        start = np.zeros(len(packed) + 1, dtype=np.int64)
        np.cumsum([len(profile) for profile in packed], out=start[1:])
        profiles, scores = b"".join(packed), np.empty(len(packed))
        done(
            library.recsys_article_scores(
                self._users.struct,
                self._struct,
                ffi.from_buffer("uint8_t[]", profiles),
                pointer("start", start, np.int64, len(start)),
                len(packed),
                pointer("scores", scores, np.float64, len(packed)),
            )
        )
        return scores
