import json
from datetime import UTC, datetime

import pytest
from conftest import BY_HAND
from newsroom import well

from recsys.nightly.run import run_nightly
from recsys.page.known_articles import KnownArticle, KnownArticles
from recsys.rows import to_ms
from recsys.serving.recommender import Recommender

AS_OF = datetime(2026, 3, 2, tzinfo=UTC)
FULL = {
    "article_id": "full",
    "title": "Tunnel opens",
    "body": "word " * 476,  # two minutes at 238 words a minute
    "author": "Ana Writer",
    "language": "en",
    "tags": "tunnel, traffic",
    "url": "https://n.example/full",
    "image_url": "https://n.example/full.jpg",
    "summary": "After nine years.",
    "kicker": "Traffic",
    "premium": True,
    "importance": 3,
    "published_at": "2026-03-01T20:00:00Z",
    "modified_at": "2026-03-01T21:00:00Z",
}
BARE = {"article_id": "bare", "title": "Nothing else", "published_at": "2026-03-01T20:00:00Z"}
FRONT_END = {  # of FULL and of BARE
    "author": ("Ana Writer", ""),
    "language": ("en", ""),
    "image_url": ("https://n.example/full.jpg", ""),
    "summary": ("After nine years.", ""),
    "kicker": ("Traffic", ""),
    "premium": (True, None),
    "importance": (3.0, None),
    "reading_minutes": (2.0, None),
    "modified_at": (datetime(2026, 3, 1, 21, tzinfo=UTC), None),
}


def written_as(value):
    """Return a value as JSON has it."""
    return value.isoformat() if isinstance(value, datetime) else value


@pytest.fixture
def folder(store, load, tmp_path):
    load({"a.jsonl": json.dumps(FULL) + "\n" + json.dumps(BARE) + "\n"})
    run_nightly(store, tmp_path / "p", as_of_ms=to_ms(AS_OF), config=BY_HAND)
    return tmp_path / "p"


def test_a_slot_and_an_article_have_the_fields_of_a_front_end(folder):
    recommender = Recommender(folder)
    page = recommender.recommend(as_of=AS_OF)
    slots = {slot.article_id: slot for found in page.values() for slot in found}
    for name, values in FRONT_END.items():
        for article_id, value in zip(("full", "bare"), values, strict=True):
            article = recommender.article(article_id, as_of=AS_OF)
            assert getattr(article, name) == value
            assert getattr(slots[article_id], name) == value
            assert slots[article_id].as_dict()[name] == written_as(value)
    assert recommender.article("full", as_of=AS_OF).tags == "tunnel\ntraffic"
    assert recommender.article("full", as_of=AS_OF).url == slots["full"].url == FULL["url"]
    assert recommender.article("bare", as_of=AS_OF).published_at == slots["bare"].published_at


def test_the_command_prints_them_as_json(folder, tmp_path):
    at = AS_OF.isoformat()
    done = well(tmp_path, "recommend", "--published", "p", "--as-of", at, "--json")
    lists = json.loads(done.out)["lists"]
    slots = {slot["article_id"]: slot for found in lists.values() for slot in found}
    for name, values in FRONT_END.items():
        assert slots["full"][name] == written_as(values[0])
        assert slots["bare"][name] == values[1]


def columns(**changed):
    text = ("article_id", "title", "category", "author", "tags", "url", "language")
    values = dict.fromkeys(KnownArticle._fields, [None]) | dict.fromkeys(text, ["x"])
    return values | changed


def test_columns_that_no_run_may_hold_are_refused():
    assert KnownArticles(columns())[0].published_at is None
    for name in ("published_ms", "expires_ms", "modified_ms", "withdrawn_ms"):
        with pytest.raises(ValueError, match=f"{name} is out of range"):
            KnownArticles(columns(**{name: [10**18]}))
    for name in ("importance", "reading_minutes"):
        with pytest.raises(ValueError, match=f"{name} must be finite"):
            KnownArticles(columns(**{name: [float("inf")]}))
    with pytest.raises(ValueError, match="there twice"):
        KnownArticles({name: values * 2 for name, values in columns().items()})
    with pytest.raises(ValueError, match="not of one length"):
        KnownArticles(columns(title=["x", "y"]))
