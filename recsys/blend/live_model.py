"""The articles and the user that a score is made of, as plain arrays."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.config import BlendConfig, PageConfig

Floats = NDArray[np.float32]


Ints = NDArray[np.int64]


# The parts of a score, in the order they are reported.
PARTS = (
    "context_text",
    "context_item_item",
    "context_category",
    "text",
    "als",
    "affinity",
    "popularity",
    "ctr",
    "recency",
)


STATIC_PARTS = ("popularity", "ctr", "recency")


@dataclass(frozen=True, slots=True)
class Rows:
    """A sparse matrix as three plain arrays, so that serving needs no scipy.

    Attributes
    ----------
    start : array of int64, shape (n_rows + 1,)
    column : array of int32, shape (nnz,)
    value : array of float32, shape (nnz,)
        Row i is `column[start[i]:start[i + 1]]`, `value[...]`.
    """

    start: NDArray[np.int64]
    column: NDArray[np.int32]
    value: Floats

    def row(self, index: int) -> tuple[NDArray[np.int32], Floats]:
        """Return columns and values of one row."""
        part = slice(self.start[index], self.start[index + 1])
        return self.column[part], self.value[part]


def live_indices(live_rows: Ints, known: Sequence[int] | Ints) -> Ints:
    """Return the place of known articles among ascending live ones, -1 for those not live."""
    known = np.asarray(known, dtype=np.int64)
    if not len(live_rows):
        return np.full(len(known), -1, dtype=np.int64)
    place = np.minimum(np.searchsorted(live_rows, known), len(live_rows) - 1)
    return np.where(live_rows[place] == known, place, -1)


@dataclass(frozen=True, slots=True)
class LiveModel:
    """All that scoring needs to know of the articles.

    "Known" articles are those with a place in the run (live, or read lately);
    "live" ones may be recommended. A live place is 0..n_live-1.

    Attributes
    ----------
    live_rows : array of int64, shape (n_live,)
        The known index of each live article, ascending.
    static : dict of array of float32, shape (n_live,)
        Signals that are the same for all readers, unweighted, by name.
    factors : array of float32, shape (n_live, factors)
        ALS factors, zeros where nothing is known.
    warm : array of bool, shape (n_live,)
        Whose factors are learned from clicks; the others are estimated from text.
    gram : array of float32, shape (factors, factors)
        As `recsys.signals.collaborative.Factors.gram`.
    category : array of int64, shape (n_known,)
        Section of each known article.
    similar : Rows, n_known x n_live
        Cosine of text.
    item_item : Rows, n_known x n_live
        How much articles are read together.
    weights
        Of the signals.
    click_confidence
        Confidence of a click made just now.
    """

    live_rows: Ints
    static: dict[str, Floats]
    factors: Floats
    warm: NDArray[np.bool_]
    gram: Floats
    category: Ints
    similar: Rows
    item_item: Rows
    weights: BlendConfig
    click_confidence: float

    def static_parts(self) -> dict[str, Floats]:
        """Return the weighted parts that are the same for all readers."""
        return {
            name: (getattr(self.weights, name) * self.static[name]).astype(np.float32)
            for name in STATIC_PARTS
        }

    def live_index_of(self, known: Sequence[int] | Ints) -> Ints:
        """Return the live place of known articles, -1 for those not live."""
        return live_indices(self.live_rows, known)

    def places(self) -> Ints:
        """Return the live place of every known article, -1 for those not live."""
        places = np.full(len(self.category), -1, dtype=np.int64)
        places[self.live_rows] = np.arange(len(self.live_rows))
        return places


@dataclass(frozen=True, slots=True)
class UserState:
    """What a run knows of one reader.

    Attributes
    ----------
    factors : array of float32, shape (factors,)
        Zeros for a cold reader.
    affinity : array of float32, shape (n_categories,)
        Log-lift of each section.
    reads : array of int64
        Known indices of the latest reads, newest first.
    read : array of int64
        Live places already read.
    met : array of int64, ascending
        Known indices of live articles that were shown to the reader or read.
    exposure_counts : array of float32, shape (n_features, n_met)
        `recsys.blend.curves.USER_FEATURES` of those.
    """

    factors: Floats
    affinity: Floats
    reads: Ints
    read: Ints
    exposed: Ints
    exposure_counts: Floats


@dataclass(frozen=True, slots=True)
class PageModel:
    """What the page needs beside the scores.

    Attributes
    ----------
    live
        The articles and their signals.
    story : array of int64, shape (n_live,)
        Story of each live article.
    importance : array of float32, shape (n_live,)
        Score of Must-Reads before the personal part.
    rise : array of float32, shape (n_live,)
        Score of Popular Now.
    newest : array of int64, shape (n_live,)
        Live places, newest first: Latest Stories.
    n_categories
        Number of sections, the empty one (0) included.
    config
        What lists are worth to each other, and their limits.
    """

    live: LiveModel
    story: NDArray[np.int64]
    importance: NDArray[np.float32]
    rise: NDArray[np.float32]
    newest: NDArray[np.int64]
    n_categories: int
    config: PageConfig
