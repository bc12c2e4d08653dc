import dataclasses

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from naive_pages import random_model

from recsys.config_file import config_of
from recsys.page.list_table import layouts_of
from recsys.page.rankings import Rankings, boosts_of, expected_clicks, top_n
from recsys.page.rules import EVERY, NO_RULES

SCORERS = ("personal", "similar", "popular", "expected", "rising", "important", "latest")
SCORERS += ("popular_in",)
CONFIG = config_of({"layouts": {"all": {name: {"scorer": name} for name in SCORERS}}}, "test")
ALL = {of.scorer: of for of in layouts_of(CONFIG)["all"].lists}


@given(st.lists(st.floats(-1e6, 1e6, width=32), max_size=60), st.integers(0, 20))
def test_top_n_agrees_with_plain_sorting(scores, n):
    naive = sorted(range(len(scores)), key=lambda i: (-scores[i], i))[:n]
    assert top_n(np.array(scores, dtype=np.float32), n).tolist() == naive


def test_an_order_of_all_users_is_that_of_its_values():
    model = random_model(1)
    ranked = Rankings(model)
    assert ranked.order(ALL["rising"], 0).tolist() == sorted(
        range(60), key=lambda i: (-model.rise[i], i)
    )
    popularity = model.live.static["popularity"]
    assert ranked.order(ALL["popular"], 0).tolist() == sorted(
        range(60), key=lambda i: (-np.float32(0.9) * popularity[i], i)
    )
    assert ranked.order(ALL["latest"], 0).tolist() == model.newest.tolist()
    assert ranked.order(ALL["personal"], 0) is None


def test_beside_an_article_its_section_comes_first():
    model = random_model(2)
    ranked, section = Rankings(model), model.live.category[model.live.live_rows]
    for scorer in ("latest", "popular_in"):
        order = ranked.order(ALL[scorer], 2)
        n = int((section == 2).sum())
        assert (section[order[:n]] == 2).all()
        assert (section[order[n:]] != 2).all()
        assert sorted(order.tolist()) == list(range(60))


def test_a_list_without_filter_and_rules_bars_nothing():
    assert Rankings(random_model(0)).barred(ALL["latest"], NO_RULES) is None


def test_a_list_bars_what_its_filter_leaves_out_and_what_rules_bar():
    model = random_model(0)
    passes, blocked = np.arange(60) < 30, np.arange(60) == 7
    model = dataclasses.replace(model, filters={"all.latest": passes})
    editorial = dataclasses.replace(NO_RULES, barred={EVERY: blocked})
    ranked = Rankings(model)
    assert ranked.barred(ALL["latest"], editorial).tolist() == (~passes | blocked).tolist()
    assert ranked.barred(ALL["popular"], editorial).tolist() == blocked.tolist()


def test_boosts_of_the_page_and_of_the_list_add_up():
    one, two = np.ones(3), np.array([0.0, 2.0, 0.0])
    editorial = dataclasses.replace(NO_RULES, boosts={EVERY: one, "latest": two})
    assert boosts_of(ALL["latest"], editorial).tolist() == [1.0, 3.0, 1.0]
    assert boosts_of(ALL["popular"], editorial).tolist() == [1.0, 1.0, 1.0]
    assert boosts_of(ALL["popular"], NO_RULES) is None


def test_an_article_without_clicks_comes_after_all_that_have_some():
    static = {
        "forecast_clicks": np.array([0.0, 1.0, 0.5, 0.0], dtype=np.float32),
        "forecast_views": np.zeros(4, dtype=np.float32),
        "forecast_age": np.array([9.0, 0.0, 0.0, 8.0], dtype=np.float32),
        "popularity": np.array([0.0, 2.0, 1.0, 0.0], dtype=np.float32),
    }
    values = expected_clicks(static)
    assert np.argsort(-values).tolist() == [1, 2, 0, 3]
    assert values[1:3].tolist() == [1.0, 0.5]  # those with clicks keep their forecast
    for popularity in (np.zeros(4), np.ones(4)):
        found = expected_clicks(static | {"popularity": popularity.astype(np.float32)})
        assert found.tolist() == [9.0, 1.0, 0.5, 8.0]
