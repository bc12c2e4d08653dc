"""The log of long commands: lines, JSON, levels, a bar on a terminal, and nothing that acts."""

import json
import logging
import os
import pty
import re
import subprocess

import pytest
from newsroom import BOTH, COMMAND, NIGHT, STORE, at, copied, environment, run, well
from rich.progress import Progress

from recsys.cli import logs
from recsys.nightly.run_report import STAGES
from recsys.steps import StepRecord

N_STAGES = len(STAGES["nightly"])
WICKED = "\x1b[2Jx\u202ey\r\n\x7fz"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


@pytest.fixture(scope="module")
def here(newsroom, tmp_path_factory):
    return copied(newsroom, tmp_path_factory.mktemp("logs") / "here")


def record_of(message, **fields):
    record = logging.LogRecord("recsys.x", logging.INFO, "", 0, message, (), None)
    record.__dict__.update(fields)
    return record


def test_no_line_of_a_log_acts_on_a_terminal():
    line = logs.LineFormatter().format(record_of(WICKED))
    assert re.fullmatch(TIME + r" info: \\x1b\[2Jx\\u202ey\\r\\n\\x7fz", line)
    step = StepRecord(WICKED, 1, 2, {"users": 3}, 0.5)
    line = logs.JsonFormatter().format(record_of(WICKED, step=step))
    assert line.isprintable()
    found = json.loads(line)
    assert found["message"] == found["step"] == WICKED
    assert (found["number"], found["total"], found["seconds"]) == (1, 2, 0.5)
    assert found["counts"] == {"users": 3}


def test_a_night_logs_one_line_a_stage_with_its_number_and_seconds(here):
    said = well(here, *NIGHT, at(1)).said.splitlines()
    assert all(re.match(f"{TIME} (info|warning): ", line) for line in said)
    begun = re.search(r"nightly run 000003-\S+ begins, as of 2026-03-02T07:00:00Z$", said[0])
    assert begun
    of_a_stage = re.compile(rf": (\d+) of {N_STAGES}: ([\w ]+): ")
    stages = [found for line in said if (found := of_a_stage.search(line))]
    assert [found[2] for found in stages] == list(STAGES["nightly"])
    assert [int(found[1]) for found in stages] == list(range(1, N_STAGES + 1))
    assert re.search(r"read: \d+ articles, \d+ live articles, .* \d+\.\d\d s$", said[1])
    assert re.search(r"run 000003-\S+ is published: ", said[-1])


def test_verbose_logs_what_begins_and_quiet_logs_no_progress(here):
    said = well(here, "refresh", *BOTH, "--as-of", at(1.5), "--verbose").said
    assert f" debug: 2 of {len(STAGES['refresh'])}: read begins" in said
    quiet = well(here, "refresh", *BOTH, "--as-of", at(1.75), "--quiet")
    assert (quiet.said, "published" in quiet.out) == ("", True)
    both = run(here, "refresh", *BOTH, "--quiet", "--verbose")
    assert both.status == 2
    assert "exclude each other" in both.said


def test_a_log_of_json_has_the_error_too(here):
    done = run(here, *NIGHT, at(24 * 300), "--log-json")
    records = [json.loads(line) for line in done.said.splitlines()]
    assert (done.status, records[-1]["level"]) == (3, "error")
    # A run without live articles names the newest data.
    assert re.search(r"the newest data of the store: article 2026-.*, click 2026-", done.said)
    assert [r["step"] for r in records if r.get("total") == N_STAGES] == list(STAGES["nightly"])


@pytest.mark.slow
def test_evaluation_is_not_silent(here):
    done = run(here, "evaluate", *STORE, "--config", "c.toml", "--json", "-")
    assert done.status == 0
    assert set(json.loads(done.out)) >= {"protocol", "systems", "full_list"}
    (n_steps,) = re.findall(r"steps of this evaluation: (\d+), --protocol all: \d+", done.said)
    numbers = re.findall(rf": (\d+) of {n_steps}: ", done.said)
    assert [int(number) for number in numbers] == list(range(1, int(n_steps) + 1))
    assert "about the time of this evaluation: " in done.said


def test_the_files_of_an_ingest_are_counted(here):
    (here / "two").mkdir()
    for name in ("a", "b"):
        (here / "two" / f"{name}.jsonl").write_text('{"article_id": "x", "title": "X"}\n')
    said = well(here, "ingest", "two", *STORE).said
    assert re.findall(r"file (\d) of 2: two/(\w)", said) == [("1", "a"), ("2", "b")]


def test_an_ingest_of_many_files_logs_ten_of_them(tmp_path):
    for i in range(25):
        (tmp_path / f"{i}.jsonl").write_text('{"article_id": "x", "title": "X"}\n')
    said = well(tmp_path, "ingest", ".", "--store", "s.db").said.splitlines()
    assert len(said) == 10
    assert "file 25 of 25: " in said[-1]


def test_a_terminal_shows_how_many_of_how_many_stages_are_done(here):
    reader, writer = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *NIGHT, at(2)],
        cwd=here,
        stdout=subprocess.DEVNULL,
        stderr=writer,
        env=environment(TERM="xterm", COLUMNS="120"),
    )
    os.close(writer)
    shown = bytearray()
    try:
        while part := os.read(reader, 65536):
            shown += part
    except OSError:  # the end of a terminal
        pass
    os.close(reader)
    assert process.wait() == 0
    text = shown.decode("utf-8")
    assert f"{N_STAGES} of {N_STAGES}: publish" in text  # the lines
    assert re.search(rf"\b\d+/{N_STAGES}\b", text)  # the bar


def test_a_bar_follows_the_steps_inertly():
    progress = Progress()
    handler = logs.ProgressHandler(progress)
    (task,) = progress.tasks
    handler.emit(record_of("read begins", step=StepRecord("read\x1b[2J", 3, 7)))
    assert (task.description, task.completed, task.total) == (r"read\x1b[2J", 2, 7)
    handler.emit(record_of("read", step=StepRecord("read", 3, 7, {}, 0.1)))
    handler.emit(record_of("within", step=StepRecord("within", seconds=0.1)))
    handler.emit(record_of("no step"))
    assert (task.description, task.completed, task.total) == ("read", 3, 7)


def test_a_night_whose_log_has_no_reader_is_published(here):
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.Popen(
        [*COMMAND, *NIGHT, at(3)],
        cwd=here,
        stdout=subprocess.PIPE,
        stderr=writer,
        env=environment(),
        text=True,
    )
    os.close(writer)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert "published" in said
