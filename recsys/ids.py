"""One spelling of an id, whatever its type, so that one user or article has one id.

An id arrives as a CMS, a browser, a data frame or a spreadsheet writes it: composed or decomposed,
with blanks around it, as `7` or `7.0`. All spellings of one id must be one id, in the store and in
calls of `recommend()`.
"""

import math
import re
import unicodedata
from numbers import Integral, Real
from typing import SupportsIndex

Id = str | float | SupportsIndex  # an id as a caller may give it
MOST_CHARACTERS = 512  # of an id in the store
MOST_EXACT = 2**53 - 1  # a larger float may have lost digits of the id
# Texts by which programs say that there is no id.
NOT_GIVEN = ("null", "NULL", "None", "nan", "NaN", "NaT", "<NA>", "undefined")
# White space, byte order marks and zero-width characters: not part of an id that they surround.
_AROUND = (
    "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007"
    "\u2008\u2009\u200a\u200b\u200c\u200d\u2028\u2029\u202f\u205f\u2060\u3000\ufeff"
)
_WHOLE_FLOAT = re.compile(r"(-?(?:0|[1-9]\d{0,15}))\.0*", re.ASCII)
# As a spreadsheet shortens a long number. `1e22` may be a hexadecimal id.
_ROUNDED = re.compile(r"-?\d+(?:\.\d+e[+-]?|e\+)\d+|-?\d{16,}\.0*", re.ASCII | re.IGNORECASE)
_STRUCTURE = re.compile(
    r"""\{\s*(?:".*)?\}|\[\s*(?:["'\[{\d-].*|(?:true|false|null)\b.*)?\]""", re.DOTALL | re.ASCII
)
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_UNREADABLE = re.compile("[\ufffd\ud800-\udfff]")
# A pattern (of Rust) for texts that `usable_id` may change or refuse; any other text stays.
MAY_CHANGE = (
    r"^$|^[\[{]|[^!-~]|^-?[0-9]+(?:\.0*$|\.[0-9]+[eE]|[eE]\+)"
    rf"|^(?:{'|'.join(NOT_GIVEN)}|(?i:true|false))$"
)


def spelled_id(value: Id) -> str:
    r"""Return an id as the store spells it.

    A text loses white space, byte order marks and zero-width characters at its ends, and is
    composed (Unicode NFC). A whole number, of Python or numpy, becomes its decimal digits. pandas
    turns whole numbers into floats where a column has gaps, so a float without a fraction is a
    whole number too, and so is its text, such as "7.0".

    Raises
    ------
    TypeError
        If the value is neither a text nor a whole number.

    Examples
    --------
    >>> spelled_id(7), spelled_id(7.0), spelled_id(" a7 "), spelled_id("cafe\u0301") == "café"
    ('7', '7', 'a7', True)
    """
    if isinstance(value, str):
        text = str(value).strip(_AROUND)
        if text.isascii():
            whole = _WHOLE_FLOAT.fullmatch(text) if "." in text else None
            return str(int(whole[1])) if whole and abs(int(whole[1])) <= MOST_EXACT else text
        # No longer text is an id, and composing takes quadratic time.
        return text if len(text) > MOST_CHARACTERS else unicodedata.normalize("NFC", text)
    if isinstance(value, Integral) and not isinstance(value, bool):
        return str(int(value))
    if isinstance(value, Real) and not isinstance(value, bool):
        number = float(value)
        if math.isfinite(number) and number.is_integer() and abs(number) <= MOST_EXACT:
            return str(int(number))
    raise TypeError("an id must be a text or a whole number")


def usable_id(text: str) -> str | None:
    """Return the id that a text of an input file holds; None if it says that there is none.

    Raises
    ------
    ValueError
        If the text cannot be an id; the message is the reason.

    Examples
    --------
    >>> usable_id(" 7.0"), usable_id("NaN")
    ('7', None)
    """
    id_ = spelled_id(text)
    if not id_ or id_ in NOT_GIVEN:
        return None
    if _STRUCTURE.fullmatch(id_):
        raise ValueError("a list or an object is not an id")
    if len(id_) > MOST_CHARACTERS:
        raise ValueError("id too long")
    if _UNREADABLE.search(id_):
        raise ValueError("unreadable characters in an id")
    if _CONTROL.search(id_):
        raise ValueError("control characters in an id")
    if id_.lower() in ("true", "false"):
        raise ValueError("true or false is not an id")
    if _ROUNDED.fullmatch(id_):
        raise ValueError("a rounded number is not an id")
    return id_
