"""Read the export file of WordPress, "WordPress eXtended RSS" (Tools, Export).

Each item is parsed by itself, so that a damaged item costs one row, and memory is bounded. The
article id is `wp:post_id` as text, like in `recsys.ingest.wordpress`. Items that are no posts are
ignored; the pictures among them are looked up by the posts that show them.
"""

import codecs
import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from recsys.errors import InputRefusedError
from recsys.ingest.batches import Batch
from recsys.ingest.blocks import (
    BYTE_ORDER_MARK,
    DAMAGE,
    decompress,
    gathered,
    read_start,
    reason_of_damage,
)
from recsys.ingest.gather import Gatherer, Value
from recsys.ingest.wordpress import article_status, summary_of, terms, utc_time
from recsys.rows import Kind, Reject, is_text

MAX_ITEM_BYTES = 16 << 20
CHUNK_BYTES = 4 << 20
MAX_IMAGES = 1_000_000  # pictures remembered, by id
MAX_IMAGE_CHARS = 512  # of the address of a picture that is remembered
NAMESPACE = b"http://wordpress.org/export/"
_PREFIXES = "".join(f' xmlns:{name}="{name}"' for name in ("wp", "content", "excerpt", "dc", "wfw"))
_ITEM = re.compile(rb"<item[\s>]")
_ITEM_END_OR_CDATA = re.compile(rb"</item\s*>|<!\[CDATA\[")
_ENCODING = re.compile(rb"<\?xml[^>]*encoding=[\"']([A-Za-z0-9._-]+)")
_CONTROLS = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")
# WordPress did not always escape "]]>" in a text, so a section ends only where an element follows.
_CDATA_END = re.compile(rb"\]\]>(?=\s*<)")
_CDATA = b"<![CDATA["
# Entities of HTML that XML does not know, as old exports have them outside of CDATA.
_ENTITY = re.compile(rb"&(?!(?:amp|lt|gt|quot|apos);)([A-Za-z][A-Za-z0-9]*;)")
_IS_ATTACHMENT = re.compile(rb"<wp:post_type>\s*(?:<!\[CDATA\[)?\s*attachment")
_BLANK_LINE = re.compile(r"\n[^\S\n]*\n")
# Shortcodes: those that close or have attributes, and those of WordPress that need neither.
_SHORTCODE = re.compile(
    r"\[embed[^\[\]]{0,500}\][^\[\]]{0,2000}\[/embed\]|\[/[a-z][\w-]{0,60}\]"
    r"|\[[a-z][\w-]{0,60}\s[^\[\]=]{0,500}=[^\[\]]{0,2000}\]"
    r"|\[(?:gallery|caption|audio|video|playlist|embed)\]",
    re.DOTALL,
)


def matches(start: bytes) -> bool:
    """Return whether a file begins as an export of WordPress does."""
    start = start.replace(b"\0", b"")  # of UTF-16, what is left is ASCII
    start = start.removeprefix(codecs.BOM_UTF16_LE).removeprefix(codecs.BOM_UTF16_BE)
    return start.lstrip(BYTE_ORDER_MARK + b" \r\n\t").startswith(b"<") and NAMESPACE in start


def read(path: Path, kind: Kind | None) -> Iterator[Batch]:
    """Yield the posts of an export; pages, pictures, menus and so on are ignored.

    Raises
    ------
    InputRefusedError
        If the file is not an export of WordPress, or `kind` asks for clicks or impressions.
    """
    if kind not in (None, "articles"):
        raise InputRefusedError(str(path), f"an export of WordPress holds articles, not {kind}")
    if not matches(read_start(path)):
        raise InputRefusedError(str(path), "not an export of WordPress (WXR)")
    images = _images(path)
    rows = Gatherer(kind, "articles")
    language, authors = "", dict[str, str]()
    for number, (piece, position) in enumerate(_items(path)):
        if isinstance(piece, Reject):
            rows.reject(piece.row, piece.field, piece.reason, piece.raw)
        elif number == 0:
            language, authors = _channel(piece)
        else:
            _add_item(rows, number, piece, language, authors, images)
        if rows.is_full():
            yield from rows.batches(position)
    yield from rows.batches(path.stat().st_size)


def _items(path: Path) -> Iterator[tuple[bytes | Reject, int]]:
    """Yield what is before the first item, then each item as UTF-8, with the place in the file."""
    pending, number, searched = b"", 0, 0
    with path.open("rb") as raw:
        try:
            # What waits for the end of an item is copied and searched once for each chunk.
            for chunk in _as_utf8(gathered(decompress(raw), CHUNK_BYTES)):
                pending, at = pending + chunk, 0
                while begin := _ITEM.search(pending, at):
                    if number == 0:
                        yield pending[: begin.start()], raw.tell()
                        number = 1
                    end, searched = _item_end(pending, max(begin.end(), searched))
                    if end is None:
                        break
                    yield pending[begin.start() : end], raw.tell()
                    at, number = end, number + 1
                pending, searched = pending[at:], max(searched - at, 0)
                if len(pending) > MAX_ITEM_BYTES:
                    problem = f"an item of more than {MAX_ITEM_BYTES} bytes"
                    yield Reject(number, "", problem, _shown(pending)), raw.tell()
                    pending, number, searched = b"", number + 1, 0
        except DAMAGE as error:
            yield Reject(number, "", reason_of_damage(error), ""), raw.tell()
        except UnicodeDecodeError:
            yield Reject(number, "", "broken encoding", ""), raw.tell()
        if number == 0:
            yield pending, raw.tell()
        elif begin := _ITEM.search(pending):
            problem = "the file ends in the middle of an item"
            yield Reject(number, "", problem, _shown(pending[begin.start() :])), raw.tell()


def _as_utf8(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Convert a file to UTF-8, from the encoding that it declares."""
    decoder = None
    for number, chunk in enumerate(chunks):
        if number == 0:
            name = "utf-16" if chunk.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else ""
            declared = _ENCODING.search(chunk[:200])
            name = name or (declared[1].decode() if declared else "utf-8")
            try:
                encoding = codecs.lookup(name).name
            except LookupError:
                encoding = "utf-8"
            if encoding != "utf-8" and encoding in _TEXT_ENCODINGS:
                decoder = codecs.getincrementaldecoder(encoding)("strict")
        yield chunk if decoder is None else decoder.decode(chunk).encode("utf-8", "replace")


_TEXT_ENCODINGS = {
    codecs.lookup(name).name
    for name in ("utf-16", "latin-1", "cp1250", "cp1251", "cp1252", "iso8859-2", "iso8859-15")
    + ("koi8-r", "shift_jis", "euc_jp", "gb18030", "gbk", "big5", "euc_kr")
}


def _item_end(data: bytes, start: int) -> tuple[int | None, int]:
    """Return the end of an item, and up to where its end was searched; CDATA is skipped."""
    while match := _ITEM_END_OR_CDATA.search(data, start):
        if match[0].startswith(b"</"):
            return match.end(), 0
        closing = _CDATA_END.search(data, match.end())
        if closing is None:
            return None, match.start()
        start = closing.end()
    return None, max(start, len(data) - 16)


def _images(path: Path) -> dict[str, str]:
    """Return the addresses of an export's pictures by their ids."""
    images: dict[str, str] = {}
    for piece, _ in _items(path):
        if isinstance(piece, bytes) and _IS_ATTACHMENT.search(piece) and len(images) < MAX_IMAGES:
            fields = _children(piece)
            address = _first(fields, "wp:attachment_url")
            if 0 < len(address) <= MAX_IMAGE_CHARS:
                images[_first(fields, "wp:post_id")[:MAX_IMAGE_CHARS]] = address
    return images


def _channel(head: bytes) -> tuple[str, dict[str, str]]:
    """Return the language of the site, and the names of its authors by their logins."""
    begin = head.find(b"<channel")
    fields = _children(b"<item>" + head[head.find(b">", begin) + 1 :] if begin >= 0 else b"<item/>")
    authors = {}
    for author in fields.get("wp:author", []):
        names = {_name(child): _text(child) for child in author}
        login = names.get("wp:author_login", "")
        authors[login] = names.get("wp:author_display_name") or login
    return _first(fields, "language"), authors


def _children(item: bytes) -> dict[str, list[Any]]:
    """Return the elements of an item by name; nothing if it cannot be parsed at all."""
    import lxml.etree

    item = _ENTITY.sub(_decoded_entity, _without_cdata(_CONTROLS.sub(b"", item)))
    parser = lxml.etree.XMLParser(
        encoding="utf-8", recover=True, resolve_entities=False, no_network=True, huge_tree=False
    )
    try:
        root = lxml.etree.fromstring(f"<rss{_PREFIXES}>".encode() + item + b"</rss>", parser)
    except (lxml.etree.XMLSyntaxError, ValueError):
        return {}
    found: dict[str, list[Any]] = {}
    for child in root[0] if root is not None and len(root) else ():
        found.setdefault(_name(child), []).append(child)
    return found


def _without_cdata(item: bytes) -> bytes:
    """Write the CDATA sections of an item as escaped text."""
    pieces, at = [], 0
    while (begin := item.find(_CDATA, at)) >= 0:
        text = begin + len(_CDATA)
        end = _CDATA_END.search(item, text)
        if end is None:
            break
        escaped = item[text : end.start()].replace(b"&", b"&amp;").replace(b"<", b"&lt;")
        pieces += [item[at:begin], escaped.replace(b">", b"&gt;")]
        at = end.end()
    return b"".join([*pieces, item[at:]])


def _decoded_entity(match: re.Match[bytes]) -> bytes:
    """Return the character of an entity of HTML; an unknown one as it is written."""
    decoded = html.unescape(match[0].decode())
    return decoded.encode() if not decoded.startswith("&") else b"&amp;" + match[1]


def _name(element: Any) -> str:
    """Return the name of an element with its prefix, as WordPress writes it; "" for a comment."""
    if not isinstance(element.tag, str):
        return ""
    local = element.tag.rpartition("}")[2]
    return f"{element.prefix}:{local}" if element.prefix else local


def _text(element: Any) -> str:
    return "".join(element.itertext()).strip()


def _first(fields: dict[str, list[Any]], name: str) -> str:
    """Return the text of the first element of a name; "" if there is none."""
    return _text(fields[name][0]) if name in fields else ""


def _add_item(
    rows: Gatherer,
    number: int,
    item: bytes,
    language: str,
    authors: dict[str, str],
    images: dict[str, str],
) -> None:
    """Add the article of an item, or reject or ignore the item."""
    raw = item.decode("utf-8", "surrogateescape")
    if not is_text(raw):
        rows.reject(number, "", "broken UTF-8", _shown(item))
        return
    fields = _children(item)
    if not fields:
        rows.reject(number, "", "damaged XML", raw)
        return
    type_ = _first(fields, "wp:post_type") or "post"
    if type_ != "post":
        rows.ignore("item", f"type {type_}")
        return
    rows.add("articles", number, _article(fields, language, authors, images))


def _article(
    fields: dict[str, list[Any]], language: str, authors: dict[str, str], images: dict[str, str]
) -> dict[str, Value]:
    """Return the fields of a post; an element that the export lacks gives None."""
    found: dict[str, list[str]] = {"category": [], "post_tag": []}
    for term in fields.get("category", []):
        found.setdefault(term.get("domain", "post_tag"), []).append(_text(term))
    found.pop("post_format", None)
    categories = found.pop("category")
    post_tags = found.pop("post_tag")
    tags = [*post_tags, *(name for names in found.values() for name in names)]
    meta = {_meta(entry, "wp:meta_key"): entry for entry in fields.get("wp:postmeta", [])}
    thumbnail = _meta(meta["_thumbnail_id"], "wp:meta_value") if "_thumbnail_id" in meta else ""
    creator = _first(fields, "dc:creator")
    status = article_status(
        _first(fields, "wp:status"), is_protected=bool(_first(fields, "wp:post_password"))
    )
    return {
        "article_id": _first(fields, "wp:post_id") or None,
        "title": _first(fields, "title"),
        "body": _body(_first(fields, "content:encoded")) if "content:encoded" in fields else None,
        "summary": _given(fields, "excerpt:encoded", summary_of(_first(fields, "excerpt:encoded"))),
        "url": _first(fields, "link") or None,
        "author": _given(fields, "dc:creator", authors.get(creator, creator)),
        "language": language or None,
        "image_url": images.get(thumbnail, "") if "wp:postmeta" in fields else None,
        "published_at": utc_time(_first(fields, "wp:post_date_gmt")),
        "modified_at": utc_time(_first(fields, "wp:post_modified_gmt")),
        "status": status,
    } | terms(categories, tags)


def _given(fields: dict[str, list[Any]], name: str, value: str) -> str | None:
    return value if name in fields else None


def _meta(entry: Any, name: str) -> str:
    """Return the key or the value of a `wp:postmeta` element."""
    return next((_text(child) for child in entry if _name(child) == name), "")


def _body(content: str) -> str:
    """Return the HTML of a post: no shortcodes, and a paragraph at each blank line."""
    return _BLANK_LINE.sub("\n<p>", _SHORTCODE.sub(" ", content))


def _shown(item: bytes) -> str:
    return item[:8_000].decode("utf-8", "backslashreplace")
