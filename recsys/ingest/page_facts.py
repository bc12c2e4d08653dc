"""Read what a saved page states about its article: JSON-LD, meta elements, links and times.

Nothing is guessed: a year in an address is no date, and a date in the text is none of the article.
"""

import json
import re
from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Any

import polars as pl

from recsys.ingest.text import absolute_url
from recsys.ingest.times import read_times

Facts = dict[str, str | list[str]]
MAX_NODES = 10_000  # objects and lists of JSON-LD that are looked at
# Types of JSON-LD, with or without the address of their schema.
_ARTICLE_TYPE = re.compile(r"(?:.*[/:])?(?:\w*Article|\w*BlogPosting|Report)", re.DOTALL)
_PAGE_TYPE = re.compile(r"(?:.*[/:])?\w*WebPage", re.DOTALL)
_JSON_NAMES = re.compile(r'"(@type|datePublished|dateModified)"\s*:\s*"([^"\\]*)"')
_BY = re.compile(r"^by\s+", re.IGNORECASE)
_CLOCK = re.compile(r"\d:\d\d")
_OFFSET = re.compile(r"(?:z|[+-]\d\d:?\d\d|\b[A-Z]{2,5})\s*$", re.IGNORECASE)
# Classes of a `<time>`.
_CLASSES = {
    "datePublished": {"published", "dt-published", "entry-date"},
    "dateModified": {"updated", "dt-updated"},
}
_BESIDE = ("aside", "nav", "footer")  # what is not of the article
_TEXTS = ("p", "li", "blockquote", "table", "figure")
# Instants within this time may be the same one, once with and once without its time of day.
_SAME_DAY_MS = 36 * 3_600_000
_PUBLISHED = (
    "article:published_time article:published og:published_time datepublished rnews:datepublished"
    " parsely-pub-date sailthru.date cxenseparse:recs:publishtime pubdate publishdate publish-date"
    " publish_date publication_date dcterms.issued dc.date.issued dcterms.created dc.date.created"
    " dcterms.date dc.date date"
).split()
_MODIFIED = (
    "article:modified_time article:modified og:updated_time datemodified rnews:datemodified"
    " dcterms.modified dc.date.modified last-modified lastmod"
).split()


def facts_of(tree: Any) -> Facts:
    """Return the fields of an article that its page states; a field that is not stated is absent.

    Parameters
    ----------
    tree
        The page as lxml parses it.
    """
    metas = _metas(tree)
    base = _first(link.get("href") for link in tree.iter("base"))
    canonical = _first(
        link.get("href") for link in tree.iter("link") if "canonical" in _words(link.get("rel"))
    )
    own = absolute_url(base, metas.get("og:url", ""))
    url = absolute_url(own or base, canonical) or own
    article = _article_object(tree, url)
    linked_sections, linked_tags = _linked(tree)
    tags = _names(article.get("keywords")) or _tags_of_metas(tree, metas) or linked_tags
    sections = (
        _names(article.get("articleSection"))
        or _names(_first(map(metas.get, ("article:section", "parsely-section", "section"))))
        or linked_sections
    )
    facts: Facts = {
        "title": _text(article.get("headline")),
        "category": sections[0] if sections else "",
        "tags": [*sections[1:], *tags],
        "author": ", ".join(
            _BY.sub("", name) for name in _names(article.get("author"), split=False)
        ),
        "url": url or absolute_url(base, _text(article.get("url"))),
        "language": _language(tree, article, metas),
        "summary": _first(map(metas.get, ("og:description", "description", "twitter:description")))
        or _text(article.get("description")),
        "image_url": absolute_url(
            url or base,
            _first(map(metas.get, ("og:image:secure_url", "og:image", "og:image:url")))
            or _picture(article.get("image"))
            or metas.get("twitter:image", ""),
        ),
        "premium": _premium(article, metas),
        "published_at": _time(tree, article, metas, "datePublished", _PUBLISHED),
        "modified_at": _time(tree, article, metas, "dateModified", _MODIFIED),
        "expires_at": _first([_text(article.get("expires")), metas.get("article:expiration_time")]),
        "body": _complete(_text(article.get("articleBody"))),
    }
    return {name: value for name, value in facts.items() if value}


def _first(values: Any) -> str:
    """Return the first value that is not empty, or ""."""
    return next((value.strip() for value in values if value and value.strip()), "")


def _words(text: str | None) -> list[str]:
    return (text or "").lower().split()


def _metas(tree: Any) -> dict[str, str]:
    """Return the contents of meta elements by their names in lower case; the first one counts."""
    found: dict[str, str] = {}
    for meta in tree.iter("meta"):
        content = meta.get("content")
        for attribute in ("property", "name", "itemprop", "http-equiv"):
            name = meta.get(attribute)
            if name and content and content.strip():
                found.setdefault(name.strip().lower(), content.strip())
    return found


def _tags_of_metas(tree: Any, metas: dict[str, str]) -> list[str]:
    given = [
        meta.get("content") or ""
        for meta in tree.iter("meta")
        if (meta.get("property") or "").lower() == "article:tag"
    ]
    if len(given) == 1:
        given = given[0].split(",")
    return _names(given) or _names(metas.get("news_keywords") or metas.get("keywords"))


def _linked(tree: Any) -> tuple[list[str], list[str]]:
    """Return the sections and the tags that links name, such as `rel="category tag"`."""
    names: dict[bool, list[str]] = {True: [], False: []}
    for link in tree.iter("a"):
        rel = _words(link.get("rel"))
        name = " ".join("".join(link.itertext()).split())
        if "tag" in rel and name and not _within(link, *_BESIDE):
            names["category" in rel].append(name)
    return names[True], names[False]


def _json_objects(tree: Any) -> Iterator[dict[str, Any]]:
    """Yield the objects of JSON-LD, outer ones before those that they hold."""
    pending: deque[object] = deque()
    for script in tree.iter("script"):
        if "ld+json" in (script.get("type") or "").lower():
            text = script.text or ""
            try:
                pending.append(json.loads(_unwrapped(text), strict=False))
            except (ValueError, RecursionError):
                # Many sites forget to escape a quote in a headline; the dates can be read then.
                pending.append(dict(_JSON_NAMES.findall(text)[::-1]))
    for _ in range(MAX_NODES):
        if not pending:
            return
        node = pending.popleft()
        if isinstance(node, dict):
            yield node
            # Lists name other articles than that of the page.
            pending.extend(value for key, value in node.items() if key != "itemListElement")
        elif isinstance(node, list):
            pending.extend(node)


def _unwrapped(script: str) -> str:
    """Return the JSON of a script without the comments or CDATA marks around it."""
    script = script.rpartition("]]>")[0] or script
    begin = re.search(r"[\[{](?!CDATA\[)", script)
    end = max(script.rfind("}"), script.rfind("]")) + 1
    return script[begin.start() : end] if begin else ""


def _article_object(tree: Any, url: str) -> dict[str, Any]:
    """Return the JSON-LD object of the page's article: the one with its address, or the first.

    A page without one may state the dates of the page itself.
    """
    nodes = list(_json_objects(tree))
    found = [node for node in nodes if _is_of(node, _ARTICLE_TYPE)]
    found = found or [
        node for node in nodes if _is_of(node, _PAGE_TYPE) and "datePublished" in node
    ]
    page = _page_key(url)
    own = (
        node
        for node in found
        if page and page in (_page_key(_text(node.get("url"))), _page_key(_text(_page_of(node))))
    )
    return next(own, found[0] if found else {})


def _page_key(url: str) -> str:
    """Return an address without what differs between spellings of the same page."""
    address = url.partition("#")[0].partition("://")[2]
    return address.removeprefix("www.").rstrip("/")


def _is_of(node: dict[str, Any], wanted: re.Pattern[str]) -> bool:
    types = node.get("@type")
    names = types if isinstance(types, list) else [types]
    return any(isinstance(name, str) and wanted.fullmatch(name) for name in names)


def _page_of(node: dict[str, Any]) -> object:
    page = node.get("mainEntityOfPage") or node.get("@id")
    return (page.get("@id") or page.get("url")) if isinstance(page, dict) else page


def _text(value: object) -> str:
    """Return a text of JSON-LD; "" for other values."""
    if isinstance(value, list) and value:
        value = value[0]
    if isinstance(value, dict):
        value = value.get("@value") or value.get("name")
    return value.strip() if isinstance(value, str) else ""


def _names(value: object, *, split: bool = True) -> list[str]:
    """Return names out of a text separated by commas, or a list of texts or objects with names."""
    if isinstance(value, str):
        value = value.split(",") if split else [value]
    values = value if isinstance(value, list) else [value]
    # Some sites have tags of another kind among their keywords, such as "type:story".
    return [name for name in map(_text, values) if name and not re.match(r"\w+:\S", name)]


def _picture(value: object) -> str:
    if isinstance(value, list) and value:
        value = value[0]
    if isinstance(value, dict):
        value = value.get("url") or value.get("contentUrl") or value.get("@id")
    return value if isinstance(value, str) else ""


def _language(tree: Any, article: dict[str, Any], metas: dict[str, str]) -> str:
    root = tree.getroottree().getroot()
    stated = [
        root.get("lang"),
        _text(article.get("inLanguage")),
        metas.get("content-language"),
        metas.get("og:locale", "").replace("_", "-"),
    ]
    return _first(stated)


def _premium(article: dict[str, Any], metas: dict[str, str]) -> str:
    """Return whether a page is for subscribers only, as "true" or "false"; "" if not stated."""
    is_free = article.get("isAccessibleForFree")
    if isinstance(is_free, str):
        is_free = {"true": True, "false": False}.get(is_free.rpartition("/")[2].lower())
    if isinstance(is_free, bool):
        return "false" if is_free else "true"
    tier = metas.get("article:content_tier", "").lower()
    return {"free": "false", "metered": "false", "locked": "true"}.get(tier, "")


def _complete(body: str) -> str:
    """Return a body, or "" if it is only the beginning of one."""
    return "" if body.endswith(("…", "...", "[…]", "[...]")) else body


def _time(
    tree: Any, article: dict[str, Any], metas: dict[str, str], name: str, metas_of: list[str]
) -> str:
    """Return the first instant that is stated, in its most precise form; "" if there is none.

    Parameters
    ----------
    tree, article, metas
        The page, its article in JSON-LD, and its meta elements.
    name
        "datePublished" or "dateModified".
    metas_of
        Names of meta elements that state it.
    """
    stated = [_text(article.get(name)), *(metas.get(meta, "") for meta in metas_of)]
    stated += [_datetime(item) for item in _marked_times(tree, name)]
    stated = [text for text in stated if text]
    if not stated:
        return ""
    read = read_times(pl.Series(stated, dtype=pl.String))
    is_bad = read.is_wrong | read.values.is_null()
    usable = [
        (text, ms) for text, ms, bad in zip(stated, read.values, is_bad, strict=True) if not bad
    ]
    if not usable:
        return ""
    first_ms = usable[0][1]
    same = [text for text, ms in usable if abs(ms - first_ms) <= _SAME_DAY_MS]
    return max(same, key=_precision)


def _marked_times(tree: Any, name: str) -> Iterator[Any]:
    """Yield the elements that are marked as the time of the page's article.

    That are microdata, the classes of hAtom and microformats, and `<time>` in the heading of the
    article; a `<time>` in its text may be that of anything.
    """
    for item in tree.xpath("//*[@itemprop]"):
        if name in item.get("itemprop").split() and not _within(item, *_BESIDE):
            yield item
    times = [time for time in tree.iter("time") if not _within(time, *_BESIDE)]
    yield from [time for time in times if _CLASSES[name] & set(_words(time.get("class")))][:1]
    if name == "datePublished":
        headed = [_closest(heading, "article", "main") for heading in tree.iter("h1")]
        articles = {article for article in headed if article is not None}
        of_heading = (
            time
            for time in times
            if "pubdate" in time.attrib
            or (_closest(time, "article", "main") in articles and not _within(time, *_TEXTS))
        )
        yield from islice(of_heading, 1)


def _closest(item: Any, *names: str) -> Any:
    """Return the innermost of the elements with these names around an element; None without one."""
    return next(item.iterancestors(*names), None)


def _within(item: Any, *names: str) -> bool:
    return _closest(item, *names) is not None


def _datetime(item: Any) -> str:
    """Return the time that an element states."""
    return _first([item.get("datetime"), item.get("content"), item.text])


def _precision(text: str) -> int:
    """Return 0 for a date, 1 for a time of day too, 2 for an instant with its offset."""
    clock = _CLOCK.search(text)
    return 0 if clock is None else 1 + bool(_OFFSET.search(text, clock.end()))
