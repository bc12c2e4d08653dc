"""Run tests against kernels compiled with AddressSanitizer and UndefinedBehaviorSanitizer.

    python scripts/sanitized_tests.py tests/test_kernels_*.py tests/test_page_build.py

Copies the package and its tests to a temporary folder, compiles the kernels there with the
machine's C compiler, and runs pytest on the copy. Exit status: that of pytest; 0 with one line
that says so where no compiler here offers the sanitizers.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
FLAGS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")


def compiler_with_sanitizers(folder: Path) -> str | None:
    """Return a C compiler that links a library with the sanitizers, None if there is none."""
    source = folder / "probe.c"
    source.write_text("int probe(int x) { return x + 1; }\n", "utf-8")
    for name in ("gcc", "clang", "cc"):
        if shutil.which(name) is None:
            continue
        command = [name, *FLAGS, "-shared", "-fPIC", "-o", str(folder / "probe.so"), str(source)]
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            return name
    return None


def runtime_of(compiler: str) -> str:
    """Return the path of the sanitizer's runtime, which has to be loaded before Python."""
    for name in ("libasan.so", "libclang_rt.asan-x86_64.so"):
        found = subprocess.run(
            [compiler, f"-print-file-name={name}"], capture_output=True, text=True, check=True
        ).stdout.strip()
        if Path(found).is_absolute():
            return found
    raise SystemExit(f"{compiler} offers sanitizers, but their runtime library was not found")


def compiled(compiler: str, kernels: Path) -> None:
    """Compile the kernels of a copied package with the sanitizers."""
    sources = sorted(kernels.glob("*.[ch]"))
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    units = [str(source) for source in sources if source.suffix == ".c"]
    command = [compiler, "-std=c11", "-Wall", "-Wextra", "-Werror", "-O1", "-g", *FLAGS]
    command += ["-shared", "-fPIC", f'-DSOURCE_DIGEST="{digest}"']
    command += ["-o", str(kernels / "libkernels.so"), *units, "-lm"]
    subprocess.run(command, check=True)


def main() -> int:
    """Copy, compile, test."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        compiler = compiler_with_sanitizers(folder)
        if compiler is None:
            print("skipped: no C compiler here offers -fsanitize=address,undefined")
            return 0
        for part in ("recsys", "tests", "data", "pyproject.toml"):
            copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy2
            copy(ROOT / part, folder / part)
        compiled(compiler, folder / "recsys" / "kernels")
        environment = os.environ | {
            "LD_PRELOAD": runtime_of(compiler),
            # Python itself does not free everything at exit; recoverable allocation failures are
            # part of what is tested.
            "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
            "PYTHONPATH": str(folder),
        }
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *sys.argv[1:]]
        return subprocess.run(command, cwd=folder, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
