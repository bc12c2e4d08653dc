"""Files written whole, and locks."""

import os
import signal
import stat
import subprocess
import sys

import pytest

from recsys import files
from recsys.errors import RunActiveError
from recsys.files import (
    atomic_replacement,
    create_folder,
    create_private_file,
    is_locked,
    locked,
    version_of,
    write_text,
)


def test_a_file_is_replaced_only_when_it_is_written_whole(tmp_path):
    path = tmp_path / "file"
    write_text(path, "old")
    with pytest.raises(RuntimeError), atomic_replacement(path) as partial:
        raise RuntimeError(partial.write_text("half"))
    assert path.read_text() == "old"
    assert [*tmp_path.iterdir()] == [path]  # what was written may name users
    write_text(path, "new")
    assert path.read_text() == "new"
    assert version_of(path) is not None
    assert version_of(tmp_path / "absent") is None


def test_a_file_is_on_the_disk_before_its_name_and_its_name_at_the_end(tmp_path, monkeypatch):
    done, replace = [], os.replace

    def recorded(before, after):
        done.append(("rename", before.name, after.name))
        replace(before, after)

    monkeypatch.setattr(files, "fsync_path", lambda path: done.append(("sync", path.name)))
    monkeypatch.setattr(os, "replace", recorded)
    write_text(tmp_path / "file", "new")
    assert done == [
        ("sync", ".file.partial"),
        ("rename", ".file.partial", "file"),
        ("sync", tmp_path.name),
    ]
    done.clear()
    create_folder(tmp_path / "a" / "b")
    # The name of the folder that was there too: a process that made it may have been killed.
    assert done == [("sync", tmp_path.parent.name), ("sync", tmp_path.name), ("sync", "a")]
    assert (tmp_path / "a" / "b").is_dir()
    done.clear()
    create_folder(tmp_path / "a" / "b")
    assert done == [("sync", "a")]
    with pytest.raises(FileExistsError):
        create_folder(tmp_path / "file")


def test_a_private_file_is_the_owners_and_an_old_one_stays(tmp_path):
    path = tmp_path / "file"
    create_private_file(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_text("content")
    create_private_file(path)
    assert path.read_text() == "content"


def test_a_folder_is_locked_by_one_holder_until_it_lets_go(tmp_path):
    with locked(tmp_path):
        with pytest.raises(RunActiveError, match="another run is active here; wait"):
            with locked(tmp_path):
                pass
        with pytest.raises(RunActiveError), locked(tmp_path):
            pass
    with pytest.raises(RuntimeError), locked(tmp_path):
        raise RuntimeError
    with locked(tmp_path):
        pass


def test_a_lock_goes_with_the_process_that_held_it(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from recsys.files import locked\n"
        "with locked(Path(sys.argv[1])):\n    print('held', flush=True); time.sleep(600)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RunActiveError), locked(tmp_path):
            pass
    finally:
        os.kill(holder.pid, signal.SIGKILL)
        holder.communicate()
    with locked(tmp_path):
        pass


def test_a_folder_is_locked_while_another_holds_it(tmp_path):
    assert not is_locked(tmp_path)  # no run was ever here
    with locked(tmp_path):
        assert is_locked(tmp_path)
    assert not is_locked(tmp_path)
