"""Steps of long work are log records with numbers, counts and seconds."""

import logging
import subprocess
import sys

import pytest

from recsys.steps import Steps, step

LOG = logging.getLogger("recsys.tests")


def test_a_step_is_logged_when_it_begins_and_when_it_has_ended(caplog):
    caplog.set_level("DEBUG", "recsys")
    with step(LOG, "read", number=2, total=5) as counts:
        counts |= {"live_articles": 3, "users": 0}
    begun, ended = caplog.records
    assert (begun.levelname, begun.getMessage()) == ("DEBUG", "2 of 5: read begins")
    assert (begun.step.seconds, begun.step.counts) == (None, {})
    assert ended.levelname == "INFO"
    assert ended.getMessage().startswith("2 of 5: read: 3 live articles, 0 users, 0.0")
    assert (ended.step.number, ended.step.total, ended.step.counts) == (2, 5, counts)


def test_a_step_without_a_number_is_named_alone_and_one_that_fails_has_no_end(caplog):
    caplog.set_level("DEBUG", "recsys")
    with pytest.raises(KeyError), step(LOG, "read"):
        raise KeyError
    assert [record.getMessage() for record in caplog.records] == ["read begins"]


def test_steps_have_the_number_of_those_that_have_ended(caplog):
    caplog.set_level("INFO", "recsys")
    steps = Steps(3)
    with steps.step(LOG, "learn"), steps.step(LOG, "run"):
        pass
    with steps.step(LOG, "lists"):
        pass
    said = [record.getMessage().rpartition(":")[0] for record in caplog.records]
    assert said == ["1 of 3: run", "2 of 3: learn", "3 of 3: lists"]
    with Steps().step(LOG, "run"):
        pass
    assert caplog.records[-1].getMessage().startswith("run: ")


def test_the_package_prints_nothing_where_the_caller_does_not_log():
    code = "import recsys, logging; logging.getLogger('recsys.x').warning('w')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
