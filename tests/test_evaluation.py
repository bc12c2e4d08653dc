import json

import msgspec
import numpy as np
import pytest
from conftest import RECEIVED_MS, SAMPLE

from recsys.config import Config, LearnConfig, load_config, toml_of
from recsys.evaluation import backtest, report, tune
from recsys.evaluation.html_report import render
from recsys.ingest.detect import expand
from recsys.ingest.load_files import load_files
from recsys.learn import regimes
from recsys.learn.examples import Past
from recsys.rows import HOUR_MS
from recsys.store.database import Store

DAY_MS = regimes.DAY_MS
FROM_MS = RECEIVED_MS - 2 * DAY_MS
QUICK = Config(learn=LearnConfig(days=1, min_choices=100))


@pytest.fixture(scope="module")
def newsroom(tmp_path_factory):
    with Store(tmp_path_factory.mktemp("evaluation") / "recsys.db") as store:
        load_files(store, expand([SAMPLE]), received_ms=RECEIVED_MS)
        yield store


def scored(store, name, *, from_ms, before_ms, config=QUICK):
    past = Past(store, config)
    served = backtest.nights(past, [name], from_ms=from_ms, before_ms=before_ms)
    seen = backtest.seen_of(past, served, [name])[name]
    return backtest.in_view(seen, served, name, chance=np.ones(1))


@pytest.fixture(scope="module")
def nightly(newsroom):
    past = Past(newsroom, QUICK)
    served = backtest.nights(past, ["nightly"], from_ms=FROM_MS, before_ms=RECEIVED_MS)
    shown = backtest.seen_of(past, served, ["nightly"])["nightly"]
    seen = backtest.in_view(shown, served, "nightly", chance=np.ones(1))
    lists = backtest.full_list(past, served)
    return seen, report.in_view_report(seen), lists, report.full_list_report(lists)


@pytest.mark.parametrize("name", regimes.PROTOCOLS)
def test_no_cut_is_later_than_its_impression(name):
    shown = np.random.default_rng(0).integers(0, 40 * DAY_MS, 500)
    nights = regimes.night_of(shown)
    assert ((nights <= shown) & (nights > shown - DAY_MS)).all()
    for night_ms in np.unique(nights).tolist():
        after = shown[nights == night_ms]
        cut = regimes.count_cut(after, name, night_ms)
        assert ((cut <= after) & (cut >= night_ms)).all()


def test_the_report_has_every_system_beside_its_baselines(nightly):
    _, seen, _, lists = nightly
    plain = json.loads(json.dumps(report.as_json("nightly", seen, lists, {})))
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
    assert set(plain["strata"]) == {"reader", "article clicked", "section clicked", "day"}
    assert sum(plain["counts"]["day"].values()) == plain["n_impressions"]


def test_random_is_a_coin_and_planted_tastes_are_found(nightly):
    _, seen, _, _ = nightly
    auc = seen.systems["random"]["auc"]
    assert auc.low < 0.5 < auc.high
    # Readers of the sample have section tastes; the blend has to see some of it.
    assert seen.systems["blend"]["auc"].low > auc.high
    assert seen.against_baseline["blend"].low > 0


def test_the_composed_page_repeats_no_story_and_finds_more_than_chance(nightly):
    _, _, _, lists = nightly
    assert lists.pages["assignment"]["redundancy"] == 0.0
    assert lists.pages["by turns"]["redundancy"] == 0.0
    assert lists.pages["four lists"]["redundancy"] > 0.0
    for name, systems in lists.purposes.items():
        assert set(systems) == {
            *(f"{name}, {way}" for way in backtest.PAGES),
            "popularity",
            "recency",
            "random",
        }
        assert all(0 <= values.mean <= 1 for values in systems.values())
    assert lists.systems["page"]["hit@5"].mean > lists.systems["random"]["hit@5"].mean


@pytest.mark.parametrize("name", ["nightly", "streaming"])
def test_scores_do_not_change_when_the_future_does(tmp_path, name):
    with Store(tmp_path / "leak.db") as store:
        load_files(store, expand([SAMPLE]), received_ms=RECEIVED_MS)
        until = RECEIVED_MS - 20 * HOUR_MS
        span = {"from_ms": until - 4 * HOUR_MS, "before_ms": until}
        before = scored(store, name, **span)
        conn = store._conn
        conn.execute("DELETE FROM clicks WHERE clicked_at >= ?", (until,))
        conn.execute(
            "UPDATE impressions SET clicked = zeroblob(length(clicked)) WHERE shown_at >= ?",
            (until,),
        )
        rng = np.random.default_rng(3)
        users = [row[0] for row in conn.execute("SELECT user_key FROM users")]
        articles = [row[0] for row in conn.execute("SELECT article_key FROM article_ids")]
        conn.executemany(
            "INSERT INTO clicks VALUES (?, ?, ?, NULL, NULL, 0)",
            [(until + i, int(rng.choice(users)), int(rng.choice(articles))) for i in range(900)],
        )
        after = scored(store, name, **span)
    assert len(before.clicked) > 100
    assert any(head.used for heads in before.heads.values() for head in heads.values())
    for system, scores in before.scores.items():
        np.testing.assert_array_equal(scores, after.scores[system], err_msg=system)


def test_noons_have_their_hours_inside_the_span():
    noon = 12 * HOUR_MS
    assert list(backtest.noons(0, 2 * DAY_MS)) == [noon, noon + DAY_MS]
    assert list(backtest.noons(noon + 1, 2 * DAY_MS)) == [noon + DAY_MS]
    assert list(backtest.noons(0, DAY_MS - 1)) == []


def test_a_span_without_a_noon_has_no_lists(newsroom):
    past = Past(newsroom, msgspec.structs.replace(QUICK, learn=LearnConfig(days=0)))
    served = backtest.nights(past, ["nightly"], from_ms=FROM_MS, before_ms=FROM_MS + 1)
    lists = backtest.full_list(past, served)
    assert lists.relevant == []
    assert all(found.shape == (0, backtest.LONGEST) for found in lists.lists.values())
    assert report.full_list_report(lists).n_lists == 0


def test_the_page_of_plots_is_self_contained_and_escaped(nightly):
    seen, in_view, _, lists = nightly
    lost = {"<b>group</b>": report.paired_difference(seen, seen)}
    page = render("<script>", ["about"], {"nightly": in_view}, lists, {"nightly": lost})
    assert "<script" not in page
    assert "<b>group" not in page
    assert page.count("<svg") >= 8
    assert "http" not in page.replace("http://www.w3.org", "")  # names of XML, not loaded
    assert lost["<b>group</b>"].mean == 0.0


def test_calibration_bins_hold_every_candidate_once_and_agree_on_the_whole():
    start, clicked = np.array([0, 2, 4, 6]), np.array([1, 0, 0, 1, 0, 0], dtype=bool)
    bins = report.calibration(np.zeros(6), clicked, start)
    assert sum(n for n, _, _ in bins) == 4  # the impression without a click says nothing
    assert sum(n * real for n, _, real in bins) == pytest.approx(2)
    assert {predicted for _, predicted, _ in bins} == {0.5}


def test_contributions_are_spreads_within_impressions():
    start = np.array([0, 2, 4])
    parts = {"flat": np.array([1.0, 1.0, 5.0, 5.0]), "tells": np.array([0.0, 2.0, 0.0, 2.0])}
    assert report.contributions(parts, start) == {"tells": 1.0, "flat": 0.0}


def test_every_feature_belongs_to_a_group(nightly):
    names = list(nightly[0].parts)
    grouped = {n for g in backtest.GROUPS for n in backtest.features_of_group(g, names)}
    assert grouped == set(names)


def test_a_machine_is_not_known_before_it_has_run(store, load):
    hour_ms = RECEIVED_MS - 24 * HOUR_MS
    shown = [{"user_id": "u", "shown_at": hour_ms + 600_000, "shown": ["a", "b"], "clicked": ["a"]}]
    before = [{"user_id": "later-machine", "article_id": "a", "clicked_at": hour_ms + 1_000}]
    load({"i.jsonl": json.dumps(shown[0]) + "\n", "c.jsonl": json.dumps(before[0]) + "\n"})
    # A second impression in the same hour, after the flood.
    load({"j.jsonl": json.dumps(shown[0] | {"shown_at": hour_ms + 1_200_000}) + "\n"})
    span = {"from_ms": hour_ms, "before_ms": hour_ms + HOUR_MS}
    first = scored(store, "streaming", **span).scores["popularity"][:2]
    flood = [
        {"user_id": "later-machine", "article_id": f"x{i}", "clicked_at": hour_ms + 700_000 + i}
        for i in range(200)
    ]
    load({"f.jsonl": "".join(json.dumps(click) + "\n" for click in flood)})
    again = scored(store, "streaming", **span).scores["popularity"][:2]
    assert first[0] > 0
    assert again.tolist() == first.tolist()


def test_a_search_starts_from_the_settings_given_and_writes_what_it_found(newsroom, tmp_path):
    config = msgspec.structs.replace(QUICK, learn=LearnConfig(days=1, min_choices=10**6))
    found = tune.search(
        newsroom, config, "nightly", before_ms=RECEIVED_MS, n_folds=1, n_trials=2, random_state=1
    )
    day = tune.judged(newsroom, config, "nightly", RECEIVED_MS - DAY_MS)
    assert found.before == pytest.approx(day.value)
    assert found.value >= found.before
    path = tmp_path / "recsys.toml"
    path.write_text(toml_of(found.config))
    assert load_config(path) == found.config


def test_settings_written_are_read_back_equal(tmp_path):
    path = tmp_path / "recsys.toml"
    path.write_text(toml_of(Config()))
    assert load_config(path) == Config()
