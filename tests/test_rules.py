import dataclasses
import json
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_page import N_SLOTS, random_model, random_reader

from recsys.config import Config
from recsys.errors import RuleError, SnapshotError
from recsys.operations.rulebook import Rulebook
from recsys.page.build import PageBuilder
from recsys.page.compose import LISTS
from recsys.page.rules import Described, Resolved, Rule, conflicts, problem_of
from recsys.published import folder as published_folder
from recsys.rows import HOUR_MS, to_ms
from recsys.serving.recommender import Recommender
from recsys.store.database import Store
from recsys.training.window import read_training_window


def rule(kind, value, **fields):
    given = {"by": "article", "author": "Ann", "reason": "because", "starts_ms": 0} | fields
    return Rule(**{"rule_id": "r1", "kind": kind, "value": value} | given)


ARTICLES = Described(
    article_ids=["a", "b", "c", "d", "e"],
    authors=["Ann Lee", "", "ann lee", "Bo", "Bo"],
    sections=["Politics", "Sports", "Politics", "", "Sports"],
    tags=["Tax, Law", "", "law", "space", "cup"],
    urls=["https://a.example/1", "http://www.b.example", "//a.example/2", "", "//b.example"],
    titles=["Tax law passes", "Cup final", "New tax on law firms", "Moon", "Final of the cup"],
    live_rows=np.array([0, 1, 2, 4]),
)


@pytest.mark.parametrize(
    ("by", "value", "meant"),
    [
        ("article", "c", "c"),
        ("author", "ANN LEE", "ac"),
        ("section", "sports", "be"),
        ("tag", " LAW", "ac"),
        ("tag", "la", ""),
        ("source", "B.example", "be"),
        ("text", "law tax", "ac"),
        ("text", "cup FINAL", "be"),
        ("article", "C", ""),
    ],
)
def test_a_rule_means_articles_by_id_name_section_or_words(by, value, meant):
    found = ARTICLES.matching(by, value)
    assert "".join(np.array(ARTICLES.article_ids)[found]) == meant


def test_rules_are_in_force_from_their_start_to_just_before_their_end():
    block = rule("block", "a", starts_ms=10, ends_ms=20)
    resolved = Resolved([block], ARTICLES)
    barred = [bool(resolved.at(now, None).barred) for now in (9, 10, 19, 20)]
    assert barred == [False, True, True, False]


def test_a_sensitive_article_is_not_recommended_and_chooses_its_neighbours():
    never = rule("sensitive", "tax", by="text", only_by="section", only="Politics")
    resolved = Resolved([never], ARTICLES)
    # Live are a, b, c, e; a and c tell of tax.
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


def test_what_forbids_wins_over_what_shows_and_the_first_pin_of_a_slot_holds():
    pins = [
        rule("pin", "a", list_name="must_reads", slot=1),
        rule("pin", "b", rule_id="r2", list_name="must_reads", slot=1),
        rule("pin", "c", rule_id="r3", list_name="must_reads", slot=2),
        rule("block", "c", rule_id="r4"),
    ]
    editorial = Resolved(pins, ARTICLES).at(0, None)
    assert [(pin.place, pin.slot) for pin in editorial.pins] == [(0, 0)]
    assert editorial.touched == {("must_reads", 0): ("r1",)}
    assert editorial.barred_by == {2: "r4"}


def test_a_slot_names_the_rules_of_its_own_list():
    lifts = [
        rule("boost", "Ann Lee", by="author", amount=0.1),
        rule("boost", "b", rule_id="r2", amount=0.1, list_name="popular_now"),
    ]
    touched = Resolved(lifts, ARTICLES).at(0, None).touched
    # Live are a, b, c, e; a and c are by Ann Lee.
    assert touched == {(name, place): ("r1",) for name in LISTS for place in (0, 2)} | {
        ("popular_now", 1): ("r2",)
    }


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"kind": "ban"}, "kind must be one of"),
        ({"by": "mood"}, "by must be one of"),
        ({"list_name": "front"}, "list must be one of"),
        ({"author": " "}, "author and a reason"),
        ({"starts_ms": 5, "ends_ms": 5}, "ends before it starts"),
        ({"kind": "embargo"}, "needs an end"),
        ({"kind": "pin"}, "a pin needs"),
        ({"kind": "cap"}, "by author, section, source"),
        ({"kind": "cap", "by": "section", "amount": 1.5}, "whole number"),
        ({"kind": "boost", "amount": float("nan")}, "finite"),
        ({"value": ""}, "which articles"),
    ],
)
def test_a_rule_that_cannot_be_says_why(changed, says):
    assert problem_of(rule("block", "a")) == ""
    assert says in problem_of(replace(rule("block", "a"), **changed))


def test_contradictions_are_told_when_both_are_in_force_at_some_time():
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


@pytest.fixture
def newsroom(by_hand, tmp_path):
    """A copy of the published sample, with an empty rule book."""
    import shutil

    folder = tmp_path / "published"
    shutil.copytree(by_hand.folder, folder)
    with Store(tmp_path / "rules.db") as store:
        store._conn.execute("ATTACH ? AS sample", (str(by_hand.store),))
        store._conn.execute("INSERT INTO article_ids SELECT * FROM sample.article_ids")
        yield Rulebook(store, folder), Recommender(folder), by_hand.as_of


def ids(page):
    return {name: [slot.article_id for slot in slots] for name, slots in page.items()}


def test_rules_act_at_once_to_the_second_and_say_so_in_the_slot(newsroom):
    book, recommender, as_of = newsroom
    now_ms = to_ms(as_of)
    before = ids(recommender.recommend("u0007", as_of=as_of))
    first, last = before["popular_now"][0], before["latest_stories"][-1]
    book.add(rule("block", first, starts_ms=now_ms), now_ms=now_ms)
    pin = rule("pin", last, list_name="must_reads", slot=2, starts_ms=now_ms, ends_ms=now_ms + 1000)
    pinned = book.add(pin, now_ms=now_ms)
    page = recommender.recommend("u0007", as_of=as_of)
    shown = [slot for slots in page.values() for slot in slots]
    assert first not in {slot.article_id for slot in shown}
    assert page["must_reads"][1].article_id == last
    assert page["must_reads"][1].reason == "Chosen by the editors"
    assert page["must_reads"][1].rules == (pinned.rule_id,)
    assert [r.reason for r in page["must_reads"][1].explanation.rules] == ["because"]
    assert sum(slot.article_id == last for slot in shown) == 1
    later = recommender.recommend("u0007", as_of=as_of + timedelta(seconds=1))
    assert later["must_reads"][1].article_id != last  # the pin is over, the block is not
    assert first not in {slot.article_id for slots in later.values() for slot in slots}
    earlier = recommender.recommend("u0007", as_of=as_of - timedelta(seconds=1))
    assert ids(earlier) == before


def test_a_pin_gives_way_to_the_article_being_read_and_to_what_was_read(newsroom):
    book, recommender, as_of = newsroom
    now_ms = to_ms(as_of)
    target = ids(recommender.recommend(as_of=as_of))["must_reads"][0]
    book.add(
        rule("pin", target, list_name="you_may_also_like", slot=1, starts_ms=now_ms),
        now_ms=now_ms,
    )
    assert ids(recommender.recommend(as_of=as_of))["you_may_also_like"][0] == target
    for page in (
        recommender.recommend(None, target, as_of=as_of),
        recommender.recommend("u0007", recent_clicks=[target], as_of=as_of),
    ):
        assert target not in {slot.article_id for slots in page.values() for slot in slots}
        assert len(page["you_may_also_like"]) == 5


def test_boosts_lift_caps_hold_and_embargoes_end(newsroom):
    book, recommender, as_of = newsroom
    now_ms = to_ms(as_of)
    plain = recommender.recommend("u0010", as_of=as_of)
    section = plain["latest_stories"][0].category
    book.add(
        rule(
            "boost",
            section,
            by="section",
            amount=5.0,
            list_name="popular_now",
            starts_ms=now_ms,
            ends_ms=now_ms + 1000,
        ),
        now_ms=now_ms,
    )
    lifted = recommender.recommend("u0010", as_of=as_of)
    assert {slot.category for slot in lifted["popular_now"]} == {section}
    assert all(slot.rules for slot in lifted["popular_now"])
    at = as_of + timedelta(seconds=2)
    book.add(
        rule(
            "cap", "", by="section", amount=1, list_name="latest_stories", starts_ms=now_ms + 1000
        ),
        now_ms=now_ms,
    )
    capped = recommender.recommend("u0010", as_of=at)
    sections = [slot.category for slot in capped["latest_stories"] if slot.category]
    assert len(set(sections)) == len(sections)
    shown = plain["you_may_also_like"][0].article_id
    until = to_ms(at) + HOUR_MS
    book.add(rule("embargo", shown, starts_ms=now_ms, ends_ms=until), now_ms=now_ms)
    for hours, is_there in ((0, False), (1, True)):
        page = recommender.recommend("u0010", as_of=at + timedelta(hours=hours))
        everything = {slot.article_id for slots in page.values() for slot in slots}
        assert (shown in everything) == is_there


def test_history_keeps_every_version_and_files_come_back(newsroom, tmp_path):
    book, recommender, as_of = newsroom
    now_ms = to_ms(as_of)
    shown = ids(recommender.recommend(as_of=as_of))["must_reads"][0]
    added = book.add(rule("block", shown, starts_ms=now_ms), now_ms=now_ms)
    with pytest.raises(RuleError, match="no pin holds"):
        book.add(
            rule("pin", shown, list_name="must_reads", slot=1, starts_ms=now_ms), now_ms=now_ms
        )
    with pytest.raises(RuleError, match="no article 'nowhere'"):
        book.add(rule("block", "nowhere"), now_ms=now_ms)
    with pytest.raises(RuleError, match="who ends it"):
        book.end(added.rule_id, author="", reason="x", now_ms=now_ms)
    ended = book.end(added.rule_id, author="Bo", reason="settled", now_ms=now_ms + 5)
    assert (ended.starts_ms, ended.ends_ms) == (now_ms, now_ms + 5)
    with pytest.raises(RuleError, match="over already"):
        book.end(added.rule_id, author="Bo", reason="again", now_ms=now_ms + 6)
    with pytest.raises(RuleError, match="no such rule"):
        book.end("r99", author="Bo", reason="x", now_ms=now_ms)
    changes = book.history(added.rule_id)
    assert [(c.version, c.change, c.changed_by) for c in changes] == [
        (1, "added", "Ann"),
        (2, "ended", "Bo"),
    ]
    assert json.loads(changes[0].rule)["ends_ms"] is None
    # What the servers read is what the book says.
    assert list(published_folder.load_rules(book._published)) == book.rules()
    imported = book.add_all([replace(added, rule_id="x"), rule("block", shown)], now_ms=now_ms + 9)
    assert [r.rule_id for r in imported] == ["r2", "r3"]
    with pytest.raises(RuleError):
        book.add_all([rule("block", shown), rule("block", "nowhere")], now_ms=now_ms)
    assert len(book.rules()) == 3  # all of a file, or none


def test_a_damaged_rules_file_leaves_the_last_good_rules_in_force(newsroom):
    book, recommender, as_of = newsroom
    now_ms = to_ms(as_of)
    shown = ids(recommender.recommend(as_of=as_of))["must_reads"][0]
    book.add(rule("block", shown, starts_ms=now_ms), now_ms=now_ms)
    assert shown not in str(ids(recommender.recommend(as_of=as_of)))
    for damage in (
        "[{",
        "[3]",
        '[{"kind": "pin"}]',
        (book._published / "rules.json").read_text().replace('"slot": 0', '"slot": "x"'),
    ):
        (book._published / "rules.json").write_text(damage)
        with pytest.raises(SnapshotError, match="damaged"):
            published_folder.load_rules(book._published)
        assert shown not in str(ids(recommender.recommend(as_of=as_of)))
    book.publish_rules()
    assert list(published_folder.load_rules(book._published)) == book.rules()


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
    for i, (kind, place, group, slot, name) in enumerate(rows):
        value, by = f"a{live.live_rows[place]}", "article"
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
                ends_ms=2**50,
            )
        )
    reader = random_reader(rng, model)
    context = int(rng.integers(80))
    editorial = Resolved(rules, described).at(5, context)
    built = PageBuilder(model).page(reader, context, N_SLOTS, editorial=editorial)
    places = {name: [slot.place for slot in slots] for name, slots in built.lists.items()}
    everything = [place for found in places.values() for place in found]
    assert len({int(model.story[p]) for p in everything}) == len(everything)
    assert not set(everything) & set(reader.read.tolist())
    for name, found in places.items():
        for key in ("", name):
            if key in editorial.barred:
                assert not editorial.barred[key][found].any()
    pinned = {(pin.name, pin.place) for pin in editorial.pins}
    for cap in editorial.caps:
        counted = [p for name, f in places.items() if cap.name in (None, name) for p in f]
        free = [p for p in counted if not any(p == place for _, place in pinned)]
        groups = [int(cap.group[p]) for p in counted if cap.group[p] >= 0]
        for g in {int(cap.group[p]) for p in free if cap.group[p] >= 0}:
            assert groups.count(g) <= cap.most


def test_every_slot_explains_itself(by_hand):
    recommender = Recommender(by_hand.folder)
    page = recommender.recommend("u0007", "a0030", as_of=by_hand.as_of)
    where = {slot.article_id: name for name, slots in page.items() for slot in slots}
    n_live = len(recommender._run.model.live.live_rows)
    for slots in page.values():
        for rank, slot in enumerate(slots, start=1):
            why = slot.explanation
            assert why.list_rank >= rank - len(why.displaced)
            assert sum(why.parts.values()) == pytest.approx(slot.score, abs=0.02)
            assert all(1 <= place <= n_live for place in why.ranks.values())
            for other in why.displaced:
                assert other.article_id not in {s.article_id for s in slots}
                if "stands in" in other.why:
                    assert where[other.article_id] == other.why.removeprefix("stands in ")
    liked = page["you_may_also_like"][0].explanation
    read = {article for article in recommender._run.known}
    assert all(driver.article_id in read for driver in liked.drivers)
    weights = [driver.text + driver.als for driver in liked.drivers]
    assert weights == sorted(weights, reverse=True)
    assert dataclasses.asdict(liked)["parts"]


def test_text_drivers_add_up_to_the_text_part(by_hand):
    recommender = Recommender(by_hand.folder)
    whole = 0
    for user in ("u0007", "u0010", "u0020"):
        for slot in recommender.recommend(user, as_of=by_hand.as_of)["you_may_also_like"]:
            why = slot.explanation
            by_text = sum(driver.text for driver in why.drivers)
            assert by_text <= why.parts.get("text", 0.0) + 0.02  # some reads count against it
            whole += by_text == pytest.approx(why.parts.get("text", 0.0), abs=0.02) and by_text > 0
    assert whole


def test_a_pinned_article_is_live_however_old(sample, tmp_path):
    import shutil

    shutil.copy(sample.store, tmp_path / "recsys.db")
    now_ms = to_ms(sample.as_of)
    with Store(tmp_path / "recsys.db") as store:
        before = read_training_window(store, now_ms, Config())
        old = set(before.articles.id_map.ids)
        old -= {before.articles.id_map.ids[row] for row in before.live_rows}
        pinned = sorted(old)[0]
        Rulebook(store, tmp_path).add(
            rule("pin", pinned, list_name="must_reads", slot=1, ends_ms=now_ms + 10), now_ms=now_ms
        )
        for at, is_live in ((now_ms, True), (now_ms + 10, False)):
            night = read_training_window(store, at, Config())
            live = {night.articles.id_map.ids[row] for row in night.live_rows}
            assert (pinned in live) == is_live
