from zoneinfo import ZoneInfo

import msgspec
from conftest import QUICK, RECEIVED_MS

from recsys.config import LearnConfig
from recsys.evaluation.backtest import evaluated_runs
from recsys.evaluation.full_list import LIST_LENGTH, make_full_lists, moments
from recsys.evaluation.full_list_report import full_list_report
from recsys.learn.examples import ExampleBuilder
from recsys.learn.past_runs import PastRuns
from recsys.learn.protocols import DAY_MS
from recsys.rows import HOUR_MS

FROM_MS = RECEIVED_MS - 2 * DAY_MS


def hours(from_ms, before_ms, zone=None):
    return [ms / HOUR_MS for ms in moments(from_ms, before_ms, zone)]


def test_the_hours_after_a_moment_are_inside_the_span():
    assert hours(0, DAY_MS) == [6, 8, 10, 12]
    assert hours(0, DAY_MS - 1) == [6, 8, 10]
    assert hours(6 * HOUR_MS + 1, DAY_MS) == [8, 10, 12]
    assert len(hours(0, 2 * DAY_MS)) == 9 + 4
    assert hours(0, 2 * DAY_MS)[8:10] == [22, 24 + 6]


def test_moments_are_of_the_local_day():
    # 1970 began in winter: Berlin was an hour ahead of UTC, Kolkata five and a half.
    assert hours(0, DAY_MS, ZoneInfo("Europe/Berlin")) == [5, 7, 9, 11]
    assert hours(0, DAY_MS, ZoneInfo("Asia/Kolkata"))[:2] == [0.5, 2.5]


def test_a_span_without_a_moment_has_no_lists(sample_store):
    past = PastRuns(sample_store, msgspec.structs.replace(QUICK, learn=LearnConfig(days=0)))
    span = {"from_ms": FROM_MS, "before_ms": FROM_MS + 1}
    full = make_full_lists(past, evaluated_runs(ExampleBuilder(past), ["nightly"], **span))
    assert full.relevant == []
    assert all(lists.shape == (0, LIST_LENGTH) for lists in full.lists.values())
    assert full_list_report(full).n_lists == 0
