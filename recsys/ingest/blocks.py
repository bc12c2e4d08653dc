"""Text files, plain or compressed, in blocks of whole lines and bounded memory.

gzip and zstd are recognised by their first bytes, not by the file's name. A
truncated or damaged archive gives the lines before the damage and a problem.
"""

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import zstandard

from recsys.errors import InputRefusedError
from recsys.ingest.batches import BATCH_BYTES

MAX_LINE_BYTES = 4 * BATCH_BYTES
GZIP_MAGIC, ZSTD_MAGIC = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


@dataclass(frozen=True, slots=True)
class Block:
    """Whole lines of a file.

    Attributes
    ----------
    data
        The lines' bytes, decompressed; may lack a newline only at the file's end.
    first_line
        1-based number of the first line.
    position
        Bytes of the file (as stored) read so far.
    problem
        Why reading ended or a line was dropped, else "".
    """

    data: bytes
    first_line: int
    position: int
    problem: str = ""


def open_bytes(raw: IO[bytes]) -> IO[bytes] | gzip.GzipFile:
    """Return a stream of decompressed bytes of an open file at its start."""
    magic = raw.read(4)
    raw.seek(0)
    if magic.startswith(GZIP_MAGIC):
        return gzip.GzipFile(fileobj=raw)
    if magic == ZSTD_MAGIC:
        return zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True)
    return raw


def read_start(path: Path, n_bytes: int = 64 << 10) -> bytes:
    """Return the first decompressed bytes of a file; what a damaged one yields."""
    try:
        with path.open("rb") as raw:
            return open_bytes(raw).read(n_bytes)
    except (EOFError, OSError, zlib.error, zstandard.ZstdError) as error:
        if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError):
            raise InputRefusedError(str(path), error.strerror or "cannot be read") from error
        return b""


def read_blocks(path: Path, *, quoted: bool = False) -> Iterator[Block]:
    """Yield a file's lines in blocks of about `BATCH_BYTES`.

    Parameters
    ----------
    path
        The file, plain, gzip or zstd.
    quoted
        Whether a newline may stand inside double quotes (CSV): then a block ends
        only where the number of quotes so far is even.

    Raises
    ------
    InputRefusedError
        If the file cannot be opened.
    """
    try:
        raw = path.open("rb")
    except OSError as error:
        raise InputRefusedError(str(path), error.strerror or "cannot be opened") from error
    with raw:
        stream, pending, line = open_bytes(raw), b"", 1
        skipping = False
        while True:
            problem = ""
            try:
                chunk = stream.read(BATCH_BYTES)
            except (EOFError, OSError, zlib.error, zstandard.ZstdError) as error:
                chunk, problem = b"", f"truncated or damaged archive: {error}"
            if line == 1 and not pending and chunk.startswith(b"\xef\xbb\xbf"):
                chunk = chunk[3:]  # a byte order mark is not part of the first name
            if skipping and chunk:
                end = chunk.find(b"\n")
                if end < 0:
                    continue
                chunk, skipping, line = chunk[end + 1 :], False, line + 1
            pending += chunk
            if not chunk or problem:
                if pending or problem:
                    yield Block(pending, line, raw.tell(), problem)
                return
            cut = _last_line_end(pending, quoted=quoted)
            if cut:
                data, pending = pending[:cut], pending[cut:]
                yield Block(data, line, raw.tell())
                line += data.count(b"\n")
            elif len(pending) > MAX_LINE_BYTES:
                yield Block(b"", line, raw.tell(), f"line of more than {MAX_LINE_BYTES} bytes")
                pending, skipping = b"", True


def _last_line_end(data: bytes, *, quoted: bool) -> int:
    """Return the length of `data` up to its last whole record; 0 if there is none."""
    end = data.rfind(b"\n") + 1
    if not quoted or not end:
        return end
    odd = data.count(b'"', 0, end) % 2
    while odd and end:
        before = data.rfind(b"\n", 0, end - 1) + 1
        odd ^= data.count(b'"', before, end) % 2
        end = before
    return end
