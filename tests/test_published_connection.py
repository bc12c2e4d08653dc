import ast
import sqlite3
from contextlib import closing

import pytest
from conftest import ROOT

from recsys.errors import SnapshotError
from recsys.published.connection import connect


def test_what_opens_a_run_says_by_which_key():
    # A key that is left out opens a run without a signature.
    n_calls = 0
    for path in (ROOT / "recsys").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                if called in ("connect", "connection.connect", "ConnectionPool"):
                    n_calls += 1
                    assert len(node.args) + len(node.keywords) == 2, (path, node.lineno)
    assert n_calls > 10


def test_a_run_with_a_view_or_trigger_is_refused(tmp_path):
    path = tmp_path / "000001-x.sqlite"
    with closing(sqlite3.connect(path)) as conn:
        conn.execute("CREATE TABLE meta (key TEXT, value TEXT)")
        conn.execute("CREATE VIEW users AS SELECT * FROM meta")
    with pytest.raises(SnapshotError, match="damaged: it has a view"):
        connect(path)
