from datetime import UTC, datetime

import numpy as np
import pandas as pd
import polars as pl
import pytest

from recsys.errors import InputRefusedError
from recsys.rows import HOUR_MS
from recsys.signals.own_tables import read_signal, read_table

ROWS = {"article_id": ["7", "8"], "value": [0.5, 2.0], "at": ["1970-01-01T05:00:00Z"] * 2}
KEYS = ("article_id", "at", "user_id")


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_files_are_read_by_their_suffix(tmp_path, suffix):
    path = tmp_path / f"rows.{suffix}"
    frame = pl.DataFrame(ROWS | {"other": [1, 2]})
    {"csv": frame.write_csv, "jsonl": frame.write_ndjson, "parquet": frame.write_parquet}[suffix](
        path
    )
    found = read_table(path, "value", KEYS)
    assert sorted(found.columns) == ["article_id", "at", "value"]
    assert found["article_id"].to_list() == ["7", "8"]
    assert found["at"].to_list() == [datetime(1970, 1, 1, 5, tzinfo=UTC)] * 2
    compute = read_signal(path, "mood")
    rows = found.select("article_id", "at")
    assert compute(rows).to_list() == [0.5, 2.0]


def test_frames_are_read_with_numbers_as_ids_and_naive_instants_as_utc():
    frame = pd.DataFrame(
        {
            "article_id": [7, 8],
            "value": np.float32([1, 2]),
            "at": pd.to_datetime(["2026-03-01"] * 2),
        }
    )
    found = read_table(frame, "value", KEYS)
    assert found["article_id"].to_list() == ["7", "8"]
    assert found["at"].to_list() == [datetime(2026, 3, 1, tzinfo=UTC)] * 2
    early = pl.DataFrame({"article_id": ["7"], "at": [datetime.fromtimestamp(HOUR_MS / 1e3, UTC)]})
    at = early.with_columns(pl.col("at").cast(pl.Datetime("ms", "UTC")))
    assert read_signal(frame, "mood")(at).to_list() == [None]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("x.csv", "article,value\na,1\n", "no column 'article_id' .columns found: article, value"),
        ("x.csv", "article_id,value\na,high\n", "cannot be read"),
        ("x.csv", "article_id,value,at\na,1,soon\n", "cannot be read: Invalid isoformat string"),
        ("x.csv", "article_id,value\na,inf\n", "column 'value': a number is not finite"),
        ("x.parquet", "article_id,value\n", "cannot be read"),
        ("x.txt", "", "its name must end in one of .csv, .jsonl, .parquet"),
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path, name, text, message):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InputRefusedError, match=message):
        read_table(path, "value", KEYS)
    with pytest.raises(InputRefusedError, match="cannot be read"):
        read_table(tmp_path / "absent.csv", "value", KEYS)
