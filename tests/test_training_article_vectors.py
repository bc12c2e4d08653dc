"""What a run learns of words, and what a refresh and announced articles get from it."""

import numpy as np
from conftest import RECEIVED_MS

from recsys.blend.curves import GIVEN, WORDS
from recsys.config import Config
from recsys.learn.past_runs import PastRuns
from recsys.rows import HOUR_MS

CARRIED = ("word_terms", "word_vectors", "vector_centre", "vector_axes")


def test_articles_that_are_only_announced_get_vectors_and_teach_nothing(sample_store):
    past, as_of_ms = PastRuns(sample_store, Config()), RECEIVED_MS - 24 * HOUR_MS
    without = past.nightly(as_of_ms, as_of_ms).model
    announcing = past.nightly(as_of_ms, as_of_ms + 20 * HOUR_MS)
    is_announced = announcing.window.is_announced
    assert is_announced.any()
    for name in CARRIED:
        learned = [getattr(model.carry, name) for model in (without, announcing.model)]
        assert np.array_equal(*learned), name
    announced = announcing.model.rank.dense[WORDS][is_announced]
    assert np.linalg.norm(announced, axis=1).round(4).tolist() == [1.0] * len(announced)


def test_a_refresh_makes_the_vectors_of_new_articles_by_what_the_night_learned(sample_store):
    past, as_of_ms = PastRuns(sample_store, Config()), RECEIVED_MS - 12 * HOUR_MS
    night = past.nightly(as_of_ms, as_of_ms)
    refreshed = past.refresh(night, as_of_ms + 8 * HOUR_MS, as_of_ms + 8 * HOUR_MS)
    for name in CARRIED:
        learned = [getattr(run.model.carry, name) for run in (night, refreshed)]
        assert np.array_equal(*learned), name
    before, after = (run.model.rank.dense[WORDS] for run in (night, refreshed))
    assert len(after) > len(before)
    assert np.array_equal(after[: len(before)], before)
    assert np.linalg.norm(after[len(before) :], axis=1).min() > 0.99
    assert refreshed.model.rank.dense[GIVEN].shape == (len(after), 0)
