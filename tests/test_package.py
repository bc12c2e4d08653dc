"""What an installed recsys is: its version, command and types, and its wheels for four machines."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile

import pytest
from conftest import ROOT

import recsys

PACKED = ("recsys", "data/sample", "data/sample.json", "hatch_build.py", "pyproject.toml")
PACKED += ("README.md", "LICENSE", "requirements")
# RECSYS_TARGET: the wheel's tag, and the machine that an ELF file names at byte 18.
WHEELS = {
    "x86_64-linux-gnu.2.17": ("manylinux_2_17_x86_64", 62),
    "aarch64-linux-gnu.2.17": ("manylinux_2_17_aarch64", 183),
    "x86_64-linux-musl": ("musllinux_1_2_x86_64", 62),
    "aarch64-linux-musl": ("musllinux_1_2_aarch64", 183),
}
CONSUMER = """
import recsys

page = recsys.recommend("u0007", "a0030", n=3)
reveal_type(page)
reveal_type(page["must_reads"][0].published_at)
reveal_type(page.as_dict()["lists"]["must_reads"][0]["reading_minutes"])
recsys.recommend(n="three")
"""


def run(*arguments, cwd=None, status=0, **options):
    done = subprocess.run(
        list(map(str, arguments)), cwd=cwd, capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def built_wheel(folder, target):
    """Copy into a folder what a wheel is made of, and return the wheel of a target."""
    for name in PACKED:
        source, copy = ROOT / name, folder / name
        if source.is_dir():
            shutil.copytree(source, copy, ignore=shutil.ignore_patterns("*.so", "*.pyc"))
        else:
            shutil.copy(source, copy)
    command = (sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "out")
    run(*command, cwd=folder, env=os.environ | {"RECSYS_TARGET": target})
    (wheel,) = (folder / "out").iterdir()
    return wheel


@pytest.fixture(scope="session")
def wheel_for(tmp_path_factory):
    """Return a function that builds the wheel of a target, once, in a copy of the checkout."""
    pytest.importorskip("hatchling")
    pytest.importorskip("ziglang")
    built = {}

    def build(target):
        if target not in built:
            built[target] = built_wheel(tmp_path_factory.mktemp("build"), target)
        return built[target]

    return build


def test_the_version_is_that_of_the_newest_changes():
    changes = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert re.findall(r"^## (\S+)", changes, re.MULTILINE)[0] == recsys.__version__


def test_python_m_recsys_is_the_command():
    assert "nightly" in run(sys.executable, "-m", "recsys", "--help")


@pytest.mark.long
@pytest.mark.parametrize("target", WHEELS)
def test_a_wheel_holds_a_library_of_the_machine_and_libc_of_its_tag(wheel_for, target):
    pytest.importorskip("auditwheel")
    tag, machine = WHEELS[target]
    wheel = wheel_for(target)
    assert wheel.name == f"recsys-{recsys.__version__}-py3-none-{tag}.whl"
    with zipfile.ZipFile(wheel) as packed:
        library = packed.read("recsys/kernels/libkernels.so")
        assert "recsys/py.typed" in packed.namelist()
        assert "recsys/sample/articles.jsonl" in packed.namelist()
        assert "recsys/page/locale/ko/LC_MESSAGES/recsys.mo" in packed.namelist()
    assert library[:4] == b"\x7fELF"
    assert int.from_bytes(library[18:20], "little") == machine
    if tag.startswith("musllinux"):  # auditwheel judges these on a system with musl only
        assert b"\0libc.so\0" in library
        assert b"GLIBC" not in library
    else:
        shown = run(sys.executable, "-m", "auditwheel", "show", wheel)
        assert f'platform tag: "{tag}"' in " ".join(shown.split())


@pytest.mark.long
def test_a_wheel_holds_its_bill_of_materials(wheel_for):
    with zipfile.ZipFile(wheel_for("x86_64-linux-gnu.2.17")) as packed:
        (name,) = [path for path in packed.namelist() if "/sboms/" in path]
        bill = json.loads(packed.read(name))
        library = packed.read("recsys/kernels/libkernels.so")
    assert name == f"recsys-{recsys.__version__}.dist-info/sboms/recsys.cdx.json"
    about = bill["metadata"]["component"]
    assert about["version"] == recsys.__version__
    assert about["components"][0]["hashes"][0]["content"] == hashlib.sha256(library).hexdigest()


@pytest.mark.long
def test_the_same_sources_give_the_same_wheel_in_any_folder(wheel_for, tmp_path):
    target = "x86_64-linux-gnu.2.17"
    again = built_wheel(tmp_path, target)
    assert again.read_bytes() == wheel_for(target).read_bytes()


@pytest.mark.long
def test_an_unknown_target_is_refused(tmp_path):
    pytest.importorskip("hatchling")
    done = subprocess.run(
        [sys.executable, "-c", "from hatch_build import chosen_target; chosen_target()"],
        cwd=ROOT,
        env=os.environ | {"RECSYS_TARGET": "sparc"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "RECSYS_TARGET must be one of x86_64-linux-gnu.2.17" in done.stderr


@pytest.mark.long
def test_mypy_sees_the_types_of_an_installed_wheel(wheel_for, tmp_path):
    pytest.importorskip("mypy")
    wheel = wheel_for("x86_64-linux-gnu.2.17")
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python)
    run(*pip, "install", "--no-deps", "--no-index", wheel)
    (tmp_path / "consumer.py").write_text(CONSUMER)
    mypy = (sys.executable, "-m", "mypy", "--strict", "--python-executable", python)
    said = run(*mypy, "consumer.py", cwd=tmp_path, status=1)
    assert 'Revealed type is "recsys.serving.responses.Page"' in said
    assert 'Revealed type is "datetime.datetime | None"' in said
    assert 'Revealed type is "float | None"' in said
    assert 'Argument "n" to "recommend" has incompatible type "str"' in said
    assert "Found 1 error in 1 file" in said
