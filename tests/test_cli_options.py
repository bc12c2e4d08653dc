"""Where the store and the published folder are, if the command does not say."""

import os
import re

import pytest
from newsroom import copied, environment, run, well


@pytest.fixture(scope="module")
def here(newsroom, tmp_path_factory):
    """A newsroom with a settings file in a folder beside it."""
    folder = copied(newsroom, tmp_path_factory.mktemp("options") / "here")
    (folder / "etc").mkdir()
    paths = '[paths]\nstore = "../s.db"\npublished = "../p"\n'
    (folder / "etc" / "recsys.toml").write_text(f"{paths}[page]\nn = 3\n")
    return folder


def test_a_missing_path_names_the_option_the_variable_and_the_key(tmp_path):
    done = run(tmp_path, "recommend")
    assert done.status == 2
    said = re.sub(r"[│\s]+", " ", done.said)
    assert "--published is required: give it, set RECSYS_PUBLISHED, or write published =" in said


def test_paths_come_from_the_settings_file_of_the_working_folder_or_of_the_environment(here):
    assert len(well(here / "etc", "runs").out.splitlines()) == 3
    named = environment(RECSYS_CONFIG="etc/recsys.toml")
    assert run(here, "runs", env=named).out == well(here / "etc", "runs").out
    assert "n = 3" in run(here, "config", env=named).out
    assert "n = 3" in well(here / "etc", "config").out


def test_the_option_wins_over_the_variable_and_the_variable_over_the_file(here, tmp_path):
    elsewhere = environment(RECSYS_PUBLISHED=str(tmp_path / "none"))
    assert run(here / "etc", "recommend", env=elsewhere).status == 1
    assert run(here / "etc", "recommend", "--published", "../p", env=elsewhere).status == 0


def test_a_file_with_paths_alone_changes_no_setting_of_a_refresh(here, tmp_path):
    folder = copied(here, tmp_path / "here")
    (folder / "recsys.toml").write_text('[paths]\nstore = "s.db"\npublished = "p"\n')
    done = well(folder, "refresh", "--as-of", "2026-03-02T07:00:00Z")
    assert "other settings" not in done.out


def test_help_says_where_the_defaults_come_from(tmp_path):
    said = re.sub(r"[│\s]+", " ", well(tmp_path, "nightly", "-h").out)
    for text in ("env var: RECSYS_STORE", "store of [paths] in recsys.toml", "RECSYS_CONFIG"):
        assert text in said


@pytest.mark.parametrize(
    "line",
    [
        ("export", "--published", "p", "--to", "no/x.csv"),
        ("preview", "--published", "p", "--out", "no/x.html"),
        ("evaluate", "--store", "s.db", "--json", "no/x.json"),
        ("evaluate", "--store", "s.db", "--html", "no/x.html"),
        ("tune", "--store", "s.db", "--to", "no/x.toml"),
        ("rules", "export", "--store", "s.db", "--published", "p", "--to", "no/x.json"),
    ],
)
def test_a_file_that_cannot_be_written_is_named_before_the_work(here, line):
    done = run(here, *line)
    assert done.status == 2
    assert "there is no folder no; make it first" in " ".join(done.said.split())
    assert " info: " not in done.said


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("RECSYS_STORE", "a" * 5000, "File name too long"),
        ("RECSYS_STORE", os.fsdecode(b"\xff\x1b[2J"), "there is no store here"),
        ("RECSYS_PUBLISHED", "/dev/null", "Not a directory"),
        ("RECSYS_CONFIG", "nowhere.toml", "nowhere.toml: cannot be read: No such file"),
        ("RECSYS_RUN_KEY", "", "RECSYS_RUN_KEY must be a secret of 16 to 64 bytes, has 0"),
        ("RECSYS_RUN_KEY", "secret" * 900, "RECSYS_RUN_KEY must be a secret of 16 to 64 bytes"),
        ("RECSYS_USER_KEY", os.fsdecode(b"\xff"), "RECSYS_USER_KEY must be a secret of 16 to 64"),
        ("RECSYS_RUN_KEY", os.fsdecode(b"\xff" * 16), "not signed with the key of RECSYS_RUN_KEY"),
    ],
)
def test_a_variable_that_cannot_be_is_one_line(here, name, value, says):
    given = {"RECSYS_STORE": "s.db", "RECSYS_PUBLISHED": "p", name: value}
    line = ("recommend", "--user", "u0007") if name != "RECSYS_STORE" else ("store",)
    if name == "RECSYS_CONFIG":
        line = ("config",)
    done = run(here, *line, env=environment(**given))
    assert done.status == 1
    assert len(done.said.splitlines()) == 1
    assert says in done.said
    assert "secretsecret" not in done.said
    assert "\x1b" not in done.said


def test_a_misspelled_variable_is_asked_about(here):
    done = run(here, "runs", "--published", "p", env=environment(RECSYS_RUNKEY="x"))
    assert done.status == 0
    assert done.said == (
        "warning: RECSYS_RUNKEY is no variable of recsys; did you mean RECSYS_RUN_KEY?\n"
    )


@pytest.mark.parametrize("instant", ["0001-01-01", "1899-12-31", "9999-12-31T23:59:59-14:00"])
def test_an_instant_is_of_a_year_from_which_days_can_be_counted(here, instant):
    for line in (("nightly", "--store", "s.db"), ("recommend",)):
        done = run(here, *line, "--published", "p", "--as-of", instant)
        assert done.status == 2
        assert "must be of the years 1900 to 9998" in re.sub(r"[│\s]+", " ", done.said)


@pytest.mark.parametrize("hours", ["nan", "-1"])
def test_a_number_of_hours_that_no_run_is_too_old_for_is_refused(here, hours):
    done = run(here, "health", "--published", "p", "--max-hours", hours)
    assert done.status == 2
    assert "max_hours must be a number from 0 up" in re.sub(r"[│\s]+", " ", done.said)
