"""The whole evaluation of two days of the sample: scores, both reports, JSON and HTML.

These tests share the two days that the fixture `nightly` evaluates, which takes most of a minute.
"""

import json

import numpy as np
import pytest
from conftest import QUICK, RECEIVED_MS

from recsys.evaluation.backtest import evaluated_runs
from recsys.evaluation.full_list import PAGE_METHODS, make_full_lists
from recsys.evaluation.full_list_report import full_list_report
from recsys.evaluation.html_report import render
from recsys.evaluation.in_view import (
    FEATURE_GROUPS,
    features_of_group,
    score_in_view,
    served_impressions,
)
from recsys.evaluation.in_view_report import in_view_report, paired_difference
from recsys.evaluation.json_report import as_json
from recsys.learn.examples import ExampleBuilder
from recsys.learn.past_runs import PastRuns
from recsys.learn.protocols import DAY_MS

FROM_MS = RECEIVED_MS - 2 * DAY_MS


@pytest.fixture(scope="module")
def nightly(sample_store):
    """Return the scored impressions of two days and their report, and the report of full lists."""
    past = PastRuns(sample_store, QUICK)
    span = {"from_ms": FROM_MS, "before_ms": RECEIVED_MS}
    runs = evaluated_runs(ExampleBuilder(past), ["nightly"], **span)
    served = served_impressions(past, runs, ["nightly"])["nightly"]
    scored = score_in_view(served, "nightly", position_propensity=np.ones(1))
    return scored, in_view_report(scored), full_list_report(make_full_lists(past, runs))


def test_the_report_has_every_system_beside_its_baselines(nightly):
    _, in_view, full = nightly
    plain = json.loads(json.dumps(as_json("nightly", in_view, full, {})))
    assert set(plain["systems"]) == {
        "random",
        "popularity",
        "ctr",
        "recency",
        "text",
        "als",
        "item-item",
        "collaborative",
        "hand weights",
        "blend",
    }
    assert plain["protocol"] == "nightly"
    assert plain["n_users"] <= plain["n_impressions"]
    for values in plain["systems"].values():
        assert set(values) >= {"auc", "mrr", "ndcg@5", "ndcg@10"}
        for interval in values.values():
            assert 0 <= interval["low"] <= interval["mean"] <= interval["high"] <= 1
    for values in plain["full_list"].values():
        assert set(values) >= {"hit@5", "hit@10", "ndcg@10", "coverage@5", "gini@5"}
    assert set(plain["strata"]) == {"user", "article clicked", "section clicked", "day"}
    assert sum(plain["counts"]["day"].values()) == plain["n_impressions"]


def test_a_random_order_has_auc_one_half_and_planted_tastes_are_found(nightly):
    _, in_view, _ = nightly
    auc = in_view.systems["random"]["auc"]
    assert auc.low < 0.5 < auc.high
    # Users of the sample have tastes for sections, which the blend must find.
    assert in_view.systems["blend"]["auc"].low > auc.high
    assert in_view.against_baseline["blend"].low > 0


def test_the_served_page_repeats_no_story_and_finds_more_than_chance(nightly):
    _, _, full = nightly
    assert full.pages["assignment"]["redundancy"] == 0.0
    assert full.pages["by turns"]["redundancy"] == 0.0
    assert full.pages["separate lists"]["redundancy"] > 0.0
    for name, systems in full.purposes.items():
        assert set(systems) == {
            *(f"{name}, {method}" for method in PAGE_METHODS),
            "popularity",
            "recency",
            "random",
        }
        assert all(0 <= values.mean <= 1 for values in systems.values())
    assert full.systems["page"]["hit@5"].mean > full.systems["random"]["hit@5"].mean


def test_the_html_page_is_self_contained_and_escaped(nightly):
    scored, in_view, full = nightly
    lost = {"<b>group</b>": paired_difference(scored, scored)}
    page = render("<script>", ["about"], {"nightly": in_view}, full, {"nightly": lost})
    assert "<script" not in page
    assert "<b>group" not in page
    assert page.count("<svg") >= 8
    assert "http" not in page.replace("http://www.w3.org", "")  # XML namespaces are not loaded
    assert lost["<b>group</b>"].mean == 0.0


def test_every_feature_belongs_to_a_group(nightly):
    names = list(nightly[0].parts)
    grouped = {name for group in FEATURE_GROUPS for name in features_of_group(group, names)}
    assert grouped == set(names)
