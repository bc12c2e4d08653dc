import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import html

from recsys.ingest.page_facts import facts_of

JSON_LD = {
    "@context": "https://schema.org",
    "@graph": [
        {"@type": "WebSite", "name": "News"},
        {
            "@type": "NewsArticle",
            "headline": "Bridge opens",
            "datePublished": "2026-03-02T05:30:00+01:00",
            "dateModified": "2026-03-02T06:00:00+01:00",
            "author": [{"@type": "Person", "name": "Ann Lee"}, {"name": "Bo Ek"}],
            "articleSection": ["Local", "Traffic"],
            "keywords": "bridge, river",
            "image": {"@type": "ImageObject", "url": "/bridge.jpg"},
            "isAccessibleForFree": "http://schema.org/False",
            "inLanguage": "en",
            "mainEntityOfPage": {"@id": "https://n.example/bridge"},
        },
    ],
}
NAMES = [*JSON_LD["@graph"][1], "name"]
AT = "2026-03-02T05:30:00Z"
HEAD = '<link rel="canonical" href="https://n.example/bridge">'


def facts(head="", body="<p>Text</p>", attributes=""):
    page = f"<html {attributes}><head>{head}</head><body>{body}</body></html>"
    return facts_of(html.fromstring(page))


def script(value):
    text = value if isinstance(value, str) else json.dumps(value)
    return f'<script type="application/ld+json">{text}</script>'


def meta(name, content):
    return f'<meta property="{name}" content="{content}">'


def test_the_article_of_json_ld_is_read():
    assert facts(HEAD + script(JSON_LD)) == {
        "title": "Bridge opens",
        "category": "Local",
        "tags": ["Traffic", "bridge", "river"],
        "author": "Ann Lee, Bo Ek",
        "url": "https://n.example/bridge",
        "language": "en",
        "image_url": "https://n.example/bridge.jpg",
        "premium": "true",
        "published_at": "2026-03-02T05:30:00+01:00",
        "modified_at": "2026-03-02T06:00:00+01:00",
    }


def test_meta_elements_are_read_where_there_is_no_json_ld():
    head = meta("og:image", "//cdn.example/x.jpg") + meta("og:description", "In short.")
    head += meta("article:published_time", "2026-03-02T04:30:00Z") + meta("article:tag", "a, b")
    head += meta("article:section", "Local") + meta("og:locale", "de_DE")
    head += meta("article:content_tier", "locked") + meta("og:url", "https://n.example/a")
    assert facts(head) == {
        "category": "Local",
        "tags": ["a", "b"],
        "url": "https://n.example/a",
        "language": "de-DE",
        "summary": "In short.",
        "image_url": "https://cdn.example/x.jpg",
        "premium": "true",
        "published_at": "2026-03-02T04:30:00Z",
    }


def test_the_article_with_the_address_of_the_page_is_taken_and_none_of_a_list():
    other = {"@type": "NewsArticle", "headline": "Other", "url": "https://n.example/other"}
    own = {"@type": "NewsArticle", "headline": "Own", "url": "https://n.example/bridge"}
    teasers = {"@type": "ItemList", "itemListElement": [{"@type": "NewsArticle", "headline": "T"}]}
    assert facts(HEAD + script([teasers, other, own]))["title"] == "Own"
    assert "title" not in facts(HEAD + script(teasers))


def time(instant, attribute=""):
    return f'<time {attribute} datetime="{instant}"></time>'


DAY = meta("date", "2026-03-02")


@pytest.mark.parametrize(
    ("head", "body", "published_at"),
    [
        (HEAD.replace("bridge", "2026/03/02/bridge"), "<p>1 May 2026</p>", None),
        (meta("article:published_time", "2026-03-02"), "", "2026-03-02"),
        # The same day with its time of day is more precise.
        (DAY, f"<article>{time(AT)}</article>", AT),
        # Another day is another time, and the first one stated counts.
        (DAY, f"<article>{time('2026-01-05T05:30:00Z')}</article>", "2026-03-02"),
        (meta("date", "soon"), time(AT, "pubdate"), AT),
        ("", f"<aside>{time(AT)}</aside>", None),
    ],
)
def test_a_date_is_one_that_the_page_states(head, body, published_at):
    assert facts(head, body).get("published_at") == published_at


def test_dates_of_damaged_json_ld_are_read():
    damaged = (
        '{"@type": "NewsArticle", "headline": "A "quoted" word", "datePublished": "2026-03-02"}'
    )
    assert facts(script(damaged))["published_at"] == "2026-03-02"


def test_json_ld_may_be_commented_out():
    assert facts(script("<!-- " + json.dumps(JSON_LD) + " -->"))["title"] == "Bridge opens"


SINGLE = st.none() | st.text(max_size=8) | st.integers() | st.booleans()
VALUES = st.recursive(
    SINGLE,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner),
    max_leaves=12,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), VALUES))
def test_any_json_gives_texts_and_lists_of_texts(article):
    text = json.dumps({"@type": "NewsArticle"} | article).replace("<", " ")
    for name, found in facts(script(text)).items():
        assert all(isinstance(item, str) for item in (found if name == "tags" else [found]))
