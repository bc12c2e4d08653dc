import json

import numpy as np
import pytest
from conftest import RECEIVED_MS, SAMPLE

from recsys.config import Config, load_config, toml_of
from recsys.evaluation import backtest, metrics, protocol, tune
from recsys.evaluation.report import make_report
from recsys.ingest.detect import expand
from recsys.load import load_files
from recsys.rows import HOUR_MS
from recsys.store import Store

DAY_MS = protocol.DAY_MS
FROM_MS = RECEIVED_MS - 2 * DAY_MS


@pytest.fixture(scope="module")
def newsroom(tmp_path_factory):
    with Store(tmp_path_factory.mktemp("evaluation") / "recsys.db") as store:
        load_files(store, expand([SAMPLE]), received_ms=RECEIVED_MS)
        yield store


@pytest.fixture(scope="module")
def nightly_report(newsroom):
    span = {"from_ms": FROM_MS, "before_ms": RECEIVED_MS}
    return make_report(
        "nightly",
        backtest.in_view(newsroom, Config(), "nightly", **span),
        backtest.full_list(newsroom, Config(), **span),
    )


@pytest.mark.parametrize("name", protocol.PROTOCOLS)
def test_no_cut_is_later_than_its_impression(name):
    shown = np.random.default_rng(0).integers(0, 40 * DAY_MS, 500)
    assert (protocol.model_cut(shown, name) <= shown).all()
    assert (protocol.count_cut(shown, name) <= shown).all()
    assert (protocol.model_cut(shown, name) > shown - DAY_MS).all()


def test_the_report_has_every_system_beside_its_baselines(nightly_report):
    plain = json.loads(json.dumps(nightly_report.as_json()))
    assert set(plain["systems"]) == {
        "random", "popularity", "ctr", "recency", "text", "collaborative", "blend"
    }  # fmt: skip
    assert plain["protocol"] == "nightly"
    assert plain["n_users"] <= plain["n_impressions"]
    for values in plain["systems"].values():
        assert set(values) >= {"auc", "mrr", "ndcg@5", "ndcg@10"}
        for interval in values.values():
            assert 0 <= interval["low"] <= interval["mean"] <= interval["high"] <= 1
    for values in plain["full_list"].values():
        assert set(values) >= {"hit@5", "hit@10", "ndcg@10", "coverage@5", "gini@5"}


def test_random_is_a_coin_and_planted_tastes_are_found(nightly_report):
    auc = nightly_report.systems["random"]["auc"]
    assert auc.low < 0.5 < auc.high
    # Readers of the sample have section tastes; the blend has to see some of it.
    assert nightly_report.systems["blend"]["auc"].low > auc.high
    assert nightly_report.against_baseline["blend"].low > 0


def test_the_composed_page_loses_little_against_its_own_ranking(nightly_report):
    lists = nightly_report.full_list
    assert lists["page"]["hit@10"].mean <= lists["blend"]["hit@10"].mean + 0.05
    assert lists["page"]["hit@5"].mean > lists["random"]["hit@5"].mean


@pytest.mark.parametrize("name", ["nightly", "streaming"])
def test_scores_do_not_change_when_the_future_does(tmp_path, name):
    with Store(tmp_path / "leak.db") as store:
        load_files(store, expand([SAMPLE]), received_ms=RECEIVED_MS)
        until = RECEIVED_MS - 20 * HOUR_MS
        span = {"from_ms": until - 4 * HOUR_MS, "before_ms": until}
        before = backtest.in_view(store, Config(), name, **span)
        conn = store._conn
        conn.execute("DELETE FROM clicks WHERE clicked_at >= ?", (until,))
        conn.execute("UPDATE impressions SET clicked = zeroblob(length(clicked))"
                     " WHERE shown_at >= ?", (until,))  # fmt: skip
        rng = np.random.default_rng(3)
        users = [row[0] for row in conn.execute("SELECT user_key FROM users")]
        articles = [row[0] for row in conn.execute("SELECT article_key FROM article_ids")]
        conn.executemany(
            "INSERT INTO clicks VALUES (?, ?, ?, NULL, NULL, 0)",
            [(until + i, int(rng.choice(users)), int(rng.choice(articles))) for i in range(900)],
        )
        after = backtest.in_view(store, Config(), name, **span)
    assert len(before.clicked) > 100
    for system, scores in before.scores.items():
        np.testing.assert_array_equal(scores, after.scores[system], err_msg=system)


def test_streaming_counts_are_those_of_a_night_at_that_instant(newsroom):
    from recsys.model import static_signals
    from recsys.night import read_night

    impression_ms = newsroom.last_impression_ms()
    span = {"from_ms": impression_ms, "before_ms": impression_ms + 1}
    seen = backtest.in_view(newsroom, Config(), "streaming", **span)
    night = read_night(newsroom, impression_ms, Config())
    keys = newsroom.impressions(**span).article_key
    expected = static_signals(
        night.events, keys, np.zeros(len(keys)), np.full(len(keys), impression_ms), Config()
    )
    weight = Config().blend.popularity
    assert seen.scores["popularity"] == pytest.approx(weight * expected["popularity"])


def test_noons_have_their_hours_inside_the_span():
    noon = 12 * HOUR_MS
    assert list(backtest.noons(0, 2 * DAY_MS)) == [noon, noon + DAY_MS]
    assert list(backtest.noons(noon + 1, 2 * DAY_MS)) == [noon + DAY_MS]
    assert list(backtest.noons(0, DAY_MS - 1)) == []


def test_a_span_without_a_noon_has_no_lists(newsroom):
    lists = backtest.full_list(newsroom, Config(), from_ms=FROM_MS, before_ms=FROM_MS + 1)
    assert lists.relevant == []
    assert all(found.shape == (0, backtest.LONGEST) for found in lists.lists.values())


def test_the_likelihood_and_its_gradient_match_hand_arithmetic():
    features = np.array([[1.0], [0.0], [2.0], [0.0]])
    one = tune.Choices(features, np.array([1, 0, 0, 0], bool), np.array([0, 2, 4]))
    value, gradient = tune.log_likelihood(one, np.array([0.5]))
    chance = np.exp(0.5) / (np.exp(0.5) + 1)  # the second choice has nothing chosen
    assert value == pytest.approx(np.log(chance))
    assert gradient == pytest.approx([1 - chance])


def test_planted_weights_are_found_again():
    rng = np.random.default_rng(5)
    features = rng.normal(size=(3_000, 8, 3))
    features[:, :, 2] = 1.0  # never varies
    planted = np.array([1.5, -0.7, 0.0])
    utility = features @ planted + rng.gumbel(size=(3_000, 8))
    chosen = utility == utility.max(axis=1, keepdims=True)
    choices = tune.Choices(features.reshape(-1, 3), chosen.ravel(), np.arange(0, 24_001, 8))
    found = tune.conditional_logit([(0.5, choices), (0.5, choices)])
    assert found == pytest.approx(planted, abs=0.1)


def test_tuned_weights_beat_none_and_keep_what_never_varied(newsroom):
    from dataclasses import replace

    span = {"from_ms": FROM_MS - DAY_MS, "before_ms": FROM_MS}
    silent = lambda what: None  # noqa: E731
    learned = tune.tuned(newsroom, Config(), "nightly", live_weight=0.2, listener=silent, **span)
    assert learned.blend.context_text == Config().blend.context_text  # no context in this log
    assert learned.blend.affinity > 0
    nothing = replace(Config().blend, als=0.0, text=0.0, affinity=0.0, popularity=0.0, ctr=0.0)
    test = {"from_ms": FROM_MS, "before_ms": FROM_MS + DAY_MS}
    auc = [
        np.nanmean(metrics.auc(metrics.judge(seen.scores["blend"], seen.clicked, seen.start)))
        for blend in (learned.blend, nothing)
        for seen in [backtest.in_view(newsroom, replace(Config(), blend=blend), "nightly", **test)]
    ]
    assert auc[0] > auc[1] + 0.02


def test_settings_written_are_read_back_equal(tmp_path):
    path = tmp_path / "recsys.toml"
    path.write_text(toml_of(Config()))
    assert load_config(path) == Config()


def test_a_machine_is_not_known_before_it_has_run(store, load):
    hour_ms = RECEIVED_MS - 24 * HOUR_MS
    shown = [{"user_id": "u", "shown_at": hour_ms + 600_000, "shown": ["a", "b"], "clicked": ["a"]}]
    before = [{"user_id": "later-machine", "article_id": "a", "clicked_at": hour_ms + 1_000}]
    load({"i.jsonl": json.dumps(shown[0]) + "\n", "c.jsonl": json.dumps(before[0]) + "\n"})
    # A second impression in the same hour, after the flood.
    load({"j.jsonl": json.dumps(shown[0] | {"shown_at": hour_ms + 1_200_000}) + "\n"})
    span = {"from_ms": hour_ms, "before_ms": hour_ms + HOUR_MS}
    first = backtest.in_view(store, Config(), "streaming", **span).scores["popularity"][:2]
    flood = [
        {"user_id": "later-machine", "article_id": f"x{i}", "clicked_at": hour_ms + 700_000 + i}
        for i in range(200)
    ]
    load({"f.jsonl": "".join(json.dumps(click) + "\n" for click in flood)})
    again = backtest.in_view(store, Config(), "streaming", **span).scores["popularity"][:2]
    assert first[0] > 0
    assert again.tolist() == first.tolist()
