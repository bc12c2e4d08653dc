"""The report of an evaluation as one HTML page that loads nothing from elsewhere."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from recsys.errors import RecsysError
from recsys.evaluation.full_list_report import FullListReport
from recsys.evaluation.in_view_report import InViewReport
from recsys.learn.protocols import Protocol
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
    """Return the HTML page of an evaluation.

    Parameters
    ----------
    title
        What was evaluated.
    about
        Paragraphs below the title: on which data, and when.
    in_view, full, ablation
        See `recsys.evaluation.run.Evaluation`.

    Raises
    ------
    RecsysError
        If the packages for plots are not installed.
    """
    try:
        from jinja2 import Environment
    except ImportError as error:
        raise RecsysError("--html needs more packages: pip install 'recsys[report]'") from error
    sections = [_auc_section(in_view), _full_list_section(full), _page_section(full)]
    for protocol, report in in_view.items():
        sections += _protocol_sections(protocol, report)
        if ablation.get(protocol):
            sections.append(_ablation_section(protocol, ablation[protocol]))
    # Names of sections and systems come from data, so everything but our own SVG is escaped.
    page = Environment(autoescape=True).from_string(_TEMPLATE)
    return page.render(title=title, about=about, sections=sections)


def svg(draw: Any, *, width: float = 9.0, height: float = 4.0) -> str:
    """Return a figure as SVG; the same data gives the same bytes.

    Parameters
    ----------
    draw
        Called with the matplotlib figure to draw on.
    width, height
        Size in inches.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    draw(figure)
    out = io.StringIO()
    # No date and no random ids, so that the same data gives the same bytes.
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


def _draw_points(axes: Any, groups: Mapping[str, Mapping[str, Interval]], label: str) -> None:
    """Draw means with intervals: the groups side by side, one colour for each series."""
    names = list(groups)
    series = list(dict.fromkeys(name for values in groups.values() for name in values))
    for i, name in enumerate(series):
        shown = [(x, groups[g][name]) for x, g in enumerate(names) if name in groups[g]]
        x = np.array([x for x, _ in shown]) + (i - len(series) / 2) * 0.8 / len(series)
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


def _auc_section(in_view: Mapping[Protocol, InViewReport]) -> Section:
    groups: dict[str, dict[str, Interval]] = {
        protocol: {name: values["auc"] for name, values in report.systems.items()}
        for protocol, report in in_view.items()
    }
    return {
        "title": "In view: re-rank what was shown",
        "text": "Mean AUC of impressions by protocol. 95 % intervals by bootstrap over users.",
        "plot": svg(lambda figure: _draw_points(figure.subplots(), groups, "AUC")),
    }


def _page_section(full: FullListReport) -> Section:
    """Return the table of whole pages, and of lists judged by their own gains."""
    rows = [
        [name, *(f"{figures[c]:.3f}" for c in ("redundancy", "coverage", "gini"))]
        for name, figures in full.pages.items()
    ]
    for name, systems in full.purposes.items():
        rows += [
            [f"{full.purpose_titles[name]}: {title}", _cell(v), "", ""]
            for title, v in systems.items()
        ]
    return {
        "title": "Whole pages, and lists by their own gains",
        "text": (
            "Pages by the method that fills them. Redundancy is the share of slots whose story"
            " is on the page already, coverage the share of live articles that any user is"
            " shown, and gini the unevenness of their exposure. Below: nDCG@5 by the gain of"
            " each list, which is clicks of the next hour for Popular Now and reading time of"
            " the next day for Must-Reads."
        ),
        "columns": ("", "redundancy, or nDCG@5", "coverage", "gini"),
        "rows": rows,
    }


def _full_list_section(full: FullListReport) -> Section:
    def draw(figure: Any) -> None:
        left, right = figure.subplots(1, 2)
        for name, values in full.systems.items():
            hit, coverage = values["hit@5"], values["coverage@5"]
            reach = [[hit.mean - hit.low], [hit.high - hit.mean]]
            left.errorbar(hit.mean, name, xerr=reach, fmt="o", color="C0", capsize=2)
            right.plot(coverage.mean, hit.mean, "o", label=name)
        left.set_xlabel("hit@5")
        right.set_xlabel("coverage@5")
        right.set_ylabel("hit@5")
        right.legend(fontsize=7)

    return {
        "title": "Full list: choose from all live articles",
        "text": (
            f"{full.n_lists} lists for {full.n_users} users at noon. A hit is a click within 12"
            f" hours. For {full.cold_users:.3f} of the lists the run did not know the user."
        ),
        "plot": svg(draw),
        "columns": ("system", *_LIST_COLUMNS),
        "rows": _table(full.systems, _LIST_COLUMNS),
    }


def _protocol_sections(protocol: Protocol, report: InViewReport) -> list[Section]:
    title = protocol.capitalize()
    sections = [_systems_section(title, report)]
    for kind, groups in report.strata.items():
        if groups:
            named = {f"{t}\n{report.counts[kind][t]}": values for t, values in groups.items()}
            plot = svg(lambda figure, named=named: _draw_points(figure.subplots(), named, "AUC"))
            sections.append({"title": f"{title}: AUC by {kind}", "plot": plot})
    sections += [
        {
            "title": f"{title}: calibration",
            "plot": svg(lambda figure: _draw_calibration(figure, report), width=5),
        },
        {
            "title": f"{title}: which features the blend uses most",
            "plot": svg(lambda figure: _draw_contributions(figure, report)),
        },
        {
            "title": f"{title}: how the heads were learned",
            "columns": ("run", "head", "choices", "AUC learned", "AUC shipped", "served", ""),
            "rows": [
                [as_of, name, *_head_cells(values)]
                for as_of, heads in report.heads.items()
                for name, values in heads.items()
            ],
        },
    ]
    return sections


def _systems_section(title: str, report: InViewReport) -> Section:
    columns = [name for name in _IN_VIEW_COLUMNS if name in report.systems["blend"]]
    return {
        "title": f"{title}: systems",
        "text": (
            f"{report.n_impressions} impressions of {report.n_users} users;"
            f" {report.n_single_class} are left out because all or none of their candidates"
            f" were clicked. Popularity is {report.popularity}, the half-life that does best"
            " on these very impressions."
        ),
        "columns": ("system", *columns, "AUC over popularity"),
        "rows": [
            [*row, _cell(report.against_baseline[row[0]]) if row[0] != "popularity" else ""]
            for row in _table(report.systems, columns)
        ],
    }


def _head_cells(values: Any) -> list[str]:
    return [str(values[key]) for key in ("n", "learned", "shipped", "used", "why")]


def _draw_calibration(figure: Any, report: InViewReport) -> None:
    axes = figure.subplots()
    predicted = [p for _, p, _ in report.calibration]
    real = [r for _, _, r in report.calibration]
    top = max([*predicted, *real, 0.01])
    axes.plot([0, top], [0, top], color="0.7")
    axes.plot(predicted, real, "o-")
    axes.set_xlabel("predicted share of the clicks of an impression")
    axes.set_ylabel("real share")


def _draw_contributions(figure: Any, report: InViewReport) -> None:
    axes = figure.subplots()
    strongest = list(report.contributions.items())[:20][::-1]
    axes.barh([name for name, _ in strongest], [value for _, value in strongest])
    axes.set_xlabel("standard deviation of the part within an impression")


def _ablation_section(protocol: Protocol, lost: Mapping[str, Interval]) -> Section:
    def draw(figure: Any) -> None:
        axes = figure.subplots()
        for name, value in lost.items():
            reach = [[value.mean - value.low], [value.high - value.mean]]
            axes.errorbar(value.mean, name, xerr=reach, fmt="o", color="C0", capsize=2)
        axes.axvline(0, color="0.7")
        axes.set_xlabel("AUC lost")

    return {
        "title": f"{protocol.capitalize()}: AUC lost without each group of features",
        "text": (
            "The ranking head is learned again without each group. Differences are paired on"
            " the impressions."
        ),
        "plot": svg(draw),
        "columns": ("left out", "AUC lost"),
        "rows": [[name, _cell(value)] for name, value in lost.items()],
    }
