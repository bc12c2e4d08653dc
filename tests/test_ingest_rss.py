"""Feeds are read as they are meant: texts, addresses, ids and times."""

import contextlib
import gzip
import html
import random
import time
from pathlib import Path

import pytest
from conftest import RECEIVED_MS
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.errors import InputRefusedError
from recsys.ingest import rss
from recsys.ingest.text import body_of_html
from recsys.rows import iso

NAMESPACES = " ".join(
    f'xmlns:{name}="{address}"'
    for name, address in {
        "atom": "http://www.w3.org/2005/Atom",
        "dc": "http://purl.org/dc/elements/1.1/",
        "dcterms": "http://purl.org/dc/terms/",
        "media": "http://search.yahoo.com/mrss/",
        "content": "http://purl.org/rss/1.0/modules/content/",
    }.items()
)


XHTML = "http://www.w3.org/1999/xhtml"


def rss_feed(*items: str, channel: str = "<link>https://news.example/</link>") -> str:
    entries = "".join(f"<item>{item}</item>" for item in items)
    start = f'<rss version="2.0" {NAMESPACES}><channel><title>t</title>{channel}'
    return f"{start}{entries}</channel></rss>"


def atom_feed(*entries: str, attributes: str = "") -> str:
    inside = "".join(f"<entry>{entry}</entry>" for entry in entries)
    start = f'<feed xmlns="http://www.w3.org/2005/Atom" {attributes}><title>t</title>'
    return f"{start}{inside}</feed>"


@pytest.fixture
def rows(tmp_path):
    """Return a function that reads a feed as rows, without what they do not give."""

    def read(feed: str | bytes, name: str = "f.xml"):
        path = tmp_path / name
        path.write_bytes(feed if isinstance(feed, bytes) else feed.encode())
        (batch,) = rss.read(path, None)
        given = batch.frame.rows(named=True)
        return [{k: v for k, v in row.items() if v not in (None, [])} for row in given]

    return read


@pytest.fixture
def articles(load, store):
    """Return a function that loads a feed and returns the stored articles."""

    def read(feed: str | bytes):
        load({"f.xml": feed})
        return store.articles(known_by_ms=RECEIVED_MS)

    return read


@pytest.mark.parametrize(
    ("title", "stored"),
    [
        ("<title>Vec&lt;T&gt; and a &lt;b&gt; tag</title>", "Vec<T> and a <b> tag"),
        ('<title type="text">Tom &amp;amp; Jerry</title>', "Tom &amp; Jerry"),
        (
            '<title type="html">Tom &amp;amp; &lt;b&gt;Jo&lt;/b&gt; &amp;lt; 5</title>',
            "Tom & Jo < 5",
        ),
        (f'<title type="xhtml"><div xmlns="{XHTML}">A <em>b</em> &lt;c</div></title>', "A b <c"),
    ],
)
def test_an_atom_title_is_read_by_its_type(articles, title, stored):
    assert articles(atom_feed(f"<id>e1</id>{title}")).titles == (stored,)


@pytest.mark.parametrize(
    ("title", "stored"),
    [
        ("Tom &amp; Jerry", "Tom & Jerry"),
        ("Tom &amp;amp; Jerry", "Tom & Jerry"),
        ("&lt;i&gt;Aida&lt;/i&gt; at the opera", "Aida at the opera"),
        ("Why List&lt;T&gt; is &lt;em&gt;slow&lt;/em&gt;", "Why List<T> is slow"),
        ("<![CDATA[<b>Storm</b> & rain]]>", "Storm & rain"),
        ("5 &lt; 6", "5 < 6"),
    ],
)
def test_an_rss_title_is_text_also_where_it_is_written_as_html(articles, title, stored):
    assert articles(rss_feed(f"<guid>g</guid><title>{title}</title>")).titles == (stored,)


def test_a_title_that_is_only_a_doctype_costs_no_other_entry(articles):
    found = articles(
        rss_feed(
            "<guid>a</guid><title>One</title>",
            "<guid>b</guid><title>&lt;!DOCTYPE html&gt;</title><description>Text</description>",
            "<guid>c</guid><title>Two</title><description>&lt;!-- x --&gt;</description>",
        )
    )
    assert found.id_map.ids == ("a", "b", "c")


@pytest.mark.parametrize(
    ("link", "url"),
    [
        (
            "/2026/a?x=1&amp;section=2&amp;copy=3",
            "https://news.example/2026/a?x=1&section=2&copy=3",
        ),
        ("//cdn.example/b", "https://cdn.example/b"),
        ("c/d", "https://news.example/c/d"),
        ("http://other.example/e", "http://other.example/e"),
        ("javascript:alert(1)", None),
        ("http://[broken/", None),
    ],
)
def test_links_are_resolved_and_otherwise_left_as_they_are(rows, link, url):
    (row,) = rows(rss_feed(f"<guid>g</guid><title>T</title><link>{link}</link>"))
    assert row.get("url") == url


def test_links_are_relative_to_the_site_if_an_aggregator_published_the_feed(rows):
    own = '<atom:link rel="self" href="https://{}/feed/rss"/><link>https://news.example/</link>'
    item = "<guid>g</guid><title>T</title><link>a</link>"
    (row,) = rows(rss_feed(item, channel=own.format("feeds.example")))
    assert row["url"] == "https://news.example/a"
    (row,) = rows(rss_feed(item, channel=own.format("news.example")))
    assert row["url"] == "https://news.example/feed/a"


def test_a_relative_link_without_a_base_gives_no_address(rows):
    (row,) = rows(rss_feed("<guid>g</guid><title>T</title><link>/a</link>", channel=""))
    assert "url" not in row
    (row,) = rows(rss_feed("<title>T</title><link>/a</link>", channel=""), "sub-f.xml")
    assert row["article_id"] == "sub-f.xml#/a"


def test_xml_base_is_the_base_of_links(rows):
    (row,) = rows(
        atom_feed(
            '<id>tag:news.example,2026:7</id><title>T</title><link href="a"/>',
            attributes='xml:base="https://news.example/x/"',
        )
    )
    assert row["url"] == "https://news.example/x/a"
    assert row["article_id"] == "tag:news.example,2026:7"


def test_xml_base_is_the_base_of_pictures_too(rows):
    picture = '<media:group><media:content url="i.jpg" medium="image"/></media:group>'
    (row,) = rows(
        atom_feed(
            f'<id>tag:news.example,2026:7</id><title xml:base="/y/">T</title>{picture}',
            attributes=f'{NAMESPACES} xml:base="https://news.example/x/"',
        )
    )
    assert row["image_url"] == "https://news.example/y/i.jpg"


def test_a_number_as_guid_is_an_id_of_its_feed_only(rows):
    item = '<guid isPermaLink="false">1</guid><title>T</title>'
    own = '<atom:link rel="self" href="https://{}/feed"/>'
    ids = [
        rows(rss_feed(item, channel=own.format("a.example")))[0]["article_id"],
        rows(rss_feed(item, channel="<link>https://b.example/</link>"))[0]["article_id"],
        rows(rss_feed(item, channel=""), "c.xml")[0]["article_id"],
        rows(rss_feed(item.replace("1<", "n-1<"), channel=""))[0]["article_id"],
    ]
    assert ids == ["https://a.example/feed#1", "https://b.example/#1", "c.xml#1", "n-1"]


def test_a_guid_that_is_a_path_is_resolved_and_a_link_stands_in_for_a_missing_one(rows):
    found = rows(
        rss_feed(
            "<guid>/a</guid><title>T</title>",
            "<title>T</title><link>b</link>",
            "<guid>https://news.example/c</guid><title>T</title>",
        )
    )
    assert [row["article_id"] for row in found] == [f"https://news.example/{x}" for x in "abc"]
    assert [row.get("url") for row in found] == [None, *(f"https://news.example/{x}" for x in "bc")]


@pytest.mark.parametrize(
    ("written", "instant"),
    [
        ("Mon, 02 Mar 2026 05:30:00 CET", "2026-03-02T04:30:00Z"),
        ("Mon, 02 Mar 2026 05:30:00 MEZ", "2026-03-02T04:30:00Z"),
        ("Wed, 02 Jul 2025 06:30:00 MESZ", "2025-07-02T04:30:00Z"),
        ("Wed, 02 Jul 2025 05:30:00 BST", "2025-07-02T04:30:00Z"),
        ("Mon, 02 Mar 2026 05:30:00 +01:00", "2026-03-02T04:30:00Z"),
        ("Mon, 02 Mar 2026 05:30:00 +0100", "2026-03-02T04:30:00Z"),
        ("Mon, 02 Mar 2026 04:30:00 GMT", "2026-03-02T04:30:00Z"),
        ("2026-03-02T05:30:00+01:00", "2026-03-02T04:30:00Z"),
    ],
)
def test_times_keep_their_zones(articles, written, instant):
    item = f"<guid>g</guid><title>T</title><pubDate>{written}</pubDate>"
    assert [iso(ms) for ms in articles(rss_feed(item)).published_ms.tolist()] == [instant]


def test_an_update_is_the_version_of_a_row_and_not_its_publication(rows):
    dated = "<id>e</id><title>T</title><updated>2026-03-02T05:00:00Z</updated>"
    (row,) = rows(atom_feed(dated + "<published>2026-03-01T05:00:00Z</published>"))
    assert row["published_at"] == "2026-03-01T05:00:00Z"
    assert row["modified_at"] == "2026-03-02T05:00:00Z"
    (row,) = rows(atom_feed(dated))
    assert row["published_at"] == row["modified_at"] == "2026-03-02T05:00:00Z"


def test_every_field_of_an_entry_has_its_place(rows):
    item = """<guid>g</guid><title>T</title><link>/a</link>
        <dc:creator>Ana Writer</dc:creator><dc:creator>Bo Ek</dc:creator>
        <category>Politics</category><category>Paris, France</category><category>Rail</category>
        <description>&lt;p&gt;In short.&lt;/p&gt;</description>
        <content:encoded><![CDATA[<p>One.</p><p>Two.</p>]]></content:encoded>
        <media:content url="/clip.mp4" type="video/mp4"/>
        <media:content url="/i.jpg" medium="image"/>
        <dcterms:modified>2026-03-02T05:00:00Z</dcterms:modified><dc:language>de</dc:language>
        <pubDate>Sun, 01 Mar 2026 10:00:00 GMT</pubDate>
        <dcterms:valid>start=2026-03-01T00:00:00Z;end=2026-04-01T00:00:00Z</dcterms:valid>"""
    assert rows(rss_feed(item)) == [
        {
            "row": 1,
            "article_id": "g",
            "title": "T",
            "url": "https://news.example/a",
            "author": "Ana Writer, Bo Ek",
            "category": "Politics",
            "tags": ["Paris, France", "Rail"],
            "summary": "<p>In short.</p>",
            "body": "<p>One.</p><p>Two.</p>",
            "image_url": "https://news.example/i.jpg",
            "language": "de",
            "published_at": "Sun, 01 Mar 2026 10:00:00 GMT",
            "modified_at": "2026-03-02T05:00:00Z",
            "expires_at": "2026-04-01T00:00:00Z",
        }
    ]


@pytest.mark.parametrize(
    ("element", "address"),
    [
        ('<enclosure url="https://n.example/i.jpg" type="image/jpeg"/>', "https://n.example/i.jpg"),
        ('<media:thumbnail url="https://n.example/t"/>', "https://n.example/t"),
        ('<itunes:image href="https://n.example/i"/>', "https://n.example/i"),
        ('<media:content url="https://n.example/x.webp?w=5"/>', "https://n.example/x.webp?w=5"),
        ('<enclosure url="https://n.example/a.mp3" type="audio/mpeg"/>', None),
    ],
)
def test_the_picture_of_an_entry(rows, element, address):
    (row,) = rows(rss_feed(f"<guid>g</guid><title>T</title>{element}"))
    assert row.get("image_url") == address


@pytest.mark.parametrize(
    ("author", "name"),
    [
        ("ana@mail.example (Ana Writer)", "Ana Writer"),
        ("ana@mail.online (Ana)", "Ana"),
        ("ana@mail.com", None),
        ("Ana Writer", "Ana Writer"),
    ],
)
def test_an_address_of_mail_is_no_author(rows, author, name):
    (row,) = rows(rss_feed(f"<guid>g</guid><title>T</title><author>{author}</author>"))
    assert row.get("author") == name


def test_the_language_of_a_feed_is_that_of_its_entries(rows):
    (row,) = rows(rss_feed("<guid>g</guid><title>T</title>", channel="<language>fr-be</language>"))
    assert row["language"] == "fr-be"
    (row,) = rows(atom_feed("<id>e</id><title>T</title>", attributes='xml:lang="da"'))
    assert row["language"] == "da"


def test_a_field_that_an_entry_does_not_have_stays_as_it_is(load, store):
    load({"a.jsonl": '{"article_id": "g", "title": "Old", "category": "Sport", "language": "de"}'})
    load({"f.xml": rss_feed("<guid>g</guid><title>New</title>")})
    found = store.articles(known_by_ms=RECEIVED_MS)
    assert (found.titles, found.categories, found.languages) == (("New",), ("Sport",), ("de",))


@pytest.mark.parametrize(
    ("declared", "encoding"),
    [
        ("utf-8", "utf-8"),
        ("iso-8859-1", "cp1252"),
        ("iso-8859-1", "utf-8"),
        ("windows-1252", "cp1252"),
        ("utf-16", "utf-16"),
        ("utf-16", "utf-8"),
        ("no-such-encoding", "utf-8"),
        ("", "cp1252"),
    ],
)
def test_encodings_are_read_as_declared_or_by_their_bytes(articles, declared, encoding):
    given = f' encoding="{declared}"' if declared else ""
    feed = rss_feed("<guid>g</guid><title>„Größe“ – fünf €</title>")
    text = f'<?xml version="1.0"{given}?>{feed}'
    assert articles(text.encode(encoding)).titles == ("„Größe“ – fünf €",)


def test_control_characters_cost_no_entry_and_no_other_file(load, store):
    item = "<guid>g</guid><title>Ferry\x0b runs&#8;</title>"
    item += "<description>&lt;&#0;p&gt;&#x1;Text&#xD800;&#x110000;</description>"
    report = load({"f.xml": rss_feed(item), "z.xml": rss_feed("<guid>h</guid><title>H</title>")})
    assert not report.refused
    assert not report.rejected
    assert store.articles(known_by_ms=RECEIVED_MS).titles == ("Ferry runs", "H")


@pytest.mark.parametrize(
    "damaged",
    [
        "<guid>a</guid><title>A",
        "<guid>a</guid><title>A</item>",
        "<guid>a</guid><title>A</title><description><p>Text</b></description></item>",
        "<guid>a</guid><title>A < B <</title></item>",
        "<guid>a</guid><title>A</title><enclosure url=https://n.example/i.jpg></item>",
        "<guid>a</guid><title>A</title>",
    ],
)
def test_a_damaged_entry_is_a_reject_with_its_text_and_costs_no_other(tmp_path, damaged):
    path = tmp_path / "f.xml"
    others = [f"<item><guid>{guid}</guid><title>T {guid}</title></item>" for guid in "zbc"]
    path.write_text(
        f"<rss><channel>{others[0]}<item>{damaged}<!-- <item> -->{others[1]}"
        f"<!-- <item> -->{others[2]}</channel></rss>"
    )
    (batch,) = rss.read(path, None)
    found = {row["article_id"]: (row["row"], row["title"]) for row in batch.frame.to_dicts()}
    assert found.pop("a")[0] == 2
    assert found == {"z": (1, "T z"), "b": (3, "T b"), "c": (4, "T c")}
    (reject,) = batch.rejects
    assert (reject.row, reject.raw.removesuffix("<!-- <item> -->")) == (2, f"<item>{damaged}")
    assert reject.reason.startswith("this entry is malformed; what can be read of it is kept: ")


def test_prefixes_that_a_feed_does_not_declare_are_those_that_others_use(tmp_path):
    path = tmp_path / "f.xml"
    path.write_text(
        "<rss><channel><item><guid>g</guid><title>T</title><dc:creator>Ana</dc:creator>"
        "<content:encoded>&lt;p>Body&lt;/p></content:encoded>"
        "<media:content url='https://n.example/i.jpg' medium='image'/></item></channel></rss>"
    )
    (batch,) = rss.read(path, None)
    (row,) = batch.frame.to_dicts()
    assert (row["author"], row["body"]) == ("Ana", "<p>Body</p>")
    assert row["image_url"] == "https://n.example/i.jpg"
    assert batch.rejects == []


@pytest.mark.parametrize("text", ["&nbsp;", "Tom & Jerry", "&unknown;", "a&b=c"])
def test_entities_and_ampersands_are_no_damage(load, text):
    assert not load({"f.xml": rss_feed(f"<guid>g</guid><title>T {text}</title>")}).rejected


def test_an_ampersand_that_is_not_escaped_stays_in_an_address(rows):
    (row,) = rows(rss_feed("<guid>g</guid><title>T</title><link>/a?x=1&copy=2&section=3</link>"))
    assert row["url"] == "https://news.example/a?x=1&copy=2&section=3"


def test_a_feed_in_a_truncated_archive_is_reported(tmp_path):
    numbers = random.Random(1)
    items = [f"<guid>g{i}</guid><title>{numbers.random()}</title>" for i in range(2_000)]
    data = gzip.compress(rss_feed(*items).encode())
    path = tmp_path / "f.xml.gz"
    path.write_bytes(data[: len(data) // 2])
    (batch,) = rss.read(path, None)
    assert batch.frame["article_id"][:900].to_list() == [f"g{i}" for i in range(900)]
    assert (
        batch.rejects[-1].reason == "truncated or damaged archive: the archive ends in the middle"
    )


TAGS = (
    "<rss>,<feed xmlns='http://www.w3.org/2005/Atom'>,<channel>,<item>,</item>,<entry>,</entry>"
    ",<title,>,</title>,<title type='html'>,<link href='//['/>,<link>,</link>,<![CDATA[,]]>,<!--"
    ",-->,<dc:date>,<pubDate>,</pubDate>,<author>,<media:content url='a'/>,<!DOCTYPE a [,&a;,&#0;"
    ",&,<!ENTITY a 'b'>,<category>,<guid>,</guid>,<description>,</description>,<a:item>"
    ",<content type='xhtml'><div>"
)


@settings(deadline=None)
@given(
    st.binary(max_size=200)
    | st.lists(st.sampled_from(TAGS.split(",")) | st.text(max_size=5)).map(
        lambda tags: "".join(["<rss><item>", *tags]).encode("utf-8", "surrogatepass")
    ),
    st.sampled_from([bytes, gzip.compress, lambda data: gzip.compress(data)[:-9]]),
)
def test_any_bytes_are_read_or_refused(tmp_path_factory, data, stored):
    path = tmp_path_factory.mktemp("feeds") / "f.xml"
    path.write_bytes(stored(data))
    with contextlib.suppress(InputRefusedError):
        (batch,) = rss.read(path, None)
        assert len(batch.frame) + len(batch.rejects) >= (b"<item" in data)


def test_a_feed_damaged_in_the_middle_yields_the_entries_before(load, store):
    whole = rss_feed("<guid>a</guid><title>A</title>", "<guid>b</guid><title>B</title>")
    report = load({"f.xml": whole[: whole.index("<title>B")]})
    assert "a" in store.articles(known_by_ms=RECEIVED_MS).id_map.ids
    assert any("malformed" in reason for reason, _ in report.rejected)


def test_the_content_of_a_feed_is_never_taken_for_the_name_of_a_file(tmp_path):
    (tmp_path / "other.xml").write_text(rss_feed("<guid>g</guid><title>T</title>"))
    (tmp_path / "f.xml").write_text(str(tmp_path / "other.xml"))
    with pytest.raises(InputRefusedError, match="not RSS or Atom"):
        list(rss.read(tmp_path / "f.xml", None))


N = 200_000
HOSTILE = {
    "blank lines": '<?xml version="1.0"?>' + "\n" * N + "<!DOCTYPE rss []>{}",
    "comments": "<!-- -->\n" * (N // 8) + "<!DOCTYPE rss []>{}",
    "entities": "<!DOCTYPE rss [" + "<!ENTITY a 'b'>\n" * (N // 16) + "]>{}",
    "open DOCTYPEs": "{}" + "\n<!DOCTYPE" * (N // 10),
    "open tags": "{}" + "<a" * (N // 20),
    "long words": rss_feed("<guid>g</guid><author>" + "a" * N + "</author>"),
    "many tags": rss_feed(
        "<guid>g</guid>" + "".join(f"<category>c{i}</category>" for i in range(N // 5))
    ),
    "references": "{}" + "&#" * N,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_feeds_are_read_in_a_time_linear_in_their_size(rows, name):
    feed = HOSTILE[name].replace("{}", rss_feed("<guid>g</guid><title>T</title>"))
    before = time.process_time()
    assert rows(feed)[0]["article_id"] == "g"
    assert time.process_time() - before < 20  # quadratic time would be minutes


@pytest.mark.parametrize("feed", ["", "no feed", "<html></html>", "<a/>", "/etc/hostname"])
def test_what_is_no_feed_is_refused(tmp_path, feed):
    path = tmp_path / "f.xml"
    path.write_text(feed)
    with pytest.raises(InputRefusedError, match="not RSS or Atom"):
        list(rss.read(path, None))


def test_a_feed_holds_articles_only_and_has_a_largest_size(tmp_path, monkeypatch):
    path = Path(tmp_path / "f.xml")
    path.write_text(rss_feed("<guid>g</guid><title>T</title>"))
    with pytest.raises(InputRefusedError, match="not clicks"):
        list(rss.read(path, "clicks"))
    monkeypatch.setattr(rss, "MAX_FEED_BYTES", 100)
    with pytest.raises(InputRefusedError, match="larger than"):
        list(rss.read(path, None))


@pytest.mark.parametrize("is_escaped", [False, True])
def test_comments_of_a_text_are_left_out_and_one_without_an_end_hides_nothing(rows, is_escaped):
    text = "<p>One<!-- <p>old</p> <!-- older --> two</p><!-- <p>three</p>"
    content = html.escape(text) if is_escaped else f"<![CDATA[{text}]]>"
    (row,) = rows(rss_feed(f"<guid>g</guid><description>{content}</description>"))
    body = body_of_html(row["body"])
    assert "old" not in body
    assert all(word in body for word in ("One", "two", "three"))
