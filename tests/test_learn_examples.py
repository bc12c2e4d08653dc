"""Examples that the store keeps, and heads that are learned from them."""

import json

import numpy as np
from conftest import RECEIVED_MS, SAMPLE

from recsys.config import Config, LearnConfig
from recsys.ingest.detect import expand
from recsys.ingest.load_files import load_files
from recsys.learn.examples import KEPT_PER_DAY, ExampleBuilder
from recsys.learn.heads import learn_heads
from recsys.learn.past_runs import PastRuns
from recsys.learn.protocols import DAY_MS
from recsys.rows import HOUR_MS, from_ms
from recsys.store.database import Store


def test_heads_learned_from_kept_examples_are_the_same(sample_store, tmp_path, caplog):
    begin, end = RECEIVED_MS - 2 * DAY_MS, RECEIVED_MS - DAY_MS
    config = Config(learn=LearnConfig(days=1, max_choices=300))
    protocols = ["nightly", "hourly"]
    expected = learn_heads(
        ExampleBuilder(PastRuns(sample_store, config)), end, protocols, has_forecast=True
    )
    caplog.set_level("INFO", "recsys.learn.past_runs")  # one record for each run that is trained

    def learn(store):
        caplog.clear()
        past = PastRuns(store, config)
        return learn_heads(
            ExampleBuilder(past, keep_in_store=True), end, protocols, has_forecast=True
        )

    def trained():
        return [record for record in caplog.records if record.name == "recsys.learn.past_runs"]

    def load_click(store, clicked_ms):
        path = tmp_path / f"{clicked_ms}.jsonl"
        click = {"user_id": "u0001", "article_id": "a0001"}
        path.write_text(json.dumps(click | {"clicked_at": from_ms(clicked_ms).isoformat()}) + "\n")
        load_files(store, expand([path]), received_ms=RECEIVED_MS)

    with Store(tmp_path / "recsys.db") as store:
        load_files(store, expand([SAMPLE]), received_ms=RECEIVED_MS)
        assert_same_heads(learn(store), expected)
        assert trained()
        assert_same_heads(learn(store), expected)
        assert not trained()  # the store had kept the examples
        load_click(store, end)  # a click after the day does not change its examples
        assert_same_heads(learn(store), expected)
        assert not trained()
        load_click(store, begin - DAY_MS)  # an earlier click does
        learn(store)
        assert trained()


def assert_same_heads(found, expected):
    assert found.weights == expected.weights
    assert found.reports == expected.reports
    for protocol, curves in expected.curves.items():
        assert found.curves[protocol].keys() == curves.keys()
        for name, curve in curves.items():
            np.testing.assert_array_equal(found.curves[protocol][name], curve)


def test_nights_at_other_hours_and_with_other_settings_do_not_add_examples_without_end(tmp_path):
    with Store(tmp_path / "recsys.db") as store:
        load_files(store, expand([SAMPLE]), received_ms=RECEIVED_MS)
        for hour in range(4):
            config = Config(learn=LearnConfig(days=1, max_choices=100 + hour))
            builder = ExampleBuilder(PastRuns(store, config), keep_in_store=True)
            builder.build_into_store(["nightly", "hourly"], RECEIVED_MS - hour * HOUR_MS)
        found = store.size().tables["examples"]
        assert found.rows == KEPT_PER_DAY
        # 100 choices of about 9 articles with 51 features are 370 KB without compression.
        assert found.bytes < KEPT_PER_DAY * 150_000
