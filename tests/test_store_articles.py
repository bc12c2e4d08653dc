"""Rows of one article merge field by field, by their versions."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from conftest import RECEIVED_MS
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.ingest.detect import expand
from recsys.ingest.load_files import load_files
from recsys.rows import HOUR_MS, Added, iso
from recsys.store.database import Store
from recsys.store.schema import MIGRATIONS

FULL = {
    "title": "Title",
    "body": "Text.",
    "category": "News",
    "author": "Ana",
    "url": "https://n.example/a",
    "language": "en",
    "tags": "x, y",
    "premium": True,
    "published_at": iso(RECEIVED_MS - HOUR_MS),
    "expires_at": iso(RECEIVED_MS + HOUR_MS),
    "image_url": "https://n.example/a.jpg",
    "summary": "In short.",
    "kicker": "Now",
    "importance": 2.5,
    "vector": [1.0, -0.5],
}
STORED = {"premium": 1, "published_at": RECEIVED_MS - HOUR_MS, "expires_at": RECEIVED_MS + HOUR_MS}
EMPTY = dict.fromkeys(("published_at", "expires_at", "premium", "importance"))


def load_rows(store, folder, *rows, name="a.jsonl", hours_later=0):
    path = Path(folder) / name
    path.write_text("".join(json.dumps({"article_id": "a"} | row) + "\n" for row in rows))
    return load_files(store, expand([path]), received_ms=RECEIVED_MS + HOUR_MS * hours_later)


def stored(store):
    """Return the fields of article a as they are stored."""
    with closing(sqlite3.connect(store.path)) as conn:
        conn.row_factory = sqlite3.Row
        found = conn.execute("SELECT * FROM articles").fetchone()
        vector = conn.execute("SELECT vector FROM article_vectors").fetchone()
    return dict(found) | {"vector": None if vector is None else vector[0]}


def test_a_field_that_a_row_does_not_name_is_unchanged(store, tmp_path):
    load_rows(store, tmp_path, FULL)
    report = load_rows(store, tmp_path, {"title": "Other"}, name="b.jsonl", hours_later=1)
    assert report.added["articles"] == Added(changed=1)
    found = stored(store)
    for name in FULL:
        if name not in ("title", "tags", "vector"):
            assert found[name] == STORED.get(name, FULL[name]), name
    assert found["title"] == "Other"
    assert found["vector"] == b"\x00\x00\x80\x3f\x00\x00\x00\xbf"


def test_an_empty_cell_of_csv_clears_and_a_missing_column_does_not(store, tmp_path):
    load_rows(store, tmp_path, FULL)
    path = tmp_path / "a.csv"
    path.write_text("article_id,title,url,expires_at\na,Other,,\n")
    load_files(store, expand([path]), received_ms=RECEIVED_MS + HOUR_MS)
    found = stored(store)
    assert (found["title"], found["url"], found["expires_at"]) == ("Other", "", None)
    assert (found["body"], found["premium"]) == ("Text.", 1)


def test_null_clears_a_field(store, tmp_path):
    load_rows(store, tmp_path, FULL)
    cleared = dict.fromkeys(set(FULL) - {"title", "vector"}) | {"vector": []}
    load_rows(store, tmp_path, cleared, name="c.jsonl", hours_later=2)
    found = stored(store)
    for name in cleared.keys() - {"vector", "tags"}:
        assert found[name] == EMPTY.get(name, ""), name
    assert found["title"] == "Title"
    assert found["vector"] is None


def test_a_later_version_counts_whenever_it_arrives(store, tmp_path):
    new = {"title": "New", "modified_at": iso(RECEIVED_MS - HOUR_MS)}
    old = {"title": "Old", "url": "https://n.example/old", "modified_at": iso(RECEIVED_MS - 9)}
    old["modified_at"] = iso(RECEIVED_MS - 2 * HOUR_MS)
    load_rows(store, tmp_path, new)
    report = load_rows(store, tmp_path, old, name="b.jsonl", hours_later=3)
    assert report.added["articles"] == Added(changed=1)  # its address was not known
    assert (stored(store)["title"], stored(store)["url"]) == ("New", "https://n.example/old")


def test_a_version_in_the_future_is_one_of_now(store, tmp_path):
    load_rows(store, tmp_path, {"title": "A", "modified_at": iso(RECEIVED_MS + 99 * HOUR_MS)})
    load_rows(store, tmp_path, {"title": "B"}, name="b.jsonl", hours_later=1)
    assert stored(store)["title"] == "B"


def test_the_same_file_again_changes_nothing_even_if_it_contradicts_itself(store, tmp_path):
    rows = [{"title": "One"}, {"title": "Two"}]
    load_rows(store, tmp_path, *rows)
    assert stored(store)["title"] == "Two"
    report = load_rows(store, tmp_path, *rows, hours_later=5)
    assert report.added["articles"] == Added(known=1)
    # Changed, it is another file: what it says is the latest version.
    load_rows(store, tmp_path, {"title": "Three"}, hours_later=6)
    load_rows(store, tmp_path, *rows, hours_later=7)
    assert stored(store)["title"] == "Two"


def test_a_feed_read_after_the_dump_does_not_revive_an_expired_article(store, tmp_path):
    load_rows(store, tmp_path, FULL)
    load_rows(store, tmp_path, {"title": "Title", "url": FULL["url"]}, name="b.jsonl")
    assert stored(store)["expires_at"] == RECEIVED_MS + HOUR_MS


def test_an_article_is_withdrawn_and_shown_again(store, tmp_path):
    load_rows(store, tmp_path, FULL)
    for hour, row in ((1, {"deleted": True}), (3, {"status": "draft"}), (5, {"status": "Private"})):
        report = load_rows(store, tmp_path, row, name="b.jsonl", hours_later=hour)
        assert report.added["articles"] == Added(changed=1, withdrawn=1), row
        assert stored(store)["withdrawn_at"] == RECEIVED_MS + hour * HOUR_MS
        shown = {"status": "published"}
        load_rows(store, tmp_path, shown, name=f"{hour}.jsonl", hours_later=hour + 1)
        assert stored(store)["withdrawn_at"] is None
    found = store.articles(known_by_ms=RECEIVED_MS)
    assert found.titles == ("Title",)


def test_a_status_that_is_not_known_withdraws_nothing(store, tmp_path):
    load_rows(store, tmp_path, FULL | {"status": "syndicated"})
    assert stored(store)["withdrawn_at"] is None


def test_a_withdrawal_may_arrive_before_its_article(store, tmp_path):
    load_rows(store, tmp_path, {"deleted": True, "modified_at": iso(RECEIVED_MS - HOUR_MS)})
    load_rows(store, tmp_path, FULL | {"modified_at": iso(RECEIVED_MS - 2 * HOUR_MS)})
    assert stored(store)["withdrawn_at"] == RECEIVED_MS - HOUR_MS
    assert stored(store)["title"] == "Title"


def test_the_reading_time_follows_the_body(store, tmp_path):
    load_rows(store, tmp_path, {"title": "T", "body": "word " * 476})
    assert stored(store)["reading_minutes"] == 2.0
    load_rows(store, tmp_path, {"body": "字" * 255}, name="b.jsonl", hours_later=1)
    assert stored(store)["reading_minutes"] == 1.0


VERSIONED = st.fixed_dictionaries(
    {"title": st.sampled_from(["A", "B"])},
    optional={
        "url": st.sampled_from([None, "https://n.example/1", "https://n.example/2"]),
        "premium": st.sampled_from([None, True, False]),
        "expires_at": st.sampled_from([None, iso(RECEIVED_MS)]),
        "published_at": st.sampled_from([None, *(iso(RECEIVED_MS - HOUR_MS * h) for h in (3, 20))]),
        "status": st.sampled_from(["draft", "published"]),
    },
)


@settings(deadline=None, max_examples=40)
@given(rows=st.lists(VERSIONED, min_size=1, max_size=6), data=st.data())
def test_versions_give_the_same_article_in_any_order(rows, data):
    rows = [
        row | {"modified_at": iso(RECEIVED_MS - HOUR_MS * age)}
        for age, row in enumerate(rows, start=1)
    ]
    order = data.draw(st.permutations(rows))
    found = []
    for number, lines in enumerate((rows, order)):
        with TemporaryDirectory() as folder, Store(Path(folder) / "s.db") as store:
            for index, row in enumerate(lines):
                load_rows(store, folder, row, name=f"{index}.jsonl", hours_later=number)
            unstable = {"revision", "added_at", "updated_at", "versions"}
            found.append({k: v for k, v in stored(store).items() if k not in unstable})
    assert found[0] == found[1]


AT = RECEIVED_MS


def first_published(tmp_path, *arrivals):
    """Return when article a was first published, after rows that arrive hours after AT."""
    with Store(tmp_path / "first.db") as store:
        for n, (hours, row) in enumerate(arrivals):
            row = {"title": "Title"} | row
            load_rows(store, tmp_path, row, name=f"{n}.jsonl", hours_later=hours)
        return stored(store)["first_published_at"]


def dated(hours):
    return {"published_at": iso(AT + hours * HOUR_MS)}


def test_the_first_publication_is_the_earliest_date_that_came_true(tmp_path):
    for arrivals, hours in (
        ([(0, dated(-5))], -5),
        ([(0, dated(-5)), (1, dated(1)), (2, dated(2))], -5),  # dated again and again
        ([(0, dated(-5)), (1, dated(-9))], -9),  # corrected to an earlier date
        ([(0, dated(3)), (1, dated(8))], 8),  # put off before it was published
        ([(0, dated(3)), (4, dated(4))], 3),
        ([(0, dated(3)), (1, dated(2))], 2),  # brought forward
        ([(0, dated(-5)), (1, {"published_at": None}), (2, dated(2))], -5),
        ([(0, dated(3)), (1, {"published_at": None}), (2, dated(5))], 0),  # shown without a date
        ([(0, {}), (4, dated(4))], 0),  # shown without a date since it arrived
        ([(0, {}), (4, dated(-2))], -2),
    ):
        (tmp_path / "first.db").unlink(missing_ok=True)
        assert first_published(tmp_path, *arrivals) == AT + hours * HOUR_MS, arrivals
    (tmp_path / "first.db").unlink()
    assert first_published(tmp_path, (0, {})) is None


def test_an_earlier_date_of_an_older_version_counts_as_a_change(store, tmp_path):
    version = {"modified_at": iso(AT)}
    load_rows(store, tmp_path, {"title": "Title"} | dated(-1) | version)
    older = dated(-6) | {"modified_at": iso(AT - HOUR_MS)}
    report = load_rows(store, tmp_path, older, name="b.jsonl", hours_later=1)
    assert report.added["articles"] == Added(changed=1)
    found = stored(store)
    assert (found["published_at"], found["first_published_at"]) == (
        AT - HOUR_MS,
        AT - 6 * HOUR_MS,
    )


def test_a_store_of_an_earlier_version_takes_its_dates_as_the_first(tmp_path):
    with Store(tmp_path / "s.db") as store:
        load_rows(store, tmp_path, {"title": "Title"} | dated(-5))
    with closing(sqlite3.connect(tmp_path / "s.db", isolation_level=None)) as conn:
        conn.execute("ALTER TABLE articles DROP COLUMN first_published_at")
        for table in ("audiences", "event_files"):  # later versions made them
            conn.execute(f"DROP TABLE {table}")
        version = next(
            number
            for number, statements in enumerate(MIGRATIONS)
            if "COLUMN first_published_at" in statements
        )
        conn.execute(f"PRAGMA user_version = {version}")
    with Store(tmp_path / "s.db") as store:
        load_rows(store, tmp_path, dated(1), name="b.jsonl", hours_later=2)
        assert stored(store)["first_published_at"] == AT - 5 * HOUR_MS
