"""Imports point one way; the arrows are those of the README's data flow."""

import ast
from pathlib import Path

from conftest import ROOT

BASE = {"errors", "config", "rows"}
# Who may import whom. `page` calls `blend` for the scores it ranks, and serving both,
# so that one function makes the score of a night and of a request.
ALLOWED = {
    "errors": set(),
    "rows": set(),
    "config": {"errors"},
    "ingest": BASE,
    "store": BASE,
    "signals": BASE,
    "blend": BASE,
    "page": BASE | {"blend"},
    "snapshot": BASE | {"blend", "page"},
    "load": BASE | {"ingest", "store"},
    "serving": BASE | {"blend", "page", "snapshot"},
    "night": BASE | {"store"},
    "model": BASE | {"store", "night", "signals", "blend", "page", "snapshot"},
    "nightly": BASE | {"store", "night", "model", "signals", "blend", "page", "snapshot"},
    "evaluation": BASE | {"store", "night", "model", "blend", "page"},
    "__init__": {"errors", "serving"},
    "cli": BASE
    | {"blend", "ingest", "load", "store", "nightly", "serving", "snapshot", "evaluation"},
}


def imported(path: Path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "recsys":
            rest = (node.module or "").split(".")[1:]
            yield from [rest[0]] if rest else [name.name for name in node.names]


def test_rooms_import_in_one_direction():
    for path in sorted((ROOT / "recsys").rglob("*.py")):
        inside = path.relative_to(ROOT / "recsys")
        room = inside.parts[0].removesuffix(".py")
        for used in imported(path):
            assert used == room or used in ALLOWED[room], f"{inside} imports {used}"


def test_signals_do_not_know_each_other():
    for path in (ROOT / "recsys" / "signals").glob("*.py"):
        assert "recsys.signals" not in path.read_text("utf-8").replace('"""', ""), path


def test_no_room_has_outgrown_itself():
    for path in (ROOT / "recsys").rglob("*.py"):
        n_lines = len(path.read_text("utf-8").splitlines())
        assert n_lines <= 550, f"{path.name} has {n_lines} lines: two rooms?"
