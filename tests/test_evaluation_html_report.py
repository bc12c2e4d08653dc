import pytest

from recsys.evaluation.full_list_report import FullListReport
from recsys.evaluation.html_report import render
from recsys.evaluation.in_view_report import InViewReport
from recsys.evaluation.page_methods import FRONTIER
from recsys.metrics import Interval

ABOUT = {
    "data": "<script>.db",
    "test_from": "2026-02-28T06:00:00Z",
    "test_before": "2026-03-02T06:00:00Z",
    "evaluated_at": "2026-11-26T18:00:00+00:00",
    "version": "9.8.7",
    "command": "recsys evaluate --html r.html",
    "settings": "[learn]\ndays = 1\n",
    "findings": ["the first finding", "<b>the second finding</b>"],
    "notes": ["a note"],
}


def interval(mean):
    return Interval(mean, mean - 0.01, mean + 0.01)


def in_view(section="Sport"):
    auc = {"random": interval(0.5), "popularity": interval(0.6), "blend": interval(0.7)}
    nan = Interval(float("nan"), float("nan"), float("nan"))
    names = ("auc", "mrr", "ndcg@5", "ndcg@10", "fair_ndcg@10")
    less = {"random": interval(0.2), "popularity": interval(0.1)}
    return InViewReport(
        n_impressions=1234,
        n_single_class=5,
        n_users=100,
        popularity="popularity_1h",
        systems={n: dict.fromkeys(names, v) for n, v in (auc | {"mine": nan}).items()},
        against_baseline={},
        differences={"blend": {n: {"auc": v, "ndcg@10": v} for n, v in less.items()}},
        n_scored={"mine": 0},
        strata={"section clicked": {section: auc | {"mine": nan}}},
        counts={"section clicked": {section: 12}},
        calibration=[(10, 0.1, 0.2)],
        contributions={"age": 0.5},
        heads={},
    )


NO_LISTS = FullListReport(0, 0, 0, {}, {}, {}, {}, {}, {}, 0.0, {}, {})


def page(**changes):
    report = in_view("<i>Sport</i>")
    return render(
        ABOUT | changes, {"nightly": report}, NO_LISTS, {"nightly": {"<u>x</u>": interval(0)}}
    )


def test_the_headline_says_what_won_by_how_much_against_what_on_which_data():
    start = page().index("<h1>")
    headline = page()[start : page().index("</h1>")]
    assert headline == (
        "<h1>On &lt;script&gt;.db: Re-ranking what was shown (nightly): blend won, with AUC 0.700"
        " against 0.600 of popularity (difference +0.100, 95 % interval +0.090 to +0.110)."
    )
    assert "Judged on 1,234 impressions of 100 users." in page()


@pytest.mark.parametrize(
    "said",
    ["2026-11-26T18:00:00+00:00", "recsys 9.8.7", "recsys evaluate --html r.html", "days = 1"]
    + ["2026-02-28 06:00 to 2026-03-02 06:00 UTC", "a note"],
)
def test_the_page_says_when_by_what_and_how(said):
    assert said in page()


def test_the_page_is_self_contained_and_escaped():
    text = page()
    for tag in ("<script", "<i>Sport", "<b>the", "<u>x", "http", "<img", "<link"):
        assert tag not in text
    assert "<svg" in text


def test_every_row_of_a_plot_has_its_name_and_its_value_beside_it():
    text = page()
    rows = text.split('<div class="dot ')[1:]
    assert len(rows) == 4 + 2 + 4 + 1 + 1 - 1
    for row in rows:
        assert 'class="name">' in row
        assert 'class="value">' in row


def test_a_system_without_a_value_has_a_dash_and_no_dot():
    row = page().split('<span class="name">mine</span>')[1].partition("</div>")[0]
    assert "<circle" not in row
    assert '<span class="value">–' in row


def test_wide_tables_say_that_they_scroll():
    text = page()
    assert text.count("it scrolls sideways") == text.count("<table>")
    widths = text.split('<div class="scroll"')[:-1]
    assert '<div class="wide">' in widths[0]  # the systems: six columns with intervals
    assert '<div class="middle">' in widths[1]  # differences
    assert '<div class="narrow">' in widths[2]  # one stratum


def test_whole_pages_are_shown_and_what_is_known_afterwards_does_not_win():
    names = ("hit@5", "hit@10", "precision@5", "recall@10", "map@10", "ndcg@10", "novelty@5")
    names += ("similarity@5", "cold_articles@5", "coverage@5", "gini@5")
    systems = {
        name: dict.fromkeys(names, interval(mean))
        for name, mean in (("random", 0.1), ("blend", 0.4), ("best fixed", 0.6))
    }
    less = {"hit@5": interval(0.3), "ndcg@10": interval(0.3)}
    figures = ("any_click", "clicks", "weighted_clicks", "redundancy", "coverage", "gini")
    figures += ("hit@5", "coverage@5", "gini@5")
    pages = {"assignment": dict.fromkeys(figures, interval(0.8))}
    pages["one ranking"] = dict.fromkeys(figures, interval(0.7))
    pages["best fixed"] = dict.fromkeys(figures, interval(0.9))
    full = FullListReport(
        n_lists=9,
        n_users=5,
        n_moments=3,
        systems=systems,
        differences={"blend": {"random": less, "best fixed": less}},
        n_scored={},
        strata={},
        pages=pages,
        frontier={name: pages["assignment"] for name in FRONTIER},
        cold_users=0.0,
        purposes={},
        purpose_titles={},
    )
    text = render(ABOUT, {"nightly": in_view()}, full, {"nightly": {}})
    assert "9 lists for 5 users at 3 moments through the day" in text
    rows = text.split('<div class="dot ')[1:]
    best = [row.split('class="name">')[1].split("<")[0] for row in rows if " best" in row[:15]]
    assert "blend" in best
    assert "the assignment" in best
    assert not any(name.endswith(("best fixed", "known afterwards")) for name in best)
    assert text.count("the best fixed articles, known afterwards") == 2  # plot and table
    assert text.count("<polyline") == 3  # hits by clicks, and both coverages by hits
