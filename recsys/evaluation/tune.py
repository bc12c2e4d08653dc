"""Search the settings that do best on past days; each day is judged by what was known before it.

A nightly run learns the weights of the blend itself (`recsys.learn`). The search is for the
settings that a nightly run takes as given: half-lives, factors, regularization, negatives, days.
"""

import logging
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from recsys import metrics
from recsys.blas import blas_on_one_thread
from recsys.config import Config
from recsys.errors import RecsysError
from recsys.evaluation.backtest import evaluated_runs
from recsys.evaluation.full_list import make_full_lists
from recsys.evaluation.in_view import score_in_view, served_impressions
from recsys.learn.examples import ExampleBuilder
from recsys.learn.past_runs import PastRuns
from recsys.learn.protocols import DAY_MS, Protocol
from recsys.steps import step
from recsys.store.database import Store

LOG = logging.getLogger(__name__)
# Table, key, least and greatest value. The search is on a log scale; a setting whose default is
# a whole number gets whole numbers.
SEARCH_SPACE = (
    ("collaborative", "factors", 8, 64),
    ("collaborative", "regularization", 0.005, 0.5),
    ("collaborative", "alpha", 1.0, 40.0),
    ("collaborative", "half_life_hours", 12.0, 240.0),
    ("collaborative", "min_users", 2, 8),
    ("popularity", "half_life_hours", 0.5, 24.0),
    ("popularity", "recency_half_life_hours", 1.0, 24.0),
    ("popularity", "ctr_half_life_hours", 6.0, 72.0),
    ("learn", "days", 1, 7),
    ("learn", "n_negatives", 20, 400),
)


@dataclass(frozen=True, slots=True)
class DayScores:
    """Metrics of one day, by a nightly run that learned from the days before it.

    Attributes
    ----------
    auc
        Mean AUC of the blend on the impressions of the day.
    ndcg
        Mean nDCG@10 of the blend's full lists.
    """

    auc: float
    ndcg: float

    @property
    def mean(self) -> float:
        """Return the mean of both metrics; a NaN counts as 0."""
        return float(np.nan_to_num([self.auc, self.ndcg]).mean())


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The best settings of a search.

    Attributes
    ----------
    config
        The settings.
    best_score, initial_score
        Mean of `DayScores.mean` over the days, of these settings and of the settings that the
        search started from.
    n_trials
        How many settings were tried.
    """

    config: Config
    best_score: float
    initial_score: float
    n_trials: int


def judge_day(store: Store, config: Config, protocol: Protocol, day_ms: int) -> DayScores:
    """Return the metrics of the day that begins at an instant: AUC in view, nDCG@10 of lists."""
    past = PastRuns(store, config)
    builder = ExampleBuilder(past)
    runs = evaluated_runs(builder, [protocol], from_ms=day_ms, before_ms=day_ms + DAY_MS)
    served = served_impressions(past, runs, [protocol])[protocol]
    scored = score_in_view(served, protocol, position_propensity=np.ones(1))
    auc = metrics.auc(metrics.judge(scored.scores["blend"], scored.clicked, scored.start))
    full = make_full_lists(past, runs)
    n_relevant = np.array([len(clicked) for clicked in full.relevant], dtype=np.int64)
    hits = metrics.hits_of(full.lists["blend"], full.relevant)
    ndcg = metrics.ndcg_at_k(hits, n_relevant, 10)
    return DayScores(
        *(float(np.nanmean(v)) if np.isfinite(v).any() else np.nan for v in (auc, ndcg))
    )


def search_settings(
    store: Store,
    config: Config,
    protocol: Protocol,
    *,
    before_ms: int,
    n_days: int,
    n_trials: int,
    random_state: int = 42,
) -> SearchResult:
    """Return the settings that do best on the days before an instant.

    Of the seven parameters, six are those of the `recsys tune` command.

    Parameters
    ----------
    store
        The log.
    config
        The settings to start from; they are the first trial.
    protocol
        The protocol of the impressions.
    before_ms
        Events of this instant or later are not looked at.
    n_days
        Number of days judged, each by a nightly run that learned from the days before it.
    n_trials
        Number of settings tried, those of `config` included.
    random_state
        Seed of the search.

    Raises
    ------
    RecsysError
        If the package for the search is not installed.

    References
    ----------
    Bergstra, Bardenet, Bengio, Kégl, "Algorithms for hyper-parameter optimization",
    NIPS 2011: the tree-structured Parzen estimator, in Optuna's implementation.
    """
    try:
        import optuna
    except ImportError as error:
        raise RecsysError("tune needs one more package: pip install 'recsys[tune]'") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    days = [before_ms - back * DAY_MS for back in range(n_days, 0, -1)]

    def score_of(trial: Any) -> float:
        values = {
            f"{table}.{key}": _suggest(trial, config, table, key, least, greatest)
            for table, key, least, greatest in SEARCH_SPACE
        }
        tried = changed_settings(config, values)
        with step(LOG, "trial", number=trial.number + 1, total=n_trials):
            return float(np.mean([judge_day(store, tried, protocol, day).mean for day in days]))

    sampler = optuna.samplers.TPESampler(seed=random_state)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.enqueue_trial({f"{t}.{k}": getattr(getattr(config, t), k) for t, k, *_ in SEARCH_SPACE})
    with blas_on_one_thread():
        study.optimize(score_of, n_trials=n_trials)
    scores = [float(trial.value or 0.0) for trial in study.trials]
    best = changed_settings(config, study.best_params)
    return SearchResult(best, study.best_value, scores[0], n_trials)


def _suggest(trial: Any, config: Config, table: str, key: str, low: float, high: float) -> Any:
    is_whole = isinstance(getattr(getattr(config, table), key), int)
    suggest = trial.suggest_int if is_whole else trial.suggest_float
    return suggest(f"{table}.{key}", low, high, log=True)


def changed_settings(config: Config, values: dict[str, Any]) -> Config:
    """Return settings with some changed, by `table.key`; floats are rounded to four digits.

    Examples
    --------
    >>> changed_settings(Config(), {"learn.days": 2}).learn.days
    2
    """
    for name, value in values.items():
        table, key = name.split(".")
        rounded = float(f"{value:.4g}") if isinstance(value, float) else value
        part = msgspec.structs.replace(getattr(config, table), **{key: rounded})
        changed: dict[str, Any] = {table: part}
        config = msgspec.structs.replace(config, **changed)
    return config
