"""`recsys audience`, as it is typed."""

import csv
import json
import stat

import polars as pl
import pytest
from newsroom import AS_OF, BOTH, NIGHT, SAMPLE, STORE, at, copied, environment, run, well

from recsys import Recommender, hashed_user
from recsys.store.database import Store

ARTICLE, OTHER = "a0133", "a0150"
AT = (*BOTH, "--as-of", at(0))


@pytest.fixture
def here(newsroom, tmp_path):
    return copied(newsroom, tmp_path / "here")


def ids_of(here, article, *more):
    return [user["user_id"] for user in json.loads(well(here, *line(article, *more)).out)["users"]]


def line(article, *more):
    return "audience", article, *AT, *more, "--json"


def n_recorded(here):
    with Store(here / "s.db") as store:
        return store.size().tables["audiences"].rows


def test_it_prints_a_table_json_or_writes_a_file_with_the_same_users(here):
    whole = Recommender(here / "p").audience(ARTICLE, 5, as_of=AS_OF)
    found = json.loads(well(here, *line(ARTICLE, "--n", "5")).out)
    assert found["run_id"] == whole.run_id
    assert (found["article_id"], found["language"], found["day"]) == (ARTICLE, "en", "2026-03-02")
    assert found["is_recorded"] is True
    assert [user["user_id"] for user in found["users"]] == [u.user_id for u in whole.users]
    assert found["users"][0] == {
        "user_id": whole.users[0].user_id,
        "score": whole.users[0].score,
        "reason": whole.users[0].reason,
        "reason_code": whole.users[0].reason_code,
        "reason_values": dict(whole.users[0].reason_values),
    }

    printed = well(here, "audience", ARTICLE, *AT, "--n", "5").out
    for rank, user in enumerate(whole.users, start=1):
        (row,) = [text for text in printed.splitlines() if f" {user.user_id} " in text]
        assert f" {rank} " in row
        assert user.reason in row

    said = well(here, "audience", ARTICLE, *AT, "--n", "5", "--to", "push.csv").out
    assert said.splitlines() == [
        "wrote 5 rows to push.csv",
        "remembered for 2026-03-02: other articles of this day get other users"
        " (--dry-run remembers nothing)",
    ]
    assert stat.S_IMODE((here / "push.csv").stat().st_mode) == 0o600
    rows = list(csv.DictReader((here / "push.csv").read_text("utf-8").splitlines()))
    assert [(row["rank"], row["user_id"], row["reason"]) for row in rows] == [
        (str(rank), user.user_id, user.reason) for rank, user in enumerate(whole.users, start=1)
    ]
    assert list(rows[0]) == ["article_id", "rank", "user_id", "score", "reason", "reason_code"]
    for name, read in (("push.jsonl", pl.read_ndjson), ("push.parquet", pl.read_parquet)):
        well(here, "audience", ARTICLE, *AT, "--n", "5", "--to", name)
        assert read(here / name)["user_id"].to_list() == [u.user_id for u in whole.users]
    assert n_recorded(here) == 5


def test_a_user_is_chosen_for_one_article_a_day_by_default(here):
    first = ids_of(here, ARTICLE, "--n", "200")
    assert ids_of(here, ARTICLE, "--n", "200") == first
    printed = well(here, "audience", OTHER, *AT, "--dry-run", "--n", "10000").out
    assert "left out: 200 users, chosen for other articles on 2026-03-02 already" in printed
    assert "users; there are no others who have not read it" in printed
    dry = json.loads(well(here, *line(OTHER, "--n", "200", "--dry-run")).out)
    assert (dry["is_recorded"], dry["n_chosen_often"]) == (False, 200)
    assert n_recorded(here) == 200
    second = ids_of(here, OTHER, "--n", "200")
    assert not set(first) & set(second)
    assert set(first) & set(ids_of(here, OTHER, "--n", "10000", "--per-day", "2", "--dry-run"))


def test_what_cannot_be_answered_is_one_line_and_a_status(here):
    for more, status, says in (
        (("nope", *AT), 1, "does not know the article 'nope': check the id"),
        ((ARTICLE, *BOTH, "--as-of", at(-24 * 300)), 1, "not published yet"),
        ((ARTICLE, *AT, "--n", "0"), 2, "greater than or equal to 1"),
        ((ARTICLE, *AT, "--per-day", "0"), 2, "greater than or equal to 1"),
        ((ARTICLE, *AT, "--to", "push.xls"), 2, "--to must end in one of .csv"),
        ((ARTICLE, *AT, "--to", "no/push.csv"), 2, "there is no folder no"),
        ((ARTICLE, *AT, "--to", "push.csv", "--json"), 2, "leave out --json"),
        ((ARTICLE, *AT, "--language", "?"), 2, "language must be a code"),
        ((ARTICLE, "--store", "none.db", *AT[2:]), 1, "there is no store here"),
        ((ARTICLE, *STORE, "--published", "none"), 1, "nothing is published here"),
    ):
        done = run(here, "audience", *more)
        assert (done.status, done.out) == (status, ""), more
        assert says in " ".join(done.said.split()), done.said
    assert n_recorded(here) == 0


def test_a_forgotten_user_is_in_no_audience(here):
    first = ids_of(here, ARTICLE, "--n", "5")
    assert "1 audiences" in well(here, "forget", first[0], *BOTH).out
    assert ids_of(here, ARTICLE, "--n", "4") == first[1:]
    assert n_recorded(here) == 4


@pytest.mark.slow
def test_hashed_ids_stay_hashed(here, tmp_path):
    env = environment(RECSYS_USER_KEY="a secret of the newsroom")
    plain = ids_of(here, ARTICLE, "--n", "5")
    hashed = tmp_path / "hashed"
    hashed.mkdir()
    (hashed / "c.toml").write_text((here / "c.toml").read_text())
    assert run(hashed, "ingest", SAMPLE, *STORE, "--hash-users", env=env).status == 0
    assert run(hashed, *NIGHT, at(0), env=env).status == 0
    found = ids_of(hashed, ARTICLE, "--n", "5")
    assert set(found) == {hashed_user(user, b"a secret of the newsroom") for user in plain}


def test_a_user_is_chosen_for_at_most_1000_articles_a_day(here):
    refused = run(here, *line(ARTICLE, "--per-day", "1001"))
    assert refused.status == 2
    assert "--per-day" in refused.said
    assert "1000" in refused.said
