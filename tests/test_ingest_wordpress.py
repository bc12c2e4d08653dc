import json

import pytest
from read_file import read_file

from recsys.errors import InputRefusedError
from recsys.ingest import wordpress
from recsys.ingest.wordpress import summary_of, utc_time

POST = {
    "id": 42,
    "date": "2026-03-02T05:00:00",
    "date_gmt": "2026-03-02T04:00:00",
    "guid": {"rendered": "https://n.example/?p=42"},
    "modified": "2026-03-02T06:30:00",
    "modified_gmt": "2026-03-02T05:30:00",
    "status": "publish",
    "type": "post",
    "link": "https://n.example/2026/harbour/",
    "title": {"rendered": "Harbour &#038; bridge"},
    "content": {"rendered": "<p>One</p>\n<p>two</p>", "protected": False},
    "excerpt": {"rendered": "<p>Short [&hellip;]</p>", "protected": False},
    "author": 1,
    "featured_media": 9,
    "categories": [3, 5],
    "tags": [7],
    "meta": [],
}
EMBEDDED = {
    "author": [{"id": 1, "name": "Ana Writer"}, {"code": "rest_user_invalid_id"}],
    "wp:featuredmedia": [{"id": 9, "source_url": "https://n.example/i.jpg"}],
    "wp:term": [
        [
            {"id": 3, "taxonomy": "category", "name": "Politics"},
            {"id": 5, "taxonomy": "category", "name": "Energy"},
        ],
        [{"id": 7, "taxonomy": "post_tag", "name": "coal, steel"}],
    ],
}
FIELDS = {
    "article_id": "42",
    "title": "Harbour &#038; bridge",
    "body": "One\ntwo",
    "summary": "Short…",
    "url": "https://n.example/2026/harbour/",
    "published_at": "2026-03-02T04:00:00Z",
    "modified_at": "2026-03-02T05:30:00Z",
    "status": "published",
}
OF_EMBEDDED = {
    "author": "Ana Writer",
    "image_url": "https://n.example/i.jpg",
    "category": "Politics",
    "tags": ["Energy", "coal, steel"],
}


@pytest.fixture
def articles(tmp_path):
    """Return a function: the articles of a value, written as JSON."""

    def read(value):
        return read_file(wordpress.read, tmp_path, json.dumps(value)).articles

    return read


def test_a_post_without_embedded_names_gives_what_it_says(articles):
    # The ids of sections and tags are no names, so the stored ones stay as they are.
    assert articles([POST]) == [{"row": 1, **FIELDS}]


@pytest.mark.parametrize("indent", [None, 4])
def test_embedded_names_are_section_tags_author_and_picture(tmp_path, indent):
    text = json.dumps([POST | {"_embedded": EMBEDDED}], indent=indent)
    assert read_file(wordpress.read, tmp_path, text).articles == [
        {"row": 1, **FIELDS, **OF_EMBEDDED}
    ]


def test_one_post_and_a_post_on_each_line_are_read_too(tmp_path, articles):
    assert articles(POST) == [{"row": 1, **FIELDS}]
    text = "".join(json.dumps(POST | {"id": id_}) + "\n" for id_ in (1, 2))
    found = read_file(wordpress.read, tmp_path, text)
    assert [(row["row"], row["article_id"]) for row in found.articles] == [(1, "1"), (2, "2")]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"status": "future"}, "published"),
        ({"status": "draft"}, "draft"),
        ({"status": "pending"}, "draft"),
        ({"status": "private"}, "draft"),
        ({"status": "trash"}, "draft"),
        ({"content": {"rendered": "", "protected": True}}, "private"),
    ],
)
def test_what_is_not_public_is_withdrawn(articles, change, status):
    assert articles([POST | change])[0]["status"] == status


def test_pages_are_ignored_and_the_types_of_the_site_are_read(tmp_path):
    posts = [POST | {"type": type_} for type_ in ("page", "wp_block", "report")]
    found = read_file(wordpress.read, tmp_path, json.dumps(posts))
    assert [row["row"] for row in found.articles] == [3]
    assert found.ignored == {("entry", "type page"): 1, ("entry", "type wp_block"): 1}


def test_yoast_names_what_is_not_embedded(articles):
    yoast = {
        "author": "Ben Writer",
        "og_locale": "de_DE",
        "og_image": [{"url": "https://n.example/og.jpg"}],
        "schema": {"@graph": [{"articleSection": ["Sport"], "keywords": ["cup"]}]},
    }
    (row,) = articles([POST | {"yoast_head_json": yoast}])
    assert (row["author"], row["language"]) == ("Ben Writer", "de-DE")
    assert (row["category"], row["tags"]) == ("Sport", ["cup"])
    assert row["image_url"] == "https://n.example/og.jpg"


def test_a_draft_without_date_has_none_and_a_local_time_stays_without_offset(articles):
    assert "published_at" not in articles([POST | {"date_gmt": None}])[0]
    local = {name: value for name, value in POST.items() if name != "date_gmt"}
    assert articles([local])[0]["published_at"] == "2026-03-02T05:00:00"


def test_a_damaged_post_costs_itself(tmp_path):
    text = json.dumps(POST) + "\n" + json.dumps(POST)[:-4] + "\n{}\n" + json.dumps(POST)
    found = read_file(wordpress.read, tmp_path, text)
    assert [row["row"] for row in found.articles] == [1, 4]
    assert [reject.reason for reject in found.rejects] == ["not JSON", "not a post"]
    assert found.rejects[0].raw.startswith('{"id": 42')


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"code": "rest_no_route", "message": "No route", "data": {}}', "No route"),
        ('[{"a": 1}]', "not posts"),
        ("[]", "holds no post"),
    ],
)
def test_what_holds_no_posts_is_refused(tmp_path, text, problem):
    with pytest.raises(InputRefusedError, match=problem):
        read_file(wordpress.read, tmp_path, text)
    with pytest.raises(InputRefusedError, match="not clicks"):
        read_file(wordpress.read, tmp_path, json.dumps([POST]), "clicks")


def test_posts_are_recognised_and_rows_of_ours_are_not():
    assert wordpress.matches(json.dumps([POST], indent=2).encode())
    assert not wordpress.matches(json.dumps(POST | {"article_id": "42"}).encode())
    assert not wordpress.matches(b"<rss>")


def test_times_in_gmt_get_their_offset():
    assert utc_time("2026-03-02T04:00:00Z") == "2026-03-02T04:00:00Z"
    assert utc_time("") is None


def test_an_excerpt_loses_the_link_to_its_post():
    html = '<p>Short&hellip; <a class="more-link" href="/x">Continue reading</a></p>'
    assert summary_of(html) == "<p>Short&hellip; </p>"


def test_posts_reach_the_store(load, store):
    load(
        {
            "posts.json": json.dumps(
                [POST | {"_embedded": EMBEDDED}, POST | {"id": 43, "status": "private"}]
            )
        }
    )
    articles = store.articles(known_by_ms=2**53)
    assert list(articles.id_map.ids) == ["42", "43"]
    assert articles.titles[0] == "Harbour & bridge"
    assert articles.categories[0] == "Politics"
    assert articles.published_ms[0] == 1_772_424_000_000  # 2026-03-02T04:00:00Z
    assert articles.withdrawn_ms[0] < 0 < articles.withdrawn_ms[1]
