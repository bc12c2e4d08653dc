"""The rules of a newsroom: their history, their file, and what servers make of them."""

import json
import shutil
from datetime import timedelta

import msgspec
import pytest
from conftest import LISTS, rule
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from recsys.errors import RuleError, SnapshotError
from recsys.operations.rulebook import Rulebook
from recsys.page.rules import Rule, rule_of, rules_of
from recsys.published import folder as published_folder
from recsys.rows import HOUR_MS, to_ms
from recsys.serving.recommender import Recommender
from recsys.store.database import Store


@pytest.fixture
def newsroom(by_hand, tmp_path):
    """A copy of the published sample, with an empty rulebook."""
    folder = tmp_path / "published"
    shutil.copytree(by_hand.folder, folder)
    with Store(tmp_path / "rules.db") as store:
        store._conn.execute("ATTACH ? AS sample", (str(by_hand.store),))
        store._conn.execute("INSERT INTO article_ids SELECT * FROM sample.article_ids")
        yield Rulebook(store, folder), Recommender(folder), by_hand.as_of


def ids(page):
    return {name: [slot.article_id for slot in slots] for name, slots in page.items()}


def test_rules_act_at_once_and_the_slot_names_them(newsroom):
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


def test_a_pin_gives_way_to_the_article_being_read_and_to_an_article_already_read(newsroom):
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
    with pytest.raises(RuleError, match="r1: author is required"):
        book.end(added.rule_id, author="", reason="x", now_ms=now_ms)
    ended = book.end(added.rule_id, author="Bo", reason="settled", now_ms=now_ms + 5)
    assert (ended.starts_ms, ended.ends_ms) == (now_ms, now_ms + 5)
    with pytest.raises(RuleError, match="r1: the rule has ended already"):
        book.end(added.rule_id, author="Bo", reason="again", now_ms=now_ms + 6)
    with pytest.raises(RuleError, match="r99: there is no such rule; `recsys rules list`"):
        book.end("r99", author="Bo", reason="x", now_ms=now_ms)
    changes = book.history(added.rule_id)
    assert [(c.version, c.change, c.changed_by) for c in changes] == [
        (1, "added", "Ann"),
        (2, "ended", "Bo"),
    ]
    assert json.loads(changes[0].rule)["ends_ms"] is None
    # Servers read the latest versions of all rules.
    assert list(published_folder.load_rules(book._published, LISTS)) == book.rules()
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
    assert recommender.health(as_of=as_of).problems == ()
    path = book._published / "rules.json"
    good = path.read_text()
    for damage in (
        "",
        "[{",
        "[3]",
        '[{"kind": "pin"}]',
        good.replace('"slot": 0', '"slot": "x"'),
        good.replace('"kind": "block"', '"kind": "blok"'),
        good.replace('"list_name": ""', '"list_name": "must_reaes"'),
        None,
    ):
        path.unlink() if damage is None else path.write_text(damage)
        with pytest.raises(SnapshotError, match="damaged"):
            published_folder.load_rules(book._published, LISTS)
        # A server that starts now follows the rules that a command last wrote.
        for server in (recommender, Recommender(book._published)):
            assert shown not in str(ids(server.recommend(as_of=as_of)))
            (problem,) = server.health(as_of=as_of).problems
            assert problem.startswith(f"not served: {path}: damaged: ")
            assert "`recsys rules list --store DB --published" in problem
    book.publish_rules()
    assert recommender.health(as_of=as_of).problems == ()
    assert list(published_folder.load_rules(book._published, LISTS)) == book.rules()


def test_without_a_copy_a_damaged_rules_file_stops_a_server_from_starting(newsroom):
    book, _, _ = newsroom
    (book._published / "rules.json").write_text("[3]")
    with pytest.raises(SnapshotError, match="rules.json: damaged"):
        Recommender(book._published)


def test_rules_about_a_list_that_another_run_lacks_stay_and_are_reported(newsroom):
    book, recommender, as_of = newsroom
    now_ms = to_ms(as_of)
    shown = ids(recommender.recommend(as_of=as_of))["must_reads"][0]
    # As if the run that is served now had other layouts than the run before.
    hero = rule("pin", "a0133", rule_id="r1", list_name="hero", slot=1, starts_ms=now_ms)
    block = rule("block", shown, rule_id="r2", starts_ms=now_ms)
    published_folder.write_rules(book._published, [hero, block])
    started = Recommender(book._published)
    assert shown not in str(ids(started.recommend(as_of=as_of)))
    (problem,) = started.health(as_of=as_of).problems
    assert "r1: list_name must be one of" in problem
    assert "`recsys rules end`" in problem


@pytest.mark.parametrize("rule_ids", [["r1", "r1"], [""], ["r1", ""]])
def test_rules_of_one_name_or_none_are_refused_as_a_whole(newsroom, rule_ids):
    book, recommender, as_of = newsroom
    shown = ids(recommender.recommend(as_of=as_of))["must_reads"][0]
    book.add(rule("block", shown, starts_ms=to_ms(as_of)), now_ms=to_ms(as_of))
    assert shown not in str(ids(recommender.recommend(as_of=as_of)))
    rows = [
        msgspec.to_builtins(rule("block", "a0133", rule_id=rule_id, starts_ms=to_ms(as_of)))
        for rule_id in rule_ids
    ]
    (book._published / "rules.json").write_text(json.dumps(rows))
    assert shown not in str(ids(recommender.recommend(as_of=as_of)))
    (problem,) = recommender.health(as_of=as_of).problems
    assert "each rule must have a rule_id of its own" in problem


def test_a_typo_in_a_list_is_refused_when_a_file_is_imported(newsroom):
    book, _, _ = newsroom
    text = json.dumps(
        [
            {"kind": "pin", "by": "article", "value": "a0133", "list_name": "must_reaes"}
            | {"slot": 1, "author": "Ann", "reason": "front", "starts_ms": 0}
        ]
    )
    with pytest.raises(RuleError, match="rule 1 of the file: .*must_reads.*'must_reaes'"):
        rules_of(text.encode(), book.list_names())


def test_a_rule_on_a_word_that_no_title_has_is_added_with_a_note(newsroom):
    book, recommender, as_of = newsroom
    now_ms = to_ms(as_of)
    title = recommender.recommend(as_of=as_of)["must_reads"][0].title
    known = book.add(rule("block", title, by="text"), now_ms=now_ms)
    unknown = book.add(rule("block", "xylophone", by="text"), now_ms=now_ms)
    note = f"{unknown.rule_id}: matches 0 articles now: no known article has the text “xylophone”"
    assert book.unmatched([known, unknown]) == [note]
    health = recommender.health(as_of=as_of)
    assert (health.problems, health.notes) == ((), (note,))


def test_before_the_first_run_the_articles_of_the_store_are_looked_at(store, load, tmp_path):
    load({"a.jsonl": '{"article_id": "a", "title": "Storm warning", "category": "Weather"}\n'})
    book = Rulebook(store, tmp_path / "published")
    rules = [rule("block", value, by="text", rule_id=value) for value in ("storm", "calm")]
    note = "calm: matches 0 articles now: no known article has the text “calm”"
    assert book.unmatched(rules) == [note]
    (misspelled,) = book.unmatched([rule("block", "wether", by="section", rule_id="r1")])
    assert misspelled.endswith("no known article has the section “wether”; did you mean “Weather”?")


def test_a_pin_to_a_slot_that_no_layout_has_is_refused_unless_forced(newsroom):
    book, _, as_of = newsroom
    now_ms = to_ms(as_of)
    for name, slot in (("must_reads", 6), ("latest_stories", 7)):
        pin = rule("pin", "a0133", list_name=name, slot=slot, starts_ms=now_ms, ends_ms=now_ms + 1)
        with pytest.raises(RuleError, match=f"no layout has more than {slot - 1} slots for {name}"):
            book.add(pin, now_ms=now_ms)
        with pytest.raises(RuleError, match="no layout has more than"):
            book.add_all([pin], now_ms=now_ms)
    assert book.add(pin, now_ms=now_ms, force=True).slot == 7
    assert book.add(replace(pin, slot=6), now_ms=now_ms + 2).slot == 6


def test_an_id_that_the_store_does_not_have_is_refused_with_one_like_it(newsroom):
    book, _, as_of = newsroom
    with pytest.raises(RuleError, match="no article 'A0133' is in the store; did you mean “a0133”"):
        book.add(rule("block", "A0133"), now_ms=to_ms(as_of))


def refusals(folder, row, list_names):
    """Return how a command, an import and a server each refuse a rule; "" if they take it."""
    text = json.dumps([row])
    (folder / published_folder.RULES).write_text(text)
    found = []
    for take in (
        lambda: rule_of(row, list_names),
        lambda: rules_of(text.encode(), list_names),
        lambda: published_folder.load_rules(folder, list_names),
    ):
        try:
            take()
            found.append("")
        except (RuleError, SnapshotError) as error:
            said = str(error).partition("rule 1 of the file: ")
            found.append((said[2] or said[0]).partition("; `recsys rules list")[0])
    return found


@pytest.fixture(scope="module")
def a_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("rules")


@given(
    st.sampled_from(Rule.__struct_fields__),
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.lists(st.none(), max_size=1)
    | st.sampled_from([1e308, -1e308, 0.5, 101, -1, 10**30, "a" * 600, "pin", "cap", "sensitive"]),
    st.sampled_from(["pin", "block", "boost", "cap", "embargo", "sensitive"]),
)
def test_a_command_an_import_and_a_server_refuse_by_the_same_words(a_folder, field, value, kind):
    row = {"kind": kind, "value": "a1", "author": "Ann", "reason": "x", "starts_ms": 0}
    row |= {"by": "section" if kind == "cap" else "article", "list_name": "must_reads", "slot": 1}
    row |= {"amount": 1, "rule_id": "r1"} | {field: value}
    said = refusals(a_folder, row, ["must_reads"])
    if not said[0] and not row["rule_id"]:
        said = said[:2]  # a command and an import give it one
    assert len(set(said)) == 1
    assert len(said[0]) < 700
