import msgspec
import pytest
from conftest import QUICK, RECEIVED_MS

from recsys.config import LearnConfig
from recsys.config_file import load_config, toml_of
from recsys.evaluation.tune import judge_day, search_settings
from recsys.learn.protocols import DAY_MS


def test_a_search_starts_from_the_given_settings_and_its_result_can_be_written(
    sample_store, tmp_path
):
    config = msgspec.structs.replace(QUICK, learn=LearnConfig(days=1, min_choices=10**6))
    found = search_settings(
        sample_store, config, "nightly", before_ms=RECEIVED_MS, n_days=1, n_trials=2, random_state=1
    )
    day = judge_day(sample_store, config, "nightly", RECEIVED_MS - DAY_MS)
    assert found.initial_score == pytest.approx(day.mean)
    assert found.best_score >= found.initial_score
    path = tmp_path / "recsys.toml"
    path.write_text(toml_of(found.config))
    assert load_config(path) == found.config
