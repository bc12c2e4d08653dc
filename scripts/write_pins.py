"""Pin every dependency: writes constraints.txt and the files of the folder requirements.

    python scripts/write_pins.py

A version that constraints.txt names stays; what it does not name becomes the newest version that
pyproject.toml allows. So delete the lines that are to be renewed, or all of them, first.

| file | has |
|---|---|
| `constraints.txt` | the version of each dependency |
| `requirements/runtime.txt` | what `recsys` needs, with the SHA-256 of each file of each version |
| `requirements/build.txt` | the same for the build of a wheel |
| `requirements/ci.txt` | the same for everything that CI installs, all extras and groups included |
| `requirements/licences.toml` | the licence of each dependency, as an SPDX expression |

uv resolves, for every Python that pyproject.toml allows. Licences are what packages declare
in their metadata; `BY_HAND` has those that say too little there. This needs a package index,
and some 2 GB of temporary disk, since metadata is read from installed packages.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "requirements"
HEADER = "# Written by scripts/write_pins.py, do not edit: see CONTRIBUTING.md, Pins.\n"
PIN = re.compile(r"^([\w.-]+)==([\w.!+-]+)", re.MULTILINE)
# The files, and what uv is to resolve for each; the first has the others within it.
SOURCES = {
    "ci": ["pyproject.toml", "--extra=test", "--group=dev", "--group=docs"],
    "runtime": ["pyproject.toml"],
    "build": ["--group=build"],
}
# What the classifier of a licence says in SPDX, where it says one thing only.
CLASSIFIERS = {
    "Apache Software License": "Apache-2.0",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
# Read in the licence files of these packages, whose metadata has no exact name.
BY_HAND = {
    "click-default-group": "BSD-3-Clause",  # its classifier says "Public Domain"
    "contourpy": "BSD-3-Clause",
    "cycler": "BSD-3-Clause",
    "itsdangerous": "BSD-3-Clause",
    "jinja2": "BSD-3-Clause",
    "justext": "BSD-2-Clause",
    "kiwisolver": "BSD-3-Clause",
    "pyelftools": "Unlicense AND MIT",  # MIT: the copy of construct in it
    "scipy": "BSD-3-Clause",
    "sqlite-fts4": "Apache-2.0",
    "sqlparse": "BSD-3-Clause",
}


def licence(package: metadata.Distribution) -> str:
    """Return the licence of an installed package as an SPDX expression.

    What counts is `BY_HAND`, else the field License-Expression, else License if that is an SPDX
    expression, else the classifiers.

    Raises
    ------
    ValueError
        If none of these says which licence it is.
    """
    name = canonicalize_name(package.name)
    if name in BY_HAND:
        return BY_HAND[name]
    for field in ("License-Expression", "License"):
        try:
            return canonicalize_license_expression(package.metadata.get(field, ""))
        except InvalidLicenseExpression:
            pass
    declared = [text.rpartition(" :: ")[2] for text in package.metadata.get_all("Classifier", [])]
    known = sorted({CLASSIFIERS[text] for text in declared if text in CLASSIFIERS})
    if not known:
        raise ValueError(
            f"{name} {package.version} does not say its licence in SPDX: "
            "read its licence file, and add a row to BY_HAND of scripts/write_pins.py"
        )
    return " AND ".join(known)


def resolved(sources: Iterable[str], constraints: str) -> str:
    """Return the lines of a requirements file with hashes, in order of names.

    Parameters
    ----------
    sources
        Arguments of `uv pip compile` that say what to resolve.
    constraints
        The text of constraints.txt; a name that is not in it gets its newest version.

    Raises
    ------
    subprocess.CalledProcessError
        If nothing satisfies all of pyproject.toml and the constraints; uv has printed why.
    """
    command = [
        sys.executable,
        "-m",
        "uv",
        "pip",
        "compile",
        "--quiet",
        "--no-config",
        "--no-header",
    ]
    command += ["--universal", "--python-version=3.11", "--generate-hashes"]
    command += ["--annotation-style=line", "--constraints=-", *sources]
    # click and tqdm need it on Windows only, where nothing is tested.
    command.append("--no-emit-package=colorama")
    done = subprocess.run(
        command, cwd=ROOT, input=constraints, stdout=subprocess.PIPE, encoding="utf-8", check=True
    )
    return done.stdout.partition("\n# The following packages were excluded")[0]


def licences_of(requirements: Path) -> dict[str, str]:
    """Return the licence of each package of a file, which are installed for that in a folder."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-config"]
        command += ["--python", sys.executable, "--require-hashes", "--target", folder]
        subprocess.run([*command, "--requirements", str(requirements)], check=True)
        installed = metadata.distributions(path=[folder])
        return {canonicalize_name(package.name): licence(package) for package in installed}


def main() -> None:
    """Resolve, install, and write the files."""
    constraints = ROOT / "constraints.txt"
    pins = constraints.read_text("utf-8")
    names = {}
    for name, sources in SOURCES.items():
        text = resolved(sources, pins)
        if name == "ci":
            pins = "".join(f"{project}=={version}\n" for project, version in PIN.findall(text))
            constraints.write_text(pins, "utf-8")
        (FOLDER / f"{name}.txt").write_text(HEADER + text, "utf-8")
        names[name] = {project for project, _ in PIN.findall(text)}
    licences = licences_of(FOLDER / "ci.txt")
    tables = {
        "runtime": names["runtime"],
        "build": names["build"] - names["runtime"],
        "ci": names["ci"] - names["runtime"] - names["build"],
    }
    with (FOLDER / "licences.toml").open("w", encoding="utf-8") as file:
        file.write(HEADER)
        for table, projects in tables.items():
            file.write(f"\n[{table}]\n")
            file.writelines(f'{project} = "{licences[project]}"\n' for project in sorted(projects))


if __name__ == "__main__":
    main()
