"""Extract the article from a saved page: HTML, or the text of a page copied with all its widgets.

The article id is the path of the file below the folder that was given, without endings. The page's
canonical address would not do, because two saved pages may name the same one and neither may be
lost.
"""

import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from recsys.errors import InputRefusedError
from recsys.ingest.batches import Batch, clip
from recsys.ingest.blocks import read_whole
from recsys.ingest.encodings import UNRECOGNISED, decode_text
from recsys.ingest.markup import clean_markup, decode_markup
from recsys.ingest.page_facts import facts_of
from recsys.ingest.text import body_of_html, normalise_line
from recsys.rows import ROW, Kind, Reject

if TYPE_CHECKING:
    from trafilatura.settings import Document

MAX_PAGE_BYTES = 32 << 20
ENDINGS = (".html", ".htm", ".txt")
MAX_PARTS = 1_000  # names, values and their separators in a tag
MIN_SENTENCE_WORDS = 10  # a shorter line is a headline, a name or a button
MIN_TITLE_WORDS = 5
_TAG = re.compile(r"<(!doctype|html|head|body|div|p|article|title)\b", re.IGNORECASE)
# A tag up to its ">" by the grammar of HTML 5, a script, whose text is no markup, or a comment.
_ATTRIBUTES = r"""(?:=\s*+(?:"[^"]*+(?:"|\Z)|'[^']*+(?:'|\Z)|[^\s>]*+)|[^>=]++)*+"""
_START = re.compile(
    rf"<(?P<name>(?P<raw>script|style)\b|[a-z][^\s/>]*+)(?P<parts>{_ATTRIBUTES})"
    r"(?(raw)>.*?(?:</(?P=raw)|\Z))"
    r"|<!--(?:-?>|.*?(?:--!?>|\Z))",
    re.IGNORECASE | re.DOTALL,
)
_SEPARATOR = re.compile(r"[\s/=\"']")
_SENTENCE_END = re.compile(r"[.!?…。！？][»”\"')\]]*$")
_BULLET = re.compile(r"^\s*([•‣◦*·–-]|\d+[.)]?\s*$)")
_BYLINE = re.compile(r"^(?:by\s+)?(?P<name>[^\d@|:]{3,60}?)\s+views\b", re.IGNORECASE)


def read(path: Path, kind: Kind | None, name: str | None = None) -> Iterator[Batch]:
    """Yield the article of a page; a page without text, and a damaged archive, give a reject.

    Parameters
    ----------
    path
        The page.
    kind
        "articles" or None.
    name
        Path of the page below the folder that was given; by default the name of the file.

    Raises
    ------
    InputRefusedError
        If `kind` asks for clicks or impressions, the file is binary, or its encoding cannot be
        recognised.
    """
    if kind not in (None, "articles"):
        raise InputRefusedError(str(path), f"a page holds an article, not {kind}")
    data, damage = read_whole(path, MAX_PAGE_BYTES)
    text = decode_markup(data)
    if "\x00" in text[:1024]:
        raise InputRefusedError(str(path), "not a page: binary data")
    is_html = _TAG.search(text[:65536]) is not None
    text = clean_markup(text if is_html else _decode_text(path, data))
    size = path.stat().st_size
    try:
        fields = _from_html(_with_few_attributes(text)) if is_html else _from_text(text)
        reason = damage or "no article text found in this page"
    except Exception as error:  # the libraries fail in many ways on pages that are damaged
        fields, reason = {}, f"this page cannot be read: {type(error).__name__}"
    if not fields.get("title") and not fields.get("body"):
        reject = Reject(1, "body", reason, clip(text))
        empty = pl.DataFrame(schema={ROW: pl.UInt32, "article_id": pl.String, "title": pl.String})
        yield Batch("articles", empty, [reject], size)
        return
    rejects = [Reject(1, "body", f"only a part of this page: {damage}", "")] if damage else []
    columns = {field: pl.Series([value]) for field, value in fields.items()}
    frame = pl.DataFrame({ROW: [1], "article_id": [article_id_of(name or path.name)]} | columns)
    yield Batch("articles", frame, rejects, size)


def _decode_text(path: Path, data: bytes) -> str:
    """Decode the text of a page, which does not declare its encoding as HTML does."""
    text = decode_text(data)
    if text is None:
        raise InputRefusedError(str(path), UNRECOGNISED)
    return text


def article_id_of(name: str) -> str:
    """Return the article id of a saved page: its name without endings.

    Examples
    --------
    >>> article_id_of("politics/kim-visit.html.gz")
    'politics/kim-visit'
    """
    for ending in (".gz", ".zst", ".bz2", ".xz", *ENDINGS):
        name = name.removesuffix(ending)
    return name


def _with_few_attributes(text: str) -> str:
    """Return a page whose tags of more than `MAX_PARTS` parts have lost their attributes.

    lxml compares each attribute of a tag with all before it.
    """

    def bounded(start: re.Match[str]) -> str:
        parts = start["parts"] or ""
        if len(parts) <= MAX_PARTS or len(_SEPARATOR.findall(parts)) <= MAX_PARTS:
            return start[0]
        name, end = start.end("name") - start.start(), start.end("parts") - start.start()
        return start[0][:name] + start[0][end:]

    return _START.sub(bounded, text)


def _from_html(text: str) -> dict[str, str | list[str]]:
    """Return the fields of an article in HTML; fields that are not found are absent."""
    # Imported here, because every command would otherwise wait for the import.
    import trafilatura

    tree = trafilatura.load_html(text)
    if tree is None:
        return {}
    facts = facts_of(tree)
    stated_body = str(facts.pop("body", ""))
    document = _extracted(text, precise=True)
    body = _fuller(text, _body(document), stated_body)
    if not body:
        # Without a main text, all readable text is taken, so that the page is not lost.
        _, body, _ = trafilatura.baseline(tree)
        body = body or trafilatura.html2txt(tree)
    guessed = {
        "title": document.title if document else tree.findtext(".//title"),
        "author": document and document.author,
        "language": document and document.language,
        "body": html.escape(body, quote=False),  # a body may be HTML, and this one is text
    }
    return {name: value for name, value in (guessed | facts).items() if value}


def _body(document: "Document | None") -> str:
    return (document and document.text) or ""


def _extracted(text: str, *, precise: bool = False, full: bool = False) -> "Document | None":
    """Return the main text of a page and what trafilatura guesses about it; None without a text.

    Parameters
    ----------
    text
        The page.
    precise, full
        trafilatura's `favor_precision` and `favor_recall`.
    """
    import trafilatura
    from trafilatura.settings import Document

    document = trafilatura.bare_extraction(
        text,
        favor_precision=precise,
        favor_recall=full,
        include_comments=False,
        with_metadata=True,
        # Its dates are not used, because they may be guessed from an address.
        date_extraction_params={"extensive_search": False},
    )
    return document if isinstance(document, Document) else None


def _fuller(text: str, body: str, stated_body: str) -> str:
    """Return the body of a page, or one with the parts that were left out.

    With `favor_precision`, mean body F1 on 91 saved pages is .978 (lowest .825), with the defaults
    .965 (lowest .442), but on some pages precision keeps a caption of all the text. So where it
    keeps under half of what the page itself states, or under half of what both the defaults and
    `favor_recall` find, it is not used. The mean stays .978, because none of these pages is one.

    Parameters
    ----------
    text
        The page.
    body
        Its main text, extracted with `favor_precision`.
    stated_body
        The `articleBody` of its JSON-LD; "" if it has none, or only a beginning.
    """
    if len(stated_body) > 2 * len(body):
        return body_of_html(stated_body)
    by_default = _body(_extracted(text))
    if len(by_default) <= 2 * len(body):
        return body
    # Where only the defaults find so much, they took in the lists beside the article.
    by_recall = _body(_extracted(text, full=True))
    return by_default if len(by_recall) > 2 * len(body) else body


def _from_text(text: str) -> dict[str, str | list[str]]:
    """Return title, body and author from the text of a page with its navigation and lists.

    The body consists of the lines that are sentences; headlines in lists do not end in a full stop.
    The title is the last headline before the first sentence.
    """
    body: list[str] = []
    title = author = ""
    for line in map(normalise_line, text.splitlines()):
        if not line or _BULLET.match(line):
            continue
        n_words = len(line.split())
        # The second condition is for scripts that are written without blanks.
        is_long = n_words >= MIN_SENTENCE_WORDS or len(line) >= 6 * MIN_SENTENCE_WORDS
        if is_long and _SENTENCE_END.search(line):
            body.append(line)
        elif not body and n_words >= MIN_TITLE_WORDS:
            title = line
        elif not body and not author and (byline := _BYLINE.match(line)):
            author = byline["name"]
    return {"title": title, "body": "\n".join(body), "author": author}
