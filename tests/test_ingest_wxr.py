import gzip

import pytest
from read_file import read_file

from recsys.errors import InputRefusedError
from recsys.ingest import wxr

HEAD = """<?xml version="1.0" encoding="UTF-8" ?>
<!-- generator="WordPress/6.5" created="2026-03-02 08:06" -->
<rss version="2.0"
  xmlns:excerpt="http://wordpress.org/export/1.2/excerpt/"
  xmlns:content="http://purl.org/rss/1.0/modules/content/"
  xmlns:dc="http://purl.org/dc/elements/1.1/"
  xmlns:wp="http://wordpress.org/export/1.2/">
<channel>
  <title>A newsroom</title>
  <language>en-US</language>
  <wp:wxr_version>1.2</wp:wxr_version>
  <wp:author><wp:author_id>2</wp:author_id><wp:author_login><![CDATA[ana]]></wp:author_login>
    <wp:author_display_name><![CDATA[Ana Writer]]></wp:author_display_name></wp:author>
"""
TAIL = "</channel></rss>"


def item(inner="", type_="post", id_=42, status="publish", content="Some text"):
    return f"""<item>
  <title><![CDATA[Harbour & bridge]]></title>
  <link>https://n.example/2026/harbour/</link>
  <pubDate>Mon, 02 Mar 2026 04:00:00 +0000</pubDate>
  <dc:creator><![CDATA[ana]]></dc:creator>
  <guid isPermaLink="false">https://n.example/?p={id_}</guid>
  <content:encoded><![CDATA[{content}]]></content:encoded>
  <excerpt:encoded><![CDATA[]]></excerpt:encoded>
  <wp:post_id>{id_}</wp:post_id>
  <wp:post_date><![CDATA[2026-03-02 05:00:00]]></wp:post_date>
  <wp:post_date_gmt><![CDATA[2026-03-02 04:00:00]]></wp:post_date_gmt>
  <wp:post_modified_gmt><![CDATA[2026-03-02 05:30:00]]></wp:post_modified_gmt>
  <wp:status><![CDATA[{status}]]></wp:status>
  <wp:post_type><![CDATA[{type_}]]></wp:post_type>
  {inner}
</item>
"""


@pytest.fixture
def read(tmp_path):
    """Return a function: what an export with these items holds."""
    return lambda *items: read_file(wxr.read, tmp_path, HEAD + "".join(items) + TAIL)


def test_a_post_is_an_article_with_the_id_of_the_post(read):
    terms = """<category domain="category" nicename="p"><![CDATA[Politics]]></category>
      <category domain="post_tag" nicename="c"><![CDATA[coal, steel]]></category>
      <category domain="category" nicename="e"><![CDATA[Energy]]></category>
      <category domain="post_format" nicename="a"><![CDATA[Aside]]></category>"""
    assert read(item(terms)).articles == [
        {
            "row": 1,
            "article_id": "42",
            "title": "Harbour & bridge",
            "body": "Some text",
            "category": "Politics",
            "tags": ["Energy", "coal, steel"],
            "author": "Ana Writer",
            "url": "https://n.example/2026/harbour/",
            "language": "en-US",
            "summary": "",
            "published_at": "2026-03-02T04:00:00Z",
            "modified_at": "2026-03-02T05:30:00Z",
            "status": "published",
        }
    ]


def test_pictures_are_found_by_the_posts_that_show_them_in_any_order(read):
    shows = """<wp:postmeta><wp:meta_key><![CDATA[_thumbnail_id]]></wp:meta_key>
      <wp:meta_value><![CDATA[9]]></wp:meta_value></wp:postmeta>"""
    picture = item(
        "<wp:attachment_url>https://n.example/i.jpg</wp:attachment_url>", "attachment", 9
    )
    found = read(item(shows), picture, item(shows.replace("9", "8")))
    assert [row["image_url"] for row in found.articles] == ["https://n.example/i.jpg", ""]
    assert found.ignored == {("item", "type attachment"): 1}


def test_items_that_are_no_posts_are_ignored(read):
    found = read(*(item(type_=type_) for type_ in ("page", "nav_menu_item", "revision", "post")))
    assert [row["row"] for row in found.articles] == [4]
    assert sum(found.ignored.values()) == 3


@pytest.mark.parametrize(
    ("made", "status"),
    [
        (item(status="draft"), "draft"),
        (item(status="private"), "draft"),
        (item(status="future"), "published"),
        (item("<wp:post_password>secret</wp:post_password>"), "private"),
        (item("<wp:post_password></wp:post_password>"), "published"),
    ],
)
def test_what_is_not_public_is_withdrawn(read, made, status):
    assert read(made).articles[0]["status"] == status


def test_a_zero_date_is_unknown(read):
    made = item(status="draft").replace("2026-03-02 04:00:00", "0000-00-00 00:00:00")
    assert "published_at" not in read(made).articles[0]


@pytest.mark.parametrize(
    ("content", "body"),
    [
        ("one\n\ntwo", "one\ntwo"),
        ("a <!-- </item> --> b", "a b"),
        ("nested <![CDATA[ tags ]]> :)", "nested tags :)"),
        ("escaped ]]]]><![CDATA[> end", "escaped ]]> end"),
        ("a\x0bb", "ab"),
        ("5 < 6 &amp; <b>x</b>", "5 < 6 & x"),
        ('[caption id="1" width="3"]<img> Text[/caption] [sic]', "Text [sic]"),
        ("[embed]https://v.example/1[/embed]Text", "Text"),
        ("[gallery]Text", "Text"),
    ],
)
def test_the_text_of_a_post_is_its_html_without_shortcodes(read, content, body):
    assert read(item(content=content)).articles[0]["body"].strip() == body


def test_entities_of_html_are_understood_outside_of_cdata(read):
    made = item().replace("<![CDATA[Harbour & bridge]]>", "Harbour&nbsp;&amp; bridge &nonsense;")
    assert read(made).articles[0]["title"] == "Harbour\xa0& bridge &nonsense;"


def test_a_damaged_item_costs_itself(read, tmp_path):
    found = read(item(id_=1), "<item>\x01<<<</item>", item(id_=3))
    assert [row["article_id"] for row in found.articles] == ["1", "3"]
    assert [(reject.row, reject.reason) for reject in found.rejects] == [(2, "damaged XML")]
    cut = read_file(wxr.read, tmp_path, HEAD + item(id_=1) + item(id_=2)[:300])
    assert [row["article_id"] for row in cut.articles] == ["1"]
    assert [reject.reason for reject in cut.rejects] == ["the file ends in the middle of an item"]
    assert cut.rejects[0].raw.startswith("<item>")


def test_entities_of_a_document_type_are_not_resolved(read, tmp_path):
    (tmp_path / "secret").write_text("the secret")
    doctype = f'?>\n<!DOCTYPE rss [<!ENTITY s SYSTEM "file://{tmp_path}/secret">]>'
    text = (HEAD + item() + TAIL).replace("?>", doctype, 1).replace("Some text", "]]>&s;<![CDATA[")
    found = read_file(wxr.read, tmp_path, text)
    assert "secret" not in str(found.articles)


@pytest.mark.parametrize("encoding", ["iso-8859-1", "utf-16"])
def test_other_encodings_are_read_as_declared(tmp_path, encoding):
    text = (HEAD + item(content="Größe") + TAIL).replace("UTF-8", encoding)
    found = read_file(wxr.read, tmp_path, gzip.compress(text.encode(encoding)))
    assert found.articles[0]["body"] == "Größe"


def test_broken_utf_8_costs_its_item(tmp_path):
    data = (HEAD + item(content="X") + item(id_=2) + TAIL).encode().replace(b"[X]", b"[\xff]")
    found = read_file(wxr.read, tmp_path, data)
    assert [row["article_id"] for row in found.articles] == ["2"]
    assert [reject.reason for reject in found.rejects] == ["broken UTF-8"]


def test_an_item_larger_than_the_limit_is_rejected(tmp_path, monkeypatch):
    monkeypatch.setattr(wxr, "MAX_ITEM_BYTES", 2_000)
    monkeypatch.setattr("recsys.ingest.blocks.BATCH_BYTES", 1_000)
    monkeypatch.setattr(wxr, "CHUNK_BYTES", 1_000)
    text = HEAD + item(id_=1) + item(content="x" * 5_000) + item(id_=3) + TAIL
    found = read_file(wxr.read, tmp_path, text)
    assert {"1", "3"} >= {row["article_id"] for row in found.articles} >= {"1"}
    assert found.rejects


def test_other_xml_is_refused(tmp_path):
    with pytest.raises(InputRefusedError, match="not an export of WordPress"):
        read_file(wxr.read, tmp_path, "<rss></rss>")
    with pytest.raises(InputRefusedError, match="not impressions"):
        read_file(wxr.read, tmp_path, HEAD, "impressions")
    assert wxr.matches(HEAD.encode())
    assert not wxr.matches(b"<rss><item/></rss>")


def test_an_export_and_the_rest_api_give_one_article(load, store):
    load({"export.xml": HEAD + item() + TAIL})
    post = '[{"id": 42, "date_gmt": "2026-03-02T04:00:00", "title": {"rendered": "Changed"},'
    load({"posts.json": post + ' "modified_gmt": "2026-03-02T05:45:00"}]'})
    articles = store.articles(known_by_ms=2**53)
    assert list(articles.id_map.ids) == ["42"]
    assert (articles.titles[0], articles.authors[0]) == ("Changed", "Ana Writer")
