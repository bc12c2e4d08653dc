"""What is no bug is one line and an exit status."""

import shutil
import subprocess

import pytest
from newsroom import BOTH, COMMAND, NIGHT, STORE, at, copied, environment, run

from recsys.cli.failures import error_text, status_of
from recsys.errors import HeldBackError, InputRefusedError, RecsysError, RunActiveError


def test_each_kind_of_error_has_its_status_and_a_bug_has_none():
    errors = [RecsysError("x"), OSError("x"), ImportError("x"), MemoryError()]
    assert [status_of(error) for error in errors] == [1, 1, 1, 1]
    assert status_of(InputRefusedError("p", "x")) == 2
    assert status_of(HeldBackError("r", ["x"])) == 3
    assert status_of(RunActiveError("x")) == 4
    assert status_of(KeyError("x")) is None
    assert error_text(MemoryError()) == "MemoryError"


def test_a_missing_libgomp_is_one_line_that_says_what_to_install(newsroom, tmp_path):
    here = copied(newsroom, tmp_path / "here")
    stub = tmp_path / "stub" / "implicit"
    stub.mkdir(parents=True)
    message = "libgomp.so.1: cannot open shared object file: No such file or directory"
    (stub / "__init__.py").write_text(f"raise ImportError({message!r})\n")
    env = environment()
    env["PYTHONPATH"] = f"{stub.parent}:{env.get('PYTHONPATH', '')}"
    done = run(here, *NIGHT, at(1), env=env)
    assert (done.status, done.said.splitlines()[-1]) == (
        1,
        "recsys: the system library libgomp.so.1 is missing, which implicit needs;"
        " install it (Debian: apt-get install libgomp1)",
    )
    assert run(here, "recommend", "--published", "p", env=env).status == 0


def may_mount():
    test = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    if shutil.which("unshare") is None:
        return False
    return subprocess.run(test, capture_output=True, check=False).returncode == 0


def run_read_only(folder, *line):
    read_only = 'mount --bind . . && mount -o remount,ro,bind . && cd . && exec "$@"'
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", f'cd "$PWD"; {read_only}', "sh", *COMMAND, *line],
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=120,
    )


@pytest.mark.skipif(not may_mount(), reason="no right to mount")
def test_a_file_on_a_read_only_disk_is_refused_before_the_work(newsroom):
    done = run_read_only(newsroom, "export", "--published", "p", "--to", "x.csv")
    assert done.returncode == 2
    assert "the folder . cannot be written" in done.stderr


@pytest.mark.skipif(not may_mount(), reason="no right to mount")
@pytest.mark.parametrize(
    ("line", "says"),
    [
        (("nightly", *BOTH), "s.db: cannot be opened as a store"),
        (("ingest", "later.articles.jsonl", "--store", "new.db"), "Read-only file system"),
        (("store", "vacuum", *STORE), "its disk or folder cannot be written"),
        (("rollback", "--published", "p"), "Read-only file system"),
    ],
)
def test_a_read_only_disk_is_one_line(newsroom, line, says):
    done = run_read_only(newsroom, *line)
    assert done.returncode == 1
    assert says in done.stderr
    assert len([text for text in done.stderr.splitlines() if "recsys: " in text]) == 1
    assert "Traceback" not in done.stderr
