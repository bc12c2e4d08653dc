import dataclasses

import numpy as np
import pytest
from naive_pages import random_model, random_user

from recsys.blend.linear import (
    article_side,
    fold_in,
    recent_weights,
    score_parts,
    taste_in_vectors,
    total_score,
    user_sides,
)
from recsys.page.build import PageBuilder
from recsys.page.explain import slot_parts


def test_folding_in_a_cold_user_is_the_exact_als_solution():
    rng = np.random.default_rng(1)
    items = rng.normal(size=(30, 4)).astype(np.float32)
    gram = items.T @ items + 0.1 * np.eye(4, dtype=np.float32)
    clicked, confidence = items[:3], 11.0
    c = np.ones(30)
    c[:3] = confidence
    p = (np.arange(30) < 3).astype(float)
    exact = np.linalg.solve(items.T @ np.diag(c) @ items + 0.1 * np.eye(4), items.T @ (c * p))
    found = fold_in(np.zeros(4, np.float32), clicked, gram=gram, confidence=confidence)
    np.testing.assert_allclose(found, exact, rtol=1e-3)
    unchanged = fold_in(found, np.zeros((2, 4), np.float32), gram=gram, confidence=confidence)
    np.testing.assert_array_equal(unchanged, found)


def test_recent_weights_sum_to_one_and_fall():
    weights = recent_weights(20, 0.9)
    assert weights.sum() == pytest.approx(1.0)
    assert (np.diff(weights) < 0).all()
    assert len(recent_weights(0, 0.9)) == 0


def test_the_score_is_the_sum_of_its_parts():
    model = random_model(3)
    builder = PageBuilder(model)
    built = builder.page(
        random_user(np.random.default_rng(0), model), 5, builder.layouts["article"]
    )
    scores = total_score(built.parts, len(model.story))
    liked, must = built.layout.lists[0], built.layout.lists[2]
    for slot in built.lists[liked.name]:
        parts = slot_parts(builder, built.parts, liked, slot.live_index)
        assert sum(parts.values()) == pytest.approx(slot.score, abs=1e-3)
        assert slot.score == pytest.approx(float(scores[slot.live_index]), abs=1e-4)
    for slot in built.lists[must.name]:
        parts = slot_parts(builder, built.parts, must, slot.live_index)
        assert sum(parts.values()) == pytest.approx(slot.score, abs=1e-3)


def with_vectors(model, of_known):
    """A model in which a few known articles have a vector of two numbers."""
    vectors = np.zeros((len(model.live.category), 2), dtype=np.float32)
    for known, vector in of_known.items():
        vectors[known] = vector
    return dataclasses.replace(model.live, vectors=vectors)


def test_vectors_compare_an_article_with_what_was_read_and_with_what_is_being_read():
    model = random_model(0)
    first, second, third = model.live.live_rows[[0, 1, 2]].tolist()
    read = dataclasses.replace(random_user(np.random.default_rng(0), model), reads=np.array([7, 8]))
    live = with_vectors(model, {7: (1, 0), 8: (0, 1), first: (0.6, 0.8), second: (-1, 0)})
    parts = score_parts(live, read, 7)
    # The reads point at (1, 1) / sqrt(2); weights: 1.5 of `vectors`, 6 of `context_vectors`.
    taste = [1.5 * 1.4 / np.sqrt(2), -1.5 / np.sqrt(2), 0.0]
    assert parts["vectors"][:3] == pytest.approx(taste, abs=1e-6)
    assert parts["context_vectors"][:3] == pytest.approx([6 * 0.6, -6.0, 0.0], abs=1e-6)
    assert third not in (7, 8)  # an article without a vector is neutral


@pytest.mark.parametrize("reads", [[], [9]])
def test_a_user_whose_reads_have_no_vector_is_neutral(reads):
    model = random_model(0)
    user = random_user(np.random.default_rng(0), model)
    user = dataclasses.replace(user, reads=np.array(reads, dtype=np.int64))
    live = with_vectors(model, {int(model.live.live_rows[0]): (1, 0)})
    assert not score_parts(live, user, 9)["vectors"].any()


def test_without_vectors_the_score_has_no_such_part():
    model = random_model(0)
    parts = score_parts(model.live, random_user(np.random.default_rng(0), model), 5)
    assert not {"vectors", "context_vectors"} & set(parts)
    sides = user_sides(
        model.live, np.ones(3), taste_in_vectors(model.live, np.array([5])), np.ones(4)
    )
    assert len(sides) == len(article_side(model.live, 4)) == 3 + 4


@pytest.mark.parametrize("seed", [1, 3])
def test_the_two_sides_multiply_to_the_personal_signals_but_text(seed):
    model, rng = random_model(seed), np.random.default_rng(seed)
    live = model.live
    for _ in range(5):
        user = random_user(rng, model)
        side = user_sides(live, user.factors, taste_in_vectors(live, user.reads), user.affinity)
        parts = score_parts(live, user, None)
        expected = parts["vectors"] + parts["als"] + parts["affinity"]
        np.testing.assert_allclose(side @ article_side(live, 4), expected, rtol=1e-4, atol=1e-5)
