"""Settings as TOML: read, refused with the mistake named, and written."""

import math
import tomllib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.blend.signal_table import signal_names
from recsys.config import BlendConfig, CollaborativeConfig, Config
from recsys.config_file import config_of, load_config, load_paths, load_tables, toml_of
from recsys.config_page import FilterConfig, ListConfig, PageConfig
from recsys.errors import ConfigError
from recsys.page.list_table import LISTS


def test_a_file_changes_the_settings_that_it_names(tmp_path):
    path = tmp_path / "recsys.toml"
    path.write_text(
        "[page]\nn = 3\n[data]\nmax_age_hours = 48\n[blend.weights]\nals = 2\n"
        "[layouts.front.politics]\nscorer = 'latest'\nfilter.section = 'Politics'\n"
    )
    config = load_config(path)
    assert (config.page.n, config.blend.weights) == (3, {"als": 2.0})
    politics = ListConfig(scorer="latest", filter=FilterConfig(section=("Politics",)))
    assert config.layouts == {"front": {"politics": politics}}
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
        (
            "[text]\nn_similar = 0",
            "text.n_similar must be a whole number from 1 to 1000000000",
        ),
        (
            "[data]\nwindow_days = 0",
            "data.window_days must be a finite number from 0.001 to",
        ),
        (
            "[data]\nwindow_days = nan",
            "must be a finite number from 0.001 to 36500, got nan",
        ),
        (
            "[data]\nactive_hours = -1",
            "data.active_hours must be a finite number from 0 to 876000",
        ),
        ("[blend.weights]\nals = nan", "blend.weights.als must be a finite number from -1000000"),
        ("[blend.weights]\nals = 1e7", "blend.weights.als must be a finite number from -1000000"),
        ("[blend]\nweights = 3", "blend.weights must be a table: write [blend.weights]"),
        ("[layouts.front]", "layouts.front must have from 1 to 16 lists, has 0"),
        ("[layouts.front.Big]\nslots = 1", "'Big' must be up to 64 small letters"),
        ("[layouts.front.must_reads]\nslots = 0", "layouts.front.must_reads.slots must be a"),
        (
            "[layouts.front.must_reads]\nslot = 1",
            "unknown key layouts.front.must_reads.slot: did you mean slots?",
        ),
        (
            "[layouts.front.must_reads]\nfilter.tag = 3",
            "layouts.front.must_reads.filter.tag must be a list of texts such as",
        ),
        ("[data]\nkeep_days = 3", "keep_days must be 0 or at least window_days (30), got 3"),
        ("[page\n", "cannot be read: Expected ']'"),
        ("[learn]\ndays = 1e400", "learn.days must be a whole number from 0 to 36500, got inf"),
        ("[collaborative]\nfactors = 100000000", "factors must be a whole number from 1 to 1024"),
        ("[page]\n" + "x" * 5000 + " = 1", "unknown key page.xxx"),
        ("[ingest]\ntimezone = '" + "x" * 5000 + "'", "timezone: no zone is named 'xxx"),
        ("x = " + "[" * 5000, "cannot be read: "),
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


@given(
    st.builds(
        Config,
        blend=st.builds(
            BlendConfig,
            weights=st.dictionaries(st.sampled_from(signal_names()), st.floats(-1e6, 1e6)),
            recent_reads=st.integers(1, 1000),
        ),
        page=st.builds(
            PageConfig,
            n=st.integers(1, 100),
        ),
        layouts=st.dictionaries(
            st.sampled_from(["front", "sports"]),
            st.dictionaries(
                st.sampled_from([row.name for row in LISTS]),
                st.builds(
                    ListConfig,
                    slots=st.none() | st.integers(1, 100),
                    exempt=st.none() | st.booleans(),
                    filter=st.builds(FilterConfig, tag=st.lists(st.text()).map(tuple)),
                ),
                min_size=1,
            ),
        ),
        collaborative=st.builds(CollaborativeConfig, random_state=st.integers(0, 2**32 - 1)),
    )
)
def test_written_settings_are_read_back_equal(config):
    read = config_of(tomllib.loads(toml_of(config)), "x")
    assert read == config
    assert read.digest() == config.digest()


def test_settings_written_are_read_back_equal(tmp_path):
    path = tmp_path / "recsys.toml"
    path.write_text(toml_of(Config()))
    assert load_config(path) == Config()


def test_layouts_are_read_back_from_toml_as_they_were():
    tables = {"front": {"a": {"scorer": "latest", "filter": {"premium": False, "tag": ["x", "y"]}}}}
    config = config_of({"layouts": tables}, "recsys.toml")
    assert config_of(tomllib.loads(toml_of(config)), "again") == config


def test_paths_begin_at_the_folder_of_their_file_and_are_no_setting(tmp_path):
    path = tmp_path / "recsys.toml"
    path.write_text('[paths]\nstore = "a/s.db"\npublished = "/p"\n')
    assert load_paths(path) == {"store": tmp_path / "a" / "s.db", "published": Path("/p")}
    assert load_config(path) == Config()
    for text, says in (("stor = 's'", "unknown key paths.stor"), ("store = 1", "paths.store must")):
        path.write_text(f"[paths]\n{text}\n")
        with pytest.raises(ConfigError, match=says):
            load_paths(path)


LEAVES = [
    (table.name, field.name)
    for table in msgspec.structs.fields(Config)
    if isinstance(table.type, type)
    for field in msgspec.structs.fields(table.type)
]
HOSTILE = (
    *(math.nan, math.inf, -math.inf, 1e308, -1e308, 5e-324, 10**400, -(10**400), 2**63, -1, 0.5),
    *(True, None, "", "x" * 5000, "\x1b[2J", b"x", [], [[]], {}, {"a": {"b": 1}}),
)


@pytest.mark.parametrize(("table", "key"), LEAVES)
def test_no_value_of_a_setting_does_worse_than_a_short_refusal_that_names_it(table, key):
    for value in HOSTILE:
        said = "c.toml: "
        try:
            config_of({table: {key: value}}, "c.toml")
        except ConfigError as error:
            said = str(error)
        assert said.startswith("c.toml: ")
        assert len(said) < 400


def test_every_number_has_bounds():
    for table, key in LEAVES:
        kind = next(
            field.type
            for of in msgspec.structs.fields(Config)
            if of.name == table
            for field in msgspec.structs.fields(of.type)
            if field.name == key
        )
        info = msgspec.inspect.type_info(kind)
        while isinstance(info, msgspec.inspect.Metadata):
            info = info.type
        if isinstance(info, msgspec.inspect.IntType | msgspec.inspect.FloatType):
            assert info.le is not None, (table, key)
            assert (info.ge, info.gt) != (None, None), (table, key)


def test_a_device_is_not_read_without_end():
    with pytest.raises(ConfigError, match="/dev/zero: larger than 256 kB"):
        load_tables(Path("/dev/zero"))
