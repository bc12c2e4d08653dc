"""Read RSS and Atom files; the article id is the guid of an entry, or its link if it has none."""

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
FEED_FIELDS = ARTICLE_FIELDS[: ARTICLE_FIELDS.index("expires_at")]


def read(path: Path, kind: Kind | None, name: str | None = None) -> Iterator[Batch]:
    """Yield the entries of a feed; a feed damaged in the middle yields the entries before.

    Parameters
    ----------
    path
        The feed.
    kind
        "articles" or None.
    name
        Path of the feed below the folder that was given; by default the name of the file.

    Raises
    ------
    InputRefusedError
        If the file is not a feed, or `kind` asks for clicks or impressions.
    """
    if kind not in (None, "articles"):
        raise InputRefusedError(str(path), f"a feed holds articles, not {kind}")
    data = read_start(path, MAX_FEED_BYTES)
    # Imported here, because every command would otherwise wait for the import.
    import feedparser

    # feedparser gets bytes, never a path, because it fetches whatever looks like an address.
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
    schema = {ROW: pl.UInt32} | dict.fromkeys(FEED_FIELDS, pl.String)
    yield Batch(
        "articles",
        pl.DataFrame(rows, schema=schema),
        rejects,
        path.stat().st_size,
        nulls_are_absent=True,
    )


def _article(entry: dict[str, Any], language: str) -> dict[str, str]:
    """Return the fields of an entry."""
    content = entry.get("content") or [{}]
    body = content[0].get("value") or entry.get("summary", "")
    tags = [tag.get("term") for tag in entry.get("tags", []) if tag.get("term")]
    parsed = entry.get("published_parsed") or entry.get("updated_parsed")
    published_at = iso(to_ms(datetime(*parsed[:6]))) if parsed else entry.get("published", "")
    return {
        "article_id": entry.get("id") or entry.get("link", ""),
        "title": strip_tags(entry.get("title", "")),
        "body": strip_tags(body),
        "category": tags[0] if tags else "",
        "tags": ", ".join(tags),
        "author": entry.get("author", ""),
        "url": entry.get("link", ""),
        "language": language,
        "published_at": published_at,
    }


def strip_tags(html: str) -> str:
    r"""Return the text of an HTML fragment, each block element on a line of its own.

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
