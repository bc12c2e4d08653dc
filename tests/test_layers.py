"""Imports point one way; the arrows are those of the README's data flow."""

import ast
import subprocess
import sys
from pathlib import Path

from conftest import ROOT

BASE = {"errors", "config", "files", "order", "rows"}
LEARN = BASE | {"store", "counts", "night", "model", "signals", "blend", "rank", "page"}
# Who may import whom. `page` calls `blend` for the scores it ranks, and serving both,
# so that one function makes the score of a night and of a request.
ALLOWED = {
    "errors": set(),
    "files": {"errors", "kernels"},
    "privacy": BASE | {"publishing", "store"},
    "order": set(),
    "later": set(),
    "rows": set(),
    "pseudonym": {"errors"},
    "erasure": BASE | {"kept"},
    "config": {"errors"},
    "ingest": BASE,
    "schema": set(),
    "columns": BASE,
    "kept": set(),
    "bulk": set(),
    "ids": {"bulk"},
    "click_table": BASE | {"bulk", "columns", "kept"},
    "store": BASE | {"click_table", "schema", "erasure", "ids", "kept"},
    "signals": BASE | {"kernels", "later"},
    "blend": BASE | {"kernels"},
    "rank": BASE | {"blend"},
    "kernels": set(),
    "page": BASE | {"blend", "kernels"},
    "known": set(),
    "snapshot": BASE | {"blend", "known", "rank", "page"},
    "load": BASE | {"ingest", "pseudonym", "store"},
    "answer": {"explain"},
    "served": BASE
    | {"answer", "blend", "explain", "known", "page", "publishing", "readers", "snapshot"},
    "serving": BASE
    | {"answer", "blend", "explain", "rank", "page", "served", "snapshot"}
    | {"known", "publishing"},
    "counts": BASE | {"kernels", "rank", "signals"},
    "night": BASE | {"kernels", "store", "counts", "signals"},
    "readers": BASE | {"blend", "kernels", "page", "rank"},
    "carry": BASE | {"night", "signals", "blend", "snapshot"},
    "refresh": LEARN | {"carry", "publishing", "readers", "snapshot"},
    "model": BASE
    | {"carry", "store", "counts", "night", "signals", "blend", "rank", "page", "snapshot"}
    | {"known", "texts"},
    "texts": BASE | {"carry", "night", "signals", "store"},
    "learn": LEARN | {"metrics"},
    "shards": LEARN | {"learn", "readers"},
    "checks": BASE | {"blend", "page"},
    "publishing": BASE | {"page", "snapshot"},
    "diff": BASE | {"page", "publishing", "snapshot"},
    "nightly": LEARN
    | {"checks", "learn", "publishing", "readers", "refresh", "shards", "snapshot", "texts"},
    "evaluation": LEARN | {"learn", "metrics"},
    "metrics": set(),
    "export": {"publishing", "serving", "snapshot"},
    "__init__": {"answer", "errors", "pseudonym", "serving"},
    "explain": BASE | {"blend", "known", "page"},
    "rulebook": BASE | {"page", "publishing", "store"},
    "preview": BASE | {"serving"},
    "cli_options": {"pseudonym"},
    "editor_cli": BASE
    | {"cli_options", "page", "preview", "rulebook", "serving", "snapshot", "store"},
    "operator_cli": BASE | {"cli_options", "diff", "nightly", "privacy", "publishing", "store"},
    "cli": BASE
    | {
        "answer",
        "operator_cli",
        "publishing",
        "cli_options",
        "editor_cli",
        "ingest",
        "load",
        "store",
        "learn",
        "nightly",
        "serving",
        "snapshot",
        "evaluation",
        "export",
        "metrics",
    },
}


def imported(path: Path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "recsys":
            # Metrics are arrays in, figures out: a room of their own in evaluation's folder.
            module = (node.module or "").replace("evaluation.metrics", "metrics")
            if module == "recsys.evaluation" and [n.name for n in node.names] == ["metrics"]:
                module = "recsys.metrics"
            rest = module.split(".")[1:]
            yield from [rest[0]] if rest else [name.name for name in node.names]


def test_rooms_import_in_one_direction():
    for path in sorted((ROOT / "recsys").rglob("*.py")):
        inside = path.relative_to(ROOT / "recsys")
        room = inside.parts[0].removesuffix(".py")
        room = "metrics" if inside.name == "metrics.py" else room
        for used in imported(path):
            assert used == room or used in ALLOWED[room], f"{inside} imports {used}"


def test_signals_do_not_know_each_other():
    for path in (ROOT / "recsys" / "signals").glob("*.py"):
        assert "recsys.signals" not in path.read_text("utf-8").replace('"""', ""), path


def test_no_room_has_outgrown_itself():
    for path in (ROOT / "recsys").rglob("*.py"):
        n_lines = len(path.read_text("utf-8").splitlines())
        assert n_lines <= 550, f"{path.name} has {n_lines} lines: two rooms?"


def test_nothing_that_runs_code_out_of_data_is_used():
    for path in sorted((ROOT / "recsys").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [getattr(a, "name", a) for a in getattr(node, "names", [])] + [
                getattr(node, "module", None), getattr(getattr(node, "func", None), "id", None)
            ]  # fmt: skip
            assert not {"pickle", "marshal", "shelve", "joblib", "eval", "exec"} & set(names), path


def test_what_nobody_asks_is_not_loaded_and_what_is_asked_is_itself():
    code = (
        "import sys; import recsys.signals.text; loaded = 'scipy.stats._stats_py' in sys.modules;"
        "import scipy.stats; from scipy.stats import norm; import scipy.stats.distributions;"
        "print(loaded, round(norm.cdf(0.0), 3), scipy.stats.norm is norm,"
        " sys.modules['scipy.stats'] is scipy.stats, scipy.stats.__file__ is not None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "0.5", "True", "True", "True"]
