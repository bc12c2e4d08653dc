import dataclasses
import math

import numpy as np
import pytest

from recsys.config import PublishConfig
from recsys.nightly import publish_gate
from recsys.nightly.publish_gate import Vitals, against_last, sampled, vitals_of
from recsys.page.compose import LISTS
from recsys.rows import HOUR_MS, to_ms
from recsys.serving.recommender import Recommender

LAST = Vitals(
    as_of_ms=1000 * HOUR_MS,
    counts={"live_articles": 100, "readers": 1000, "clicks": 5000},
    n_pages=201,
    n_shown=80,
    short=0.1,
    cold=0.2,
    spread=30.0,
    front={name: [f"{name} {i}" for i in range(5)] for name in LISTS},
    never=[],
    auc={"retrieval": 0.9, "ranking, nightly": 0.65},
)
NEXT = dataclasses.replace(
    LAST, as_of_ms=1024 * HOUR_MS, front={name: [f"new {i}" for i in range(5)] for name in LISTS}
)


def problems(**changes):
    tonight = dataclasses.replace(NEXT, **changes)
    return against_last(tonight, dataclasses.asdict(LAST), "run 1", PublishConfig())


def test_a_night_like_the_last_is_served():
    assert problems() == []
    # Just within: half of everything, a quarter worse, a tenth of the spread, .1 less AUC.
    half = {name: n // 2 for name, n in LAST.counts.items()}
    auc = {"retrieval": 0.81, "ranking, nightly": 0.56}
    assert problems(counts=half, n_shown=40, short=0.35, cold=0.45, spread=3.0, auc=auc) == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"counts": LAST.counts | {"live_articles": 49}}, "49 live articles, 100 in run 1"),
        ({"counts": LAST.counts | {"readers": 499}}, "499 readers, 1000 in run 1"),
        ({"counts": LAST.counts | {"clicks": 2499}}, "2499 clicks, 5000 in run 1"),
        ({"n_shown": 39}, "39 different articles on the pages looked at, 80"),
        ({"short": 0.36}, "36% pages with empty slots, 10% in run 1"),
        ({"cold": 0.46}, "46% readers whose page is nearly anybody's, 20% in run 1"),
        ({"spread": 2.9}, "scores differ by 2.9, in run 1 by 30.0"),
        ({"as_of_ms": 999 * HOUR_MS}, "1.0 hours before run 1: has a clock gone back?"),
        ({"front": LAST.front}, "frozen lists: popular_now, latest_stories as in run 1, 24 hours"),
        (
            {"auc": {"retrieval": 0.79}},
            "retrieval: AUC 0.790 on yesterday's choices, 0.900 in run 1",
        ),
        ({"auc": {"new head": 0.49}}, "new head: AUC 0.490"),
    ],
)
def test_a_night_that_is_not_is_held(changes, says):
    found = problems(**changes)
    assert len(found) == 1
    assert says in found[0]


def test_lists_may_stay_for_half_a_day():
    assert problems(front=LAST.front, as_of_ms=LAST.as_of_ms + 11 * HOUR_MS) == []


def test_places_are_looked_at_at_even_steps():
    assert sampled(0) == []
    assert sampled(3) == [0, 1, 2]
    found = sampled(10_000)
    assert (len(found), found[0], found[-1]) == (publish_gate.SAMPLED, 0, 9999)
    assert set(np.diff(found)) == {101}


def test_vitals_tell_what_pages_show(by_hand):
    recommender = Recommender(by_hand.folder)
    run = recommender._current()
    ids = [article.article_id for article in run.articles]
    live = [ids[row] for row in run.model.live.live_rows]
    readers = [recommender._reader(run, user) for user in ("u0007", "u0008")]
    cold = dataclasses.replace(readers[0], factors=np.zeros_like(readers[0].factors))
    as_of_ms = to_ms(by_hand.as_of)
    found = vitals_of(
        run.model, ids, [*readers, cold], as_of_ms, {"readers": 3}, {"retrieval": 0.7}
    )
    page = recommender.recommend(as_of=by_hand.as_of)
    assert found.front == {name: [slot.article_id for slot in page[name]] for name in LISTS}
    assert found.n_pages == 1 + min(len(live), publish_gate.SAMPLED) + 3
    assert found.cold == pytest.approx(1 / 3)
    assert found.short == 0.0
    assert len(found.never) == min(len(live) - found.n_shown, publish_gate.NAMED)
    assert set(found.never) <= set(live)
    assert not set(found.never) & {article for ids in found.front.values() for article in ids}
    assert found.spread > 1.0
    assert by_hand.report.vitals.front == found.front


def test_numbers_that_are_none_are_named(by_hand):
    model = Recommender(by_hand.folder)._current().model
    assert publish_gate.bad_numbers(model) == []
    rise = model.rise.copy()
    rise[3] = math.nan
    assert publish_gate.bad_numbers(dataclasses.replace(model, rise=rise)) == [
        "rise: some are not finite numbers"
    ]
