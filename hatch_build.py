"""Build hook: compiles the kernels with the C compiler that the build brings along (zig).

`pip install .` therefore needs no compiler of the machine. On Linux the library is compiled for
the C library of 2014 (glibc 2.17) and for any processor of its kind, and the wheel's tag says so.

The environment variable RECSYS_TARGET, one of `TAGS`, builds a wheel for another machine.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
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


class KernelHook(BuildHookInterface[Any]):
    """Compiles for wheels and editable installs alike; the wheel is for one platform."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and add the library to what is packed."""
        library = compiled(Path(self.root))
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{wheel_platform(chosen_target())}"
        build_data["artifacts"].append(library.relative_to(self.root).as_posix())
