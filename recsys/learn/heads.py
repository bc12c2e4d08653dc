"""Learn both heads of the blend from the last days, and judge each on the latest choices.

The retrieval head finds articles: a linear score over all live ones, learned from what users
clicked among everything that was live. The ranking head orders given articles: curves, learned
from what users clicked among what they were shown. Neither kind of choice can replace the
other: on EB-NeRD weights learned from what was shown find .05 to .28 of the next clicks, where
weights learned from live articles find .43 to .50.
"""

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from recsys.blend.curves import curve_parts
from recsys.blend.signal_table import SIGNALS, signal_names, signal_weights
from recsys.config import Config
from recsys.learn.choice import (
    ChoiceLikelihood,
    CurveFit,
    aucs,
    concatenate_choices,
    fit_weights,
    mean_auc,
    mean_of_defined,
)
from recsys.learn.examples import RETRIEVAL, ExampleBuilder, ranking_head
from recsys.learn.head_report import VALIDATION_SHARE, HeadReport, judged
from recsys.learn.impressions import POSITION
from recsys.learn.protocols import Protocol
from recsys.steps import step

LOG = logging.getLogger(__name__)
Floats = NDArray[np.float64]
# Straight curves first, since each fit starts from the result of the one before.
BEND_PENALTIES = (10_000.0, 1000.0, 100.0, 10.0)


@dataclass(frozen=True, slots=True)
class Heads:
    """Both heads of the blend as a run learned them.

    Attributes
    ----------
    weights
        The retrieval head: weights of the linear score, for `recsys.blend.linear`.
    curves
        The ranking head: by protocol and feature, for `recsys.blend.curves.RankModel`. Empty
        where the shipped weights are served.
    reports
        How each head was learned, by its name.
    """

    weights: Mapping[str, float]
    curves: dict[Protocol, dict[str, Floats]] = field(default_factory=dict)
    reports: dict[str, HeadReport] = field(default_factory=dict)


def learn_heads(
    builder: ExampleBuilder,
    as_of_ms: int,
    protocols: Sequence[Protocol],
    *,
    has_forecast: bool,
) -> Heads:
    """Learn both heads from the days before an instant.

    Parameters
    ----------
    builder
        Builds the examples. Its `past.config.learn` says how many days to learn from, and its
        `past.config.blend` holds the shipped weights.
    as_of_ms
        Events of this instant or later are not learned from.
    protocols
        The protocols to learn curves for.
    has_forecast
        Whether the run has learned a forecast. The retrieval head learns from days alike.

    Returns
    -------
    Heads
        A head with too few choices to learn from is the shipped one, and its report says so.
    """
    builder.build_into_store(protocols, as_of_ms)
    reports = {}
    with step(LOG, f"learn {RETRIEVAL}") as counts:
        weights, reports[RETRIEVAL] = fit_retrieval_head(builder, as_of_ms, has_forecast)
        counts["choices"] = reports[RETRIEVAL].n
    curves: dict[Protocol, dict[str, Floats]] = {}
    for protocol in protocols:
        head = ranking_head(protocol)
        with step(LOG, f"learn {head}") as counts:
            curves[protocol], reports[head] = fit_ranking_head(builder, as_of_ms, protocol)
            counts["choices"] = reports[head].n
    return Heads(weights, curves, reports)


def fit_retrieval_head(
    builder: ExampleBuilder,
    as_of_ms: int,
    has_forecast: bool,
    without: Sequence[str] = (),
    *,
    is_used: bool | None = None,
) -> tuple[Mapping[str, float], HeadReport]:
    """Fit the weights of the linear score to choices among all live articles.

    Parameters
    ----------
    builder, as_of_ms, has_forecast
        See `learn_heads`.
    without
        Own signals to leave out.
    is_used
        Whether the learned head is used; by default if it does better than the shipped one. A
        comparison with the head that has all signals uses what that one uses.
    """
    config = builder.past.config
    days = [builder.retrieval(day) for day in builder.days(as_of_ms)]
    days = [day for day in days if day.has_forecast == has_forecast]
    own = [name for name in builder.past.own_signals if name not in without]
    shipped = signal_weights(config.blend) | dict.fromkeys(own, 0.0)
    choices = concatenate_choices([day.choices for day in days], list(shipped))
    if len(choices) < config.learn.min_choices:
        return shipped, _too_few(len(choices), config)
    edge = round(len(choices) * (1 - VALIDATION_SHARE))
    validation = choices.select(edge, len(choices))
    may_be_negative = [*own, *(row.name for row in SIGNALS if row.may_be_negative)]
    early = fit_weights(choices.select(0, edge), shipped, may_be_negative=may_be_negative)
    scores = [linear_score(validation.features, weights) for weights in (early, shipped)]
    learned_auc, shipped_auc = (mean_auc(score, validation) for score in scores)
    report = judged(len(choices), learned_auc, shipped_auc, "", is_used=is_used)
    # The mean AUC looks at whole lists, the likelihood at their tops, which are all that is shown.
    if is_used is None and report.used:
        likelihood = ChoiceLikelihood(validation.chosen, validation.start)
        if likelihood(scores[0])[0] <= likelihood(scores[1])[0]:
            why = "the latest choices are likelier with the shipped weights"
            report = dataclasses.replace(report, used=False, why=why)
    if not report.used:
        return shipped, report
    fitted = fit_weights(choices, shipped, may_be_negative=may_be_negative)
    return {name: round(weight, 4) for name, weight in fitted.items()}, report


def fit_ranking_head(
    builder: ExampleBuilder,
    as_of_ms: int,
    protocol: Protocol,
    without: Sequence[str] = (),
    *,
    is_used: bool | None = None,
) -> tuple[dict[str, Floats], HeadReport]:
    """Fit the curves to choices among what was shown.

    Parameters
    ----------
    builder, as_of_ms
        See `learn_heads`.
    protocol
        Up to when clicks and views counted for each choice.
    without
        Features to leave out, for an ablation.
    is_used
        See `fit_retrieval_head`.

    Returns
    -------
    curves : dict of array of float64, shape (2, n_knots)
        By feature; empty where the shipped weights are to be served.
    report
        How the head was learned.
    """
    config = builder.past.config
    days = [builder.ranking(protocol, day) for day in builder.days(as_of_ms)]
    # The clicks of a day without any have not arrived, or were not logged.
    clicked_days = [day for day in days if day.choices.chosen.any()]
    n_shown = sum(len(day.choices) for day in days)
    if n_shown and not clicked_days:
        return {}, HeadReport(n_shown, None, None, False, f"0 of {n_shown} choices hold a click")
    days = clicked_days
    names = [name for day in days[:1] for name in day.choices.features if name not in without]
    choices = concatenate_choices([day.choices for day in days], names)
    if len(choices) < config.learn.min_choices:
        return {}, _too_few(len(choices), config)
    edge = round(len(choices) * (1 - VALIDATION_SHARE))
    validation = choices.select(edge, len(choices))
    fit = CurveFit(choices)
    aucs_of = {}
    for penalty in BEND_PENALTIES:
        parts = curve_parts(_without_position(fit.curves(penalty, edge)), validation.features)
        aucs_of[penalty] = aucs(np.sum(list(parts.values()), axis=0), validation)
    best = straightest_of_the_best(aucs_of)
    learned = mean_of_defined(aucs_of[best])
    signals = {
        name: np.concatenate([day.signals[name] for day in days])[-len(validation.chosen) :]
        for name in signal_names()
    }
    shipped = mean_auc(linear_score(signals, signal_weights(config.blend)), validation)
    chosen = f"bend penalty {best:g}"
    report = judged(len(choices), learned, shipped, chosen, is_used=is_used)
    return (_without_position(fit.curves(best)) if report.used else {}), report


def straightest_of_the_best(aucs_of: Mapping[float, Floats]) -> float:
    """Return the first penalty whose AUC is within one standard error of the best one's.

    Parameters
    ----------
    aucs_of : dict of array of float64, shape (n_choices,)
        AUC of each choice of the validation, by penalty, the straightest curves first.

    Notes
    -----
    The standard error is that of the paired difference. On three days of MIND (10-12 November
    2019) it was worth .000 of AUC with the shipped penalty of slopes, and .011 with one of 10.

    References
    ----------
    Breiman, Friedman, Olshen, Stone, "Classification and regression trees", 1984, section 3.4.3.
    """
    best = max(aucs_of.values(), key=mean_of_defined)

    def is_as_good(values: Floats) -> bool:
        apart = (best - values)[np.isfinite(values)]
        return not len(apart) or apart.mean() <= apart.std() / np.sqrt(len(apart))

    return next(penalty for penalty, values in aucs_of.items() if is_as_good(values))


def _without_position(curves: dict[str, Floats]) -> dict[str, Floats]:
    """Return curves without that of the position, which ranking is about to decide.

    References
    ----------
    Guo et al., "PAL: a position-bias aware learning framework for CTR prediction in live
    recommender systems", RecSys 2019.
    """
    return {name: curve for name, curve in curves.items() if name != POSITION}


def linear_score(signals: Mapping[str, Floats], weights: Mapping[str, float]) -> Floats:
    """Return the linear score of candidates from their unweighted signals, by name."""
    score: Floats = np.sum([weights[name] * signals[name] for name in weights], axis=0)
    return score


def _too_few(n: int, config: Config) -> HeadReport:
    needed = config.learn.min_choices
    return HeadReport(n, None, None, False, f"{n} choices, {needed} are needed to learn")
