"""Text files, plain or compressed, in blocks of whole lines and bounded memory.

gzip and zstd are recognised by their first bytes, not by the file's name. A
truncated or damaged archive gives the lines before the damage and a problem.
"""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import zstandard

from recsys.errors import InputRefusedError
from recsys.ingest.batches import BATCH_BYTES

MAX_LINE_BYTES = 4 * BATCH_BYTES
PIECE_BYTES = 32 << 10
GZIP_MAGIC, ZSTD_MAGIC = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
DAMAGE = (EOFError, OSError, zlib.error, zstandard.ZstdError)


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


def decompressed(raw: IO[bytes]) -> Iterator[bytes]:
    """Yield the bytes of an open file at its start, unpacked if it is packed.

    Raises
    ------
    DAMAGE
        Where an archive is damaged or ends too early; all before that was yielded.
    """
    magic = raw.read(4)
    raw.seek(0)
    if magic.startswith(GZIP_MAGIC):
        yield from _unpacked(raw, lambda: zlib.decompressobj(wbits=31))
    elif magic == ZSTD_MAGIC:
        yield from _unpacked(raw, lambda: zstandard.ZstdDecompressor().decompressobj())
    else:
        while chunk := raw.read(BATCH_BYTES):
            yield chunk


def _unpacked(raw: IO[bytes], start: Callable[[], Any]) -> Iterator[bytes]:
    """Unpack one or more frames end to end; small steps, so that damage costs little."""
    frame, rest = start(), b""
    while piece := rest or raw.read(PIECE_BYTES):
        if frame.eof:
            frame = start()
        yield frame.decompress(piece)
        rest = frame.unused_data if frame.eof else b""
    if not frame.eof:
        raise EOFError("the archive ends in the middle")


def read_start(path: Path, n_bytes: int = 64 << 10) -> bytes:
    """Return the first decompressed bytes of a file; what a damaged one yields.

    Raises
    ------
    InputRefusedError
        If the file cannot be opened.
    """
    start = b""
    with _open(path) as raw:
        try:
            for chunk in decompressed(raw):
                start += chunk
                if len(start) >= n_bytes:
                    break
        except DAMAGE:
            pass  # whoever reads the file on meets the damage and reports it
    return start[:n_bytes]


def _open(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as error:
        raise InputRefusedError(str(path), error.strerror or "cannot be opened") from error


def _gathered(raw: IO[bytes]) -> Iterator[tuple[bytes, str]]:
    """Yield about `BATCH_BYTES` at a time, then (rest, problem) as the last."""
    parts: list[bytes] = []
    size = 0
    problem = ""
    try:
        for chunk in decompressed(raw):
            parts.append(chunk)
            size += len(chunk)
            if size >= BATCH_BYTES:
                yield b"".join(parts), ""
                parts, size = [], 0
    except DAMAGE as error:
        problem = f"truncated or damaged archive: {error}"
    yield b"".join(parts), problem


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
    with _open(path) as raw:
        pending, line, skipping, problem = b"", 1, False, ""
        for chunk, problem in _gathered(raw):  # noqa: B007 - the last one is used below
            if line == 1 and not pending and chunk.startswith(b"\xef\xbb\xbf"):
                chunk = chunk[3:]  # a byte order mark is not part of the first name
            if skipping:
                end = chunk.find(b"\n") + 1
                if not end:
                    continue
                chunk, skipping, line = chunk[end:], False, line + 1
            pending += chunk
            cut = _last_line_end(pending, quoted=quoted)
            if cut:
                data, pending = pending[:cut], pending[cut:]
                yield Block(data, line, raw.tell())
                line += data.count(b"\n")
            if len(pending) > MAX_LINE_BYTES:
                yield Block(b"", line, raw.tell(), f"line of more than {MAX_LINE_BYTES} bytes")
                pending, skipping = b"", True
        if pending or problem:
            yield Block(pending, line, raw.tell(), problem)


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
