"""Read the export file of Ghost (Settings, Labs, Export).

The file is one JSON object of tables. It is read twice: the tables of names first, then the posts.
The article id is the id of the post. The export holds no address of the site, so an article has a
`url` only where the post has a canonical one, and pictures on the site itself are left out.
"""

import html
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from recsys.errors import InputRefusedError
from recsys.ingest.batches import Batch
from recsys.ingest.gather import Gatherer, Value
from recsys.ingest.json_values import JsonValue, as_list, as_object, as_text, json_values
from recsys.rows import Kind, Reject

# The objects around the tables, with and without the wrapper `db`.
_TABLES = ((), ("db",), ("data",), ("db", "data"))
MAX_DEPTH = 100  # of the nodes of a text
_NAIVE_TIME = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d+)?")


def matches(start: bytes) -> bool:
    """Return whether a file begins as an export of Ghost does."""
    return (
        re.match(
            rb'(?:\xef\xbb\xbf)?\s*\{\s*(?:"db"\s*:\s*\[\s*\{\s*)?"(?:meta|data)"\s*:\s*\{', start
        )
        is not None
    )


def read(path: Path, kind: Kind | None) -> Iterator[Batch]:
    """Yield the posts of an export; its pages are ignored.

    Raises
    ------
    InputRefusedError
        If the file has no table of posts, or `kind` asks for clicks or impressions.
    """
    if kind not in (None, "articles"):
        raise InputRefusedError(str(path), f"an export of Ghost holds articles, not {kind}")
    names = _names(path)
    if not names.has_posts:
        raise InputRefusedError(str(path), "not an export of Ghost: it has no table of posts")
    rows, position = Gatherer(kind, "articles"), 0
    for entry in json_values(path, _TABLES):
        if isinstance(entry, Reject):
            rows.reject(entry.row, entry.field, entry.reason, entry.raw)
            continue
        position = entry.position
        if entry.keys[-1:] == ("posts",):
            _add_post(rows, entry, names)
        if rows.is_full():
            yield from rows.batches(position)
    yield from rows.batches(path.stat().st_size)


@dataclass(slots=True)
class _Names:
    """The tables that posts refer to.

    `tags_of` and `authors_of` hold pairs of order and id for each post.
    """

    has_posts: bool = False
    tags: dict[str, str] = field(default_factory=dict)
    authors: dict[str, str] = field(default_factory=dict)
    tags_of: defaultdict[str, list[tuple[int, str]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    authors_of: defaultdict[str, list[tuple[int, str]]] = field(
        default_factory=lambda: defaultdict(list)
    )


def _names(path: Path) -> _Names:
    """Read the names of tags and authors, and the posts that they belong to."""
    names = _Names()
    for entry in json_values(path, _TABLES):
        if isinstance(entry, Reject):
            continue
        table, row = entry.keys[-1:], entry.fields()
        id_, name = as_text(row.get("id")) or "", as_text(row.get("name")) or ""
        if table == ("posts",):
            names.has_posts = True
        elif table == ("tags",):
            # A tag that begins with "#" is internal: readers do not see it.
            if row.get("visibility") != "internal" and not name.startswith("#"):
                names.tags[id_] = name
        elif table == ("users",):
            names.authors[id_] = name
        elif table in (("posts_tags",), ("posts_authors",)):
            of = names.tags_of if table == ("posts_tags",) else names.authors_of
            other = as_text(row.get("tag_id", row.get("author_id"))) or ""
            order = row.get("sort_order")
            post_id = as_text(row.get("post_id")) or ""
            of[post_id].append((order if isinstance(order, int) else entry.row, other))
    return names


def _add_post(rows: Gatherer, entry: JsonValue, names: _Names) -> None:
    """Add the article of a post, or reject or ignore the post."""
    post = entry.fields()
    if not post:
        rows.reject(entry.row, "", "not a post", str(entry.value))
    elif post.get("type") == "page" or post.get("page") in (1, True):
        rows.ignore("post", "type page")
    else:
        rows.add("articles", entry.row, _article(post, names))


def _article(post: dict[str, object], names: _Names) -> dict[str, Value]:
    """Return the fields of a post."""
    id_ = as_text(post.get("id")) or ""
    tags = [names.tags[tag] for _, tag in sorted(names.tags_of.get(id_, [])) if tag in names.tags]
    author_ids = [author for _, author in sorted(names.authors_of.get(id_, []))]
    author_ids = author_ids or [as_text(post.get("author_id")) or ""]
    authors = [names.authors[author] for author in author_ids if author in names.authors]
    title, summary = as_text(post.get("title")), as_text(post.get("custom_excerpt"))
    visibility, status = as_text(post.get("visibility")), as_text(post.get("status"))
    return {
        "article_id": id_ or None,
        "title": None if title is None else html.escape(title, quote=False),
        "body": _body(post),
        "summary": "" if summary is None else html.escape(summary, quote=False),
        "category": tags[0] if tags else "",
        "tags": tags[1:],
        "author": ", ".join(authors),
        "url": _address(post.get("canonical_url")),
        "image_url": _address(post.get("feature_image", post.get("image"))) or "",
        "language": as_text(post.get("locale", post.get("language"))),
        "premium": None if visibility is None else visibility != "public",
        "published_at": _time(post.get("published_at")),
        "modified_at": _time(post.get("updated_at")),
        # A scheduled post is under embargo by its date; a sent one is only a newsletter.
        "status": "published" if status in ("published", "scheduled") else status and "draft",
    }


def _address(value: object) -> str | None:
    """Return an absolute address; None for one on the site, which begins with __GHOST_URL__."""
    address = as_text(value) or ""
    return address if address.startswith(("http://", "https://")) else None


def _time(value: object) -> str | None:
    """Return a time with its offset: Ghost writes UTC, without saying so in some versions."""
    text = as_text(value)
    if text is not None and _NAIVE_TIME.fullmatch(text):
        return text.replace(" ", "T") + "Z"
    return text


def _body(post: dict[str, object]) -> str | None:
    """Return the HTML of a post: as Ghost rendered it, or else the text of its source."""
    for name in ("html", "lexical", "mobiledoc", "plaintext", "markdown"):
        source = as_text(post.get(name))
        if not source:
            continue
        if name == "html":
            return source
        if name in ("plaintext", "markdown"):
            return html.escape(source, quote=False)
        try:
            document = as_object(json.loads(source))
        except (ValueError, RecursionError):
            continue
        text = _lexical(document) if name == "lexical" else _mobiledoc(document)
        if text:
            return text
    return None


def _lexical(document: dict[str, object]) -> str:
    """Return the HTML of Ghost's present editor: a tree of nodes."""
    return "".join(_lexical_node(document.get("root"), 0)).strip()


def _lexical_node(node: object, depth: int) -> Iterator[str]:
    """Yield the text of a node; each node with children but links begins a paragraph."""
    fields = as_object(node)
    if depth > MAX_DEPTH:
        return
    if fields.get("type") in ("html", "markdown"):
        yield "\n<p>" + (as_text(fields.get("html", fields.get("markdown"))) or "")
    yield html.escape(as_text(fields.get("text")) or "", quote=False)
    children = as_list(fields.get("children"))
    if children and fields.get("type") not in ("root", "link"):
        yield "\n<p>"
    for child in children:
        yield from _lexical_node(child, depth + 1)


def _mobiledoc(document: dict[str, object]) -> str:
    """Return the HTML of Ghost's former editor (Mobiledoc 0.3): lists of sections and cards."""
    cards = as_list(document.get("cards"))
    paragraphs = []
    for section in map(as_list, as_list(document.get("sections"))):
        if len(section) == 2 and section[0] == 10 and isinstance(section[1], int):
            card = as_list(cards[section[1]]) if 0 <= section[1] < len(cards) else []
            payload = as_object(card[1]) if len(card) > 1 else {}
            paragraphs.append(as_text(payload.get("html", payload.get("markdown"))) or "")
        elif len(section) == 3 and section[0] == 1:  # a paragraph or headline
            paragraphs.append(_markers(section[2]))
        elif len(section) == 3 and section[0] == 3:  # a list
            paragraphs += [_markers(item) for item in as_list(section[2])]
    return "".join(f"\n<p>{text}" for text in paragraphs if text).strip()


def _markers(markers: object) -> str:
    """Return the text of markers, which are lists that end with a text."""
    texts = [as_text(marker[-1]) for marker in map(as_list, as_list(markers)) if marker]
    return html.escape("".join(text or "" for text in texts), quote=False)
