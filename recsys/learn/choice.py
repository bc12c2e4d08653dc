"""Choices among alternatives, and the conditional logit fitted to them.

A user who clicks chooses one of several articles. A fit to such choices did better than a
regression on single clicks on every data set we measured. The retrieval head fits weights of a
linear score, the ranking head fits curves: piecewise linear functions of each feature, with a
possible bend at each of its quantiles.

References
----------
McFadden, "Conditional logit analysis of qualitative choice behavior", 1974.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys import metrics

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
N_BINS = 8
LINEAR_PENALTY = 3.0  # on standardised slopes, against the summed log-likelihood
# Further gains in likelihood are smaller than any that a validation can measure.
_STOP = {"maxiter": 100, "ftol": 1e-5}


@dataclass(frozen=True, slots=True)
class Choices:
    """Choices among alternatives; the alternatives of all choices lie end to end.

    Attributes
    ----------
    features : dict of array of float64, shape (n_alternatives,)
        The features of the alternatives, by name.
    chosen : array of bool, shape (n_alternatives,)
        Whether the alternative was chosen.
    start : array of int64, shape (n_choices + 1,)
        Choice i is among the alternatives `start[i]:start[i + 1]`.
    """

    features: Mapping[str, Floats]
    chosen: NDArray[np.bool_]
    start: Ints

    def __len__(self) -> int:
        """Return the number of choices."""
        return len(self.start) - 1

    def select(self, begin: int, end: int) -> "Choices":
        """Return the choices from `begin` up to but not including `end`."""
        inside = slice(self.start[begin], self.start[end])
        return Choices(
            {name: values[inside] for name, values in self.features.items()},
            self.chosen[inside],
            self.start[begin : end + 1] - self.start[begin],
        )

    def matrix(self, names: Sequence[str]) -> Floats:
        """Return the named features, shape (n_alternatives, n_names)."""
        return np.stack([self.features[name] for name in names], axis=1)


def concatenate_choices(parts: Sequence[Choices], names: Sequence[str]) -> Choices:
    """Return the choices of all parts, one part after another, with the named features."""
    sizes = [np.diff(part.start) for part in parts]
    return Choices(
        {
            name: np.concatenate([np.zeros(0), *(part.features[name] for part in parts)])
            for name in names
        },
        np.concatenate([np.zeros(0, dtype=bool), *(part.chosen for part in parts)]),
        np.concatenate(([0], np.cumsum(np.concatenate([np.zeros(0, np.int64), *sizes])))),
    )


def aucs(score: Floats, choices: Choices) -> Floats:
    """Return the AUC of a score in each choice; NaN where all or nothing was chosen."""
    return metrics.auc(metrics.judge(score, choices.chosen, choices.start))


def mean_auc(score: Floats, choices: Choices) -> float:
    """Return the mean AUC of a score over choices; NaN if no choice has a defined AUC."""
    return mean_of_defined(aucs(score, choices))


def mean_of_defined(values: Floats) -> float:
    """Return the mean of the values that are no NaN; NaN for none."""
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


class ChoiceLikelihood:
    """The log-likelihood of choices as a function of the alternatives' scores.

    The chance of an alternative is the softmax of the scores within its choice. A choice in
    which nothing or everything was chosen is left out.

    Parameters
    ----------
    chosen
        See `Choices`; with `count_each`, how often each alternative was chosen.
    start
        See `Choices`.
    count_each
        Whether everything that was chosen counts; otherwise each choice counts once.

    Attributes
    ----------
    n
        Number of choices that are not left out.
    """

    def __init__(
        self, chosen: NDArray[np.bool_] | Floats, start: Ints, *, count_each: bool = False
    ) -> None:
        size = np.diff(start)
        self._choice = np.repeat(np.arange(len(size)), size)
        n_chosen = np.bincount(self._choice, weights=chosen, minlength=len(size))
        is_used = (n_chosen > 0) & ((n_chosen < size) | count_each)
        self.n = int(is_used.sum())
        # What each choice counts.
        self._weight = np.where(is_used, n_chosen if count_each else 1.0, 0.0)[self._choice]
        self._target = self._weight * chosen / np.maximum(n_chosen, 1)[self._choice]
        self._start = np.minimum(start[:-1], max(len(chosen) - 1, 0))
        self._is_filled = size > 0

    def __call__(self, score: Floats) -> tuple[float, Floats]:
        """Return the summed log-likelihood and its gradient by score."""
        if not len(score):
            return 0.0, score
        peak = np.maximum.reduceat(score, self._start)
        shifted = score - peak[self._choice]
        exponential = np.exp(shifted)
        total = np.bincount(self._choice, weights=exponential, minlength=len(self._is_filled))
        total = np.where(self._is_filled, total, 1.0)
        log_chance = shifted - np.log(total)[self._choice]
        gradient = self._target - self._weight * exponential / total[self._choice]
        return float(self._target @ log_chance), gradient


def fit_weights(
    choices: Choices,
    prior: Mapping[str, float],
    *,
    may_be_negative: Sequence[str] = (),
    penalty: float = 10.0,
) -> dict[str, float]:
    """Fit the weights of a linear score to choices: the likeliest ones near a prior.

    Only the weights in `may_be_negative` can be negative. A fit that counts similarity or
    popularity against an article is an accident of the log, and no editor would believe such a
    score.

    Parameters
    ----------
    choices
        Choices with at least the features named in `prior`.
    prior
        Weights to stay near where the choices say little. A feature that never varies keeps
        its prior.
    may_be_negative
        Names of the weights that may be negative.
    penalty
        Weight of the squared standardised distance from the prior, against the summed
        log-likelihood.
    """
    names = list(prior)
    features = choices.matrix(names)
    centre = np.array([prior[name] for name in names])
    spread = features.std(axis=0)
    varies = spread > 0
    scale = np.where(varies, spread, 1.0)
    likelihood = ChoiceLikelihood(choices.chosen, choices.start)

    def loss(step: Floats) -> tuple[float, Floats]:
        value, slope = likelihood(features @ (centre + step / scale))
        gradient = -(features.T @ slope) / scale + 2 * penalty * step
        return penalty * float(step @ step) - value, gradient

    from scipy.optimize import minimize  # imported late: a refresh does not need it

    lowest = np.minimum(-centre * scale, 0.0)
    bounds = [
        (None if name in may_be_negative else low, None)
        for name, low in zip(names, lowest, strict=True)
    ]
    fit = minimize(loss, np.zeros(len(names)), jac=True, method="L-BFGS-B", bounds=bounds)
    weights = np.where(varies, centre + fit.x / scale, centre)
    return dict(zip(names, weights.tolist(), strict=True))


def _knots(feature: Floats) -> Floats:
    """Return where the curve of a feature may bend: at its quantiles.

    If 0 is frequent, the quantiles are those of the other values, and 0 is a knot of its own.
    """
    nonzero = feature[feature != 0]
    zero_is_frequent = 0 < len(nonzero) < 0.7 * len(feature)
    values = nonzero if zero_is_frequent else feature
    quantiles = np.quantile(values, np.linspace(0, 1, N_BINS + 1))
    return np.unique(np.append(quantiles, 0.0) if zero_is_frequent else quantiles)


class CurveFit:
    """Fits curves to choices; the features are prepared once for several penalties.

    Parameters
    ----------
    choices
        What to learn from.
    counts : array of float64, shape (n_alternatives,)
        How often each alternative was chosen, for many choices among the same alternatives; each
        of them counts. None if each alternative was chosen once or not at all.

    Notes
    -----
    A curve is the sum of columns: one linear column, and one for the change of slope at each
    inner knot (`N_BINS` quantiles), all standardised. `LINEAR_PENALTY` penalises the
    coefficient of the linear column, and the penalty of each fit penalises the others: the
    larger it is, the straighter the curves.
    """

    def __init__(self, choices: Choices, counts: Floats | None = None) -> None:
        self._choices, self._counts = choices, counts
        self._knots: dict[str, Floats] = {}
        self._columns_at_knots: list[Floats] = []  # by feature, shape (n_knots, n_columns)
        self._covariances: list[Floats] = []  # of a feature's columns, over the alternatives
        knot_index, knot_weight = [], []
        n_knots = 0
        for name, feature in choices.features.items():
            knots = _knots(feature)
            if len(knots) < 2:
                continue
            low = np.clip(np.searchsorted(knots, feature, side="right") - 1, 0, len(knots) - 2)
            share = (feature - knots[low]) / (knots[low + 1] - knots[low])
            knot_index += [n_knots + low, n_knots + low + 1]
            knot_weight += [1.0 - share, share]
            bends = [np.maximum(knots - knot, 0.0) for knot in knots[1:-1]]
            columns = np.column_stack((knots, *bends))
            table = columns[low] + share[:, np.newaxis] * (columns[low + 1] - columns[low])
            scale = table.std(axis=0)
            self._columns_at_knots.append(columns / scale)
            self._covariances.append(np.atleast_2d(np.cov((table / scale).T, bias=True)))
            self._knots[name] = knots
            n_knots += len(knots)
        n, per_row = len(choices.chosen), len(knot_index)
        # Row i times the values at all knots is the score of alternative i.
        self._interpolation = csr_matrix(
            (
                np.stack(knot_weight, axis=1).ravel().astype(np.float32) if per_row else [],
                np.stack(knot_index, axis=1).ravel().astype(np.int32) if per_row else [],
                np.arange(0, n * per_row + 1, per_row) if per_row else np.zeros(n + 1),
            ),
            shape=(n, n_knots),
        )
        self._transposed = self._interpolation.T.tocsr()
        self._coefficients = [np.zeros(columns.shape[1]) for columns in self._columns_at_knots]

    def curves(self, bend_penalty: float, n_choices: int | None = None) -> dict[str, Floats]:
        """Fit the likeliest curves; the fit starts from the result of the fit before.

        Parameters
        ----------
        bend_penalty
            Penalty of the changes of slope.
        n_choices
            Learn from this many choices, the first ones. None learns from all.

        Returns
        -------
        dict of array of float64, shape (2, n_knots)
            By feature: the knots, and the value of the curve at each. A feature that never
            varies has no curve.

        Notes
        -----
        L-BFGS works on coefficients that are decorrelated within each feature, by the
        Cholesky factor of covariance and penalty. This takes some 40 steps instead of 400.
        """
        from scipy.optimize import minimize  # imported late: a refresh does not need it

        if not self._knots:
            return {}
        start = self._choices.start
        choice = np.repeat(np.arange(len(self._choices)), np.diff(start))
        is_used = choice < (len(self._choices) if n_choices is None else n_choices)
        chosen = self._choices.chosen if self._counts is None else self._counts
        likelihood = ChoiceLikelihood(chosen * is_used, start, count_each=self._counts is not None)
        penalties, roots = self._penalties_and_roots(bend_penalty, int(is_used.sum()))
        maps = [np.linalg.inv(root).T for root in roots]
        first = [root.T @ last for root, last in zip(roots, self._coefficients, strict=True)]
        ends = np.cumsum([len(penalty) for penalty in penalties])[:-1]
        rows = np.cumsum([len(columns) for columns in self._columns_at_knots])[:-1]

        def coefficients_of(step: Floats) -> list[Floats]:
            parts = np.split(step, ends)
            return [change @ part for change, part in zip(maps, parts, strict=True)]

        def loss(step: Floats) -> tuple[float, Floats]:
            coefficients = coefficients_of(step)
            at_knots = np.concatenate(self._values_at_knots(coefficients))
            value, slope = likelihood(self._interpolation @ at_knots)
            slope_at_knots = np.split(self._transposed @ slope, rows)
            gradient = []
            for part, penalty, change, columns, slopes in zip(
                coefficients, penalties, maps, self._columns_at_knots, slope_at_knots, strict=True
            ):
                value -= 0.5 * float(penalty @ part**2)
                gradient.append(change.T @ (penalty * part - columns.T @ slopes))
            return -value, np.concatenate(gradient)

        best = minimize(loss, np.concatenate(first), jac=True, method="L-BFGS-B", options=_STOP)
        self._coefficients = coefficients_of(best.x)
        at_knots = self._values_at_knots(self._coefficients)
        # The level of a curve changes no choice, so the mean of its values at the knots is 0.
        return {
            name: np.stack((knots, values - values.mean()))
            for (name, knots), values in zip(self._knots.items(), at_knots, strict=True)
        }

    def _penalties_and_roots(
        self, bend_penalty: float, n_alternatives: int
    ) -> tuple[list[Floats], list[NDArray[np.floating]]]:
        """Return by feature the penalty of each column, and the Cholesky factor of the curvature.

        The curvature of the loss is estimated as covariance times n p (1 - p) plus penalty,
        where 0.1 is put for p (1 - p), p the chance that an alternative is chosen.
        """
        penalties: list[Floats] = []
        roots: list[NDArray[np.floating]] = []
        for columns, covariance in zip(self._columns_at_knots, self._covariances, strict=True):
            penalty = np.full(columns.shape[1], bend_penalty)
            penalty[0] = LINEAR_PENALTY
            penalties.append(penalty)
            roots.append(np.linalg.cholesky(0.1 * n_alternatives * covariance + np.diag(penalty)))
        return penalties, roots

    def _values_at_knots(self, coefficients: Sequence[Floats]) -> list[Floats]:
        """Return by feature the value of its curve at each knot."""
        return [
            columns @ part
            for columns, part in zip(self._columns_at_knots, coefficients, strict=True)
        ]
