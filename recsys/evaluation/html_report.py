"""The report as one HTML page: plots and tables inside, nothing loaded from elsewhere."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from recsys.errors import RecsysError
from recsys.evaluation.backtest import PURPOSE
from recsys.evaluation.report import FullListReport, InViewReport
from recsys.learn.regimes import Protocol
from recsys.metrics import Interval

_TEMPLATE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{{ title }}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto }
td, th { padding: .15rem .7rem; border-bottom: 1px solid #ddd; text-align: right;
  white-space: nowrap }
td:first-child, th:first-child { text-align: left } small { color: #666 }
figure { margin: 1rem 0 } svg { max-width: 100%; height: auto }
</style>
<h1>{{ title }}</h1>
{% for line in about %}<p>{{ line }}</p>{% endfor %}
{% for section in sections %}
<h2>{{ section.title }}</h2>
{% if section.text %}<p>{{ section.text }}</p>{% endif %}
{% if section.plot %}<figure>{{ section.plot | safe }}</figure>{% endif %}
{% if section.rows %}<table><tr>
{% for name in section.columns %}<th>{{ name }}</th>{% endfor %}</tr>
{% for row in section.rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table>{% endif %}
{% endfor %}
</html>
"""
_IN_VIEW_COLUMNS = ("auc", "auc, unbiased", "mrr", "ndcg@5", "ndcg@10", "fair_ndcg@10")
_LIST_COLUMNS = (
    "hit@5",
    "hit@10",
    "precision@5",
    "recall@10",
    "map@10",
    "ndcg@10",
    "novelty@5",
    "similarity@5",
    "cold_articles@5",
    "coverage@5",
    "gini@5",
)
Section = dict[str, Any]


def render(
    title: str,
    about: Sequence[str],
    in_view: Mapping[Protocol, InViewReport],
    full: FullListReport,
    ablation: Mapping[Protocol, Mapping[str, Interval]],
) -> str:
    """Return the page.

    Parameters
    ----------
    title, about
        What was evaluated, on which data, when.
    in_view
        By regime.
    full
        Of the full list.
    ablation
        By regime, by group of features left out: AUC lost. May be empty.

    Raises
    ------
    RecsysError
        If the packages for plots are not installed.
    """
    try:
        from jinja2 import Environment
    except ImportError as error:
        raise RecsysError("--html needs more packages: pip install 'recsys[report]'") from error
    sections = [_by_regime(in_view), _lists(full), _pages(full)]
    for protocol, report in in_view.items():
        sections += _of_regime(protocol, report)
        if ablation.get(protocol):
            sections.append(_ablation(protocol, ablation[protocol]))
    # Names of sections and systems come from data: everything but our own SVG is escaped.
    page = Environment(autoescape=True).from_string(_TEMPLATE)
    return page.render(title=title, about=about, sections=sections)


def svg(draw: Any, *, width: float = 9.0, height: float = 4.0) -> str:
    """Return what is drawn on a figure of so many inches, the same for the same figures."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    draw(figure)
    out = io.StringIO()
    # No date and no random ids: the same figures give the same page.
    import matplotlib as mpl

    with mpl.rc_context({"svg.hashsalt": "recsys"}):
        figure.savefig(
            out, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
        )
    return out.getvalue()[out.getvalue().index("<svg") :]


def _cell(value: Interval) -> str:
    if not np.isfinite(value.mean):
        return "–"
    interval = f" ({value.low:.3f}–{value.high:.3f})" if value.low < value.high else ""
    return f"{value.mean:.3f}{interval}"


def _table(
    systems: Mapping[str, Mapping[str, Interval]], columns: Sequence[str]
) -> list[list[str]]:
    return [[name, *(_cell(values[c]) for c in columns)] for name, values in systems.items()]


def _bars(axes: Any, groups: Mapping[str, Mapping[str, Interval]], label: str) -> None:
    """Draw points with intervals: groups side by side, one colour a series."""
    names = list(groups)
    series = list(dict.fromkeys(name for values in groups.values() for name in values))
    for i, name in enumerate(series):
        shown = [(x, groups[g][name]) for x, g in enumerate(names) if name in groups[g]]
        x = np.array([place for place, _ in shown]) + (i - len(series) / 2) * 0.8 / len(series)
        mean = np.array([value.mean for _, value in shown])
        reach = [
            mean - [value.low for _, value in shown],
            [value.high for _, value in shown] - mean,
        ]
        axes.errorbar(x, mean, yerr=np.maximum(reach, 0), fmt="o", ms=4, capsize=2, label=name)
    axes.set_xticks(range(len(names)), names)
    axes.set_ylabel(label)
    axes.grid(axis="y", alpha=0.3)
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _by_regime(in_view: Mapping[Protocol, InViewReport]) -> Section:
    groups: dict[str, dict[str, Interval]] = {
        protocol: {name: values["auc"] for name, values in report.systems.items()}
        for protocol, report in in_view.items()
    }
    return {
        "title": "In view: re-rank what was shown",
        "text": "AUC an impression by regime, 95 % intervals by bootstrap over readers.",
        "plot": svg(lambda figure: _bars(figure.subplots(), groups, "AUC")),
    }


def _pages(full: FullListReport) -> Section:
    """Return how whole pages do, and lists by what they are for."""
    rows = [
        [name, *(f"{figures[c]:.3f}" for c in ("redundancy", "coverage", "gini"))]
        for name, figures in full.pages.items()
    ]
    for name, systems in full.purposes.items():
        rows += [[f"{PURPOSE[name]}: {title}", _cell(v), "", ""] for title, v in systems.items()]
    return {
        "title": "Whole pages, and lists by what they are for",
        "text": (
            "Pages by way of composing: share of slots that tell a story again, share of live"
            " articles shown to anybody, unevenness of their exposure. Below, nDCG@5 of what"
            " followed: clicks of the hour after for Popular Now, reading time of the day after"
            " for Must-Reads."
        ),
        "columns": ("", "redundancy, or nDCG@5", "coverage", "gini"),
        "rows": rows,
    }


def _lists(full: FullListReport) -> Section:
    def draw(figure: Any) -> None:
        left, right = figure.subplots(1, 2)
        for name, values in full.systems.items():
            left.errorbar(
                values["hit@5"].mean,
                name,
                xerr=[
                    [values["hit@5"].mean - values["hit@5"].low],
                    [values["hit@5"].high - values["hit@5"].mean],
                ],
                fmt="o",
                color="C0",
                capsize=2,
            )
            right.plot(values["coverage@5"].mean, values["hit@5"].mean, "o", label=name)
        left.set_xlabel("hit@5")
        right.set_xlabel("coverage@5")
        right.set_ylabel("hit@5")
        right.legend(fontsize=7)

    return {
        "title": "Full list: choose from all live articles",
        "text": (
            f"{full.n_lists} lists of {full.n_users} readers at noon; a hit is a click within 12"
            f" hours; {full.cold_users:.3f} of the readers were cold."
        ),
        "plot": svg(draw),
        "columns": ("system", *_LIST_COLUMNS),
        "rows": _table(full.systems, _LIST_COLUMNS),
    }


def _of_regime(protocol: Protocol, report: InViewReport) -> list[Section]:
    def calibration(figure: Any) -> None:
        axes = figure.subplots()
        predicted = [p for _, p, _ in report.calibration]
        real = [r for _, _, r in report.calibration]
        top = max([*predicted, *real, 0.01])
        axes.plot([0, top], [0, top], color="0.7")
        axes.plot(predicted, real, "o-")
        axes.set_xlabel("predicted share of the clicks of an impression")
        axes.set_ylabel("real share")

    def features(figure: Any) -> None:
        axes = figure.subplots()
        strongest = list(report.contributions.items())[:20][::-1]
        axes.barh([name for name, _ in strongest], [value for _, value in strongest])
        axes.set_xlabel("standard deviation of the part within an impression")

    columns = [name for name in _IN_VIEW_COLUMNS if name in report.systems["blend"]]
    sections: list[Section] = [
        {
            "title": f"{protocol.capitalize()}: systems",
            "text": (
                f"{report.n_impressions} impressions of {report.n_users} readers;"
                f" {report.n_single_class} of a single class left out. Popularity is"
                f" {report.popularity}, the half-life best on this very test."
            ),
            "columns": ("system", *columns, "AUC over popularity"),
            "rows": [
                [*row, _cell(report.against_baseline[row[0]]) if row[0] != "popularity" else ""]
                for row in _table(report.systems, columns)
            ],
        }
    ]
    for kind, groups in report.strata.items():
        if not groups:
            continue
        titled = {f"{t}\n{report.counts[kind][t]}": values for t, values in groups.items()}
        sections.append(
            {
                "title": f"{protocol.capitalize()}: AUC by {kind}",
                "plot": svg(lambda figure, titled=titled: _bars(figure.subplots(), titled, "AUC")),
            }
        )
    sections += [
        {"title": f"{protocol.capitalize()}: calibration", "plot": svg(calibration, width=5)},
        {"title": f"{protocol.capitalize()}: what the blend goes by", "plot": svg(features)},
        {
            "title": f"{protocol.capitalize()}: how the heads were learned",
            "columns": ("night", "head", "choices", "AUC learned", "AUC shipped", "served", ""),
            "rows": [
                [night, name, *_learned(values)]
                for night, heads in report.heads.items()
                for name, values in heads.items()
            ],
        },
    ]
    return sections


def _learned(values: Any) -> list[str]:
    return [str(values[k]) for k in ("n", "learned", "shipped", "used", "why")]


def _ablation(protocol: Protocol, lost: Mapping[str, Interval]) -> Section:
    def draw(figure: Any) -> None:
        axes = figure.subplots()
        for name, value in lost.items():
            reach = [[value.mean - value.low], [value.high - value.mean]]
            axes.errorbar(value.mean, name, xerr=reach, fmt="o", color="C0", capsize=2)
        axes.axvline(0, color="0.7")
        axes.set_xlabel("AUC lost")

    return {
        "title": f"{protocol.capitalize()}: what is lost without",
        "text": "Curves learned anew without each group of features; paired on the impressions.",
        "plot": svg(draw),
        "columns": ("left out", "AUC lost"),
        "rows": [[name, _cell(value)] for name, value in lost.items()],
    }
