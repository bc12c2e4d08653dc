"""Settings that did best on past days, searched on time-ordered folds.

Weights are learned by the night itself (`recsys.learn`); what is searched here is what a
night takes as given: half-lives, factors, regularization, negatives, days.
"""

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from recsys import metrics
from recsys.config import Config
from recsys.errors import RecsysError
from recsys.evaluation.backtest import full_list, in_view, nights, seen_of
from recsys.learn.examples import Past, ProgressListener
from recsys.learn.regimes import DAY_MS, Protocol
from recsys.store.database import Store

# Table, key, least, most; searched on a log scale, whole numbers where the default is one.
SPACE = (
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
class Fold:
    """How settings did on a day, learned from the days before it."""

    auc: float
    ndcg: float

    @property
    def value(self) -> float:
        """Return the mean of both tasks' figures; NaN counts as nothing won."""
        return float(np.nan_to_num([self.auc, self.ndcg]).mean())


@dataclass(frozen=True, slots=True)
class Found:
    """The best settings, their value, and that of the settings given."""

    config: Config
    value: float
    before: float
    n_trials: int


def judged(store: Store, config: Config, protocol: Protocol, day_ms: int) -> Fold:
    """Return how settings did on the day after an instant: AUC in view, nDCG@10 of lists."""
    past = Past(store, config)
    served = nights(past, [protocol], from_ms=day_ms, before_ms=day_ms + DAY_MS)
    seen = seen_of(past, served, [protocol])[protocol]
    scored = in_view(seen, served, protocol, chance=np.ones(1))
    auc = metrics.auc(metrics.judge(scored.scores["blend"], scored.clicked, scored.start))
    lists = full_list(past, served)
    n_relevant = np.array([len(wanted) for wanted in lists.relevant], dtype=np.int64)
    hits = metrics.hits_of(lists.lists["blend"], lists.relevant)
    ndcg = metrics.ndcg_at_k(hits, n_relevant, 10)
    return Fold(*(float(np.nanmean(v)) if np.isfinite(v).any() else np.nan for v in (auc, ndcg)))


def search(
    store: Store,
    config: Config,
    protocol: Protocol,
    *,
    before_ms: int,
    n_folds: int,
    n_trials: int,
    on_progress: ProgressListener = lambda what: None,
    random_state: int = 42,
) -> Found:
    """Return the settings that did best on the days before an instant.

    Parameters
    ----------
    store, config
        The data, and the settings to start from; they are the first trial.
    protocol
        The regime of the in-view task.
    before_ms
        Nothing of this instant or later is looked at.
    n_folds
        Days judged, each by a night that learned from the days before it.
    n_trials
        Settings tried, those given included.
    listener
        Told of each trial.
    random_state
        Of the search.

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
    days = [before_ms - back * DAY_MS for back in range(n_folds, 0, -1)]

    def value_of(trial: Any) -> float:
        on_progress(f"trial {trial.number + 1} of {n_trials}")
        tried = variant(
            config, {f"{t}.{k}": _suggest(trial, config, t, k, a, b) for t, k, a, b in SPACE}
        )
        return float(np.mean([judged(store, tried, protocol, day).value for day in days]))

    sampler = optuna.samplers.TPESampler(seed=random_state)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.enqueue_trial({f"{t}.{k}": getattr(getattr(config, t), k) for t, k, *_ in SPACE})
    study.optimize(value_of, n_trials=n_trials)
    values = [float(trial.value or 0.0) for trial in study.trials]
    return Found(variant(config, study.best_params), study.best_value, values[0], n_trials)


def _suggest(trial: Any, config: Config, table: str, key: str, least: float, most: float) -> Any:
    whole = isinstance(getattr(getattr(config, table), key), int)
    suggest = trial.suggest_int if whole else trial.suggest_float
    return suggest(f"{table}.{key}", least, most, log=True)


def variant(config: Config, values: dict[str, Any]) -> Config:
    """Return settings with some changed, by `table.key`; floats to four digits.

    Examples
    --------
    >>> variant(Config(), {"learn.days": 2}).learn.days
    2
    """
    for name, value in values.items():
        table, key = name.split(".")
        rounded = float(f"{value:.4g}") if isinstance(value, float) else value
        part = msgspec.structs.replace(getattr(config, table), **{key: rounded})
        changed: dict[str, Any] = {table: part}
        config = msgspec.structs.replace(config, **changed)
    return config
