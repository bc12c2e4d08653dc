"""Evaluate every system on a test window: on what was shown, and on full lists."""

import importlib.metadata
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING

from recsys.blas import blas_on_one_thread
from recsys.blend.curves import taken_names
from recsys.config import Config
from recsys.config_file import toml_of
from recsys.errors import ConfigError, StoreError
from recsys.evaluation.backtest import evaluated_runs
from recsys.evaluation.full_list import make_full_lists, moments
from recsys.evaluation.full_list_report import FullListReport, full_list_report
from recsys.evaluation.headline import OWN_SIGNAL
from recsys.evaluation.in_view import (
    FEATURE_GROUPS,
    features_of_group,
    score_in_view,
    served_impressions,
    without_features,
)
from recsys.evaluation.in_view_report import InViewReport, in_view_report, paired_difference
from recsys.evaluation.own_systems import OwnSystems, Scorer, read_scores
from recsys.evaluation.planned_work import planned_work
from recsys.evaluation.propensity import position_propensities
from recsys.evaluation.report import Report
from recsys.evaluation.systems import order_of_systems
from recsys.learn.examples import ExampleBuilder
from recsys.learn.live_choices import CHOICE_HOURS
from recsys.learn.past_runs import PastRuns
from recsys.learn.protocols import DAY_MS, PROTOCOLS, Protocol
from recsys.metrics import Interval
from recsys.page.list_table import list_names
from recsys.rows import iso, to_ms
from recsys.signals.own_signals import SignalFunction, require_new_names
from recsys.signals.own_tables import read_signal
from recsys.steps import Steps
from recsys.store.database import Store

if TYPE_CHECKING:
    from recsys.signals.own_tables import Tabular

LOG = logging.getLogger(__name__)

DEFAULT_DAYS = 2  # the test window: the last days of the impressions


def evaluate(
    store: Store,
    config: Config | None = None,
    protocols: Sequence[Protocol] = ("nightly",),
    *,
    test_from: datetime | None = None,
    test_before: datetime | None = None,
    ablate: bool = False,
    scores: "Mapping[str, Scorer | Tabular] | None" = None,
    signals: "Mapping[str, SignalFunction | Tabular] | None" = None,
) -> Report:
    """Return the metrics of every system beside its baselines; log the steps.

    The parameters are those of the `recsys evaluate` command.

    Parameters
    ----------
    store
        The log.
    config
        Settings of the runs that are evaluated; by default the shipped ones.
    protocols
        Up to when clicks and views count for each impression: "nightly", "hourly" and
        "streaming".
    test_from, test_before
        Impressions shown from `test_from` on and before `test_before` are judged, by default
        those of the last two days. What lies before is learned from.
    ablate
        Also learn the ranking head without each group of features.
    scores
        Systems of your own to compare, by name: functions of the candidates (see
        `recsys.evaluation.own_systems.COLUMNS`), or files or DataFrames with scores (see
        `recsys.evaluation.read_scores`).
    signals
        Signals of your own to learn with, by name: functions of articles and instants (see
        `recsys.signals.own_signals.SignalFunction`), or files or DataFrames with values (see
        `recsys.evaluation.read_signal`). The blend without each of them is compared too.

    Raises
    ------
    TypeError
        If the store is none, or `scores` or `signals` have no names.
    ConfigError
        If a name of a system or signal is taken, or what it gives is not a number for each row.
    InputRefusedError
        If a file cannot be read.
    StoreError
        If the store has no impressions in the test window, or no titles.
    """
    if not isinstance(store, Store):
        raise TypeError(
            f"store must be a recsys.store.Store, such as Store('recsys.db'), got {store!r}"
        )
    for what, named in (("scores", scores), ("signals", signals)):
        if named is not None and not isinstance(named, Mapping):
            raise TypeError(f"{what} must be a mapping from names, got {type(named).__name__}")
    config = config or Config()
    if not protocols or not set(protocols) <= set(PROTOCOLS):
        raise ValueError(f"protocols must be some of {', '.join(PROTOCOLS)}; got {protocols!r}")
    from_ms, before_ms = find_test_window(store, test_from, test_before)
    own_signals = {
        name: source if callable(source) else read_signal(source, name)
        for name, source in (signals or {}).items()
    }
    scorers = {
        name: source if callable(source) else read_scores(source, name)
        for name, source in (scores or {}).items()
    }
    require_new_names(own_signals, (*taken_names(), *order_of_systems()))
    for name in scorers:
        if not name or name in {*order_of_systems(), *own_signals}:
            raise ConfigError(f"scores {name}: another system has this name")
    work = planned_work(
        store,
        config,
        protocols,
        from_ms=from_ms,
        before_ms=before_ms,
        ablate=ablate,
        n_signals=len(own_signals),
    )
    steps = Steps(work.total)
    groups = {name: None for name in FEATURE_GROUPS if ablate}
    with blas_on_one_thread():
        past = PastRuns(store, config, own_signals, steps)
        own = OwnSystems.of(store, scorers)
        builder = ExampleBuilder(past)
        runs = evaluated_runs(builder, protocols, from_ms=from_ms, before_ms=before_ms)
        full_list = full_list_report(make_full_lists(past, runs, own=own))
        chance = position_propensities(
            store.impressions(from_ms=0, before_ms=from_ms), list_names(config)
        )
        in_view: dict[Protocol, InViewReport] = {}
        ablation: dict[Protocol, dict[str, Interval]] = {}
        for protocol, served in served_impressions(past, runs, protocols).items():
            with steps.step(LOG, f"{protocol}: metrics") as counts:
                scored = score_in_view(served, protocol, position_propensity=chance, own=own)
                in_view[protocol] = in_view_report(scored)
                counts["impressions"] = in_view[protocol].n_impressions
            left_out = {group: features_of_group(group, list(scored.parts)) for group in groups}
            left_out |= {f"{OWN_SIGNAL}{name}": [name] for name in own_signals}
            ablation[protocol] = {}
            for group, names in left_out.items():
                with steps.step(LOG, f"{protocol} without {group}"):
                    fewer = without_features(builder, served, protocol, names)
                    without = score_in_view(fewer, protocol, position_propensity=chance)
                    ablation[protocol][group] = paired_difference(scored, without)
    return Report(
        data=store.path.name,
        from_ms=from_ms,
        before_ms=before_ms,
        settings=toml_of(config),
        version=importlib.metadata.version("recsys"),
        in_view=in_view,
        full_list=full_list,
        ablation=ablation,
        notes=_notes(from_ms, before_ms, in_view, full_list, config.ingest.zone()),
    )


def find_test_window(
    store: Store, test_from: datetime | None, test_before: datetime | None
) -> tuple[int, int]:
    """Return the test window in ms: its beginning, and its end, which is outside.

    Parameters
    ----------
    store, test_from, test_before
        See `evaluate`.

    Raises
    ------
    StoreError
        If the store has no impressions in the test window.
    """
    last_ms = store.last_impression_ms()
    before_ms = last_ms + 1 if test_before is None else to_ms(test_before)
    from_ms = before_ms - DEFAULT_DAYS * DAY_MS if test_from is None else to_ms(test_from)
    holds_last = from_ms <= last_ms < before_ms  # else the impressions must be read
    if not holds_last and not len(store.impressions(from_ms=from_ms, before_ms=before_ms).shown_ms):
        raise StoreError(
            f"{store.path}: the store has no impression from {iso(from_ms)} on and before"
            f" {iso(before_ms)}; its last is of {iso(last_ms)}"
        )
    return from_ms, min(before_ms, last_ms + 1)


def no_moment(from_ms: int, before_ms: int, zone: tzinfo | None) -> str:
    """Return a sentence if no full lists can be judged in a test window, else ""."""
    if any(True for _ in moments(from_ms, before_ms, zone)):
        return ""
    last = list(moments(before_ms - 2 * DAY_MS, before_ms, zone))
    return (
        f"The test window from {iso(from_ms)} to {iso(before_ms)} holds no moment (every two hours"
        f" from 06:00 to 22:00) with the {CHOICE_HOURS} hours after it, so that lists from all live"
        f" articles are not judged; they are if it begins at {iso(last[-1])} or earlier."
    )


def _notes(
    from_ms: int,
    before_ms: int,
    in_view: Mapping[Protocol, InViewReport],
    full: FullListReport,
    zone: tzinfo | None,
) -> list[str]:
    """Return what could not be judged, and why."""
    notes = []
    first = next(iter(in_view.values()))
    if not first.n_impressions:
        notes.append(
            "No impression of the test window has both clicked and unclicked articles, so that"
            " no order of them is judged."
        )
    if missing := no_moment(from_ms, before_ms, zone):
        notes.append(missing)
    elif not full.n_lists:
        notes.append(
            f"In the {CHOICE_HOURS} hours after the moments of the test window no user clicked an"
            " unread article that was live then, so that no lists are judged."
        )
    for name, n in first.n_scored.items():
        if n < first.n_impressions:
            notes.append(
                f"{name} scored all candidates of {n:,} of {first.n_impressions:,} impressions;"
                " it is judged by these."
            )
    for name, n in full.n_scored.items():
        if n < full.n_lists:
            what = "it is judged by these" if n else "it is not in the comparison of lists"
            what += "" if n or first.n_scored[name] else "; are its ids those of the store?"
            notes.append(f"{name} scored candidates of {n:,} of {full.n_lists:,} lists; {what}.")
    return notes
