"""Read a text file, plain or compressed, in blocks of whole lines and in bounded memory.

gzip and zstd are recognised by the first bytes of a file, not by its name. A truncated or damaged
archive yields the lines before the damage, and a problem.
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
COMPRESSED_CHUNK_BYTES = 32 << 10  # small, so that little of a damaged archive is lost
GZIP_MAGIC, ZSTD_MAGIC = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
DAMAGE = (EOFError, OSError, zlib.error, zstandard.ZstdError)


@dataclass(frozen=True, slots=True)
class Block:
    """Some whole lines of a file.

    Attributes
    ----------
    data
        The bytes of the lines, decompressed; the last line of the file may lack its newline.
    first_line
        1-based number of the first line.
    position
        Bytes of the file (as stored) read so far.
    problem
        Why reading ended or a line was dropped; "" if neither happened.
    """

    data: bytes
    first_line: int
    position: int
    problem: str = ""


def decompress(raw: IO[bytes]) -> Iterator[bytes]:
    """Yield the content of an open file, decompressed if it is compressed.

    Parameters
    ----------
    raw
        A file at its beginning.

    Raises
    ------
    DAMAGE
        Where an archive is damaged or ends too early; everything before was yielded.
    """
    magic = raw.read(4)
    raw.seek(0)
    if magic.startswith(GZIP_MAGIC):
        yield from _decompress_frames(raw, lambda: zlib.decompressobj(wbits=31))
    elif magic == ZSTD_MAGIC:
        yield from _decompress_frames(raw, lambda: zstandard.ZstdDecompressor().decompressobj())
    else:
        while chunk := raw.read(BATCH_BYTES):
            yield chunk


def _decompress_frames(raw: IO[bytes], new_decompressor: Callable[[], Any]) -> Iterator[bytes]:
    """Decompress a file of one or more compressed frames, one after the other."""
    decompressor, rest = new_decompressor(), b""
    while chunk := rest or raw.read(COMPRESSED_CHUNK_BYTES):
        if decompressor.eof:
            decompressor = new_decompressor()
        yield decompressor.decompress(chunk)
        rest = decompressor.unused_data if decompressor.eof else b""
    if not decompressor.eof:
        raise EOFError("the archive ends in the middle")


def read_start(path: Path, n_bytes: int = 64 << 10) -> bytes:
    """Return the first `n_bytes` decompressed bytes of a file; fewer if it is damaged or shorter.

    Raises
    ------
    InputRefusedError
        If the file cannot be opened.
    """
    start = b""
    with _open(path) as raw:
        try:
            for chunk in decompress(raw):
                start += chunk
                if len(start) >= n_bytes:
                    break
        except DAMAGE:
            pass  # the damage is reported when the whole file is read
    return start[:n_bytes]


def _open(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as error:
        raise InputRefusedError(str(path), error.strerror or "cannot be opened") from error


def _gather_chunks(raw: IO[bytes]) -> Iterator[tuple[bytes, str]]:
    """Yield (bytes, problem), about `BATCH_BYTES` at a time; only the last has a problem."""
    chunks: list[bytes] = []
    n_bytes = 0
    problem = ""
    try:
        for chunk in decompress(raw):
            chunks.append(chunk)
            n_bytes += len(chunk)
            if n_bytes >= BATCH_BYTES:
                yield b"".join(chunks), ""
                chunks, n_bytes = [], 0
    except DAMAGE as error:
        problem = f"truncated or damaged archive: {error}"
    yield b"".join(chunks), problem


def read_blocks(path: Path, *, quoted: bool = False) -> Iterator[Block]:
    """Yield the lines of a file in blocks of about `BATCH_BYTES`.

    Parameters
    ----------
    path
        The file, plain, gzip or zstd.
    quoted
        Whether double quotes may enclose a newline (CSV). A block then ends only where the
        number of quotes so far is even.

    Raises
    ------
    InputRefusedError
        If the file cannot be opened.
    """
    with _open(path) as raw:
        pending, line, skipping, problem = b"", 1, False, ""
        for chunk, problem in _gather_chunks(raw):  # noqa: B007 - the last one is used below
            if line == 1 and not pending and chunk.startswith(BYTE_ORDER_MARK):
                chunk = chunk[len(BYTE_ORDER_MARK) :]
            if skipping:
                end = chunk.find(b"\n") + 1
                if not end:
                    continue
                chunk, skipping, line = chunk[end:], False, line + 1
            pending += chunk
            end = _last_record_end(pending, quoted=quoted)
            if end:
                data, pending = pending[:end], pending[end:]
                yield Block(data, line, raw.tell())
                line += data.count(b"\n")
            if len(pending) > MAX_LINE_BYTES:
                yield Block(b"", line, raw.tell(), f"line of more than {MAX_LINE_BYTES} bytes")
                pending, skipping = b"", True
        if pending or problem:
            yield Block(pending, line, raw.tell(), problem)


def _last_record_end(data: bytes, *, quoted: bool) -> int:
    """Return the length of `data` up to the end of its last whole record; 0 if there is none."""
    end = data.rfind(b"\n") + 1
    if not quoted or not end:
        return end
    is_odd = data.count(b'"', 0, end) % 2
    while is_odd and end:
        line_start = data.rfind(b"\n", 0, end - 1) + 1
        is_odd ^= data.count(b'"', line_start, end) % 2
        end = line_start
    return end
