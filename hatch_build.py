"""Build hook: compiles the kernels with the C compiler that the build brings along (zig).

`pip install .` therefore needs no compiler of the machine. On Linux the library is compiled for
the C library of 2014 (glibc 2.17) and for any processor of its kind, and the wheel's tag says so.

The environment variable RECSYS_TARGET, one of `TAGS`, builds a wheel for another machine.

The wheel holds a bill of materials in CycloneDX 1.6 (PEP 770: `.dist-info/sboms`): the library that
was compiled, and what recsys and its build need, with the versions, hashes and licences of the
folder requirements. The same sources give the same bytes. It has a time only if the environment
variable SOURCE_DATE_EPOCH says which, in seconds since 1970.
"""

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDER = Path("recsys", "kernels")
# The targets by zig's name, and what a wheel for each is tagged with.
TAGS = {
    "x86_64-linux-gnu.2.17": "manylinux_2_17_x86_64",
    "aarch64-linux-gnu.2.17": "manylinux_2_17_aarch64",
    "x86_64-linux-musl": "musllinux_1_2_x86_64",
    "aarch64-linux-musl": "musllinux_1_2_aarch64",
}


def chosen_target() -> str | None:
    """Return the target of `TAGS` to compile for; None for the compiler's own default.

    Raises
    ------
    ValueError
        If RECSYS_TARGET names none of them.
    """
    asked = os.environ.get("RECSYS_TARGET")
    if asked is not None and asked not in TAGS:
        raise ValueError(f"RECSYS_TARGET must be one of {', '.join(TAGS)}, got {asked!r}")
    libc = "gnu.2.17" if platform.libc_ver()[0] == "glibc" else "musl"
    here = f"{platform.machine()}-linux-{libc}"
    return asked or (here if sys.platform == "linux" and here in TAGS else None)


def wheel_platform(target: str | None) -> str:
    """Return the platform tag of a wheel whose library was compiled for a target."""
    here = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    return here if target is None else TAGS[target]


def compiled(root: Path) -> Path:
    """Compile the kernels beside their sources, and return the library's path."""
    folder, target = root / FOLDER, chosen_target()
    library = folder / ("libkernels.dll" if os.name == "nt" else "libkernels.so")
    sources = sorted(folder.glob("*.[ch]"))
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    command = [sys.executable, "-m", "ziglang", "cc", "-O3", "-shared", "-fPIC", "-mcpu=baseline"]
    # A product and a sum are rounded each, also where a processor has one instruction for both.
    command.append("-ffp-contract=off")
    # Without what debuggers read, which names folders: so the same sources give the same bytes.
    command.append("-Wl,--strip-debug")
    if target is not None:
        command += ["-target", target]
    with tempfile.TemporaryDirectory() as cache:
        caches = {"ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache}
        made = Path(cache, library.name)
        units = [str(source) for source in sources if source.suffix == ".c"]
        # recsys/kernels/library.py refuses a library that was made of other sources.
        command += [f'-DSOURCE_DIGEST="{digest}"', "-o", str(made), *units, "-lm"]
        subprocess.run(command, check=True, env=os.environ | caches)
        beside = library.with_suffix(".new")
        shutil.copyfile(made, beside)
        os.replace(beside, library)  # a process may have the old one open
    return library


def pinned(text: str) -> Iterator[tuple[str, str, list[str], list[str]]]:
    """Yield name, version, SHA-256 hashes and needing packages of each pin of a requirements file.

    The file is one that scripts/write_pins.py wrote: hashes, then a comment that says via what.
    """
    for block in re.split(r"^(?=[\w.-]+==)", text, flags=re.MULTILINE)[1:]:
        name, version = re.match(r"([\w.-]+)==(\S+)", block).groups()  # type: ignore[union-attr]
        hashes = re.findall(r"--hash=sha256:([0-9a-f]{64})", block)
        needed_by = re.findall(r"# via (.+)", block)[0].split(", ")
        # "recsys (pyproject.toml)" is the project, in runtime.txt; a group of it has its name.
        yield name, version, hashes, [parent.partition(" (")[0] for parent in needed_by]


def bill_of_materials(root: Path, *, version: str, library: Path) -> dict[str, Any]:
    """Return the bill of materials of a wheel, as JSON of CycloneDX 1.6.

    Parameters
    ----------
    root
        The checkout, with its folder requirements.
    version
        The version of recsys.
    library
        The compiled library.

    Returns
    -------
    dict
        What recsys needs has the scope "required"; what only its build needs, "excluded". A hash is
        that of one file of the version, of which there is one for each kind of machine.

    Notes
    -----
    recsys has no package URL: it is in no public index, and a scanner would look for another
    project of that name.
    """
    folder = root / "requirements"
    tables = tomllib.loads((folder / "licences.toml").read_text("utf-8"))
    licences = tables["runtime"] | tables["build"]
    components: dict[str, Any] = {}
    needs: dict[str, list[str]] = {"recsys": []}
    for file, scope in (("runtime.txt", "required"), ("build.txt", "excluded")):
        for name, pin, hashes, needed_by in pinned((folder / file).read_text("utf-8")):
            url = f"pkg:pypi/{name}@{pin}"
            files = [{"alg": "SHA-256", "content": digest} for digest in hashes]
            component = {
                "type": "library",
                "bom-ref": name,
                "name": name,
                "version": pin,
                "scope": scope,
                "licenses": [{"expression": licences[name]}],
                "purl": url,
                "externalReferences": [{"type": "distribution", "url": url, "hashes": files}],
            }
            components.setdefault(name, component)
            needs.setdefault(name, [])
            for parent in needed_by:
                if scope == "required" or parent != "recsys":
                    needs.setdefault(parent, []).append(name)
    digest = hashlib.sha256(library.read_bytes()).hexdigest()
    compiled_file = {
        "type": "file",
        "name": library.relative_to(root).as_posix(),
        "hashes": [{"alg": "SHA-256", "content": digest}],
    }
    metadata: dict[str, Any] = {
        "lifecycles": [{"phase": "build"}],
        "component": {
            "type": "library",
            "bom-ref": "recsys",
            "name": "recsys",
            "version": version,
            "licenses": [{"expression": "Apache-2.0"}],
            "components": [compiled_file],
        },
    }
    if "SOURCE_DATE_EPOCH" in os.environ:
        at = datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), UTC)
        metadata["timestamp"] = at.isoformat()
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": metadata,
        "components": [components[name] for name in sorted(components)],
        "dependencies": [
            {"ref": name, "dependsOn": sorted(set(needs[name]))} for name in sorted(needs)
        ],
    }


class KernelHook(BuildHookInterface[Any]):
    """Compiles for wheels and editable installs alike; the wheel is for one platform."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, write the bill of materials, and add both to what is packed."""
        root = Path(self.root)
        library = compiled(root)
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{wheel_platform(chosen_target())}"
        build_data["artifacts"].append(library.relative_to(self.root).as_posix())
        bill = bill_of_materials(root, version=self.metadata.version, library=library)
        self.folder = tempfile.TemporaryDirectory()  # until the wheel is packed
        written = Path(self.folder.name, "recsys.cdx.json")
        written.write_text(json.dumps(bill, indent=1) + "\n", "utf-8")
        build_data["sbom_files"].append(str(written))

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the copy of what was packed."""
        self.folder.cleanup()
