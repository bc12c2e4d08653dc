import json
import shutil
from datetime import UTC, datetime

import numpy as np
import pytest
from conftest import RECEIVED_MS, SAMPLE, current_run
from scipy.sparse import csr_matrix

from recsys import Recommender
from recsys.blend.curves import RankModel, curve_parts, likeness_to_reads
from recsys.blend.live_model import Rows
from recsys.blend.signal_table import signal_names, signal_weights
from recsys.config import Config, LearnConfig
from recsys.ingest.detect import expand
from recsys.ingest.load_files import load_files
from recsys.learn.choice import (
    ChoiceLikelihood,
    Choices,
    CurveFit,
    concatenate_choices,
    fit_weights,
)
from recsys.learn.examples import ExampleBuilder
from recsys.learn.heads import learn_heads
from recsys.learn.impressions import impression_features
from recsys.learn.live_choices import live_choices
from recsys.learn.past_runs import PastRuns
from recsys.learn.protocols import DAY_MS
from recsys.nightly.run import run_nightly
from recsys.rows import HOUR_MS, from_ms, to_ms
from recsys.store.database import Store
from recsys.training.window import read_training_window, sampled_users


def planted(utility, rng, features):
    """Return choices of one in eight alternatives, by utility plus Gumbel noise: a logit model."""
    n = len(utility) // 8
    value = (utility + rng.gumbel(size=len(utility))).reshape(n, 8)
    chosen = value == value.max(axis=1, keepdims=True)
    return Choices(features, chosen.ravel(), np.arange(0, 8 * n + 1, 8))


def test_likelihood_and_gradient_match_hand_arithmetic():
    likelihood = ChoiceLikelihood(np.array([1, 0, 0, 0], bool), np.array([0, 2, 4]))
    value, gradient = likelihood(np.array([0.5, 0.0, 2.0, 0.0]))
    chance = np.exp(0.5) / (np.exp(0.5) + 1)
    assert likelihood.n == 1  # the second choice has nothing chosen
    assert value == pytest.approx(np.log(chance))
    assert gradient == pytest.approx([1 - chance, chance - 1, 0, 0])


def test_planted_weights_are_found_and_a_constant_feature_keeps_its_prior():
    rng = np.random.default_rng(5)
    features = {"a": rng.normal(size=24_000), "b": rng.normal(size=24_000), "c": np.ones(24_000)}
    choices = planted(1.5 * features["a"] - 0.7 * features["b"], rng, features)
    found = fit_weights(choices, {"a": 0.0, "b": 1.0, "c": 9.0})
    assert found["b"] == pytest.approx(0.0, abs=1e-9)  # never negative
    assert found["c"] == 9.0
    features["b"] = -features["b"]
    found = fit_weights(choices, {"a": 0.0, "b": 1.0, "c": 9.0})
    assert found["a"] == pytest.approx(1.5, abs=0.1)
    assert found["b"] == pytest.approx(0.7, abs=0.1)


def test_few_choices_stay_near_the_prior():
    rng = np.random.default_rng(5)
    features = {"a": rng.normal(size=80)}
    found = fit_weights(planted(0 * features["a"], rng, features), {"a": 2.0}, penalty=1e4)
    assert found["a"] == pytest.approx(2.0, abs=0.05)


def test_a_planted_bend_is_found_and_a_strong_penalty_gives_a_straight_curve():
    rng = np.random.default_rng(6)
    x, flat = rng.uniform(-2, 2, 40_000), np.ones(40_000)
    fit = CurveFit(planted(2 * np.abs(x), rng, {"x": x, "flat": flat}))
    straight, bent = (fit.curves(penalty)["x"] for penalty in (1e8, 3.0))
    assert set(fit.curves(3.0)) == {"x"}  # a constant feature has no curve
    at = np.array([-1.8, 0.0, 1.8])
    curve = np.interp(at, *bent)
    assert curve - curve[1] == pytest.approx(2 * np.abs(at), abs=0.5)
    assert np.ptp(np.interp(at, *straight)) < 0.2


def test_curves_fitted_twice_are_the_same():
    rng = np.random.default_rng(7)
    x = rng.normal(size=8_000)
    choices = planted(x, rng, {"x": x})
    first, second = (CurveFit(choices).curves(10.0)["x"] for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_likeness_to_reads_agrees_with_the_dense_product():
    rng = np.random.default_rng(8)
    dense = rng.random((12, 30)) * (rng.random((12, 30)) < 0.3)
    dense[3] = 0.0  # an article without text
    sparse = csr_matrix(dense.astype(np.float32))
    vectors = Rows(sparse.indptr.astype(np.int64), sparse.indices, sparse.data)
    model = RankModel(vectors, {}, np.zeros(12, np.int64), {}, {})
    reads, known = np.array([5, 1, 3, 9]), np.array([0, 3, -1, 7, 5])
    found = likeness_to_reads(model, reads, known)
    naive = dense[known] @ dense[reads].sum(axis=0) / 2  # 2 is the root of four reads
    naive[known < 0] = 0.0
    assert found == pytest.approx(naive, abs=1e-5)
    assert likeness_to_reads(model, reads[:0], known).tolist() == [0.0] * 5


def test_concatenated_choices_are_the_parts_end_to_end():
    one = Choices({"x": np.array([1.0, 2.0])}, np.array([True, False]), np.array([0, 2]))
    both = concatenate_choices([one, one.select(0, 0), one], ["x"])
    assert both.start.tolist() == [0, 2, 4]
    assert both.features["x"].tolist() == [1.0, 2.0, 1.0, 2.0]
    assert both.select(1, 2).start.tolist() == [0, 2]


def test_with_too_few_choices_the_shipped_weights_are_served_and_the_report_says_so(sample_store):
    config = Config(learn=LearnConfig(min_choices=10**6))
    builder = ExampleBuilder(PastRuns(sample_store, config))
    learned = learn_heads(builder, RECEIVED_MS, ["nightly"])
    assert learned.weights == signal_weights(config.blend)
    assert learned.curves == {"nightly": {}}
    assert all("needed to learn" in report.why for report in learned.reports.values())


def test_each_head_is_reported_with_its_validation(sample_store):
    config = Config(learn=LearnConfig(days=2))
    builder = ExampleBuilder(PastRuns(sample_store, config))
    learned = learn_heads(builder, RECEIVED_MS, ["nightly", "hourly"])
    assert set(learned.reports) == {"retrieval", "ranking, nightly", "ranking, hourly"}
    for report in learned.reports.values():
        assert report.n >= config.learn.min_choices
        assert report.used == (report.learned > report.shipped)
    assert learned.reports["ranking, nightly"].used  # users of the sample have tastes


def test_no_choice_is_later_than_the_given_instant(sample_store):
    begin, end = RECEIVED_MS - 2 * DAY_MS, RECEIVED_MS - DAY_MS
    past = PastRuns(sample_store, Config(learn=LearnConfig(days=1)))
    run = past.nightly(begin, end)
    clicks = sample_store.clicks(from_ms=begin, before_ms=begin + HOUR_MS)
    for choice in live_choices(past, run, before_ms=begin + HOUR_MS):
        assert choice.user_key in clicks.user_key
    shown = impression_features(
        past, run, "nightly", from_ms=begin, before_ms=end, max_impressions=50
    )
    assert len(shown.shown_ms) == 50
    assert (shown.shown_ms < end).all()


def test_a_past_run_to_learn_from_is_trained_on_a_sample_of_users(sample_store):
    """Its refresh has the same sample, and choices are those of the sample alone."""
    begin = RECEIVED_MS - DAY_MS
    past = PastRuns(sample_store, Config(learn=LearnConfig(days=1, max_users=100)))
    whole, some = past.nightly(begin, begin), past.sampled_nightly(begin, begin + 1)
    one_in = some.window.sample_one_in
    assert one_in >= 2
    assert 20 < len(some.window.users) <= 100 < len(whole.window.users)
    keys = whole.window.users.keys
    assert some.window.users.keys.tolist() == keys[sampled_users(keys, one_in)].tolist()
    # The signals of articles still count the clicks of all users.
    for name, signal in whole.model.page.live.static.items():
        np.testing.assert_array_equal(some.model.page.live.static[name], signal)
    np.testing.assert_array_equal(some.window.live_rows, whole.window.live_rows)
    later = past.refresh(some, begin + 8 * HOUR_MS, begin + 8 * HOUR_MS)
    assert later.window.sample_one_in == one_in
    user_keys = np.array([c.user_key for c in live_choices(past, later, before_ms=RECEIVED_MS)])
    assert len(user_keys) >= 10
    assert sampled_users(user_keys, one_in).all()
    shown = impression_features(past, some, "nightly", from_ms=begin, before_ms=RECEIVED_MS)
    assert sampled_users(shown.user_key, one_in).all()


def test_a_run_with_few_users_is_not_sampled(sample_store):
    past = PastRuns(sample_store, Config(learn=LearnConfig(days=1)))
    begin = RECEIVED_MS - DAY_MS
    assert past.sampled_nightly(begin, begin) is past.nightly(begin, begin)


@pytest.fixture(scope="module")
def published(sample_store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    as_of_ms = RECEIVED_MS - 12 * HOUR_MS
    config = Config(learn=LearnConfig(days=2))
    report = run_nightly(sample_store, folder, as_of_ms=as_of_ms, config=config)
    return folder, as_of_ms, config, report


def test_rank_serves_the_features_that_the_curves_were_learned_from(sample_store, published):
    folder, as_of_ms, config, report = published
    recommender, curves = Recommender(folder), current_run(folder).rank.curves
    assert report.heads["ranking, nightly"].used
    assert curves
    past = PastRuns(sample_store, config)
    run = past.nightly(as_of_ms, as_of_ms)  # it knows no later texts, like the published run
    until_ms = as_of_ms + 2 * HOUR_MS
    features = impression_features(past, run, "nightly", from_ms=as_of_ms, before_ms=until_ms)
    parts = curve_parts(curves, features.choices.features)
    expected = np.sum(list(parts.values()), axis=0)
    shown = sample_store.impressions(from_ms=as_of_ms, before_ms=until_ms)
    users, articles = sample_store.users(), sample_store.articles(known_by_ms=2**60).id_map
    user_id_of = dict(zip(users.keys.tolist(), users.ids, strict=True))
    article_id_of = dict(zip(articles.keys.tolist(), articles.ids, strict=True))
    assert len(shown.shown_ms) > 5
    for row in range(len(shown.shown_ms)):
        inside = slice(shown.start[row], shown.start[row + 1])
        ids = [article_id_of[key] for key in shown.article_key[inside].tolist()]
        ranked = recommender.rank(
            user_id_of[int(shown.user_key[row])],
            ids,
            article_id=article_id_of.get(int(shown.context_key[row])),
            as_of=from_ms(int(shown.shown_ms[row])),
        )
        score_of = {candidate.article_id: candidate.score for candidate in ranked}
        assert [score_of[i] for i in ids] == pytest.approx(expected[inside].tolist(), abs=2e-3)
        scores = [candidate.score for candidate in ranked]
        assert scores == sorted(scores, reverse=True)


def test_a_refresh_carries_both_heads_over(sample, tmp_path):
    folder, later_ms = tmp_path / "published", to_ms(sample.as_of) + HOUR_MS
    shutil.copytree(sample.folder, folder)
    before = current_run(folder)
    assert before.rank.refresh_curves
    with Store(sample.store) as store:
        run_nightly(store, folder, as_of_ms=later_ms, config=Config(), kind="refresh")
    after = current_run(folder)
    assert after.meta.weights == before.meta.weights
    assert set(after.rank.curves) == set(before.rank.refresh_curves)
    for name, curve in after.rank.curves.items():
        np.testing.assert_array_equal(curve, before.rank.refresh_curves[name])


def test_unknown_candidates_are_ranked_too(published):
    recommender = Recommender(published[0])
    at = datetime(2026, 3, 2, tzinfo=UTC)
    found = recommender.rank(None, ["unknown", "a0030", "new"], as_of=at)
    assert {r.article_id for r in found} == {"unknown", "a0030", "new"}
    assert recommender.rank("u0007", [], as_of=at) == ()
    fresh = recommender.rank("u0007", ["a0030", "a0031"], recent_clicks=["a0031"], as_of=at)
    plain = recommender.rank("u0007", ["a0030", "a0031"], as_of=at)
    assert dict(fresh[0].parts) != dict(plain[0].parts)
    with pytest.raises(ValueError, match="distinct"):
        recommender.rank("u0007", ["a0030", "a0030"])
    with pytest.raises(TypeError, match="candidates"):
        recommender.rank("u0007", "a0030")


def test_without_curves_rank_orders_by_the_linear_score(sample_store, tmp_path):
    config = Config(learn=LearnConfig(min_choices=10**6))
    run_nightly(sample_store, tmp_path, as_of_ms=RECEIVED_MS, config=config)
    recommender = Recommender(tmp_path)
    found = recommender.rank("u0007", ["a0030", "a0031", "unknown"], as_of=from_ms(RECEIVED_MS))
    assert {name for ranked in found for name in ranked.parts} <= set(signal_names())
    assert found[0].score >= found[1].score >= found[2].score


def test_ids_that_are_numbers_date_old_articles(store, load):
    begin_ms = RECEIVED_MS - 100 * HOUR_MS
    clicks = [
        {"user_id": f"u{i}", "article_id": str(1000 + i), "clicked_at": begin_ms + i * HOUR_MS}
        for i in range(60)
    ]
    late_ms = begin_ms + 70 * HOUR_MS
    again = {"user_id": "u", "article_id": "1010", "clicked_at": late_ms}
    no_number = {"user_id": "u", "article_id": "1011.5", "clicked_at": late_ms}
    load({"c.jsonl": "".join(json.dumps(c) + "\n" for c in [*clicks, again, no_number])})
    window = read_training_window(store, RECEIVED_MS, Config())
    index_of = {article_id: index for index, article_id in enumerate(window.articles.id_map.ids)}
    assert window.written_ms[index_of["1010"]] == begin_ms + 10 * HOUR_MS
    # An id that is not a number gives no date, so the first click does.
    assert window.born_ms[index_of["1011.5"]] == late_ms


def test_heads_learned_from_kept_examples_are_the_same(sample_store, tmp_path):
    begin, end = RECEIVED_MS - 2 * DAY_MS, RECEIVED_MS - DAY_MS
    config = Config(learn=LearnConfig(days=1, max_choices=300))
    protocols = ["nightly", "hourly"]
    expected = learn_heads(ExampleBuilder(PastRuns(sample_store, config)), end, protocols)
    trained = []  # the names of the past runs that had to be trained

    def learn(store):
        past = PastRuns(store, config, on_progress=trained.append)
        return learn_heads(ExampleBuilder(past, keep_in_store=True), end, protocols)

    def load_click(store, clicked_ms):
        path = tmp_path / f"{clicked_ms}.jsonl"
        click = {"user_id": "u0001", "article_id": "a0001"}
        path.write_text(json.dumps(click | {"clicked_at": from_ms(clicked_ms).isoformat()}) + "\n")
        load_files(store, [path], received_ms=RECEIVED_MS)

    with Store(tmp_path / "recsys.db") as store:
        load_files(store, expand([SAMPLE]), received_ms=RECEIVED_MS)
        assert_same_heads(learn(store), expected)
        assert trained
        trained.clear()
        assert_same_heads(learn(store), expected)
        assert trained == []  # the store had kept the examples
        load_click(store, end)  # a click after the day does not change its examples
        assert_same_heads(learn(store), expected)
        assert trained == []
        load_click(store, begin - DAY_MS)  # an earlier click does
        learn(store)
        assert trained


def assert_same_heads(found, expected):
    assert found.weights == expected.weights
    assert found.reports == expected.reports
    for protocol, curves in expected.curves.items():
        assert found.curves[protocol].keys() == curves.keys()
        for name, curve in curves.items():
            np.testing.assert_array_equal(found.curves[protocol][name], curve)
