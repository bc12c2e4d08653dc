"""Read the values of a JSON file one by one, however large the file is.

The file may hold one value, a value on each line, or an array that is written over many lines.
A value that is damaged costs itself, not the values after it.
"""

import codecs
import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from recsys.ingest.batches import clip
from recsys.ingest.blocks import BYTE_ORDER_MARK, Chunk, read_chunks
from recsys.ingest.json_objects import JSON
from recsys.rows import Reject, is_text

MAX_VALUE_CHARS = 32 << 20
MAX_DAMAGE_CHARS = 1 << 20  # searched for the line after a damaged value
MAX_INDENT = 200
MAX_UNLIKE = 100  # searches of a file that found no such line; each looks at MAX_DAMAGE_CHARS
MAX_DEPTH = 50  # of arrays and objects that are entered
PIECE_BYTES = 64 << 10  # decoded at once
_SEPARATORS = re.compile(r"[\s,\x1e]*")  # \x1e begins a record of RFC 7464
_COLON = re.compile(r"\s*:\s*")
_NEXT_SEPARATOR = re.compile(r"[,\n\]}]")
_CLOSERS = re.compile(r"[\]},\s]+")
# A text without an end goes to the end: it would otherwise be searched from each quote in it.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[{}\[\]]', re.DOTALL)


@dataclass(frozen=True, slots=True)
class JsonValue:
    """One value of a file.

    Attributes
    ----------
    keys
        The keys of the objects that it lies in, outermost first.
    row
        1-based line of a value that lies in no array; otherwise 1-based place in its array.
    position
        Bytes of the file read so far.
    value
        The value, see `recsys.ingest.json_objects`.
    """

    keys: tuple[str, ...]
    row: int
    position: int
    value: object

    def fields(self) -> dict[str, object]:
        """Return the value if it is an object, and an empty one otherwise."""
        return self.value if isinstance(self.value, dict) else {}


def json_values(
    path: Path, enter: Collection[tuple[str, ...]] = ()
) -> Iterator[JsonValue | Reject]:
    """Yield the values of a file; each damaged one as a reject.

    Parameters
    ----------
    path
        The file, plain or compressed.
    enter
        The keys of the objects whose values are yielded one by one instead of the object. The
        items of an array are always yielded one by one, unless it lies in a yielded value.

    Raises
    ------
    InputRefusedError
        If the file cannot be opened, or its encoding cannot be recognised.
    """
    yield from _Reader(read_chunks(path), enter).values()


def begins_json(start: bytes) -> bool:
    """Return whether a file that begins with these bytes may be an object or array of JSON."""
    return start.lstrip(BYTE_ORDER_MARK + b" \r\n\t").startswith((b"{", b"["))


def as_object(value: object) -> dict[str, object]:
    """Return an object of JSON, and an empty one for any other value."""
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> list[object]:
    """Return a list of JSON, and an empty one for any other value."""
    return value if isinstance(value, list) else []


def as_text(value: object) -> str | None:
    """Return a text or number of JSON as text, and None for any other value."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return str(value)


class _Damaged(Exception):
    """A value cannot be decoded."""


@dataclass(slots=True)
class _Open:
    """An array or object that was entered."""

    is_array: bool
    keys: tuple[str, ...]
    n_items: int = 0


class _Reader:
    """Decodes values from a buffer that holds a part of the file."""

    def __init__(self, chunks: Iterator[Chunk], enter: Collection[tuple[str, ...]]) -> None:
        self._enter = frozenset(enter)
        self._text, self._at = "", 0
        self._line, self._counted = 1, 0  # the line of the place up to which lines are counted
        self._is_whole = False  # the buffer reaches the end of the file
        self._is_lost = False  # damage without an end was met
        self._n_unlike = 0  # see MAX_UNLIKE
        self._position, self._problem = 0, ""
        self._pieces = self._decoded(chunks)

    def _decoded(self, chunks: Iterator[Chunk]) -> Iterator[str]:
        """Yield the text of the file; bytes that are not UTF-8 become half surrogates."""
        decoder = codecs.getincrementaldecoder("utf-8-sig")("surrogateescape")
        for chunk in chunks:
            self._position, self._problem = chunk.position, chunk.problem
            for begin in range(0, len(chunk.data), PIECE_BYTES):
                yield decoder.decode(chunk.data[begin : begin + PIECE_BYTES])
        yield decoder.decode(b"", final=True)

    def _read_more(self) -> bool:
        """Double the buffer; return whether there was more."""
        wanted = max(PIECE_BYTES, len(self._text) - self._at)
        self._drop_read()
        pieces, n_chars = [self._text], 0
        while n_chars < wanted:
            chunk = next(self._pieces, None)
            if chunk is None:
                self._is_whole = True
                break
            pieces.append(chunk)
            n_chars += len(chunk)
        self._text = "".join(pieces)
        return n_chars > 0

    def _drop_read(self) -> None:
        """Drop what was read from the buffer but the begin of the line: its indent is looked at."""
        begin = max(self._text.rfind("\n", 0, self._at) + 1, self._at - MAX_INDENT)
        self._count_lines(max(begin, self._counted))
        self._counted -= begin
        self._at -= begin
        self._text = self._text[begin:]

    def _give_back(self) -> None:
        """Shorten a buffer that grew for a long value.

        The json module counts the lines of all the buffer for each error.
        """
        if len(self._text) <= 4 * PIECE_BYTES:
            return
        self._drop_read()
        end = self._at + PIECE_BYTES
        rest = self._text[end:]
        if rest:
            again = (rest[i : i + PIECE_BYTES] for i in range(0, len(rest), PIECE_BYTES))
            self._pieces = chain(again, self._pieces)
            self._text, self._is_whole = self._text[:end], False

    def _peek(self) -> str:
        """Return the next character that is no separator; "" at the end of the file."""
        while True:
            match = _SEPARATORS.match(self._text, self._at)
            assert match is not None
            self._at = match.end()
            if self._at < len(self._text):
                return self._text[self._at]
            if self._is_whole or not self._read_more():
                return ""

    def values(self) -> Iterator[JsonValue | Reject]:
        """Yield the values of the file; see `json_values`."""
        stack: list[_Open] = []
        while not self._is_lost and (char := self._peek()):
            inside = stack[-1] if stack else None
            if char in "]}" and inside is not None:
                self._at += 1
                stack.pop()
                continue
            row = self._row(inside)
            try:
                keys = self._keys(inside)
                char = self._text[self._at]
                if char == "[" or (char == "{" and keys in self._enter):
                    if len(stack) == MAX_DEPTH:
                        raise _Damaged("nested too deeply")
                    self._at += 1
                    stack.append(_Open(char == "[", keys))
                    continue
                value, raw = self._decode()
            except _Damaged as damage:
                yield from self._skip_damaged(row, str(damage))
                continue
            if not is_text(raw):
                yield Reject(row, "", "broken UTF-8", _shown(raw))
                continue
            yield JsonValue(keys, row, self._position, value)
        if self._problem or (stack and not self._is_lost):
            problem = self._problem or "the file ends in the middle of its JSON"
            yield Reject(self._row(None), "", problem, "")

    def _count_lines(self, end: int) -> None:
        self._line += self._text.count("\n", self._counted, end)
        self._counted = end

    def _row(self, inside: _Open | None) -> int:
        """Return the row number of the value at the current place."""
        if inside is not None and inside.is_array:
            inside.n_items += 1
            return inside.n_items
        self._count_lines(self._at)
        return self._line

    def _keys(self, inside: _Open | None) -> tuple[str, ...]:
        """Read the key before a value, if the value lies in an object; return all its keys."""
        if inside is None or inside.is_array:
            return () if inside is None else inside.keys
        key, _ = self._decode()
        while not (colon := _COLON.match(self._text, self._at)) or colon.end() == len(self._text):
            if self._is_whole or not self._read_more():
                raise _Damaged("not JSON")
            if len(self._text) - self._at > MAX_VALUE_CHARS:
                raise _Damaged("not JSON")
        if not isinstance(key, str):
            raise _Damaged("not JSON")
        self._at = colon.end()
        return (*inside.keys, key)

    def _decode(self) -> tuple[object, str]:
        """Decode the value at the current place; return it and its text."""
        while True:
            can_grow = not self._is_whole and len(self._text) - self._at < MAX_VALUE_CHARS
            try:
                value, end = JSON.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                is_at_end = error.pos > len(self._text) - 16 or error.msg.startswith("Unterm")
                if can_grow and is_at_end and self._read_more():
                    continue
                raise _Damaged("not JSON") from error
            except RecursionError as error:
                raise _Damaged("nested too deeply") from error
            # A number at the end of the buffer may go on.
            if end == len(self._text) and can_grow and self._read_more():
                continue
            raw = self._text[self._at : end]
            self._at = end
            self._give_back()
            return value, raw

    def _skip_damaged(self, row: int, reason: str) -> Iterator[Reject]:
        """Reject the value at the current place, and go to the value after it.

        That is on the next line which is indented like the line of the damaged value, or else
        after the bracket that closes it. The rest of the file is lost if there is neither.
        """
        while (end := self._end_of_damage()) is None:
            if self._is_whole or len(self._text) - self._at > MAX_VALUE_CHARS:
                break
            self._read_more()
        raw = self._text[self._at : end]
        if end is None:
            reason = f"{reason}; the rest of the file cannot be read"
            self._is_lost, self._is_whole, self._text, end = True, True, "", 0
            self._counted = 0
        yield Reject(row, "", reason, _shown(raw))
        self._at = end
        self._give_back()

    def _end_of_damage(self) -> int | None:
        """Return the place after the damaged value at the current place; None if not found."""
        if self._at == len(self._text):
            return self._at
        first = self._text[self._at]
        if first in "]}":
            closers = _CLOSERS.match(self._text, self._at)
            assert closers is not None
            return closers.end()
        if first not in '{["':
            end = _NEXT_SEPARATOR.search(self._text, self._at + 1)
            if end is not None:
                return end.start()
            return len(self._text) if self._is_whole else None
        alike = self._line_alike(first)
        if alike is not None:
            return alike
        depth = 0
        for token in _TOKEN.finditer(self._text, self._at):
            depth += (token[0] in "{[") - (token[0] in "]}")
            if depth == 0:
                return token.end()
        return None

    def _line_alike(self, first: str) -> int | None:
        """Return the place of a character at the beginning of a line indented like this one.

        None if there is no such line, or the current place is not at the beginning of its line.
        """
        earliest = max(0, self._at - MAX_INDENT)
        line_start = self._text.rfind("\n", earliest, self._at) + 1 or earliest
        indent = self._text[line_start : self._at].replace("[", "").replace(",", "")
        if indent.strip() or self._n_unlike == MAX_UNLIKE:
            return None
        alike = re.compile(rf"\n,?{re.escape(indent)},?{re.escape(first)}").search(
            self._text, self._at, self._at + MAX_DAMAGE_CHARS
        )
        if alike is not None:
            return alike.end() - 1
        self._n_unlike += self._is_whole or len(self._text) - self._at > MAX_DAMAGE_CHARS
        return None


def _shown(raw: str) -> str:
    """Return the text of a rejected value, shortened."""
    return clip(raw).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
