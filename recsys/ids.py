"""One spelling of an id, whatever its type, so that one user or article has one id."""

import math
import unicodedata
from numbers import Integral, Real
from typing import SupportsIndex

Id = str | float | SupportsIndex  # an id as a caller may give it
MOST_CHARACTERS = 512  # of an id in the store
_WHOLE_FLOATS = 2.0**53  # a larger float may have lost digits of the id


def spelled_id(value: Id) -> str:
    r"""Return an id as the store spells it.

    A text loses white space at its ends and is composed (Unicode NFC). A whole number, of Python
    or numpy, becomes its decimal digits; pandas turns whole numbers into floats where a column
    has gaps, so a float without a fraction is a whole number too.

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
        text = value.strip()
        # No longer text is an id, and composing takes quadratic time.
        if text.isascii() or len(text) > MOST_CHARACTERS:
            return str(text)
        return unicodedata.normalize("NFC", text)
    if isinstance(value, Integral) and not isinstance(value, bool):
        return str(int(value))
    if isinstance(value, Real) and not isinstance(value, bool):
        number = float(value)
        if math.isfinite(number) and number.is_integer() and abs(number) < _WHOLE_FLOATS:
            return str(int(number))
    raise TypeError("an id must be a text or a whole number")
