import msgspec
from conftest import QUICK, RECEIVED_MS

from recsys.config import LearnConfig
from recsys.evaluation.backtest import evaluated_runs
from recsys.evaluation.full_list import LIST_LENGTH, make_full_lists, noons
from recsys.evaluation.full_list_report import full_list_report
from recsys.learn.examples import ExampleBuilder
from recsys.learn.past_runs import PastRuns
from recsys.learn.protocols import DAY_MS
from recsys.rows import HOUR_MS

FROM_MS = RECEIVED_MS - 2 * DAY_MS


def test_the_hours_after_a_noon_are_inside_the_span():
    noon = 12 * HOUR_MS
    assert list(noons(0, 2 * DAY_MS)) == [noon, noon + DAY_MS]
    assert list(noons(noon + 1, 2 * DAY_MS)) == [noon + DAY_MS]
    assert list(noons(0, DAY_MS - 1)) == []


def test_a_span_without_a_noon_has_no_lists(sample_store):
    past = PastRuns(sample_store, msgspec.structs.replace(QUICK, learn=LearnConfig(days=0)))
    span = {"from_ms": FROM_MS, "before_ms": FROM_MS + 1}
    full = make_full_lists(past, evaluated_runs(ExampleBuilder(past), ["nightly"], **span))
    assert full.relevant == []
    assert all(lists.shape == (0, LIST_LENGTH) for lists in full.lists.values())
    assert full_list_report(full).n_lists == 0
