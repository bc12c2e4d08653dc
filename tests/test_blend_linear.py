import numpy as np
import pytest
from naive_pages import random_model, random_user

from recsys.blend.linear import fold_in, recent_weights, total_score
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
