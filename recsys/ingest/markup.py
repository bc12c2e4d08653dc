"""Decode XML and HTML, and remove what their parsers cannot bear, in linear time."""

import codecs
import re

from recsys.errors import InputRefusedError

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

    Examples
    --------
    >>> clean_markup("a\x00b&#0;c&#xD800;d&#65;")
    'abcd&#65;'
    """
    return _REFERENCE.sub(_allowed, _NOT_XML.sub("", text))


def _allowed(reference: re.Match[str]) -> str:
    """Return a character reference, or "" if XML does not allow its character."""
    hexadecimal, decimal = (digits and digits.lstrip("0") for digits in reference.groups())
    if len(hexadecimal or decimal or "") > 7:
        return ""
    number = int(hexadecimal or "0", 16) if decimal is None else int(decimal or "0")
    is_allowed = 0 < number <= 0x10FFFF and not _NOT_XML.match(chr(number))
    return reference[0] if is_allowed else ""


def without_prolog(text: str) -> str:
    """Return a document from its root element on: without declaration, comments and DOCTYPE.

    Entities that a DOCTYPE declares are lost with it, and so are those that would expand without
    bound.

    Examples
    --------
    >>> without_prolog("<?xml version='1.0'?> <!DOCTYPE a [<!ENTITY b '>'>]> <!-- <c> --> <a/>")
    '<a/>'
    """
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
    root = _ROOT.match(without_prolog(text)) if text.lstrip().startswith("<") else None
    return "" if root is None else root[1].lower()


def require_size(path: str, data: bytes, max_bytes: int) -> None:
    """Check that a file that is parsed as a whole is not too large.

    Raises
    ------
    InputRefusedError
        If it has more than `max_bytes` bytes.
    """
    if len(data) > max_bytes:
        raise InputRefusedError(path, f"larger than {max_bytes >> 20} MB")
