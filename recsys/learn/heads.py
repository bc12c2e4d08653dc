"""Both heads of the blend, learned from the last days and judged on the latest of them.

The head that finds articles (linear, over all live ones) learns from what readers clicked
among everything that was live; the head that orders given ones (curves) from what they
clicked among what they were shown. Neither choice stands for the other: on EB-NeRD weights
learned in view find .05 to .28 of next clicks where those learned live find .43 to .50.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from recsys import metrics
from recsys.blend.curves import curve_parts
from recsys.blend.live_model import PARTS
from recsys.config import BlendConfig, Config
from recsys.learn.choice import Choices, CurveFit, fit_weights
from recsys.learn.examples import POSITION, Examples, Past
from recsys.learn.live_choices import sampled_live_choices
from recsys.learn.regimes import DAY_MS, Protocol
from recsys.rows import HOUR_MS
from recsys.store.database import Store

Floats = NDArray[np.float64]
BEND_PENALTIES = (1000.0, 100.0, 10.0)  # straight first: each fit starts from the one before
# Click rates know only what editors showed. Below 0 the weight says: what was shown and left
# alone is less likely found than what was not shown yet (EB-NeRD: hit@5 .479, bounded .413).
FREE = ("ctr",)
RETRIEVAL, RANKING = "retrieval", "ranking, {}"  # names of the heads
VALIDATION_SHARE = 0.25  # the latest choices
LIVE_HOURS = 8  # after a night: when choices among all live articles are looked at


@dataclass(frozen=True, slots=True)
class HeadReport:
    """How a head was learned, for the run's report.

    Attributes
    ----------
    n
        Choices learned from, those of validation included.
    learned, shipped
        On the validation choices (the latest quarter, not learned from): AUC.
    used
        Whether what was learned is served; else the shipped weights are.
    why
        Why not, or the penalty chosen.
    """

    n: int
    learned: float | None
    shipped: float | None
    used: bool
    why: str


@dataclass(frozen=True, slots=True)
class Heads:
    """What a night learned.

    Attributes
    ----------
    weights
        Of the linear score, for `recsys.blend.linear`.
    curves
        By regime, by feature, for `recsys.blend.curves.RankModel`.
    reports
        By head.
    """

    weights: BlendConfig
    curves: dict[Protocol, dict[str, Floats]] = field(default_factory=dict)
    reports: dict[str, HeadReport] = field(default_factory=dict)


def mean_auc(score: Floats, choices: Choices) -> float:
    """Return the mean AUC of choices; NaN where none can be judged."""
    values = metrics.auc(metrics.judge(score, choices.chosen, choices.start))
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def learn(past: Past, as_of_ms: int, regimes: Sequence[Protocol]) -> Heads:
    """Return both heads as learned from the days before an instant.

    Parameters
    ----------
    past
        The nights of those days; its `config.learn` says how many, its `config.blend` are
        the shipped weights.
    as_of_ms
        Nothing of this instant or later is learned from.
    regimes
        For which to learn curves.

    Returns
    -------
    Heads
        What was learned too little about is as shipped, and the reports say so.
    """
    if past.keep:
        for day in days_of(past.store, past.config, as_of_ms):
            build_examples(past, regimes, *day)
    reports = {}
    weights, reports[RETRIEVAL] = _fit_retrieval_head(past, as_of_ms)
    curves: dict[Protocol, dict[str, Floats]] = {}
    for regime in regimes:
        curves[regime], reports[RANKING.format(regime)] = fit_ranking_head(past, as_of_ms, regime)
    return Heads(weights, curves, reports)


def days_of(store: Store, config: Config, as_of_ms: int) -> list[tuple[int, int]]:
    """Return begin and end of the days to learn from, as far as the log reaches back.

    They end with a whole hour, so that nights that start about the same time share them.
    """
    oldest = store.first_event_ms()
    end_ms = as_of_ms // HOUR_MS * HOUR_MS
    begins = [end_ms - back * DAY_MS for back in range(config.learn.days, 0, -1)]
    return [(b, b + DAY_MS) for b in begins if oldest is not None and b > oldest]


def build_examples(past: Past, regimes: Sequence[Protocol], begin_ms: int, end_ms: int) -> None:
    """Let a past keep what one day teaches both heads, with one night in memory."""
    _retrieval_examples(past, begin_ms, end_ms)
    for regime in regimes:
        _ranking_examples(past, regime, begin_ms, end_ms)
    past.release()


def days_without_examples(
    past: Past, regimes: Sequence[Protocol], days: Sequence[tuple[int, int]]
) -> list[tuple[int, int]]:
    """Return those days of which a past does not keep all that they teach."""
    heads = [RETRIEVAL, *(RANKING.format(regime) for regime in regimes)]
    return [day for day in days if not all(past.has_examples(head, *day) for head in heads)]


def _most(config: Config) -> int:
    """Return how many choices of a day are learned from."""
    return -(-config.learn.max_choices // max(config.learn.days, 1))


def _retrieval_examples(past: Past, begin: int, end: int) -> Examples:
    """Return what a day teaches of finding."""
    most = _most(past.config)

    def made() -> Examples:
        # Of its own a day, so that a day teaches the same whichever night learns from it.
        rng = np.random.default_rng((past.config.learn.random_state, begin // HOUR_MS))
        instant = begin + LIVE_HOURS * HOUR_MS
        at = past.refreshed(past.window_for_learning(begin, end), instant, instant)
        return Examples(sampled_live_choices(past, at, rng, before_ms=end, most=most), {})

    return past.examples(RETRIEVAL, begin, end, made)


def _ranking_examples(past: Past, regime: Protocol, begin: int, end: int) -> Examples:
    """Return what a day teaches of ordering."""
    most = _most(past.config)

    def made() -> Examples:
        last = past.window_for_learning(begin, end)
        found = past.seen_after(last, regime, from_ms=begin, before_ms=end, most=most)
        return Examples(found.choices, found.signals)

    return past.examples(RANKING.format(regime), begin, end, made)


def _fit_retrieval_head(past: Past, as_of_ms: int) -> tuple[BlendConfig, HeadReport]:
    """Return the weights of the linear score, learned among all live articles."""
    config = past.config
    found = [_retrieval_examples(past, *day) for day in days_of(past.store, past.config, as_of_ms)]
    choices = joined([day.choices for day in found], PARTS)
    shipped = {name: float(getattr(config.blend, name)) for name in PARTS}
    if len(choices) < config.learn.min_choices:
        return config.blend, _too_few(len(choices), config)
    edge = round(len(choices) * (1 - VALIDATION_SHARE))
    late = choices.part(edge, len(choices))
    tried: dict[str, Any] = fit_weights(choices.part(0, edge), shipped, free=FREE)
    report = _head_report(
        len(choices),
        mean_auc(linear_score(late.features, msgspec.structs.replace(config.blend, **tried)), late),
        mean_auc(linear_score(late.features, config.blend), late),
        "",
    )
    if not report.used:
        return config.blend, report
    weights: dict[str, Any] = {
        name: round(w, 4) for name, w in fit_weights(choices, shipped, free=FREE).items()
    }
    return msgspec.structs.replace(config.blend, **weights), report


def fit_ranking_head(
    past: Past, as_of_ms: int, regime: Protocol, without: Sequence[str] = ()
) -> tuple[dict[str, Floats], HeadReport]:
    """Return the curves for given articles, learned among what was shown.

    Parameters
    ----------
    past, as_of_ms, regime
        As of `learn`.
    without
        Features to leave out, for an ablation.
    """
    config = past.config
    seen = [
        _ranking_examples(past, regime, *day) for day in days_of(past.store, past.config, as_of_ms)
    ]
    names = [name for part in seen[:1] for name in part.choices.features if name not in without]
    choices = joined([part.choices for part in seen], names)
    if len(choices) < config.learn.min_choices:
        return {}, _too_few(len(choices), config)
    edge = round(len(choices) * (1 - VALIDATION_SHARE))
    late = choices.part(edge, len(choices))
    fit = CurveFit(choices)
    tried = {}
    for penalty in BEND_PENALTIES:
        parts = curve_parts(_without_position(fit.curves(penalty, edge)), late.features)
        tried[penalty] = mean_auc(np.sum(list(parts.values()), axis=0), late)
    best = max(tried, key=lambda penalty: tried[penalty])
    signals = {
        name: np.concatenate([part.signals[name] for part in seen])[-len(late.chosen) :]
        for name in PARTS
    }
    shipped = mean_auc(linear_score(signals, config.blend), late)
    report = _head_report(len(choices), tried[best], shipped, f"bend penalty {best:g}")
    return (_without_position(fit.curves(best)) if report.used else {}), report


def _without_position(curves: dict[str, Floats]) -> dict[str, Floats]:
    """Return curves without that of the position, which ranking is about to decide.

    References
    ----------
    Guo et al., "PAL: a position-bias aware learning framework for CTR prediction in live
    recommender systems", RecSys 2019.
    """
    return {name: curve for name, curve in curves.items() if name != POSITION}


def linear_score(signals: Mapping[str, Floats], weights: BlendConfig) -> Floats:
    """Return the linear score of candidates from unweighted signals, by name of `PARTS`."""
    score: Floats = np.sum([getattr(weights, name) * signals[name] for name in PARTS], axis=0)
    return score


def _head_report(n: int, learned: float, shipped: float, chosen: str) -> HeadReport:
    """Return the report of a head that is served if it did better than the shipped one."""
    used = learned > shipped
    why = chosen if used else "no better than the shipped weights"
    return HeadReport(n, round(learned, 4), round(shipped, 4), used, why)


def _too_few(n: int, config: Config) -> HeadReport:
    return HeadReport(
        n, None, None, False, f"{n} choices, {config.learn.min_choices} are needed to learn"
    )


def joined(parts: Sequence[Choices], names: Sequence[str]) -> Choices:
    """Return choices one after another."""
    sizes = [np.diff(part.start) for part in parts]
    return Choices(
        {
            name: np.concatenate([np.zeros(0), *(part.features[name] for part in parts)])
            for name in names
        },
        np.concatenate([np.zeros(0, dtype=bool), *(part.chosen for part in parts)]),
        np.concatenate(([0], np.cumsum(np.concatenate([np.zeros(0, np.int64), *sizes])))),
    )
