"""Choices among alternatives, and the conditional logit that explains them.

A reader who clicks chooses among what was there to choose from; that list-wise view beats
click-or-not regression on every set we measured. Weights are for a linear head, curves
(piecewise linear, a hinge at each quantile) for a head that may bend.

References
----------
McFadden, "Conditional logit analysis of qualitative choice behavior", 1974.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
N_BINS = 8
LINEAR_PENALTY = 3.0  # on standardised slopes, against the summed log-likelihood
_STOP = {"maxiter": 100, "ftol": 1e-5}  # gains beyond are less than any validation tells apart


@dataclass(frozen=True, slots=True)
class Choices:
    """Choices among alternatives, which lie end to end.

    Attributes
    ----------
    features : dict of array of float64, shape (n_alternatives,)
    chosen : array of bool, shape (n_alternatives,)
    start : array of int64, shape (n_choices + 1,)
        Choice i is among `start[i]:start[i + 1]`.
    """

    features: Mapping[str, Floats]
    chosen: NDArray[np.bool_]
    start: Ints

    def __len__(self) -> int:
        """Return the number of choices."""
        return len(self.start) - 1

    def part(self, begin: int, end: int) -> "Choices":
        """Return choices `begin` to `end`."""
        inside = slice(self.start[begin], self.start[end])
        return Choices(
            {name: values[inside] for name, values in self.features.items()},
            self.chosen[inside],
            self.start[begin : end + 1] - self.start[begin],
        )

    def matrix(self, names: Sequence[str]) -> Floats:
        """Return some features, shape (n_alternatives, n_names)."""
        return np.stack([self.features[name] for name in names], axis=1)


class _Softmax:
    """The log-likelihood of what was chosen, as a function of scores."""

    def __init__(self, chosen: NDArray[np.bool_], start: Ints) -> None:
        size = np.diff(start)
        self._group = np.repeat(np.arange(len(size)), size)
        n_chosen = np.bincount(self._group, weights=chosen, minlength=len(size))
        # A choice with nothing chosen, or everything, teaches nothing.
        taught = (n_chosen > 0) & (n_chosen < size)
        self.n = int(taught.sum())
        self._taught = taught[self._group]
        self._target = np.where(self._taught, chosen / np.maximum(n_chosen, 1)[self._group], 0.0)
        self._start = np.minimum(start[:-1], max(len(chosen) - 1, 0))
        self._filled = size > 0

    def __call__(self, score: Floats) -> tuple[float, Floats]:
        """Return the summed log-likelihood and its gradient by score."""
        if not len(score):
            return 0.0, score
        peak = np.maximum.reduceat(score, self._start)
        shifted = score - peak[self._group]
        exponential = np.exp(shifted)
        total_score = np.bincount(self._group, weights=exponential, minlength=len(self._filled))
        total_score = np.where(self._filled, total_score, 1.0)
        log_share = shifted - np.log(total_score)[self._group]
        gradient = self._target - self._taught * exponential / total_score[self._group]
        return float(self._target @ log_share), gradient


def fit_weights(
    choices: Choices,
    prior: Mapping[str, float],
    *,
    free: Sequence[str] = (),
    penalty: float = 10.0,
) -> dict[str, float]:
    """Return the weights of a linear score that make choices likeliest, near a prior.

    None is negative but those of `free`: that likeness or popularity should count against
    an article is an accident of the log, and no editor would believe such a score.

    Parameters
    ----------
    choices
        With at least the features named in `prior`.
    prior
        Weights to stay near where the choices say little; a feature that never varies
        keeps its prior.
    free
        Names of weights that may be negative.
    penalty
        Of the squared standardised distance from the prior, against the summed
        log-likelihood.
    """
    names = list(prior)
    features = choices.matrix(names)
    centre = np.array([prior[name] for name in names])
    spread = features.std(axis=0)
    varied = spread > 0
    scale = np.where(varied, spread, 1.0)
    likelihood = _Softmax(choices.chosen, choices.start)

    def loss(step: Floats) -> tuple[float, Floats]:
        value, slope = likelihood(features @ (centre + step / scale))
        gradient = -(features.T @ slope) / scale + 2 * penalty * step
        return penalty * float(step @ step) - value, gradient

    from scipy.optimize import minimize  # here, for a refresh would wait for it

    least = np.minimum(-centre * scale, 0.0)
    bounds = [(None if name in free else low, None) for name, low in zip(names, least, strict=True)]
    found = minimize(loss, np.zeros(len(names)), jac=True, method="L-BFGS-B", bounds=bounds)
    weights = np.where(varied, centre + found.x / scale, centre)
    return dict(zip(names, weights.tolist(), strict=True))


def _knots(feature: Floats) -> Floats:
    """Return where a curve may bend: quantiles, and 0 apart where it is what mostly is."""
    nonzero = feature[feature != 0]
    rare = 0 < len(nonzero) < 0.7 * len(feature)
    quantiles = np.quantile(nonzero if rare else feature, np.linspace(0, 1, N_BINS + 1))
    return np.unique(np.append(quantiles, 0.0) if rare else quantiles)


class CurveFit:
    """Fits curves to choices; features are prepared once for several penalties.

    Parameters
    ----------
    choices
        What to learn from.

    Notes
    -----
    A curve is a slope and a change of slope at each inner quantile (`N_BINS`), each column
    standardised; slopes are penalised by `LINEAR_PENALTY`, changes of slope by the
    penalty chosen. The larger that one, the straighter the curves.
    """

    def __init__(self, choices: Choices) -> None:
        self._choices = choices
        self._knots: dict[str, Floats] = {}
        self._shapes: list[Floats] = []  # values at the knots of each column of a feature
        self._spreads: list[Floats] = []  # how the columns vary together over candidates
        columns, values = [], []
        at = 0
        for name, feature in choices.features.items():
            knots = _knots(feature)
            if len(knots) < 2:
                continue
            low = np.clip(np.searchsorted(knots, feature, side="right") - 1, 0, len(knots) - 2)
            share = (feature - knots[low]) / (knots[low + 1] - knots[low])
            columns += [at + low, at + low + 1]
            values += [1.0 - share, share]
            bends = [np.maximum(knots - knot, 0.0) for knot in knots[1:-1]]
            shape = np.column_stack((knots, *bends))
            table = shape[low] + share[:, np.newaxis] * (shape[low + 1] - shape[low])
            spread = table.std(axis=0)
            self._shapes.append(shape / spread)
            self._spreads.append(np.atleast_2d(np.cov((table / spread).T, bias=True)))
            self._knots[name] = knots
            at += len(knots)
        n, per_row = len(choices.chosen), len(columns)
        self._hats = csr_matrix(
            (
                np.stack(values, axis=1).ravel().astype(np.float32) if per_row else [],
                np.stack(columns, axis=1).ravel().astype(np.int32) if per_row else [],
                np.arange(0, n * per_row + 1, per_row) if per_row else np.zeros(n + 1),
            ),
            shape=(n, at),
        )
        self._transposed = self._hats.T.tocsr()
        self._last = [np.zeros(shape.shape[1]) for shape in self._shapes]

    def curves(self, bend_penalty: float, n_choices: int | None = None) -> dict[str, Floats]:
        """Return the curves that make choices likeliest; the last fit is the start.

        Parameters
        ----------
        bend_penalty
            Of changes of slope.
        n_choices
            Learn from the first so many only; by default from all.

        Returns
        -------
        dict of array of float64, shape (2, n_knots)
            Knots and values by feature; a feature that never varies has none.

        Notes
        -----
        L-BFGS on coefficients that a feature's columns have been decorrelated in, by the
        Cholesky factor of their covariance and penalty: some 40 steps instead of 400.
        """
        from scipy.optimize import minimize  # here, for a refresh would wait for it

        if not self._knots:
            return {}
        start_of = self._choices.start
        choice = np.repeat(np.arange(len(self._choices)), np.diff(start_of))
        taught = choice < (len(self._choices) if n_choices is None else n_choices)
        likelihood = _Softmax(self._choices.chosen & taught, start_of)
        n = int(taught.sum())
        penalties, maps, start = [], [], []
        for shape, spread, last in zip(self._shapes, self._spreads, self._last, strict=True):
            penalty = np.full(shape.shape[1], bend_penalty)
            penalty[0] = LINEAR_PENALTY
            # A tenth: p (1 - p) of a candidate's chance p of being chosen.
            root = np.linalg.cholesky(0.1 * n * spread + np.diag(penalty))
            penalties.append(penalty)
            maps.append(np.linalg.inv(root).T)
            start.append(root.T @ last)
        ends = np.cumsum([len(penalty) for penalty in penalties])[:-1]
        rows = np.cumsum([len(shape) for shape in self._shapes])[:-1]

        def coefficients(steps: Floats) -> list[Floats]:
            parts = np.split(steps, ends)
            return [change @ part for change, part in zip(maps, parts, strict=True)]

        def at_knots(found: list[Floats]) -> list[Floats]:
            return [shape @ part for shape, part in zip(self._shapes, found, strict=True)]

        def loss(steps: Floats) -> tuple[float, Floats]:
            found = coefficients(steps)
            value, slope = likelihood(self._hats @ np.concatenate(at_knots(found)))
            by_knot = np.split(self._transposed @ slope, rows)
            gradient = []
            for part, penalty, change, shape, at in zip(
                found, penalties, maps, self._shapes, by_knot, strict=True
            ):
                value -= 0.5 * float(penalty @ part**2)
                gradient.append(change.T @ (penalty * part - shape.T @ at))
            return -value, np.concatenate(gradient)

        best = minimize(loss, np.concatenate(start), jac=True, method="L-BFGS-B", options=_STOP)
        self._last = coefficients(best.x)
        # Levels do not matter to a choice; a curve is 0 in the mean of its knots.
        return {
            name: np.stack((knots, values - values.mean()))
            for (name, knots), values in zip(self._knots.items(), at_knots(self._last), strict=True)
        }
