"""Read JSON objects by the json module: one on a line, or many in an array of any size.

The json module is slower than msgspec, but reads NaN and numbers of any size, and values one after
the other.
"""

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path

from recsys.ingest.blocks import MAX_LINE_BYTES, read_chunks
from recsys.ingest.records import readable
from recsys.rows import Reject, is_text

MAX_DIGITS = 4_000  # Python refuses to read longer integers
UNREADABLE = (ValueError, RecursionError)  # msgspec.DecodeError and UnicodeError are ValueErrors
_NOT_OBJECT = "not a JSON object"
_BETWEEN = re.compile("[\\s,\\[\\]\ufeff]*")  # objects


def _read_float(text: str) -> float | str:
    """Return a number as float, or as it is written if it is too large for one."""
    number = float(text)
    return number if abs(number) < float("inf") else text


def _read_int(text: str) -> int | str:
    return int(text) if len(text) < MAX_DIGITS else text


def _read_constant(text: str) -> None:
    """Return None for NaN and the infinities: the value is not known."""


JSON = json.JSONDecoder(
    parse_float=_read_float,
    parse_int=_read_int,
    parse_constant=_read_constant,
)


def object_of(line: bytes) -> dict[str, object] | str:
    """Return the object on a line, or the reason for rejecting the line."""
    try:
        text = line.decode("utf-8")
        return checked_object(JSON.decode(text), text)
    except UnicodeDecodeError:
        return "broken UTF-8"
    except UNREADABLE:
        return _NOT_OBJECT


def checked_object(value: object, text: str) -> dict[str, object] | str:
    """Return a value if it is an object of texts, or the reason for rejecting it."""
    if not is_text(text):
        return "broken UTF-8"
    if not isinstance(value, dict):
        return _NOT_OBJECT
    try:
        # Only an escape can hold half of a surrogate pair.
        if "\\u" in text and not is_text(json.dumps(value, ensure_ascii=False)):
            return "not text: half of a surrogate pair"
    except RecursionError:
        return _NOT_OBJECT
    return value


def values_of_array(path: Path) -> Iterator[tuple[int, dict[str, object] | Reject, int]]:
    """Yield the line, the value and the position in the file of each value of some arrays.

    A value that is no object is a reject. So is a damaged one; reading goes on at the next line
    that begins as it does, or ends there.
    """
    decode = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode
    chunks = read_chunks(path)
    text, line, position, problem = "", 1, 0, ""
    indent: str | None = ""  # before the value; None if the value is not the first of its line
    is_last = False
    while not is_last:
        chunk = next(chunks, None)
        is_last = chunk is None
        if chunk is not None:
            text += decode(chunk.data)
            position, problem = chunk.position, chunk.problem
        at = 0
        while (between := _BETWEEN.match(text, at)) is not None:
            if between[0]:
                _, newline, last_line = between[0].rpartition("\n")
                indent = last_line if newline or line == 1 else None
                line += between[0].count("\n")
                at = between.end()
            if at == len(text):
                break
            value, end = _value_at(text, at)
            is_cut = end < 0 or (end == len(text) and text[at] not in '{"')
            if is_cut and not is_last and len(text) - at <= MAX_LINE_BYTES:
                break
            if end < 0 and indent is not None:
                end = text.find(f"\n{indent}{{", at)
            if end < 0:
                problem, is_last = problem or "the JSON is damaged from here on", True
                break
            source = text[at:end]
            checked = checked_object(value, source)
            if isinstance(checked, str):
                yield line, Reject(line, "", checked, readable(source)), position
            else:
                yield line, checked, position
            line += source.count("\n")
            at = end
        text = text[at:]
    if problem:
        yield line, Reject(line, "", problem, readable(text)), position


def _value_at(text: str, start: int) -> tuple[object, int]:
    """Return the JSON value at a place and where it ends; (None, -1) if there is none."""
    try:
        return JSON.raw_decode(text, start)
    except UNREADABLE:
        return None, -1
