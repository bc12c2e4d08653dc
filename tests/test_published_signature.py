"""Signed runs: whatever is changed without the key is not served."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from conftest import BY_HAND, RECEIVED_MS
from hypothesis import given
from hypothesis import strategies as st

from recsys import Recommender, SnapshotError
from recsys.errors import ConfigError
from recsys.ingest.detect import expand
from recsys.ingest.load_files import load_files
from recsys.nightly.run import run_nightly
from recsys.operations.compare_runs import compare_runs
from recsys.operations.export_rows import export_rows
from recsys.operations.forget_user import forget_user
from recsys.operations.rulebook import Rulebook
from recsys.page.rules import Rule
from recsys.published import folder as published_folder
from recsys.published import user_deletion
from recsys.published.connection import connect
from recsys.published.run_file import digest_of, digest_of_about, read_about, verify
from recsys.published.signature import is_mac_of, mac_of
from recsys.published.user_rows import digest_of_user
from recsys.rows import to_ms
from recsys.store.database import Store

KEY, OTHER = b"the key of the night", b"another key than that"
UNSIGNED = "not signed with the key of RECSYS_RUN_KEY"


@pytest.fixture(scope="module")
def made(by_hand, tmp_path_factory):
    """A store, a folder with a signed nightly run and a signed refresh of it, and both ids."""
    path = tmp_path_factory.mktemp("signed")
    shutil.copy(by_hand.store, path / "s.db")
    as_of_ms = to_ms(by_hand.as_of)
    late = {"user_id": "u0007", "article_id": "a0001", "clicked_at": as_of_ms + 1000}
    (path / "log.jsonl").write_text(json.dumps(late))
    with Store(path / "s.db") as store:
        load_files(store, expand([path / "log.jsonl"]), received_ms=RECEIVED_MS + 10_000)
        for kind, ms in (("nightly", as_of_ms), ("refresh", as_of_ms + 2000)):
            run_nightly(store, path / "p", as_of_ms=ms, config=BY_HAND, kind=kind, run_key=KEY)
    night, refresh = published_folder.run_ids(path / "p")
    return path, night, refresh


@pytest.fixture
def signed(made, tmp_path):
    """A copy of it that a test may change."""
    path, night, refresh = made
    shutil.copytree(path, tmp_path / "copy")
    return tmp_path / "copy", night, refresh


def change(path, *statements):
    with closing(sqlite3.connect(path, isolation_level=None)) as conn:
        for statement, values in statements:
            assert conn.execute(statement, values).rowcount >= 1


def user_row(path):
    with closing(sqlite3.connect(path)) as conn:
        return conn.execute(
            "SELECT user_id, profile, page, digest FROM users ORDER BY user_id LIMIT 1"
        ).fetchone()


def change_about(path):
    with closing(connect(path)) as conn:
        rows = conn.execute("SELECT key, value FROM meta")
        about = {key: json.loads(value) for key, value in rows}
    about["weights"] |= {"als": 99.0}
    about["digest"] = digest_of_about(about)
    change(
        path,
        *(
            ("UPDATE meta SET value = ? WHERE key = ?", (json.dumps(about[key]), key))
            for key in ("weights", "digest")
        ),
    )


def change_array(path):
    with closing(sqlite3.connect(path)) as conn:
        (data,) = conn.execute("SELECT data FROM arrays WHERE name = 'importance'").fetchone()
    data = bytes([data[0] ^ 1]) + data[1:]
    query = "UPDATE arrays SET data = ?, digest = ? WHERE name = 'importance'"
    change(path, (query, (data, digest_of(data))))


def change_shape(path):
    change(path, ("UPDATE arrays SET dtype = '>f8' WHERE name = 'importance'", ()))


def change_articles(path):
    with closing(sqlite3.connect(path)) as conn:
        (data,) = conn.execute("SELECT data FROM articles WHERE name = 'url'").fetchone()
    data = data.replace(b"https", b"httpx", 1)
    query = "UPDATE articles SET data = ?, digest = ? WHERE name = 'url'"
    change(path, (query, (data, digest_of(data))))


def rename_run(path):
    other = path.with_name("000009-x.sqlite")
    shutil.copy(path, other)
    path.with_name("current").write_text("000009-x\n")


def swap_runs(path):
    first = min(path.parent.glob("*.sqlite"))
    content = first.read_bytes()
    first.write_bytes(path.read_bytes())
    path.write_bytes(content)


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    "harm", [change_about, change_array, change_shape, change_articles, rename_run, truncate]
)
def test_a_refresh_changed_without_the_key_is_not_served(harm, signed, by_hand):
    path, night, refresh = signed
    serving = Recommender(path / "p", run_key=KEY)
    harm(published_folder.run_path(path / "p", refresh))
    published_folder.touch_pointer(path / "p")
    starting = Recommender(path / "p", run_key=KEY)
    assert starting.run.meta.run_id in (night, refresh)
    health = starting.health(as_of=by_hand.as_of)
    assert len(health.problems) == 1, health
    if harm not in (truncate,):
        assert UNSIGNED in health.problems[0]
    # One that runs goes on with what it has in memory.
    page = serving.recommend("u0007", as_of=by_hand.as_of)
    assert page.run_id == refresh
    assert serving.health(as_of=by_hand.as_of).problems


def test_runs_that_are_swapped_are_not_served(signed):
    path, _, refresh = signed
    swap_runs(published_folder.run_path(path / "p", refresh))
    with pytest.raises(SnapshotError, match=UNSIGNED):
        Recommender(path / "p", run_key=KEY)
    Recommender(path / "p")  # the digests are right


def test_a_base_run_that_is_not_signed_takes_its_refresh_along(signed):
    path, night, _ = signed
    change_array(published_folder.run_path(path / "p", night))
    with pytest.raises(SnapshotError, match=f"{night}.*{UNSIGNED}"):
        Recommender(path / "p", run_key=KEY)


def taken_from_another_user(row, other):
    return "UPDATE users SET profile = ?, page = ?, digest = ? WHERE user_id = ?", (
        *other[1:],
        row[0],
    )


def with_right_fingerprint(row, _):
    profile = row[1] + b"\0"
    digest = digest_of_user(row[0], profile, row[2]) + row[3][8:]
    return "UPDATE users SET profile = ?, digest = ? WHERE user_id = ?", (profile, digest, row[0])


def without_signature(row, _):
    return "UPDATE users SET digest = ? WHERE user_id = ?", (row[3][:8], row[0])


def bytes_moved_from_profile_to_page(row, _):
    return "UPDATE users SET profile = ?, page = ? WHERE user_id = ?", (
        row[1][:-1],
        row[1][-1:] + row[2],
        row[0],
    )


def deleted(row, _):
    return "DELETE FROM users WHERE user_id = ?", (row[0],)


@pytest.mark.parametrize(
    "harm",
    [
        taken_from_another_user,
        with_right_fingerprint,
        without_signature,
        bytes_moved_from_profile_to_page,
        deleted,
    ],
)
def test_a_user_whose_row_was_changed_gets_the_page_of_a_stranger(harm, signed, by_hand):
    path, night, _ = signed
    file = published_folder.run_path(path / "p", night)
    with closing(sqlite3.connect(file)) as conn:
        rows = conn.execute(
            "SELECT user_id, profile, page, digest FROM users WHERE page IS NOT NULL"
            " ORDER BY user_id LIMIT 2"
        ).fetchall()
    published_folder.publish(path / "p", night, KEY)
    change(file, harm(*rows))
    recommender = Recommender(path / "p", run_key=KEY)
    page = recommender.recommend(rows[0][0], as_of=by_hand.as_of)
    assert dict(page) == dict(recommender.recommend(as_of=by_hand.as_of))
    problems = recommender.health(as_of=by_hand.as_of).problems
    assert len(problems) == (harm is not deleted)  # to a server a user without a row is unknown
    with pytest.raises(SnapshotError, match="not signed|damaged"):
        verify(file, KEY)


@pytest.mark.parametrize("key", [OTHER, KEY + b"x"])
def test_another_key_refuses_all_and_says_why_without_the_key(key, signed):
    path, *_ = signed
    with pytest.raises(SnapshotError, match=UNSIGNED) as refused:
        Recommender(path / "p", run_key=key)
    assert "key of the night" not in str(refused.value)
    with pytest.raises(ConfigError, match="16 to 64 bytes"):
        Recommender(path / "p", run_key=b"short")


def test_the_key_of_the_environment_is_that_of_a_server(signed, monkeypatch):
    path, *_ = signed
    monkeypatch.setenv("RECSYS_RUN_KEY", OTHER.decode())
    with pytest.raises(SnapshotError, match=UNSIGNED):
        Recommender(path / "p")
    monkeypatch.setenv("RECSYS_RUN_KEY", KEY.decode())
    Recommender(path / "p")


def test_without_a_key_signed_runs_are_served_and_an_unsigned_run_is_as_ever(signed, by_hand):
    path, night, _ = signed
    assert Recommender(path / "p").health(as_of=by_hand.as_of).problems == ()
    run = published_folder.run_path(by_hand.folder, by_hand.report.run_id)
    with closing(connect(run)) as conn:
        assert "signature" not in read_about(conn, run)
    with pytest.raises(SnapshotError, match=UNSIGNED):
        Recommender(by_hand.folder, run_key=KEY)
    found = compare_runs(path / "p", night, by_hand.report.run_id, second_folder=by_hand.folder)
    assert found.is_same  # the signature is no part of what a run knows


def test_what_is_signed_is_not_changed_without_the_key(signed, by_hand):
    path, night, refresh = signed
    with Store(path / "s.db") as store:
        for kind in ("nightly", "refresh"):
            with pytest.raises(SnapshotError, match="is signed; set RECSYS_RUN_KEY"):
                run_nightly(store, path / "p", as_of_ms=to_ms(by_hand.as_of) + 5000, kind=kind)
        with pytest.raises(SnapshotError, match="is signed; set RECSYS_RUN_KEY"):
            Rulebook(store, path / "p").publish_rules()
        with pytest.raises(SnapshotError, match="is signed; set RECSYS_RUN_KEY"):
            published_folder.publish(path / "p", night)
        found = forget_user(store, path / "p", "u0007")
        assert found.runs == {}
        assert len(found.problems) == 2  # both runs keep the user
        assert all("set RECSYS_RUN_KEY" in problem for problem in found.problems)
    assert published_folder.current_run(path / "p", KEY) == refresh


def test_forget_signs_again_and_signs_nothing_that_was_changed(signed, by_hand):
    path, night, refresh = signed
    recommender = Recommender(path / "p", run_key=KEY)
    change_array(published_folder.run_path(path / "p", refresh))
    with Store(path / "s.db") as store:
        found = forget_user(store, path / "p", "u0007", run_key=KEY)
    assert (len(found.runs), found.problems, found.left) == (2, [], {})
    verify(published_folder.run_path(path / "p", night), KEY)
    with pytest.raises(SnapshotError, match=UNSIGNED):
        verify(published_folder.run_path(path / "p", refresh), KEY)
    assert not recommender.knows_user("u0007") or recommender.run.meta.run_id == refresh
    published_folder.publish(path / "p", night, KEY)
    assert not recommender.knows_user("u0007")
    assert recommender.knows_user("u0008")
    assert recommender.health(as_of=by_hand.as_of).problems == ()


def test_forget_signs_what_it_checked_and_not_what_its_copy_holds_by_then(signed, monkeypatch):
    path, night, _ = signed
    file, replaced = published_folder.run_path(path / "p", night), []

    def swapped(conn, *rest):
        """Write the signature after others have changed the copy."""
        (_, _, name) = conn.execute("PRAGMA database_list").fetchone()
        change_array(Path(name))
        replaced.append(name)
        put(conn, *rest)

    put = user_deletion.put_signature
    monkeypatch.setattr(user_deletion, "put_signature", swapped)
    assert user_deletion.forget(path / "p", "u0011", KEY) == ({str(file): 1}, [])
    assert replaced == [str(file.with_suffix(".partial"))]
    verify(file)  # the digests are right
    with pytest.raises(SnapshotError, match=UNSIGNED):
        verify(file, KEY)


@pytest.mark.parametrize("harm", [deleted, without_signature])
def test_forget_does_not_sign_a_run_whose_users_others_have_changed(harm, signed):
    path, night, _ = signed
    file = published_folder.run_path(path / "p", night)
    row = user_row(file)
    change(file, harm(row, None))
    forgotten = "u0011" if harm is deleted else row[0]
    assert row[0] != "u0011"
    assert str(file) in user_deletion.forget(path / "p", forgotten, KEY)[0]
    with pytest.raises(SnapshotError, match=UNSIGNED):
        connect(file, KEY)


def test_a_refresh_builds_on_signed_runs_alone_and_a_rollback_signs_the_pointer(signed, by_hand):
    path, night, refresh = signed
    as_of_ms = to_ms(by_hand.as_of)
    (path / "p" / "current").write_text(night + "\n")  # without the signature
    recommender = Recommender(path / "p", run_key=KEY)
    assert UNSIGNED in recommender.health(as_of=by_hand.as_of).problems[0]
    with Store(path / "s.db") as store:
        with pytest.raises(SnapshotError, match=f"current: {UNSIGNED}; `recsys rollback RUN`"):
            run_nightly(store, path / "p", as_of_ms=as_of_ms + 5000, kind="refresh", run_key=KEY)
        published_folder.publish(path / "p", night, KEY)
        assert recommender.run.meta.run_id == night
        assert recommender.health(as_of=by_hand.as_of).problems == ()
        built = run_nightly(
            store, path / "p", as_of_ms=as_of_ms + 5000, kind="refresh", run_key=KEY
        )
        assert recommender.run.meta.run_id == built.run_id
        change_about(published_folder.run_path(path / "p", built.run_id))
        with pytest.raises(SnapshotError, match=UNSIGNED):
            run_nightly(store, path / "p", as_of_ms=as_of_ms + 9000, kind="refresh", run_key=KEY)
        with pytest.raises(SnapshotError, match=UNSIGNED):
            published_folder.publish(path / "p", built.run_id, KEY)
    with pytest.raises(SnapshotError, match=UNSIGNED):
        next(export_rows(path / "p", as_of=by_hand.as_of, run_key=KEY))
    assert refresh in published_folder.run_ids(path / "p")


def test_a_new_key_takes_over_with_the_next_night(signed, by_hand):
    path, *_ = signed
    before = Recommender(path / "p", run_key=KEY)
    with Store(path / "s.db") as store:
        built = run_nightly(
            store, path / "p", as_of_ms=to_ms(by_hand.as_of) + 5000, config=BY_HAND, run_key=OTHER
        )
    after = Recommender(path / "p", run_key=OTHER)
    assert (after.run.meta.run_id, after.health(as_of=by_hand.as_of).problems) == (built.run_id, ())
    # Servers with the old key go on with what they have.
    assert before.recommend("u0007", as_of=by_hand.as_of).run_id != built.run_id
    assert before.health(as_of=by_hand.as_of).problems


def test_rules_are_signed_and_the_last_signed_ones_hold(signed, by_hand):
    path, *_ = signed
    now_ms = to_ms(by_hand.as_of)
    rule = Rule(kind="block", value="a0031", author="jo", reason="wrong", starts_ms=now_ms - 1000)
    serving = Recommender(path / "p", run_key=KEY)
    assert serving.article("a0031", as_of=by_hand.as_of) is not None
    with Store(path / "s.db") as store:
        Rulebook(store, path / "p", KEY).add(rule, now_ms=now_ms)
    assert serving.article("a0031", as_of=by_hand.as_of) is None
    file = path / "p" / published_folder.RULES
    signed_rules = json.loads(file.read_text())["rules"]
    for harm in (
        lambda: file.write_text("[]"),
        lambda: file.write_text(json.dumps(signed_rules)),
        lambda: file.write_text(file.read_text().replace("a0031", "a0032")),
        lambda: file.write_text('{"signature": "zz", "rules": []}'),
        lambda: file.unlink(),
    ):
        good = file.read_text()
        harm()
        for recommender in (serving, Recommender(path / "p", run_key=KEY)):
            assert recommender.article("a0031", as_of=by_hand.as_of) is None
            problems = recommender.health(as_of=by_hand.as_of).problems
            assert len(problems) == 1
            assert "rules.json" in problems[0]
        file.write_text(good)
    for name in (published_folder.RULES, published_folder.RULES_COPY):
        (path / "p" / name).unlink()
    assert serving.article("a0031", as_of=by_hand.as_of) is None
    with pytest.raises(SnapshotError, match="`recsys rules list"):
        Recommender(path / "p", run_key=KEY)
    with Store(path / "s.db") as store:
        Rulebook(store, path / "p", KEY).publish_rules()
    starting = Recommender(path / "p", run_key=KEY)
    assert starting.article("a0031", as_of=by_hand.as_of) is None
    assert Recommender(path / "p").article("a0031", as_of=by_hand.as_of) is None


@given(st.lists(st.binary(max_size=4), max_size=4), st.lists(st.binary(max_size=4), max_size=4))
def test_two_lists_of_parts_have_one_signature_only_if_they_are_the_same(parts, others):
    assert is_mac_of(mac_of(KEY, *parts), KEY, *others) == (parts == others)
    assert not is_mac_of(mac_of(KEY, *parts), OTHER, *parts)
