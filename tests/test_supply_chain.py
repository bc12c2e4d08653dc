"""What is installed and built: pins, hashes, licences, and the bill of materials of a wheel."""

import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from importlib import metadata

import pytest
from conftest import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

FOLDER = ROOT / "requirements"
FILES = ("runtime", "build", "ci")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
# Licences that ask no more than that a text is kept, and for MPL that changed files of the package
# stay open; CNRI-Python and PSF-2.0 are those of Python itself.
ALLOWED = {"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "CNRI-Python", "ISC"}
ALLOWED |= {"MIT", "MIT-0", "MIT-CMU", "MPL-1.1", "MPL-2.0", "PSF-2.0", "Unlicense", "Zlib"}
VERSION = "1.2.3"


def module(path):
    """Return a module out of a file that is in no package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def pins_of(name):
    """Return the requirement and the hashes of each package of a file of requirements."""
    text = (FOLDER / f"{name}.txt").read_text("utf-8")
    lines = re.sub(r"\\\n", " ", text).splitlines()
    found = {}
    for line in lines:
        if line and not line.lstrip().startswith("#"):
            requirement, *hashes = line.split(" --hash=")
            pin = Requirement(requirement)
            assert pin.name not in found, line
            found[pin.name] = (pin, [part.strip() for part in hashes])
    return found


def versions_of(name):
    return {project: str(pin.specifier) for project, (pin, _) in pins_of(name).items()}


def needs(name):
    """Return what a package requires: recsys by pyproject.toml, others by what is installed."""
    if name == "recsys":
        extras = PROJECT["project"]["optional-dependencies"]
        of_extras = [f'{text}; extra == "{key}"' for key in extras for text in extras[key]]
        return [*PROJECT["project"]["dependencies"], *of_extras]
    try:
        return metadata.requires(name) or []
    except metadata.PackageNotFoundError:  # only some of the tools are installed
        return []


def direct(name, extra=""):
    """Return the requirements of a package, or of an extra of it, that hold for this Python."""
    wanted = map(Requirement, needs(name))
    return [one for one in wanted if one.marker is None or one.marker.evaluate({"extra": extra})]


def closure(*texts):
    """Return the names of all that is required, directly or not."""
    found, todo = set(), [Requirement(text) for text in texts]
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        for extra in {"", *requirement.extras} - {done for at, done in found if at == name}:
            found.add((name, extra))
            todo += direct(name, extra)
    return {name for name, _ in found} - {"recsys"}


def group(name):
    """Return the requirements of a dependency group of pyproject.toml."""
    given = PROJECT["dependency-groups"][name]
    inner = [text for one in given if isinstance(one, dict) for text in group(one["include-group"])]
    return [*inner, *(one for one in given if isinstance(one, str))]


def bill(root=ROOT, version=VERSION):
    pytest.importorskip("hatchling")
    library = root / "recsys" / "kernels" / "libkernels.so"
    return module(ROOT / "hatch_build.py").bill_of_materials(root, version=version, library=library)


@pytest.fixture
def checkout(tmp_path):
    """Return a folder with a library of the three bytes "abc" and two pins."""
    for folder in ("requirements", "recsys/kernels"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "recsys/kernels/libkernels.so").write_bytes(b"abc")
    one, two, three = ("".join(digit * 64) for digit in "123")
    (tmp_path / "requirements/runtime.txt").write_text(
        f"# Written.\nleaf==2.0 ; python_version < '4' \\\n    --hash=sha256:{one}\n"
        f"    # via tree\ntree==1.5.0 \\\n    --hash=sha256:{two} \\\n    --hash=sha256:{three}\n"
        "    # via recsys (pyproject.toml)\n"
    )
    (tmp_path / "requirements/build.txt").write_text(
        f"leaf==2.0 \\\n    --hash=sha256:{one}\n    # via maker\n"
        f"maker==7 \\\n    --hash=sha256:{one}\n    # via recsys (pyproject.toml:build)\n"
    )
    (tmp_path / "requirements/licences.toml").write_text(
        '[runtime]\nleaf = "MIT OR Apache-2.0"\ntree = "MIT"\n[build]\nmaker = "ISC"\n[ci]\n'
    )
    return tmp_path


@pytest.mark.parametrize("name", FILES)
def test_each_requirement_has_one_version_and_a_hash_for_each_file(name):
    for pin, hashes in pins_of(name).values():
        assert [one.operator for one in pin.specifier] == ["=="], pin
        assert pin.url is None, pin
        assert hashes, pin
        assert all(re.fullmatch("sha256:[0-9a-f]{64}", one) for one in hashes), pin


def test_no_pin_names_an_address_or_a_folder():
    for path in [ROOT / "constraints.txt", *FOLDER.iterdir()]:
        text = path.read_text("utf-8")
        assert "://" not in text, path
        assert not re.search(r"^ *-(?!-hash=sha256:)", text, re.MULTILINE), path


def test_constraints_are_the_versions_of_what_has_hashes():
    constraints = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    given = versions_of("ci")
    assert constraints == [name + pin for name, pin in sorted(given.items())]
    assert versions_of("runtime").items() <= given.items()
    assert versions_of("build").items() <= given.items()


def test_what_has_hashes_is_all_that_the_packages_say_they_need():
    # uv resolved for all Pythons, so another Python may need less, and none may need more.
    assert closure("recsys") <= versions_of("runtime").keys()
    assert closure(*PROJECT["build-system"]["requires"]) == versions_of("build").keys()
    assert closure("recsys[test]", *group("dev"), *group("docs")) <= versions_of("ci").keys()
    if sys.version_info[:2] == (3, 11):
        assert closure("recsys") == versions_of("runtime").keys()


def test_an_isolated_build_takes_the_pinned_requirements_too():
    requires = PROJECT["build-system"]["requires"]
    assert sorted(requires) == sorted(name + pin for name, pin in versions_of("build").items())
    assert set(group("build")) <= set(requires)


def test_ci_and_the_image_install_by_hash_or_what_they_built():
    for path in (ROOT / ".ci" / "run", ROOT / "docs" / "deploy" / "Dockerfile"):
        text = path.read_text("utf-8")
        commands = re.findall(r"pip\"? (?:install|wheel|download) .*", text)
        assert len(commands) >= 4, path
        for command in commands:
            assert ("--require-hashes" in command) != ("--no-index" in command), command
            for named in re.findall(r"requirements/(\w+)\.txt", command):
                assert named in FILES, command


def test_each_licence_is_listed_and_allowed():
    tables = tomllib.loads((FOLDER / "licences.toml").read_text("utf-8"))
    runtime, build, ci = (versions_of(name).keys() for name in FILES)
    assert tables["runtime"].keys() == runtime
    assert tables["build"].keys() == build - runtime
    assert tables["ci"].keys() == ci - runtime - build
    for name, expression in (pair for table in tables.values() for pair in table.items()):
        # One of the choices, with all of its parts; brackets and exceptions are for people to read.
        choices = [set(choice.split(" AND ")) for choice in expression.split(" OR ")]
        assert any(choice <= ALLOWED for choice in choices), f"{name}: {expression}"


def test_licences_are_those_that_the_installed_packages_declare():
    write_pins = module(ROOT / "scripts" / "write_pins.py")
    tables = tomllib.loads((FOLDER / "licences.toml").read_text("utf-8"))
    listed = tables["runtime"] | tables["build"] | tables["ci"]
    compared = 0
    for name, pin in versions_of("ci").items():
        try:
            package = metadata.distribution(name)
        except metadata.PackageNotFoundError:  # only some of the tools are installed
            continue
        if f"=={package.version}" == pin:
            assert write_pins.licence(package) == listed[name], name
            compared += 1
    assert compared > 0


@pytest.mark.parametrize(
    ("name", "lines", "expected"),
    [
        ("a", ["License-Expression: mit or apache-2.0", "License: BSD"], "MIT OR Apache-2.0"),
        ("a", ["License: BSD-3-Clause", "Classifier: License :: X :: MIT License"], "BSD-3-Clause"),
        ("a", ["License: The MIT", "Classifier: License :: X :: MIT License"], "MIT"),
        ("Jinja2", ["Classifier: License :: OSI Approved :: BSD License"], "BSD-3-Clause"),
        ("a", ["Classifier: License :: OSI Approved :: BSD License"], None),
        ("a", [], None),
    ],
)
def test_a_licence_is_read_in_the_metadata_or_by_hand(name, lines, expected, tmp_path):
    write_pins = module(ROOT / "scripts" / "write_pins.py")
    info = tmp_path / "a-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("\n".join([f"Name: {name}", "Version: 1", *lines, "", ""]))
    package = metadata.Distribution.at(info)
    if expected is None:
        with pytest.raises(ValueError, match="a 1 does not say its licence in SPDX: read"):
            write_pins.licence(package)
    else:
        assert write_pins.licence(package) == expected


def test_the_bill_has_pins_hashes_licences_and_who_needs_what(checkout):
    made = bill(checkout)
    about = made["metadata"]["component"]
    assert (about["name"], about["version"], about["licenses"]) == (
        "recsys",
        VERSION,
        [{"expression": PROJECT["project"]["license"]}],
    )
    (library,) = about["components"]
    assert library["name"] == "recsys/kernels/libkernels.so"
    # FIPS 180-2, appendix B.1: the SHA-256 of "abc".
    assert library["hashes"][0]["content"].startswith("ba7816bf8f01cfea414140de5dae2223b00361a3")
    leaf, maker, tree = made["components"]
    assert [c["scope"] for c in (leaf, maker, tree)] == ["required", "excluded", "required"]
    assert [c["purl"] for c in (leaf, tree)] == ["pkg:pypi/leaf@2.0", "pkg:pypi/tree@1.5.0"]
    assert leaf["licenses"] == [{"expression": "MIT OR Apache-2.0"}]
    hashes = tree["externalReferences"][0]["hashes"]
    assert [(one["alg"], one["content"][0]) for one in hashes] == [("SHA-256", d) for d in "23"]
    assert {row["ref"]: row["dependsOn"] for row in made["dependencies"]} == {
        "leaf": [],
        "maker": ["leaf"],
        "recsys": ["tree"],
        "tree": ["leaf"],
    }


def test_the_bill_has_a_time_only_if_one_is_given(checkout, monkeypatch):
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    assert "timestamp" not in bill(checkout)["metadata"]
    assert "serialNumber" not in bill(checkout)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert bill(checkout)["metadata"]["timestamp"] == "1970-01-02T00:00:00+00:00"


def test_the_bill_of_this_checkout_keeps_to_the_schema_of_cyclonedx(monkeypatch):
    pytest.importorskip("jsonschema")
    validation = pytest.importorskip("cyclonedx.validation.json")
    schema = pytest.importorskip("cyclonedx.schema")
    validator = validation.JsonStrictValidator(schema.SchemaVersion.V1_6)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1764000000")
    made = bill()
    assert validator.validate_str(json.dumps(made)) is None
    assert validator.validate_str(json.dumps(made | {"components": [{"name": "a"}]})) is not None


def test_the_bill_of_this_checkout_says_what_the_packages_say():
    made = bill()
    pins = {c["name"]: f"=={c['version']}" for c in made["components"]}
    assert pins == versions_of("build") | versions_of("runtime")
    given = {row["ref"]: set(row["dependsOn"]) for row in made["dependencies"]}
    assert given.keys() == {"recsys", *pins}
    for name in ("recsys", *versions_of("runtime")):
        assert {canonicalize_name(one.name) for one in direct(name)} <= given[name], name


@pytest.mark.parametrize("name", FILES)
def test_pip_audit_reads_each_pin(name):
    pytest.importorskip("pip_audit")
    command = [sys.executable, "-m", "pip_audit", "--dry-run", "--require-hashes", "--disable-pip"]
    done = subprocess.run(
        [*command, "--requirement", FOLDER / f"{name}.txt"],
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=120,
    )
    here = [pin for pin, _ in pins_of(name).values() if not pin.marker or pin.marker.evaluate()]
    assert done.returncode == 0, done.stderr
    assert f"would have audited {len(here)} packages" in done.stderr
