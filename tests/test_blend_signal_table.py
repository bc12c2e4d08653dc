import numpy as np
import pytest

from recsys.blend import signal_table
from recsys.blend.signal_table import SIGNALS, signal_names, signal_weights
from recsys.config import BlendConfig
from recsys.errors import ConfigError
from recsys.kernels.library import COMPUTED_SIGNALS
from recsys.page.reasons import REASONS


def test_the_kernels_compute_the_signals_that_are_not_static():
    assert signal_names("contextual", "personal") == COMPUTED_SIGNALS
    assert [row.name for row in SIGNALS if row.compute is not None] == list(signal_names("static"))


def test_every_signal_has_a_reason_with_words():
    assert {row.reason for row in SIGNALS} <= set(REASONS)


def test_settings_replace_single_weights():
    weights = signal_weights(BlendConfig(weights={"als": 2.5}))
    assert weights["als"] == 2.5
    assert weights["text"] == 30.0


def test_a_misspelt_signal_is_refused_with_the_closest_name():
    with pytest.raises(ConfigError, match=r"blend\.weights\.popularty.*did you mean popularity"):
        signal_weights(BlendConfig(weights={"popularty": 1.0}))


@pytest.mark.parametrize("weight", [float("nan"), float("inf"), 1e7])
def test_a_weight_out_of_range_is_refused(weight):
    with pytest.raises(ConfigError, match="weights"):
        BlendConfig(weights={"als": weight})


def test_static_signals_are_computed_by_their_rows(monkeypatch):
    row = signal_table.Signal(
        name="age",
        kind="static",
        weight=1.0,
        label="old",
        reason="new",
        compute=lambda articles: articles.age_hours,
    )
    monkeypatch.setattr(signal_table, "SIGNALS", (row,))
    ages = np.array([1.0, 2.0])
    articles = signal_table.ArticlesAt(None, np.arange(2), ages, np.zeros(2, np.int64), {}, None)
    assert signal_table.static_values(articles)["age"].tolist() == [1.0, 2.0]
