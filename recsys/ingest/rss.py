"""RSS and Atom files. An entry's id is its guid, or its link where it has none."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from recsys.errors import InputRefusedError
from recsys.ingest.batches import Batch
from recsys.ingest.blocks import read_start
from recsys.rows import ARTICLE_FIELDS, ROW, Kind, Reject, iso, to_ms

MAX_FEED_BYTES = 64 << 20
FIELDS = tuple(name for name in ARTICLE_FIELDS if name != "expires_at")


def read(path: Path, kind: Kind | None) -> Iterator[Batch]:
    """Yield a feed's entries; a feed broken in the middle gives the entries before.

    Raises
    ------
    InputRefusedError
        If it is no feed, or clicks or impressions are asked of it.
    """
    if kind not in (None, "articles"):
        raise InputRefusedError(str(path), f"a feed holds articles, not {kind}")
    data = read_start(path, MAX_FEED_BYTES)
    import feedparser  # here, for every command would wait for it

    # Bytes, never the path: feedparser fetches anything that looks like an address.
    feed = feedparser.parse(data, sanitize_html=True, resolve_relative_uris=False)
    if not feed.get("version") and not feed.entries:
        raise InputRefusedError(str(path), "not RSS or Atom")
    language = feed.feed.get("language", "")
    rows = [
        {ROW: number} | _article(entry, language)
        for number, entry in enumerate(feed.entries, start=1)
    ]
    rejects = []
    if feed.bozo and not isinstance(feed.bozo_exception, feedparser.CharacterEncodingOverride):
        rejects.append(Reject(len(rows) + 1, "", f"feed is malformed: {feed.bozo_exception}", ""))
    schema = {ROW: pl.UInt32} | dict.fromkeys(FIELDS, pl.String)
    yield Batch("articles", pl.DataFrame(rows, schema=schema), rejects, path.stat().st_size)


def _article(entry: dict[str, Any], language: str) -> dict[str, str]:
    content = entry.get("content") or [{}]
    html = content[0].get("value") or entry.get("summary", "")
    tags = [tag.get("term") for tag in entry.get("tags", []) if tag.get("term")]
    instant = entry.get("published_parsed") or entry.get("updated_parsed")
    when = iso(to_ms(datetime(*instant[:6]))) if instant else entry.get("published", "")
    return {
        "article_id": entry.get("id") or entry.get("link", ""),
        "title": strip_tags(entry.get("title", "")),
        "body": strip_tags(html),
        "category": tags[0] if tags else "",
        "tags": ", ".join(tags),
        "author": entry.get("author", ""),
        "url": entry.get("link", ""),
        "language": language,
        "published_at": when,
    }


def strip_tags(html: str) -> str:
    r"""Return the text of an HTML fragment, one line a block.

    Examples
    --------
    >>> strip_tags("<p>One &amp; <b>two</b></p><p>three</p>")
    'One & two\nthree'
    """
    if "<" not in html:
        return html
    import lxml.html

    root = lxml.html.fragment_fromstring(html, create_parent="div")
    for block in root.iter("p", "br", "div", "li", "h1", "h2", "h3", "h4"):
        block.tail = "\n" + (block.tail or "")
    return str(root.text_content()).strip()
