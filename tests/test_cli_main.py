"""The command line as a whole: help, version, errors, JSON of every table."""

import json
import re
import subprocess
import sys

import pytest
from newsroom import BOTH, at, copied, run, well

from recsys.page.rules import rules_of


@pytest.fixture(scope="module")
def here(newsroom, tmp_path_factory):
    return copied(newsroom, tmp_path_factory.mktemp("cli") / "here")


# In a process of its own: the command line changes `sys.modules`.
HELP = """
import json, typer
from typer.testing import CliRunner
from recsys.cli.main import app
tree = {(): typer.main.get_command(app)}
for name, command in tree[()].commands.items():
    tree[name,] = command
    for inner, leaf in getattr(command, "commands", {}).items():
        tree[name, inner] = leaf
found = {}
for line, command in tree.items():
    short, long = (CliRunner().invoke(app, [*line, flag]).output for flag in ("-h", "--help"))
    found[" ".join(line)] = {
        "same": short == long and "Usage" in short,
        "help": command.help,
        "options": {p.name: getattr(p, "help", None) for p in command.params},
    }
print(json.dumps(found))
"""


def test_every_command_explains_itself_and_its_options_by_both_flags():
    done = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, check=True)
    commands = json.loads(done.stdout)
    contract = {"ingest", "nightly", "refresh", "recommend", "evaluate", "runs", "rollback"}
    contract |= {"rules", "rules add", "rules end", "explain", "forget", "demo", "config"}
    assert contract <= set(commands)
    for name, command in commands.items():
        assert command["same"], name
        assert command["help"].rstrip().endswith("."), name
        for option, text in command["options"].items():
            assert text.endswith("."), (name, option)


def test_the_version_is_printed(tmp_path):
    assert re.fullmatch(r"recsys \d+\.\d+\.\d+\S*\n", well(tmp_path, "--version").out)


def test_a_wrong_value_names_its_option_and_the_allowed_ones(tmp_path, by_hand):
    explain = ("explain", "--published", str(by_hand.folder))
    for line, says in (
        (("ingest", "x", "--store", "s", "--format", "doc"), "--format must be one of auto, "),
        (("ingest", "x", "--store", "s", "--kind", "doc"), "--kind must be one of articles, "),
        (("evaluate", "--store", "s", "--protocol", "x"), "--protocol must be one of nightly, "),
        (
            (*explain, "--list", "x"),
            "lists must be some of you_may_also_like",
        ),
        ((*explain, "--layout", "x"), "layout must be one of article, got 'x'"),
        (("export", "--published", "p", "--to", "x.xls"), "--to must end in one of .csv, "),
    ):
        done = run(tmp_path, *line)
        assert done.status == 2
        assert says in re.sub(r"[│\s]+", " ", done.said), done.said
    who = ("--author", "Ann", "--reason", "x")
    both = ("--store", str(by_hand.store), "--published", str(by_hand.folder))
    done = run(tmp_path, "rules", "add", "ban", "a0001", *both, *who)
    assert (done.status, done.said) == (
        1,
        "recsys: the new rule: kind must be one of block, boost, cap, embargo, expire, pin,"
        " sensitive, got 'ban'\n",
    )


@pytest.mark.slow
def test_every_table_is_printed_as_json_too(here):
    who = ("--author", "Ann", "--reason", "front page", "--from", at(-30))
    well(here, "rules", "add", "block", "a0133", *BOTH, *who)
    well(here, "rules", "add", "cap", "", "--by", "section", "--amount", "2", *BOTH, *who)
    well(here, "rules", "end", "r2", *BOTH, *who[:4])

    def as_json(*line):
        return json.loads(well(here, *line, "--json").out)

    (listed,) = as_json("rules", "list", *BOTH)
    assert (listed["rule_id"], listed["kind"], listed["value"]) == ("r1", "block", "a0133")
    assert [row["rule_id"] for row in as_json("rules", "list", *BOTH, "--all")] == ["r1", "r2"]
    assert rules_of(json.dumps([listed]).encode(), ())[0].rule_id == "r1"
    changes = as_json("rules", "history", *BOTH)
    assert [(row["rule_id"], row["change"], row["rule"]["kind"]) for row in changes] == [
        ("r1", "added", "block"),
        ("r2", "added", "cap"),
        ("r2", "ended", "cap"),
    ]

    first, second = as_json("runs", *BOTH)
    assert (first["is_current"], second["is_current"]) == (False, True)
    assert first["file"] == second["file"] == "kept"
    assert second["report"]["counts"]["live_articles"] > 0
    assert as_json("runs", "--published", "p")[0]["report"] is None
    found = as_json("diff", first["run_id"], second["run_id"], "--published", "p")
    assert found["is_same"] is False
    assert found["added"]
    ranked = as_json("rank", "a0030", "a0031", "--published", "p", "--user", "u0007")
    assert sorted(row["article_id"] for row in ranked) == ["a0030", "a0031"]
    assert [row["rank"] for row in ranked] == [1, 2]
    assert as_json("explain", "--published", "p")["lists"]["must_reads"]
    assert as_json("recommend", "--published", "p")["lists"]["must_reads"]


def test_rank_names_an_id_that_is_given_twice(here):
    done = run(here, "rank", "--published", "p", "a0001", "a0001")
    assert done.status == 2
    assert "candidates must be distinct" in " ".join(done.said.replace("│", " ").split())
