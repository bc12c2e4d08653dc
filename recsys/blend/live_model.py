"""What a run knows of its articles, as plain arrays, and the state of one user.

Serving needs no scipy for it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from recsys.blend.signal_table import signal_names
from recsys.config import BlendConfig, Config

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Rows:
    """A sparse matrix as three plain arrays.

    Attributes
    ----------
    start : array of int64, shape (n_rows + 1,)
    column : array of int32, shape (nnz,)
        Ascending within a row.
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
    """Return the live index of known articles, -1 for those that are not live.

    Parameters
    ----------
    live_rows : array of int64
        Known indices of the live articles, ascending.
    known
        Known indices.
    """
    known = np.asarray(known, dtype=np.int64)
    if not len(live_rows):
        return np.full(len(known), -1, dtype=np.int64)
    index = np.minimum(np.searchsorted(live_rows, known), len(live_rows) - 1)
    return np.where(live_rows[index] == known, index, -1)


@dataclass(frozen=True, slots=True)
class LiveModel:
    """What scoring needs to know of the articles.

    "Known" articles have an index in the run: they are live, or were read lately. "Live" articles
    may be recommended; a live index is 0..n_live-1.

    Attributes
    ----------
    live_rows : array of int64, shape (n_live,)
        The known index of each live article, ascending.
    static : dict of array of float32, shape (n_live,)
        Unweighted static signals, by name: those of the table, and the user's own.
    factors : array of float32, shape (n_live, n_factors)
        ALS factors; zeros where nothing is known.
    warm : array of bool, shape (n_live,)
        Articles whose factors were learned from clicks; the others are estimated from text.
    gram : array of float32, shape (n_factors, n_factors)
        See `recsys.signals.collaborative.Factors.gram`.
    category : array of int64, shape (n_known,)
        Section of each known article; 0 is "no section".
    similar : Rows, n_known x n_live
        Cosine of text.
    item_item : Rows, n_known x n_live
        How much articles are read together.
    vectors : array of float32, shape (n_known, n_dimensions)
        The publisher's vectors, see `recsys.signals.given_vectors`: of unit length, or zero for an
        article without one. Without columns if no article has one.
    weights
        Of the signals, by name.
    blend
        The settings of the blend.
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
    vectors: Floats
    weights: Mapping[str, float]
    blend: BlendConfig
    click_confidence: float

    def unweighted(self) -> "LiveModel":
        """Return the model with each signal at weight 1."""
        return replace(self, weights=dict.fromkeys((*signal_names(), *self.own_names()), 1.0))

    def static_parts(self) -> dict[str, Floats]:
        """Return the weighted static signals, by name."""
        return {
            name: (self.weights[name] * self.static[name]).astype(np.float32)
            for name in (*signal_names("static"), *self.own_names())
        }

    def own_names(self) -> tuple[str, ...]:
        """Return the names of the static signals that are not in the table of signals."""
        return tuple(sorted(set(self.static) - set(signal_names("static"))))

    def live_index_of(self, known: Sequence[int] | Ints) -> Ints:
        """Return the live index of known articles, -1 for those that are not live."""
        return live_indices(self.live_rows, known)

    def live_index_by_known(self) -> Ints:
        """Return the live index of every known article, -1 for those that are not live."""
        index = np.full(len(self.category), -1, dtype=np.int64)
        index[self.live_rows] = np.arange(len(self.live_rows))
        return index


@dataclass(frozen=True, slots=True)
class UserState:
    """What a page is made from for one user: the profile, and the clicks since.

    Attributes
    ----------
    factors : array of float32, shape (n_factors,)
        Zeros for a cold user.
    affinity : array of float32, shape (n_categories,)
        Log-lift of each section.
    reads : array of int64
        Known indices of the latest reads, newest first.
    read : array of int64
        Live indices of articles already read.
    exposed : array of int64, ascending
        Known indices of live articles that were shown to the user or read.
    exposure_counts : array of float32, shape (n_features, n_exposed)
        `recsys.signals.event_features.USER_FEATURES` of those.
    """

    factors: Floats
    affinity: Floats
    reads: Ints
    read: Ints
    exposed: Ints
    exposure_counts: Floats


@dataclass(frozen=True, slots=True)
class PageModel:
    """What pages are made from.

    Attributes
    ----------
    live
        The articles and their signals.
    story : array of int64, shape (n_live,)
        Story of each live article: the lowest live index of the story.
    importance : array of float32, shape (n_live,)
        Score of the scorer `important`, before its personal share.
    rise : array of float32, shape (n_live,)
        Score of the scorer `rising`.
    newest : array of int64, shape (n_live,)
        Live indices, newest first.
    filters : dict of array of bool, shape (n_live,)
        By "layout.list": the articles that pass the filter of the list, where it has one.
    n_categories
        Number of sections, "no section" (0) included.
    language : array of int64, shape (n_known,)
        Index in `languages` of each known article.
    languages
        See `recsys.languages`; the first is "", of articles that do not say theirs.
    examination : dict of array of float64, shape (n_positions,)
        How much each position of a list is looked at, relative to its first, by the list's name:
        1, then always falling. Lists without logged positions are not in it.
    config
        The settings that the run was made with.
    """

    live: LiveModel
    story: Ints
    importance: Floats
    rise: Floats
    newest: Ints
    filters: Mapping[str, NDArray[np.bool_]]
    n_categories: int
    language: Ints
    languages: Sequence[str]
    examination: Mapping[str, NDArray[np.float64]]
    config: Config
