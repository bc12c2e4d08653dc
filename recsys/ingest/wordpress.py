"""Read posts of WordPress as its REST API gives them (`/wp-json/wp/v2/posts`).

A file holds one page of the API (an array), one post, or a post on each line. The article id is
the id of the post as text, like in the export that `recsys.ingest.wxr` reads. Names of sections,
authors and pictures are in the answer only if it was asked for with `_embed`; without them the
data of the Yoast plugin is used.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from recsys.errors import InputRefusedError
from recsys.ingest.batches import Batch
from recsys.ingest.gather import Gatherer, Value
from recsys.ingest.json_values import as_list, as_object, as_text, begins_json, json_values
from recsys.rows import Kind, Reject

# Entries of WordPress itself that are no articles. Any other type is the site's own.
NO_ARTICLES = (
    "page",
    "attachment",
    "nav_menu_item",
    "revision",
    "custom_css",
    "customize_changeset",
)
_NO_ARTICLE_PREFIX = "wp_"  # wp_block, wp_template, wp_navigation, ...
_MORE = re.compile(
    r'<a\s[^<>]{0,500}class="[^"<>]{0,200}(?:more|read)[^"<>]{0,200}"[^<>]{0,500}>.{0,2000}?</a>',
    re.DOTALL,
)
_CUT = re.compile(r"\s?\[(?:&hellip;|&#8230;|…|\.\.\.)\]")


def matches(start: bytes) -> bool:
    """Return whether a file begins as an answer of the REST API does."""
    return (
        begins_json(start)
        and b'"article_id"' not in start
        and b'"date_gmt"' in start
        and re.search(rb'"(?:title|content|guid|excerpt)"\s*:\s*\{\s*"rendered"', start) is not None
    )


def read(path: Path, kind: Kind | None) -> Iterator[Batch]:
    """Yield the posts of a file; pages and other entries that are no articles are ignored.

    Raises
    ------
    InputRefusedError
        If the file holds no post, or `kind` asks for clicks or impressions.
    """
    if kind not in (None, "articles"):
        raise InputRefusedError(str(path), f"posts of WordPress are articles, not {kind}")
    rows, position, is_first = Gatherer(kind, "articles"), 0, True
    for entry in json_values(path):
        if isinstance(entry, Reject):
            rows.reject(entry.row, entry.field, entry.reason, entry.raw)
            continue
        post, position = as_object(entry.value), entry.position
        if is_first and not {"date_gmt", "date", "title", "content"} & set(post):
            message = as_text(post.get("message"))
            problem = f"WordPress answered with an error: {message}" if message else "not posts"
            raise InputRefusedError(str(path), problem + " (of WordPress's REST API)")
        is_first = False
        type_ = as_text(post.get("type")) or "post"
        if not post:
            rows.reject(entry.row, "", "not a post", str(entry.value))
        elif type_ in NO_ARTICLES or type_.startswith(_NO_ARTICLE_PREFIX):
            rows.ignore("entry", f"type {type_}")
        else:
            rows.add("articles", entry.row, _article(post))
        if rows.is_full():
            yield from rows.batches(position)
    if is_first:
        raise InputRefusedError(str(path), "holds no post of WordPress")
    yield from rows.batches(path.stat().st_size)


def utc_time(gmt: str | None) -> str | None:
    """Return a time of WordPress's `*_gmt` fields with its offset; None for no time.

    Examples
    --------
    >>> utc_time("2026-03-02 06:15:00")
    '2026-03-02T06:15:00Z'
    >>> utc_time("0000-00-00 00:00:00") is None
    True
    """
    gmt = (gmt or "").strip()
    if not gmt or gmt.startswith(("0000-", "-0001-")):
        return None
    return gmt.replace(" ", "T") + ("" if gmt.endswith("Z") else "Z")


def article_status(status: str | None, *, is_protected: bool) -> str | None:
    """Return the status of an article; None if it is not known.

    A scheduled post is under embargo by its date. Any status besides these, such as "pending" or
    one of a plugin, is not public in WordPress.
    """
    if is_protected:
        return "private"
    if not status:
        return None
    return "published" if status in ("publish", "future") else "draft"


def terms(categories: list[str], tags: list[str]) -> dict[str, Value]:
    """Return the section and the tags of an article; further sections become tags."""
    category = categories[0] if categories else ""
    others = dict.fromkeys([*categories[1:], *tags])
    return {"category": category, "tags": [name for name in others if name != category]}


def summary_of(excerpt: str) -> str:
    """Return an excerpt without the mark of its cut and the link to the post."""
    return _CUT.sub("…", _MORE.sub("", excerpt))


def _article(post: dict[str, object]) -> dict[str, Value]:
    """Return the fields of a post; those that the answer lacks are None."""
    content = as_object(post.get("content"))
    embedded, yoast = as_object(post.get("_embedded")), as_object(post.get("yoast_head_json"))
    excerpt = _rendered(post.get("excerpt"))
    fields: dict[str, Value] = {
        "article_id": as_text(post.get("id")),
        "title": _rendered(post.get("title")),
        "body": _rendered(post.get("content")),
        "summary": None if excerpt is None else summary_of(excerpt),
        "url": as_text(post.get("link")),
        "author": _author(embedded, yoast),
        "image_url": _image(post, embedded, yoast),
        "language": _language(post, yoast),
        "published_at": _time(post, "date"),
        "modified_at": _time(post, "modified"),
        "status": article_status(
            as_text(post.get("status")), is_protected=content.get("protected") is True
        ),
    }
    return fields | _terms(embedded, yoast)


def _rendered(value: object) -> str | None:
    """Return the HTML of a field such as `{"rendered": "..."}`."""
    if isinstance(value, dict):
        value = value.get("rendered", value.get("raw"))
    return as_text(value)


def _time(post: dict[str, object], name: str) -> str | None:
    """Return a time in UTC, or if there is none the local time of the site, without an offset."""
    if f"{name}_gmt" in post:
        return utc_time(as_text(post[f"{name}_gmt"]))
    return as_text(post.get(name))


def _author(embedded: dict[str, object], yoast: dict[str, object]) -> str | None:
    """Return the names of the authors; an author who is not public has none."""
    names = [as_text(as_object(author).get("name")) for author in as_list(embedded.get("author"))]
    return ", ".join(filter(None, names)) or as_text(yoast.get("author"))


def _image(
    post: dict[str, object], embedded: dict[str, object], yoast: dict[str, object]
) -> str | None:
    """Return the address of the featured picture; "" if the post has none."""
    for media in as_list(embedded.get("wp:featuredmedia")):
        if address := as_text(as_object(media).get("source_url")):
            return address
    for media in as_list(yoast.get("og_image")):
        if address := as_text(as_object(media).get("url")):
            return address
    address = as_text(post.get("jetpack_featured_media_url"))
    return "" if post.get("featured_media") == 0 and not address else address or None


def _language(post: dict[str, object], yoast: dict[str, object]) -> str | None:
    """Return the language by a translation plugin or by Yoast."""
    language = as_text(post.get("lang")) or as_text(yoast.get("og_locale"))
    return None if language is None else language.replace("_", "-")


def _terms(embedded: dict[str, object], yoast: dict[str, object]) -> dict[str, Value]:
    """Return section and tags; nothing if the answer names none."""
    if "wp:term" in embedded:
        found: dict[str, list[str]] = {}
        for group in as_list(embedded["wp:term"]):
            for term in map(as_object, as_list(group)):
                taxonomy, name = as_text(term.get("taxonomy")), as_text(term.get("name"))
                if taxonomy and name:
                    found.setdefault(taxonomy, []).append(name)
        categories = found.pop("category", [])
        return terms(categories, [name for names in found.values() for name in names])
    for node in map(as_object, as_list(as_object(yoast.get("schema")).get("@graph"))):
        if "articleSection" in node or "keywords" in node:
            sections, keywords = node.get("articleSection"), node.get("keywords")
            return terms(_texts(sections), _texts(keywords))
    return {}


def _texts(value: object) -> list[str]:
    """Return the texts of a list, or one text as a list."""
    texts = [as_text(item) for item in (value if isinstance(value, list) else [value])]
    return [text for text in texts if text]
