"""The version of a file, which a server asks for at every page view."""

from recsys.kernels.library import ffi, library


def version(path: bytes) -> tuple[int, int] | None:
    """Return when a file was last changed, in nanoseconds, and its inode; None if it is absent."""
    found = ffi.new("int64_t[2]")
    if library.recsys_file_version(path, found):
        return None
    return found[0], found[1]
