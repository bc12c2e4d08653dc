"""How large a store is, by table."""

import json

from newsroom import STORE, copied, well


def test_the_sizes_of_all_tables_add_up_to_the_file(newsroom, tmp_path):
    here = copied(newsroom, tmp_path / "here")
    found = json.loads(well(here, "store", *STORE, "--json").out)
    assert found["tables"]["clicks"]["rows"] > 10_000
    assert found["tables"]["clicks"]["bytes"] > 100_000
    assert "impressions_clicked" not in found["tables"]  # an index counts with its table
    assert found["total_bytes"] - found["log_bytes"] == (here / "s.db").stat().st_size


def test_vacuum_gives_free_pages_back(store):
    for i in range(40):
        store.derived.put_examples(i + 1, "head", b"x" * 100_000, oldest_ms=0, most=99)
    before = store.size()
    assert before.tables["examples"].rows == 40
    store.derived.drop_examples(0)
    assert store.size().free_bytes > 3_000_000
    store.vacuum()
    assert store.size().free_bytes == 0
    assert store.size().total_bytes < before.total_bytes - 3_000_000
    assert store.path.stat().st_size < 1_000_000
