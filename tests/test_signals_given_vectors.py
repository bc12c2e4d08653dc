import numpy as np
import pytest

from recsys.signals.given_vectors import N_DIMENSIONS, learn_projection


def test_vectors_are_centred_and_of_unit_length():
    given = np.array([[3.0, 1.0], [3.0, 3.0], [0.0, 0.0], [3.0, 5.0]], dtype=np.float32)
    projection = learn_projection(given)  # row 2 has no vector, the others differ in one direction
    assert projection.centre.tolist() == [3.0, 3.0]
    assert projection.axes[:, 0].tolist() == pytest.approx([0.0, 1.0])
    found = projection.of_articles(given)
    assert found[0] @ found[3] == pytest.approx(-1.0)
    assert found[1].tolist() == found[2].tolist() == [0.0, 0.0]


def test_the_reduction_keeps_the_cosines_of_what_differs_in_few_directions():
    rng = np.random.default_rng(1)
    given = (rng.normal(size=(300, 10)) @ rng.normal(size=(10, 200)) + 4.0).astype(np.float32)
    found = learn_projection(given).of_articles(given)
    assert found.shape == (300, N_DIMENSIONS)
    apart = given - given.mean(axis=0)
    apart /= np.linalg.norm(apart, axis=1, keepdims=True)
    assert found @ found.T == pytest.approx(apart @ apart.T, abs=1e-3)


def test_without_vectors_and_with_vectors_of_another_length_there_are_none():
    nothing = np.zeros((4, 0), dtype=np.float32)
    assert learn_projection(nothing).of_articles(nothing).shape == (4, 0)
    empty = np.zeros((4, 3), dtype=np.float32)
    assert learn_projection(empty).of_articles(empty).shape == (4, 0)
    learned = learn_projection(np.eye(3, dtype=np.float32))
    assert not learned.of_articles(np.ones((4, 7), dtype=np.float32)).any()
    assert learned.of_articles(nothing).shape == (4, 3)
