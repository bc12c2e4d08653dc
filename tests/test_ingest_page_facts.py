"""Pages state their facts in several ways; what they do not state is absent, and never guessed."""

import json

import pytest
import trafilatura
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.ingest.page_facts import facts_of


def facts(head: str = "", body: str = "<p>Some text of a page.</p>", attributes: str = ""):
    page = f"<html {attributes}><head>{head}</head><body>{body}</body></html>"
    return facts_of(trafilatura.load_html(page))


def json_ld(*objects) -> str:
    scripts = (json.dumps(item) if not isinstance(item, str) else item for item in objects)
    return "".join(f'<script type="application/ld+json">{text}</script>' for text in scripts)


def meta(name: str, content: str) -> str:
    return f'<meta property="{name}" content="{content}">'


def test_the_article_of_a_page_in_json_ld_gives_every_field():
    head = json_ld(
        {
            "@context": "https://schema.org",
            "@graph": [
                {"@type": "WebSite", "name": "The Harbour Post"},
                {
                    "@type": "NewsArticle",
                    "headline": "Ferry runs again",
                    "articleSection": ["Local", "Transport"],
                    "keywords": "ferries, harbour",
                    "author": [{"@type": "Person", "name": "By Ana Writer"}, {"name": "Bo Ek"}],
                    "url": "https://post.example/local/ferry",
                    "inLanguage": "en-GB",
                    "description": "After three weeks.",
                    "image": [{"url": "https://post.example/ferry.jpg"}],
                    "isAccessibleForFree": False,
                    "datePublished": "2026-03-01T10:00:00+01:00",
                    "dateModified": "2026-03-02T08:15:00Z",
                    "expires": "2026-04-01T00:00:00Z",
                    "articleBody": "The ferry runs again.",
                },
            ],
        }
    )
    assert facts(head) == {
        "title": "Ferry runs again",
        "category": "Local",
        "tags": ["Transport", "ferries", "harbour"],
        "author": "Ana Writer, Bo Ek",
        "url": "https://post.example/local/ferry",
        "language": "en-GB",
        "summary": "After three weeks.",
        "image_url": "https://post.example/ferry.jpg",
        "premium": "true",
        "published_at": "2026-03-01T10:00:00+01:00",
        "modified_at": "2026-03-02T08:15:00Z",
        "expires_at": "2026-04-01T00:00:00Z",
        "body": "The ferry runs again.",
    }


def test_meta_elements_give_the_same_fields():
    head = (
        '<link rel="canonical" href="/local/ferry?id=1&amp;section=2">'
        + meta("og:url", "https://post.example/other")
        + meta("og:description", "After three weeks &amp; a day.")
        + meta("og:image", "//cdn.example/ferry.jpg?a=1&amp;copy=2")
        + meta("article:section", "Local")
        + meta("article:tag", "ferries")
        + meta("article:tag", "Paris, France")
        + meta("article:content_tier", "locked")
        + meta("article:published_time", "2026-03-01T10:00:00+01:00")
        + meta("article:modified_time", "2026-03-02T08:15:00Z")
        + meta("article:expiration_time", "2026-04-01T00:00:00Z")
    )
    assert facts(head, attributes='lang="en"') == {
        "category": "Local",
        "tags": ["ferries", "Paris, France"],
        "url": "https://post.example/local/ferry?id=1&section=2",
        "language": "en",
        "summary": "After three weeks & a day.",
        "image_url": "https://cdn.example/ferry.jpg?a=1&copy=2",
        "premium": "true",
        "published_at": "2026-03-01T10:00:00+01:00",
        "modified_at": "2026-03-02T08:15:00Z",
        "expires_at": "2026-04-01T00:00:00Z",
    }


TEXTS_WITH_DATES = [
    ("", "<p>On 1 March 2026 the ferry ran. <time datetime='2026-03-01'>Sunday</time></p>"),
    ("", "<footer>© 2026 <time datetime='2026-01-01' class='published'>2026</time></footer>"),
    ("<link rel='canonical' href='https://post.example/2026/03/01/ferry'>", "<p>Text.</p>"),
    (meta("og:url", "https://post.example/2026/ferry"), "<p>Text.</p>"),
    (meta("og:image", "https://post.example/2026/03/01/i.jpg"), "<p>Text.</p>"),
    ("<title>Ferry - 1 March 2026</title>", "<h1>Ferry of 2026-03-01</h1>"),
    ("", "<aside><article><h1>O</h1><time pubdate datetime='2026-03-01'></time></article></aside>"),
    ("", "<h1>T</h1><article><h2>Other</h2><time datetime='2026-03-01'></time></article>"),
    ("", "<article><h1>T</h1><ul><li><time datetime='2026-03-01'></time></li></ul></article>"),
    (meta("article:published_time", "soon"), "<p>Text.</p>"),
    (meta("copyright", "2026"), "<p>Text.</p>"),
    (json_ld({"@type": "Event", "startDate": "2026-03-01"}), "<p>Text.</p>"),
    (
        json_ld({"@type": "ItemList", "itemListElement": [{"@type": "NewsArticle"}]}).replace(
            '"NewsArticle"', '"NewsArticle", "datePublished": "2026-03-01"'
        ),
        "<p>Text.</p>",
    ),
]


@pytest.mark.parametrize(("head", "body"), TEXTS_WITH_DATES)
def test_a_date_that_the_page_does_not_state_as_its_own_is_none(head, body):
    found = facts(head, body)
    assert "published_at" not in found
    assert "modified_at" not in found


@pytest.mark.parametrize(
    "body",
    [
        "<article><header><h1>T</h1><time datetime='{}'>Sunday</time></header><p>x</p></article>",
        "<main><h1>T</h1><div><time>{}</time></div></main>",
        "<div><time pubdate datetime='{}'></time></div>",
        "<span><time class='entry-date published' datetime='{}'></time></span>",
        "<div itemscope><meta itemprop='datePublished' content='{}'></div>",
        "<p itemprop='headline datePublished'>{}</p>",
    ],
)
def test_a_time_that_is_marked_as_that_of_the_article_is_its_publication(body):
    assert facts("", body.format("2026-03-01T10:00:00Z"))["published_at"] == "2026-03-01T10:00:00Z"


def test_of_several_forms_of_one_time_the_most_precise_counts():
    later = meta("date", "2026-03-05T10:00:00Z")
    day = json_ld({"@type": "NewsArticle", "datePublished": "2026-03-01"})
    clock = meta("article:published_time", "2026-03-01 10:00")
    zone = "<div><time pubdate datetime='2026-03-01T10:00:00+01:00'></time></div>"
    assert facts(day + later)["published_at"] == "2026-03-01"
    assert facts(day + clock)["published_at"] == "2026-03-01 10:00"
    assert facts(day + clock + later, zone)["published_at"] == "2026-03-01T10:00:00+01:00"


@pytest.mark.parametrize(
    "url", ["https://post.example/ferry", "http://www.post.example/ferry/#top"]
)
def test_of_several_articles_in_json_ld_the_one_with_the_address_of_the_page_counts(url):
    head = f'<link rel="canonical" href="{url}">' + json_ld(
        {"@type": "NewsArticle", "headline": "Other", "url": "https://post.example/other"},
        {
            "@type": ["Thing", "https://schema.org/ReportageNewsArticle"],
            "headline": "Ferry",
            "mainEntityOfPage": {"@id": "https://post.example/ferry"},
        },
    )
    assert facts(head)["title"] == "Ferry"


@pytest.mark.parametrize(
    "script",
    [
        '{"@type": "NewsArticle", "headline": "A "quoted" word", "datePublished": "2026-03-01"}',
        '<!-- {"@type": "NewsArticle", "datePublished": "2026-03-01"} -->',
        '//<![CDATA[\n[{"@type": "NewsArticle", "datePublished": "2026-03-01"}]\n//]]>',
        '{"@type": "NewsArticle", "headline": "Two\nlines", "datePublished": "2026-03-01"};',
        '{"@type": "WebPage", "datePublished": "2026-03-01"}',
    ],
)
def test_json_ld_that_is_damaged_or_wrapped_gives_its_date(script):
    assert facts(json_ld(script))["published_at"] == "2026-03-01"


def test_links_marked_as_tags_give_section_and_tags_if_nothing_else_does():
    body = """<a rel="category tag" href="/l">Local</a> <a rel="tag" href="/f">big
        <b>ferries</b></a> <nav><a rel="tag" href="/s">Sport</a></nav> <a href="/x">Other</a>"""
    assert facts("", body) == {"category": "Local", "tags": ["big ferries"]}
    found = facts(meta("article:section", "Sea") + meta("news_keywords", "a, b"), body)
    assert found == {"category": "Sea", "tags": ["a", "b"]}


@pytest.mark.parametrize(
    ("stated", "premium"),
    [
        (True, "false"),
        ("False", "true"),
        ("https://schema.org/True", "false"),
        ("perhaps", None),
        (None, None),
    ],
)
def test_a_page_that_is_not_free_is_premium(stated, premium):
    head = json_ld({"@type": "Article", "isAccessibleForFree": stated})
    assert facts(head).get("premium") == premium


@pytest.mark.parametrize(
    "body", ["The first words…", "The first words...", "The first words [...]", ""]
)
def test_the_beginning_of_a_body_is_no_body(body):
    assert "body" not in facts(json_ld({"@type": "Article", "articleBody": body}))


@pytest.mark.parametrize(
    "link", ["javascript:alert(1)", "http://[broken/", "", "/relative", "mailto:a@post.example"]
)
def test_what_is_no_web_address_is_no_address(link):
    found = facts(f'<link rel="canonical" href="{link}">' + meta("og:image", link))
    assert not found.keys() & {"url", "image_url"}


def test_kinds_of_keywords_and_addresses_of_authors_are_no_names():
    head = json_ld(
        {
            "@type": "Article",
            "keywords": ["ferries", "type:story"],
            "author": ["https://social.example/ana", "Ana Writer"],
        }
    )
    assert facts(head) == {"tags": ["ferries"], "author": "Ana Writer"}


VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inside: (
        st.lists(inside, max_size=3)
        | st.dictionaries(
            st.sampled_from(["@id", "@value", "name", "url", "@type", "itemListElement"]), inside
        )
    ),
)
NAMES = (
    "headline articleSection keywords author url mainEntityOfPage inLanguage description image"
    " isAccessibleForFree datePublished dateModified expires articleBody"
).split()


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), VALUES), st.booleans())
def test_json_ld_of_any_shape_gives_texts_and_lists_of_texts(article, in_meta):
    head = json_ld({"@type": "NewsArticle"} | article).replace("</", "<\\/")
    found = facts(head + in_meta * meta("article:section", "Local"))
    for name, value in found.items():
        assert value
        assert isinstance(value, list) == (name == "tags")


def test_json_ld_that_is_nested_deeply_or_has_many_objects_is_bounded():
    many = json.dumps([{"@type": "Thing"}] * 50_000 + [{"@type": "Article", "headline": "T"}])
    assert facts(json_ld("[" * 100_000, many)) == {}
