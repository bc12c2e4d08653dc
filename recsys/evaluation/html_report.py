"""The report of an evaluation as one HTML page that loads nothing from elsewhere."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import numpy as np
from jinja2 import Environment

from recsys.evaluation.full_list_report import FullListReport
from recsys.evaluation.headline import results
from recsys.evaluation.in_view_report import InViewReport
from recsys.evaluation.page_methods import (
    FRONTIER,
    PAGE_TITLES,
    chosen_for_clicks,
    chosen_for_exposure,
)
from recsys.evaluation.scatter_plot import scatter_plot
from recsys.evaluation.systems import BEST_FIXED, BLEND, PAGE, POPULARITY
from recsys.learn.protocols import Protocol
from recsys.metrics import Interval

_IN_VIEW_COLUMNS = ("auc", "auc, unbiased", "mrr", "ndcg@5", "ndcg@10", "fair_ndcg@10")
_PAGE_COLUMNS = ("any_click", "clicks", "weighted_clicks", "redundancy", "coverage", "gini")
_FIXED_COLUMNS = ("redundancy", "gini", "gini@5")  # the same at every point, or nearly
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
_OURS, _OWN, _OTHER = "#0b62a8", "#b4530a", "#6b7785"
# Pixels that a table may take on a phone and on a wide screen; a wider one says that it scrolls.
_PHONE, _SCREEN = 360, 920
_PIXELS_OF_LETTER, _PIXELS_OF_CELL = 8, 23
_MOST_FEATURES = 20
_CHANCE_AUC, _BY_CHANCE = 0.5, "dashed: 0.5, by chance"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of a section: a plot, a table, or both.

    Attributes
    ----------
    title, text
        Above it; "" for none.
    plot
        From `_plot`.
    picture
        SVG, "" for none.
    columns, rows
        The table.
    """

    title: str = ""
    text: str = ""
    plot: dict[str, Any] | None = None
    picture: str = ""
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()

    @property
    def width(self) -> str:
        """Return whether the table is wider than every screen, than a phone, or than neither."""
        longest = [max(map(len, cells)) for cells in zip(self.columns, *self.rows, strict=True)]
        pixels = sum(_PIXELS_OF_LETTER * n + _PIXELS_OF_CELL for n in longest)
        return "wide" if pixels > _SCREEN else "middle" if pixels > _PHONE else "narrow"


@dataclass(frozen=True, slots=True)
class Section:
    """A section of the page."""

    title: str
    parts: list[Part] = field(default_factory=list)


def render(
    about: Mapping[str, Any],
    in_view: Mapping[Protocol, InViewReport],
    full: FullListReport,
    ablation: Mapping[Protocol, Mapping[str, Interval]],
) -> str:
    """Return the HTML page of an evaluation.

    Parameters
    ----------
    about
        See `recsys.evaluation.report.Report.about`.
    in_view, full, ablation
        See `recsys.evaluation.report.Report`.
    """
    nothing = ("nothing could be judged.", "")
    claim, basis = next(results(in_view, full), nothing)
    own = list(next(iter(in_view.values())).n_scored)
    sections = []
    for protocol, report in in_view.items():
        if report.n_impressions:
            sections.append(_in_view_section(protocol, report, ablation[protocol], own))
    if full.n_lists:
        sections += [_full_list_section(full, own), _page_section(full)]
    for protocol, report in in_view.items():
        if report.n_impressions:
            sections.append(_learning_section(protocol, report))
    names = f"; {' and '.join(own)} {'are' if len(own) > 1 else 'is'} yours" if own else ""
    # Names of sections and systems come from data, so everything is escaped.
    template = files("recsys.evaluation").joinpath("html_report.html.jinja").read_text("utf-8")
    page = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(template)
    return page.render(
        title=f"Evaluation of {about['data']}",
        headline=f"On {about['data']}: {claim}",
        findings=[basis, *about["findings"][1:]],
        about=about,
        sections=sections,
        own_words=names,
    )


def _cell(value: Interval) -> str:
    return f"{_mean(value)} ({_ends(value)})" if _ends(value) else _mean(value)


def _mean(value: Interval) -> str:
    return f"{value.mean:.3f}" if np.isfinite(value.mean) else "–"


def _ends(value: Interval, digits: int = 3) -> str:
    """Return the ends of an interval, "" if it has no width."""
    between = " to " if value.low < 0 else "–"
    ends = f"{value.low:.{digits}f}{between}{value.high:.{digits}f}"
    return ends if value.low < value.high else ""


def _table(
    systems: Mapping[str, Mapping[str, Interval]], columns: Sequence[str]
) -> list[list[str]]:
    return [[name, *(_cell(values[c]) for c in columns)] for name, values in systems.items()]


def _plot(
    values: Mapping[str, Interval],
    own: Iterable[str] = (),
    *,
    mark: float | None = None,
    mark_text: str = "",
    from_zero: bool = False,
    digits: int = 3,
) -> dict[str, Any]:
    """Return means with their intervals as rows of dots, each with its name and value beside it.

    Parameters
    ----------
    values
        By name, in the order of the rows.
    own
        Names of the caller's own systems, which have a colour of their own.
    mark, mark_text
        A value to mark with a line, and what it is.
    from_zero
        Whether the axis begins at 0.
    digits
        After the point, of the values.
    """
    ends = [x for v in values.values() for x in (v.low, v.mean, v.high) if np.isfinite(x)]
    ends += [] if mark is None else [mark]
    first, last = min(ends, default=0.0), max(ends, default=1.0)
    margin = 0.04 * (last - first) or 0.5
    first, last = (0.0 if from_zero else first - margin), last + margin
    # What is known afterwards is a ceiling, no system that could win.
    rivals = [v.mean for n, v in values.items() if n not in (BEST_FIXED, PAGE_TITLES[BEST_FIXED])]
    best = max((mean for mean in rivals if np.isfinite(mean)), default=None)

    def percent(x: float) -> float:
        return round(100 * (x - first) / (last - first), 2)

    rows = []
    for name, value in values.items():
        is_known = np.isfinite(value.mean)
        kind = "own" if name in own else "blend" if name.startswith((BLEND, PAGE)) else "other"
        rows.append(
            {
                "name": name,
                "kind": kind,
                "color": {"own": _OWN, "blend": _OURS, "other": _OTHER}[kind],
                "is_best": is_known and value.mean == best and mark != 0,
                "at": percent(value.mean) if is_known else None,
                "low": percent(value.low) if is_known else None,
                "high": percent(value.high) if is_known else None,
                "value": f"{value.mean:.{digits}f}" if is_known else "–",
                "ends": _ends(value, digits),
            }
        )
    return {
        "rows": rows,
        "mark": None if mark is None else percent(mark),
        "mark_text": mark_text,
        "first": f"{first:.2f}",
        "last": f"{last:.2f}",
    }


def _in_view_section(
    protocol: Protocol,
    report: InViewReport,
    ablation: Mapping[str, Interval],
    own: Sequence[str],
) -> Section:
    """Return what was shown, re-ranked: each system, differences, strata, left-out features."""
    columns = [name for name in _IN_VIEW_COLUMNS if name in report.systems[BLEND]]
    aucs = {name: values["auc"] for name, values in report.systems.items()}
    parts = [
        Part(
            title="AUC of each system",
            text=(
                f"{report.n_impressions:,} impressions of {report.n_users:,} users. Left out:"
                f" {report.n_single_class:,} in which all or none of the articles were clicked."
                f" Popularity is {report.popularity}, whose half-life did best on these very"
                " impressions."
            ),
            plot=_plot(aucs, own, mark=_CHANCE_AUC, mark_text=_BY_CHANCE),
            columns=("system", *columns),
            rows=_table(report.systems, columns),
        ),
        *_difference_parts(report.differences, own, ("auc", "ndcg@10"), "impressions"),
    ]
    for kind, groups in report.strata.items():
        if groups:
            parts.append(_strata_part(kind, groups, report.counts[kind], own))
    if ablation:
        parts.append(
            Part(
                title="AUC that the blend loses without a group of features",
                text="The ranking head is learned again without each; right of 0: the group helps.",
                plot=_plot(ablation, mark=0.0, mark_text="dashed: 0", digits=4),
            )
        )
    return Section(f"Re-rank what was shown: {protocol}", parts)


def _difference_parts(
    differences: Mapping[str, Mapping[str, Mapping[str, Interval]]],
    own: Sequence[str],
    metrics: Sequence[str],
    what: str,
) -> list[Part]:
    """Return by how much the blend and own systems are ahead of each other system."""
    return [
        Part(
            title=f"{metrics[0].replace('auc', 'AUC')} of {system} less that of each other system",
            text=f"Paired on the same {what}. Right of 0: {system} is better.",
            plot=_plot(
                {other: values[metrics[0]] for other, values in others.items()},
                own,
                mark=0.0,
                mark_text="dashed: 0",
            ),
            columns=("other system", *metrics),
            rows=_table(others, metrics),
        )
        for system, others in differences.items()
    ]


def _strata_part(
    kind: str,
    groups: Mapping[str, Mapping[str, Interval]],
    counts: Mapping[str, int],
    own: Sequence[str],
) -> Part:
    """Return the AUC of all systems by stratum as a table, and of a few of them as a plot."""
    shown = [name for name in (POPULARITY, BLEND, *own) if name in next(iter(groups.values()))]
    names = list(next(iter(groups.values())))
    return Part(
        title=f"AUC by {kind}",
        plot=_plot(
            {f"{n}, {title}": values[n] for title, values in groups.items() for n in shown},
            [f"{n}, {title}" for title in groups for n in own],
            mark=_CHANCE_AUC,
            mark_text=_BY_CHANCE,
        ),
        columns=("system", *(f"{title} ({counts[title]:,})" for title in groups)),
        rows=[[name, *(_mean(groups[title][name]) for title in groups)] for name in names],
    )


def _full_list_section(full: FullListReport, own: Sequence[str]) -> Section:
    hits = {name: values["hit@5"] for name, values in full.systems.items()}
    covered = {name: values["coverage@5"] for name, values in full.systems.items()}
    return Section(
        "Choose from all live articles",
        [
            Part(
                title="hit@5: lists with a click within 12 hours on one of five",
                text=(
                    f"{full.n_lists:,} lists for {full.n_users:,} users at {full.n_moments} moments"
                    " through the day; intervals resample users and moments. For"
                    f" {full.cold_users:.1%} of the lists the run did not know the user."
                ),
                plot=_plot(hits, own, from_zero=True),
                columns=("system", *_LIST_COLUMNS),
                rows=_table(full.systems, _LIST_COLUMNS),
            ),
            Part(
                title="coverage@5: share of live articles that any user is shown",
                plot=_plot(covered, own, from_zero=True),
            ),
            *_difference_parts(full.differences, own, ("hit@5", "ndcg@10"), "lists"),
            Part(
                title="hit@5 by user",
                columns=("system", *full.strata),
                rows=[
                    [name, *(_cell(values[name]) for values in full.strata.values())]
                    for name in full.systems
                ],
            ),
        ],
    )


def _page_section(full: FullListReport) -> Section:
    """Return the table of whole pages, and lists judged by gains of their own."""
    return Section(
        "Whole pages",
        [
            Part(
                text=(
                    "Pages by what fills them. Of the 12 hours after each moment: the share of"
                    " pages with a click on one of their articles, clicks a page, and clicks"
                    " weighted by their place in the list. The best fixed articles are chosen"
                    " afterwards, the same for all users of a moment: what needs no personalisation"
                    " hardly does better. Redundancy is the share of slots whose story is on the"
                    " page already, coverage the share of live articles that any user is shown, and"
                    " Gini the unevenness of their exposure."
                ),
                plot=_plot(
                    {PAGE_TITLES[name]: found["any_click"] for name, found in full.pages.items()},
                    from_zero=True,
                ),
                columns=("pages filled by", *_PAGE_COLUMNS),
                rows=_table(
                    {PAGE_TITLES[name]: found for name, found in full.pages.items()}, _PAGE_COLUMNS
                ),
            ),
            *(
                Part(
                    title=full.purpose_titles[name],
                    text="nDCG@5 by this gain of each article.",
                    plot=_plot(systems, from_zero=True),
                )
                for name, systems in full.purposes.items()
            ),
            *_frontier_parts(full),
        ],
    )


def _frontier_parts(full: FullListReport) -> list[Part]:
    """Return what a page gives up for clicks, and for exposure, by the settings of its lists."""
    columns = [name for name in next(iter(full.frontier.values())) if name not in _FIXED_COLUMNS]
    return [
        Part(
            title="Clicks against purpose: among how many of its best articles a list chooses",
            text=(
                "Each point is a number of candidates ([page] own_candidates); further right is"
                " more clicks a page, higher is a list truer to its purpose. At the point 0 lists"
                " go by their ranks alone ([page] click_share = 0)."
            ),
            picture=scatter_plot(
                chosen_for_clicks(full.pages, full.frontier), "clicks a page", "hit@5 or nDCG@5"
            ),
        ),
        Part(
            title="Hits against exposure: how often the last slot of a list is drawn at random",
            text=(
                "Each point is a chance ([page] explore); further right is more hits of the"
                " personal list, higher are more articles that any user is shown."
            ),
            picture=scatter_plot(
                chosen_for_exposure(full.pages, full.frontier),
                "hit@5 of the personal list",
                "share of the live articles that any user is shown",
            ),
            columns=("lists choose by", *columns),
            rows=_table({FRONTIER[name]: found for name, found in full.frontier.items()}, columns),
        ),
    ]


def _learning_section(protocol: Protocol, report: InViewReport) -> Section:
    """Return how the blend was learned, what it uses, and whether its predictions come true."""
    strongest = list(report.contributions.items())[:_MOST_FEATURES]
    return Section(
        f"How the blend works: {protocol}",
        [
            Part(
                title="Features that it uses most",
                text="Standard deviation, within an impression, of what a feature adds.",
                plot=_plot({name: Interval(x, x, x) for name, x in strongest}, from_zero=True),
            ),
            Part(
                title="Predicted and real shares of the clicks of an impression",
                columns=("candidates", "predicted", "real"),
                rows=[[f"{n:,}", f"{p:.3f}", f"{r:.3f}"] for n, p, r in report.calibration],
            ),
            Part(
                title="How its heads were learned",
                columns=("run", "head", "choices", "AUC learned", "AUC shipped", "served", "why"),
                rows=[
                    [as_of, name, *_head_cells(values)]
                    for as_of, heads in report.heads.items()
                    for name, values in heads.items()
                ],
            ),
        ],
    )


def _head_cells(values: Mapping[str, Any]) -> list[str]:
    learned, shipped = (
        "–" if values[key] is None else f"{values[key]:.3f}" for key in ("learned", "shipped")
    )
    return [
        f"{values['n']:,}",
        learned,
        shipped,
        "learned" if values["used"] else "shipped",
        values["why"],
    ]
