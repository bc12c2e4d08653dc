"""The one spelling of an id.

An id arrives as a CMS, a browser, a data frame or a spreadsheet writes it: composed or decomposed,
with blanks around it, as `7` or `7.0`. All of these are one id.
"""

import re
import unicodedata

MAX_ID_LENGTH = 512
# White space, byte order marks and zero-width characters: not part of an id that they surround.
_AROUND = (
    "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007"
    "\u2008\u2009\u200a\u200b\u200c\u200d\u2028\u2029\u202f\u205f\u2060\u3000\ufeff"
)
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_UNREADABLE = re.compile("[\ufffd\ud800-\udfff]")
_WHOLE_FLOAT = re.compile(r"(-?)(0|[1-9]\d*)\.0*", re.ASCII)
# `1e22` is not here, because an id may be a hexadecimal number.
_ROUNDED = re.compile(r"-?\d+(?:\.\d+e[+-]?|e\+)\d+", re.ASCII | re.IGNORECASE)
NOT_GIVEN = ("null", "NULL", "None", "nan", "NaN", "NaT", "<NA>", "undefined")
MOST_EXACT = 2**53  # larger whole numbers are rounded when they are floats
# A pattern (of Rust) for texts that `spelled_id` may change or refuse; any other id is as it is.
MAY_CHANGE = (
    r"^$|[^!-~]|^-?[0-9]+(?:\.0*$|\.[0-9]+[eE]|[eE]\+)"
    rf"|^(?:{'|'.join(NOT_GIVEN)}|(?i:true|false))$"
)


def spelled_id(text: str) -> str | None:
    r"""Return an id in its one spelling; None if the text says that there is none.

    White space, byte order marks and zero-width spaces at the ends are removed, characters are
    composed (NFC), and a whole number written with a point loses it.

    Parameters
    ----------
    text
        Any text.

    Raises
    ------
    ValueError
        If the text cannot be an id; the message is the reason.

    Examples
    --------
    >>> spelled_id(" 7.0"), spelled_id("cafe\u0301") == "caf\u00e9", spelled_id("NaN")
    ('7', True, None)
    """
    text = text.strip(_AROUND)
    if not text or text in NOT_GIVEN:
        return None
    if len(text) > MAX_ID_LENGTH:
        raise ValueError("id too long")
    if _UNREADABLE.search(text):
        raise ValueError("unreadable characters in an id")
    if _CONTROL.search(text):
        raise ValueError("control characters in an id")
    if text.lower() in ("true", "false"):
        raise ValueError("true or false is not an id")
    if _ROUNDED.fullmatch(text):
        raise ValueError("a rounded number is not an id")
    if whole := _WHOLE_FLOAT.fullmatch(text):
        if int(whole[2]) > MOST_EXACT:
            raise ValueError("a rounded number is not an id")
        return (whole[1] if int(whole[2]) else "") + whole[2]
    text = unicodedata.normalize("NFC", text)
    if len(text) > MAX_ID_LENGTH:
        raise ValueError("id too long")
    return text
