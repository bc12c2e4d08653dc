import io
import re
import sqlite3
from contextlib import closing

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsys.errors import InputRefusedError
from recsys.ingest import npy
from recsys.ingest.detect import expand, format_of
from recsys.ingest.validate import NO_VECTOR
from recsys.rows import Added

VECTORS = np.array([[1.0, -0.5], [0.25, 2.0], [3.0, 4.0]])


def saved(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def vectors_of(store):
    with closing(sqlite3.connect(store.path)) as conn:
        rows = conn.execute(
            "SELECT article_id, vector FROM article_vectors JOIN article_ids USING (article_key)"
        )
        return {id_: np.frombuffer(vector, "<f4").tolist() for id_, vector in rows}


@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f8", "<i2"])
def test_each_row_is_the_vector_of_the_id_on_its_line(store, load, monkeypatch, dtype):
    monkeypatch.setattr(npy, "BATCH_VALUES", 4)  # two batches
    whole = (4 * VECTORS).astype(dtype)
    report = load({"v.ids.txt": "a\nb\nc\n", "v.npy": saved(whole)})
    assert report.refused == []
    assert report.added["articles"] == Added(new=3)
    assert vectors_of(store) == {"a": [4.0, -2.0], "b": [1.0, 8.0], "c": [12.0, 16.0]}
    assert [(path.rpartition("/")[2], reason) for path, reason in report.skipped] == [
        ("v.ids.txt", "the ids of the vectors beside it")
    ]


def test_a_row_without_an_id_or_with_an_infinite_number_is_named(store, load):
    report = load(
        {"v.ids.txt": "a\n\nc\n", "v.npy": saved(VECTORS * [[1, 1], [1, 1], [np.inf, 1]])}
    )
    assert vectors_of(store) == {"a": [1.0, -0.5]}
    assert report.rejected == {("missing", "article_id"): 1}
    assert report.ignored == {("vector", NO_VECTOR): 1}


@pytest.mark.parametrize(
    ("ids", "data", "problem"),
    [
        ("a\nb\n", saved(VECTORS), "3 vectors, but v.ids.txt has 2 ids"),
        ("a\nb\nc\n", saved(VECTORS)[:-8], "truncated"),
        ("a\nb\nc\n", saved(VECTORS)[:20], "not a numpy file"),
        ("a\nb\nc\n", saved(np.asfortranarray(VECTORS)), "numpy.ascontiguousarray"),
        ("a\nb\nc\n", saved(VECTORS[:, 0]), r"a table of numbers.*shape \(3,\)"),
        ("a\nb\nc\n", saved(np.array(["a", "b"])), "a table of numbers"),
        ("a\n", saved(np.zeros((1, 70_000), "<f2")), "a table of numbers"),
        (b"\xff\n", saved(VECTORS[:1]), "needs v.ids.txt beside it"),
        (None, saved(VECTORS), "needs v.ids.txt beside it"),
    ],
)
def test_what_is_not_a_table_with_ids_is_refused(load, ids, data, problem):
    files = {"v.npy": data} if ids is None else {"v.ids.txt": ids, "v.npy": data}
    (error,) = load(files).refused
    assert error.path.endswith("v.npy")
    assert re.search(problem, str(error))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(cut=st.integers(0, 200), position=st.integers(0, 200), byte=st.integers(0, 255))
def test_any_damage_is_read_or_refused(tmp_path, cut, position, byte):
    data = bytearray(saved(VECTORS))
    data[position % len(data)] = byte
    (tmp_path / "v.npy").write_bytes(data[: len(data) - cut % len(data)])
    (tmp_path / "v.ids.txt").write_text("a\nb\nc\n")
    try:
        n_rows = sum(len(batch.frame) for batch in npy.read(tmp_path / "v.npy", None))
    except InputRefusedError:
        return
    assert n_rows == 3


def test_a_numpy_file_is_known_by_its_content_and_a_text_file_alone_is_none_of_it(tmp_path):
    (tmp_path / "v.bin").write_bytes(saved(VECTORS))
    assert format_of(tmp_path / "v.bin") == "npy"
    (tmp_path / "w.ids.txt").write_text("a\n")
    assert [file.skipped for file in expand([tmp_path])] == ["", ""]
