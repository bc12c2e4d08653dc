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
from urllib.parse import urljoin, urlsplit

import polars as pl

from recsys.errors import InputRefusedError
from recsys.ingest.batches import Batch
from recsys.ingest.blocks import read_start
from recsys.ingest.markup import clean_markup, decode_markup, require_size, without_prolog
from recsys.rows import ROW, Kind, Reject, iso

ROOTS = ("rss", "feed", "rdf")
MAX_FEED_BYTES = 64 << 20
SCHEMA: dict[str, pl.DataType] = {ROW: pl.UInt32(), "tags": pl.List(pl.String)} | dict.fromkeys(
    "article_id title body summary category author url image_url language published_at modified_at"
    " expires_at".split(),
    pl.String(),
)
MAX_TAGS = 200  # of one entry
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
_UNNAMED = re.compile(r"^<unknown>:\d+:\d+: ")  # the parser's name of the feed, and a place in it


def read(path: Path, kind: Kind | None, name: str | None = None) -> Iterator[Batch]:
    """Yield the entries of a feed; a feed damaged in the middle yields the entries before.

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
    data = read_start(path, MAX_FEED_BYTES + 1)
    require_size(str(path), data, MAX_FEED_BYTES)
    # feedparser gives control characters to parsers that do not allow them.
    text = _bounded(without_prolog(clean_markup(decode_markup(data))))
    # Imported here, because every command would otherwise wait for the import.
    import feedparser

    # feedparser gets a stream, because it opens a text that looks like an address or a path.
    try:
        feed = feedparser.parse(
            io.BytesIO(text.encode()), sanitize_html=True, resolve_relative_uris=False
        )
    except Exception as error:  # it fails in many ways on feeds that are damaged
        problem = f"this feed cannot be read: {type(error).__name__}"
        raise InputRefusedError(str(path), problem) from error
    if not feed.get("version") and not feed.entries:
        raise InputRefusedError(str(path), "not RSS or Atom")
    article_of = _article_reader(feed, name or path.name)
    rows = [
        {ROW: number} | {field: value or None for field, value in article_of(entry).items()}
        for number, entry in enumerate(feed.entries, start=1)
    ]
    rejects = []
    if feed.bozo:
        problem = _UNNAMED.sub("", str(feed.bozo_exception))
        rejects.append(Reject(len(rows) + 1, "", f"feed is malformed: {problem}", ""))
    yield Batch(
        "articles",
        pl.DataFrame(rows, schema=SCHEMA),
        rejects,
        path.stat().st_size,
        nulls_are_absent=True,
    )


def _bounded(text: str) -> str:
    """Return a feed without what takes feedparser a time that grows with the square of its size.

    That are blank lines before a DOCTYPE (see `without_prolog`), long words where the name of an
    author is expected, and many tags of one entry. Tags in surplus get a name without a meaning.
    """
    n_tags = 0

    def counted(start: re.Match[str]) -> str:
        nonlocal n_tags
        n_tags = n_tags + 1 if start["tag"] else 0
        return start[0] if n_tags <= MAX_TAGS else "<surplus"

    return _ENTRY_OR_TAG.sub(counted, _KEYWORDS.sub(r"\1", _LONG_WORD.sub(r"\1", text)))


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
    site = _joined(own, feed.feed.get("link", ""))
    address = own if _IS_WEB.match(own) else site
    # An aggregator's copy of a feed has an address of its own, to which no link is relative.
    base = site if urlsplit(site).netloc != urlsplit(address).netloc else address
    is_atom = feed.get("version", "").startswith("atom")
    language = feed.feed.get("language", "")

    def article_of(entry: Any) -> dict[str, str | list[str]]:
        guid = entry.get("id", "").strip()
        links = _links(entry)
        # feedparser takes the guid for the link of an entry that has none.
        link = entry.get("link", "") if links or _IS_WEB.match(guid) else ""
        url = _joined(base, link)
        content = next((c for c in entry.get("content", []) if _is_text(c)), None)
        summary = entry.get("summary_detail")
        names = [tag.get("label") or tag.get("term") or "" for tag in entry.get("tags", [])]
        title = entry.get("title_detail")
        return {
            "article_id": _id_of(guid or url or link, base, address or name),
            "title": _as_html(title, is_atom=is_atom),
            "body": _as_html(content or summary, is_atom=is_atom),
            "summary": _as_html(summary, is_atom=is_atom),
            "category": names[0] if names else "",
            "tags": names[1:],
            "author": _author(entry),
            "url": url,
            "image_url": _joined(base, _image(entry, links)),
            "language": entry.get("language") or (title or {}).get("language") or language,
            "published_at": _time(entry, "published") or _time(entry, "updated"),
            "modified_at": _time(entry, "updated"),
            "expires_at": _time(entry, "expired") or _time(entry, "validity_end"),
        }

    return article_of


def _links(item: Any) -> list[Any]:
    return item.get("links", [])  # type: ignore[no-any-return]


def _joined(base: str, link: str) -> str:
    """Return a link as an absolute address; "" if it cannot be one.

    Examples
    --------
    >>> _joined("https://news.example/feed", "//news.example/a?b=1&section=2")
    'https://news.example/a?b=1&section=2'
    """
    if not link:
        return ""
    try:
        address = urljoin(base, link.strip())
    except ValueError:  # such as an unclosed bracket in the host
        return ""
    return address if _IS_WEB.match(address) else ""


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
    return _joined(base, guid) if base and guid.startswith("/") else f"{feed}#{guid}"


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
    return thumbnails[0].get("url") or ""


def _time(entry: Any, name: str) -> str:
    """Return a time as it is written, or as feedparser reads months of other scripts.

    feedparser drops the names of time zones that it does not know, such as CET.
    """
    text: str = dict.get(entry, name) or ""  # its own `get` gives another time and a warning
    parsed = dict.get(entry, f"{name}_parsed")
    if text.isascii() or not parsed:
        return text
    return iso(calendar.timegm(parsed) * 1000)
