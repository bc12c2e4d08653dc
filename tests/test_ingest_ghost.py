import json

import pytest
from read_file import read_file

from recsys.errors import InputRefusedError
from recsys.ingest import ghost

POST = {
    "id": "6a1",
    "uuid": "c0ffee",
    "title": "Harbour <and> bridge",
    "slug": "harbour",
    "html": "<p>One</p><p>two</p>",
    "plaintext": "One two",
    "feature_image": "https://n.example/i.jpg",
    "type": "post",
    "status": "published",
    "locale": None,
    "visibility": "public",
    "published_at": "2026-03-02T04:00:00.000Z",
    "updated_at": "2026-03-02T05:00:00.000Z",
    "custom_excerpt": "Short & good",
    "canonical_url": None,
}
TABLES = {
    "posts": [POST],
    "posts_authors": [
        {"post_id": "6a1", "author_id": "2", "sort_order": 1},
        {"post_id": "6a1", "author_id": "1", "sort_order": 0},
    ],
    "posts_tags": [
        {"post_id": "6a1", "tag_id": "t3", "sort_order": 2},
        {"post_id": "6a1", "tag_id": "t2", "sort_order": 0},
        {"post_id": "6a1", "tag_id": "t1", "sort_order": 1},
    ],
    "tags": [
        {"id": "t1", "name": "Politics", "visibility": "public"},
        {"id": "t2", "name": "#wide", "visibility": "internal"},
        {"id": "t3", "name": "coal, steel", "visibility": "public"},
    ],
    "users": [{"id": "1", "name": "Ana Writer"}, {"id": "2", "name": "Ben Writer"}],
}
META = {"exported_on": 1_772_424_000_000, "version": "5.80.0"}


def export(**changes):
    return json.dumps({"db": [{"meta": META, "data": TABLES | changes}]})


@pytest.fixture
def article(tmp_path):
    """Return a function: the one article of an export whose post has some changes."""

    def read(**changes):
        return read_file(ghost.read, tmp_path, export(posts=[POST | changes])).articles[0]

    return read


def test_a_post_is_joined_with_its_tags_and_authors(tmp_path):
    assert read_file(ghost.read, tmp_path, export()).articles == [
        {
            "row": 1,
            "article_id": "6a1",
            "title": "Harbour &lt;and&gt; bridge",  # a title of Ghost is text, ours may be HTML
            "body": "One\ntwo",
            "summary": "Short & good",
            "category": "Politics",
            "tags": ["coal, steel"],
            "author": "Ana Writer, Ben Writer",
            "image_url": "https://n.example/i.jpg",
            "premium": "false",
            "published_at": "2026-03-02T04:00:00.000Z",
            "modified_at": "2026-03-02T05:00:00.000Z",
            "status": "published",
        }
    ]


def test_exports_without_the_wrapper_and_of_old_versions_are_read(tmp_path):
    old = {"id": 1, "title": "Old", "markdown": "Text", "image": None, "page": 0, "author_id": 1}
    old |= {"status": "published", "language": "en_US", "published_at": 1_426_078_349_156}
    tables = {"posts": [old, old | {"id": 2, "page": 1}], "users": [{"id": 1, "name": "Ana"}]}
    found = read_file(ghost.read, tmp_path, json.dumps({"meta": META, "data": tables}))
    (row,) = found.articles
    assert (row["article_id"], row["body"], row["author"]) == ("1", "Text", "Ana")
    assert (row["language"], row["published_at"]) == ("en_US", "1426078349156")
    assert found.ignored == {("post", "type page"): 1}


def test_paid_and_members_posts_are_premium(article):
    assert [article(visibility=v)["premium"] for v in ("paid", "members", "tiers", "public")] == [
        *("true", "true", "true"),
        "false",
    ]


def test_drafts_and_newsletters_are_withdrawn_and_scheduled_posts_are_not(article):
    statuses = ("draft", "sent", "scheduled")
    assert [article(status=s)["status"] for s in statuses] == ["draft", "draft", "published"]


def test_an_address_on_the_site_itself_is_not_known(article):
    row = article(feature_image="__GHOST_URL__/content/i.jpg", canonical_url="https://n.example/h")
    assert (row["image_url"], row["url"]) == ("", "https://n.example/h")


def test_a_naive_time_is_utc(article):
    assert article(updated_at="2026-03-02 05:00:00")["modified_at"] == "2026-03-02T05:00:00Z"


LEXICAL = {
    "root": {
        "type": "root",
        "children": [
            {
                "type": "paragraph",
                "children": [
                    {"type": "text", "text": "5 < 6, "},
                    {"type": "link", "children": [{"type": "text", "text": "linked"}]},
                ],
            },
            {"type": "html", "html": "<b>card</b>"},
        ],
    }
}
MOBILEDOC = {
    "version": "0.3.1",
    "cards": [["markdown", {"markdown": "card"}]],
    "sections": [
        [1, "p", [[0, [], 0, "5 < 6, "], [0, [0], 1, "bold"]]],
        [10, 0],
        [3, "ul", [[[0, [], 0, "item"]]]],
        [10, 7],
    ],
}


@pytest.mark.parametrize(
    ("changes", "body"),
    [
        ({"lexical": json.dumps(LEXICAL)}, "5 < 6, linked\ncard"),
        ({"mobiledoc": json.dumps(MOBILEDOC)}, "5 < 6, bold\ncard\nitem"),
        ({"lexical": "{broken", "plaintext": "5 < 6"}, "5 < 6"),
        ({"lexical": "[1]", "mobiledoc": '{"sections": [1, [10, "x"], [1, 2, 3]]}'}, None),
    ],
)
def test_the_body_is_the_html_or_else_the_source(article, changes, body):
    assert article(**{"html": None, "plaintext": None, **changes}).get("body") == body


def test_a_damaged_post_costs_itself(tmp_path):
    text = export(posts=[POST, POST | {"id": "6a2"}]).replace('"6a2",', '"6a2",,')
    found = read_file(ghost.read, tmp_path, text)
    assert [row["article_id"] for row in found.articles] == ["6a1"]
    assert [(reject.row, reject.reason) for reject in found.rejects] == [(2, "not JSON")]


def test_what_has_no_posts_is_refused(tmp_path):
    with pytest.raises(InputRefusedError, match="no table of posts"):
        read_file(ghost.read, tmp_path, '{"db": []}')
    with pytest.raises(InputRefusedError, match="not clicks"):
        read_file(ghost.read, tmp_path, export(), "clicks")
    assert ghost.matches(export().encode())
    assert ghost.matches(json.dumps({"meta": META, "data": TABLES}, indent=2).encode())
    assert not ghost.matches(b'{"article_id": "a", "data": {}}')


def test_an_export_reaches_the_store(load, store):
    load({"ghost.json": export()})
    articles = store.articles(known_by_ms=2**53)
    assert articles.titles[0] == "Harbour <and> bridge"
    assert articles.categories[0] == "Politics"
