"""Evaluate every system on a test window: on what was shown, and on full lists."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from recsys.blas import blas_on_one_thread
from recsys.config import Config
from recsys.evaluation.backtest import evaluated_runs
from recsys.evaluation.full_list import make_full_lists
from recsys.evaluation.full_list_report import FullListReport, full_list_report
from recsys.evaluation.in_view import (
    FEATURE_GROUPS,
    features_of_group,
    score_in_view,
    served_impressions,
    without_features,
)
from recsys.evaluation.in_view_report import InViewReport, in_view_report, paired_difference
from recsys.evaluation.propensity import position_propensities
from recsys.learn.examples import ExampleBuilder
from recsys.learn.past_runs import PastRuns
from recsys.learn.protocols import Protocol
from recsys.metrics import Interval
from recsys.page.list_table import list_names
from recsys.steps import step
from recsys.store.database import Store

LOG = logging.getLogger(__name__)


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
        By protocol and group of features: the AUC lost without the group. Empty unless asked
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
) -> Evaluation:
    """Return the metrics of every system beside its baselines.

    The six parameters are those of the `recsys evaluate` command.

    Parameters
    ----------
    store
        The log.
    config
        Settings of the runs that are evaluated.
    protocols
        Up to when clicks and views count for each impression.
    from_ms, before_ms
        Impressions shown in [from_ms, before_ms) are judged. `position_propensities` are
        estimated from earlier ones.
    ablate
        Also learn the ranking head without each group of features.
    """
    with blas_on_one_thread():
        past = PastRuns(store, config)
        builder = ExampleBuilder(past)
        runs = evaluated_runs(builder, protocols, from_ms=from_ms, before_ms=before_ms)
        with step(LOG, "full lists"):
            full_list = full_list_report(make_full_lists(past, runs))
        chance = position_propensities(
            store.impressions(from_ms=0, before_ms=from_ms), list_names(config)
        )
        in_view: dict[Protocol, InViewReport] = {}
        ablation: dict[Protocol, dict[str, Interval]] = {}
        with step(LOG, "impressions with their features"):
            served_by_protocol = served_impressions(past, runs, protocols)
        for protocol, served in served_by_protocol.items():
            with step(LOG, f"in view, {protocol}") as counts:
                scored = score_in_view(served, protocol, position_propensity=chance)
                in_view[protocol] = in_view_report(scored)
                counts["impressions"] = in_view[protocol].n_impressions
            ablation[protocol] = {}
            for group in FEATURE_GROUPS if ablate else ():
                with step(LOG, f"{protocol} without {group}"):
                    names = features_of_group(group, list(scored.parts))
                    fewer = without_features(builder, served, protocol, names)
                    without = score_in_view(fewer, protocol, position_propensity=chance)
                    ablation[protocol][group] = paired_difference(scored, without)
    return Evaluation(from_ms, before_ms, in_view, full_list, ablation)
