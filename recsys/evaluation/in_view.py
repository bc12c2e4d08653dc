"""Score past impressions by each system, to compare how well each orders what was shown."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from recsys.blend.curves import curve_parts
from recsys.blend.signal_table import HAND_WEIGHTS
from recsys.evaluation import propensity
from recsys.evaluation.backtest import EvaluatedRun
from recsys.evaluation.own_systems import NO_OWN_SYSTEMS, OwnSystems
from recsys.learn.choice import concatenate_choices, mean_auc
from recsys.learn.examples import ExampleBuilder, ranking_head
from recsys.learn.head_report import HeadReport
from recsys.learn.heads import Heads, fit_ranking_head, linear_score
from recsys.learn.impressions import ImpressionFeatures, impression_features
from recsys.learn.past_runs import PastRuns
from recsys.learn.protocols import Protocol
from recsys.rows import HOUR_MS, iso
from recsys.signals.event_features import POPULARITY_HOURS

Floats = NDArray[np.float64]

# Baselines that are one feature of a candidate.
FEATURE_OF_SYSTEM = {
    "ctr": "click_rate_24h",
    "text": "text",
    "als": "als",
    "item-item": "context_item_item",
}
SYSTEMS = (
    "random",
    "popularity",
    "ctr",
    "recency",
    "text",
    "als",
    "item-item",
    "collaborative",
    "hand weights",
    "blend",
)
# What an ablation leaves out: the features whose names begin so.
FEATURE_GROUPS = {
    "popularity": ("popularity_",),
    "click rate and views": ("click_rate_", "views_"),
    "age": ("age", "seen_age", "unseen"),
    "shown and read": ("shown_", "read_", "itself"),
    "taste in text and section": ("text", "recent_text", "affinity"),
    "vectors of words": ("words_",),
    "vectors of the publisher": ("given_",),
    "ALS": ("als",),
    "the article being read": ("context_", "age_distance"),
    "ranks within the choice": ("rank_",),
}


@dataclass(frozen=True, slots=True)
class ServedImpressions:
    """The impressions that one evaluated run served.

    Attributes
    ----------
    evaluated
        The run.
    parts
        The impressions with their features: under the nightly protocol all as the run knew
        them, under the others hour by hour as its refresh of that hour did.
    """

    evaluated: EvaluatedRun
    parts: list[ImpressionFeatures]


@dataclass(frozen=True, slots=True)
class InView:
    """Past impressions, with a score of each candidate by each system.

    Attributes
    ----------
    start : array of int64, shape (n_impressions + 1,)
        Impression i has the candidates `start[i]:start[i + 1]`.
    clicked : array of bool, shape (n_candidates,)
        Whether the candidate was clicked.
    user_key, n_reads, shown_ms : array of int64, shape (n_impressions,)
        The user, how many reads the run knew of the user, and when it was shown. An anonymous
        impression without a session has a negative key of its own.
    clicked_section : array of str, shape (n_impressions,)
        Section of the first article clicked, "" if none was.
    clicked_is_cold : array of bool, shape (n_impressions,)
        Whether that article had never been shown or clicked before.
    weight : array of float64, shape (n_candidates,)
        Inverse of the candidate's chance of being shown and looked at; all 1 where the log has
        neither positions nor propensities.
    parts : dict of array of float64, shape (n_candidates,)
        What each feature adds to the blend's score.
    scores : dict of array of float64, shape (n_candidates,)
        By system; NaN for a candidate that a system of the caller does not score.
    own
        The names of the systems of the caller.
    popularity
        The feature that is the popularity baseline: the one whose half-life did best on these
        very impressions.
    heads
        How the heads were learned, by `as_of` of the run and by head.
    """

    start: NDArray[np.int64]
    clicked: NDArray[np.bool_]
    user_key: NDArray[np.int64]
    n_reads: NDArray[np.int64]
    shown_ms: NDArray[np.int64]
    clicked_section: NDArray[np.str_]
    clicked_is_cold: NDArray[np.bool_]
    weight: Floats
    parts: dict[str, Floats]
    scores: dict[str, Floats]
    own: tuple[str, ...]
    popularity: str
    heads: dict[str, dict[str, HeadReport]]


def served_impressions(
    past: PastRuns, runs: Sequence[EvaluatedRun], protocols: Sequence[Protocol]
) -> dict[Protocol, list[ServedImpressions]]:
    """Return by protocol the impressions that each run served, with their features."""
    served: dict[Protocol, list[ServedImpressions]] = {protocol: [] for protocol in protocols}
    refreshed = [protocol for protocol in protocols if protocol != "nightly"]
    for evaluated in runs:
        begin_ms, end_ms = evaluated.from_ms, evaluated.before_ms
        for protocol in protocols:
            served[protocol].append(ServedImpressions(evaluated, []))
        if "nightly" in served:
            span = {"from_ms": begin_ms, "before_ms": end_ms}
            features = impression_features(past, evaluated.run, "nightly", **span)
            served["nightly"][-1].parts.append(features)
        for begin, end in pairwise(served_hours(begin_ms, end_ms) if refreshed else ()):
            hour_ms = max(begin // HOUR_MS * HOUR_MS, evaluated.run.window.as_of_ms)
            run = past.refresh(evaluated.run, hour_ms, end)
            for protocol in refreshed:
                features = impression_features(past, run, protocol, from_ms=begin, before_ms=end)
                served[protocol][-1].parts.append(features)
    return served


def served_hours(begin: int, end: int) -> list[int]:
    """Return the instants that divide the time that a run served into hours of the clock."""
    return [begin, *range(begin // HOUR_MS * HOUR_MS + HOUR_MS, end, HOUR_MS), end]


def without_features(
    builder: ExampleBuilder,
    served: Sequence[ServedImpressions],
    protocol: Protocol,
    names: Sequence[str],
) -> list[ServedImpressions]:
    """Return impressions as served by runs that learned the ranking head without some features.

    Parameters
    ----------
    builder
        Builds the examples to learn from.
    served
        The impressions of the protocol, from `served_impressions`.
    protocol
        The protocol of the ranking head.
    names
        The features to leave out.
    """
    result = []
    for impressions in served:
        evaluated = impressions.evaluated
        as_of_ms = evaluated.run.window.as_of_ms
        is_used = evaluated.heads.reports[ranking_head(protocol)].used
        curves, report = fit_ranking_head(builder, as_of_ms, protocol, names, is_used=is_used)
        heads = Heads(evaluated.heads.weights, {protocol: curves}, {ranking_head(protocol): report})
        evaluated = dataclasses.replace(evaluated, heads=heads, weights_without={})
        result.append(ServedImpressions(evaluated, impressions.parts))
    return result


def score_in_view(
    served: Sequence[ServedImpressions],
    protocol: Protocol,
    *,
    position_propensity: Floats,
    own: OwnSystems = NO_OWN_SYSTEMS,
    random_state: int = 42,
) -> InView:
    """Score impressions by each system, as it would have scored them then.

    The blend is the ranking head, as in `Recommender.rank`.

    Parameters
    ----------
    served
        The impressions of the protocol, from `served_impressions`.
    protocol
        Up to when clicks and views counted.
    position_propensity
        The chance that a position is looked at, from `propensity.position_propensities` of an
        earlier time.
    own
        Systems of the caller to score the impressions too.
    random_state
        Seed of the random system.
    """
    parts = [part for impressions in served for part in impressions.parts]
    scored = [
        _scores_and_parts(part, impressions.evaluated, protocol, own)
        for impressions in served
        for part in impressions.parts
    ]
    choices = concatenate_choices([part.choices for part in parts], ())
    scores = _concatenated([scores for scores, _ in scored])
    scores["random"] = np.random.default_rng(random_state).random(len(choices.chosen))
    # The half-life that does best on these very impressions: a generous baseline.
    trials = {name: scores.pop(name) for name in list(scores) if name.startswith("popularity_")}
    best = max(trials, key=lambda name: mean_auc(trials[name], choices), default="")
    scores["popularity"] = trials[best] if best else scores["random"]
    weights = [
        propensity.weights(part.position, part.choices.chosen, part.propensity, position_propensity)
        for part in parts
    ]
    signals_of = [set(impressions.evaluated.weights_without) for impressions in served]
    own_signals = sorted(set().union(*signals_of))
    user_key = np.concatenate([part.user_key for part in parts])
    if served:
        is_shared = user_key == served[0].evaluated.run.window.shared_key
        user_key[is_shared] = -1 - np.arange(int(is_shared.sum()))
    return InView(
        start=choices.start,
        clicked=choices.chosen,
        user_key=user_key,
        n_reads=np.concatenate([part.n_reads for part in parts]),
        shown_ms=np.concatenate([part.shown_ms for part in parts]),
        clicked_section=np.concatenate([part.clicked_section for part in parts]),
        clicked_is_cold=np.concatenate([part.clicked_is_cold for part in parts]),
        weight=np.concatenate(weights),
        parts=_concatenated([parts for _, parts in scored]),
        scores={name: scores[name] for name in (*SYSTEMS, *own_signals, *own.scorers)},
        own=tuple(own.scorers),
        popularity=best,
        heads={
            iso(impressions.evaluated.run.window.as_of_ms): impressions.evaluated.heads.reports
            for impressions in served
        },
    )


def _scores_and_parts(
    impressions: ImpressionFeatures,
    evaluated: EvaluatedRun,
    protocol: Protocol,
    own: OwnSystems,
) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Return candidates' scores by system, and what each feature adds to the blend's score."""
    heads = evaluated.heads
    features, signals = impressions.choices.features, impressions.signals
    curves = heads.curves[protocol]
    linear = {name: weight * signals[name] for name, weight in heads.weights.items()}
    parts = curve_parts(curves, features) if curves else linear
    scores = {name: features[name] for name in (f"popularity_{h:g}h" for h in POPULARITY_HOURS)}
    scores |= {name: features[feature] for name, feature in FEATURE_OF_SYSTEM.items()}
    scores["recency"] = -features["age"]
    scores["collaborative"] = linear["als"] + linear["context_item_item"]
    scores["hand weights"] = linear_score(signals, HAND_WEIGHTS)
    scores["blend"] = np.sum(list(parts.values()), axis=0)
    scores |= {name: signals[name] for name in evaluated.weights_without}
    scores |= own.in_view(impressions, protocol, evaluated.run.window.as_of_ms)
    return scores, parts


def _concatenated(pieces: Sequence[Mapping[str, Floats]]) -> dict[str, Floats]:
    """Return arrays by name, those of all pieces end to end; 0 where a piece lacks a name."""
    names = list(dict.fromkeys(name for piece in pieces for name in piece))
    length = [len(next(iter(piece.values()), ())) for piece in pieces]
    return {
        name: np.concatenate(
            [piece.get(name, np.zeros(n)) for piece, n in zip(pieces, length, strict=True)]
        )
        for name in names
    }


def features_of_group(group: str, names: Sequence[str]) -> list[str]:
    """Return the features of a group of `FEATURE_GROUPS`, their ranks within a choice included."""
    starts = FEATURE_GROUPS[group]
    return [
        name
        for name in names
        if name.startswith(starts) or name.removeprefix("rank_").startswith(starts)
    ]
