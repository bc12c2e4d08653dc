"""Choosing who shall hear of an article: no user too often in a day, the same answer twice."""

import shutil
from datetime import datetime, timedelta

import polars as pl
import pytest
from conftest import BY_HAND, rule
from test_operations_forget_user import holding

from recsys import Recommender
from recsys.config import Config, IngestConfig
from recsys.errors import ArticleError, StoreError
from recsys.ingest.frames import add_frame
from recsys.nightly.run import run_nightly
from recsys.operations.choose_audience import choose_audience
from recsys.operations.forget_user import forget_user
from recsys.published import folder as published_folder
from recsys.rows import to_ms
from recsys.store.database import Store


@pytest.fixture
def here(by_hand, tmp_path):
    """The store and the folder of the sample, to be changed."""
    shutil.copy(by_hand.store, tmp_path / "recsys.db")
    shutil.copytree(by_hand.folder, tmp_path / "published")
    with Store(tmp_path / "recsys.db") as store:
        yield store, Recommender(tmp_path / "published")


@pytest.fixture
def articles(here):
    run = here[1].run
    return [run.articles[row].article_id for row in run.model.live.live_rows[:80:20].tolist()]


@pytest.fixture
def choose(here, by_hand):
    def chosen(article_id, n=20, *, per_day=1, as_of=by_hand.as_of, **options):
        choice = choose_audience(*here, article_id, n, per_day=per_day, as_of=as_of, **options)
        return [user.user_id for user in choice.audience.users]

    return chosen


@pytest.mark.parametrize("per_day", [1, 2])
def test_no_user_is_chosen_for_more_articles_than_the_cap(choose, articles, here, per_day, by_hand):
    chosen = {}  # by article, the users that it must get
    for article_id in [*articles, articles[0], articles[2]]:
        others = [users for other, users in chosen.items() if other != article_id]
        whole = here[1].audience(article_id, 10**6, as_of=by_hand.as_of).users
        ids = [user.user_id for user in whole]
        free = [i for i in ids if sum(i in users for users in others) < per_day]
        assert choose(article_id, 400, per_day=per_day) == free[:400]
        assert chosen.setdefault(article_id, free[:400]) == free[:400]
    n_times = [sum(i in users for users in chosen.values()) for i in ids]
    assert max(n_times) == per_day


def test_asked_again_it_gives_the_same_and_counts_nothing_twice(choose, articles, here):
    first, second = articles[:2]
    users = choose(first)
    others = choose(second)
    rows = here[0].size().tables["audiences"].rows
    assert rows == 40
    assert (choose(first), choose(second)) == (users, others)
    assert choose(first, 5) == users[:5]
    assert here[0].size().tables["audiences"].rows == rows
    more = choose(first, 30)
    assert more[:20] == users
    assert not set(more) & set(others)


def test_a_dry_run_remembers_no_user_and_respects_the_cap(choose, articles, here):
    first, second = articles[:2]
    choose(first, record=False)
    assert here[0].size().tables["audiences"].rows == 0
    chosen = choose(second)
    dry = choose(first, 200, record=False)
    assert not set(dry) & set(chosen)
    assert here[0].size().tables["audiences"].rows == 20


def test_the_day_is_that_of_the_site(here, by_hand, articles):
    store, recommender = here
    config = Config(learn=BY_HAND.learn, ingest=IngestConfig(timezone="America/New_York"))
    folder, as_of_ms = recommender.run.paths[0].parent, to_ms(by_hand.as_of)
    run_nightly(store, folder, as_of_ms=as_of_ms, config=config)
    midnight = by_hand.as_of.replace(hour=5, minute=0)  # 00:00 in New York
    days = [
        choose_audience(*here, articles[0], 3, per_day=1, as_of=as_of).day
        for as_of in (midnight - timedelta(seconds=1), midnight, midnight.replace(tzinfo=None))
    ]
    assert days == ["2026-03-01", "2026-03-02", "2026-03-02"]
    with pytest.raises(ArticleError, match="not published yet"):  # in New York it is the year 0
        choose_audience(*here, articles[0], 3, per_day=1, as_of=datetime(1, 1, 1))


def test_the_next_day_everyone_may_be_chosen_again(choose, articles, by_hand):
    users = choose(articles[0])
    tomorrow = by_hand.as_of + timedelta(hours=18)
    assert set(users) & set(choose(articles[1], 200, as_of=tomorrow))
    assert not set(users) & set(choose(articles[1], 200))


def test_a_user_whom_another_process_chose_meanwhile_is_left_out(
    choose, articles, here, monkeypatch, by_hand
):
    store = here[0]
    first, second = articles[:2]
    expected = choose(first, record=False)
    often, n_asked = store.audiences.chosen_often, 0

    def asked(*of):
        nonlocal n_asked
        found, n_asked = often(*of), n_asked + 1
        if n_asked == 1:  # before what is found is recorded
            with Store(store.path) as other:
                at = {"per_day": 1, "at_ms": to_ms(by_hand.as_of)}
                assert other.audiences.record("2026-03-02", second, expected[:2], **at)
        return found

    monkeypatch.setattr(store.audiences, "chosen_often", asked)
    found = choose(first)
    assert found[:18] == expected[2:]
    assert len(found) == 20


def test_forgetting_a_user_deletes_the_choice(choose, articles, here, tmp_path):
    store, recommender = here
    user_id = choose(articles[0])[0]
    choose(articles[1])
    assert store.audiences.chosen_often("2026-03-02", "other", 1) >= {user_id}
    found = forget_user(store, tmp_path / "published", user_id)
    assert found.rows["audiences"] == 1
    assert found.left == {}
    assert holding(tmp_path, user_id.encode()) == []
    assert user_id not in choose(articles[0], 10**6)
    assert user_id not in store.audiences.chosen_often("2026-03-02", "other", 1)


def test_a_user_with_nothing_left_but_the_choice_is_found(
    choose, articles, here, tmp_path, by_hand
):
    store, no_runs = here[0], tmp_path / "no runs"
    no_runs.mkdir()
    user_id = choose(articles[0])[0]
    store.deletion.delete_before(to_ms(by_hand.as_of))
    found = forget_user(store, no_runs, user_id)
    assert (found.rows["users"], found.rows["audiences"], found.is_found) == (0, 1, True)
    assert not forget_user(store, no_runs, user_id).is_found


def test_an_anonymous_user_is_never_chosen(here, by_hand, tmp_path, articles):
    store, recommender = here
    at = (by_hand.as_of - timedelta(hours=1)).isoformat()
    rows = {"session_id": ["s1", "s1"], "article_id": articles[:2], "clicked_at": [at, at]}
    add_frame(store, "clicks", pl.DataFrame(rows), received_ms=to_ms(by_hand.as_of))
    report = run_nightly(
        store, tmp_path / "published", as_of_ms=to_ms(by_hand.as_of), config=BY_HAND
    )
    found = recommender.audience(articles[3], 10**6, as_of=by_hand.as_of)
    assert found.run_id == report.run_id
    assert not [user for user in found.users if user.user_id.startswith(" ")]


def test_a_store_of_other_users_is_refused(by_hand, articles, here, tmp_path):
    with Store(tmp_path / "other.db") as other, pytest.raises(StoreError, match="lacks 20 of"):
        choose_audience(other, here[1], articles[0], 20, per_day=1, as_of=by_hand.as_of)


def test_a_refused_article_records_no_user(choose, articles, here, tmp_path):
    published_folder.write_rules(tmp_path / "published", [rule("block", articles[0])])
    for article_id in (articles[0], "nope"):
        with pytest.raises(ArticleError):
            choose(article_id)
    assert here[0].audiences.chosen_often("2026-03-02", "other", 1) == set()
