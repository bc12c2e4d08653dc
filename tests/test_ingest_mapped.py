"""Files with columns of other names are read by the mapping of the settings."""

import json
import sqlite3
from contextlib import closing

import polars as pl
import pytest
from conftest import RECEIVED_MS

from recsys.config import IngestConfig
from recsys.errors import ConfigError
from recsys.ingest.load_files import load_files
from recsys.ingest.mapped import value_at
from recsys.rows import Added

CLICKS = IngestConfig(
    clicks={
        "user_id": ("user.id", "visitor"),
        "article_id": "content",
        "clicked_at": "ts",
        "source": {"constant": "web"},
    }
)
EVENT = {"user": {"id": "u1"}, "content": "a1", "ts": "2026-03-01T10:00:00Z", "other": 1}


def clicks_of(store):
    with closing(sqlite3.connect(store.path)) as conn:
        return conn.execute(
            "SELECT user_id, article_id, clicked_at, source FROM clicks"
            " JOIN users USING (user_key) JOIN article_ids USING (article_key) ORDER BY 1"
        ).fetchall()


def test_nested_values_alternatives_and_constants(store, tmp_path):
    path = tmp_path / "e.jsonl"
    second = {"visitor": "u2", "content": "a2", "ts": "2026-03-01T10:00:01Z"}
    path.write_text(f"{json.dumps(EVENT)}\n{json.dumps(second)}\nnot json\n")
    report = load_files(store, [path], received_ms=RECEIVED_MS, config=CLICKS)
    assert report.added["clicks"] == Added(new=2)
    assert report.rejected.total() == 1
    assert list(report.unknown_columns) == ["other"]
    assert clicks_of(store) == [
        ("u1", "a1", 1772359200000, "web"),
        ("u2", "a2", 1772359201000, "web"),
    ]


def test_csv_and_parquet_are_read_by_the_same_mapping(store, tmp_path):
    (tmp_path / "e.csv").write_text("visitor,content,ts\nu1,a1,2026-03-01T10:00:00Z\n")
    frame = pl.DataFrame({"user": [{"id": "u1"}], "content": ["a1"], "ts": [EVENT["ts"]]})
    frame.write_parquet(tmp_path / "e.parquet")
    for name, added in (("e.csv", Added(new=1)), ("e.parquet", Added(known=1))):
        report = load_files(store, [tmp_path / name], received_ms=RECEIVED_MS, config=CLICKS)
        assert report.added["clicks"] == added, name


def test_a_file_with_our_own_names_is_read_as_without_a_mapping(store, tmp_path):
    path = tmp_path / "c.jsonl"
    path.write_text('{"user_id": "u", "article_id": "a", "clicked_at": "2026-03-01T10:00:00Z"}\n')
    report = load_files(store, [path], received_ms=RECEIVED_MS, config=CLICKS)
    assert report.added["clicks"] == Added(new=1)
    assert clicks_of(store)[0][3] == ""


def test_a_mapping_is_checked():
    with pytest.raises(ConfigError, match=r"clicks.user: no such field"):
        IngestConfig(clicks={"user": "x"})
    with pytest.raises(ConfigError, match="one key, constant"):
        IngestConfig(clicks={"user_id": {"default": "x"}})
    with pytest.raises(ConfigError, match="no zone is named 'Berlin'"):
        IngestConfig(timezone="Berlin")
    with pytest.raises(ConfigError, match="article_pattern: missing"):
        IngestConfig(article_pattern="(")


def test_a_dotted_path_is_at_first_the_name_of_a_column():
    assert value_at({"a.b": 1, "a": {"b": 2}}, "a.b") == 1
    assert value_at({"a": [{"b": 2}]}, "a.0.b") == 2
    assert value_at({"a": [{"b": 2}]}, "a.1.b") is None
    assert value_at({"a": "text"}, "a.b") is None
