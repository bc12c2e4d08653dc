"""What must not be shown is not named either, at any place that a server answers from."""

import dataclasses
import json
from datetime import timedelta

import pytest
from conftest import BY_HAND
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsys.ingest.detect import expand
from recsys.ingest.load_files import load_files
from recsys.nightly.run import run_nightly
from recsys.operations.preview_page import render_pages
from recsys.page.rules import Rule
from recsys.published import folder as published_folder
from recsys.rows import HOUR_MS, from_ms
from recsys.serving.recommender import Recommender
from recsys.store.database import Store

AS_OF_MS = 1_772_409_600_000  # 2026-03-02T00:00:00Z
SECTIONS = ("Politics", "Sports", "Culture")
N_ARTICLES, N_USERS, HOURS = 36, 6, 12


def articles():
    """Return articles with a title that no other text holds; many end within some hours."""
    rows = []
    for i in range(N_ARTICLES):
        topic = " ".join(f"topic{i % 4}word{j}" for j in range(8))
        own = " ".join(f"article{i}word{j}" for j in range(8))
        rows.append(
            {
                "article_id": f"a{i}",
                "title": f"Title{i:02}end {topic[:23]}",
                "body": f"{topic} {own}",
                "category": SECTIONS[i % 3],
                "author": f"Author {i % 5}",
                "tags": f"tag{i % 7}",
                "published_at": AS_OF_MS - (1 + i % 9) * HOUR_MS,
            }
        )
        if i % 4 == 1:
            rows[-1]["expires_at"] = AS_OF_MS + (i % HOURS) * HOUR_MS
        if i % 6 == 2:  # known to the store, but effective after the run
            rows[-1] |= {"deleted": True, "modified_at": AS_OF_MS + (i % HOURS) * HOUR_MS}
    return rows


@pytest.fixture(scope="module")
def newsroom(tmp_path_factory):
    root = tmp_path_factory.mktemp("withheld")
    clicks = [
        {"user_id": f"u{u}", "article_id": f"a{i}", "clicked_at": AS_OF_MS - (60 - i) * 1000}
        for u in range(N_USERS)
        for i in range(N_ARTICLES)
        if (i * 7 + u * 3) % 5 == 0
    ]
    for name, rows in (("a.jsonl", articles()), ("c.jsonl", clicks)):
        (root / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    with Store(root / "s.db") as store:
        paths = [root / "a.jsonl", root / "c.jsonl"]
        load_files(store, expand(paths), received_ms=AS_OF_MS + 24 * HOUR_MS)
        run_nightly(store, root / "p", as_of_ms=AS_OF_MS, config=BY_HAND)
    return root / "p"


VALUES = {
    "article": st.sampled_from([f"a{i}" for i in range(N_ARTICLES)]),
    "section": st.sampled_from(SECTIONS),
    "author": st.sampled_from([f"author {i}" for i in range(5)]),
    "tag": st.sampled_from([f"TAG{i}" for i in range(7)]),
    "text": st.sampled_from([f"title{i:02}END" for i in range(N_ARTICLES)]),
}


@st.composite
def rules(draw, rule_id):
    by = draw(st.sampled_from(["article", "article", "text", "section", "author", "tag"]))
    kind = draw(st.sampled_from(["block", "embargo", "expire", "sensitive", "pin", "boost"]))
    starts_ms = AS_OF_MS + draw(st.integers(-2, HOURS)) * HOUR_MS
    lasts = draw(st.one_of(st.none(), st.integers(1, HOURS)))
    fields = {"by": by, "list_name": draw(st.sampled_from(["", "", "you_may_also_like"]))}
    if kind == "pin":
        fields = {"by": "article", "list_name": "must_reads", "slot": 2}
    if kind == "embargo" and lasts is None:
        lasts = 2
    return Rule(
        rule_id=rule_id,
        kind=kind,
        value=draw(VALUES[fields["by"]]),
        author="Ann",
        reason="why",
        starts_ms=starts_ms,
        ends_ms=None if lasts is None else starts_ms + lasts * HOUR_MS,
        amount=2.0 if kind == "boost" else 0.0,
        **fields,
    )


def is_about(rule, row):
    """Return whether a rule is about an article: a plain reading of what `--by` says."""
    value = rule.value.lower()
    return {
        "article": row["article_id"] == rule.value,
        "section": row["category"].lower() == value,
        "author": row["author"].lower() == value,
        "tag": row["tags"].lower() == value,
        "text": value in row["title"].lower().split(),
    }[rule.by]


def forbidden_ids(found, now_ms):
    """Return the articles that must not be shown at an instant on any page."""
    in_force = [
        rule
        for rule in found
        if rule.kind in ("block", "embargo", "expire") and not rule.list_name
        if rule.starts_ms <= now_ms and (rule.ends_ms is None or now_ms < rule.ends_ms)
    ]
    return {
        row["article_id"]
        for row in articles()
        if row.get("expires_at", now_ms + 1) <= now_ms
        or (row.get("deleted") and row["modified_at"] <= now_ms)
        or any(is_about(rule, row) for rule in in_force)
    }


def said_by(recommender, user, context, now):
    """Return all that a server says of one page, as one text."""
    page = recommender.recommend(user, context, as_of=now)
    slots = [slot for found in page.values() for slot in found]
    texts = [[slot.as_dict(), dict(slot.parts)] for slot in slots]
    texts += [[dataclasses.asdict(slot.explanation)] for slot in slots]
    return json.dumps([texts, list(page.notes)], default=str), {s.article_id for s in slots}


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_no_title_that_is_forbidden_is_in_any_answer(newsroom, data):
    n = data.draw(st.integers(0, 4))
    found = [data.draw(rules(f"r{i + 1}")) for i in range(n)]
    now_ms = AS_OF_MS + data.draw(st.integers(0, HOURS * 4)) * HOUR_MS // 4
    now = from_ms(now_ms)
    published_folder.write_rules(newsroom, found)
    recommender = Recommender(newsroom)
    forbidden = forbidden_ids(found, now_ms)
    users = data.draw(st.lists(st.sampled_from([None, *(f"u{u}" for u in range(N_USERS))])))
    for user in [None, *users]:
        context = data.draw(st.sampled_from([None, "a0", "a5", "a9"]))
        text, shown = said_by(recommender, user, context, now)
        assert not shown & forbidden
        named = {f"a{i}" for i in range(N_ARTICLES) if f"Title{i:02}end" in text}
        assert not named & forbidden
        html = "".join(
            render_pages(recommender, user, context, name="p", n_pages=1, as_of=now).values()
        )
        named = {f"a{i}" for i in range(N_ARTICLES) if f"Title{i:02}end" in html}
        assert not (named - {context}) & forbidden
    for i in range(N_ARTICLES):
        article = recommender.article(f"a{i}", as_of=now)
        assert (article is None) == (f"a{i}" in forbidden)


def reasons(recommender, user, now):
    page = recommender.recommend(user, as_of=now)
    return [slot.reason for slot in page["you_may_also_like"] if slot.reason_code == "because_read"]


def named_in(texts):
    return {f"a{i}" for i in range(N_ARTICLES) if any(f"Title{i:02}end" in t for t in texts)}


def block(value, list_name="", rule_id="r1"):
    fields = {"by": "article", "author": "Ann", "reason": "court", "starts_ms": AS_OF_MS}
    return Rule(rule_id=rule_id, kind="block", value=value, list_name=list_name, **fields)


@pytest.mark.parametrize("list_name", ["", "you_may_also_like"])
def test_a_reason_names_another_read_where_one_is_blocked(newsroom, list_name):
    now = from_ms(AS_OF_MS)
    published_folder.write_rules(newsroom, [])
    before = {f"u{u}": reasons(Recommender(newsroom), f"u{u}", now) for u in range(N_USERS)}
    user = next(user for user, found in before.items() if found)
    blocked = sorted(named_in(before[user]))[0]
    published_folder.write_rules(newsroom, [block(blocked, list_name)])
    recommender = Recommender(newsroom)
    page = recommender.recommend(user, as_of=now)
    after = reasons(recommender, user, now)
    assert blocked not in named_in(after)
    assert named_in(after)  # another one that the user read
    assert not any(
        driver.title and driver.article_id == blocked
        for slot in page["you_may_also_like"]
        for driver in slot.explanation.drivers
    )


def test_without_another_read_the_reason_is_a_plain_one(newsroom):
    now = from_ms(AS_OF_MS)
    every = [
        block(f"a{i}", rule_id=f"r{i}")
        for i in range(N_ARTICLES)
        if i * 7 % 5 == 0  # read by u0
    ]
    published_folder.write_rules(newsroom, every)
    recommender = Recommender(newsroom)
    page = recommender.recommend("u0", as_of=now)
    assert page["you_may_also_like"]
    assert not reasons(recommender, "u0", now)
    assert all(slot.reason for slots in page.values() for slot in slots)


def test_what_a_block_displaced_keeps_its_id_for_editors_but_not_its_title(newsroom):
    now = from_ms(AS_OF_MS)
    published_folder.write_rules(newsroom, [])
    best = Recommender(newsroom).recommend(as_of=now)["must_reads"][0].article_id
    published_folder.write_rules(newsroom, [block(best)])
    page = Recommender(newsroom).recommend(as_of=now)
    displaced = page["must_reads"][0].explanation.displaced
    found = {other.article_id: (other.title, other.why) for other in displaced}
    assert found[best] == ("", "rule r1")


def test_an_article_is_known_until_it_expires_and_while_a_rule_is_not_in_force(newsroom):
    published_folder.write_rules(newsroom, [])
    recommender = Recommender(newsroom)
    now = from_ms(AS_OF_MS)
    over = next(row for row in articles() if row.get("expires_at", 0) > AS_OF_MS)
    ends = from_ms(over["expires_at"])
    found = recommender.article(over["article_id"], as_of=ends - timedelta(milliseconds=1))
    assert found.title == over["title"]
    assert recommender.article(over["article_id"], as_of=ends) is None
    assert recommender.article("a0", as_of=now).title.startswith("Title00end")
    assert recommender.article("never", as_of=now) is None
    published_folder.write_rules(newsroom, [block("a0")])
    assert recommender.article("a0", as_of=now) is None
    assert recommender.article("a0", as_of=now - timedelta(milliseconds=1)).author == "Author 0"
    published_folder.write_rules(newsroom, [block("a0", "must_reads")])
    assert recommender.article("a0", as_of=now) is not None
