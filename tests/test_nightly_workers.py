from contextlib import closing

from conftest import RECEIVED_MS, SAMPLE

from recsys.config import Config, LearnConfig
from recsys.ingest.detect import expand
from recsys.ingest.load_files import load_files
from recsys.nightly import run as nightly_run
from recsys.nightly import workers
from recsys.nightly.run import run_nightly
from recsys.published import connection
from recsys.published import folder as published_folder


def test_a_nightly_run_is_the_same_by_one_process_or_two(store, tmp_path, monkeypatch):
    load_files(store, expand([SAMPLE]), received_ms=RECEIVED_MS)
    monkeypatch.setattr(nightly_run, "MANY_USERS", 1)
    monkeypatch.setattr(workers, "SHARD", 100)
    config = Config(learn=LearnConfig(days=1, max_choices=300))
    rows = []
    for n_processes in (2, 1):
        folder = tmp_path / str(n_processes)
        report = run_nightly(
            store, folder, as_of_ms=RECEIVED_MS, config=config, n_processes=n_processes
        )
        assert report.heads["retrieval"].n > 200
        store.derived.drop_examples(0)  # so that the second run builds its own
        with closing(connection.connect(published_folder.run_path(folder, report.run_id))) as conn:
            rows.append(
                [
                    conn.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()
                    for table in ("users", "arrays")
                ]
            )
    assert len(rows[0][0]) > 300
    assert rows[0] == rows[1]
