"""What `recsys config` and docs/settings.md say of every setting."""

import json
import re
import subprocess
import sys
import tomllib

from conftest import ROOT
from msgspec.structs import replace
from newsroom import run

from recsys.blend.signal_table import signal_weights
from recsys.config import Config
from recsys.config_file import config_of
from recsys.operations.describe_settings import settings_of, table_descriptions, toml_with_comments
from recsys.page.list_table import layouts_of

FILE = """[page]
n = 8
languages = { front = "fr" }

[learn]
days = 4

[blend.weights]
als = 2.0

[layouts.front.popular_now]
slots = 9

[layouts.front.politics]
title = "From Politics"
scorer = "latest"
filter.section = ["Politics"]
"""


def lists_in(config):
    return {name: layout.lists for name, layout in layouts_of(config).items()}


def test_printed_settings_are_toml_that_is_read_back_equal():
    for text in ("", FILE):
        tables = tomllib.loads(text)
        config = config_of(tables, "x")
        printed = toml_with_comments(settings_of(config, tables), "recsys.toml")
        read = config_of(tomllib.loads(printed), "x")
        assert signal_weights(read.blend) == signal_weights(config.blend)
        assert lists_in(read) == lists_in(config)
        plain = {"blend": Config().blend, "layouts": {}}
        assert replace(read, **plain) == replace(config, **plain)


def test_each_setting_says_what_it_means_and_where_its_value_comes_from():
    tables = tomllib.loads(FILE)
    printed = toml_with_comments(settings_of(config_of(tables, "x"), tables), "recsys.toml")
    assert (
        "# Slots of a list whose layout names no number of its own.\n"
        "# Allowed: a whole number from 1 to 100. Default: 5.\n"
        "n = 8  # recsys.toml\n"
    ) in printed
    assert 'languages = { front = "fr" }  # recsys.toml\n' in printed
    assert "days = 4  # recsys.toml\n" in printed  # the file says what the default is
    assert "als = 2.0  # recsys.toml\n" in printed
    assert "text = 30.0  # default\n" in printed
    assert (
        '[layouts.front.popular_now]\nscorer = "expected"  # default\nslots = 9  # rec' in printed
    )
    assert "[layouts.front.politics.filter]\n" in printed
    assert 'section = ["Politics"]  # recsys.toml\n' in printed
    assert (
        "# Clicks and impressions older than this are not read.\n"
        "# Allowed: a finite number from 0.001 to 36500, in days. Default: 30.0.\n"
        "window_days = 30.0  # default\n"
    ) in printed
    assert max(map(len, printed.splitlines())) <= 100


def test_every_setting_is_described_once():
    settings = settings_of(Config(), {})
    tables = tomllib.loads(toml_with_comments(settings, ""))
    for setting in settings:
        table = tables
        for part in setting.table.split("."):
            table = table[part]
        assert table.pop(setting.key) == (
            list(setting.value) if isinstance(setting.value, tuple) else setting.value
        )
        assert setting.default in (setting.value, None)
        assert setting.allowed
        assert re.fullmatch(r"[A-Z0-9].*\.", setting.description), setting
        unit = re.search(r"_(days|hours|seconds)$", setting.key)
        assert unit is None or setting.unit == unit[1]
    layouts = tables.pop("layouts")
    assert not any(any(keys.values()) for keys in tables.values())  # nothing but what is described
    assert not any(keys for lists in layouts.values() for keys in lists.values())
    assert all(table_descriptions().values())


def test_the_page_of_settings_is_what_its_script_writes(tmp_path):
    script = ROOT / "scripts" / "write_settings.py"
    subprocess.run([sys.executable, script, tmp_path / "settings.md"], check=True)
    written = (tmp_path / "settings.md").read_text("utf-8")
    assert (ROOT / "docs" / "settings.md").read_text("utf-8") == written


def test_the_command_prints_toml_or_json(tmp_path):
    (tmp_path / "c.toml").write_text(FILE)
    printed = run(tmp_path, "config", "--config", "c.toml").out
    assert tomllib.loads(printed)["page"]["n"] == 8
    assert "n = 8  # c.toml\n" in printed
    assert tomllib.loads(run(tmp_path, "config").out)["page"]["n"] == 5
    rows = json.loads(run(tmp_path, "config", "--config", "c.toml", "--json").out)
    (n,) = [row for row in rows if (row["table"], row["key"]) == ("page", "n")]
    assert n == {
        "table": "page",
        "key": "n",
        "value": 8,
        "default": 5,
        "from_file": True,
        "allowed": "a whole number from 1 to 100",
        "unit": "",
        "description": "Slots of a list whose layout names no number of its own.",
    }
    (tmp_path / "c.toml").write_text("[page]\nn = 0\n")
    refused = run(tmp_path, "config", "--config", "c.toml")
    assert refused.status == 1
    assert refused.said == "recsys: c.toml: page.n must be a whole number from 1 to 100, got 0\n"
