"""Decode XML and HTML, and mend what their parsers cannot bear, in linear time."""

import codecs
import html
import re
from html.entities import html5

# Characters that XML does not allow, and half of a surrogate pair.
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_REFERENCE = re.compile(r"&#(?:[xX]([0-9a-fA-F]+)|([0-9]+));?")
_DECLARED = re.compile(
    rb"""<\?xml[^>]*?encoding\s*=\s*["']([\w.:-]+)|<meta[^>]*?charset\s*=\s*["']?\s*([\w.:-]+)""",
    re.IGNORECASE,
)
DECLARATION_BYTES = 4096  # an encoding is declared within the first 1,024 bytes, or a little later
# Python has more encodings, such as zip and punycode, that are no encodings of a page.
_ENCODINGS_OF_PAGES = re.compile(
    r"iso-8859-\d+|windows-\d+|cp\d+|koi8-[ru]|gb2312|gbk|gb18030|big5(-hkscs)?|euc-(jp|kr)"
    r"|shift[_-]jis|iso-2022-jp|mac(intosh|-roman)|latin-?\d|us-ascii|ascii",
)
_LIKE_WINDOWS = re.compile("iso-8859-1|latin-?1|(us-)?ascii")  # as browsers take them
_NULLS = {b"<\0": "utf-16-le", b"\0<": "utf-16-be"}
_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
_PROLOG = re.compile(r"\s*<(\?|!--|!DOCTYPE)", re.IGNORECASE)
_PROLOG_ENDS = {"?": "?>", "!--": "-->"}
_DOCTYPE_PART = re.compile(r"""[^"'\[\]<>]+|"[^"]*"|'[^']*'|<!--""")
_ROOT = re.compile(r"<(?:[\w.-]+:)?([A-Za-z_][\w.-]*)")
# An entity whose text is short, and is no markup.
_ENTITY = re.compile(
    r"""<!ENTITY\s+([\w.-]+)\s+"""
    r"""(?:"((?:[^"<&%]|&\#\w{1,8};){0,100})"|'((?:[^'<&%]|&\#\w{1,8};){0,100})')\s*>"""
)
MAX_ENTITIES = 10_000  # of those that a document declares itself, so that it stays small
# Parts where an ampersand is one, references that every parser knows, and other ampersands.
_AMPERSAND = re.compile(
    r"<!\[CDATA\[.*?(?:\]\]>|\Z)|<!--.*?(?:-->|\Z)"
    r"|&(?:lt|gt|amp|quot|apos|#[0-9]+|#x[0-9a-fA-F]+);|&(?:(?P<name>[\w.-]+);)?",
    re.DOTALL,
)


def decode_markup(data: bytes) -> str:
    r"""Decode a page or a feed: by its byte order mark, as UTF-8, or as it declares.

    A page that is UTF-8 is read as such whatever it declares, since many are converted when saved.

    Examples
    --------
    >>> decode_markup(b'<meta charset="windows-1253">\xe1')
    '<meta charset="windows-1253">α'
    """
    for mark, encoding in _MARKS.items():
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, "replace")
    if encoding_by_nulls := _NULLS.get(data[:2]):
        return data.decode(encoding_by_nulls, "replace")
    match = _DECLARED.search(data[:DECLARATION_BYTES])
    declared = "" if match is None else (match[1] or match[2]).decode().lower()
    # This one consists of ASCII and escapes.
    if declared == "iso-2022-jp":
        return data.decode(declared, "replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    if _LIKE_WINDOWS.fullmatch(declared) or not declared:
        return data.decode("cp1252", "replace")
    if _ENCODINGS_OF_PAGES.fullmatch(declared):
        try:
            return data.decode(declared, "replace")
        except LookupError:  # such as cp9999
            pass
    return data.decode("utf-8", "replace")


def clean_markup(text: str) -> str:
    r"""Remove the characters that XML does not allow, also where they are written as references.

    References to control characters of Unicode are taken as those of Windows, as browsers do.

    Examples
    --------
    >>> clean_markup("a\x00b&#0;c&#xD800;d&#65;&#150;")
    'abcd&#65;–'
    """
    return _REFERENCE.sub(_allowed, _NOT_XML.sub("", text))


def _allowed(reference: re.Match[str]) -> str:
    """Return a character reference, or "" if XML does not allow its character."""
    hexadecimal, decimal = (digits and digits.lstrip("0") for digits in reference.groups())
    if len(hexadecimal or decimal or "") > 7:
        return ""
    number = int(hexadecimal or "0", 16) if decimal is None else int(decimal or "0")
    if 0x80 <= number < 0xA0:
        return html.unescape(reference[0])
    is_allowed = 0 < number <= 0x10FFFF and not _NOT_XML.match(chr(number))
    return reference[0] if is_allowed else ""


def xml_document(data: bytes) -> str:
    """Decode an XML document, and mend what parsers of XML refuse and people write.

    It begins with its root element. Its entities are those of HTML and those that it declares with
    a short text; any other ampersand is taken for itself.

    Examples
    --------
    >>> xml_document(b"<!DOCTYPE a [<!ENTITY b 'B'>]><a>&b;&eacute;&lt; ?x=1&copy=3&c;</a>")
    '<a>Bé&lt; ?x=1&amp;copy=3&amp;c;</a>'
    """
    whole = clean_markup(decode_markup(data))
    text = _without_prolog(whole)
    prolog = whole[: len(whole) - len(text)]
    declared = {
        entity[1]: html.escape(html.unescape(entity[2] or entity[3] or ""))
        for entity in _ENTITY.finditer(prolog)
    }
    n_left = MAX_ENTITIES

    def as_characters(found: re.Match[str]) -> str:
        nonlocal n_left
        if found[0][:1] == "<" or len(found[0]) > 1 and not found["name"]:
            return found[0]
        name = found["name"] or ""
        if name in declared and n_left:
            n_left -= 1
            return declared[name]
        if known := html5.get(f"{name};"):
            return html.escape(known)
        return f"&amp;{found[0][1:]}"

    return _AMPERSAND.sub(as_characters, text)


def _without_prolog(text: str) -> str:
    """Return a document from its root element on: without declaration, comments and DOCTYPE."""
    at = 0
    while match := _PROLOG.match(text, at):
        kind = match[1].upper()
        if kind == "!DOCTYPE":
            at = _doctype_end(text, match.end())
            continue
        end = text.find(_PROLOG_ENDS[kind], match.end())
        if end < 0:
            return ""
        at = end + len(_PROLOG_ENDS[kind])
    root = _ROOT.search(text, at)
    return "" if root is None else text[root.start() :]


def _doctype_end(text: str, at: int) -> int:
    """Return where a DOCTYPE ends that begins before `at`."""
    depth = 1  # of <, [ and their ends
    while depth and at < len(text):
        part = _DOCTYPE_PART.match(text, at)
        if part and part[0] == "<!--":
            end = text.find("-->", part.end())
            at = len(text) if end < 0 else end + 3
        elif part:
            at = part.end()
        else:
            depth += (text[at] in "<[") - (text[at] in ">]")
            at += 1
    return at


def root_name(text: str) -> str:
    """Return the name of the root element without its prefix, in lower case; "" if it is no markup.

    Examples
    --------
    >>> root_name("<?xml version='1.0'?><!-- a feed --><rdf:RDF xmlns='x'>")
    'rdf'
    """
    root = _ROOT.match(_without_prolog(text)) if text.lstrip().startswith("<") else None
    return "" if root is None else root[1].lower()
