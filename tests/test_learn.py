import json
from datetime import UTC, datetime

import numpy as np
import pytest
from conftest import RECEIVED_MS, SAMPLE
from scipy.sparse import csr_matrix

from recsys import Recommender
from recsys.blend.curves import RankModel, curve_parts, likeness_to_reads
from recsys.blend.live_model import PARTS, Rows
from recsys.config import Config, LearnConfig
from recsys.ingest.detect import expand
from recsys.ingest.load_files import load_files
from recsys.learn import choice, heads
from recsys.learn.choice import Choices, CurveFit, fit_weights
from recsys.learn.examples import Past, seen_after
from recsys.learn.live_choices import live_choices
from recsys.nightly.run import run_nightly
from recsys.rows import HOUR_MS, from_ms
from recsys.store.database import Store
from recsys.training.window import sampled_users

DAY_MS = 24 * HOUR_MS


def planted(utility, rng, features):
    """Choices of readers who take the best of each eight, as logit readers do."""
    n = len(utility) // 8
    value = (utility + rng.gumbel(size=len(utility))).reshape(n, 8)
    chosen = value == value.max(axis=1, keepdims=True)
    return Choices(features, chosen.ravel(), np.arange(0, 8 * n + 1, 8))


def test_the_likelihood_and_its_gradient_match_hand_arithmetic():
    likelihood = choice._Softmax(np.array([1, 0, 0, 0], bool), np.array([0, 2, 4]))
    value, gradient = likelihood(np.array([0.5, 0.0, 2.0, 0.0]))
    chance = np.exp(0.5) / (np.exp(0.5) + 1)
    assert likelihood.n == 1  # the second choice has nothing chosen
    assert value == pytest.approx(np.log(chance))
    assert gradient == pytest.approx([1 - chance, chance - 1, 0, 0])


def test_planted_weights_are_found_again_and_what_never_varies_keeps_its_prior():
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


def test_a_planted_bend_is_found_and_a_strong_penalty_keeps_it_straight():
    rng = np.random.default_rng(6)
    x, flat = rng.uniform(-2, 2, 40_000), np.ones(40_000)
    fit = CurveFit(planted(2 * np.abs(x), rng, {"x": x, "flat": flat}))
    straight, bent = (fit.curves(penalty)["x"] for penalty in (1e8, 3.0))
    assert set(fit.curves(3.0)) == {"x"}  # what never varies has no curve
    at = np.array([-1.8, 0.0, 1.8])
    curve = np.interp(at, *bent)
    assert curve - curve[1] == pytest.approx(2 * np.abs(at), abs=0.5)
    assert np.ptp(np.interp(at, *straight)) < 0.2


def test_curves_are_the_same_twice():
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
    naive = dense[known] @ dense[reads].sum(axis=0) / 2  # the root of four reads
    naive[known < 0] = 0.0
    assert found == pytest.approx(naive, abs=1e-5)
    assert likeness_to_reads(model, reads[:0], known).tolist() == [0.0] * 5


def test_joined_choices_are_the_parts_end_to_end():
    one = Choices({"x": np.array([1.0, 2.0])}, np.array([True, False]), np.array([0, 2]))
    both = heads.joined([one, one.part(0, 0), one], ["x"])
    assert both.start.tolist() == [0, 2, 4]
    assert both.features["x"].tolist() == [1.0, 2.0, 1.0, 2.0]
    assert both.part(1, 2).start.tolist() == [0, 2]


@pytest.fixture(scope="module")
def newsroom(tmp_path_factory):
    with Store(tmp_path_factory.mktemp("learn") / "recsys.db") as store:
        load_files(store, expand([SAMPLE]), received_ms=RECEIVED_MS)
        yield store


def test_too_few_choices_leave_the_shipped_weights_and_say_so(newsroom):
    config = Config(learn=LearnConfig(min_choices=10**6))
    learned = heads.learn(Past(newsroom, config), RECEIVED_MS, ["nightly"])
    assert learned.weights == config.blend
    assert learned.curves == {"nightly": {}}
    assert all("needed to learn" in report.why for report in learned.reports.values())


def test_what_is_learned_is_told_with_its_validation(newsroom):
    config = Config(learn=LearnConfig(days=2))
    learned = heads.learn(Past(newsroom, config), RECEIVED_MS, ["nightly", "hourly"])
    assert set(learned.reports) == {"retrieval", "ranking, nightly", "ranking, hourly"}
    for report in learned.reports.values():
        assert report.n >= config.learn.min_choices
        assert report.used == (report.learned > report.shipped)
    assert learned.reports["ranking, nightly"].used  # readers of the sample have tastes


def test_nothing_after_as_of_is_learned_from(newsroom):
    as_of = RECEIVED_MS - DAY_MS
    config = Config(learn=LearnConfig(days=1))
    past = Past(newsroom, config)
    last = past.window(as_of - DAY_MS, as_of)
    for found in live_choices(past, last, before_ms=as_of - DAY_MS + HOUR_MS):
        clicks = newsroom.clicks(from_ms=as_of - DAY_MS, before_ms=as_of - DAY_MS + HOUR_MS)
        assert found.user_key in clicks.user_key
    seen = past.seen_after(last, "nightly", from_ms=as_of - DAY_MS, before_ms=as_of, most=50)
    assert len(seen.shown_ms) == 50
    assert (seen.shown_ms < as_of).all()


def test_a_past_night_is_studied_by_some_of_its_readers(newsroom):
    """The same ones hours later, and only their choices; with enough of them it is the night."""
    begin = RECEIVED_MS - DAY_MS
    config = Config(learn=LearnConfig(days=1, max_users=100))
    past = Past(newsroom, config)
    whole, some = past.window(begin, begin), past.window_for_learning(begin, begin + 1)
    assert some.window.sample_one_in >= 2
    assert 20 < len(some.window.users) <= 100 < len(whole.window.users)
    drawn_keys = whole.window.users.keys[
        sampled_users(whole.window.users.keys, some.window.sample_one_in)
    ]
    assert some.window.users.keys.tolist() == drawn_keys.tolist()
    # What articles are, everybody's clicks still say.
    for name, signal in whole.model.page.live.static.items():
        np.testing.assert_array_equal(some.model.page.live.static[name], signal)
    np.testing.assert_array_equal(some.window.live_rows, whole.window.live_rows)
    later = past.refreshed(some, begin + 8 * HOUR_MS, begin + 8 * HOUR_MS)
    assert later.window.sample_one_in == some.window.sample_one_in
    choices = list(live_choices(past, later, before_ms=RECEIVED_MS))
    keys = np.array([choice.user_key for choice in choices])
    assert len(keys) >= 10
    assert sampled_users(keys, some.window.sample_one_in).all()
    seen = seen_after(past, some, "nightly", from_ms=begin, before_ms=RECEIVED_MS)
    assert sampled_users(seen.user_key, some.window.sample_one_in).all()
    enough = Past(newsroom, Config(learn=LearnConfig(days=1)))
    assert enough.window_for_learning(begin, begin) is enough.window(begin, begin)


@pytest.fixture(scope="module")
def published(newsroom, tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    as_of = RECEIVED_MS - 12 * HOUR_MS
    config = Config(learn=LearnConfig(days=2))
    report = run_nightly(newsroom, folder, as_of_ms=as_of, config=config)
    return folder, as_of, config, report


def test_a_served_order_is_that_of_the_examples_it_was_learned_from(newsroom, published):
    """What is learned from is what is served: every feature, for every candidate."""
    folder, as_of, config, report = published
    recommender = Recommender(folder)
    curves = recommender._run.rank.curves
    assert report.heads["ranking, nightly"].used
    assert curves
    past = Past(newsroom, config)
    last = past.window(as_of, as_of)  # nothing announced: the run knew of no later text
    until = as_of + 2 * HOUR_MS
    seen = seen_after(past, last, "nightly", from_ms=as_of, before_ms=until)
    parts = curve_parts(curves, seen.choices.features)
    expected = np.sum(list(parts.values()), axis=0)
    shown = newsroom.impressions(from_ms=as_of, before_ms=until)
    user = {int(k): i for i, k in zip(newsroom.users().ids, newsroom.users().keys, strict=True)}
    articles = newsroom.articles(known_by_ms=2**60).id_map
    name = {int(k): i for i, k in zip(articles.ids, articles.keys, strict=True)}
    assert len(shown.shown_ms) > 5
    for row in range(len(shown.shown_ms)):
        part = slice(shown.start[row], shown.start[row + 1])
        ids = [name[key] for key in shown.article_key[part].tolist()]
        found = recommender.rank(
            user[int(shown.user_key[row])],
            ids,
            article_id=name.get(int(shown.context_key[row])),
            as_of=from_ms(int(shown.shown_ms[row])),
        )
        score_of = {ranked.article_id: ranked.score for ranked in found}
        assert [score_of[i] for i in ids] == pytest.approx(expected[part].tolist(), abs=2e-3)
        assert [r.score for r in found] == sorted((r.score for r in found), reverse=True)


def test_a_refresh_carries_both_heads_on(newsroom, published, tmp_path):
    folder, as_of, config, report = published
    before = Recommender(folder)
    weights, curves = before._run.meta.weights, before._run.rank.refresh_curves
    run_nightly(newsroom, folder, as_of_ms=as_of + HOUR_MS, config=Config(), kind="refresh")
    after = Recommender(folder)._run
    assert after.meta.weights == weights
    assert set(after.rank.curves) == set(curves)
    for name, curve in after.rank.curves.items():
        np.testing.assert_array_equal(curve, curves[name])


def test_candidates_that_nobody_knows_are_ranked_all_the_same(published):
    recommender = Recommender(published[0])
    at = datetime(2026, 3, 2, tzinfo=UTC)
    found = recommender.rank(None, ["nobody", "a0030", "nothing"], as_of=at)
    assert {r.article_id for r in found} == {"nobody", "a0030", "nothing"}
    assert recommender.rank("u0007", [], as_of=at) == ()
    fresh = recommender.rank("u0007", ["a0030", "a0031"], recent_clicks=["a0031"], as_of=at)
    plain = recommender.rank("u0007", ["a0030", "a0031"], as_of=at)
    assert dict(fresh[0].parts) != dict(plain[0].parts)
    with pytest.raises(ValueError, match="distinct"):
        recommender.rank("u0007", ["a0030", "a0030"])
    with pytest.raises(TypeError, match="candidates"):
        recommender.rank("u0007", "a0030")


def test_without_curves_the_linear_score_orders(newsroom, tmp_path):
    config = Config(learn=LearnConfig(min_choices=10**6))
    run_nightly(newsroom, tmp_path, as_of_ms=RECEIVED_MS, config=config)
    recommender = Recommender(tmp_path)
    found = recommender.rank("u0007", ["a0030", "a0031", "nobody"], as_of=from_ms(RECEIVED_MS))
    assert {name for ranked in found for name in ranked.parts} <= set(PARTS)
    assert found[0].score >= found[1].score >= found[2].score


def test_numbers_tell_when_old_articles_were_written(store, load):
    hour = RECEIVED_MS - 100 * HOUR_MS
    clicks = [
        {"user_id": f"u{i}", "article_id": str(1000 + i), "clicked_at": hour + i * HOUR_MS}
        for i in range(60)
    ]
    back = {"user_id": "u", "article_id": "1010", "clicked_at": hour + 70 * HOUR_MS}
    old = {"user_id": "u", "article_id": "1011.5", "clicked_at": hour + 70 * HOUR_MS}
    load({"c.jsonl": "".join(json.dumps(c) + "\n" for c in [*clicks, back, old])})
    from recsys.training.window import read_training_window

    window = read_training_window(store, RECEIVED_MS, Config())
    index = {i: row for row, i in enumerate(window.articles.id_map.ids)}
    assert window.written_ms[index["1010"]] == hour + 10 * HOUR_MS
    assert window.born_ms[index["1011.5"]] == hour + 70 * HOUR_MS  # no number, no telling


def test_a_day_teaches_the_same_kept_or_made_anew(newsroom, tmp_path, monkeypatch):
    begin, end = RECEIVED_MS - 2 * DAY_MS, RECEIVED_MS - DAY_MS
    config = Config(learn=LearnConfig(days=1, max_choices=300))
    regimes = ["nightly", "hourly"]
    plain = heads.learn(Past(newsroom, config), end, regimes)
    path = tmp_path / "recsys.db"
    with Store(path) as store:
        load_files(store, expand([SAMPLE]), received_ms=RECEIVED_MS)
        first = heads.learn(Past(store, config, keep=True), end, regimes)
        assert_same_heads(first, plain)
        made = []
        monkeypatch.setattr(Past, "_build", lambda *args: made.append(args))
        assert_same_heads(heads.learn(Past(store, config, keep=True), end, regimes), plain)
        # A click of the day after changes nothing, one of that day does.
        rest = {"user_id": "u0001", "article_id": "a0001"}
        for at, kept in ((end, True), (begin - DAY_MS, False)):
            log = tmp_path / f"{at}.jsonl"
            log.write_text(json.dumps(rest | {"clicked_at": from_ms(at).isoformat()}) + "\n")
            load_files(store, [log], received_ms=RECEIVED_MS)
            if kept:
                assert_same_heads(heads.learn(Past(store, config, keep=True), end, regimes), plain)
            else:
                with pytest.raises(AttributeError):  # it has to make the night again
                    heads.learn(Past(store, config, keep=True), end, regimes)
        assert made


def assert_same_heads(found, expected):
    assert found.weights == expected.weights
    assert found.reports == expected.reports
    for regime, curves in expected.curves.items():
        assert found.curves[regime].keys() == curves.keys()
        for name, curve in curves.items():
            np.testing.assert_array_equal(found.curves[regime][name], curve)
