"""Languages by their codes: `de`, `de-AT` and `de_DE` are one language, German."""

import re

_CODE = re.compile(r"([a-z]{2,3})(?:[-_][a-z0-9]+)*", re.IGNORECASE)
_NO_LANGUAGE = {"mis", "mul", "und", "zxx"}  # ISO 639-2: uncoded, several, undetermined, none


def primary_language(code: str) -> str:
    """Return the language of a code in small letters, without region and script; "" for none.

    References
    ----------
    RFC 5646, "Tags for Identifying Languages", section 2.2.1.

    Examples
    --------
    >>> primary_language("de-AT"), primary_language("pt_BR"), primary_language("EN")
    ('de', 'pt', 'en')
    >>> primary_language("und"), primary_language("German"), primary_language("")
    ('', '', '')
    """
    found = _CODE.fullmatch(code.strip())
    language = found[1].lower() if found else ""
    return "" if language in _NO_LANGUAGE else language
