import functools
import json
import threading
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from conftest import BY_HAND, IDS_ALONE, LISTS, RECEIVED_MS, current_run
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

import recsys
from recsys import NotPublishedError, Recommender
from recsys.blend.curves import curve_parts
from recsys.blend.signal_table import signal_names
from recsys.config import Config, LearnConfig
from recsys.config_file import config_of
from recsys.config_page import ListConfig, PageConfig
from recsys.learn.impressions import impression_features
from recsys.learn.past_runs import PastRuns
from recsys.nightly.run import run_nightly
from recsys.page.reasons import reason_words
from recsys.page.slots import Slot
from recsys.published import connection
from recsys.published import folder as published_folder
from recsys.rows import HOUR_MS, from_ms, to_ms
from recsys.serving.recommender import _recommender
from recsys.store.database import Store


def ids(page):
    return [slot.article_id for slots in page.values() for slot in slots]


def users_of(sample, n):
    path = published_folder.run_path(sample.folder, sample.report.run_id)
    conn = connection.connect(path)
    found = [row[0] for row in conn.execute("SELECT user_id FROM users LIMIT ?", (n,))]
    conn.close()
    return found


def test_the_published_page_is_the_one_computed_at_request_time(sample, recommender):
    run = recommender.run
    layout = run.builder.layout(None, has_context=False)
    same = 0
    users = users_of(sample, 300)
    for user_id in users:
        user = recommender.user_with_counts(user_id)
        built = run.builder.page(user, None, layout).lists
        served = recommender.recommend(user_id, as_of=sample.as_of)
        computed = [
            run.articles[run.model.live.live_rows[slot.live_index]].article_id
            for name in LISTS
            for slot in built[name]
        ]
        same += computed == ids(served)
    assert same == len(users)


def test_a_page_for_anybody_is_made_once_until_something_on_it_changes(sample, recommender):
    first = recommender.recommend(None, "a0030", as_of=sample.as_of)
    assert recommender.recommend("unknown", "a0030", as_of=sample.as_of) is first
    some = recommender.recommend(None, "a0030", lists=["must_reads"], as_of=sample.as_of)
    assert dict(some) == {"must_reads": first["must_reads"]}
    without = recommender.recommend(None, "a0030", exclude=ids(first)[:1], as_of=sample.as_of)
    assert ids(first)[0] not in ids(without)
    earlier = recommender.recommend(None, "a0030", as_of=sample.as_of - timedelta(days=1))
    assert ids(earlier) != ids(first)  # some was not out yet


def test_a_page_has_its_lists_full_and_repeats_nothing(sample, recommender):
    page = recommender.recommend("u0007", "a0030", as_of=sample.as_of)
    assert tuple(page) == LISTS
    assert [len(page[name]) for name in LISTS] == [5, 5, 5, 6]
    assert len(set(ids(page))) == 21
    assert "a0030" not in ids(page)
    for slots in page.values():
        for slot in slots:
            assert slot.reason
            assert "{" not in slot.reason
            assert slot.parts
            assert "&" not in slot.category
            assert slot.published_at <= sample.as_of


def languages_of(page):
    return {slot.language for slots in page.values() for slot in slots}


def test_a_page_is_in_the_language_of_the_call_the_article_or_the_site(sample, recommender):
    def page(*ids, **options):
        return recommender.recommend(*ids, as_of=sample.as_of, **options)

    german = next(a.article_id for a in recommender.run.articles if a.language == "de")
    site, beside = page("u0007"), page("u0007", german)
    assert (site.language, languages_of(site)) == ("en", {"en"})
    assert (beside.language, languages_of(beside)) == ("de", {"de"})
    assert page("u0007", german, language="en").language == "en"
    asked = page("u0007", language="de-AT")
    assert (asked.language, languages_of(asked)) == ("de", {"de"})
    assert [len(asked[name]) for name in LISTS] == [5, 5, 5, 6]
    assert asked.titles["popular_now"] == "Jetzt gefragt"
    shown = asked["you_may_also_like"][0]
    reason = reason_words("de")[shown.reason_code].format(**shown.reason_values)
    assert shown.reason == reason
    unknown = page(None, "published since the run")
    assert (unknown.language, languages_of(unknown)) == ("en", {"en"})


def test_a_list_gives_as_many_reasons_as_are_true(sample, recommender):
    run = recommender.run
    lines = run.articles.column("topics")
    topics = {a: set(of.splitlines()) for a, of in zip(run.known, lines, strict=True)}
    section = dict(zip(run.known, run.articles.column("category"), strict=True))
    for context in ("a0030", "a0045", "a0160"):
        page = recommender.recommend(None, context, as_of=sample.as_of)
        liked = page["you_may_also_like"]
        assert len({slot.reason for slot in liked}) >= 4
        assert any(slot.reason_code == "topic" for slot in liked)
        for slot in (slot for slots in page.values() for slot in slots):
            value = slot.reason_values.get
            if slot.reason_code == "topic":
                assert value("topic") in topics[slot.article_id] & topics[context]
            elif slot.reason_code == "same_section":
                assert slot.category == section[context] == value("category")
            elif slot.reason_code == "reading_time":
                assert int(value("minutes")) == round(slot.reading_minutes) >= 2


def test_pinned_articles_are_always_the_editors_choice(sample, recommender):
    page = recommender.recommend(None, "a0030", as_of=sample.as_of)
    trace = page["must_reads"][0].trace
    slots = [
        Slot(at, 1.0, code, -1) for at, code in enumerate(["chosen", "chosen", "taste", "taste"])
    ]
    shown = recommender.run.page(trace, dict.fromkeys(trace.layout.names, slots), {}, {}, "en")
    codes = [slot.reason_code for slot in shown["you_may_also_like"]]
    assert codes[:3] == ["chosen", "chosen", "taste"]
    assert codes[3] in recommender.run.builder.lifted_by()[3]
    # Must-Reads does not say that an article is new or popular.
    assert shown["must_reads"][3].reason_code in {"taste", "reading_time"}


def test_a_language_without_articles_is_that_of_the_words_only(sample, recommender):
    page = recommender.recommend("u0007", as_of=sample.as_of, language="fr")
    plain = recommender.recommend("u0007", as_of=sample.as_of)
    assert (page.language, page.titles["must_reads"]) == ("fr", "À ne pas manquer")
    assert ids(page) == ids(plain)
    reasons = {slot.reason.partition(" : ")[0] for slot in page["popular_now"]}
    assert reasons <= {"Lu en ce moment", "Populaire aujourd’hui", "Populaire", "Nouveau"}
    unknown = recommender.recommend("u0007", as_of=sample.as_of, language="xx")
    assert (unknown.language, unknown.titles) == ("xx", plain.titles)


def test_pages_of_anonymous_users_are_kept_by_language(sample, recommender):
    german, english = (
        recommender.recommend(as_of=sample.as_of, language=language) for language in ("de", "en")
    )
    assert languages_of(german) == {"de"}
    assert recommender.recommend(as_of=sample.as_of, language="DE") is german
    assert recommender.recommend(as_of=sample.as_of) is english
    for page, language in ((german, "de"), (english, "en")):
        for slot in page["you_may_also_like"]:
            above = {other.article_id for other in slot.explanation.displaced}
            said = {recommender.article(a, as_of=sample.as_of).language for a in above}
            assert said <= {language}


def test_titles_are_in_the_language_asked_for_or_of_the_site(recommender):
    assert recommender.titles()["must_reads"] == "Must-Reads"
    assert recommender.titles(language="es")["must_reads"] == "Imprescindibles"
    with pytest.raises(ValueError, match="language must be a code"):
        recommender.titles(language="Spanish")
    assert recommender.titles(language="") == recommender.titles()


def test_the_settings_give_the_languages_of_site_and_layouts(sample_store, tmp_path):
    front = {"must_reads": ListConfig(), "dansk": ListConfig(scorer="latest", title="Dansk")}
    config = structs.replace(
        BY_HAND,
        page=PageConfig(language="de", languages={"front": "da"}),
        layouts={"front": front},
    )
    run_nightly(sample_store, tmp_path, as_of_ms=RECEIVED_MS, config=config)
    recommender, as_of = Recommender(tmp_path), from_ms(RECEIVED_MS)
    front = recommender.recommend("u0007", as_of=as_of)
    assert dict(front.titles) == {"must_reads": "Skal læses", "dansk": "Dansk"}
    assert (front.language, languages_of(front)) == ("da", {"de"})
    article = recommender.recommend("u0007", layout="article", as_of=as_of)
    assert (article.language, languages_of(article)) == ("de", {"de"})
    assert recommender.titles("article")["must_reads"] == "Das sollten Sie lesen"


def test_nothing_already_read_is_recommended(sample, recommender):
    with Store(sample.store) as store:
        query = (
            "SELECT article_id FROM clicks JOIN users USING (user_key)"
            " JOIN article_ids USING (article_key) WHERE user_id = ?"
        )
        for user_id in users_of(sample, 50):
            read = {row[0] for row in store._conn.execute(query, (user_id,))}
            assert not read & set(ids(recommender.recommend(user_id, as_of=sample.as_of)))


def test_strangers_get_a_good_page(sample, recommender):
    anonymous = recommender.recommend(as_of=sample.as_of)
    for page in (
        anonymous,
        recommender.recommend("unknown", as_of=sample.as_of),
        recommender.recommend(None, "no such article", as_of=sample.as_of),
        recommender.recommend("unknown", "no such article", recent_clicks=["no such"]),
    ):
        assert [len(page[name]) for name in LISTS] == [5, 5, 5, 6]
    assert ids(recommender.recommend("unknown", as_of=sample.as_of)) == ids(anonymous)


def test_you_may_also_like_is_about_the_article(sample, recommender):
    # a0030 is the first article about the coal exit date.
    page = recommender.recommend(None, "a0030", as_of=sample.as_of)
    first = page["you_may_also_like"][0]
    assert first.reason_code == "related"
    assert first.category == "Politics"
    assert first.parts["context_text"] > 1.0


def test_recent_clicks_count_at_once(sample, by_hand):
    recommender = Recommender(by_hand.folder)
    before = recommender.recommend("unknown", as_of=sample.as_of)
    after = recommender.recommend("unknown", recent_clicks=["a0030", "a0031"], as_of=sample.as_of)
    assert ids(before) != ids(after)
    assert not {"a0030", "a0031"} & set(ids(after))
    assert "because_read" in {slot.reason_code for slot in after["you_may_also_like"]}


def test_what_has_expired_is_gone_at_once_even_from_an_old_run(store, load, tmp_path):
    rows = [
        {
            "article_id": f"a{i}",
            "title": f"Title number {i} {'xyz'[i % 3]}",
            "published_at": "2026-03-01T00:00:00Z",
            "expires_at": "2026-03-03T00:00:00Z" if i % 2 else None,
        }
        for i in range(60)
    ]
    load({"a.jsonl": "".join(json.dumps(row) + "\n" for row in rows)})
    as_of = datetime(2026, 3, 2, tzinfo=UTC)
    run_nightly(store, tmp_path / "p", as_of_ms=to_ms(as_of), config=BY_HAND)
    recommender = Recommender(tmp_path / "p")
    odd = {f"a{i}" for i in range(1, 60, 2)}
    assert odd & set(ids(recommender.recommend(as_of=as_of)))
    later = recommender.recommend(as_of=as_of + timedelta(days=1))
    assert not odd & set(ids(later))
    assert [len(later[name]) for name in LISTS] == [5, 5, 5, 6]


@settings(deadline=None, max_examples=60)
@given(
    user=st.none() | st.sampled_from(["u0001", "u0007", "unknown"]) | st.text(max_size=5),
    article=st.none() | st.sampled_from(["a0030", "a0100", "a0279"]) | st.text(max_size=5),
    n=st.integers(1, 30),
    recent=st.lists(st.sampled_from(["a0001", "a0030", "a0150", "?"]), max_size=4),
    exclude=st.lists(st.sampled_from(["a0002", "a0031", "a0151", "?"]), max_size=4),
)
def test_any_ids_give_a_page_that_keeps_the_rules(
    sample, recommender, user, article, n, recent, exclude
):
    page = recommender.recommend(
        user, article, n=n, recent_clicks=recent, exclude=exclude, as_of=sample.as_of
    )
    found = ids(page)
    assert len(found) == len(set(found))
    assert not {article, *recent, *exclude} & set(found)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"user_id": 7.5}, TypeError),
        ({"article_id": b"a"}, TypeError),
        ({"recent_clicks": "a1"}, TypeError),
        ({"exclude": [None]}, TypeError),
        ({"n": 0}, ValueError),
        ({"n": 2.5}, ValueError),
        ({"lists": ["best_of"]}, ValueError),
    ],
)
def test_wrong_arguments_are_named(recommender, arguments, error):
    with pytest.raises(error, match=next(iter(arguments))):
        recommender.recommend(**arguments)


def test_one_list_alone_is_the_same_as_on_the_whole_page(sample, recommender):
    whole = recommender.recommend("u0001", "a0030", as_of=sample.as_of)
    for name in LISTS:
        alone = recommender.recommend("u0001", "a0030", lists=[name], as_of=sample.as_of)
        assert tuple(alone) == (name,)
        assert alone[name] == whole[name]


def test_nothing_published_says_which_command_to_run(tmp_path):
    with pytest.raises(NotPublishedError, match="recsys nightly"):
        recsys.recommend(published=tmp_path)


def test_the_plain_function_serves_the_same(sample, recommender):
    _recommender.cache_clear()
    page = recsys.recommend("u0001", published=sample.folder, as_of=sample.as_of)
    assert ids(page) == ids(recommender.recommend("u0001", as_of=sample.as_of))


def test_a_new_publish_is_followed_and_a_rollback_too(sample, tmp_path):
    with Store(sample.store) as store:
        as_of_ms = to_ms(sample.as_of)
        first = run_nightly(store, tmp_path, as_of_ms=as_of_ms, config=BY_HAND).run_id
        recommender = Recommender(tmp_path)
        assert recommender.recommend().run_id == first
        second = run_nightly(store, tmp_path, as_of_ms=as_of_ms, config=BY_HAND).run_id
    assert recommender.recommend("u0001").run_id == second
    published_folder.publish(tmp_path, first)
    assert recommender.recommend("u0001").run_id == first
    # A run that cannot be opened is not served: the last good one is.
    published_folder.run_path(tmp_path, second).write_bytes(b"damaged")
    (tmp_path / published_folder.POINTER).write_text(second)
    assert recommender.recommend("u0001").run_id == first
    found = recommender.health(as_of=sample.as_of)
    assert (found.run_id, found.hours, len(found.problems)) == (first, 0.0, 1)
    assert found.problems[0].startswith("not served: ")
    published_folder.publish(tmp_path, first)
    assert recommender.health(as_of=sample.as_of).problems == ()
    late = recommender.health(as_of=sample.as_of + timedelta(hours=37))
    assert late.problems == (
        f"{first} knows nothing of the last 37.0 hours;"
        " `recsys refresh` or `recsys nightly` publishes a newer run",
    )
    assert recommender.health(as_of=sample.as_of + timedelta(hours=37), max_hours=40).problems == ()


def test_threads_get_whole_pages_while_runs_change(sample, tmp_path):
    with Store(sample.store) as store:
        runs = [
            run_nightly(store, tmp_path, as_of_ms=to_ms(sample.as_of), config=BY_HAND).run_id
            for _ in range(2)
        ]
    recommender, errors, seen = Recommender(tmp_path), [], set()
    expected = ids(recommender.recommend("u0007", as_of=sample.as_of))

    def ask():
        try:
            for _ in range(60):
                page = recommender.recommend("u0007", as_of=sample.as_of)
                seen.add(page.run_id)
                assert ids(page) == expected
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for turn in range(20):
        published_folder.publish(tmp_path, runs[turn % 2])
    for thread in threads:
        thread.join()
    assert errors == []
    assert seen <= set(runs)


def test_lists_explore_by_the_chance_of_the_call(sample, recommender):
    plain = recommender.recommend("u0007", as_of=sample.as_of)
    assert {slot.propensity for slots in plain.values() for slot in slots} == {1.0}
    ask = functools.partial(recommender.recommend, "u0007", as_of=sample.as_of)
    page = ask(explore={"must_reads": 0.5, "popular_now": 0.0}, random_state=0)
    assert page == ask(explore={"must_reads": 0.5}, random_state=0)
    assert all(page[name] == plain[name] for name in page if name != "must_reads")
    pages = [ask(explore=0.5, random_state=seed) for seed in range(20)]
    assert len({tuple(ids(page)) for page in pages}) > 10
    for page in pages:
        assert len(set(ids(page))) == len(ids(page)) == len(ids(plain))
        for name, slots in page.items():
            assert slots[:-1] == plain[name][:-1]
            if slots[-1] == plain[name][-1]._replace(propensity=0.5):
                continue
            assert slots[-1].reason == "Something different"
            assert 0 < slots[-1].propensity < 0.01
            assert slots[-1].explanation.note.startswith("drawn at random")
    # An anonymous page explores too, though its page is kept.
    anonymous = recommender.recommend(as_of=sample.as_of, explore=1.0, random_state=1)
    assert {slots[-1].reason_code for slots in anonymous.values()} == {"explored"}
    assert recommender.recommend(as_of=sample.as_of) == recommender.recommend(
        as_of=sample.as_of, explore=0
    )


def test_lists_explore_by_the_chance_of_the_settings(sample_store, tmp_path):
    tables = {
        "page": {"explore": 1.0},
        "learn": {"days": 0},
        "layouts": {"article": {"you_may_also_like": {}, "must_reads": {"explore": 0.0}}},
    }
    config = config_of(tables, "test")
    run_nightly(sample_store, tmp_path, as_of_ms=RECEIVED_MS, config=config)
    recommender, as_of = Recommender(tmp_path), from_ms(RECEIVED_MS)
    page = recommender.recommend("u0007", as_of=as_of)
    codes = {name: slots[-1].reason_code for name, slots in page.items()}
    assert codes["you_may_also_like"] == "explored" != codes["must_reads"]
    page = recommender.recommend("u0007", as_of=as_of, explore=0)
    assert "explored" not in {slot.reason_code for slots in page.values() for slot in slots}


@pytest.fixture(scope="module")
def published(sample_store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    as_of_ms = RECEIVED_MS - 12 * HOUR_MS
    config = Config(learn=LearnConfig(days=2))
    report = run_nightly(sample_store, folder, as_of_ms=as_of_ms, config=config)
    return folder, as_of_ms, config, report


def test_rank_serves_the_features_that_the_curves_were_learned_from(sample_store, published):
    folder, as_of_ms, config, report = published
    recommender, curves = Recommender(folder), current_run(folder).rank.curves
    assert report.heads["ranking, nightly"].used
    assert curves
    past = PastRuns(sample_store, config)
    run = past.nightly(as_of_ms, as_of_ms)  # it knows no later texts, like the published run
    until_ms = as_of_ms + 2 * HOUR_MS
    features = impression_features(past, run, "nightly", from_ms=as_of_ms, before_ms=until_ms)
    parts = curve_parts(curves, features.choices.features)
    expected = np.sum(list(parts.values()), axis=0)
    shown = sample_store.impressions(from_ms=as_of_ms, before_ms=until_ms)
    users, articles = sample_store.users(), sample_store.articles(known_by_ms=2**60).id_map
    user_id_of = dict(zip(users.keys.tolist(), users.ids, strict=True))
    article_id_of = dict(zip(articles.keys.tolist(), articles.ids, strict=True))
    assert len(shown.shown_ms) > 5
    for row in range(len(shown.shown_ms)):
        inside = slice(shown.start[row], shown.start[row + 1])
        ids = [article_id_of[key] for key in shown.article_key[inside].tolist()]
        ranked = recommender.rank(
            user_id_of[int(shown.user_key[row])],
            ids,
            new=ids,  # learning takes an article that the run does not know as new
            article_id=article_id_of.get(int(shown.context_key[row])),
            as_of=from_ms(int(shown.shown_ms[row])),
        )
        score_of = {candidate.article_id: candidate.score for candidate in ranked}
        assert [score_of[i] for i in ids] == pytest.approx(expected[inside].tolist(), abs=2e-3)
        scores = [candidate.score for candidate in ranked]
        assert scores == sorted(scores, reverse=True)


def test_unknown_candidates_come_last_unless_the_caller_says_that_they_are_new(published):
    recommender = Recommender(published[0])
    at = datetime(2026, 3, 2, tzinfo=UTC)

    def order(candidates, new=()):
        found = recommender.rank("u0007", candidates, new=new, as_of=at)
        return [(ranked.article_id, ranked.score is None) for ranked in found]

    candidates = ["z9", "a0030", "b9", "a0031"]
    known = {"a0030", "a0031"}
    unknown = [("z9", True), ("b9", True)]  # in the order given
    assert order(candidates)[2:] == unknown
    assert dict(order(candidates)[:2]) == dict.fromkeys(known, False)
    assert order(candidates)[:2] == order([id_ for id_ in candidates if id_ in known])
    found = order(candidates, new=["b9", "a0030", "elsewhere"])
    assert dict(found[:3]) == dict.fromkeys([*known, "b9"], False)
    assert found[3:] == order(candidates, new={"b9"})[3:] == [("z9", True)]
    assert dict(recommender.rank(None, ["z9"], as_of=at)[0].parts) == {}
    assert recommender.rank("u0007", [], as_of=at) == ()
    fresh = recommender.rank("u0007", ["a0030", "a0031"], recent_clicks=["a0031"], as_of=at)
    plain = recommender.rank("u0007", ["a0030", "a0031"], as_of=at)
    assert dict(fresh[0].parts) != dict(plain[0].parts)
    with pytest.raises(ValueError, match="distinct"):
        recommender.rank("u0007", ["a0030", "a0030"])
    with pytest.raises(TypeError, match="candidates"):
        recommender.rank("u0007", "a0030")


def test_without_curves_rank_orders_by_the_linear_score(sample_store, tmp_path):
    config = Config(learn=LearnConfig(min_choices=10**6))
    run_nightly(sample_store, tmp_path, as_of_ms=RECEIVED_MS, config=config)
    recommender = Recommender(tmp_path)
    found = recommender.rank("u0007", ["a0030", "a0031", "unknown"], as_of=from_ms(RECEIVED_MS))
    assert {name for ranked in found for name in ranked.parts} <= set(signal_names())
    assert found[0].score >= found[1].score
    assert (found[2].article_id, found[2].score) == ("unknown", None)


def test_a_user_who_has_read_every_article_gets_an_empty_page_not_an_error(store, load, tmp_path):
    lines = [
        {"user_id": u, "article_id": f"a{i}", "clicked_at": "2026-03-01T10:00:00Z"}
        for u in ("all", "some")
        for i in range(3 if u == "some" else 6)
    ]
    load({"c.jsonl": "".join(json.dumps(line) + "\n" for line in lines)})
    as_of = datetime.fromisoformat("2026-03-02T00:00:00+00:00")
    run_nightly(store, tmp_path / "p", as_of_ms=to_ms(as_of), config=IDS_ALONE)
    page = Recommender(tmp_path / "p").recommend("all", as_of=as_of)
    assert [len(slots) for slots in page.values()] == [0, 0, 0, 0]
    assert [note.partition(":")[0] for note in page.notes] == list(LISTS)
