"""Read Google News sitemaps; the article id is the address of the article."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from recsys.errors import InputRefusedError
from recsys.ingest.batches import Batch
from recsys.ingest.blocks import read_whole
from recsys.ingest.markup import decode_markup, root_name, xml_document
from recsys.rows import ROW, Kind, Reject

MAX_SITEMAP_BYTES = 64 << 20  # the protocol allows 50 MB
ROOTS = ("urlset", "sitemapindex")
_FIELDS = {
    "article_id": "loc",
    "url": "loc",
    "modified_at": "lastmod",
    "title": "news/title",
    "language": "news/publication/language",
    "published_at": "news/publication_date",
    "tags": "news/keywords",
    "premium": "news/access",
    "image_url": "image/loc",
}
SCHEMA: dict[str, pl.DataType] = {ROW: pl.UInt32()} | dict.fromkeys(_FIELDS, pl.String())


def matches(start: bytes) -> bool:
    """Return whether a file begins as a sitemap, or an index of sitemaps."""
    return root_name(decode_markup(start)) in ROOTS


def read(path: Path, kind: Kind | None) -> Iterator[Batch]:
    """Yield the articles of a news sitemap; pages without a `news:news` element are ignored.

    Raises
    ------
    InputRefusedError
        If the file is not a sitemap, holds no news, or is an index of sitemaps, or if `kind` asks
        for clicks or impressions.
    """
    if kind not in (None, "articles"):
        raise InputRefusedError(str(path), f"a sitemap holds articles, not {kind}")
    data, damage = read_whole(path, MAX_SITEMAP_BYTES)
    text = xml_document(data)
    name = root_name(text)
    if name == "sitemapindex":
        problem = "an index of sitemaps; fetch the sitemaps that it names and ingest those"
        raise InputRefusedError(str(path), problem)
    if name != "urlset":
        raise InputRefusedError(str(path), "not a sitemap")
    # Imported here, because every command would otherwise wait for the import.
    import lxml.etree

    parser = lxml.etree.XMLParser(recover=True, resolve_entities=False, no_network=True)
    root = lxml.etree.fromstring(text.encode(), parser)
    pages = [] if root is None else [child for child in root if _name(child) == "url"]
    rows = [
        {ROW: number} | _article(page)
        for number, page in enumerate(pages, start=1)
        if any(_name(child) == "news" for child in page)
    ]
    if not rows:
        problem = "a sitemap without news:news elements gives no titles; ingest a feed instead"
        raise InputRefusedError(str(path), problem)
    n_others = len(pages) - len(rows)
    rejects = []
    if damage or parser.error_log:
        problem = damage or f"sitemap is malformed: {parser.error_log[0].message}"
        rejects.append(Reject(len(pages) + 1, "", problem, ""))
    yield Batch(
        "articles",
        pl.DataFrame(rows, schema=SCHEMA),
        rejects,
        path.stat().st_size,
        nulls_are_absent=True,
        ignored=Counter({("page of a sitemap", "no news:news"): n_others} if n_others else {}),
    )


def _name(element: Any) -> str:
    """Return the name of an element without its namespace; "" for a comment."""
    tag = element.tag
    return tag.rpartition("}")[2].lower() if isinstance(tag, str) else ""


def _article(page: Any) -> dict[str, str | None]:
    """Return the fields of a page."""
    fields = {field: _text(page, place.split("/")) for field, place in _FIELDS.items()}
    # Of the values "Registration" and "Subscription", only the latter has to be paid for.
    access = fields["premium"]
    return fields | {"premium": access and str(access.lower() == "subscription").lower()}


def _text(element: Any, names: list[str]) -> str | None:
    """Return the text of the first element with these names, one inside the other."""
    for name in names:
        element = next((child for child in element if _name(child) == name), None)
        if element is None:
            return None
    return "".join(element.itertext()).strip() or None
