from recsys.ingest import open_rows
from recsys.ingest.gather import Gatherer
from recsys.ingest.open_rows import OpenRows


def given(rows):
    gatherer = Gatherer(None, "clicks")
    rows.give(gatherer)
    return [
        (row["row"], row["article_id"], row["dwell_seconds"])
        for batch in gatherer.batches(0)
        for row in batch.frame.to_dicts()
    ]


def test_a_row_is_given_where_it_was_opened_and_again_where_it_changed():
    rows = OpenRows("clicks")
    rows.open(("u", "a"), 1, {"article_id": "a"})
    rows.open(("u", "b"), 2, {"article_id": "b"})
    rows.find(("u", "b"))["dwell_seconds"] = 3.0
    assert given(rows) == [(1, "a", None), (2, "b", "3.0")]
    assert given(rows) == []
    rows.find(("u", "a"))["dwell_seconds"] = 5.0
    assert given(rows) == [(1, "a", "5.0")]
    assert rows.find(("u", "c")) is None


def test_a_second_row_of_a_key_takes_over_and_both_are_given():
    rows = OpenRows("clicks")
    rows.open(("u",), 1, {"article_id": "a"})
    rows.open(("u",), 2, {"article_id": "b"})
    rows.find(("u",))["dwell_seconds"] = 1.0
    assert given(rows) == [(1, "a", None), (2, "b", "1.0")]


def test_the_row_unused_for_longest_is_forgotten(monkeypatch):
    monkeypatch.setattr(open_rows, "MAX_OPEN", 2)
    rows = OpenRows("clicks")
    for key in "abc":
        rows.open((key,), 1, {"article_id": key})
        rows.find(("a",))
    assert rows.find(("b",)) is None
    assert rows.find(("a",)) is not None
