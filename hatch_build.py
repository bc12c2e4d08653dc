"""Build hook: compiles the kernels with the C compiler that the build brings along (zig).

So that `pip install .` needs no compiler of the machine. For a processor of any age and, on
Linux, for any libc since 2014: what is compiled here runs wherever the package is carried.
"""

import hashlib
import os
import shutil
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
    folder = root / FOLDER
    target = folder / ("libkernels.dll" if os.name == "nt" else "libkernels.so")
    sources = sorted(folder.glob("*.[ch]"))
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    command = [sys.executable, "-m", "ziglang", "cc", "-O3", "-shared", "-fPIC", "-mcpu=baseline"]
    if sys.platform == "linux":
        command += ["-target", f"{os.uname().machine}-linux-gnu.2.17"]
    with tempfile.TemporaryDirectory() as cache:
        there = {"ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache}
        made = Path(cache, target.name)
        units = [str(source) for source in sources if source.suffix == ".c"]
        # recsys/kernels/library.py refuses a library that was made of other sources.
        command += [f'-DSOURCE_DIGEST="{digest}"', "-o", str(made), *units, "-lm"]
        subprocess.run(command, check=True, env=os.environ | there)
        beside = target.with_suffix(".new")
        shutil.copyfile(made, beside)
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
