import polars as pl
import pytest

from recsys.ingest import detect
from recsys.ingest.batches import Batch
from recsys.rows import ROW


@pytest.mark.parametrize(
    ("title", "n_lines", "few"),
    [("T", 100, True), ("T", 19, False), ("T", 2, False), ("T\nU", 100, False)],
)
def test_a_file_with_far_fewer_rows_than_lines_is_reported(load, monkeypatch, title, n_lines, few):
    def read(path, kind):
        rows = {ROW: [1, 2], "article_id": ["a", "b"], "title": [title, "V"]}
        yield Batch("articles", pl.DataFrame(rows), n_lines=n_lines)

    monkeypatch.setitem(detect.READERS, "csv", read)
    report = load({"a.csv": "article_id,title\n"}, format="csv")
    assert [(rows, lines) for _, rows, lines in report.few_rows] == ([(2, n_lines)] if few else [])
    assert len(report.as_dict()["few_rows"]) == few
