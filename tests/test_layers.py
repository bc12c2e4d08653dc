"""Imports point one way, as the arrows of the README's data flow; tests follow the modules."""

import ast
import importlib
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from conftest import ROOT

from recsys.nightly import run_report
from recsys.nightly.run_report import peak_memory_mb

# From top to bottom: a folder imports only what its row names, and all of that is below it.
SINGLE_FILES = {
    "blas",
    "checked",
    "computed_once",
    "config",
    "config_file",
    "config_page",
    "config_types",
    "errors",
    "files",
    "id_search",
    "ids",
    "keys",
    "languages",
    "pseudonym",
    "rows",
    "sorted_ints",
    "matrices",
    "steps",
    "words",
}

MAY_IMPORT = {
    "cli": {"evaluation", "ingest", "learn", "metrics", "nightly", "operations", "page"}
    | {"published", "serving", "store"},
    "nightly": {"blend", "learn", "page", "published", "signals", "store", "training"},
    "evaluation": {"blend", "learn", "metrics", "page", "signals", "store", "training"},
    "learn": {"blend", "metrics", "page", "signals", "store", "training"},
    "operations": {"blend", "ingest", "page", "published", "serving", "store"},
    "training": {"blend", "kernels", "page", "published", "signals", "store"},
    "serving": {"blend", "page", "published"},
    "published": {"blend", "kernels", "page", "signals"},
    "ingest": {"store"},
    "page": {"blend", "kernels"},
    "store": set(),
    "blend": {"kernels", "signals"},
    "signals": {"kernels"},
    "metrics": set(),
    "kernels": set(),
}

# The single files at the bottom, and what they import of each other and of the kernels.
OF_SINGLE_FILES = {
    "blas": set(),
    "checked": set(),
    "computed_once": set(),
    "config": {"checked", "config_page", "config_types", "errors", "rows"},
    "config_file": {"checked", "config", "config_types", "errors"},
    "config_page": {"config_types", "errors", "languages"},
    "config_types": {"checked", "errors"},
    "errors": set(),
    "files": {"errors", "kernels"},
    "id_search": set(),
    "ids": set(),
    "keys": {"errors"},
    "languages": set(),
    "pseudonym": {"ids", "keys"},
    "rows": set(),
    "sorted_ints": set(),
    "steps": set(),
    "words": set(),
}


# Test files that go through several modules; every other one has the name of its module.
TESTS_OF_SEVERAL_MODULES = {"anonymous", "crowds", "deploy", "documents", "end_to_end", "english"}
TESTS_OF_SEVERAL_MODULES |= {"extension", "ingest", "layers", "package", "statements", "store"}
TESTS_OF_SEVERAL_MODULES |= {"supply_chain", "withheld"}


def imported(path: Path):
    """Return the folders and single files of the package that a file imports."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "recsys":
            rest = (node.module or "").split(".")[1:]
            yield from [rest[0]] if rest else [name.name for name in node.names]


def test_folders_import_downwards_only():
    allowed = {name: used | SINGLE_FILES for name, used in MAY_IMPORT.items()}
    allowed |= OF_SINGLE_FILES | {
        "__init__": {"errors", "pseudonym", "serving"},
        "__main__": {"cli"},
    }
    for path in sorted((ROOT / "recsys").rglob("*.py")):
        inside = path.relative_to(ROOT / "recsys")
        folder = inside.parts[0].removesuffix(".py")
        for used in imported(path):
            assert used == folder or used in allowed[folder], f"{inside} imports {used}"


def test_each_folder_stands_above_all_that_it_may_import():
    order = list(MAY_IMPORT)
    for at, (folder, used) in enumerate(MAY_IMPORT.items()):
        assert used <= set(order[at + 1 :]), folder


def test_signals_do_not_know_each_other():
    # Counting events needs the timeline and what a count is worth; the table of static signals
    # and the features of the ranking head are made of counts. A signal needs no other.
    signals = "recsys.signals"
    allowed = {
        "event_counts.py": {
            f"{signals}.{name}"
            for name in ("event_features", "newcomers", "popularity", "timeline")
        },
        "newcomers.py": {f"{signals}.timeline"},
        "static_signals.py": {
            signals,
            *(f"{signals}.{name}" for name in ("event_counts", "forecast", "recency")),
        },
        "forecast.py": {f"{signals}.event_features"},
        "own_tables.py": {f"{signals}.own_signals"},
    }
    for path in (ROOT / "recsys" / "signals").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
                "recsys.signals"
            ):
                assert node.module in allowed.get(path.name, set()), path


def test_no_file_has_outgrown_itself():
    for path in (ROOT / "recsys").rglob("*.py"):
        n_lines = len(path.read_text("utf-8").splitlines())
        assert n_lines <= 550, f"{path.name} has {n_lines} lines: two files?"


def test_what_serves_pages_holds_no_lock_while_it_computes_a_property():
    # `functools.cached_property` holds one before Python 3.12: see recsys/computed_once.py.
    for folder in ("blend", "kernels", "page", "published", "serving"):
        for path in (ROOT / "recsys" / folder).rglob("*.py"):
            assert "cached_property" not in path.read_text("utf-8"), path


def test_the_only_locks_of_threads_are_those_that_a_fork_knows():
    for path in (ROOT / "recsys").rglob("*.py"):
        if path.name != "connections.py":
            names = {node.attr for node in nodes(path, ast.Attribute)}
            names |= {name.name for node in nodes(path, ast.ImportFrom) for name in node.names}
            assert not names & {"Lock", "RLock", "Condition", "Semaphore", "Event"}, path


def nodes(path: Path, kind: type):
    """Return all nodes of a kind of a file."""
    return [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, kind)]


def test_nothing_that_runs_code_out_of_data_is_used():
    for path in sorted((ROOT / "recsys").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [getattr(a, "name", a) for a in getattr(node, "names", [])] + [
                getattr(node, "module", None),
                getattr(getattr(node, "func", None), "id", None),
            ]
            assert not {"pickle", "marshal", "shelve", "joblib", "eval", "exec"} & set(names), path


def test_importing_the_package_loads_no_training_library():
    code = (
        "import sys, recsys; "
        "bad = {'sklearn', 'implicit', 'polars', 'trafilatura'} & set(sys.modules); "
        "sys.exit(','.join(sorted(bad)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_package_imports_no_module_that_only_unix_has(monkeypatch):
    only_unix = {"fcntl", "resource", "pwd", "grp", "termios", "pty"}
    for path in sorted((ROOT / "recsys").rglob("*.py")):
        for node in ast.parse(path.read_text("utf-8")).body:  # at the top level
            names = {alias.name for alias in getattr(node, "names", [])}
            assert not only_unix & (names | {getattr(node, "module", None)}), path
    monkeypatch.setattr(run_report, "LINUX_STATUS", ROOT / "no such file")
    monkeypatch.setitem(sys.modules, "resource", None)
    assert peak_memory_mb() == 0


def test_scripts_import_names_that_exist():
    for path in sorted((ROOT / "scripts").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "recsys":
                module = importlib.import_module(node.module)
                for name in (alias.name for alias in node.names):
                    is_there = hasattr(module, name) or (
                        hasattr(module, "__path__") and find_spec(f"{node.module}.{name}")
                    )
                    assert is_there, f"{path}: {node.module} has no {name}"


def test_each_test_file_has_the_name_of_its_module():
    package = ROOT / "recsys"
    modules = {
        "_".join(path.relative_to(package).with_suffix("").parts) for path in package.rglob("*.py")
    }
    names = {path.stem.removeprefix("test_") for path in (ROOT / "tests").glob("test_*.py")}
    assert names - modules == TESTS_OF_SEVERAL_MODULES
