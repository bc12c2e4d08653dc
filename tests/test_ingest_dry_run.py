"""A dry run says how the first rows of a file are understood, and proposes a mapping."""

import json

from conftest import RECEIVED_MS

from recsys.config import IngestConfig
from recsys.ingest.dry_run import understand


def understood(path, **options):
    options = {"format": None, "kind": None, "config": IngestConfig()} | options
    return understand(path, received_ms=RECEIVED_MS, **options)


def test_usable_rows_are_shown_as_they_would_be_stored(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("article_id,title,published_at,desk_no\na1,T,2026-03-01T10:00:00+01:00,7\n")
    found = understood(path)
    assert (found.format, found.kind, found.n_usable) == ("csv", "articles", 1)
    assert found.unknown_columns == ["desk_no"]
    (row,) = found.rows
    assert (row["title"], row["published_at"]) == ("T", "2026-03-01T09:00:00Z")
    assert found.mapping == ""


def test_a_mapping_is_proposed_that_reads_the_file(tmp_path):
    path = tmp_path / "e.jsonl"
    event = {"user": {"id": "u1"}, "contentId": "a1", "Timestamp": "2026-03-01T10:00:00Z"}
    path.write_text(json.dumps(event) + "\n")
    found = understood(path)
    assert found.mapping.splitlines() == [
        "[ingest.clicks]",
        'user_id = "user.id"',
        'article_id = "contentId"',
        'clicked_at = "Timestamp"',
    ]
    mapping = {"user_id": "user.id", "article_id": "contentId", "clicked_at": "Timestamp"}
    again = understood(path, config=IngestConfig(clicks=mapping))
    assert (again.kind, again.n_usable, again.mapping) == ("clicks", 1, "")


def test_a_refused_file_says_why(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("visitor,content,ts\nu,a,2026-03-01T10:00:00Z\n")
    found = understood(path)
    assert "known fields" in found.problem
    assert "[ingest.clicks]" not in found.mapping or "content" in found.mapping
