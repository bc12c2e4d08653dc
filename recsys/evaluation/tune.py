"""Weights of the blend learned from the past: a conditional logit over two kinds of choice.

In view, a reader chose among what was shown; in the full catalogue, among all live
articles. A blend learned from the first alone ranks badly what an editor would never
have shown, one learned from the second alone ranks badly what one would: both count.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from recsys.blend import PARTS, score
from recsys.config import BlendConfig, Config
from recsys.evaluation.backtest import Listener, in_view, noon_readers
from recsys.evaluation.protocol import Protocol
from recsys.store import Store

Floats = NDArray[np.float64]
N_NEGATIVES = 100  # live articles drawn for each reader and noon
REGULARIZATION = 1e-3  # on standardised weights, against the mean log-likelihood


@dataclass(frozen=True, slots=True)
class Choices:
    """Choices among alternatives, which lie end to end.

    Attributes
    ----------
    features : array of float64, shape (n_alternatives, n_features)
    chosen : array of bool, shape (n_alternatives,)
    start : array of int64, shape (n_choices + 1,)
        Choice i is among `start[i]:start[i + 1]`.
    """

    features: Floats
    chosen: NDArray[np.bool_]
    start: NDArray[np.int64]


def log_likelihood(choices: Choices, weights: Floats) -> tuple[float, Floats]:
    """Return the mean log-likelihood of choices and its gradient.

    Choices with nothing chosen are left out; several chosen share their weight.

    References
    ----------
    McFadden, "Conditional logit analysis of qualitative choice behavior", 1974.
    """
    size = np.diff(choices.start)
    group = np.repeat(np.arange(len(size)), size)
    n_chosen = np.bincount(group, weights=choices.chosen, minlength=len(size))
    used = (n_chosen > 0)[group]
    score_of = choices.features @ weights
    peak = np.full(len(size), -np.inf)
    np.maximum.at(peak, group, score_of)
    exponential = np.exp(score_of - peak[group])
    sums = np.bincount(group, weights=exponential, minlength=len(size))
    target = choices.chosen / np.maximum(n_chosen, 1)[group]
    n = max(int((n_chosen > 0).sum()), 1)
    value = float((target * (score_of - peak[group] - np.log(sums)[group])).sum() / n)
    gradient = choices.features.T @ (target - used * exponential / sums[group]) / n
    return value, gradient


def conditional_logit(parts: list[tuple[float, Choices]]) -> Floats:
    """Return the weights that make several kinds of choices likeliest, each weighted.

    A feature that never varies gets 0. Inputs are standardised for the penalty only.
    """
    scale = np.concatenate([kind.features for _, kind in parts]).std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)

    def loss(standardised: Floats) -> tuple[float, Floats]:
        value = REGULARIZATION * float(standardised @ standardised)
        gradient = 2 * REGULARIZATION * standardised
        for weight, kind in parts:
            likelihood, slope = log_likelihood(kind, standardised / scale)
            value -= weight * likelihood
            gradient = gradient - weight * slope / scale
        return value, gradient

    found = minimize(loss, np.zeros(len(scale)), jac=True, method="L-BFGS-B")
    weights: Floats = found.x / scale
    return weights


def tuned(
    store: Store, config: Config, protocol: Protocol, *, from_ms: int, before_ms: int,
    live_weight: float, listener: Listener, random_state: int = 42,
) -> Config:  # fmt: skip
    """Return the settings with the blend's weights learned from a span of the past.

    Weights of parts that never varied (no context in the log, say) stay as they were.

    Parameters
    ----------
    live_weight
        Of choices among all live articles; those in view weigh 1.

    References
    ----------
    McFadden, "Modelling the choice of residential location", 1978: alternatives drawn
    uniformly leave the weights consistent.
    """
    ones = BlendConfig(
        recent_reads=config.blend.recent_reads,
        recent_decay=config.blend.recent_decay,
        must_reads_personal=config.blend.must_reads_personal,
        **dict.fromkeys(PARTS, 1.0),
    )
    plain = dataclasses.replace(config, blend=ones)
    span = {"from_ms": from_ms, "before_ms": before_ms}
    seen = in_view(store, plain, protocol, **span, listener=listener)
    shown = Choices(
        np.stack([seen.parts[name] for name in PARTS], axis=1), seen.clicked, seen.start
    )
    live = _live_choices(store, plain, listener=listener, random_state=random_state, **span)
    weights = conditional_logit([(1.0, shown), (live_weight, live)])
    varied = np.concatenate((shown.features, live.features)).std(axis=0) > 0
    learned: dict[str, Any] = {
        name: round(float(weight), 4)
        for name, weight, ok in zip(PARTS, weights, varied, strict=True)
        if ok
    }
    return dataclasses.replace(config, blend=dataclasses.replace(config.blend, **learned))


def _live_choices(
    store: Store, config: Config, *, from_ms: int, before_ms: int, listener: Listener,
    random_state: int,
) -> Choices:  # fmt: skip
    rng = np.random.default_rng(random_state)
    features: list[Floats] = [np.zeros((0, len(PARTS)))]
    chosen: list[NDArray[np.bool_]] = [np.zeros(0, dtype=bool)]
    span = {"from_ms": from_ms, "before_ms": before_ms}
    for choice in noon_readers(store, config, **span, listener=listener):
        live = choice.builder.model.live
        parts = score(live, choice.reader, None)
        read = np.zeros(0, np.int64) if choice.reader is None else choice.reader.read
        clicked = np.array(sorted(choice.clicked), dtype=np.int64)
        others = np.setdiff1d(np.arange(len(live.live_rows)), np.concatenate((read, clicked)))
        drawn = rng.choice(others, min(N_NEGATIVES, len(others)), replace=False)
        places = np.concatenate((clicked, drawn))
        none = np.zeros(len(live.live_rows), dtype=np.float32)
        features.append(np.stack([parts.get(name, none)[places] for name in PARTS], axis=1))
        chosen.append(np.arange(len(places)) < len(clicked))
    sizes = [len(part) for part in chosen[1:]]
    return Choices(
        np.concatenate(features).astype(np.float64),
        np.concatenate(chosen),
        np.concatenate(([0], np.cumsum(np.array(sizes, dtype=np.int64)))),
    )
