"""The compiled library: opened once, its declarations read from the header it was compiled from.

cffi parses `kernels.h`, so structures and functions are spelled once. Arrays cross the boundary
through `pointer`, which checks type, shape and layout; checking what is in them is the work of the
modules beside this one, before the call.
"""

import ctypes
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from cffi import FFI
from numpy.typing import NDArray

_FOLDER = Path(__file__).parent
ffi = FFI()
_ADDRESS = ffi.typeof("intptr_t")
# numpy's types with their types in C, looked up at each call.
_C_TYPES = {
    scalar: (np.dtype(scalar), ffi.typeof(name))
    for scalar, name in (
        (np.bool_, "uint8_t[]"),
        (np.uint8, "uint8_t[]"),
        (np.int32, "int32_t[]"),
        (np.int64, "int64_t[]"),
        (np.float32, "float[]"),
        (np.float64, "double[]"),
    )
}


def _declarations() -> str:
    """Return the header without its preprocessor lines, which cffi does not read."""
    lines = (_FOLDER / "kernels.h").read_text("utf-8").splitlines()
    return "\n".join(line for line in lines if not line.startswith("#"))


def _opened() -> Any:
    for name in ("libkernels.so", "libkernels.dll"):
        if (path := _FOLDER / name).exists():
            opened = ffi.dlopen(str(path))
            sources = sorted(_FOLDER.glob("*.[ch]"))
            digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources))
            if ffi.string(opened.recsys_source_digest()).decode() == digest.hexdigest():
                return opened
            raise ImportError(f"{path} was compiled from other sources; run `pip install` again")
    raise ImportError(f"{_FOLDER}: the kernels are not compiled; `pip install` compiles them")


ffi.cdef(_declarations())
library = _opened()
# Names of the signals that the kernels compute, in their order: the header's, in lower case.
COMPUTED_SIGNALS = tuple(
    name.lower() for _, name in sorted(ffi.typeof("enum ComputedSignal").elements.items())
)[:-1]


def brief(name: str, *argument_types: Any) -> Callable[..., int]:
    """Return a function of the library that keeps the interpreter's lock while it runs.

    cffi releases the lock around each call, and another thread that waits takes it. For calls of
    a microsecond or two at each page view that costs more than it gives: eight threads served
    8,000 pages a second instead of 13,400.

    Parameters
    ----------
    name
        The function, which returns an int.
    argument_types
        Types of ctypes, for the arguments are not checked against the header.
    """
    function = ctypes.PYFUNCTYPE(ctypes.c_int, *argument_types)
    return function(address(ffi.addressof(library, name)))


def address(found: Any) -> int:
    """Return the address that a pointer of cffi holds."""
    return int(ffi.cast(_ADDRESS, found))


def pointer(name: str, array: NDArray[Any], dtype: Any, *shape: int) -> Any:
    """Return a pointer to an array for C, which keeps the array alive.

    Parameters
    ----------
    name
        What an error calls the array.
    array
        Must be of the type and shape, and C-contiguous.

    Raises
    ------
    ValueError
        If it is not.
    """
    wanted, c_type = _C_TYPES[dtype]
    if array.dtype != wanted or array.shape != shape or not array.flags.c_contiguous:
        raise ValueError(
            f"{name} must be a contiguous array of type {wanted} and shape {shape},"
            f" got {array.dtype} and {array.shape}"
        )
    return ffi.from_buffer(c_type, array)


def done(status: int) -> None:
    """Raise the error that a call returned.

    Raises
    ------
    MemoryError
        If there was no memory.
    """
    if status == library.NO_MEMORY:
        raise MemoryError("there is no memory for so much at once")


# ---- checks of what is in an array ---------------------------------------------------


def require_indices(name: str, values: NDArray[Any], end: int, *, least: int = 0) -> None:
    """Raise ValueError unless all indices are in [least, end)."""
    if len(values) and (values.min() < least or values.max() >= end):
        raise ValueError(f"{name} must hold indices from {least} to {end - 1}")


def require_starts(name: str, start: NDArray[np.int64], n_values: int) -> None:
    """Raise ValueError unless `start` begins at 0, never falls, and ends at `n_values`."""
    rises = len(start) > 0 and bool((start[1:] >= start[:-1]).all())
    if not rises or start[0] != 0 or start[-1] != n_values:
        raise ValueError(f"{name} must rise from 0 to {n_values}")


def require_finite(name: str, values: NDArray[Any]) -> None:
    """Raise ValueError unless all numbers are finite, and none is farther from 0 than `LARGEST`."""
    largest = library.LARGEST
    # A NaN makes minimum and maximum NaN, and no comparison with it is true.
    if values.size and not (-largest <= values.min() and values.max() <= largest):
        raise ValueError(f"{name} must hold finite numbers up to {library.LARGEST:.0e} only")


def require_rows(
    name: str,
    rows: tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]],
    n_rows: int,
    n_columns: int,
) -> None:
    """Raise ValueError unless start, column and value are those of a sparse matrix.

    Columns of a row must ascend without a repeat, for they are searched by bisection.
    """
    start, column, value = rows
    if len(start) != n_rows + 1 or len(column) != len(value):
        raise ValueError(f"{name} must have {n_rows} rows, and as many columns as values")
    require_starts(f"{name}.start", start, len(column))
    require_indices(f"{name}.column", column, n_columns)
    require_finite(f"{name}.value", value)
    is_same_row = np.ones(max(len(column) - 1, 0), dtype=bool)
    inner = start[1:-1]
    is_same_row[inner[(inner > 0) & (inner < len(column))] - 1] = False
    if (np.diff(column.astype(np.int64))[is_same_row] <= 0).any():
        raise ValueError(f"{name}.column must ascend within each row")
