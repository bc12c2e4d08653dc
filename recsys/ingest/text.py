"""Normalise the texts that publishers send, so that equal texts compare as equal.

For example `LIFESTYLE&nbsp`, an HTML entity without its semicolon as some sites send it, becomes
`LIFESTYLE`.
"""

import html
import re
import unicodedata

_BLANKS = re.compile(r"[^\S\n]+")
_BREAKS = re.compile(r" ?\n[ \n]*")
# Control characters other than newline and tab carry no text and break terminals and XML.
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def normalise_body(text: str) -> str:
    r"""Decode entities, convert to Unicode NFC, and collapse white space.

    A paragraph break becomes one newline.

    Examples
    --------
    >>> normalise_body("Tom &amp; Jerry&nbsp;\r\n\r\n  return ")
    'Tom & Jerry\nreturn'
    """
    text = unicodedata.normalize("NFC", html.unescape(text))
    text = _CONTROLS.sub("", text.replace("\r", "\n"))
    return _BREAKS.sub("\n", _BLANKS.sub(" ", text)).strip()


def normalise_line(text: str) -> str:
    """Normalise a text of one line, such as a title, by `normalise_body`.

    Examples
    --------
    >>> normalise_line(" LIFESTYLE&nbsp ")
    'LIFESTYLE'
    """
    return normalise_body(text).replace("\n", " ")


def normalise_url(url: str) -> str:
    """Return the address if its scheme is http or https, and "" for any other.

    Examples
    --------
    >>> normalise_url("javascript:alert(1)")
    ''
    """
    url = normalise_line(url)
    return url if url.lower().startswith(("http://", "https://")) else ""
