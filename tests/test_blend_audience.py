"""The score of one article for many users, against twins in plain Python."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive_pages import profiles_of, random_model

from recsys.blend.audience import PRIOR_READS, AudienceScorer
from recsys.blend.linear import article_side, personal_parts, recent_weights, score_parts
from recsys.blend.profiles import Profile, UserStateBuilder, pack_profiles
from recsys.signals.event_features import USER_FEATURES

N_KNOWN = 50


def random_profile(rng):
    some = lambda n: np.sort(rng.choice(N_KNOWN, n, replace=False))  # noqa: E731
    n_exposed = int(rng.integers(0, 5))
    return Profile(
        2**45,
        rng.normal(size=3).astype("f4"),
        rng.normal(size=3).astype("f4"),  # it knows nothing of the last section
        rng.permutation(some(int(rng.integers(0, 30)))),
        some(int(rng.integers(0, 9))),
        some(n_exposed),
        rng.random((len(USER_FEATURES), n_exposed), np.float32),
    )


def packed_users(seed, n_users):
    rng = np.random.default_rng(seed)
    return [pack_profiles(profiles_of([random_profile(rng)]))[0] for _ in range(n_users)]


def plain_score(model, user, article):
    """The score of an article for one user, None if the user is left out, in plain Python."""
    live = model.live
    if any(model.story[read] == model.story[article] for read in user.read.tolist()):
        return None
    score = sum(float(part[article]) for part in live.static_parts().values())
    score += math.log(PRIOR_READS + len(user.read))
    side, n_factors = article_side(live, model.n_categories)[:, article], live.factors.shape[1]
    side = [*side[:n_factors].tolist(), *side[n_factors + live.vectors.shape[1] :].tolist()]
    for ours, theirs in zip(side, [*user.factors.tolist(), *user.affinity.tolist()], strict=True):
        score += ours * theirs
    recent = user.reads[: live.blend.recent_reads]
    weights = recent_weights(len(recent), live.blend.recent_decay).tolist()
    for known, weight in zip(recent.tolist(), weights, strict=True):
        row = dict(zip(*(part.tolist() for part in live.similar.row(known)), strict=True))
        text = np.float32(live.weights["text"]) * np.float32(row.get(article, 0.0))
        score += weight * float(text)
    return score + by_vectors(live, user.reads, article)


def by_vectors(live, reads, article):
    """What the signal `vectors` adds, in plain Python."""
    total = [0.0] * live.vectors.shape[1]
    for read in reads.tolist():
        total = [a + b for a, b in zip(total, live.vectors[read].tolist(), strict=True)]
    own = np.float32(live.weights["vectors"]) * live.vectors[live.live_rows[article]]
    product = square = 0.0
    for one, other in zip(total, own.tolist(), strict=True):
        product += one * other
        square += one * one
    return product / math.sqrt(square) if square > 0 else 0.0


@given(st.integers(0, 2**32), st.integers(0, 29))
def test_scores_are_those_of_plain_python_for_one_user_at_a_time(seed, article):
    model, packed = random_model(seed % 7, n_live=30, n_known=N_KNOWN), packed_users(seed, 12)
    builder = UserStateBuilder(model)
    users = [builder.state(profile) for profile in packed]
    found = AudienceScorer(model, article).scores(packed).tolist()
    plain = [plain_score(model, user, article) for user in users]
    # To the last digit: so ties are ties, and the order is that of the twin.
    assert found == [-math.inf if score is None else score for score in plain]


@given(st.integers(0, 2**32), st.integers(0, 29))
def test_scores_are_those_of_a_front_page_and_the_activity_of_the_user(seed, article):
    model, packed = random_model(seed % 7, n_live=30, n_known=N_KNOWN), packed_users(seed, 6)
    builder = UserStateBuilder(model)
    for profile, score in zip(packed, AudienceScorer(model, article).scores(packed), strict=True):
        user = builder.state(profile)
        if score == -math.inf:
            continue
        parts = {k: part[article] for k, part in score_parts(model.live, user, None).items()}
        on_page = sum(map(float, parts.values()))
        activity = math.log(PRIOR_READS + len(user.read))
        assert score == pytest.approx(on_page + activity, rel=1e-5, abs=1e-4)
        own = {
            name: float(part[0]) for name, part in personal_parts(model.live, user, article).items()
        }
        assert own == pytest.approx({name: float(parts[name]) for name in own}, abs=1e-4)


@given(st.integers(0, 2**32), st.permutations(range(9)))
def test_a_score_does_not_depend_on_the_other_users(seed, order):
    model, packed = random_model(1, n_live=30, n_known=N_KNOWN), packed_users(seed, 9)
    scorer = AudienceScorer(model, 3)
    scores = scorer.scores(packed)
    np.testing.assert_array_equal(scorer.scores([packed[i] for i in order]), scores[order])
    np.testing.assert_array_equal(scorer.scores(packed[4:5]), scores[4:5])


def test_an_active_user_scores_higher_by_the_logarithm_of_reads():
    model = random_model(0, n_live=30, n_known=N_KNOWN)
    model = dataclasses.replace(model, story=np.arange(30))
    live_rows = model.live.live_rows
    calm = dataclasses.replace(random_profile(np.random.default_rng(0)), read=live_rows[:0])
    eager = dataclasses.replace(calm, read=live_rows[1:16])
    packed = [pack_profiles(profiles_of([profile]))[0] for profile in (calm, eager)]
    calm_score, eager_score = AudienceScorer(model, 0).scores(packed)
    assert eager_score - calm_score == pytest.approx(math.log(45 / 30))


def test_damaged_profiles_and_no_profiles():
    model, packed = random_model(0, n_live=30, n_known=N_KNOWN), packed_users(0, 2)
    whole = AudienceScorer(model, 0).scores(packed)
    damaged = [packed[0], b"", packed[0][:10], packed[0][:-4] + b"\xff\xff\xff\xff", packed[1]]
    found = AudienceScorer(model, 0).scores(damaged)
    assert np.isnan(found[1:4]).all()
    np.testing.assert_array_equal(found[[0, 4]], whole)
    assert AudienceScorer(model, 0).scores([]).tolist() == []
