"""Saved pages: the article without the widgets around it, and no page that ends a command."""

import contextlib
import gzip
import json
import random
import re
from collections import Counter
from pathlib import Path

import pytest
import zstandard
from conftest import SHARED, needs_shared
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.errors import InputRefusedError
from recsys.ingest import html
from recsys.ingest.html import article_id_of
from recsys.ingest.text import body_of_html

SENTENCES = [
    f"Sentence number {number} of the article says a little more about the old harbour ferry."
    for number in range(12)
]
PAGE = """<!DOCTYPE html><html lang="en"><head><title>Ferry runs again - The Harbour Post</title>
<meta property="og:title" content="Ferry runs again"><meta name="author" content="Ana Writer">
{head}</head><body><nav><ul><li><a href="/">Home</a></li><li><a href="/sport">Sport</a></li></ul>
</nav><article><h1>Ferry runs again</h1>{body}</article><aside><h2>Most read</h2><ul>
<li><a href="/a">A mayor resigns after the vote</a></li></ul></aside><footer>Imprint</footer>
</body></html>"""


def page(*paragraphs: str, head: str = "") -> str:
    body = "".join(f"<p>{text}</p>" for text in paragraphs or SENTENCES)
    return PAGE.format(head=head, body=body)


@pytest.fixture
def read(tmp_path):
    """Return a function that reads a page as (its row, its rejects)."""

    def read_page(data: str | bytes, name: str = "page.html"):
        path = tmp_path / name
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        (batch,) = html.read(path, None)
        rows = batch.frame.to_dicts()
        return (rows[0] if rows else {}), batch.rejects

    return read_page


def test_a_page_gives_what_it_states_and_its_text_without_the_widgets(read):
    head = '<meta property="article:section" content="Local">'
    row, rejects = read(page(head=head))
    assert rejects == []
    assert row["body"].split("\n")[-12:] == SENTENCES
    assert "Most read" not in row["body"]
    assert "Imprint" not in row["body"]
    del row["body"]
    assert row == {
        "row": 1,
        "article_id": "page",
        "title": "Ferry runs again",
        "author": "Ana Writer",
        "category": "Local",
        "language": "en",
    }


def test_the_text_of_a_page_stays_text(read):
    row, _ = read(page("Write &lt;p&gt; &amp; not &lt;br&gt; for a paragraph.", *SENTENCES))
    assert "Write <p> & not <br> for a paragraph." in body_of_html(row["body"]).split("\n")


def test_a_body_that_the_page_states_counts_where_it_shows_only_a_beginning(read):
    article = {"@type": "NewsArticle", "articleBody": "<p>" + "</p><p>".join(SENTENCES) + "</p>"}
    text = json.dumps(article).replace("</", "<\\/")
    head = f'<script type="application/ld+json">{text}</script>'
    row, _ = read(page(SENTENCES[0], SENTENCES[1], head=head))
    assert row["body"].split("\n") == SENTENCES


def test_a_page_without_an_article_gives_all_its_text(read):
    row, rejects = read("<html><body><div>Closed today</div></body></html>")
    assert row["body"].strip() == "Closed today"
    assert rejects == []


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "no article text"),
        (b"<html><body></body></html>", "no article text"),
        (b"<html><head><script>x()</script></head></html>", "no article text"),
        (gzip.compress(page().encode(), mtime=0)[:12], "truncated or damaged archive"),
    ],
)
def test_a_page_without_text_is_a_reject(read, data, problem):
    row, (reject,) = read(data)
    assert row == {}
    assert problem in reject.reason


@pytest.mark.parametrize(
    "compress", [gzip.compress, zstandard.ZstdCompressor(level=1).compress], ids=["gzip", "zstd"]
)
def test_a_page_in_a_truncated_archive_is_read_in_part_and_reported(read, compress):
    numbers = random.Random(1)
    noise = "".join(f"<p>{numbers.random()} and more words of it.</p>" for _ in range(20_000))
    data = compress(page(*SENTENCES, noise).encode())
    row, (reject,) = read(data[: len(data) // 2], "page.html.gz")
    assert SENTENCES[0] in row["body"]
    assert reject.reason.startswith("only a part of this page: truncated or damaged archive")


@pytest.mark.parametrize(
    ("declared", "encoding"),
    [
        ('<meta charset="windows-1252">', "cp1252"),
        ('<meta http-equiv="Content-Type" content="text/html; charset=iso-8859-1">', "cp1252"),
        ('<meta charset="iso-8859-1">', "utf-8"),
        ("", "utf-16"),
        ("", "utf-16-le"),
        ("", "utf-8-sig"),
        ("", "cp1252"),
    ],
)
def test_encodings_of_pages_are_read(read, declared, encoding):
    sentence = "Die Fähre fährt für fünf Euro – „täglich“ außer am Dienstag über den großen Fluss."
    row, _ = read(page(sentence, *SENTENCES, head=declared).encode(encoding))
    assert sentence in row["body"]


def test_references_to_characters_of_windows_are_read_as_browsers_do(read):
    row, _ = read(page("It&#146;s the ferry&#x92;s last day &#150; the port is full.", *SENTENCES))
    assert "It’s the ferry’s last day – the port is full." in row["body"]


def test_the_text_of_a_copied_page_is_read_by_its_sentences(read):
    before = ["Home", "* Sport", "The ferry runs again after weeks", "Ana Writer views 12"]
    after = ["Most read", "1", "A mayor resigns after the vote"]
    row, _ = read("\n".join([*before, *SENTENCES, *after]), "p.txt")
    assert row == {
        "row": 1,
        "article_id": "p",
        "title": "The ferry runs again after weeks",
        "author": "Ana Writer",
        "body": "\n".join(SENTENCES),
    }


def test_the_id_of_a_page_is_its_path_without_endings():
    assert article_id_of("sport/index.html") == "sport/index"
    assert article_id_of("a.b.htm.zst") == "a.b"
    assert article_id_of("page.txt.gz") == "page"


def test_what_is_no_page_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "page.html"
    path.write_bytes(b"\x01\x00\x02")
    with pytest.raises(InputRefusedError, match="binary"):
        list(html.read(path, None))
    with pytest.raises(InputRefusedError, match="not clicks"):
        list(html.read(path, "clicks"))
    path.write_text(page())
    monkeypatch.setattr(html, "MAX_PAGE_BYTES", 100)
    with pytest.raises(InputRefusedError, match="larger than"):
        list(html.read(path, None))


TAGS = (
    "<html>,<head>,<body>,<p>,</p>,<article>,</article>,<div,<time datetime='2026-03-01'>,<base"
    ",<meta property='article:tag' content='a'>,<meta content='x' name=>,='//['>,<!--,-->,<![CDATA["
    ",<link rel='canonical' href='http://['>,<script type='application/ld+json'>,</script>,]]>,<h1>"
    ',{"@type":"Article",&#0;,&#x110000;,&nbsp,&lt;,<svg>,<table>,</table>'
)
SENTENCE = "A sentence that has more than ten words, as those of articles have."
MARKUP = st.lists(st.sampled_from([*TAGS.split(","), SENTENCE]) | st.text(max_size=5)).map(" ".join)


@settings(deadline=None)
@given(
    st.binary(max_size=200) | MARKUP.map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.sampled_from([bytes, gzip.compress, lambda data: gzip.compress(data)[:-9]]),
)
def test_any_bytes_are_read_or_rejected(tmp_path_factory, data, stored):
    path = tmp_path_factory.mktemp("pages") / "page.html"
    path.write_bytes(stored(data))
    with contextlib.suppress(InputRefusedError):
        (batch,) = html.read(path, None)
        assert len(batch.frame) + len(batch.rejects) >= 1


def words_f1(found: str, expected: str) -> float:
    given, wanted = (Counter(re.findall(r"\w+", text)) for text in (found, expected))
    return 2 * (given & wanted).total() / (given.total() + wanted.total())


@needs_shared
def test_bodies_of_saved_news_pages_are_those_that_people_marked():
    folder = SHARED / "html"
    truth = json.loads((folder / "ground-truth.json").read_text())
    scores = []
    for path in sorted(Path(folder / "pages").iterdir()):
        (batch,) = html.read(path, None)
        expected = truth[article_id_of(path.name)]["articleBody"]
        scores.append(words_f1(body_of_html(batch.frame["body"][0]), expected))
    assert sum(scores) / len(scores) >= 0.97
    assert min(scores) >= 0.8


@pytest.mark.parametrize(
    ("encoding", "sentence"),
    [
        ("cp1252", "Der Bürgermeister sprach am Montag über den Preis der Brücken und der Züge."),
        ("cp1251", "В понедельник совет района долго говорил о цене новых мостов и дорог города."),
        ("utf-16", "Το συμβούλιο μίλησε τη Δευτέρα για την τιμή των νέων γεφυρών στην πόλη μας."),
    ],
)
def test_the_text_of_a_page_is_read_in_its_encoding(read, encoding, sentence):
    row, _ = read(f"{sentence}\n{sentence}\n".encode(encoding), "b.txt")
    assert row["body"] == f"{sentence}\n{sentence}"


def test_a_text_whose_encoding_cannot_be_recognised_is_refused(read):
    with pytest.raises(InputRefusedError, match="save the file as UTF-8"):
        read(b"\x81\x8d\x8f\x90\x9d\xff\n" * 3, "b.txt")


@pytest.mark.parametrize(
    ("page", "bounded"),
    [
        ("<p {}>x</p><b {} />", "<p>x</p><b>"),
        # Quotes within a value without quotes are no quotes, and a ">" within quotes ends no tag.
        ("<p a=b\"c d='x>' {}>x", "<p>x"),
        ("<script {}>a<b {}>c</script>", "<script>a<b {}>c</script>"),
        ("<!--><p {}>x", "<!--><p>x"),
        ("<!-- <p {}> --><p a=1>x", "<!-- <p {}> --><p a=1>x"),
        ("<p>a < b and {}</p>", "<p>a < b and {}</p>"),
    ],
)
def test_a_tag_of_very_many_attributes_loses_them(page, bounded):
    many = " ".join(f"a{i}=1" for i in range(2_000))
    found = html._with_few_attributes(page.replace("{}", many))
    assert found == bounded.replace("{}", many)
