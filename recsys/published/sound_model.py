"""What must hold of the content of a run before it is used.

Digests find damage, not tampering: whoever can write a run can also make its digests right. So a
run is read as untrusted input. Here every array has its type, shape and range checked; indices and
numbers that compiled code uses are checked once more where it takes them (`recsys.kernels`).
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.blend.curves import RankModel, feature_names
from recsys.blend.live_model import PageModel, Rows
from recsys.blend.signal_table import signal_names
from recsys.kernels.library import require_finite
from recsys.page.list_table import layouts_of
from recsys.signals.event_features import ARTICLE_FEATURES

MOST_CATEGORIES = 10**6
MOST_FACTORS = 4096
MOST_WEIGHT = 1e6  # as `recsys.config` has it


def require_sound(page: PageModel, rank: RankModel) -> None:
    """Raise ValueError unless every array of a run has its type, shape and range."""
    live = page.live
    n_live, n_known = len(live.live_rows), len(live.category)
    if not 1 <= page.n_categories <= MOST_CATEGORIES:
        raise ValueError(f"n_categories must be from 1 to {MOST_CATEGORIES}")
    _require("live_rows", live.live_rows, np.int64, n_live)
    if n_live and (live.live_rows[0] < 0 or live.live_rows[-1] >= n_known):
        raise ValueError("live_rows must be indices of known articles")
    if (np.diff(live.live_rows) <= 0).any():
        raise ValueError("live_rows must ascend")
    _require("category", live.category, np.int64, n_known)
    _require_range("category", live.category, page.n_categories)
    _require("language", page.language, np.int64, n_known)
    _require_range("language", page.language, len(page.languages))
    if page.languages[:1] != [""] or len(set(page.languages)) < len(page.languages):
        raise ValueError("languages must be distinct, and the first empty")
    n_factors = live.factors.shape[1] if live.factors.ndim == 2 else -1
    if not 1 <= n_factors <= MOST_FACTORS:
        raise ValueError(f"factors must be of 1 to {MOST_FACTORS} columns")
    _require("factors", live.factors, np.float32, n_live, n_factors)
    _require("gram", live.gram, np.float32, n_factors, n_factors)
    _require("warm", live.warm, np.bool_, n_live)
    _require("story", page.story, np.int64, n_live)
    _require_range("story", page.story, n_live)
    _require("newest", page.newest, np.int64, n_live)
    if not np.array_equal(np.sort(page.newest), np.arange(n_live)):
        raise ValueError("newest must hold each live article once")
    for name in ("importance", "rise"):
        _require(name, getattr(page, name), np.float32, n_live)
    own = live.own_names()
    _require_each("static", live.static, (*signal_names("static"), *own), np.float32, n_live)
    _require_weights(live.weights, live.click_confidence, own)
    _require_rows("similar", live.similar, n_known)
    _require_rows("item_item", live.item_item, n_known)
    _require_vectors("given_vectors", live.vectors, n_known)
    keys = [
        of.key
        for layout in layouts_of(page.config).values()
        for of in layout.lists
        if of.has_filter
    ]
    _require_each("filter", page.filters, keys, np.bool_, n_live)
    for name, curve in page.examination.items():
        _require(f"examination.{name}", curve, np.float64, len(curve) if curve.ndim else 0)
        if not len(curve) or curve[0] != 1 or not (curve > 0).all() or (np.diff(curve) >= 0).any():
            raise ValueError(f"examination.{name} must begin with 1, always fall, and be above 0")
    _require_rank(rank, n_known, own)


def _require_rank(rank: RankModel, n_known: int, own: tuple[str, ...]) -> None:
    _require("written_ms", rank.written_ms, np.int64, n_known)
    names = (*ARTICLE_FEATURES, *own)
    _require_each("feature", rank.article_features, names, np.float32, n_known)
    _require_rows("vectors", rank.vectors, n_known)
    _require_vectors("word_vectors", rank.word_vectors, n_known)
    known = feature_names() | set(own)
    for curves in (rank.curves, rank.refresh_curves):
        for name, curve in curves.items():
            _require(f"curve {name}", curve, np.float64, 2, curve.shape[-1] if curve.ndim else 0)
            if name not in known or not curve.shape[1] or (np.diff(curve[0]) < 0).any():
                raise ValueError(f"curve {name} must be of a known feature, and its bends ascend")


def _require_weights(
    weights: Mapping[str, float], click_confidence: float, own: tuple[str, ...]
) -> None:
    numbers = {"click_confidence": click_confidence, **weights}
    for name, value in numbers.items():
        if not isinstance(value, int | float) or not abs(value) <= MOST_WEIGHT:
            raise ValueError(f"{name} must be a number up to {MOST_WEIGHT:.0e}, got {value!r}")
    if missing := {*signal_names(), *own} - set(weights):
        raise ValueError(f"the weights of {', '.join(sorted(missing))} are missing")


def _require(name: str, array: NDArray[Any], dtype: Any, *shape: int) -> None:
    if array.dtype != np.dtype(dtype) or array.shape != shape:
        raise ValueError(
            f"{name} must be of type {np.dtype(dtype)} and shape {shape},"
            f" got {array.dtype} and {array.shape}"
        )
    if array.dtype.kind == "f":
        require_finite(name, array)


def _require_range(name: str, values: NDArray[Any], end: int) -> None:
    if len(values) and (values.min() < 0 or values.max() >= end):
        raise ValueError(f"{name} must hold indices from 0 to {end - 1}")


def _require_each(
    kind: str, arrays: Mapping[str, NDArray[Any]], names: Iterable[str], dtype: Any, n: int
) -> None:
    for name in names:
        if name not in arrays:
            raise ValueError(f"{kind}.{name} is missing")
        _require(f"{kind}.{name}", arrays[name], dtype, n)


def _require_vectors(name: str, vectors: NDArray[Any], n_known: int) -> None:
    n_dimensions = vectors.shape[1] if vectors.ndim == 2 else 0
    if n_dimensions > MOST_FACTORS:
        raise ValueError(f"{name} must be of up to {MOST_FACTORS} columns")
    _require(name, vectors, np.float32, n_known, n_dimensions)


def _require_rows(name: str, rows: Rows, n_rows: int) -> None:
    n = len(rows.column) if rows.column.ndim else 0
    _require(f"{name}.start", rows.start, np.int64, n_rows + 1)
    _require(f"{name}.column", rows.column, np.int32, n)
    _require(f"{name}.value", rows.value, np.float32, n)
    if rows.start[0] != 0 or rows.start[-1] != n or (np.diff(rows.start) < 0).any():
        raise ValueError(f"{name}.start must rise from 0 to {n}")
