"""The compiled library: opened once, with checked addresses of arrays."""

import ctypes
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_FOLDER = Path(__file__).parent

size = ctypes.c_int64
real = ctypes.c_double
pointer = ctypes.c_void_p
_BEGINNING = ctypes.c_char * 0


def _opened() -> ctypes.CDLL:
    for name in ("libkernels.so", "libkernels.dll"):
        if (path := _FOLDER / name).exists():
            opened = ctypes.CDLL(str(path))
            opened.recsys_source.restype = ctypes.c_char_p
            sources = sorted(_FOLDER.glob("*.[ch]"))
            digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources))
            if opened.recsys_source().decode() == digest.hexdigest():
                return opened
            raise ImportError(f"{path}: compiled from other sources: `pip install` again")
    raise ImportError(f"{_FOLDER}: the kernels are not compiled: `pip install` compiles them")


library = _opened()
# For calls of some microseconds: to hand the interpreter's lock to another thread costs more.
brief = ctypes.PyDLL(library._name)


def address(array: NDArray[Any], dtype: Any, *shape: int) -> int:
    """Return where an array begins, which must be of a type and shape, and not scattered."""
    if array.dtype != dtype or array.shape != shape or not array.flags.c_contiguous:
        raise ValueError(
            f"an array must be contiguous, of type {np.dtype(dtype)} and shape {shape},"
            f" got {array.dtype} and {array.shape}"
        )
    if array.flags.writeable:  # the way that costs a third
        buffer: Any = array
        return ctypes.addressof(_BEGINNING.from_buffer(buffer))
    found: int = array.__array_interface__["data"][0]
    return found


def done(status: int) -> None:
    """Raise what a call came to."""
    if status:
        raise MemoryError("no memory for so many at once")
