"""Imports point one way, as the arrows of the README's data flow; tests follow the modules."""

import ast
import subprocess
import sys
from pathlib import Path

from conftest import ROOT

from recsys.nightly.run_report import peak_memory_mb

# From top to bottom: a folder imports only what its row names, and all of that is below it.
SINGLE_FILES = {
    "blas",
    "checked",
    "config",
    "config_file",
    "errors",
    "files",
    "ids",
    "pseudonym",
    "rows",
    "sorted_ints",
    "words",
}

MAY_IMPORT = {
    "cli": {"evaluation", "ingest", "learn", "metrics", "nightly", "operations", "page"}
    | {"published", "serving", "store"},
    "nightly": {"blend", "learn", "page", "published", "signals", "store", "training"},
    "evaluation": {"blend", "learn", "metrics", "page", "signals", "store", "training"},
    "learn": {"blend", "metrics", "page", "signals", "store", "training"},
    "operations": {"blend", "page", "published", "serving", "store"},
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
    "config": {"checked", "errors", "rows"},
    "config_file": {"checked", "config", "errors"},
    "errors": set(),
    "files": {"errors", "kernels"},
    "ids": set(),
    "pseudonym": {"errors", "ids"},
    "rows": set(),
    "sorted_ints": set(),
    "words": set(),
}


# Test files that go through several modules; every other one has the name of its module.
TESTS_OF_SEVERAL_MODULES = {"anonymous", "documents", "end_to_end", "english", "extension"}
TESTS_OF_SEVERAL_MODULES |= {"ingest", "layers", "package", "store", "withheld"}


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
            f"{signals}.{name}" for name in ("event_features", "popularity", "timeline")
        },
        "static_signals.py": {f"{signals}.event_counts", f"{signals}.recency"},
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
    monkeypatch.setitem(sys.modules, "resource", None)
    assert peak_memory_mb() == 0


def test_each_test_file_has_the_name_of_its_module():
    package = ROOT / "recsys"
    modules = {
        "_".join(path.relative_to(package).with_suffix("").parts) for path in package.rglob("*.py")
    }
    names = {path.stem.removeprefix("test_") for path in (ROOT / "tests").glob("test_*.py")}
    assert names - modules == TESTS_OF_SEVERAL_MODULES
