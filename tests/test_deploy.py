"""The files of docs/deploy: the units are valid, and the image's commands run as it runs them."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, SAMPLE

DEPLOY = ROOT / "docs" / "deploy"
SERVICES = sorted(path.name for path in DEPLOY.glob("*.service"))
SERVER = "/srv/news"


def instructions():
    """Return the instructions of the last stage of the Dockerfile."""
    text = (DEPLOY / "Dockerfile").read_text("utf-8")
    lines = [line.partition(" ") for line in text.splitlines() if line and line[0] != "#"]
    found = [(word, rest) for word, _, rest in lines]
    last = max(i for i, (word, _) in enumerate(found) if word == "FROM")
    return found[last:]


def environment_of_image():
    (given,) = [rest for word, rest in instructions() if word == "ENV"]
    return dict(pair.split("=", 1) for pair in shlex.split(given))


def test_the_image_is_slim_has_libgomp_and_no_root():
    by_word = {word: rest for word, rest in instructions() if word != "RUN"}
    assert re.fullmatch(r"python:3\.\d+-slim", by_word["FROM"])
    assert by_word["USER"] == "1000:1000"
    assert by_word["ENTRYPOINT"] == '["recsys"]'
    assert by_word["WORKDIR"] == by_word["VOLUME"] == SERVER
    assert any("libgomp1" in rest for word, rest in instructions() if word == "RUN")


def may_mount():
    test = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    if shutil.which("unshare") is None or shutil.which("setpriv") is None:
        return False
    return subprocess.run(test, capture_output=True, check=False).returncode == 0


# All file systems but one folder are read-only, and the user is not root, as in the image.
CONTAINED = r"""
set -e
mount --make-rprivate /
mount -t tmpfs none /srv
mkdir -p /srv/news/incoming /srv/tmp
cp {sample}/* /srv/news/incoming
chown -R 1000:1000 /srv
for folder in $(findmnt --noheadings --list --output TARGET); do
  case $folder in /srv|/proc*|/sys*|/dev*) ;; *) mount -o remount,ro,bind "$folder" ;; esac
done
cd /srv/news
exec setpriv --reuid 1000 --regid 1000 --clear-groups --inh-caps +dac_read_search \
  --ambient-caps +dac_read_search bash -e {script}
"""


@pytest.mark.slow
@pytest.mark.skipif(not may_mount(), reason="no right to mount")
def test_the_commands_of_the_image_run_without_root_on_a_read_only_disk(tmp_path):
    manual = (ROOT / "docs" / "operations.md").read_text("utf-8")
    commands = re.findall(r"^docker run .* recsys (.+)$", manual, re.MULTILINE)
    assert [shlex.split(line)[0] for line in commands] == ["ingest", "nightly", "health"]
    at = ["", " --as-of 2026-03-02T06:00:00Z", " --as-of 2026-03-02T07:00:00Z"]
    lines = [f"{sys.executable} -m recsys {c}{more}" for c, more in zip(commands, at, strict=True)]
    lines += [f"if touch {ROOT}/written 2>/dev/null; then exit 9; fi", "id -u"]
    script = tmp_path / "script"
    script.write_text("\n".join(lines) + "\n")
    done = subprocess.run(
        ["unshare", "--mount", "bash", "-c", CONTAINED.format(sample=SAMPLE, script=script)],
        env=os.environ | environment_of_image() | {"TMPDIR": "/srv/tmp"},
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "published 000001-20260302T060000Z" in done.stdout
    assert done.stdout.endswith("\n1000\n")
    assert '"step": "publish"' in done.stderr  # the log, as JSON


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd")
def test_systemd_finds_no_mistake_in_the_units(tmp_path):
    for path in DEPLOY.glob("recsys-*"):
        text = path.read_text("utf-8").replace(f"{SERVER}/venv/bin/recsys", "/bin/true")
        (tmp_path / path.name).write_text(text.replace("User=news", "User=root"))
    units = sorted(map(str, tmp_path.iterdir()))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units],
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", SERVICES)
def test_the_command_of_a_unit_runs_where_the_unit_says(name, newsroom, tmp_path):
    text = (DEPLOY / name).read_text("utf-8")
    assert (DEPLOY / name).with_suffix(".timer").exists()
    settings = dict(re.findall(r"^(\w+)=(.+)$", text, re.MULTILINE))
    assert settings["WorkingDirectory"] == settings["ReadWritePaths"] == SERVER
    here = Path(shutil.copytree(newsroom, tmp_path / "news"))
    shutil.copytree(SAMPLE, here / "incoming")
    (here / "s.db").rename(here / "recsys.db")
    (here / "p").rename(here / "published")
    values = dict(pair.split("=", 1) for pair in settings["Environment"].split())
    program, *arguments = shlex.split(settings["ExecStart"])
    assert program == f"{SERVER}/venv/bin/recsys"
    at = ["--as-of", "2026-03-02T07:00:00Z"] if arguments[0] != "ingest" else []
    done = subprocess.run(
        [sys.executable, "-m", "recsys", *arguments, *at],
        cwd=here,
        env=os.environ | {key: value.replace(SERVER, str(here)) for key, value in values.items()},
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
