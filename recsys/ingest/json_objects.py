"""Read JSON by the json module: NaN is null, and numbers of any size are read.

It is slower than msgspec, and reads what msgspec refuses: NaN, numbers beyond a double, and half
surrogates, which become NUL (see `recsys.ingest.text.encodable`).
"""

import json
from decimal import Decimal

from recsys.ingest.text import encodable

MAX_DIGITS = 4_000  # Python refuses to read longer integers
UNREADABLE = (ValueError, RecursionError)  # msgspec.DecodeError and UnicodeError are ValueErrors
NOT_OBJECT = "not a JSON object"


def _read_float(text: str) -> float | str:
    """Return a number as float; as text if it is too large for one."""
    number = float(text)
    return number if abs(number) < float("inf") else str(Decimal(text))


def _read_int(text: str) -> int | str:
    return int(text) if len(text) < MAX_DIGITS else text


def _read_constant(text: str) -> str | None:
    """Return null for NaN, by which pandas says that there is no value; infinities as text."""
    return None if text == "NaN" else text


JSON = json.JSONDecoder(parse_float=_read_float, parse_int=_read_int, parse_constant=_read_constant)


def object_of(line: bytes) -> dict[str, object] | str:
    """Return the object on a line, or the reason for rejecting the line."""
    try:
        text = line.decode("utf-8")
        value = JSON.decode(text)
        if not isinstance(value, dict):
            return NOT_OBJECT
        # Only an escape can hold half of a surrogate pair.
        return encodable_object(value) if "\\u" in text else value
    except UnicodeDecodeError:
        return "broken UTF-8"
    except UNREADABLE:
        return NOT_OBJECT


def encodable_object(value: dict[str, object]) -> dict[str, object]:
    """Return an object whose texts UTF-8 can encode, see `recsys.ingest.text.encodable`."""
    return {encodable(key): _encodable_value(inner) for key, inner in value.items()}


def _encodable_value(value: object) -> object:
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, list):
        return [_encodable_value(item) for item in value]
    return encodable_object(value) if isinstance(value, dict) else value
