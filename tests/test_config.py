"""Settings: checked against their ranges, described, and named by a digest."""

import math
from typing import get_args

import msgspec
import pytest

from recsys.config import BlendConfig, Config, DataConfig
from recsys.config_page import PageConfig
from recsys.errors import ConfigError


def test_settings_made_in_python_are_checked_too():
    with pytest.raises(ConfigError, match="n must be a whole number from 1 to 100, got 0"):
        PageConfig(n=0)
    with pytest.raises(ConfigError, match="got inf"):
        msgspec.structs.replace(BlendConfig(), important_personal=math.inf)
    with pytest.raises(ConfigError, match="n must be .* got '5'"):
        PageConfig(n="5")
    with pytest.raises(ConfigError, match="keep_days must be 0 or at least"):
        DataConfig(window_days=30.0, keep_days=10.0)
    with pytest.raises(ConfigError, match="data: Expected `object`, got `int`"):
        Config(data=3)


def test_equal_settings_have_one_digest():
    whole = Config(data=DataConfig(max_age_hours=48))
    assert whole.digest() == Config(data=DataConfig(max_age_hours=48.0)).digest()
    assert whole.digest() != Config().digest()


def test_every_setting_has_a_description():
    for table in msgspec.structs.fields(Config):
        fields = () if table.name == "layouts" else msgspec.structs.fields(table.type)
        for setting in fields:
            described = [getattr(meta, "description", None) for meta in get_args(setting.type)[1:]]
            assert any(text and text.endswith(".") for text in described), setting.name
