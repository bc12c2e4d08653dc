"""Read what CMSs send as text: plain texts, HTML, and lists and objects in several notations.

A cell of a file is a text. It may hold a list or an object, written by JSON, Python or numpy (`['a'
'b']`), or an array of PostgreSQL (`{a,"b c"}`). Each function here returns the value of one field,
or None if the cell has no meaning for that field, such as a list of numbers for a title.
"""

import csv
import json
import re
from collections.abc import Callable, Iterable, Sequence

from recsys.ingest.text import body_of_html, line_of_html, normalise_line, normalise_url

# Keys of objects that hold a text, the name of a section, tag or person, or an address; the first
# key that an object has counts.
_TEXT_KEYS = ("rendered", "value", "text", "title", "name", "label", "content", "html")
_NAME_KEYS = ("name", "display_name", "label", "title", "term", "value", "text", "rendered", "slug")
_ADDRESS_KEYS = ("url", "href", "src", "source_url", "contentUrl", "link", "value")
_LANGUAGE = re.compile(r"[a-zA-Z]{2,3}(?:[-_][a-zA-Z0-9]+)*")
_TOKEN = re.compile(
    r"""\s*(?:(?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
    r"|(?P<number>-?\d++(?:\.\d*+)?(?:[eE][+-]?\d++)?(?![\w.]))|(?P<word>\w+)"
    r"|(?P<mark>[\[\](){},:]))",
    re.DOTALL | re.ASCII,
)
_ESCAPE = re.compile(r'\\x(?P<byte>[0-9a-fA-F]{2})|\\.|"', re.DOTALL)
_WORDS = {"True": "true", "False": "false", "None": "null", "nan": "null", "NaN": "null"}
_OPEN, _CLOSE = {"[": "[", "(": "[", "{": "{"}, {"]": "]", ")": "]", "}": "}"}
_BOOLEANS = ("true", "false")  # how a boolean of JSON arrives


def structure_of(cell: str) -> list[object] | dict[str, object] | None:
    """Return the list or object that a cell holds; None if it is a plain text.

    Examples
    --------
    >>> structure_of("['a' 'b']"), structure_of("[Update] Storm")
    (['a', 'b'], None)
    """
    text = cell.strip()
    if text[:1] not in ("[", "{") or text[-1:] not in ("]", "}"):
        return None
    for write in (str, _json_of_python):
        try:
            found = json.loads(write(text), strict=False)  # polars leaves control characters
        except (ValueError, RecursionError):
            continue
        return found if isinstance(found, list | dict) else None
    return None


def _list_of(cell: str) -> list[object] | dict[str, object] | None:
    """Return what `structure_of` does, or the items of an array as PostgreSQL writes it."""
    array = re.fullmatch(r"\s*\{([^{}\n]*,[^{}\n]*)\}\s*", cell)
    found = structure_of(cell)
    if array is None or isinstance(found, dict):
        return found
    try:
        return list(next(csv.reader([array[1]], escapechar="\\", skipinitialspace=True)))
    except csv.Error:  # an item of more than 131,072 characters
        return None


def _json_of_python(text: str) -> str:
    """Return JSON for a list or dict as Python or numpy writes it.

    Raises
    ------
    ValueError
        If it is none, or numpy left out values (`...`).
    """
    parts: list[str] = []
    at, is_set = 0, ":" not in text
    is_after_value = False
    while token := _TOKEN.match(text, at):
        at = token.end()
        mark = token["mark"]
        if mark in _CLOSE:
            parts.append("]" if is_set else _CLOSE[mark])
            is_after_value = True
            continue
        is_value = mark in _OPEN or not mark
        if is_value and is_after_value:
            parts.append(",")  # numpy separates values by blanks
        is_after_value = is_value and not mark
        if mark:
            parts.append("[" if is_set and mark in _OPEN else _OPEN.get(mark, mark))
        elif token["text"]:
            parts.append(_json_of_text(token["text"]))
        elif token["number"]:
            parts.append(re.sub(r"\.(?!\d)", ".0", token["number"]))
        else:
            parts.append(_WORDS.get(token["word"], "?"))
    if text[at:].strip():
        raise ValueError("neither Python nor numpy")
    return "".join(parts)


def _json_of_text(quoted: str) -> str:
    r"""Return the JSON of a text as Python writes it, such as `'it\'s'`."""

    def as_in_json(found: re.Match[str]) -> str:
        if found["byte"]:
            return "\\u00" + found["byte"]
        if found[0] == '"':
            return '\\"'
        return "'" if found[0] == "\\'" else found[0]

    inner = _ESCAPE.sub(as_in_json, quoted[1:-1])
    return '"' + re.sub(r"[\x00-\x1f]", " ", inner) + '"'


def _text_in(value: object, keys: Sequence[str]) -> str | None:
    """Return the one text in a value of JSON; None if there is none, or several."""
    if value is None or value in ([], {}):
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and len(value) == 1:
        return _text_in(value[0], keys)
    if isinstance(value, dict):
        for key in keys:
            if value.get(key) is not None:
                return _text_in(value[key], keys)
        if len(value) == 1 and _LANGUAGE.fullmatch(next(iter(value))):
            return _text_in(next(iter(value.values())), keys)
    return None


def _names_in(value: object) -> list[str] | None:
    """Return the names in a value of JSON; None if a part of it has no name."""
    if isinstance(value, dict):
        if value and all(key.isdecimal() for key in value):  # a list as PHP writes it
            value = list(value.values())
        else:
            name = _text_in(value, _NAME_KEYS)
            return None if name is None else [name]
    if not isinstance(value, list):
        return [value] if isinstance(value, str) else None
    if value and all(isinstance(item, int | float) for item in value):
        return None  # numbers of terms, whose names are elsewhere
    names: list[str] = []
    for item in value:
        if item is None:
            continue
        is_number = isinstance(item, int | float) and not isinstance(item, bool)
        inner = [str(item)] if is_number else _names_in(item)
        if inner is None:
            return None
        names += inner
    return names


def line_of(cell: str) -> str | None:
    """Return the one line that a title, kicker or the like holds.

    Examples
    --------
    >>> line_of('{"rendered": "Rail <em>strike</em> ends"}'), line_of("[1, 2]")
    ('Rail strike ends', None)
    """
    return _text_by(cell, line_of_html)


def plain_line_of(cell: str) -> str | None:
    """Return the one line that a language or a source holds."""
    return _text_by(cell, normalise_line)


def language_of(cell: str) -> str | None:
    """Return a language; a number is none."""
    text = _text_by(cell, normalise_line)
    return text if not text or text[0].isalpha() else None


def body_of(cell: str) -> str | None:
    """Return the text of a body or summary, one paragraph a line; a list holds paragraphs."""
    found = structure_of(cell)
    if isinstance(found, list) and len(found) > 1:
        paragraphs = [_text_in(item, _TEXT_KEYS) for item in found]
        if None in paragraphs:
            return None
        return "\n".join(body_of_html(paragraph) for paragraph in paragraphs if paragraph)
    return _text_by(cell, body_of_html)


def _text_by(cell: str, normalise: Callable[[str], str]) -> str | None:
    if cell.strip() in _BOOLEANS:
        return None
    found = structure_of(cell)
    text = cell if found is None else _text_in(found, _TEXT_KEYS)
    return None if text is None else normalise(text)


def address_of(cell: str) -> str | None:
    """Return an http or https address; None for another one."""
    found: object = structure_of(cell)
    if isinstance(found, list):
        found = found[0] if found else ""
    address = cell if found is None else _text_in(found, _ADDRESS_KEYS)
    if address is None:
        return None
    return normalise_url(address) or (None if address.strip() else "")


def sections_of(cell: str) -> list[str] | None:
    """Return the section of an article, and after it the other sections it is in.

    Examples
    --------
    >>> sections_of('[{"name": "Local"}, {"name": "Traffic"}]'), sections_of("Food, Drink")
    (['Local', 'Traffic'], ['Food, Drink'])
    """
    return _names(cell, lambda text: [text])


def author_of(cell: str) -> str | None:
    """Return the names of the authors as one line.

    Examples
    --------
    >>> author_of('[{"name": "Ana"}, {"name": "Bo"}]')
    'Ana, Bo'
    """
    names = _names(cell, lambda text: [text])
    return None if names is None else ", ".join(names)


def tags_of(cell: str) -> list[str] | None:
    """Return tags; commas separate those of a plain text.

    Examples
    --------
    >>> tags_of('["Paris, France", "rail"]'), tags_of("coal, energy")
    (['Paris, France', 'rail'], ['coal', 'energy'])
    """
    return _names(cell, lambda text: text.split(","))


def _names(cell: str, split: Callable[[str], list[str]]) -> list[str] | None:
    if cell.strip() in _BOOLEANS:
        return None
    found = _list_of(cell)
    names = split(cell) if found is None else _names_in(found)
    return None if names is None else distinct(map(line_of_html, names))


def distinct(names: Iterable[str]) -> list[str]:
    """Return the names that are not empty, each once, whatever its case."""
    by_name: dict[str, str] = {}
    for name in names:
        if name:
            by_name.setdefault(name.casefold(), name)
    return list(by_name.values())


def items_of(cell: str) -> list[str] | None:
    """Return the items of a list of ids; blanks separate those of a plain text.

    Examples
    --------
    >>> items_of("a1 a2"), items_of('["a1", "a2"]'), items_of("[101 102]")
    (['a1', 'a2'], ['a1', 'a2'], ['101', '102'])
    """
    found = _list_of(cell)
    if found is None:
        items = cell.split()
        has_commas = len(items) > 1 and all(item.endswith(",") for item in items[:-1])
        return [item.removesuffix(",") for item in items] if has_commas else items
    if isinstance(found, dict):
        return None
    items = []
    for item in found:
        if isinstance(item, bool | list | dict):
            return None
        if item is not None:
            items.append(item if isinstance(item, str) else json.dumps(item))
    return items


def numbers_of(cell: str) -> list[float] | None:
    """Return a list of numbers; blanks and commas separate those of a plain text.

    Examples
    --------
    >>> numbers_of("[0.5, 1]"), numbers_of("0.5 1"), numbers_of("[0.5, null]")
    ([0.5, 1.0], [0.5, 1.0], None)
    """
    found = _list_of(cell)
    items = cell.replace(",", " ").split() if found is None else found
    numbers = []
    for item in items:
        if isinstance(item, bool) or not isinstance(item, str | int | float):
            return None
        try:
            numbers.append(float(item))
        except (ValueError, OverflowError):
            return None
    return numbers
