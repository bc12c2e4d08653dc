"""The compiled state of a user against a twin in plain Python."""

import dataclasses

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive_pages import profiles_of, random_model

from recsys.blend.profiles import (
    Profile,
    UserStateBuilder,
    empty_profile,
    pack_profiles,
    user_model,
)
from recsys.kernels import users
from recsys.signals.event_features import USER_FEATURES


@given(st.integers(0, 2**32), st.integers(1, 12), st.integers(0, 40), st.floats(1.0, 50.0))
def test_folding_in_is_what_a_solver_finds(seed, n, n_clicks, confidence):
    rng = np.random.default_rng(seed)
    items = rng.normal(size=(30, n)).astype(np.float32)
    gram = items.T @ items + 0.1 * np.eye(n, dtype=np.float32)
    clicked, before = rng.normal(size=(n_clicks, n)), rng.normal(size=n)
    clicked[rng.random(n_clicks) < 0.3] = 0.0
    clicked, before = clicked.astype(np.float32), before.astype(np.float32)
    found = users.fold_in(before, clicked, gram, confidence)
    left = gram + (confidence - 1.0) * clicked.T.astype(float) @ clicked
    right = gram @ before.astype(float) + confidence * clicked.sum(axis=0)
    np.testing.assert_allclose(found, np.linalg.solve(left, right), rtol=1e-4, atol=1e-4)
    if not clicked.any():
        np.testing.assert_array_equal(found, before)


def test_without_a_solution_factors_stay():
    before, clicked = np.ones(2, np.float32), np.ones((1, 2), np.float32)
    found = users.fold_in(before, clicked, np.zeros((2, 2), np.float32), 11.0)
    np.testing.assert_array_equal(found, before)


def plain_user(profile, clicks, model):
    """The state of a user after some clicks, oldest first, in plain Python."""
    live, live_index = (
        model.live,
        {known: i for i, known in enumerate(model.live.live_rows.tolist())},
    )
    reads = list(dict.fromkeys([*reversed(clicks), *profile.reads.tolist()]))
    read = [live_index[known] for known in profile.read.tolist() if known in live_index]
    clicked = [live_index[known] for known in dict.fromkeys(clicks) if known in live_index]
    unseen = [index for index in clicked if index not in read]
    after = live.factors[unseen].astype(float)
    left = live.gram + (live.click_confidence - 1.0) * after.T @ after
    right = live.gram @ profile.factors.astype(float) + live.click_confidence * after.sum(axis=0)
    found = np.linalg.solve(left, right) if unseen else profile.factors
    tastes = [*profile.affinity.tolist(), *[0.0] * model.n_categories]
    return (
        found,
        tastes[: model.n_categories],
        reads[: live.blend.known_reads],
        sorted({*read, *unseen}),
    )


@given(st.integers(0, 2**32), st.lists(st.integers(0, 49), max_size=12), st.data())
def test_a_user_is_what_plain_python_makes_of_a_profile_and_clicks(seed, clicks, data):
    rng, model = np.random.default_rng(seed), random_model(seed % 5, n_live=30, n_known=50)
    some = lambda n: np.sort(rng.choice(50, n, replace=False))  # noqa: E731
    n_reads, n_exposed = int(rng.integers(0, 9)), int(rng.integers(0, 5))
    profile = Profile(
        2**45,
        rng.normal(size=3).astype("f4"),
        rng.normal(size=3).astype("f4"),
        rng.permutation(some(n_reads)),
        some(int(rng.integers(0, 9))),
        some(n_exposed),
        rng.random((len(USER_FEATURES), n_exposed), np.float32),
    )
    known_reads = data.draw(st.sampled_from([1, 5, 100]))
    blend = msgspec.structs.replace(model.live.blend, known_reads=known_reads)
    model = dataclasses.replace(model, live=dataclasses.replace(model.live, blend=blend))
    builder, packed = UserStateBuilder(model), pack_profiles(profiles_of([profile]))[0]
    factors, tastes, reads, read = plain_user(profile, clicks, model)
    found = builder.state(packed, clicks)
    np.testing.assert_allclose(found.factors, factors, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(found.affinity, np.float32(tastes))
    assert (found.reads.tolist(), found.read.tolist()) == (reads, read)
    # A user without a profile is known by the clicks alone.
    without_history = dataclasses.replace(
        profile,
        factors=0 * profile.factors,
        affinity=0 * profile.affinity,
        reads=profile.reads[:0],
        read=profile.read[:0],
    )
    factors, _, reads, read = plain_user(without_history, clicks, model)
    found = builder.state(b"", clicks)
    np.testing.assert_allclose(found.factors, factors, rtol=1e-4, atol=1e-4)
    assert (found.reads.tolist(), found.read.tolist()) == (reads, read)


def test_a_profile_of_another_shape_is_refused():
    model = random_model(0, n_live=30, n_known=50)
    builder = UserStateBuilder(model)
    packed = pack_profiles(empty_profile(3, model.n_categories, 0))[0]
    assert not builder.state(packed).factors.any()
    for wrong in (
        packed[:10],
        packed[: -4 * model.n_categories - 4],
        packed + bytes(4),
        packed[:8] + b"\xff" * 12 + packed[20:],
        packed[:20] + np.float32(np.nan).tobytes() + packed[24:],
    ):
        with pytest.raises(ValueError, match="shape of this run"):
            builder.state(wrong)


def test_articles_that_a_run_does_not_know_are_no_reads_of_it():
    model = random_model(0, n_live=30, n_known=50)
    user = UserStateBuilder(model).state(b"", [10**9, 7, -1])
    assert user.reads.tolist() == [7]


def test_an_article_to_score_must_have_the_shape_of_the_run():
    model = random_model(0, n_live=30, n_known=50)
    of = {
        "side": np.zeros(3 + model.n_categories, np.float32),
        "text": np.zeros(50, np.float32),
        "recent_weight": np.zeros((3, 2), np.float32),
        "fixed": 0.0,
        "activity": np.zeros(31),
        "excludes": np.zeros(30, bool),
        "vectors": np.zeros((50, 2), np.float32),
        "vector": np.zeros(2, np.float32),
    }
    run = user_model(model, known_reads=2)
    assert users.ArticleScores(run, **of).scores([]).tolist() == []
    wrong = [{name: array[1:]} for name, array in of.items() if name != "fixed"]
    wrong += [{"fixed": np.nan}, {"side": np.full_like(of["side"], np.inf)}]
    for change in wrong:
        with pytest.raises(ValueError, match="must"):
            users.ArticleScores(run, **(of | change))
