"""Find an id in the bytes of files, in each spelling in which a file may have it."""

import html
import json
import re
import unicodedata
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import quote

# An id ends where another letter, digit, underscore or byte of a longer character does not follow.
_NO_WORD_BEFORE = rb"(?<![0-9A-Za-z_\x80-\xff])"
_NO_WORD_AFTER = rb"(?![0-9A-Za-z_\x80-\xff])"
# Letters and digits that are the end of an escaped blank, quote or separator, and of no word.
_ESCAPE_BEFORE = rb"(?<=\\[tnrbf])|(?<=\\u[0-9a-fA-F]{4})|(?<=%[0-9a-fA-F]{2})"
_MOST_BEFORE = 6  # bytes of such an escape


class Found(NamedTuple):
    """How often an id was found.

    Attributes
    ----------
    whole
        By itself.
    within
        Within longer words, as "u1" is within "u12": it may be another id.
    """

    whole: int
    within: int


def spellings(id_: str) -> list[bytes]:
    r"""Return the bytes by which files may spell an id, in UTF-8.

    They are the id composed and decomposed, each as text, as JSON writes it, as an address, as
    HTML and as CSV with doubled quotes.

    Examples
    --------
    >>> spellings("a/ü")[:3]
    [b'a/\xc3\xbc', b'a/\\u00fc', b'a/\\u00FC']
    """
    found: dict[bytes, None] = {}
    for text in dict.fromkeys((id_, unicodedata.normalize("NFD", id_))):
        escaped, plain = json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]
        upper = re.sub(r"\\u[0-9a-f]{4}", lambda m: r"\u" + m[0][2:].upper(), escaped)
        written = [text, escaped, upper, plain]
        written += [spelled.replace("/", r"\/") for spelled in written]
        encoded = [quote(text, safe=safe) for safe in ("", "/", "@:/")]
        lower = [re.sub("%[0-9A-F]{2}", lambda m: m[0].lower(), address) for address in encoded]
        written += [*encoded, *lower, quote(text, safe="").replace("%20", "+")]
        written += [html.escape(text), html.escape(text, quote=False), text.replace('"', '""')]
        found |= {spelled.encode("utf-8"): None for spelled in written}
    return list(found)


class IdSearch:
    """Searches bytes for an id.

    Parameters
    ----------
    ids
        What to search for: an id, and what else names the same user. None may be empty.

    Examples
    --------
    >>> IdSearch(["u1"]).count([b"u1,a7 u12,a8", b" u1"])
    Found(whole=2, within=1)
    """

    def __init__(self, ids: Iterable[str]) -> None:
        self._spellings = [spelled for id_ in ids for spelled in spellings(id_)]
        # The longest first, so that no spelling is taken for the beginning of another.
        self._spellings.sort(key=len, reverse=True)
        any_of = b"(?:" + b"|".join(map(re.escape, self._spellings)) + b")"
        self._any = re.compile(any_of)
        before = b"(?:" + _NO_WORD_BEFORE + b"|" + _ESCAPE_BEFORE + b")"
        self._whole = re.compile(before + any_of + _NO_WORD_AFTER)
        self._reach = max(map(len, self._spellings)) + 1  # of a match, with the byte after it

    def holds(self, text: str) -> bool:
        """Return whether a text has the id by itself."""
        return self._whole.search(text.encode("utf-8", "surrogatepass")) is not None

    def count(self, chunks: Iterable[bytes]) -> Found:
        """Return how often the id is in bytes that come in pieces, in bounded memory."""
        whole = n_any = 0
        data, begin = b"", 0  # what was read, and where matches begin that were not counted
        for chunk in chunks:
            data += chunk
            end = max(begin, len(data) - self._reach)
            whole, n_any = self._add(data, begin, end, whole, n_any)
            kept = max(0, end - _MOST_BEFORE)
            data, begin = data[kept:], end - kept
        whole, n_any = self._add(data, begin, len(data), whole, n_any)
        return Found(whole, max(0, n_any - whole))

    def _add(self, data: bytes, begin: int, end: int, whole: int, n_any: int) -> tuple[int, int]:
        """Return both counts after the matches that begin in data[begin:end]."""
        if not any(data.find(spelled, begin) >= 0 for spelled in self._spellings):
            return whole, n_any  # much faster than the patterns
        for match in self._whole.finditer(data, begin):
            whole += match.start() < end
        for match in self._any.finditer(data, begin):
            n_any += match.start() < end
        return whole, n_any
