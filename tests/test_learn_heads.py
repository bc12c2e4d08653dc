import numpy as np
from conftest import RECEIVED_MS

from recsys.blend.signal_table import signal_weights
from recsys.config import Config, LearnConfig
from recsys.learn.examples import ExampleBuilder
from recsys.learn.heads import (
    fit_ranking_head,
    fit_retrieval_head,
    learn_heads,
    straightest_of_the_best,
)
from recsys.learn.past_runs import PastRuns


def test_with_too_few_choices_the_shipped_weights_are_served_and_the_report_says_so(sample_store):
    config = Config(learn=LearnConfig(min_choices=10**6))
    builder = ExampleBuilder(PastRuns(sample_store, config))
    learned = learn_heads(builder, RECEIVED_MS, ["nightly"], has_forecast=False)
    assert learned.weights == signal_weights(config.blend)
    assert learned.curves == {"nightly": {}}
    assert all("needed to learn" in report.why for report in learned.reports.values())


def test_a_head_to_compare_with_is_used_or_not_as_the_other_one_is(sample_store):
    builder = ExampleBuilder(PastRuns(sample_store, Config(learn=LearnConfig(days=1))))
    shipped = signal_weights(builder.past.config.blend)
    for is_used in (True, False):
        weights, report = fit_retrieval_head(builder, RECEIVED_MS, True, is_used=is_used)
        assert report.used == is_used
        assert (weights == shipped) == (not is_used)
        curves, _ = fit_ranking_head(builder, RECEIVED_MS, "nightly", is_used=is_used)
        assert bool(curves) == is_used


def test_each_head_is_reported_with_its_validation(sample_store):
    config = Config(learn=LearnConfig(days=2))
    builder = ExampleBuilder(PastRuns(sample_store, config))
    learned = learn_heads(builder, RECEIVED_MS, ["nightly", "hourly"], has_forecast=True)
    assert set(learned.reports) == {"retrieval", "ranking, nightly", "ranking, hourly"}
    for report in learned.reports.values():
        assert report.n >= config.learn.min_choices
        assert report.used == (report.learned > report.shipped)
    assert learned.reports["ranking, nightly"].used  # users of the sample have tastes


def test_straighter_curves_are_taken_unless_others_do_clearly_better():
    noise = np.random.default_rng(2).normal(0.6, 0.1, 400)
    close = {1000.0: noise, 10.0: noise + np.tile([0.1, -0.099], 200)}
    assert straightest_of_the_best(close) == 1000.0
    clear = {1000.0: noise, 10.0: noise + np.tile([0.1, -0.05], 200)}
    assert straightest_of_the_best(clear) == 10.0
    undefined = {1000.0: np.full(3, np.nan), 10.0: np.full(3, np.nan)}
    assert straightest_of_the_best(undefined) == 1000.0
