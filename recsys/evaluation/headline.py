"""The findings of an evaluation in words: what won, by how much, against what, on which data."""

from collections.abc import Callable, Iterator, Mapping
from math import isnan
from typing import NamedTuple

from recsys.evaluation.full_list_report import FullListReport
from recsys.evaluation.in_view_report import InViewReport
from recsys.evaluation.systems import BEST_FIXED, BLEND, PAGE, without
from recsys.learn.live_choices import CHOICE_HOURS
from recsys.learn.protocols import Protocol
from recsys.metrics import Interval


class _Words(NamedTuple):
    """How a metric is written: its name, its values, and differences of them."""

    name: str
    value: Callable[[float], str]
    difference: Callable[[float], str]
    unit: str


_AUC = _Words("AUC", "{:.3f}".format, "{:+.3f}".format, "")
_HIT = _Words("hit@5", "{:.1%}".format, lambda x: f"{100 * x:+.1f}", " points")
OWN_SIGNAL = "signal "  # how the group of features begins that is a signal of the caller


def findings(
    in_view: Mapping[Protocol, InViewReport],
    full: FullListReport,
    ablation: Mapping[Protocol, Mapping[str, Interval]],
) -> list[str]:
    """Return what won in each task, and what each signal of the caller adds, in sentences.

    Parameters
    ----------
    in_view, full, ablation
        See `recsys.evaluation.report.Report`.
    """
    found = [f"{claim} {basis}" for claim, basis in results(in_view, full)]
    for protocol, lost_without in ablation.items():
        found += [
            f"What {group} adds to the blend ({protocol}): AUC {_signed(lost, _AUC)}{_doubt(lost)}."
            for group, lost in lost_without.items()
            if group.startswith(OWN_SIGNAL)
        ]
    found += _served_heads(in_view)
    if full.n_lists:
        found += [
            f"What {OWN_SIGNAL}{other.removeprefix(without(''))} adds to the blend (all live"
            f" articles): hit@5 {_signed(values['hit@5'], _HIT)}{_doubt(values['hit@5'])}."
            for other, values in full.differences[BLEND].items()
            if other.startswith(without(""))
        ]
    return found


def _served_heads(in_view: Mapping[Protocol, InViewReport]) -> list[str]:
    """Return in how many nights each learned head was served, and why not in the others."""
    refused: dict[str, dict[str, str]] = {}  # by head and night: why, "" where it was served
    for report in in_view.values():
        for as_of, heads in report.heads.items():
            for head, values in heads.items():
                refused.setdefault(head, {})[as_of] = "" if values["used"] else values["why"]
    found = []
    for head, why in refused.items():
        reasons = "; ".join(f"{as_of}: {text}" for as_of, text in why.items() if text)
        n_served = sum(not text for text in why.values())
        served = f"The learned head ({head}) was served in {n_served} of {len(why)} nights"
        found.append(f"{served}; not in {reasons}." if reasons else f"{served}.")
    return found


def results(
    in_view: Mapping[Protocol, InViewReport], full: FullListReport
) -> Iterator[tuple[str, str]]:
    """Yield what won in each task, by how much and against what; and on how much data.

    Parameters
    ----------
    in_view, full
        See `recsys.evaluation.report.Report`.
    """
    for protocol, report in in_view.items():
        if report.n_impressions:
            won = _won(report.systems, report.differences, "auc", _AUC)
            yield (
                f"Re-ranking what was shown ({protocol}): {won}",
                f"Judged on {report.n_impressions:,} impressions of {report.n_users:,} users.",
            )
    if full.n_lists:
        won = _won(full.systems, full.differences, "hit@5", _HIT)
        yield (
            f"Choosing from all live articles: {won}",
            f"Judged on {full.n_lists:,} lists for {full.n_users:,} users; a hit is a click within"
            f" {CHOICE_HOURS} hours on one of the five articles.",
        )


def _won(
    systems: Mapping[str, Mapping[str, Interval]],
    differences: Mapping[str, Mapping[str, Mapping[str, Interval]]],
    metric: str,
    words: _Words,
) -> str:
    """Return which system is best, and by how much it is ahead of the next best one.

    Variants of the blend are left out: the page, which has rules, and the blend without a signal.
    So are the best fixed articles, which are chosen afterwards.
    """
    means = {
        name: values[metric].mean
        for name, values in systems.items()
        if name not in (PAGE, BEST_FIXED) and not name.startswith(without(""))
    }
    means = {name: mean for name, mean in means.items() if not isnan(mean)}
    best = max(means, key=lambda name: means[name])
    # A baseline is compared with the blend alone: only the blend and own systems have differences.
    rivals = [name for name in means if name != best] if best in differences else [BLEND]
    rival = max(rivals, key=lambda name: means[name])
    if best in differences:
        ahead = differences[best][rival][metric]
    else:
        behind = differences[BLEND][best][metric]
        ahead = Interval(-behind.mean, -behind.high, -behind.low)
    difference = _signed(ahead, words)
    value, other = words.value(means[best]), words.value(means[rival])
    if ahead.low > 0:
        return (
            f"{best} won, with {words.name} {value} against {other} of {rival} (difference"
            f" {difference})."
        )
    return (
        f"{best} and {rival} are too close to call in {words.name}, {value} and {other}"
        f" (difference {difference})."
    )


def _signed(value: Interval, words: _Words) -> str:
    mean, low, high = map(words.difference, (value.mean, value.low, value.high))
    return f"{mean}{words.unit}, 95 % interval {low} to {high}"


def _doubt(value: Interval) -> str:
    return ", which may be 0" if value.low <= 0 <= value.high else ""
