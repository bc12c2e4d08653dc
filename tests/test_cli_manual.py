"""Every command has examples that its parser takes, and its exit statuses."""

import shlex
import subprocess
import sys

from recsys.cli.manual import COMMANDS, epilog_of

# In a process of its own: the command line changes `sys.modules`.
PARSE = """
import shlex, sys, typer
from recsys.cli.main import app
from recsys.cli.manual import COMMANDS
def leaves(group, before=""):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from leaves(command, f"{before}{name} ")
        else:
            yield before + name, command
found = dict(leaves(typer.main.get_command(app)))
assert found.keys() == COMMANDS.keys(), found.keys() ^ COMMANDS.keys()
for name, command in found.items():
    assert command.epilog, name
    for example in COMMANDS[name][0]:
        words = shlex.split(example)[1 + len(name.split()):]
        command.make_context(name, words, resilient_parsing=False)
"""


def test_every_example_is_taken_by_the_parser(tmp_path):
    (tmp_path / "incoming").mkdir()
    paths = 'store = "recsys.db"\npublished = "published"\n'
    (tmp_path / "recsys.toml").write_text(f"[paths]\n{paths}")
    done = subprocess.run(
        [sys.executable, "-c", PARSE], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_examples_begin_with_their_command_and_statuses_with_a_number():
    for command, (examples, statuses) in COMMANDS.items():
        for example in examples:
            assert shlex.split(example)[: 1 + len(command.split())] == ["recsys", *command.split()]
        numbers = [int(status.split()[0]) for status in statuses]
        assert numbers == sorted(numbers)
        assert numbers[0] == 0


def test_help_shows_examples_and_statuses():
    assert epilog_of("diff").startswith("Examples:\n\nrecsys diff ")
    assert epilog_of("diff").endswith("Exit status: 0 done; 1 no such run; 2 wrong usage.")
