import math

import numpy as np
import pytest
from naive_pages import random_model, random_user

from recsys.blend.linear import total_score
from recsys.config_file import config_of
from recsys.evaluation.page_methods import (
    FRONTIER,
    PAGE_METHODS,
    RANKS_ALONE,
    Frontier,
    chosen_for_clicks,
    chosen_for_exposure,
    cut,
    pages_by_method,
)
from recsys.metrics import Interval
from recsys.page.build import PageBuilder


def built_of(seed, tables=None):
    config = config_of(tables or {}, "test")
    model = random_model(seed, n_live=100, n_known=140, config=config)
    user = random_user(np.random.default_rng(seed), model)
    builder = PageBuilder(model)
    return builder, user, builder.page(user, None, builder.layouts["article"])


def indices(built):
    return {name: [slot.live_index for slot in slots] for name, slots in built.lists.items()}


@pytest.mark.parametrize("seed", range(4))
def test_one_ranking_has_the_best_stories_by_the_users_score(seed):
    builder, _, built = built_of(seed)
    scores, story = total_score(built.parts, 100), builder.model.story
    expected, used = [], set()
    for article in sorted(range(100), key=lambda a: (-float(scores[a]), a)):
        if not built.closed[article] and int(story[article]) not in used:
            used.add(int(story[article]))
            expected.append(article)
    pages = pages_by_method(builder, built)
    assert list(pages) == list(PAGE_METHODS)
    assert [a for shown in pages["one ranking"].values() for a in shown] == expected[:21]
    assert [len(shown) for shown in pages["one ranking"].values()] == [5, 5, 5, 6]
    assert pages["assignment"] == indices(built)


def test_too_few_articles_leave_the_last_lists_short():
    _, _, built = built_of(0)
    assert [len(shown) for shown in cut([3, 1, 2, 0, 7, 9], built.layout).values()] == [5, 1, 0, 0]


def test_a_point_of_the_frontier_is_the_page_under_its_setting():
    for tables in ({}, {"page": {"own_candidates": 12, "click_share": 0.5}}):
        builder, user, built = built_of(1, tables)
        found = Frontier(builder.model).pages(builder, built, user, (7, 3))
        assert list(found) == list(FRONTIER)
        page = tables.get("page", {})
        own = f"own candidates {page.get('own_candidates', 20)}"
        assert found[own] == indices(built)
        settings = {"click_share": 0.0, "own_candidates": page.get("own_candidates", 20)}
        assert found[RANKS_ALONE] == indices(built_of(1, {"page": settings})[2])
        eight = {"click_share": page.get("click_share", 0.9), "own_candidates": 8}
        assert found["own candidates 8"] == indices(built_of(1, {"page": eight})[2])


def test_what_a_small_chance_draws_a_larger_one_draws_too():
    builder, user, built = built_of(2)
    frontier, first = Frontier(builder.model), indices(built)["you_may_also_like"]
    drawn = {name: set() for name in FRONTIER if name.startswith("explore")}
    for seed in range(60):
        found = frontier.pages(builder, built, user, (7, seed))
        assert found == frontier.pages(builder, built, user, (7, seed))
        for name in drawn:
            shown = found[name]["you_may_also_like"]
            assert shown[:-1] == first[:-1]
            if shown != first:
                drawn[name].add((seed, shown[-1]))
    sizes = [len(found) for found in drawn.values()]
    assert 0 < sizes[0] < sizes[1] < sizes[2] < sizes[3] < 60
    for smaller, larger in zip(drawn.values(), list(drawn.values())[1:], strict=False):
        assert smaller < larger


def test_the_frontiers_join_clicks_to_purpose_and_hits_to_coverage():
    def figures(clicks):
        values = {"clicks": clicks, "hit@5": 0.4, "best: ndcg@5": math.nan, "coverage@5": 0.1}
        values["coverage"] = 0.3
        return {name: Interval(value, value, value) for name, value in values.items()}

    frontier = {name: figures(1.0 + i) for i, name in enumerate(FRONTIER)}
    pages = {"one ranking": figures(9.0), "assignment": figures(2.0)}
    clicks = chosen_for_clicks(pages, frontier)
    assert list(clicks) == ["hit@5", "best: ndcg@5"]
    assert clicks["hit@5"] == [
        *((label, 1.0 + i, 0.4, True) for i, label in enumerate(("0", "8", "12", "20", "40"))),
        ("one ranking", 9.0, 0.4, False),
    ]
    exposure = chosen_for_exposure(pages, frontier)
    assert exposure["of the whole page"] == [
        (label, 0.4, 0.3, True) for label in ("0", "0.05", "0.1", "0.2", "0.5")
    ]
    without = {name: {"coverage": found["coverage"]} for name, found in frontier.items()}
    assert chosen_for_exposure({"assignment": {}}, without)["of the whole page"] == []
