"""BLAS on one thread: on several it adds in another order, and sums differ in the last digits.

Everything that is written to a run is computed so, whatever the machine's number of cores and the
environment say. Work is divided among threads and processes where its parts are independent.

BLAS and numpy have kernels for each type of processor, which add in an order of their own too. A
run names them, so that one can tell why another machine makes a run of other bytes.
"""

from contextlib import AbstractContextManager

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits


def blas_on_one_thread() -> AbstractContextManager[object]:
    """Let BLAS use one thread from now on, until the end of a `with` block if there is one.

    This goes for the whole process, and for the libraries that it has loaded by now.
    """
    limits: AbstractContextManager[object] = threadpool_limits(1, "blas")
    return limits


def kernels() -> dict[str, str]:
    """Return the kernels with which this process computes: those of BLAS and those of numpy.

    Those of BLAS are the libraries that the process has loaded by now, with their versions; the
    environment may choose others (`OPENBLAS_CORETYPE`, `NPY_DISABLE_CPU_FEATURES`).
    """
    libraries = {
        " ".join(str(library.get(key) or "") for key in ("internal_api", "version", "architecture"))
        for library in threadpool_info()
        if library["user_api"] == "blas"
    }
    found = np.show_config(mode="dicts").get("SIMD Extensions", {}).get("found", [])
    return {"BLAS": ", ".join(sorted(libraries)), "numpy kernels": " ".join(found)}
