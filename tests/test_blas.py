"""What is written to a run is computed on one thread of BLAS, and so is what judges it."""

import logging
import platform
import re
import shutil
import subprocess
import sys
from contextlib import closing

import pytest
import threadpoolctl
from conftest import RECEIVED_MS
from newsroom import at, environment, well

from recsys.blas import blas_on_one_thread, kernels
from recsys.config import Config, LearnConfig
from recsys.evaluation.run import evaluate
from recsys.evaluation.tune import search_settings
from recsys.nightly import run as nightly_run
from recsys.nightly.run import run_nightly
from recsys.operations.compare_runs import compare_runs
from recsys.published import connection, run_file
from recsys.published import folder as published_folder
from recsys.rows import from_ms
from recsys.store.database import Store

DAY_MS = 24 * 3_600_000


def blas_threads(info=None):
    """Return the numbers of threads of the BLAS libraries, each once."""
    info = threadpoolctl.threadpool_info() if info is None else info
    return {library["num_threads"] for library in info if library["user_api"] == "blas"}


@pytest.fixture
def many_threads():
    with threadpoolctl.threadpool_limits(3, "blas"):
        assert blas_threads() == {3}
        yield


def test_blas_has_its_threads_again_after_the_block(many_threads):
    with blas_on_one_thread():
        assert blas_threads() == {1}
    assert blas_threads() == {3}


def test_processes_of_a_run_use_one_thread_of_blas():
    with nightly_run._workers(2) as workers:
        assert blas_threads(workers.submit(threadpoolctl.threadpool_info).result()) == {1}


@pytest.mark.slow
def test_a_run_is_the_same_on_any_number_of_threads(sample, tmp_path):
    found = []
    for n_threads in (1, 2, 3):
        path, folder = tmp_path / f"{n_threads}.db", tmp_path / str(n_threads)
        shutil.copy(sample.store, path)
        with Store(path) as store, threadpoolctl.threadpool_limits(n_threads):
            store.derived.drop_examples(0)
            config = Config(learn=LearnConfig(days=2))
            report = run_nightly(store, folder, as_of_ms=RECEIVED_MS, config=config)
            assert all(head.n > 200 for head in report.heads.values())
            run_nightly(store, folder, as_of_ms=RECEIVED_MS + 1000, kind="refresh")
        for run_id in published_folder.run_ids(folder):
            run = published_folder.run_path(folder, run_id)
            with closing(connection.connect(run)) as conn:
                found.append(run_file.digests(conn, run))
    assert found[0::2] == [found[0]] * 3  # the nightly runs
    assert found[1::2] == [found[1]] * 3  # the refreshes


needs_openblas = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64") or "openblas" not in kernels()["BLAS"],
    reason="only OpenBLAS on x86-64 has kernels of these names",
)
CORES = ("Haswell", "Zen", "Nehalem", "Prescott")


@needs_openblas
def test_the_kernels_that_the_environment_chooses_are_named():
    code = "import recsys.nightly; from recsys.blas import kernels; print(kernels()['BLAS'])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(OPENBLAS_CORETYPE="Nehalem"),
        capture_output=True,
        text=True,
        check=True,
    )
    named = done.stdout.strip().split(", ")
    assert named
    assert all(re.fullmatch(r"openblas [\d.]+ Nehalem", name) for name in named)


@pytest.mark.slow
@needs_openblas
def test_kernels_of_other_processors_change_no_page_of_the_sample(sample, tmp_path):
    (tmp_path / "quick.toml").write_text("[learn]\ndays = 1\nmin_choices = 100\n")
    made = {}
    for core, n_threads in [(None, 1), *((core, n) for core in CORES for n in (1, 3))]:
        store, folder = tmp_path / "s.db", tmp_path / f"{core} {n_threads}"
        shutil.copy(sample.store, store)
        with Store(store) as opened:
            opened.derived.drop_examples(0)  # they were built with the kernels of this processor
        chosen = {"OMP_NUM_THREADS": str(n_threads)}
        chosen |= {} if core is None else {"OPENBLAS_CORETYPE": core}
        night = ("nightly", "--store", store, "--published", folder, "--config", "quick.toml")
        well(tmp_path, *night, "--as-of", at(0), env=environment(**chosen))
        made[core, n_threads] = folder
    run_id = published_folder.current_run(made[None, 1])
    for core in CORES:
        one, three = made[core, 1], made[core, 3]
        assert compare_runs(one, run_id, run_id, second_folder=three).is_same
        found = compare_runs(made[None, 1], run_id, run_id, second_folder=one)
        assert (found.added, found.removed) == ([], [])
        assert set(found.share_kept.values()) == {1.0}
        assert found.n_compared > 1000
        assert all(before == after for before, after in found.front_page.values())


class Seen(Exception):
    """Ends a command at its first step."""


def test_evaluation_and_tuning_use_one_thread_of_blas(sample, many_threads, monkeypatch, caplog):
    def see(record):
        raise Seen(blas_threads())

    caplog.set_level("DEBUG", "recsys")
    for name in ("recsys.evaluation.backtest", "recsys.evaluation.tune"):
        monkeypatch.setattr(logging.getLogger(name), "filters", [see])
    with Store(sample.store) as store:
        with pytest.raises(Seen, match=r"\{1\}"):
            evaluate(
                store,
                Config(),
                ["nightly"],
                test_from=from_ms(RECEIVED_MS - DAY_MS),
            )
        with pytest.raises(Seen, match=r"\{1\}"):
            search_settings(
                store,
                Config(),
                "nightly",
                before_ms=RECEIVED_MS,
                n_days=1,
                n_trials=1,
            )
