"""One evaluation: every system on the choices of a test window, in view and on full lists."""

from collections.abc import Sequence
from dataclasses import dataclass

from recsys.config import Config
from recsys.evaluation import backtest
from recsys.evaluation.propensity import position_propensities
from recsys.evaluation.report import (
    FullListReport,
    InViewReport,
    full_list_report,
    in_view_report,
    paired_difference,
)
from recsys.learn.examples import Past, ProgressListener
from recsys.learn.regimes import Protocol
from recsys.metrics import Interval
from recsys.store.database import Store


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The reports of one evaluation.

    Attributes
    ----------
    from_ms, before_ms
        The test window: impressions shown in [from_ms, before_ms).
    in_view
        By protocol: the systems on what was shown.
    full_list
        The systems on all live articles.
    ablation
        By protocol, by group of features: the AUC lost without the group; empty unless asked
        for.
    """

    from_ms: int
    before_ms: int
    in_view: dict[Protocol, InViewReport]
    full_list: FullListReport
    ablation: dict[Protocol, dict[str, Interval]]


def evaluate(
    store: Store,
    config: Config,
    protocols: Sequence[Protocol],
    *,
    from_ms: int,
    before_ms: int,
    ablate: bool = False,
    on_progress: ProgressListener = lambda what: None,
) -> Evaluation:
    """Return the metrics of every system beside its baselines.

    Parameters
    ----------
    store, config
        The log, and the settings of the nights that are evaluated.
    protocols
        Up to when a night, an hour or a click counts before each choice.
    from_ms, before_ms
        Impressions shown in [from_ms, before_ms) are judged; `position_propensities` are
        estimated from those before.
    ablate
        Also learn the ranking head without each group of features.
    on_progress
        Called with the name of each step.
    """
    past = Past(store, config, on_progress)
    nights = backtest.nights(past, protocols, from_ms=from_ms, before_ms=before_ms)
    full_list = full_list_report(backtest.full_list(past, nights))
    chance = position_propensities(store.impressions(from_ms=0, before_ms=from_ms))
    in_view: dict[Protocol, InViewReport] = {}
    ablation: dict[Protocol, dict[str, Interval]] = {}
    for protocol, seen in backtest.seen_of(past, nights, protocols).items():
        scored = backtest.in_view(seen, nights, protocol, chance=chance)
        in_view[protocol] = in_view_report(scored)
        ablation[protocol] = {}
        for group in backtest.GROUPS if ablate else ():
            on_progress(f"{protocol} without {group}")
            names = backtest.features_of_group(group, list(scored.parts))
            fewer = backtest.without_features(past, nights, protocol, names)
            without = backtest.in_view(seen, fewer, protocol, chance=chance)
            ablation[protocol][group] = paired_difference(scored, without)
    return Evaluation(from_ms, before_ms, in_view, full_list, ablation)
