"""Rules: which articles they are about, what they require, and which cannot be."""

import json
import re

import numpy as np
import pytest
from conftest import LISTS, rule
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import asdict, replace
from naive_pages import random_model, random_user

from recsys.errors import RuleError
from recsys.page.articles_by_name import ArticlesByName
from recsys.page.build import PageBuilder
from recsys.page.rules import (
    EVERY,
    Described,
    Resolved,
    closest,
    conflicts,
    problem_of,
    rule_of,
    rules_of,
    without_effect,
)

ARTICLES = Described(
    article_ids=["a", "b", "c", "d", "e"],
    authors=["Ann Lee", "", "ann lee", "Bo", "Bo"],
    sections=["Politics", "Sports", "Politics", "", "Sports"],
    tags=["Tax\nLaw", "", "law", "space, time", "cup"],
    urls=["https://a.example/1", "http://www.b.example", "//a.example/2", "", "//b.example"],
    titles=["Tax law passes", "Cup final", "New tax on law firms", "Moon", "Final of the cup"],
    live_rows=np.array([0, 1, 2, 4]),
)
BY_NAME = ArticlesByName(ARTICLES)


@pytest.mark.parametrize(
    ("by", "value", "meant"),
    [
        ("article", "c", "c"),
        ("author", "ANN LEE", "ac"),
        ("section", "sports", "be"),
        ("tag", " LAW", "ac"),
        ("tag", "la", ""),
        ("tag", "Space, Time", "d"),
        ("tag", "space", ""),
        ("source", "B.example", "be"),
        ("text", "law tax", "ac"),
        ("text", "cup FINAL", "be"),
        ("text", "Ｃｕｐ fi\u00adnal", "be"),
        ("text", "...", ""),
        ("author", "Ann\u200b Lee", "ac"),
        ("article", "C", ""),
    ],
)
def test_a_rule_is_about_articles_by_id_name_section_or_words(by, value, meant):
    found = BY_NAME.rows(by, value)
    assert "".join(np.array(ARTICLES.article_ids)[found]) == meant


def test_a_value_that_is_about_no_article_has_a_note_while_the_rule_is_in_force():
    rules = [
        rule("block", "strike", by="text", rule_id="r1", ends_ms=10),
        rule("block", "not here yet", rule_id="r2"),
        rule("sensitive", "law", by="tag", only="Culture", rule_id="r3"),
        rule("cap", "", by="author", amount=1.0, rule_id="r4"),
        rule("cap", "Cy", by="author", amount=1.0, rule_id="r5", starts_ms=5),
    ]
    resolved = Resolved(rules, ARTICLES)
    assert resolved.unmatched == {
        "r1": (("text", "strike"),),
        "r2": (),
        "r3": (("section", "Culture"),),
        "r4": (),
        "r5": (("author", "Cy"),),
    }
    strike, culture, cy = (
        f"{rule_id}: matches 0 articles now: no known article has the {by} “{value}”"
        for rule_id, found in resolved.unmatched.items()
        for by, value in found
    )
    assert resolved.notes(4) == (strike, culture)
    assert resolved.notes(10) == (culture, cy)


def test_a_misspelled_name_is_answered_with_the_closest_one():
    assert closest("politcs", ARTICLES.names("section")) == "; did you mean “Politics”?"
    assert closest("weather", ARTICLES.names("section")) == ""
    assert ARTICLES.names("article") == set(ARTICLES.article_ids)
    assert ARTICLES.names("text") == set()
    assert all(len(BY_NAME.rows("tag", tag)) for tag in ARTICLES.names("tag"))
    assert all(len(BY_NAME.rows("source", host)) for host in ARTICLES.names("source"))


def test_fields_without_effect_are_named():
    assert without_effect(rule("boost", "a", amount=0.5)) == []
    (problem,) = without_effect(rule("boost", "a"))
    assert problem.startswith("a boost by 0 does nothing")
    assert without_effect(rule("block", "a")) == []
    assert without_effect(rule("cap", "", by="author", amount=1.0)) == []
    assert without_effect(rule("block", "a", slot=4, amount=1.0)) == [
        "slot is for a pin, not for a block (--slot)",
        "amount is for a boost or a cap, not for a block (--amount)",
    ]


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"kind": "boost"}, "amount is required for a boost.*--amount"),
        ({"kind": "cap", "by": "author"}, "amount is required for a cap.*--amount"),
        ({"kind": "block", "list_name": "must_read"}, "did you mean “must_reads”"),
    ],
)
def test_a_rule_without_what_its_kind_needs_is_refused(fields, problem):
    row = {"by": "article", "value": "a", "author": "Ann", "reason": "why", "starts_ms": 0}
    with pytest.raises(RuleError, match=problem):
        rule_of(row | fields, ["must_reads"])


def test_rules_are_in_force_from_their_start_to_just_before_their_end():
    block = rule("block", "a", starts_ms=10, ends_ms=20)
    resolved = Resolved([block], ARTICLES)
    barred = [bool(resolved.at(now, None).barred) for now in (9, 10, 19, 20)]
    assert barred == [False, True, True, False]


def test_a_sensitive_article_is_not_recommended_and_chooses_its_neighbours():
    never = rule("sensitive", "tax", by="text", only_by="section", only="Politics")
    resolved = Resolved([never], ARTICLES)
    # The live articles are a, b, c, e; the titles of a and c are about tax.
    assert resolved.at(0, None).barred[""].tolist() == [True, False, True, False]
    assert resolved.at(0, 1).barred[""].tolist() == [True, False, True, False]  # beside b
    assert resolved.at(0, 0).barred[""].tolist() == [True, True, True, True]  # beside a
    beside_sports = replace(never, only="Sports")
    assert Resolved([beside_sports], ARTICLES).at(0, 0).barred[""].tolist() == [
        True,
        False,
        True,
        False,
    ]


def test_a_rule_that_forbids_wins_and_the_first_pin_of_a_slot_holds():
    pins = [
        rule("pin", "a", list_name="must_reads", slot=1),
        rule("pin", "b", rule_id="r2", list_name="must_reads", slot=1),
        rule("pin", "c", rule_id="r3", list_name="must_reads", slot=2),
        rule("block", "c", rule_id="r4"),
    ]
    editorial = Resolved(pins, ARTICLES).at(0, None)
    assert [(pin.live_index, pin.slot) for pin in editorial.pins] == [(0, 0)]
    assert editorial.touched == {("must_reads", 0): ("r1",)}
    assert editorial.barred_by == {2: "r4"}


def test_a_slot_names_the_rules_of_its_own_list():
    lifts = [
        rule("boost", "Ann Lee", by="author", amount=0.1),
        rule("boost", "b", rule_id="r2", amount=0.1, list_name="popular_now"),
    ]
    touched = Resolved(lifts, ARTICLES).at(0, None).touched
    # The live articles are a, b, c, e; a and c are by Ann Lee.
    assert touched == {
        (EVERY, 0): ("r1",),
        (EVERY, 2): ("r1",),
        ("popular_now", 1): ("r2",),
    }
    assert Resolved(lifts, ARTICLES).at(0, None).touching("popular_now", 0) == ("r1",)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"kind": "ban"}, "kind must be one of block, boost, cap, .*, got 'ban'"),
        ({"by": "mood"}, "by must be one of article, author, .*, got 'mood'"),
        ({"only_by": "mood"}, "only_by must be one of article, "),
        ({"list_name": "front"}, r"list_name must be one of you_may.*, got 'front' \(--list\)"),
        ({"author": " "}, r"author is required \(--author\)"),
        ({"reason": ""}, r"reason is required \(--reason\)"),
        ({"starts_ms": 5, "ends_ms": 5}, "ends_ms must be later than starts_ms"),
        ({"kind": "embargo"}, r"ends_ms is required: .* \(--until\)"),
        ({"kind": "pin"}, "list_name is required for a pin: one of you_may_also_like, "),
        ({"kind": "pin", "by": "section"}, "by must be article for a pin, got 'section'"),
        (
            {"kind": "pin", "list_name": "must_reads"},
            r"slot must be from 1 to 100 for a pin, got 0 \(--slot\)",
        ),
        ({"slot": 101}, "slot must be a whole number from 0 to 100, got 101"),
        (
            {"slot": 2**64 + 1},
            "slot must be a whole number from 0 to 100, got 1844674407",
        ),
        ({"slot": 1.0}, "slot must be a whole number from 0 to 100, got 1.0"),
        ({"slot": True}, "slot must be a whole number from 0 to 100, got True"),
        ({"kind": "cap"}, "by must be one of author, section, source for a cap, got 'article'"),
        ({"kind": "cap", "by": "section", "amount": 1.5}, "from 0 to 100 for a cap, got 1.5"),
        ({"kind": "cap", "by": "section", "amount": 101.0}, "from 0 to 100 for a cap, got 101"),
        ({"kind": "cap", "by": "section", "amount": -1.0}, "from 0 to 100 for a cap, got -1"),
        (
            {"kind": "boost", "amount": -10.5},
            "amount must be from -10 to 10 for a boost, got -10",
        ),
        ({"amount": float("nan")}, "amount must be a finite number, got nan"),
        ({"amount": float("inf")}, "amount must be a finite number, got inf"),
        ({"value": ""}, "value is required: the article that the rule is about"),
        ({"value": 7}, "value must be a text of at most 512 characters, got 7"),
        ({"value": "x" * 513}, "value must be a text of at most 512 characters, got 'xxx"),
        ({"reason": "x" * 2001}, "reason must be a text of at most 2000 characters"),
        ({"only": "\ud800"}, "only must be Unicode text"),
        ({"ends_ms": 2**60}, "ends_ms must be a whole number from -62135596800000 to .*, or null"),
    ],
)
def test_a_rule_that_cannot_be_names_itself_the_field_and_the_remedy(changed, says):
    assert problem_of(rule("block", "a"), LISTS) == ""
    said = problem_of(replace(rule("block", "a"), **changed), LISTS)
    assert said.startswith("r1: ")
    assert re.search(says, said), said
    with pytest.raises(RuleError) as caught:
        rule_of(asdict(rule("block", "a")) | changed, LISTS)
    assert str(caught.value) == said


def test_the_bounds_themselves_are_allowed():
    for kind, fields in (
        ("pin", {"list_name": "must_reads", "slot": 1}),
        ("pin", {"list_name": "must_reads", "slot": 100}),
        ("boost", {"amount": -10}),
        ("boost", {"amount": 10}),
        ("cap", {"by": "author", "value": "", "amount": 0}),
        ("cap", {"by": "source", "amount": 100}),
        ("block", {"value": "x" * 512, "starts_ms": -62_135_596_800_000}),
        ("embargo", {"ends_ms": 253_402_300_799_999}),
    ):
        assert problem_of(rule(kind, **{"value": "a"} | fields), LISTS) == ""


def test_a_file_of_rules_is_read_whole_or_refused_by_the_rule_at_fault():
    block = {"kind": "block", "by": "article", "value": "a", "author": "Ann", "reason": "r"}
    good = block | {"starts_ms": 5, "amount": 1}
    assert rules_of(json.dumps([good]).encode(), LISTS) == [
        rule("block", "a", rule_id="", reason="r", starts_ms=5, amount=1.0)
    ]
    for rows, says in (
        ([good, good | {"lits": "x"}], "rule 2 of the file: the new rule: unknown field lits"),
        ([good | {"rule_id": "r7", "slot": -1}], "rule 1 of the file: r7: slot must be a whole"),
        ([block], "rule 1 of the file: the new rule: starts_ms is missing"),
        ([[]], "rule 1 of the file: the new rule: must be an object, got []"),
        ({"rules": []}, "not a JSON array of rules"),
        ([good | {"amount": float("nan")}], "not a JSON array of rules"),  # JSON has no NaN
    ):
        with pytest.raises(RuleError, match=re.escape(says)):
            rules_of(json.dumps(rows).encode(), LISTS)
    for text in (b"", b"[{", b"\xff", b'[{"kind": "\\ud800"}]', b"[" * 100_000):
        with pytest.raises(RuleError, match="not a JSON array of rules"):
            rules_of(text, LISTS)


@given(st.binary() | st.text().map(str.encode))
def test_no_bytes_of_a_file_of_rules_do_worse_than_a_refusal(text):
    try:
        assert rules_of(text, LISTS) == []
    except RuleError:
        pass


def test_contradictions_are_named_when_both_are_in_force_at_some_time():
    pin = rule("pin", "a", list_name="must_reads", slot=1, ends_ms=10)
    others = {
        "same slot": rule("pin", "b", rule_id="r2", list_name="must_reads", slot=1),
        "no pin holds": rule("block", "a", rule_id="r3"),
        "same article": rule("pin", "a", rule_id="r4", list_name="popular_now", slot=2),
    }
    for says, other in others.items():
        (found,) = conflicts(pin, [other])
        assert says in found
        assert conflicts(pin, [replace(other, starts_ms=10)]) == []
    assert conflicts(pin, [rule("block", "a", rule_id="r5", list_name="popular_now")]) == []


kinds = st.sampled_from(["block", "boost", "sensitive", "cap", "embargo", "pin", "expire"])


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(
            kinds, st.integers(0, 59), st.integers(0, 3), st.integers(1, 5), st.integers(0, 4)
        ),
        max_size=6,
    ),
    st.integers(0, 50),
)
def test_no_page_breaks_a_rule(rows, seed):
    model = random_model(seed % 5)
    rng = np.random.default_rng(seed)
    live = model.live
    described = Described(
        article_ids=[f"a{i}" for i in range(80)],
        authors=[f"w{i % 7}" for i in range(80)],
        sections=[f"s{c}" if c else "" for c in live.category],
        tags=[""] * 80,
        urls=[""] * 80,
        titles=[f"t{i % 9}" for i in range(80)],
        live_rows=live.live_rows,
    )
    rules = []
    for i, (kind, live_index, group, slot, name) in enumerate(rows):
        value, by = f"a{live.live_rows[live_index]}", "article"
        if kind in ("cap", "sensitive") or (kind == "block" and group == 1):
            value, by = f"s{group}", "section"
        where = "" if name == 4 else LISTS[name]
        if kind == "pin":
            where = where or "must_reads"
        rules.append(
            rule(
                kind,
                value,
                rule_id=f"r{i}",
                by=by,
                list_name=where,
                slot=slot,
                amount=group,
                only="s2",
                ends_ms=2**40,
            )
        )
    user = random_user(rng, model)
    context = int(rng.integers(80))
    editorial = Resolved(rules, described).at(5, context)
    builder = PageBuilder(model)
    layout = builder.layout(None, has_context=True)
    built = builder.page(user, context, layout, editorial=editorial)
    places = {name: [slot.live_index for slot in slots] for name, slots in built.lists.items()}
    everything = [place for found in places.values() for place in found]
    assert len({int(model.story[p]) for p in everything}) == len(everything)
    assert not set(everything) & set(user.read.tolist())
    for name, found in places.items():
        for key in ("", name):
            if key in editorial.barred:
                assert not editorial.barred[key][found].any()
    pinned = {(pin.name, pin.live_index) for pin in editorial.pins}
    for cap in editorial.caps:
        counted = [p for name, f in places.items() if cap.name in (None, name) for p in f]
        free = [p for p in counted if not any(p == place for _, place in pinned)]
        groups = [int(cap.group[p]) for p in counted if cap.group[p] >= 0]
        for g in {int(cap.group[p]) for p in free if cap.group[p] >= 0}:
            assert groups.count(g) <= cap.most
