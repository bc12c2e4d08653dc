"""Who was chosen to hear of an article, in the store."""

import pytest
from conftest import RECEIVED_MS

from recsys.errors import StoreError
from recsys.id_search import IdSearch
from recsys.rows import HOUR_MS
from recsys.store.audiences import KEPT_DAYS

DAY, NEXT_DAY = "2026-03-02", "2026-03-03"


@pytest.fixture
def audiences(store, load):
    """The table of a store with three users."""
    rows = "".join(f"{user},a1,2026-03-01T10:00:00Z\n" for user in ("u1", "u2", "u3"))
    load({"clicks.csv": "user_id,article_id,clicked_at\n" + rows})
    return store.audiences


def record(audiences, article_id, *user_ids, day=DAY, per_day=1, at_ms=RECEIVED_MS):
    return audiences.record(day, article_id, user_ids, per_day=per_day, at_ms=at_ms)


def n_rows(store):
    return store.size().tables["audiences"].rows


def test_choices_for_other_articles_of_the_day_count(audiences):
    assert record(audiences, "a1", "u1", "u2")
    assert record(audiences, "a2", "u2", per_day=2)
    assert audiences.chosen_often(DAY, "a3", 1) == {"u1", "u2"}
    assert audiences.chosen_often(DAY, "a3", 2) == {"u2"}
    assert audiences.chosen_often(DAY, "a3", 3) == set()
    # Choices for the article itself do not count.
    assert audiences.chosen_often(DAY, "a1", 1) == {"u2"}
    assert audiences.chosen_often(DAY, "a2", 1) == {"u1", "u2"}
    assert audiences.chosen_often(NEXT_DAY, "a3", 1) == set()


def test_a_choice_is_recorded_once(audiences, store):
    for _ in range(2):
        assert record(audiences, "a1", "u1", "u2")
        assert n_rows(store) == 2
    assert record(audiences, "a1", "u1", "u2", "u3")
    assert n_rows(store) == 3


def test_all_users_are_recorded_or_none(audiences, store):
    assert record(audiences, "a1", "u1")
    assert not record(audiences, "a2", "u2", "u1")  # another process chose u1 meanwhile
    with pytest.raises(StoreError, match=r"lacks 1 of the 2 users: give the store .*--store"):
        record(audiences, "a2", "u2", "stranger")
    assert n_rows(store) == 1
    assert record(audiences, "a2")


def test_rows_are_deleted_after_some_days_and_with_all_other_rows(audiences, store):
    later_ms = RECEIVED_MS + KEPT_DAYS * 24 * HOUR_MS
    assert record(audiences, "a1", "u1")
    assert record(audiences, "a1", "u1", day=NEXT_DAY, at_ms=later_ms)
    assert n_rows(store) == 2
    assert record(audiences, "a1", "u1", day="2026-03-10", at_ms=later_ms + 1)
    assert n_rows(store) == 2
    assert store.deletion.delete_before(later_ms + 1)["audiences"] == 1
    assert n_rows(store) == 1


def test_a_user_who_is_deleted_is_deleted_here_too(audiences, store):
    assert record(audiences, "a1", "u1", "u2")
    assert record(audiences, "a2", "u1", per_day=2)
    assert store.deletion.delete_user("u1", IdSearch(["u1"]))["audiences"] == 2
    assert audiences.chosen_often(DAY, "a3", 1) == {"u2"}
