"""BLAS on one thread: on several it adds in another order, and sums differ in the last digits.

Everything that is written to a run is computed so, whatever the machine's number of cores and the
environment say. Work is divided among threads and processes where its parts are independent.
"""

from contextlib import AbstractContextManager

from threadpoolctl import threadpool_limits


def blas_on_one_thread() -> AbstractContextManager[object]:
    """Let BLAS use one thread from now on, until the end of a `with` block if there is one.

    This goes for the whole process, and for the libraries that it has loaded by now.
    """
    limits: AbstractContextManager[object] = threadpool_limits(1, "blas")
    return limits
