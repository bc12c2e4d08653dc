"""Settings: read from TOML, checked against their ranges, written as TOML."""

import math
import tomllib
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.config import (
    BlendConfig,
    CollaborativeConfig,
    Config,
    DataConfig,
    PageConfig,
    config_of,
    load_config,
    toml_of,
)
from recsys.errors import ConfigError


def test_a_file_changes_the_settings_that_it_names(tmp_path):
    path = tmp_path / "recsys.toml"
    path.write_text("[page]\nn = 3\nexempt = ['latest_stories']\n[data]\nmax_age_hours = 48\n")
    config = load_config(path)
    assert (config.page.n, config.page.exempt) == (3, ("latest_stories",))
    assert repr(config.data.max_age_hours) == "48.0"
    assert config.page.n_latest == Config().page.n_latest
    assert load_config(None) == Config()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[pages]\nn = 3", "unknown table pages: did you mean page? Known: data, text,"),
        ("[page]\nn_lates = 3", "unknown key page.n_lates: did you mean n_latest? Known: n, "),
        ("n = 3", "unknown table n. Known: data, text,"),
        ("page = 3", "page must be a table: write [page]"),
        ("[page]\nn = 'three'", "page.n must be a whole number from 1 to 100, got 'three'"),
        ("[page]\nn = true", "page.n must be a whole number from 1 to 100, got True"),
        ("[page]\nn = 3.0", "page.n must be a whole number from 1 to 100, got 3.0"),
        ("[page]\nn = 0", "page.n must be a whole number from 1 to 100, got 0"),
        ("[page]\nn = 101", "page.n must be a whole number from 1 to 100, got 101"),
        ("[text]\nn_similar = 0", "text.n_similar must be a whole number of at least 1, got 0"),
        ("[data]\nwindow_days = 0", "data.window_days must be a finite number above 0, got 0"),
        ("[data]\nwindow_days = nan", "data.window_days must be a finite number above 0, got nan"),
        ("[data]\nactive_hours = -1", "active_hours must be a finite number of at least 0, got -1"),
        ("[blend]\nals = nan", "blend.als must be a finite number, got nan"),
        ("[blend]\nals = -inf", "blend.als must be a finite number, got -inf"),
        ("[page]\nexempt = 'front'", "page.exempt must be a list of texts such as"),
        (
            "[page]\nexempt = ['front']",
            "page.exempt must name lists (you_may_also_like, ",
        ),
        ("[data]\nkeep_days = 3", "keep_days must be 0 or at least window_days (30), got 3"),
        ("[page\n", "cannot be read: Expected ']'"),
    ],
)
def test_a_mistake_is_named_in_one_line(tmp_path, text, says):
    path = tmp_path / "recsys.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ConfigError, match="absent.toml: cannot be read"):
        load_config(tmp_path / "absent.toml")


def test_settings_made_in_python_are_checked_too():
    with pytest.raises(ConfigError, match="n must be a whole number from 1 to 100, got 0"):
        PageConfig(n=0)
    with pytest.raises(ConfigError, match="got inf"):
        msgspec.structs.replace(BlendConfig(), als=math.inf)
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


@given(
    st.builds(
        Config,
        blend=st.builds(
            BlendConfig,
            als=st.floats(allow_nan=False, allow_infinity=False),
            recent_reads=st.integers(1, 2**63 - 1),
        ),
        page=st.builds(
            PageConfig,
            n=st.integers(1, 100),
            exempt=st.lists(st.sampled_from(["must_reads", "popular_now"])).map(tuple),
        ),
        collaborative=st.builds(CollaborativeConfig, random_state=st.integers(0, 2**32 - 1)),
    )
)
def test_written_settings_are_read_back_equal(config):
    read = config_of(tomllib.loads(toml_of(config)), "x")
    assert read == config
    assert read.digest() == config.digest()


def test_every_setting_has_a_description():
    for table in msgspec.structs.fields(Config):
        for setting in msgspec.structs.fields(table.type):
            described = [getattr(meta, "description", None) for meta in get_args(setting.type)[1:]]
            assert any(text and text.endswith(".") for text in described), setting.name
