"""The users likeliest to click an article: all of them, by plain functions, one at a time."""

import json
import shutil
import sqlite3
from contextlib import closing
from datetime import timedelta

import numpy as np
import pytest
from conftest import rule
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys import Recommender
from recsys.blend.audience import PRIOR_READS
from recsys.blend.linear import score_parts, total_score
from recsys.blend.signal_table import signal_names
from recsys.errors import ArticleError
from recsys.page.build import NOTHING
from recsys.page.list_table import SCORERS
from recsys.page.reasons import closest_read, leading_signal, reason_code
from recsys.published import folder as published_folder
from recsys.published.connection import connect
from recsys.published.run_file import digest_of_about
from recsys.published.user_rows import digest_of_user, load_profiles

EVERYBODY = 10**6


def ids(audience):
    return [user.user_id for user in audience.users]


def live_ids(run):
    return [run.articles[row].article_id for row in run.model.live.live_rows.tolist()]


def states(run):
    """The state of every user that a run knows, by id."""
    packed = {}
    for path in reversed(run.paths):  # the refresh last: it has the newer profiles
        with closing(connect(path)) as conn:
            packed |= dict(load_profiles(conn, path))
    return {user_id: run.users.state(profile) for user_id, profile in packed.items()}


def plain_audience(run, users, article_id):
    """The users for an article, best first, by the functions that make one page."""
    live = run.model.live
    article = live_ids(run).index(article_id)
    found = []
    for user_id, user in users.items():
        if not run.builder.closed(user, None, NOTHING)[article]:
            scores = total_score(score_parts(live, user, None), len(live.live_rows))
            found.append((-float(scores[article]) - np.log(PRIOR_READS + len(user.read)), user_id))
    return [(user_id, -score) for score, user_id in sorted(found)]


def is_same(audience, plain):
    """Whether users and scores are those of the twin, whose sums differ in the last digits."""
    assert sorted(ids(audience)) == sorted(user_id for user_id, _ in plain)
    scores = dict(plain)
    found = [scores[user_id] for user_id in ids(audience)]
    assert (np.diff(found) <= 1e-4).all()
    assert [user.score for user in audience.users] == pytest.approx(found, abs=2e-4)
    own = [(-user.score, user.user_id) for user in audience.users]
    assert [score for score, _ in own] == sorted(score for score, _ in own)
    return True


def test_it_is_exact_over_all_users(recommender, sample):
    run = recommender.run
    users = states(run)
    for article_id in live_ids(run)[::40]:
        plain = plain_audience(run, users, article_id)
        assert 0 < len(plain) < len(users)  # some have read it
        whole = recommender.audience(article_id, EVERYBODY, as_of=sample.as_of)
        assert is_same(whole, plain)
        assert (whole.run_id, whole.article_id) == (run.meta.run_id, article_id)
        for n in (1, 10, 500):
            few = recommender.audience(article_id, n, as_of=sample.as_of)
            assert few.users == whole.users[:n]


def test_of_a_refresh_the_newest_profile_of_each_user_counts(refreshed, sample):
    recommender = Recommender(refreshed[0])
    run = recommender.run
    assert run.meta.base is not None
    users = states(run)
    for article_id in live_ids(run)[::50]:
        audience = recommender.audience(article_id, EVERYBODY, as_of=sample.as_of)
        assert is_same(audience, plain_audience(run, users, article_id))


def test_users_who_read_the_article_or_a_copy_are_left_out(recommender, sample):
    run = recommender.run
    story, users = run.model.story, states(run)
    of_several = np.flatnonzero(story != np.arange(len(story))).tolist()
    assert of_several
    for article in of_several[:3]:
        copies = set(np.flatnonzero(story == story[article]).tolist())
        readers = {user_id for user_id, user in users.items() if copies & set(user.read.tolist())}
        article_id = live_ids(run)[article]
        found = ids(recommender.audience(article_id, EVERYBODY, as_of=sample.as_of))
        assert set(found) == users.keys() - readers
        assert len(set(found)) == len(found)


@settings(max_examples=20)
@given(st.data())
def test_users_to_leave_out_are_left_out_and_others_take_their_places(recommender, sample, data):
    article_id = data.draw(st.sampled_from(live_ids(recommender.run)))
    whole = recommender.audience(article_id, EVERYBODY, as_of=sample.as_of)
    excluded = data.draw(st.sets(st.sampled_from(ids(whole)[:30])))
    n = data.draw(st.integers(1, 40))
    found = recommender.audience(article_id, n, exclude=excluded, as_of=sample.as_of)
    assert found.users == tuple(u for u in whole.users if u.user_id not in excluded)[:n]


def rewritten(sample, tmp_path, change):
    """A server of a copy of the sample, whose table of users was changed by `change(conn)`."""
    folder = tmp_path / "published"
    shutil.copytree(sample.folder, folder)
    path = published_folder.run_path(folder, sample.report.run_id)
    with closing(sqlite3.connect(path)) as conn, conn:
        change(conn)
    return Recommender(folder)


def test_the_order_of_the_profiles_changes_nothing(recommender, sample, tmp_path):
    def reverse(conn):
        rows = conn.execute("SELECT * FROM users ORDER BY user_id DESC").fetchall()
        conn.execute("DELETE FROM users")
        conn.executemany("INSERT INTO users VALUES (?, ?, ?, ?)", rows)

    turned = rewritten(sample, tmp_path, reverse)
    for article_id in live_ids(recommender.run)[::60]:
        for n in (7, EVERYBODY):
            before, after = (
                of.audience(article_id, n, as_of=sample.as_of) for of in (recommender, turned)
            )
            assert before == after


def test_equal_users_are_in_the_order_of_their_ids(recommender, sample, tmp_path):
    article_id = live_ids(recommender.run)[0]
    (best,) = recommender.audience(article_id, 1, as_of=sample.as_of).users

    def double(conn):
        query = "SELECT profile, page FROM users WHERE user_id = ?"
        of_user = conn.execute(query, (best.user_id,)).fetchone()
        for user_id in ("z", "A", "m"):
            digest = digest_of_user(user_id, *of_user)
            conn.execute("INSERT INTO users VALUES (?, ?, ?, ?)", (user_id, *of_user, digest))

    found = rewritten(sample, tmp_path, double).audience(article_id, 4, as_of=sample.as_of)
    assert ids(found) == sorted(["z", "A", "m", best.user_id])
    assert {user.score for user in found.users} == {best.score}


def test_a_user_whose_row_is_damaged_is_left_out_and_health_reports_it(
    recommender, sample, tmp_path
):
    article_id = live_ids(recommender.run)[0]
    whole = ids(recommender.audience(article_id, EVERYBODY, as_of=sample.as_of))

    def damage(conn):  # the digest is wrong; a profile too short; both among the best
        conn.execute("UPDATE users SET digest = x'00' WHERE user_id = ?", (whole[1],))
        conn.execute("UPDATE users SET profile = x'00' WHERE user_id = ?", (whole[2],))

    damaged = rewritten(sample, tmp_path, damage)
    assert damaged.health(as_of=sample.as_of).problems == ()
    found = ids(damaged.audience(article_id, 5, as_of=sample.as_of))
    assert found == [whole[0], *whole[3:7]]
    (problem,) = damaged.health(as_of=sample.as_of).problems
    assert "damaged" in problem
    assert "`recsys rollback`" in problem


def test_bots_that_a_refresh_found_are_left_out(recommender, sample, tmp_path):
    article_id = live_ids(recommender.run)[0]
    whole = ids(recommender.audience(article_id, EVERYBODY, as_of=sample.as_of))

    def call_a_bot(conn):
        about = {k: json.loads(v) for k, v in conn.execute("SELECT key, value FROM meta")}
        about["bots"] = [whole[0]]
        about["digest"] = digest_of_about(about)
        for key in ("bots", "digest"):
            conn.execute("UPDATE meta SET value = ? WHERE key = ?", (json.dumps(about[key]), key))

    found = rewritten(sample, tmp_path, call_a_bot)
    assert ids(found.audience(article_id, 3, as_of=sample.as_of)) == whole[1:4]


def test_a_reason_is_what_the_article_owes_to_the_user_where_there_is_anything(recommender, sample):
    run = recommender.run
    users = states(run)
    static = run.model.live.static_parts()
    centred = {name: part - part.mean() for name, part in static.items()}
    seen = set()
    for article, article_id in list(enumerate(live_ids(run)))[::25]:
        for user in recommender.audience(article_id, 20, language="en", as_of=sample.as_of).users:
            built = run.builder.page(users[user.user_id], None, run.builder.layouts["article"])
            section = run.model.live.category
            n_reads = sum(
                section[read] == section[run.model.live.live_rows[article]]
                for read in users[user.user_id].reads.tolist()
            )
            personal = {
                name: built.parts[name][[article]]
                for name in signal_names("personal")
                if name in built.parts and built.parts[name][article] > 0
            }
            if n_reads < 3:  # read less often than "You often read" says
                personal.pop("affinity", None)
            parts = personal or {n: p[[article]] for n, p in centred.items()}
            leads = leading_signal(parts)
            has_section = bool(run.builder.rankings.section[article] > 0)
            code = reason_code(SCORERS["personal"], leads, has_section=has_section, rises=False)
            assert user.reason_code in (code, "taste")
            if user.reason_code == "because_read":
                read = closest_read(run.model.live, users[user.user_id].reads, article, leads)
                title = run.articles[read].title
                assert user.reason == f"Because you read “{title}”"
                assert user.reason_values == {"title": title}
            seen.add(user.reason_code)
    assert seen >= {"because_read", "section_taste"}
    german, french = (
        recommender.audience(article_id, 5, language=language, as_of=sample.as_of)
        for language in ("de-AT", "fr")
    )
    assert (german.language, french.language) == ("de", "fr")
    assert ids(german) == ids(french)
    reasons = [{user.reason for user in found.users} for found in (german, french)]
    assert reasons[0].isdisjoint(reasons[1])


def test_a_reason_names_no_article_that_a_rule_withholds(recommender, sample, folder):
    run = recommender.run
    named = [
        (article_id, user)
        for article_id in live_ids(run)[::10]
        for user in recommender.audience(article_id, 5, as_of=sample.as_of).users
        if user.reason_code == "because_read"
    ]
    article_id, user = named[0]
    title = user.reason_values["title"]
    blocked = next(a.article_id for a in run.articles if a.title == title)
    published_folder.write_rules(folder, [rule("block", blocked)])
    shutil.copy(run.paths[0], folder / run.paths[0].name)
    (folder / "current").write_text(run.meta.run_id)
    found = Recommender(folder).audience(article_id, 5, as_of=sample.as_of)
    assert ids(found) == ids(recommender.audience(article_id, 5, as_of=sample.as_of))
    assert all(title not in other.reason for other in found.users)


def refused(recommender, article_id, as_of):
    with pytest.raises(ArticleError) as caught:
        recommender.audience(article_id, 5, as_of=as_of)
    return str(caught.value)


def test_an_article_that_may_not_be_recommended_is_refused_with_the_remedy(
    recommender, sample, folder
):
    run, as_of = recommender.run, sample.as_of
    said = refused(recommender, "nope", as_of)
    assert said.startswith(f"{run.meta.run_id} does not know the article 'nope'")
    assert "`recsys refresh`" in said
    not_live = next(a for a in run.articles.column("article_id") if a not in live_ids(run))
    assert "no longer live" in refused(recommender, not_live, as_of)
    early = as_of - timedelta(days=3000)
    assert "not published yet" in refused(recommender, live_ids(run)[0], early)
    article_id = live_ids(Recommender(folder).run)[0]
    until = {"ends_ms": 2**42}
    for kind, more in (("block", {}), ("embargo", until), ("expire", {}), ("sensitive", {})):
        published_folder.write_rules(folder, [rule(kind, article_id, **more)])
        assert "recsys rules end" in refused(Recommender(folder), article_id, as_of), kind
    in_a_list = [rule("block", article_id, list_name="popular_now")]
    published_folder.write_rules(folder, in_a_list)
    assert Recommender(folder).audience(article_id, 5, as_of=as_of).users


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"n": 0}, "n must be a whole number of at least 1, got 0"),
        ({"n": 1.5}, "n must be a whole number"),
        ({"exclude": "u1"}, "exclude must be a list of user ids, got one text"),
        ({"exclude": [None]}, "exclude must hold ids only"),
        ({"language": "?"}, "language must be a code"),
        ({"as_of": "now"}, "as_of must be a datetime"),
    ],
)
def test_wrong_arguments_are_refused(recommender, sample, given, said):
    with pytest.raises((TypeError, ValueError), match=said[:20]) as caught:
        recommender.audience(live_ids(recommender.run)[0], **({"as_of": sample.as_of} | given))
    assert said in str(caught.value)
