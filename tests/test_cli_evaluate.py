import json
import shutil

import pytest
from conftest import RECEIVED_MS
from newsroom import run

from recsys.rows import HOUR_MS, iso

LAST_HOUR = ("--test-from", iso(RECEIVED_MS - HOUR_MS))


@pytest.fixture(scope="module")
def site(sample, tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    shutil.copy(sample.store, folder / "s.db")
    (folder / "quick.toml").write_text("[learn]\ndays = 1\nmin_choices = 100\n")
    (folder / "mine.csv").write_text("article_id,score\na0001,1\n")
    (folder / "mood.jsonl").write_text('{"article_id": "a0001", "value": 2}\n')
    return folder


def evaluate(site, *options):
    return run(site, "evaluate", "--store", "s.db", "--config", "quick.toml", *options)


def test_an_evaluation_says_its_steps_and_those_of_longer_ones_before_it_starts(site):
    options = ("--scores", "mine.csv", "--signal", "spirit=mood.jsonl", "--json", "r.json")
    done = evaluate(site, *LAST_HOUR, *options, "--html", "r.html")
    assert done.status == 0, done
    assert "steps of this evaluation: 6, --protocol all: " in done.said
    assert "--ablate: 16" in done.said
    assert "holds no moment (every two hours" in done.said
    assert "holds no moment (every two hours" in done.out
    assert "full list" not in done.out
    assert "nan" not in done.out
    assert "mine: its metrics, paired, " in done.out
    assert "without signal spirit: AUC" in done.out
    report = json.loads((site / "r.json").read_text("utf-8"))
    assert {"mine", "spirit", "blend"} <= set(report["systems"])
    assert report["command"].endswith("--json r.json --html r.html")
    assert report["evaluated_at"] is not None
    assert "recsys evaluate" in (site / "r.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (("--scores", "mine.csv", "--scores", "mine.csv"), 2, "two files are named mine"),
        (("--scores", "absent.csv"), 2, "absent.csv: refused: cannot be read"),
        (("--signal", "Mood=mood.jsonl"), 1, "the name of a signal is lower-case letters"),
        (("--test-from", "2030-01-01"), 2, "the store has no impression from 2030-01-01"),
    ],
)
def test_wrong_options_are_named_before_the_work(site, options, status, message):
    done = evaluate(site, *options)
    assert done.status == status
    assert message in " ".join(done.said.replace("│", " ").split())
    assert "about the time" not in done.said


def test_a_nightly_run_and_its_refresh_take_a_signal_of_a_file(site):
    where = ("--store", "s.db", "--published", "p", "--signal", "mood.jsonl")
    config = ("--config", "quick.toml")
    first = run(site, "nightly", *where, *config, "--as-of", iso(RECEIVED_MS - HOUR_MS))
    assert first.status == 0, first
    assert run(site, "refresh", *where, "--as-of", iso(RECEIVED_MS)).status == 0
    without = run(site, "refresh", *where[:4], "--as-of", iso(RECEIVED_MS + 1))
    assert without.status == 1
    assert "the own signals mood, but none are given" in without.said
