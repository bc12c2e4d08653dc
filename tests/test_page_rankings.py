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


def of_languages(counts, config):
    """Return rankings of live articles, so many of each language ("" for none)."""
    languages = sorted({"", *counts})
    numbers = np.repeat([languages.index(name) for name in counts], list(counts.values()))
    n = len(numbers)
    model = random_model(0, n_live=n, n_known=n, config=config_of(config, "test"))
    return Rankings(dataclasses.replace(model, language=numbers, languages=languages))


def test_the_language_of_a_site_is_that_of_most_live_articles_or_of_the_settings():
    assert of_languages({"da": 6, "de": 6, "": 9}, {}).site_language == "da"  # ties by name
    assert of_languages({"": 9}, {}).site_language == ""
    given = of_languages({"da": 6, "de": 5}, {"page": {"language": "DE-at"}})
    assert given.site_language == "de"


def test_a_page_has_the_language_of_its_layout_or_article_or_of_the_site():
    settings = {"page": {"languages": {"front": "fr"}}, "layouts": {"front": {"must_reads": {}}}}
    ranked = of_languages({"da": 6, "de": 2, "": 1}, settings)
    layouts = layouts_of(ranked.model.config)
    assert ranked.language_of(layouts["front"], 7) == "fr"
    asked = [ranked.language_of(layouts["article"], context) for context in (None, 0, 7, 8)]
    assert asked == ["da", "da", "de", "da"]


def test_a_language_of_few_articles_is_that_of_the_words_only():
    ranked = of_languages({"da": 6, "de": 5, "fr": 4}, {})  # [page] n is 5
    names = ranked.model.languages
    assert [names[ranked.language_number(name)] for name in ("da", "de", "fr", "xx", "")] == [
        *("da", "de", "da", "da", "da")
    ]
    few = of_languages({"da": 4, "": 20}, {})
    assert few.language_number("da") == few.language_number("") == 0


def test_a_list_bars_articles_in_other_languages_unless_its_filter_names_languages():
    settings = {"layouts": {"all": {"own": {"scorer": "latest", "filter": {"language": "de"}}}}}
    ranked = of_languages({"da": 6, "de": 5, "": 3}, settings)
    (own,) = layouts_of(ranked.model.config)["all"].lists
    danish = ranked.language_number("da")
    barred = ranked.barred(ALL["latest"], NO_RULES, danish)
    assert barred.tolist() == [False] * 6 + [True] * 5 + [False] * 3
    assert ranked.barred(ALL["latest"], NO_RULES) is None
    assert ranked.barred(own, NO_RULES, danish) is None  # its filter is a mask of the run
    alone = of_languages({"da": 6, "": 3}, {})
    assert alone.barred(ALL["latest"], NO_RULES, alone.language_number("da")) is None
