"""Read a JSON object by the json module, which reads NaN and numbers of any size."""

import json

from recsys.ingest.text import encodable
from recsys.rows import is_text

MAX_DIGITS = 4_000  # Python refuses to read longer integers
UNREADABLE = (ValueError, RecursionError)  # msgspec.DecodeError and UnicodeError are ValueErrors
_NOT_OBJECT = "not a JSON object"


def _read_float(text: str) -> float | str:
    """Return a number as float, or as it is written if it is too large for one."""
    number = float(text)
    return number if abs(number) < float("inf") else text


def _read_int(text: str) -> int | str:
    return int(text) if len(text) < MAX_DIGITS else text


JSON = json.JSONDecoder(
    parse_float=_read_float,
    parse_int=_read_int,
    parse_constant=str,  # NaN and the infinities, whose field decides what they mean
)


def object_of(line: bytes) -> dict[str, object] | str:
    """Return the object on a line, or the reason for rejecting the line."""
    try:
        return checked_object(JSON.decode(line.decode("utf-8")))
    except UnicodeDecodeError:
        return "broken UTF-8"
    except UNREADABLE:
        return _NOT_OBJECT


def checked_object(value: object) -> dict[str, object] | str:
    """Return a value as an object whose texts can be encoded, or the reason for rejecting it.

    Escapes may hold half of a surrogate pair; see `recsys.ingest.text.encodable`.
    """
    if not isinstance(value, dict):
        return _NOT_OBJECT
    try:
        text = json.dumps(value, ensure_ascii=False)
        if is_text(text):
            return value
        decoded: dict[str, object] = json.loads(encodable(text), strict=False)
        return decoded
    except UNREADABLE:
        return _NOT_OBJECT
