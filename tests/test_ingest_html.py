import gzip

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsys.errors import InputRefusedError
from recsys.ingest import html

SENTENCES = [
    f"The council of district {n} met on Monday and spoke for hours about the price of bridges."
    for n in ("one", "two", "three", "four", "five", "six")
]
PARAGRAPHS = "".join(f"<p>{sentence}</p>" for sentence in SENTENCES)


def page(body, head="<title>Bridges - News</title>"):
    return f"<!doctype html><html><head>{head}</head><body>{body}</body></html>"


def read(folder, data, name="bridge.html"):
    path = folder / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    (batch,) = html.read(path, None, f"2026/{name}")
    return batch


def test_a_page_gives_its_text_without_navigation(tmp_path):
    navigation = "<nav><a href='/a'>Politics</a><a href='/b'>Sport</a></nav>"
    batch = read(tmp_path, page(f"{navigation}<article><h1>Bridges</h1>{PARAGRAPHS}</article>"))
    (row,) = batch.frame.to_dicts()
    assert row["article_id"] == "2026/bridge"
    assert row["title"] == "Bridges"
    assert "Politics" not in row["body"]
    assert all(sentence in row["body"] for sentence in SENTENCES)


def test_a_text_that_is_code_stays_text(tmp_path):
    sentence = "A list is written as List&lt;T&gt; in this language and in several of the others."
    (row,) = read(
        tmp_path, page(f"<article><p>{sentence}</p>{PARAGRAPHS}</article>")
    ).frame.to_dicts()
    assert "List&lt;T&gt;" in row["body"]  # bodies may be HTML, so a text is escaped


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
def test_a_page_is_read_in_its_encoding(tmp_path, encoding):
    text = page(f"<article><h1>Brücken</h1>{PARAGRAPHS}</article>", "<title>Brücken</title>")
    (row,) = read(tmp_path, gzip.compress(text.encode(encoding)), "b.html.gz").frame.to_dicts()
    assert row["title"] == "Brücken"


def test_a_page_without_text_is_a_reject(tmp_path):
    batch = read(tmp_path, "<html><body></body></html>")
    assert [reject.reason for reject in batch.rejects] == ["no article text found in this page"]
    assert len(batch.frame) == 0


def test_binary_data_and_other_kinds_are_refused(tmp_path):
    with pytest.raises(InputRefusedError, match="binary data"):
        read(tmp_path, b"<html>\x00\x01\x02")
    with pytest.raises(InputRefusedError, match="holds an article, not clicks"):
        list(html.read(tmp_path / "bridge.html", "clicks"))


PARTS = ["<", "p>", "<article>", "</p>", "&", "&#0;", "é", "<script", "<meta content=", '"']
PARTS += ['{"@type": "NewsArticle"', "<!--", "\x00", "text "]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.sampled_from(PARTS), max_size=30))
def test_any_page_is_read_or_rejected(tmp_path, parts):
    try:
        batch = read(tmp_path, "<html>" + "".join(parts))
    except InputRefusedError:
        return
    assert len(batch.frame) + len(batch.rejects) == 1
