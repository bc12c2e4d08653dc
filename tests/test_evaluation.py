import json

import msgspec
import numpy as np
import pytest
from conftest import RECEIVED_MS, SAMPLE
from newsroom import altered_sample

from recsys.config import Config, DataConfig, LearnConfig
from recsys.config_file import load_config, toml_of
from recsys.errors import StoreError
from recsys.evaluation.backtest import evaluated_runs
from recsys.evaluation.full_list import LIST_LENGTH, PAGE_METHODS, make_full_lists, noons
from recsys.evaluation.full_list_report import full_list_report
from recsys.evaluation.html_report import render
from recsys.evaluation.in_view import (
    FEATURE_GROUPS,
    features_of_group,
    score_in_view,
    served_impressions,
)
from recsys.evaluation.in_view_report import (
    calibration,
    contributions,
    in_view_report,
    paired_difference,
)
from recsys.evaluation.json_report import as_json
from recsys.evaluation.tune import judge_day, search_settings
from recsys.ingest.detect import expand
from recsys.ingest.load_files import load_files
from recsys.learn.examples import ExampleBuilder
from recsys.learn.past_runs import PastRuns
from recsys.learn.protocols import DAY_MS, PROTOCOLS, counted_until_ms, last_nightly_run_ms
from recsys.rows import HOUR_MS, iso
from recsys.store.database import Store

FROM_MS = RECEIVED_MS - 2 * DAY_MS
QUICK = Config(learn=LearnConfig(days=1, min_choices=100))


@pytest.fixture(scope="module")
def newsroom(tmp_path_factory):
    with Store(tmp_path_factory.mktemp("evaluation") / "recsys.db") as store:
        load_files(store, expand([SAMPLE]), received_ms=RECEIVED_MS)
        yield store


def runs_and_in_view(past, protocol, *, from_ms, before_ms):
    builder = ExampleBuilder(past)
    runs = evaluated_runs(builder, [protocol], from_ms=from_ms, before_ms=before_ms)
    served = served_impressions(past, runs, [protocol])[protocol]
    return runs, score_in_view(served, protocol, position_propensity=np.ones(1))


def in_view_of(store, protocol, *, from_ms, before_ms, config=QUICK):
    past = PastRuns(store, config)
    return runs_and_in_view(past, protocol, from_ms=from_ms, before_ms=before_ms)[1]


@pytest.fixture(scope="module")
def nightly(newsroom):
    """Return the scored impressions of two days and their report, and the report of full lists."""
    past = PastRuns(newsroom, QUICK)
    runs, scored = runs_and_in_view(past, "nightly", from_ms=FROM_MS, before_ms=RECEIVED_MS)
    return scored, in_view_report(scored), full_list_report(make_full_lists(past, runs))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_no_event_counts_that_is_later_than_the_impression(protocol):
    shown_ms = np.random.default_rng(0).integers(0, 40 * DAY_MS, 500)
    run_ms = last_nightly_run_ms(shown_ms)
    assert ((run_ms <= shown_ms) & (run_ms > shown_ms - DAY_MS)).all()
    for as_of_ms in np.unique(run_ms).tolist():
        after = shown_ms[run_ms == as_of_ms]
        until_ms = counted_until_ms(after, protocol, as_of_ms)
        assert ((until_ms <= after) & (until_ms >= as_of_ms)).all()


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


@pytest.mark.parametrize("protocol", ["nightly", "streaming"])
def test_scores_do_not_change_when_the_future_does(tmp_path, protocol):
    until_ms = RECEIVED_MS - 20 * HOUR_MS
    until = iso(until_ms)

    def click_until(row):
        return row if row["clicked_at"] < until else None

    def without_later_click(row):
        changed = {key: row[key] for key in row if key not in ("clicked", "clicked_at")}
        return row if row["shown_at"] < until else changed

    short = altered_sample(tmp_path / "short", click=click_until, impression=without_later_click)
    rng = np.random.default_rng(3)
    with (tmp_path / "later.csv").open("w") as later:
        later.write("user_id,article_id,clicked_at\n")
        for i in range(900):
            user, article = rng.integers(2_000), rng.integers(274)
            later.write(f"u{user:04d},a{article:04d},{until_ms + i}\n")
    scored = []
    for name, paths in (("short", [short]), ("long", [SAMPLE, tmp_path / "later.csv"])):
        with Store(tmp_path / f"{name}.db") as store:
            load_files(store, expand(paths), received_ms=RECEIVED_MS)
            span = {"from_ms": until_ms - 4 * HOUR_MS, "before_ms": until_ms}
            scored.append(in_view_of(store, protocol, **span))
            n_later = len(store.clicks(from_ms=until_ms + HOUR_MS, before_ms=2**60).clicked_ms)
            assert (n_later == 0) == (name == "short")
    short_scored, long_scored = scored
    assert len(short_scored.clicked) > 100
    assert any(head.used for heads in short_scored.heads.values() for head in heads.values())
    for system, scores in short_scored.scores.items():
        np.testing.assert_array_equal(scores, long_scored.scores[system], err_msg=system)


def test_the_hours_after_a_noon_are_inside_the_span():
    noon = 12 * HOUR_MS
    assert list(noons(0, 2 * DAY_MS)) == [noon, noon + DAY_MS]
    assert list(noons(noon + 1, 2 * DAY_MS)) == [noon + DAY_MS]
    assert list(noons(0, DAY_MS - 1)) == []


def test_a_span_without_a_noon_has_no_lists(newsroom):
    past = PastRuns(newsroom, msgspec.structs.replace(QUICK, learn=LearnConfig(days=0)))
    span = {"from_ms": FROM_MS, "before_ms": FROM_MS + 1}
    full = make_full_lists(past, evaluated_runs(ExampleBuilder(past), ["nightly"], **span))
    assert full.relevant == []
    assert all(lists.shape == (0, LIST_LENGTH) for lists in full.lists.values())
    assert full_list_report(full).n_lists == 0


def test_the_html_page_is_self_contained_and_escaped(nightly):
    scored, in_view, full = nightly
    lost = {"<b>group</b>": paired_difference(scored, scored)}
    page = render("<script>", ["about"], {"nightly": in_view}, full, {"nightly": lost})
    assert "<script" not in page
    assert "<b>group" not in page
    assert page.count("<svg") >= 8
    assert "http" not in page.replace("http://www.w3.org", "")  # XML namespaces are not loaded
    assert lost["<b>group</b>"].mean == 0.0


def test_calibration_bins_hold_every_candidate_once_and_have_the_right_mean():
    start, clicked = np.array([0, 2, 4, 6]), np.array([1, 0, 0, 1, 0, 0], dtype=bool)
    bins = calibration(np.zeros(6), clicked, start)
    assert sum(n for n, _, _ in bins) == 4  # the impression without a click is left out
    assert sum(n * real for n, _, real in bins) == pytest.approx(2)
    assert {predicted for _, predicted, _ in bins} == {0.5}


def test_contributions_are_spreads_within_impressions():
    start = np.array([0, 2, 4])
    parts = {"constant": np.array([1.0, 1.0, 5.0, 5.0]), "varied": np.array([0.0, 2.0, 0.0, 2.0])}
    found = contributions(parts, start)
    assert found == {"varied": 1.0, "constant": 0.0}


def test_every_feature_belongs_to_a_group(nightly):
    names = list(nightly[0].parts)
    grouped = {name for group in FEATURE_GROUPS for name in features_of_group(group, names)}
    assert grouped == set(names)


def test_a_bot_counts_as_a_user_before_its_flood_of_clicks(store, load):
    hour_ms = RECEIVED_MS - 24 * HOUR_MS
    shown = {"user_id": "u", "shown_at": hour_ms + 600_000, "shown": ["a", "b"], "clicked": ["a"]}
    early = {"user_id": "later-bot", "article_id": "a", "clicked_at": hour_ms + 1_000}
    load({"i.jsonl": json.dumps(shown) + "\n", "c.jsonl": json.dumps(early) + "\n"})
    # A second impression in the same hour, after the flood.
    load({"j.jsonl": json.dumps(shown | {"shown_at": hour_ms + 1_200_000}) + "\n"})
    span = {"from_ms": hour_ms, "before_ms": hour_ms + HOUR_MS}
    with pytest.raises(StoreError, match="require_title = false"):
        in_view_of(store, "streaming", **span)
    span["config"] = msgspec.structs.replace(QUICK, data=DataConfig(require_title=False))
    before = in_view_of(store, "streaming", **span).scores["popularity"][:2]
    flood = [
        {"user_id": "later-bot", "article_id": f"x{i}", "clicked_at": hour_ms + 700_000 + i}
        for i in range(200)
    ]
    load({"f.jsonl": "".join(json.dumps(click) + "\n" for click in flood)})
    after = in_view_of(store, "streaming", **span).scores["popularity"][:2]
    assert before[0] > 0
    assert after.tolist() == before.tolist()


def test_a_search_starts_from_the_given_settings_and_its_result_can_be_written(newsroom, tmp_path):
    config = msgspec.structs.replace(QUICK, learn=LearnConfig(days=1, min_choices=10**6))
    found = search_settings(
        newsroom, config, "nightly", before_ms=RECEIVED_MS, n_days=1, n_trials=2, random_state=1
    )
    day = judge_day(newsroom, config, "nightly", RECEIVED_MS - DAY_MS)
    assert found.initial_score == pytest.approx(day.mean)
    assert found.best_score >= found.initial_score
    path = tmp_path / "recsys.toml"
    path.write_text(toml_of(found.config))
    assert load_config(path) == found.config


def test_settings_written_are_read_back_equal(tmp_path):
    path = tmp_path / "recsys.toml"
    path.write_text(toml_of(Config()))
    assert load_config(path) == Config()
