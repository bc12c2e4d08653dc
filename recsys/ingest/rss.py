"""Read RSS and Atom files.

The article id is the guid of an entry, or its link if it has none. A guid that is a number, or a
path, gets the address of the feed in front, because every site has an article 1. A field that an
entry does not have stays as it is in the store.
"""

import calendar
import html
import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import polars as pl

from recsys.errors import InputRefusedError
from recsys.ingest.batches import Batch, clip
from recsys.ingest.blocks import read_whole
from recsys.ingest.markup import xml_document
from recsys.ingest.text import absolute_url
from recsys.rows import ROW, Kind, Reject, iso

ROOTS = ("rss", "feed", "rdf")
MAX_FEED_BYTES = 64 << 20
SCHEMA: dict[str, pl.DataType] = {ROW: pl.UInt32(), "tags": pl.List(pl.String)} | dict.fromkeys(
    "article_id title body summary category author url image_url language published_at modified_at"
    " expires_at".split(),
    pl.String(),
)
MAX_TAGS = 200  # of one entry
# A text of a feed, as CDATA or escaped, and where a comment of its HTML ends.
_TEXT = re.compile(r"<!\[CDATA\[.*?(?:\]\]>|\Z)|[^<]+", re.DOTALL)
_COMMENT_END = re.compile(r"--\s*(?:>|&gt;)")
_COMMENTS = ("<!--", "&lt;!--")  # how one begins
_LONG_WORD = re.compile(r"(?<![\w.+-])([\w.+-]{1000})[\w.+-]*", re.ASCII)
_KEYWORDS = re.compile(r"(<(?:[\w.-]+:)?keywords\b[^<>]*>[^<]{1000})[^<]*", re.IGNORECASE)
_ENTRY_OR_TAG = re.compile(
    r"<(?:item|entry|(?P<tag>(?:[\w.-]+:)?(?:category|subject|keywords)))\b", re.IGNORECASE
)
_IS_WEB = re.compile("https?://", re.IGNORECASE)
_IS_SHARED_ID = re.compile(r"#?\d+|/.*", re.DOTALL)  # a guid that other sites may have as well
_MAIL_AND_NAME = re.compile(r"[^\s@]+@[^\s@]+\s+\((.*)\)", re.DOTALL)
_IS_MAIL = re.compile(r"[^\s@]+@[^\s@]+")
_IS_PICTURE = re.compile(r"\.(jpe?g|png|gif|webp|avif)$", re.IGNORECASE)
# Those of the modules that feeds use; many feeds do not declare them.
_PREFIXES = ("atom", "content", "dc", "dcterms", "itunes", "media", "slash", "sy", "wfw")
_ROOT_TAG = re.compile(r"<([\w.:-]+)[^<>]{0,4096}>")
# Parts that are no markup, and the tags of entries.
_ENTRY_TAG = re.compile(
    r"<!\[CDATA\[.*?(?:\]\]>|\Z)|<!--.*?(?:-->|\Z)"
    r"|<(?P<close>/?)(?P<name>item|entry)(?=[\s/>])[^<>]*>?",
    re.DOTALL | re.IGNORECASE,
)
_UNNAMED = re.compile(r"^<unknown>:\d+:\d+: ")  # the parser's name of the feed, and a place in it


def read(path: Path, kind: Kind | None, name: str | None = None) -> Iterator[Batch]:
    """Yield the entries of a feed; of a damaged feed, those that can be separated.

    A damaged entry is a reject with its text, also where some of its fields could be read.

    Parameters
    ----------
    path
        The feed.
    kind
        "articles" or None.
    name
        Path of the feed below the folder that was given; by default the name of the file. It
        identifies a feed that does not give its address.

    Raises
    ------
    InputRefusedError
        If the file is not a feed, or `kind` asks for clicks or impressions.
    """
    if kind not in (None, "articles"):
        raise InputRefusedError(str(path), f"a feed holds articles, not {kind}")
    data, damage = read_whole(path, MAX_FEED_BYTES)
    text = _bounded(_with_prefixes(xml_document(data)))
    feed = _parsed(text)
    entries = list(enumerate(feed.entries, start=1))
    rejects: list[Reject] = []
    if feed.bozo:
        by_piece, rejects = _entries_one_by_one(text)
        if len(by_piece) >= len(entries):
            entries = by_piece
    if not feed.get("version") and not entries:
        raise InputRefusedError(str(path), "not RSS or Atom")
    if damage or (feed.bozo and not rejects):
        problem = damage or f"feed is malformed: {_problem(feed)}"
        rejects.append(Reject(len(entries) + 1, "", problem, ""))
    article_of = _article_reader(feed, name or path.name)
    rows = [
        {ROW: number} | {field: value or None for field, value in article_of(entry).items()}
        for number, entry in entries
    ]
    yield Batch(
        "articles",
        pl.DataFrame(rows, schema=SCHEMA),
        rejects,
        path.stat().st_size,
        nulls_are_absent=True,
    )


def _parsed(text: str) -> Any:
    """Return a feed as feedparser reads it; where it fails, a feed without entries."""
    # Imported here, because every command would otherwise wait for the import.
    import feedparser

    try:
        # It gets a stream, because it opens a text that looks like an address or a path.
        return feedparser.parse(
            io.BytesIO(text.encode()), sanitize_html=True, resolve_relative_uris=False
        )
    except Exception as error:  # it fails in many ways on feeds that are damaged
        return feedparser.FeedParserDict(
            feed=feedparser.FeedParserDict(), entries=[], bozo=True, bozo_exception=error
        )


def _problem(feed: Any) -> str:
    error = feed.get("bozo_exception", "it holds nothing")
    return _UNNAMED.sub("", str(error)) or type(error).__name__


def _entries_one_by_one(text: str) -> tuple[list[tuple[int, Any]], list[Reject]]:
    """Return the entries of a damaged feed by their numbers, and the damaged ones as rejects.

    Each entry is parsed alone, because feedparser loses those that follow an element without end.
    """
    root = _ROOT_TAG.match(text)
    before, after = (root[0], f"</{root[1]}>") if root else ("", "")
    entries, rejects = [], []
    for number, piece in enumerate(_pieces(text), start=1):
        alone = _parsed(before + piece + after)
        entries += [(number, entry) for entry in alone.entries[:1]]
        if alone.bozo or not alone.entries:
            problem = f"this entry is malformed; what can be read of it is kept: {_problem(alone)}"
            rejects.append(Reject(number, "", problem, clip(piece)))
    return entries, rejects


def _pieces(text: str) -> Iterator[str]:
    """Yield the text of each entry; one without an end goes to the beginning of the next."""
    tags = (found for found in _ENTRY_TAG.finditer(text) if found["name"])
    tag = next(tags, None)
    while tag is not None:
        following = next(tags, None)
        if not tag["close"]:
            end = len(text) if following is None else following.start()
            if following is not None and following["close"]:
                end = following.end()
            yield text[tag.start() : end]
        tag = following


def _with_prefixes(text: str) -> str:
    """Return a feed whose root element declares the prefixes of `_PREFIXES` that the feed uses."""
    root = _ROOT_TAG.match(text)
    if root is None:
        return text
    missing = "".join(
        f' xmlns:{prefix}="urn:{prefix}"'
        for prefix in _PREFIXES
        if f"<{prefix}:" in text and f"xmlns:{prefix}=" not in text
    )
    return text[: root.end(1)] + missing + text[root.end(1) :]


def _bounded(text: str) -> str:
    """Return a feed without what takes feedparser a time that grows with the square of its size.

    That are blank lines before a DOCTYPE (see `without_prolog`), long words where the name of an
    author is expected, comments without an end, and many tags of one entry. Tags in surplus get a
    name without a meaning.
    """
    n_tags = 0

    def counted(start: re.Match[str]) -> str:
        nonlocal n_tags
        n_tags = n_tags + 1 if start["tag"] else 0
        return start[0] if n_tags <= MAX_TAGS else "<surplus"

    text = _TEXT.sub(_without_open_comments, text)
    return _ENTRY_OR_TAG.sub(counted, _KEYWORDS.sub(r"\1", _LONG_WORD.sub(r"\1", text)))


def _without_open_comments(found: re.Match[str]) -> str:
    """Return a text of a feed without the beginnings of comments that never end."""
    text = found[0]
    if not any(begin in text for begin in _COMMENTS):
        return text
    end = max((close.end() for close in _COMMENT_END.finditer(text)), default=0)
    rest = text[end:]
    for begin in _COMMENTS:
        rest = rest.replace(begin, "")
    return text[:end] + rest


def _article_reader(feed: Any, name: str) -> Callable[[Any], dict[str, str | list[str]]]:
    """Return a function that returns the fields of an entry of a feed.

    Parameters
    ----------
    feed
        The feed as feedparser returns it.
    name
        Identifies the feed if it does not give its address.
    """
    own = next((link.get("href", "") for link in _links(feed.feed) if link.rel == "self"), "")
    site = absolute_url(own, feed.feed.get("link", ""))
    address = own if _IS_WEB.match(own) else site
    # An aggregator's copy of a feed has an address of its own, to which no link is relative.
    feed_base = site if urlsplit(site).netloc != urlsplit(address).netloc else address
    is_atom = feed.get("version", "").startswith("atom")
    language = feed.feed.get("language", "")

    def article_of(entry: Any) -> dict[str, str | list[str]]:
        title = entry.get("title_detail")
        base = absolute_url(feed_base, (title or {}).get("base", "")) or feed_base  # of xml:base
        guid = entry.get("id", "").strip()
        links = _links(entry)
        # feedparser takes the guid for the link of an entry that has none.
        link = entry.get("link", "") if links or _IS_WEB.match(guid) else ""
        url = absolute_url(base, link)
        content = next((c for c in entry.get("content", []) if _is_text(c)), None)
        summary = entry.get("summary_detail")
        names = [tag.get("label") or tag.get("term") or "" for tag in entry.get("tags", [])]
        return {
            "article_id": _id_of(guid or url or link, base, address or name),
            "title": _as_html(title, is_atom=is_atom),
            "body": _as_html(content or summary, is_atom=is_atom),
            "summary": _as_html(summary, is_atom=is_atom),
            "category": names[0] if names else "",
            "tags": names[1:],
            "author": _author(entry),
            "url": url,
            "image_url": absolute_url(base, _image(entry, links)),
            "language": entry.get("language") or (title or {}).get("language") or language,
            "published_at": _time(entry, "published") or _time(entry, "updated"),
            "modified_at": _time(entry, "updated"),
            "expires_at": _time(entry, "expired") or _time(entry, "validity_end"),
        }

    return article_of


def _links(item: Any) -> list[Any]:
    return item.get("links", [])  # type: ignore[no-any-return]


def _id_of(guid: str, base: str, feed: str) -> str:
    """Return a guid as an id that no other feed has.

    Examples
    --------
    >>> _id_of("1", "https://a.example/", "https://a.example/feed")
    'https://a.example/feed#1'
    >>> _id_of("tag:a.example,2026:7", "https://a.example/", "https://a.example/feed")
    'tag:a.example,2026:7'
    """
    if not _IS_SHARED_ID.fullmatch(guid):
        return guid
    return absolute_url(base, guid) if base and guid.startswith("/") else f"{feed}#{guid}"


def _as_html(detail: Any, *, is_atom: bool) -> str:
    """Return a text of an entry as HTML, which is what the fields of a row may hold."""
    if not detail:
        return ""
    value: str = detail.get("value", "")
    # In RSS, the type is a guess of feedparser; a text that it takes for plain may have tags.
    return html.escape(value, quote=False) if is_atom and detail.type == "text/plain" else value


def _is_text(content: Any) -> bool:
    return content.get("type", "").startswith("text/") or "xhtml" in content.get("type", "")


def _author(entry: Any) -> str:
    """Return the names of the authors; addresses of mail are not names."""
    # feedparser splits an address with a long domain, such as .online, in the middle.
    given = entry.get("author", "").strip()
    if with_mail := _MAIL_AND_NAME.fullmatch(given):
        return with_mail[1].strip()
    names = [author.get("name", "") for author in entry.get("authors", [])] or [given]
    return ", ".join(name for name in names if name and not _IS_MAIL.fullmatch(name))


def _image(entry: Any, links: list[Any]) -> str:
    """Return the address of the first picture of an entry."""
    enclosures = [link for link in links if link.get("rel") == "enclosure"]
    for media in [*entry.get("media_content", []), *enclosures]:
        address: str = media.get("url") or media.get("href") or ""
        kind = media.get("medium") or media.get("type") or ""
        if kind.startswith("image") or (not kind and _IS_PICTURE.search(address.partition("?")[0])):
            return address
    thumbnails = entry.get("media_thumbnail") or [{}]
    return thumbnails[0].get("url") or entry.get("image", {}).get("href") or ""


def _time(entry: Any, name: str) -> str:
    """Return a time as it is written, or as feedparser reads months of other scripts.

    feedparser drops the names of time zones that it does not know, such as CET.
    """
    text: str = dict.get(entry, name) or ""  # its own `get` gives another time and a warning
    parsed = dict.get(entry, f"{name}_parsed")
    if text.isascii() or not parsed:
        return text
    return iso(calendar.timegm(parsed) * 1000)
