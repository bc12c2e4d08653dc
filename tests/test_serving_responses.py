"""Pages and slots: as JSON, in caches, compared, and in the web frameworks of the cookbook."""

import asyncio
import copy
import json
import pickle
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import get_type_hints

import django
import fastapi
import flask
import msgspec
import pytest
from conftest import ROOT
from django.utils.module_loading import import_string

from recsys import Page, Recommendation, Recommender
from recsys.page.known_articles import KnownArticle
from recsys.page.reasons import REASONS
from recsys.rows import to_ms
from recsys.serving.responses import ArticleAlone, PageDict, Ranked, SlotDict

PUBLISHED_AT = datetime(2026, 3, 2, 6, 30, tzinfo=timezone(timedelta(hours=1)))
ARTICLE = KnownArticle(
    article_id="a1",
    title="Straße gesperrt",
    category="Local",
    author="Ann Lee",
    tags="roads",
    topics="",
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
    named=(),
    trace=ArticleAlone(ARTICLE),
    place=("latest_stories", 3),
)
PAGE = Page(
    "000001-x",
    "en",
    {"latest_stories": "Latest Stories"},
    {"latest_stories": (SLOT,)},
    ("latest_stories: 1 of 6 slots",),
)
AS_JSON = (
    '{"run_id":"000001-x","language":"en","titles":{"latest_stories":"Latest Stories"},'
    '"lists":{"latest_stories":[{"article_id":"a1","title":"Straße gesperrt","category":"Local",'
    '"url":"https://n.example/1","published_at":"2026-03-02T05:30:00+00:00","score":0.25,'
    '"reason":"Just in","reason_code":"new_anywhere","propensity":1.0,"rules":["r1"],'
    '"reason_values":{},'
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


def test_the_schema_of_the_json_is_that_of_its_types(page):
    for found in (page, PAGE):
        assert msgspec.json.decode(found.to_json(), type=PageDict, strict=True) == found.as_dict()
    schema = msgspec.json.schema(PageDict)
    slot = schema["$defs"]["SlotDict"]
    assert set(slot["required"]) == set(slot["properties"]) == set(get_type_hints(SlotDict))
    assert slot["properties"]["reason_values"]["additionalProperties"] == {"type": "string"}


def test_every_key_of_the_json_is_documented():
    text = (ROOT / "docs" / "cookbook.md").read_text("utf-8")
    tables = text.partition("### The JSON of a page")[2].partition("\n###")[0]
    rows = re.findall(r"^\| (`.+?) \|", tables, re.MULTILINE)
    keys = [key for row in rows for key in re.findall(r"`(\w+)`", row)]
    assert sorted(keys) == sorted([*get_type_hints(PageDict), *get_type_hints(SlotDict)])


def test_a_slot_has_what_a_reason_of_ones_own_needs(sample):
    found, recommender = {}, Recommender(sample.folder)
    pages = [recommender.recommend(f"u{i:04}", as_of=sample.as_of) for i in range(300)]
    pages.append(recommender.recommend("u0007", "a0030", as_of=sample.as_of))
    for slot in (slot for page in pages for slots in page.values() for slot in slots):
        assert REASONS[slot.reason_code].format(**slot.reason_values) == slot.reason
        assert slot.as_dict()["reason_values"] == slot.reason_values
        found |= slot.reason_values
    assert set(found) == {"category", "title", "topic"}
    because = SLOT._replace(named=(("title", "Coal exit"),))
    assert because.reason_values == {"title": "Coal exit"}
    assert because != SLOT


def test_a_served_page_is_json_and_names_every_field_of_its_schema(page, by_hand):
    found = json.loads(page.to_json())
    assert found == page.as_dict()
    assert list(found) == list(get_type_hints(PageDict))
    slot = found["lists"]["must_reads"][0]
    assert list(slot) == list(get_type_hints(SlotDict))
    assert list(slot)[:-10] == [*Recommendation._fields[:-3]]
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
    for mapping in (found, found.lists, found.titles, page.lists):
        with pytest.raises(TypeError):
            mapping["must_reads"] = ()
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
    same = replace(PAGE, lists={"latest_stories": (other,)}, titles=dict(PAGE.titles))
    assert (same, hash(same)) == (PAGE, hash(PAGE))
    changed = SLOT._replace(score=0.5)
    assert SLOT != changed
    assert SLOT != SLOT._replace(trace=ArticleAlone(ARTICLE._replace(kicker="")))
    assert len({SLOT, other, changed}) == 2
    assert PAGE != replace(PAGE, lists={"latest_stories": (changed,)})
    assert PAGE.of(["latest_stories"]) is PAGE
    assert len({PAGE, same, PAGE.of([])}) == 2
    assert len({Ranked("a1", 0.5, {"als": 0.5}), Ranked("a1", 0.5, {"als": 0.5})}) == 1


def test_fastapi_returns_a_page_and_documents_it(page):
    app = fastapi.FastAPI()

    @app.get("/page")
    def whole() -> Page:
        return page

    @app.get("/plain")
    def without_a_type():
        return page

    @app.get("/lists")
    def some() -> list[Recommendation]:
        return list(page["must_reads"])

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

    assert get("/page") == get("/plain") == page.as_dict()
    assert get("/lists") == page.as_dict()["lists"]["must_reads"]
    assert get("/slot") == page["must_reads"][0].as_dict()
    documented = app.openapi()["components"]["schemas"]
    assert list(documented["Page"]["properties"]) == list(get_type_hints(PageDict))
    assert list(documented["Recommendation"]["properties"]) == list(get_type_hints(SlotDict))


def test_flask_returns_a_page(page):
    app = flask.Flask("newsroom")
    app.add_url_rule("/page", view_func=lambda: page, endpoint="page")
    app.add_url_rule("/busy", view_func=lambda: (page, 203, {"X-Run": page.run_id}))
    app.add_url_rule("/dict", view_func=lambda: page.as_dict(), endpoint="dict")
    app.add_url_rule("/jsonify", view_func=lambda: flask.jsonify(page), endpoint="jsonify")
    with app.test_client() as client:
        found = client.get("/page")
        assert (found.status_code, found.mimetype) == (200, "application/json")
        assert found.data == page.to_json().encode()
        assert found.content_length == len(found.data)
        busy = client.get("/busy")
        assert (busy.status_code, busy.headers["X-Run"]) == (203, page.run_id)
        assert found.json == busy.json == page.as_dict()
        assert client.get("/dict").json == client.get("/jsonify").json == page.as_dict()
        assert client.head("/page").data == b""


@pytest.mark.parametrize("backend", ["locmem.LocMemCache", "filebased.FileBasedCache"])
def test_djangos_caches_keep_a_page(page, backend, tmp_path):
    cache = import_string(f"django.core.cache.backends.{backend}")(str(tmp_path), {})
    cache.set("front", page)
    assert cache.get("front") == page
    cache.set_many({"slot": page["must_reads"][0]})
    assert cache.get("slot") == page["must_reads"][0]


def test_djangos_templates_show_a_page_and_its_slots(page):
    from django.conf import settings  # here: doctest asks what a module imports for attributes
    from django.template import Context, Engine

    if not settings.configured:
        settings.configure(LOGGING_CONFIG=None)
        django.setup()
    text = (
        "{{ page.language }} {{ page.titles.must_reads }}:"
        "{% for slot in page.must_reads %} {{ slot.title|length }} {{ slot.language }}{% endfor %}"
        "{% for name, slots in page.items %} {{ name }} {{ slots|length }}{% endfor %}"
    )
    shown = Engine().from_string(text).render(Context({"page": page}, autoescape=False))
    slots = "".join(f" {len(slot.title)} {slot.language}" for slot in page["must_reads"])
    lists = "".join(f" {name} {len(slots)}" for name, slots in page.items())
    assert shown == f"en Must-Reads:{slots}{lists}"


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
