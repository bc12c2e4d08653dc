"""Normalise the texts that publishers send, so that equal texts compare as equal.

For example `LIFESTYLE&nbsp`, an HTML entity without its semicolon as some sites send it, becomes
`LIFESTYLE`. Characters that are never text are removed: control characters, which could command a
terminal; byte order marks; and the two controls that reverse the direction of all that follows
(U+202D, U+202E). The other controls of direction belong to Hebrew and Arabic texts and stay.
"""

import html
import re
import unicodedata
from urllib.parse import urljoin, urlsplit

_BLANKS = re.compile(r"[^\S\n]+")
_BREAKS = re.compile(r" ?\n[ \n]*")
_LINE_ENDS = re.compile("[\r\x0b\x0c\x85\u2028\u2029]")
_NEVER_TEXT = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\u202d\u202e\ufeff]")
_SURROGATES = re.compile("[\ud800-\udfff]")
_LONG_REFERENCE = re.compile(r"&#0*(\d{8})\d*")
# Unicode's stream-safe format allows 30 marks on a letter (UAX #15, section 13). Converting more to
# NFC takes time with the square of their number.
MAX_MARKS = 30
_LONG_RUN = re.compile(rf"[^\w\s\x00-\u02ff]{{{MAX_MARKS + 1},}}")

_INLINE = (
    "a abbr acronym area audio b bdi bdo big cite code data del dfn em embed font i img input ins"
    " kbd label map mark nobr object param picture q rp rt ruby s samp small source span strike"
    " strong sub sup time track tt u var video wbr o:p amp-[a-z-]+"
)
_BLOCKS = (
    "address article aside blockquote body br button canvas caption center col colgroup dd details"
    " dialog dir div dl dt fieldset figcaption figure footer form h1 h2 h3 h4 h5 h6 header hgroup"
    " hr html iframe legend li link main menu meta nav noscript ol optgroup option p pre section"
    " select summary table tbody td textarea tfoot th thead tr ul"
)
_WITHOUT_TEXT = ("script", "style", "template", "head", "svg")
# A tag ends at ">"; none goes beyond the next "<", so the search takes linear time.
_ATTRIBUTES = r"""(?:\s(?:[^<>"']|"[^"<]*"|'[^'<]*')*|\s[^<>]*)?/?>"""


def _tags(names: str) -> re.Pattern[str]:
    return re.compile(rf"</?(?:{names.replace(' ', '|')}){_ATTRIBUTES}", re.IGNORECASE)


_NO_TAG = re.compile(r"<!DOCTYPE[^<>]*>|<!\[CDATA\[|\]\]>", re.IGNORECASE)
# Not white space, a soft hyphen, of no width, or a direction.
_VISIBLE = re.compile(r"[^\s\xad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_INLINE_TAG, _BLOCK_TAG = _tags(_INLINE), _tags(_BLOCKS)
_ESCAPED_BLOCK = re.compile(rf"\s*&lt;(?:{_BLOCKS.replace(' ', '|')})(?:\s|/?&gt;)", re.IGNORECASE)


def normalise_body(text: str) -> str:
    r"""Decode entities, convert to Unicode NFC, and collapse white space.

    A paragraph break becomes one newline. A text of invisible characters alone is empty. Of more
    than `MAX_MARKS` combining marks on one letter, the others are dropped.

    Examples
    --------
    >>> normalise_body("Tom &amp; Jerry&nbsp;\r\n\r\n  return ")
    'Tom & Jerry\nreturn'
    """
    # Python refuses to convert thousands of digits; no character has a number of eight.
    text = html.unescape(_LONG_REFERENCE.sub(r"&#\1", text))
    text = _NEVER_TEXT.sub("", _LINE_ENDS.sub("\n", text))
    text = _BREAKS.sub("\n", _BLANKS.sub(" ", nfc(text))).strip()
    return text if _VISIBLE.search(text) else ""


def normalise_line(text: str) -> str:
    """Normalise a text of one line, such as a title, by `normalise_body`.

    Examples
    --------
    >>> normalise_line(" LIFESTYLE&nbsp ")
    'LIFESTYLE'
    """
    return normalise_body(text).replace("\n", " ")


def encodable(text: str) -> str:
    r"""Return a text that UTF-8 can encode; half of a surrogate pair becomes a NUL.

    JSON may hold half of a pair. No id has a NUL, and other texts lose it.

    Examples
    --------
    >>> encodable("a\ud800")
    'a\x00'
    """
    return _SURROGATES.sub("\x00", text)


def nfc(text: str) -> str:
    """Convert a text to Unicode NFC, in time linear in its length; see `MAX_MARKS`."""
    if text.isascii():
        return text
    return unicodedata.normalize("NFC", _LONG_RUN.sub(_with_few_marks, text))


def _with_few_marks(run: re.Match[str]) -> str:
    kept, n_marks = [], 0
    for character in run[0]:
        n_marks = n_marks + 1 if unicodedata.combining(character) else 0
        if n_marks <= MAX_MARKS:
            kept.append(character)
    return "".join(kept)


def line_of_html(text: str) -> str:
    """Return a text of one line without the tags of HTML; a `<` of another meaning stays.

    Examples
    --------
    >>> line_of_html("<em>Big</em> news &amp; 5 < 6 for a List<T>")
    'Big news & 5 < 6 for a List<T>'
    """
    return normalise_line(_without_tags(text) if "<" in text else text)


def body_of_html(text: str) -> str:
    r"""Return a text without the tags of HTML, one paragraph a line.

    A text that has no tags is returned with its own lines. Where HTML has blocks such as `<p>`,
    they make the lines, and line ends in its source are blanks.

    Examples
    --------
    >>> body_of_html("<p>One\nand <b>two</b></p><p>5 &lt; 6</p>")
    'One and two\n5 < 6'
    """
    if _ESCAPED_BLOCK.match(text):  # a CMS escaped it once too often
        text = html.unescape(_LONG_REFERENCE.sub(r"&#\1", text))
    return normalise_body(_without_tags(text) if "<" in text else text)


def _without_tags(text: str) -> str:
    text = _NO_TAG.sub("", _without_parts(text, re.compile("<!--"), re.compile("-->")))
    for name in _WITHOUT_TEXT:
        start = re.compile(rf"<{name}{_ATTRIBUTES}", re.IGNORECASE)
        text = _without_parts(text, start, re.compile(rf"</{name}\s*>", re.IGNORECASE))
    if _BLOCK_TAG.search(text):
        text = _BLOCK_TAG.sub("\n", re.sub(r"\s+", " ", text))
    return _INLINE_TAG.sub("", text)


def _without_parts(text: str, start: re.Pattern[str], end: re.Pattern[str]) -> str:
    """Return a text without its parts from a start to an end; an unclosed start stays."""
    kept, at = [], 0
    while (begin := start.search(text, at)) and (close := end.search(text, begin.end())):
        kept.append(text[at : begin.start()])
        at = close.end()
    return "".join(kept) + text[at:]


def normalise_url(url: str) -> str:
    """Return an http or https address, and "" for any other; nothing in it is decoded.

    Examples
    --------
    >>> normalise_url(" https://news.example/?id=4&section=money ")
    'https://news.example/?id=4&section=money'
    >>> normalise_url("javascript:alert(1)")
    ''
    """
    url = _NEVER_TEXT.sub("", _LINE_ENDS.sub("", url)).replace("\n", "").replace("\t", "").strip()
    return url if url.lower().startswith(("http://", "https://")) else ""


def absolute_url(base: str, link: str) -> str:
    """Return a link as an absolute http or https address; "" if it cannot be one.

    Examples
    --------
    >>> absolute_url("https://news.example/feed", "//news.example/a?b=1&section=2")
    'https://news.example/a?b=1&section=2'
    """
    if not link:
        return ""
    try:
        address = urljoin(base, link.strip())
        return address if urlsplit(address).scheme in ("http", "https") else ""
    except ValueError:  # such as an unclosed bracket in the host
        return ""
