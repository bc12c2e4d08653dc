from recsys.ingest import gather
from recsys.ingest.gather import Gatherer


def test_a_field_that_a_row_lacks_is_null_and_a_cleared_one_is_empty():
    rows = Gatherer(None, "articles")
    rows.add("articles", 1, {"article_id": "a", "category": "", "tags": [], "premium": True})
    (batch,) = rows.batches(7)
    assert batch.position == 7
    assert batch.nulls_are_absent
    row = batch.frame.to_dicts()[0]
    assert (row["category"], row["tags"], row["premium"]) == ("", [], "true")
    assert row["title"] is None


def test_rejects_and_ignored_entries_come_without_rows_and_only_once():
    rows = Gatherer("clicks", "clicks")
    rows.reject(3, "user_id", "missing", "x\ud800" + "y" * 5_000)
    rows.ignore("request", "by a bot")
    rows.ignore("request", "by a bot")
    (batch,) = rows.batches(0)
    assert len(batch.frame) == 0
    assert [(r.row, r.reason) for r in batch.rejects] == [(3, "missing")]
    assert batch.rejects[0].raw.startswith("x\\ud800y")
    assert len(batch.rejects[0].raw) < 2_100
    assert batch.ignored == {("request", "by a bot"): 2}
    assert list(rows.batches(0)) == []


def test_rows_of_a_kind_that_is_not_wanted_are_left_out():
    rows = Gatherer("clicks", "clicks")
    rows.add("impressions", 1, {"shown": ["a"]})
    rows.add("clicks", 1, {"article_id": "half \ud800"})
    (batch,) = rows.batches(0)
    assert (batch.kind, batch.frame["article_id"].to_list()) == ("clicks", ["half \x00"])


def test_a_gatherer_is_full_by_text_and_by_number(monkeypatch):
    monkeypatch.setattr(gather, "BATCH_BYTES", 10)
    monkeypatch.setattr(gather, "BATCH_ROWS", 2)
    rows = Gatherer(None, "articles")
    rows.add("articles", 1, {"body": "0123456789"})
    assert not rows.is_full()
    rows.add("articles", 2, {"body": "x"})
    assert rows.is_full()
    list(rows.batches(0))
    assert not rows.is_full()
    rows.add("articles", 3, {"body": "0123456789x"})
    assert rows.is_full()
