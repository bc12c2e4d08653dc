"""The whole evaluation of two days of the sample, with a system and a signal of one's own.

These tests share the two days that the fixture `evaluated` evaluates, which takes over a minute.
"""

import json
import logging
import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import polars as pl
import pytest
from conftest import QUICK, RECEIVED_MS

from recsys.errors import ConfigError, StoreError
from recsys.evaluation import evaluate
from recsys.evaluation.in_view import FEATURE_GROUPS, features_of_group
from recsys.evaluation.own_systems import COLUMNS
from recsys.evaluation.page_methods import FRONTIER, PAGE_METHODS
from recsys.evaluation.systems import in_order
from recsys.evaluation.tables import SCHEMAS
from recsys.learn.protocols import DAY_MS
from recsys.rows import HOUR_MS, from_ms

pytestmark = pytest.mark.slow

FROM_MS = RECEIVED_MS - 2 * DAY_MS
AT = datetime(2026, 11, 26, 18, tzinfo=UTC)
BASELINES = {
    "random",
    "popularity",
    "ctr",
    "recency",
    "text",
    "als",
    "item-item",
    "collaborative",
    "hand weights",
}


@pytest.fixture(scope="module")
def clicks(sample_store):
    """Return the number of all clicks of each article, those of the future included."""
    with closing(sqlite3.connect(sample_store.path)) as conn:
        rows = conn.execute("SELECT article_id, count(*) FROM v_clicks GROUP BY 1").fetchall()
    return pl.DataFrame(rows, schema=["article_id", "value"], orient="row")


@pytest.fixture(scope="module")
def asked():
    """Collects the candidates that the system `oracle` is asked to score."""
    return []


@pytest.fixture(scope="module")
def steps():
    """Collects the steps of the evaluation."""
    return []


@pytest.fixture(scope="module")
def evaluated(sample_store, clicks, asked, steps):
    """Return the report of two days, with left-out features, own systems and an own signal."""
    with closing(sqlite3.connect(sample_store.path)) as conn:
        query = "SELECT DISTINCT user_id, article_id FROM v_clicks WHERE clicked_at >= ?"
        seen = set(conn.execute(query, (from_ms(FROM_MS).isoformat(),)))

    def oracle(rows):
        asked.append(rows)
        pairs = zip(rows["user_id"], rows["article_id"], strict=True)
        return np.array([pair in seen for pair in pairs], dtype=float)

    logger, handler = logging.getLogger("recsys"), logging.Handler()
    handler.emit = lambda record: steps.append(record.step)
    handler.addFilter(lambda record: hasattr(record, "step"))
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    report = evaluate(
        sample_store,
        QUICK,
        ["nightly", "hourly"],
        test_from=from_ms(FROM_MS),
        test_before=from_ms(RECEIVED_MS),
        ablate=True,
        scores={"oracle": oracle, "clicks": clicks.rename({"value": "score"})[:200]},
        signals={"all_clicks": clicks},
    )
    logger.removeHandler(handler)
    return report


def test_the_report_has_every_system_beside_its_baselines(evaluated):
    plain = json.loads(evaluated.to_json())
    assert set(plain["systems"]) == BASELINES | {"blend", "all_clicks", "oracle", "clicks"}
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


def test_a_random_order_has_auc_one_half_and_planted_tastes_are_found(evaluated):
    in_view = evaluated.in_view["nightly"]
    auc = in_view.systems["random"]["auc"]
    assert auc.low < 0.5 < auc.high
    # Users of the sample have tastes for sections, which the blend must find.
    assert in_view.systems["blend"]["auc"].low > auc.high
    assert in_view.against_baseline["blend"].low > 0


def test_the_served_page_repeats_no_story_and_finds_more_than_chance(evaluated):
    full = evaluated.full_list
    assert full.n_moments == 9 + 6  # 06:00 to 22:00 of the first day, and to 16:00 of the second
    assert full.pages["assignment"]["redundancy"].mean == 0.0
    assert full.pages["by turns"]["redundancy"].mean == 0.0
    assert full.pages["separate lists"]["redundancy"].mean > 0.0
    for values in full.pages.values():
        assert values["any_click"].low < values["any_click"].mean < values["any_click"].high
        assert values["weighted_clicks"].mean <= values["clicks"].mean
    assert list(full.frontier) == list(FRONTIER)
    assert full.frontier["own candidates 20"] == full.pages["assignment"]  # as it is shipped
    drawn = [full.frontier[name] for name in FRONTIER if name.startswith("explore")]
    covered = [full.pages["assignment"], *drawn]
    assert [found["coverage"].mean for found in covered] == sorted(
        found["coverage"].mean for found in covered
    )
    # Whoever knows the future needs no other articles than these for all users.
    best = full.pages["best fixed"]
    assert best["any_click"].mean > full.pages["assignment"]["any_click"].mean
    assert full.systems["best fixed"]["hit@5"].mean > full.systems["popularity"]["hit@5"].mean
    for name, systems in full.purposes.items():
        methods = [f"{name}, {method}" for method in PAGE_METHODS]
        assert list(systems) == ["random", "popularity", "recency", *methods]
        assert all(0 <= values.mean <= 1 for values in systems.values())
    assert full.systems["page"]["hit@5"].mean > full.systems["random"]["hit@5"].mean


def test_every_feature_belongs_to_a_group(evaluated):
    names = set(evaluated.in_view["nightly"].contributions)
    grouped = {name for group in FEATURE_GROUPS for name in features_of_group(group, list(names))}
    assert grouped == names - {"all_clicks"}


def test_systems_have_one_order_everywhere(evaluated):
    reports = [*evaluated.in_view.values(), evaluated.full_list]
    for systems in [*(r.systems for r in reports), *(r.differences["blend"] for r in reports)]:
        assert list(systems) == list(in_order(systems))
    orders = [[n for n in r.systems if n in reports[-1].systems] for r in reports]
    full = [name for name in orders[-1] if name in reports[0].systems]
    assert orders[0] == orders[1] == full


# ---- systems of one's own -------------------------------------------------------


def test_a_function_scores_the_candidates_and_is_compared_in_pairs_with_every_system(evaluated):
    in_view, full = evaluated.in_view["nightly"], evaluated.full_list
    assert in_view.systems["oracle"]["auc"].mean > 0.95
    assert full.systems["oracle"]["hit@5"].mean > 0.95
    for report, metric in ((in_view, "auc"), (full, "hit@5")):
        others = report.differences["oracle"]
        assert set(others) == set(report.systems) - {"oracle"}
        assert all(values[metric].low > 0 for values in others.values())
        assert others["blend"][metric].mean == -report.differences["blend"]["oracle"][metric].mean
    assert in_view.n_scored["oracle"] == in_view.n_impressions


def test_a_function_gets_the_candidates_and_up_to_when_data_may_be_used(evaluated, asked):
    assert all(rows.schema == pl.Schema(COLUMNS) for rows in asked)
    rows = pl.concat(asked)
    assert set(rows["task"]) == {"in view", "full list"}
    assert (rows["known_until"] <= rows["at"]).all()
    lists = rows.filter(task="full list")
    assert set(lists["at"].dt.hour()) == set(range(6, 23, 2))
    lists_asked = lists.select("user_id", "at").n_unique()
    assert lists_asked == evaluated.full_list.n_lists


def test_a_system_is_judged_by_what_it_scored(evaluated):
    in_view = evaluated.in_view["nightly"]
    assert 0 < in_view.n_scored["clicks"] < in_view.n_impressions
    assert any(re.match("clicks scored all candidates of [0-9,]+ of", n) for n in evaluated.notes)


def test_a_file_without_a_candidate_is_not_in_the_comparison(sample_store, tmp_path):
    path = tmp_path / "scores.csv"
    path.write_text("article_id,score\nunknown,1\n")
    report = evaluate(
        sample_store, QUICK, test_from=from_ms(RECEIVED_MS - DAY_MS), scores={"mine": path}
    )
    assert np.isnan(report.in_view["nightly"].systems["mine"]["auc"].mean)
    assert "mine" not in report.full_list.systems
    assert any(note.startswith("mine scored all candidates of 0 of") for note in report.notes)
    assert "nan" not in report.to_html().lower()
    json.loads(report.to_json())


def test_names_that_are_taken_are_refused(sample_store, clicks):
    with pytest.raises(ConfigError, match="scores blend: another system has this name"):
        evaluate(sample_store, QUICK, scores={"blend": len})
    with pytest.raises(ConfigError, match="signal ctr: recsys has a signal or a system"):
        evaluate(sample_store, QUICK, signals={"ctr": clicks})
    with pytest.raises(ValueError, match="protocols must be some of nightly, hourly, streaming"):
        evaluate(sample_store, QUICK, "nightly")


# ---- a signal of one's own ------------------------------------------------------


def test_a_signal_enters_the_blend_and_is_judged_by_it(evaluated):
    in_view, full = evaluated.in_view["nightly"], evaluated.full_list
    assert in_view.contributions["all_clicks"] > 0
    # It knows the future, so the blend orders better with it.
    assert evaluated.ablation["nightly"]["signal all_clicks"].low > 0
    assert "blend without all_clicks" in full.differences["blend"]
    assert any(f.startswith("What signal all_clicks adds") for f in evaluated.findings)


# ---- the report -----------------------------------------------------------------


def test_the_steps_are_those_that_were_planned(evaluated, steps):
    ended = [step for step in steps if step.total and step.seconds is not None]
    assert [step.number for step in ended] == list(range(1, len(ended) + 1))
    assert {step.total for step in ended} == {len(ended)}


def test_every_table_is_a_frame_of_polars_and_of_pandas(evaluated):
    assert list(evaluated.tables) == list(SCHEMAS)
    for name, table in evaluated.tables.items():
        frame, other = table.to_polars(), table.to_pandas()
        assert frame.schema == pl.Schema(SCHEMAS[name])
        assert len(frame) > 0
        assert isinstance(other, pd.DataFrame)
        assert list(other.columns) == frame.columns
        assert len(other) == len(frame)
    in_view = evaluated.tables["in_view"].to_polars()
    (auc,) = in_view.filter(protocol="hourly", system="blend", metric="auc")["mean"]
    assert auc == evaluated.in_view["hourly"].systems["blend"]["auc"].mean


def test_the_page_has_no_word_twice_and_no_column_of_two_meanings(evaluated):
    text = evaluated.to_html(evaluated_at=AT, command="recsys evaluate")
    assert "by by" not in text
    assert "redundancy, or" not in text
    assert '<th scope="col">redundancy</th>' in text
    assert text.count("<h2>") == 6


def test_the_keys_of_json_do_not_depend_on_the_protocols(evaluated, sample_store):
    both = evaluated.as_dict(evaluated_at=AT, command="recsys evaluate")
    assert (both["protocols"], both["streaming"]) == (["nightly", "hourly"], None)
    assert both["systems"] == both["nightly"]["systems"] != both["hourly"]["systems"]
    assert (both["evaluated_at"], both["command"]) == (AT.isoformat(), "recsys evaluate")
    one = evaluate(
        sample_store, QUICK, ["hourly"], test_from=from_ms(RECEIVED_MS - HOUR_MS)
    ).as_dict()
    assert list(one) == list(both)
    assert list(one["hourly"]) == list(both["nightly"])
    assert one["nightly"] is None


def test_a_window_without_a_moment_gives_a_sentence_and_no_table(sample_store):
    report = evaluate(sample_store, QUICK, test_from=from_ms(RECEIVED_MS - HOUR_MS))
    (note,) = [note for note in report.notes if "holds no moment" in note]
    assert "they are if it begins at 2026-03-01T16:00:00Z or earlier" in note
    assert len(report.tables["full_list"].to_polars()) == 0
    assert len(report.tables["pages"].to_polars()) == 0
    page = report.to_html()
    assert "Choose from all live articles" not in page
    assert note in page
    assert "nan" not in page.lower()


def test_a_window_without_impressions_is_refused(sample_store):
    with pytest.raises(StoreError, match="no impression from 2026-03-02T06:00:00Z on"):
        evaluate(sample_store, QUICK, test_from=from_ms(RECEIVED_MS))
    with pytest.raises(StoreError, match="and before 1970-01-02T00:00:00Z; its last is of 2026"):
        evaluate(sample_store, test_from=from_ms(0), test_before=from_ms(DAY_MS))
