"""Build hook: compiles the kernels with the C compiler that the build brings along (zig).

So that `pip install .` needs no compiler of the machine. For a processor of any age and, on
Linux, for any libc since 2014: what is compiled here runs wherever the package is carried.
"""

import os
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDER = Path("recsys", "kernels")
PLATFORM = sysconfig.get_platform().replace("-", "_").replace(".", "_")


def compiled(root: Path) -> Path:
    """Compile the kernels beside their sources, and return the library's path."""
    sources = sorted(map(str, (root / FOLDER).glob("*.c")))
    target = root / FOLDER / ("libkernels.dll" if os.name == "nt" else "libkernels.so")
    command = [sys.executable, "-m", "ziglang", "cc", "-O3", "-shared", "-fPIC", "-mcpu=baseline"]
    if sys.platform == "linux":
        command += ["-target", f"{os.uname().machine}-linux-gnu.2.17"]
    with tempfile.TemporaryDirectory() as cache:
        there = {"ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache}
        made = Path(cache, target.name)
        subprocess.run(
            [*command, "-o", str(made), *sources, "-lm"], check=True, env=os.environ | there
        )
        beside = target.with_suffix(".new")
        beside.write_bytes(made.read_bytes())
        os.replace(beside, target)  # a process may have the old one open
    return target


class KernelHook(BuildHookInterface[Any]):
    """Compiles for wheels and editable installs alike; the wheel is of this platform."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and add the library to what is packed."""
        library = compiled(Path(self.root))
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{PLATFORM}"
        build_data["artifacts"].append(library.relative_to(self.root).as_posix())
