"""Pages and slots: as JSON, in caches, compared, and in the web frameworks of the cookbook."""

import asyncio
import copy
import json
import pickle
from datetime import UTC, datetime, timedelta, timezone
from types import MappingProxyType
from typing import get_type_hints

import pytest

from recsys import Page, Recommendation, Recommender
from recsys.page.known_articles import KnownArticle
from recsys.rows import to_ms
from recsys.serving.responses import ArticleAlone, PageDict, Ranked, SlotDict

PUBLISHED_AT = datetime(2026, 3, 2, 6, 30, tzinfo=timezone(timedelta(hours=1)))
ARTICLE = KnownArticle(
    article_id="a1",
    title="Straße gesperrt",
    category="Local",
    author="Ann Lee",
    tags="roads",
    url="https://n.example/1",
    language="de",
    image_url="https://n.example/1.jpg",
    summary="The bridge is closed.",
    kicker="Traffic",
    premium=False,
    importance=None,
    reading_minutes=1.5,
    published_ms=to_ms(PUBLISHED_AT),
    expires_ms=None,
    modified_ms=to_ms(PUBLISHED_AT) + 60_000,
    withdrawn_ms=None,
)
SLOT = Recommendation(
    article_id="a1",
    title="Straße gesperrt",
    category="Local",
    url="https://n.example/1",
    published_at=PUBLISHED_AT,
    score=0.25,
    reason="Just in",
    reason_code="new_anywhere",
    propensity=1.0,
    rules=("r1",),
    trace=ArticleAlone(ARTICLE),
    place=("latest_stories", 3),
)
PAGE = Page(
    "000001-x",
    ("latest_stories: 1 of 6 slots",),
    MappingProxyType({"latest_stories": (SLOT,)}),
    MappingProxyType({"latest_stories": "Latest Stories"}),
)
AS_JSON = (
    '{"run_id":"000001-x","titles":{"latest_stories":"Latest Stories"},'
    '"lists":{"latest_stories":[{"article_id":"a1","title":"Straße gesperrt","category":"Local",'
    '"url":"https://n.example/1","published_at":"2026-03-02T05:30:00+00:00","score":0.25,'
    '"reason":"Just in","reason_code":"new_anywhere","propensity":1.0,"rules":["r1"],'
    '"author":"Ann Lee","language":"de","image_url":"https://n.example/1.jpg",'
    '"summary":"The bridge is closed.","kicker":"Traffic","premium":false,"importance":null,'
    '"reading_minutes":1.5,"modified_at":"2026-03-02T05:31:00+00:00"}]},'
    '"notes":["latest_stories: 1 of 6 slots"]}'
)


@pytest.fixture(scope="module")
def page(by_hand):
    return Recommender(by_hand.folder).recommend("u0007", "a0030", as_of=by_hand.as_of)


def test_a_page_is_one_canonical_json_with_instants_in_utc():
    assert PAGE.to_json() == AS_JSON
    assert json.loads(PAGE.to_json()) == PAGE.as_dict()
    assert json.dumps(SLOT.as_dict())
    undated = SLOT._replace(published_at=None)
    assert undated.as_dict()["published_at"] is None


def test_a_served_page_is_json_and_names_every_field_of_its_schema(page, by_hand):
    found = json.loads(page.to_json())
    assert found == page.as_dict()
    assert list(found) == list(get_type_hints(PageDict))
    slot = found["lists"]["must_reads"][0]
    assert list(slot) == list(get_type_hints(SlotDict))
    assert list(slot)[:-9] == [*Recommendation._fields[:-2]]
    published_at = page["must_reads"][0].published_at
    assert datetime.fromisoformat(slot["published_at"]) == published_at
    again = Recommender(by_hand.folder).recommend("u0007", "a0030", as_of=by_hand.as_of)
    assert again.to_json() == page.to_json()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_page_comes_out_of_a_pickle_as_it_was(page, protocol):
    packed = pickle.dumps(page, protocol)
    assert len(packed) < 20_000  # what is shown, and not the run
    found = pickle.loads(packed)
    assert (found, hash(found), found.to_json()) == (page, hash(page), page.to_json())
    assert found["must_reads"][0].place == page["must_reads"][0].place
    with pytest.raises(TypeError):
        found.lists["must_reads"] = ()
    for name in ("parts", "explanation"):
        with pytest.raises(ValueError, match="pickle"):
            getattr(found["must_reads"][0], name)


def test_copies_are_equal_and_can_still_be_explained(page):
    slot = page["must_reads"][0]
    for copied in (copy.copy, copy.deepcopy):
        assert (copied(page), copied(slot)) == (page, slot)
        assert copied({"cached": [page]})["cached"][0]["must_reads"][0].parts == slot.parts
    assert copy.deepcopy(slot).explanation.parts == slot.parts


def test_pages_and_slots_are_equal_and_hash_alike_if_they_show_the_same():
    other = SLOT._replace(place=("must_reads", 9))
    assert (other, hash(other)) == (SLOT, hash(SLOT))
    same = Page(PAGE.run_id, PAGE.notes, {"latest_stories": (other,)}, dict(PAGE.titles))
    assert (same, hash(same)) == (PAGE, hash(PAGE))
    changed = SLOT._replace(score=0.5)
    assert SLOT != changed
    assert SLOT != SLOT._replace(trace=ArticleAlone(ARTICLE._replace(kicker="")))
    assert len({SLOT, other, changed}) == 2
    assert PAGE != Page(PAGE.run_id, PAGE.notes, {"latest_stories": (changed,)}, PAGE.titles)
    assert PAGE.of(["latest_stories"]) is PAGE
    assert len({PAGE, same, PAGE.of([])}) == 2
    assert len({Ranked("a1", 0.5, {"als": 0.5}), Ranked("a1", 0.5, {"als": 0.5})}) == 1


def test_fastapi_returns_a_page_and_documents_it(page):
    fastapi = pytest.importorskip("fastapi")
    app = fastapi.FastAPI()

    @app.get("/page")
    def whole() -> Page:
        return page

    @app.get("/slot")
    def one() -> Recommendation:
        return page["must_reads"][0]

    def get(path):
        sent = []

        async def receive():
            return {"type": "http.request", "body": b""}

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b""}
        asyncio.run(app(scope, receive, send))
        assert sent[0]["status"] == 200
        return json.loads(b"".join(message.get("body", b"") for message in sent[1:]))

    assert get("/page") == page.as_dict()
    assert get("/slot") == page["must_reads"][0].as_dict()
    documented = app.openapi()["components"]["schemas"]
    assert list(documented["Page"]["properties"]) == list(get_type_hints(PageDict))
    assert list(documented["Recommendation"]["properties"]) == list(get_type_hints(SlotDict))


def test_flask_returns_a_page(page):
    flask = pytest.importorskip("flask")
    app = flask.Flask("newsroom")
    app.add_url_rule("/page", view_func=lambda: page.as_dict(), endpoint="page")
    with app.test_client() as client:
        assert client.get("/page").json == page.as_dict()


def test_djangos_cache_keeps_a_page(page):
    pytest.importorskip("django")
    from django.core.cache.backends.locmem import LocMemCache

    cache = LocMemCache("pages", {})
    cache.set("front", page)
    assert cache.get("front") == page


def test_a_page_of_now_has_instants_in_utc(page):
    slots = [slot for found in page.values() for slot in found]
    assert {slot.published_at.tzinfo for slot in slots if slot.published_at} == {UTC}


def test_slots_are_equal_that_say_the_same(sample, recommender):
    first, again = (recommender.recommend("u0007", "a0030", as_of=sample.as_of) for _ in range(2))
    assert dict(first) == dict(again)
    one, other = first["must_reads"][:2]
    assert one != other
    assert {one, again["must_reads"][0]} == {one}
    said = one.as_dict()
    assert list(said) == list(get_type_hints(SlotDict))
    assert said["article_id"] == one.article_id
    assert repr(one).startswith("Recommendation(article_id=")
    assert "Trace" not in repr(one)
