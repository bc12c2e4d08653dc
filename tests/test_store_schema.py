import json
import sqlite3
from datetime import UTC, datetime

import polars as pl
import pytest

from recsys.ingest.frames import add_frame
from recsys.rows import ANONYMOUS, IMPRESSION_FIELDS, to_ms
from recsys.store.database import Store

RECEIVED_MS = to_ms(datetime(2026, 3, 2, tzinfo=UTC))


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """A store with 300 articles, so that keys take more than one byte, opened by SQLite alone."""
    path = tmp_path_factory.mktemp("views") / "s.db"
    ids = [f"a{i:03}" for i in range(300)]
    articles = pl.DataFrame({"article_id": ids, "title": "Title", "tags": [["x", "y, z"]] * 300})
    clicks = pl.DataFrame(
        {
            "user_id": ["ü 1", None, None],
            "session_id": [None, "s7", None],
            "article_id": ["a299", "a000", "a258"],
            "clicked_at": ["2026-03-01T12:00:00.250Z", "2026-03-01T13:00:00+01:00", "2026-03-01"],
        }
    )
    shown = pl.DataFrame(
        {
            "user_id": ["ü 1", None],
            "session_id": [None, "s7"],
            "shown_at": ["2026-03-01T11:59:58Z", "2026-03-01T12:30:00Z"],
            "shown": [["a257", "a002", "a299"], ["a255"]],
            "clicked": [["a257", "a299"], []],
            "article_id": ["a100", None],
            "source": ["must_reads", ""],
        }
    )
    with Store(path) as store:
        for kind, frame in (("articles", articles), ("clicks", clicks), ("impressions", shown)):
            report = add_frame(store, kind, frame, received_ms=RECEIVED_MS)
            assert not report.rejected
    conn = sqlite3.connect(path)
    conn.row_factory = sqlite3.Row
    yield conn
    conn.close()


def rows(conn, query):
    return [dict(row) for row in conn.execute(query)]


def test_a_view_of_articles_has_readable_times(database):
    found = rows(database, "SELECT * FROM v_articles ORDER BY article_id LIMIT 1")
    assert found[0]["article_id"] == "a000"
    assert found[0]["tags"] == "x, y, z"
    assert found[0]["added_at"] == "2026-03-02T00:00:00.000Z"
    assert found[0]["published_at"] is None


def test_a_view_of_clicks_says_who_is_anonymous(database):
    where = "WHERE article_id IN ('a299', 'a000', 'a258')"
    found = rows(database, f"SELECT * FROM v_clicks {where} ORDER BY clicked_at")
    who = [(row["user_id"], row["session_id"], row["article_id"]) for row in found]
    assert (None, None, "a258") in who
    assert (None, "s7", "a000") in who
    assert ("ü 1", None, "a299") in who
    assert "2026-03-01T12:00:00.250Z" in {row["clicked_at"] for row in found}
    assert not any((row["user_id"] or "").startswith(ANONYMOUS) for row in found)


def test_a_view_of_impressions_has_the_fields_of_a_file(database):
    first, second = rows(database, "SELECT * FROM v_impressions ORDER BY shown_at")
    assert set(first) == set(IMPRESSION_FIELDS) - {"propensities"}
    assert json.loads(first["shown"]) == ["a257", "a002", "a299"]
    assert json.loads(first["clicked"]) == ["a257", "a299"]
    assert first["shown_at"] == "2026-03-01T11:59:58.000Z"
    assert (first["user_id"], first["article_id"], first["source"]) == ("ü 1", "a100", "must_reads")
    assert (second["user_id"], second["session_id"], second["clicked"]) == (None, "s7", "[]")


def test_a_view_of_lists_has_a_row_for_each_article_shown(database):
    found = rows(database, "SELECT * FROM v_lists ORDER BY shown_at, rank")
    shown = [(row["rank"], row["article_id"], row["clicked"]) for row in found]
    assert shown == [(1, "a257", 1), (2, "a002", 0), (3, "a299", 1), (1, "a255", 0)]
    assert {row["list"] for row in found} == {"must_reads", ""}
    assert found[0]["beside_article_id"] == "a100"
