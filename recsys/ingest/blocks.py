"""Read a text file, plain or compressed, in blocks of whole lines and in bounded memory.

gzip, zstd, bzip2 and xz are recognised by the first bytes of a file, not by its name. A truncated
or damaged archive yields the lines before the damage, and a problem. Text in another encoding than
UTF-8 is converted (see `recsys.ingest.encodings`), line ends of old Macs (CR alone) become
newlines, and byte order marks at the beginning of lines are removed, since files that are joined
have some.
"""

import bz2
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import IO, Any

import zstandard

from recsys.errors import InputRefusedError
from recsys.ingest.batches import BATCH_BYTES
from recsys.ingest.encodings import SAMPLE_BYTES, UNRECOGNISED, encoding_of, to_utf8
from recsys.ingest.records import readable
from recsys.rows import Reject

MAX_LINE_BYTES = 4 * BATCH_BYTES
MAX_OUTPUT_BYTES = 8 << 20  # decompressed at once
MAX_DECODER_BYTES = 128 << 20  # memory of a decompressor: the window of zstd, all of xz
COMPRESSED_CHUNK_BYTES = 32 << 10  # small, so that little of a damaged archive is lost
# zstandard cannot bound its output. It makes at most 32 KiB of a byte, so 32 MiB of such a chunk.
ZSTD_CHUNK_BYTES = 1 << 10
MAX_EXPANDED_BYTES = 8 << 30  # that a file may always expand to; beyond them see MAX_EXPANSION
MAX_EXPANSION = 200  # times the bytes of the file; logs of one line over and over reach some 50
DROPPED_BYTES = 8_000  # kept of a line that is too long, for its reject
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LEADING_MARKS = re.compile(rb"^(?:\xef\xbb\xbf)+", re.MULTILINE)
DAMAGE = (EOFError, OSError, zlib.error, zstandard.ZstdError, lzma.LZMAError, UnicodeDecodeError)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some bytes of a text in UTF-8.

    Attributes
    ----------
    data
        The bytes, decompressed and decoded.
    position
        Bytes of the file (as stored) read so far.
    problem
        Why reading ended; "" if it did not. Only the last chunk has one.
    """

    data: bytes
    position: int
    problem: str = ""


@dataclass(frozen=True)  # without slots, because the number of lines is counted once only
class Block:
    """Some whole lines of a file.

    Attributes
    ----------
    data
        The bytes of the lines, in UTF-8; the last line of the file may lack its newline.
    first_line
        1-based number of the first line.
    position
        Bytes of the file (as stored) read so far.
    problem
        Why reading ended or a line was dropped; "" if neither happened.
    dropped
        The beginning of the line that was dropped.
    """

    data: bytes
    first_line: int
    position: int
    problem: str = ""
    dropped: bytes = b""

    @cached_property
    def n_lines(self) -> int:
        """The number of lines, blank ones included."""
        return self.data.count(b"\n") + (bool(self.data) and not self.data.endswith(b"\n"))

    def rejects(self) -> list[Reject]:
        """Return the problem as a reject of the line after these; none if there is no problem."""
        if not self.problem:
            return []
        line_number = self.first_line + self.data.count(b"\n")
        raw = readable(self.dropped.decode("utf-8", "surrogateescape"))
        return [Reject(line_number, "", self.problem, raw)]


@dataclass(frozen=True, slots=True)
class _Compression:
    """A compressed format: how its frames begin, and how they are decompressed.

    Attributes
    ----------
    magic
        Matches the beginning of a frame.
    new
        Makes a decompressor of one frame.
    outputs
        Yields what a decompressor makes of some bytes, at most `MAX_OUTPUT_BYTES` at once.
    chunk_bytes
        Compressed bytes to read at once.
    """

    magic: re.Pattern[bytes]
    new: Callable[[], Any]
    outputs: Callable[[Any, bytes], Iterator[bytes]]
    chunk_bytes: int = COMPRESSED_CHUNK_BYTES


def _zlib_outputs(decompressor: Any, chunk: bytes) -> Iterator[bytes]:
    while True:
        output = decompressor.decompress(chunk, MAX_OUTPUT_BYTES)
        yield output
        chunk = decompressor.unconsumed_tail
        if decompressor.eof or not (chunk or len(output) == MAX_OUTPUT_BYTES):
            return


def _standard_outputs(decompressor: Any, chunk: bytes) -> Iterator[bytes]:
    yield decompressor.decompress(chunk, MAX_OUTPUT_BYTES)
    while not (decompressor.eof or decompressor.needs_input):
        yield decompressor.decompress(b"", MAX_OUTPUT_BYTES)


def _zstd_outputs(decompressor: Any, chunk: bytes) -> Iterator[bytes]:
    yield decompressor.decompress(chunk)


_COMPRESSIONS = (
    _Compression(re.compile(rb"\x1f\x8b"), lambda: zlib.decompressobj(wbits=31), _zlib_outputs),
    _Compression(
        re.compile(rb"\x28\xb5\x2f\xfd"),
        lambda: zstandard.ZstdDecompressor(max_window_size=MAX_DECODER_BYTES).decompressobj(),
        _zstd_outputs,
        ZSTD_CHUNK_BYTES,
    ),
    _Compression(
        re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)"), bz2.BZ2Decompressor, _standard_outputs
    ),
    _Compression(
        re.compile(rb"\xfd7zXZ\x00"),
        lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MAX_DECODER_BYTES),
        _standard_outputs,
    ),
)


def decompress(raw: IO[bytes]) -> Iterator[bytes]:
    """Yield the content of an open file, decompressed if it is compressed.

    However much an archive decompresses to, a chunk has at most 32 MiB.

    Parameters
    ----------
    raw
        A file at its beginning.

    Raises
    ------
    DAMAGE
        Where an archive is damaged or ends too early; everything before was yielded.
    """
    start = raw.read(16)
    raw.seek(0)
    for compression in _COMPRESSIONS:
        if compression.magic.match(start):
            yield from _decompress_frames(raw, compression)
            return
    while chunk := raw.read(BATCH_BYTES):
        yield chunk


def explodes(n_bytes: int, n_stored: int) -> bool:
    """Return whether so many bytes are more than a file of `n_stored` bytes may expand to."""
    return n_bytes > max(MAX_EXPANDED_BYTES, MAX_EXPANSION * n_stored)


def _decompress_frames(raw: IO[bytes], compression: _Compression) -> Iterator[bytes]:
    """Decompress a file of one or more compressed frames, one after the other."""
    decompressor, rest = compression.new(), b""
    n_bytes = 0
    while chunk := rest or raw.read(compression.chunk_bytes):
        rest = b""
        if decompressor.eof:
            chunk = chunk.lstrip(b"\x00")  # padding, as tapes and xz have it
            if not chunk:
                continue
            decompressor = compression.new()
        for output in compression.outputs(decompressor, chunk):
            yield output
            n_bytes += len(output)
            if explodes(n_bytes, raw.tell()):
                raise EOFError(f"it expands to {n_bytes >> 20} MB, too much for its size")
        rest = decompressor.unused_data if decompressor.eof else b""
    if not decompressor.eof:
        raise EOFError("the archive ends in the middle")


def gathered(chunks: Iterator[bytes], n_bytes: int) -> Iterator[bytes]:
    """Yield chunks joined to some of at least `n_bytes`, but the last one, which may be shorter.

    Where the chunks end in an error, what came before is yielded first.
    """
    pieces: list[bytes] = []
    n_gathered = 0
    damage: Exception | None = None
    try:
        for chunk in chunks:
            pieces.append(chunk)
            n_gathered += len(chunk)
            if n_gathered >= n_bytes:
                yield b"".join(pieces)
                pieces, n_gathered = [], 0
    except DAMAGE as error:
        damage = error
    yield b"".join(pieces)
    if damage is not None:
        raise damage


def read_start(path: Path, n_bytes: int = 64 << 10) -> bytes:
    """Return the first `n_bytes` decompressed bytes of a file; fewer if it is damaged or shorter.

    Raises
    ------
    InputRefusedError
        If the file cannot be opened.
    """
    return _read_up_to(path, n_bytes)[0]  # damage is reported when the whole file is read


def read_whole(path: Path, max_bytes: int) -> tuple[bytes, str]:
    """Return the decompressed bytes of a file that is parsed as a whole, and a problem.

    The problem says why a damaged archive ends early; it is "" if the file is sound.

    Raises
    ------
    InputRefusedError
        If the file cannot be opened, or has more than `max_bytes` bytes.
    """
    data, problem = _read_up_to(path, max_bytes + 1)
    if len(data) > max_bytes:
        raise InputRefusedError(str(path), f"larger than {max_bytes >> 20} MB")
    return data, problem


def _read_up_to(path: Path, n_bytes: int) -> tuple[bytes, str]:
    """Return the first bytes of a file, decompressed, and why they end early; "" if they do not."""
    start = bytearray()
    with _open(path) as raw:
        try:
            for chunk in decompress(raw):
                start += chunk
                if len(start) >= n_bytes:
                    break
        except DAMAGE as error:
            return bytes(start[:n_bytes]), reason_of_damage(error)
    return bytes(start[:n_bytes]), ""


def reason_of_damage(error: Exception) -> str:
    """Return what a reject says of an archive that cannot be read to its end."""
    return f"truncated or damaged archive: {error}"


def _open(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as error:
        raise InputRefusedError(str(path), error.strerror or "cannot be opened") from error


def _as_utf8(path: Path, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Convert the chunks of a text to UTF-8 with newlines; its first chunks decide how."""
    held: list[bytes] = []
    n_held = 0
    damage: BaseException | None = None
    try:
        for chunk in chunks:
            held.append(chunk)
            n_held += len(chunk)
            if n_held >= SAMPLE_BYTES:
                break
    except DAMAGE as error:
        damage = error
    sample = b"".join(held)[:SAMPLE_BYTES]
    encoding = encoding_of(sample)
    if sample.startswith(b"PK\x03\x04"):
        problem = "a zip archive or an Excel workbook; unpack it, or save the sheet as CSV UTF-8"
        raise InputRefusedError(str(path), problem)
    if encoding is None:
        raise InputRefusedError(str(path), UNRECOGNISED)
    # A carriage return at the end of the sample may belong to a newline after it.
    start = next(to_utf8([sample], encoding), b"").rstrip(b"\r")
    is_old_mac = b"\r" in start and b"\n" not in start
    for text in to_utf8(chain(held, chunks if damage is None else ()), encoding):
        yield text.replace(b"\r", b"\n") if is_old_mac else text
    if damage is not None:
        raise damage


def read_chunks(path: Path) -> Iterator[Chunk]:
    """Yield a text file as UTF-8, about `BATCH_BYTES` at a time.

    Raises
    ------
    InputRefusedError
        If the file cannot be opened, or its encoding cannot be recognised.
    """
    with _open(path) as raw:
        chunks: list[bytes] = []
        n_bytes = 0
        problem = ""
        try:
            for chunk in _as_utf8(path, decompress(raw)):
                chunks.append(chunk)
                n_bytes += len(chunk)
                if n_bytes >= BATCH_BYTES:
                    yield Chunk(b"".join(chunks), raw.tell())
                    chunks, n_bytes = [], 0
        except UnicodeDecodeError as error:
            problem = f"the text is damaged: {error.reason}"
        except DAMAGE as error:
            problem = reason_of_damage(error)
        yield Chunk(b"".join(chunks), raw.tell(), problem)


def read_blocks(path: Path) -> Iterator[Block]:
    """Yield the lines of a file in blocks of about `BATCH_BYTES`.

    Parameters
    ----------
    path
        The file, plain or compressed.

    Raises
    ------
    InputRefusedError
        If the file cannot be opened, or its encoding cannot be recognised.
    """
    pending, line, skipping = b"", 1, False
    for chunk in read_chunks(path):
        data = chunk.data
        if skipping:
            end = data.find(b"\n") + 1
            skipping = not end
            line += bool(end)
            data = data[end:] if end else b""
        end = len(data) if chunk.problem else data.rfind(b"\n") + 1
        if end or chunk.problem:
            whole = _without_marks(b"".join((pending, memoryview(data)[:end])))
            block = Block(whole, line, chunk.position, chunk.problem)
            pending = data[end:]
            yield block
            line += block.n_lines
        else:
            pending += data
        if len(pending) > MAX_LINE_BYTES:
            problem = f"line of more than {MAX_LINE_BYTES} bytes"
            yield Block(b"", line, chunk.position, problem, pending[:DROPPED_BYTES])
            pending, skipping = b"", True
    if pending:
        yield Block(_without_marks(pending), line, chunk.position)


def _without_marks(data: bytes) -> bytes:
    """Return lines without the byte order marks at the beginning of some."""
    if data.isascii() or not (data.startswith(BYTE_ORDER_MARK) or b"\n" + BYTE_ORDER_MARK in data):
        return data
    return _LEADING_MARKS.sub(b"", data)
