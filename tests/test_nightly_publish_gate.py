import dataclasses
import json
import math
import shutil

import numpy as np
import pytest
from conftest import IDS_ALONE, LISTS, current_run, user_state

from recsys import Recommender
from recsys.config import Config, PublishConfig
from recsys.nightly import publish_gate
from recsys.nightly.publish_gate import (
    Vitals,
    compare_vitals,
    evenly_spaced,
    frozen_lists,
    measure_vitals,
    non_finite_signals,
    publish_problems,
)
from recsys.nightly.run import run_nightly
from recsys.published import folder as published_folder
from recsys.rows import HOUR_MS

LAST = Vitals(
    as_of_ms=1000 * HOUR_MS,
    counts={"live_articles": 100, "users": 1000, "clicks": 5000},
    n_pages=201,
    n_shown_articles=80,
    short_page_share=0.1,
    cold_user_share=0.2,
    score_spread=30.0,
    front_page={name: [f"{name} {i}" for i in range(5)] for name in LISTS},
    never_shown=[],
    auc={"retrieval": 0.9, "ranking, nightly": 0.65},
)

NEXT = dataclasses.replace(
    LAST,
    as_of_ms=1024 * HOUR_MS,
    front_page={name: [f"new {i}" for i in range(5)] for name in LISTS},
)


def problems(**changes):
    vitals = dataclasses.replace(NEXT, **changes)
    return compare_vitals(vitals, dataclasses.asdict(LAST), "run 1", PublishConfig())


def test_a_run_like_the_last_one_has_no_problems():
    assert problems() == []


def test_a_run_at_the_limits_has_no_problems():
    # Half of each count, 25 points more bad pages, a tenth of the spread, .09 less AUC.
    assert (
        problems(
            counts={name: n // 2 for name, n in LAST.counts.items()},
            n_shown_articles=40,
            short_page_share=0.35,
            cold_user_share=0.45,
            score_spread=3.0,
            auc={"retrieval": 0.81, "ranking, nightly": 0.56},
        )
        == []
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"counts": LAST.counts | {"live_articles": 49}}, "49 live articles, 100 in run 1"),
        ({"counts": LAST.counts | {"users": 499}}, "499 users, 1000 in run 1"),
        (
            {"counts": LAST.counts | {"clicks": 2499}},
            "2499 clicks, 5000 in run 1: below [publish] min_share_of_last_run = 0.5",
        ),
        ({"n_shown_articles": 39}, "39 different articles on the sample pages, 80 in run 1"),
        (
            {"short_page_share": 0.36},
            "36% of pages have empty slots, 10% in run 1: more than [publish] max_worse_share",
        ),
        ({"cold_user_share": 0.46}, "46% of users have no ALS factors, 20% in run 1"),
        (
            {"score_spread": 2.9},
            "scores of You May Also Like spread over 2.9, over 30.0 in run 1",
        ),
        ({"as_of_ms": 999 * HOUR_MS}, "1.0 hours earlier than run 1: has a clock gone back?"),
        (
            {"auc": {"retrieval": 0.79}},
            "retrieval: AUC 0.790 on the latest choices, 0.900 in run 1",
        ),
        ({"auc": {"new head": 0.49}}, "new head: AUC 0.490"),
    ],
)
def test_a_run_that_is_much_worse_has_one_problem(changes, expected):
    found = problems(**changes)
    assert len(found) == 1
    assert expected in found[0]


def test_lists_that_must_move_are_frozen_after_half_a_day(by_hand):
    meta = dataclasses.replace(
        current_run(by_hand.folder).meta, run_id="run 1", vitals=dataclasses.asdict(LAST)
    )
    same = dataclasses.replace(NEXT, front_page=LAST.front_page)
    assert frozen_lists(NEXT, meta, Config()) == []
    (said,) = frozen_lists(same, meta, Config())
    assert said.startswith(
        "frozen lists: popular_now, latest_stories are the same as in run 1, 24 hours ago"
    )
    early = dataclasses.replace(same, as_of_ms=LAST.as_of_ms + 11 * HOUR_MS)
    assert frozen_lists(early, meta, Config()) == []


def test_sample_indices_are_evenly_spaced():
    assert evenly_spaced(0) == []
    assert evenly_spaced(3) == [0, 1, 2]
    found = evenly_spaced(10_000)
    assert (len(found), found[0], found[-1]) == (publish_gate.SAMPLE_SIZE, 0, 9999)
    assert set(np.diff(found)) == {101}


def test_vitals_are_what_the_sample_pages_show(by_hand):
    run = current_run(by_hand.folder)
    ids = [article.article_id for article in run.articles]
    live = [ids[row] for row in run.model.live.live_rows]
    users = [user_state(run, user_id) for user_id in ("u0007", "u0008")]
    cold = dataclasses.replace(users[0], factors=np.zeros_like(users[0].factors))
    counts, auc = {"users": 3}, {"retrieval": 0.7}
    found = measure_vitals(run.model, ids, [*users, cold], run.as_of_ms, counts, auc)
    page = Recommender(by_hand.folder).recommend(as_of=by_hand.as_of)
    assert found.front_page == {name: [slot.article_id for slot in page[name]] for name in LISTS}
    assert found.n_pages == 1 + min(len(live), publish_gate.SAMPLE_SIZE) + 3
    assert found.cold_user_share == pytest.approx(1 / 3)
    assert found.short_page_share == 0.0
    n_never = len(live) - found.n_shown_articles
    assert len(found.never_shown) == min(n_never, publish_gate.MAX_NAMED)
    assert set(found.never_shown) <= set(live)
    on_front_page = {article_id for ids in found.front_page.values() for article_id in ids}
    assert not set(found.never_shown) & on_front_page
    assert found.score_spread > 1.0
    assert by_hand.report.vitals.front_page == found.front_page


def test_signals_with_values_that_are_not_finite_are_named(by_hand):
    model = current_run(by_hand.folder).model
    assert non_finite_signals(model) == []
    rise = model.rise.copy()
    rise[3] = math.nan
    assert non_finite_signals(dataclasses.replace(model, rise=rise)) == [
        "rise: some values are not finite numbers"
    ]


def test_a_run_is_compared_with_the_last_run_of_the_folder(by_hand, tmp_path):
    run = current_run(by_hand.folder)
    vitals = by_hand.report.vitals
    few = dataclasses.replace(vitals, counts=vitals.counts | {"clicks": 1})
    no_live = {"live_articles": 0, "articles": 5, "articles_without_title": 0}
    assert publish_problems(run.meta, None, run.model, tmp_path, no_live)[0].startswith("no live")
    assert publish_problems(run.meta, few, run.model, tmp_path, {}) == []  # no last run
    found = publish_problems(run.meta, few, run.model, by_hand.folder, {})
    assert len(found) == 1
    assert f"1 clicks, {vitals.counts['clicks']} in {run.meta.run_id}" in found[0]
    # A forged pointer, to before all runs, does not hide the last run where there is a key.
    shutil.copytree(by_hand.folder, tmp_path / "forged")
    (tmp_path / "forged" / "current").write_text("000000-x\n")
    assert publish_problems(run.meta, few, run.model, tmp_path / "forged", {}) == []
    key = b"the key of the night"
    assert publish_problems(run.meta, few, run.model, tmp_path / "forged", {}, key) == found


def test_a_refresh_is_not_compared_with_the_clicks_of_a_nightly_run(store, load, tmp_path):
    """Most clicks are older than the days that a refresh reads."""
    day = 24 * 3600
    lines = [
        {"user_id": f"u{i % 40}", "article_id": f"a{i % 30}", "clicked_at": 1_772_400_000 - age}
        for i in range(200)
        for age in ((12 * day + i,) if i % 10 else (12 * day + i, 3600 + i))
    ]
    load({"c.jsonl": "".join(json.dumps(line) + "\n" for line in lines)})
    folder, as_of_ms = tmp_path / "p", 1_772_400_000_000
    nightly = run_nightly(store, folder, as_of_ms=as_of_ms, config=IDS_ALONE)
    for _ in range(2):
        fresh = run_nightly(
            store, folder, as_of_ms=as_of_ms + HOUR_MS, config=IDS_ALONE, kind="refresh"
        )
    assert fresh.counts["clicks"] < 0.5 * nightly.counts["clicks"]
    assert published_folder.current_run(folder) == fresh.run_id
