"""The version of a file, which a server asks for at every page view."""

import ctypes

from recsys.kernels.library import brief

_Version = ctypes.c_int64 * 2
_file_version = brief("recsys_file_version", ctypes.c_char_p, ctypes.POINTER(ctypes.c_int64))


def version(path: bytes) -> tuple[int, int] | None:
    """Return when a file was last changed, in nanoseconds, and its inode; None if it is absent."""
    found = _Version()
    return None if _file_version(path, found) else (found[0], found[1])
