"""The assignment of a page by lists of given scores, checked against every page there is."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from naive_pages import (
    RANKS_ONLY,
    candidates,
    looked_at,
    pay_of,
    plain_page,
    random_model,
    random_user,
)
from scipy.sparse import csr_matrix

from recsys.blend.live_model import Rows
from recsys.config_file import config_of
from recsys.evaluation.turn_taking import fill_by_turns
from recsys.page import rankings
from recsys.page.build import PageBuilder
from recsys.page.compose import Cap, Pin
from recsys.page.rules import NO_RULES

NOTHING = np.zeros(0, dtype=np.int64)


def builder_of(first, second, *, story=None, first_list=(), second_list=(), click_share=0.0):
    """A run of two lists with given scores: a by `first` (rising), b by `second` (popular)."""
    n = len(first)
    config = config_of(
        {
            "blend": {"weights": {"popularity": 1.0}},
            "page": {"click_share": click_share},
            "layouts": {
                "article": {
                    "a": {"scorer": "rising", "slots": 2, "minimum": 0} | dict(first_list),
                    "b": {"scorer": "popular", "slots": 2, "minimum": 0} | dict(second_list),
                }
            },
        },
        "test",
    )
    model = random_model(0, n_live=n, n_known=n, config=config)
    none = csr_matrix((n, n), dtype=np.float32)
    empty = Rows(none.indptr.astype(np.int64), none.indices, none.data)
    live = dataclasses.replace(
        model.live,
        static=model.live.static | {"popularity": np.array(second, dtype=np.float32)},
        weights=dict.fromkeys(model.live.weights, 0.0) | {"popularity": 1.0},
        similar=empty,
        item_item=empty,
    )
    return PageBuilder(
        dataclasses.replace(
            model,
            live=live,
            rise=np.array(first, dtype=np.float32),
            story=np.arange(n) if story is None else np.array(story),
        )
    )


def page_of(builder, *, caps=(), pins=()):
    editorial = dataclasses.replace(NO_RULES, caps=tuple(caps), pins=tuple(pins))
    return builder.page(None, None, builder.layouts["article"], editorial=editorial)


def shown(built):
    return {name: [slot.live_index for slot in slots] for name, slots in built.lists.items()}


def test_an_article_goes_where_it_is_worth_most():
    # Both lists want article 1 first; list b has nothing as good, so a takes its second best.
    found = page_of(builder_of([0, 1.0, 0.9, 0.2, 0, 0], [0, 1.0, 0, 0, 0.1, 0]))
    assert shown(found) == {"a": [2, 3], "b": [1, 4]}
    # Worth is 1 for the best and 0 for the fourth, the last of a page of four slots.
    assert found.value == found.bound
    assert found.value == pytest.approx(0.9 + 1.0 + (0.2 + 0.1) / math.log2(3))


def test_a_pin_holds_its_slot_and_its_story():
    story = [0, 1, 2, 3, 2, 5]  # 2 and 4 are one story
    builder = builder_of([0, 9, 8, 7, 0, 0], [0, 1, 9, 0, 5, 0.5], story=story)
    found = shown(page_of(builder, pins=[Pin("b", 1, 4)]))
    assert found["b"][1] == 4
    assert 2 not in found["a"] + found["b"]


def test_a_cap_counts_pins_and_never_takes_one_away():
    group = np.array([0, 0, 0, 1, 1, 2])
    builder = builder_of(
        [9, 8, 0, 7, 1, 2], [0, 0, 0, 0, 0, 0], first_list={"slots": 3}, second_list={"slots": 1}
    )
    found = shown(page_of(builder, caps=[Cap("a", group, 1)], pins=[Pin("a", 2, 2)]))
    assert found["a"] == [3, 5, 2]
    found = shown(page_of(builder, caps=[Cap("a", group, 2)], pins=[Pin("a", 2, 2)]))
    assert found["a"] == [0, 3, 2]


def test_an_exempt_list_may_repeat_a_story_by_another_article():
    story = [0, 0, 2, 3]  # 0 and 1 are one story
    both = ([9, 0, 8, 0], [0, 9, 0, 8])
    strict = shown(page_of(builder_of(*both, story=story)))
    assert sorted(strict["a"] + strict["b"]) != [0, 1, 2, 3]
    one = {"slots": 1}
    exempt = builder_of(
        *both, story=story, first_list=one, second_list={"slots": 1, "exempt": True}
    )
    found = shown(page_of(exempt))
    assert len(found["a"]) == len(found["b"]) == 1
    assert found["a"] != found["b"]


def test_when_articles_run_out_each_list_keeps_its_minimum():
    builder = builder_of(
        [2, 1, 0],
        [2, 1, 0],
        first_list={"slots": 3, "priority": 9.0, "minimum": 1},
        second_list={"slots": 3, "minimum": 1},
    )
    found = shown(page_of(builder))
    assert [len(articles) for articles in found.values()] == [2, 1]


def wishes_of(builder, layout, caps):
    """What each list would show under caps, by article."""
    scored = builder.page(None, None, layout).scored
    found = {}
    for of in layout.lists:
        own = [cap for cap in caps if cap.name in (None, of.name)]
        n = max(layout.n_page, rankings.UNDER_CAPS)
        found[of.name] = dict(
            candidates(builder, scored, of, layout, scored.closed, NO_RULES, n, own)
        )
    return found


def worth_of(wishes, layout, page):
    """What a page is worth by the formula: pay of priority x worth / log2(rank + 1)."""
    return sum(
        pay_of(of.priority / math.log2(rank + 2) * wishes[of.name][article])
        for of in layout.lists
        for rank, article in enumerate(page[of.name])
    )


def is_allowed(layout, page, story, caps):
    articles = [a for of in layout.lists for a in page[of.name]]
    if len({int(story[a]) for a in articles}) < len(articles):
        return False
    for cap in caps:
        counted = [a for name, found in page.items() if cap.name in (None, name) for a in found]
        groups = [int(cap.group[a]) for a in counted if cap.group[a] >= 0]
        if any(groups.count(g) > cap.most for g in groups):
            return False
    return True


def brute_force(wishes, layout, story, caps):
    """The best page of all there are: most slots filled, then most worth."""
    options = [
        [p for n in range(of.n_slots + 1) for p in itertools.permutations(wishes[of.name], n)]
        for of in layout.lists
    ]
    best = (-1, 0.0)
    for chosen in itertools.product(*options):
        page = dict(zip(layout.names, chosen, strict=True))
        if is_allowed(layout, page, story, caps):
            best = max(best, (sum(map(len, chosen)), round(worth_of(wishes, layout, page), 9)))
    return best


# Four articles for four slots: none is worth less than 0 to a list, so no first slot stays empty.
values = st.lists(st.integers(0, 50), min_size=4, max_size=4)


@settings(deadline=None, max_examples=25)
@given(
    values,
    values,
    st.lists(st.integers(0, 3), min_size=4, max_size=4),
    st.sampled_from([1.0, 2.0]),
    st.lists(st.integers(-1, 1), min_size=4, max_size=4),
    st.sampled_from([(), (("a", 1),), ((None, 2), ("b", 1)), ((None, 1),), (("a", 0),)]),
)
def test_no_page_is_better_than_the_composed_one(first, second, links, priority, groups, limits):
    story = np.minimum(np.arange(4), links)
    while (story[story] != story).any():
        story = story[story]
    builder = builder_of(first, second, story=story, first_list={"priority": priority})
    layout = builder.layouts["article"]
    caps = [Cap(name, np.array(groups), most) for name, most in limits]
    found = page_of(builder, caps=caps)
    page = shown(found)
    assert is_allowed(layout, page, story, caps)
    wishes = wishes_of(builder, layout, caps)
    n_filled, worth = brute_force(wishes, layout, story, caps)
    n_found = sum(map(len, page.values()))
    assert worth_of(wishes, layout, page) == pytest.approx(found.value, abs=1e-6)
    if caps:
        assert n_found <= n_filled
        assert found.value <= found.bound + 1e-6
        assert n_found < n_filled or worth <= found.bound + 1e-6
    else:
        assert found.value == found.bound
        assert (n_found, found.value) == (n_filled, pytest.approx(worth, abs=1e-6))


def test_of_too_many_of_a_group_the_best_few_stay_in_whichever_list():
    group = np.array([0, 0, 0, 0, 1, 1])
    # Alone a shows 0, 1 and b 2, 3. First slots count most, so 0 and 2 stay.
    builder = builder_of([10, 9, 0, 0, 1, 0], [0, 0, 8, 7, 0, 2])
    found = shown(page_of(builder, caps=[Cap(None, group, 2)]))
    assert found == {"a": [0, 4], "b": [2, 5]}


def test_taking_turns_is_never_better():
    for seed in range(10):
        model = random_model(seed, config=RANKS_ONLY)
        builder = PageBuilder(model)
        layout = builder.layouts["article"]
        user = random_user(np.random.default_rng(seed), model)
        built = builder.page(user, None, layout)
        orders = {of.name: builder.rankings.alone(of, built.scored).tolist() for of in layout.lists}
        closed = np.flatnonzero(built.scored.closed)
        turns = fill_by_turns(orders, layout, model.story, closed)
        wishes = {
            of.name: dict(
                candidates(
                    builder,
                    built.scored,
                    of,
                    layout,
                    built.scored.closed,
                    NO_RULES,
                    64,
                    [cap for cap in builder.rankings.caps(layout) if cap.name == of.name],
                )
            )
            for of in layout.lists
        }
        worth = sum(
            pay_of(
                of.priority * looked_at(model.examination, of.name, rank) * wishes[of.name][article]
            )
            for of in layout.lists
            for rank, article in enumerate(
                a for a in turns[of.name] if a in wishes[of.name]
            )  # what a list does not even wish for is worth nothing to it
        )
        assert worth <= built.bound + 1e-6
        filled = [a for articles in turns.values() for a in articles]
        assert len({int(model.story[a]) for a in filled}) == len(filled)


def test_a_page_under_pins_caps_and_boosts_is_the_twins():
    model = random_model(3, n_live=150, n_known=200)
    builder, rng = PageBuilder(model), np.random.default_rng(5)
    layout = builder.layouts["article"]
    editorial = dataclasses.replace(
        NO_RULES,
        caps=(Cap(None, rng.integers(-1, 9, 150), 3),),
        pins=(Pin("popular_now", 0, 17),),
        boosts={"": rng.random(150)},
    )
    user = random_user(rng, model)
    built = builder.page(user, 11, layout, editorial=editorial)
    assert shown(built) == plain_page(builder, user, 11, layout, editorial)


def test_of_a_lists_best_candidates_the_likeliest_clicks_are_shown():
    # By popularity, the score of this page, b wants 5, 4, 3; a wants 0, 1, 2 by its own ranks.
    first, second = [1.0, 0.9, 0.8, 0.1, 0.0, 0.0], [0.0, 0.0, 2.0, 3.0, 4.0, 5.0]
    assert shown(page_of(builder_of(first, second))) == {"a": [0, 1], "b": [5, 4]}
    built = page_of(builder_of(first, second, click_share=1.0))
    # All are among the best 20 of list a; 5 and 4 are likeliest to be clicked, then 3 and 2.
    found = shown(built)
    assert {found["a"][0], found["b"][0]} == {5, 4}
    assert {found["a"][1], found["b"][1]} == {3, 2}
    assert built.value == pytest.approx(
        1.0 + math.exp(-1) + (math.exp(-2) + math.exp(-3)) / math.log2(3)
    )


def test_a_list_chooses_from_its_own_best_candidates_only():
    first, second = [1.0, 0.9, 0.8, 0.1, 0.0, 0.0], [0.0, 0.5, 2.0, 3.0, 4.0, 5.0]
    builder = builder_of(first, second, click_share=1.0)
    page = structs.replace(builder.model.config.page, own_candidates=2)
    config = structs.replace(builder.model.config, page=page)
    built = page_of(PageBuilder(dataclasses.replace(builder.model, config=config)))
    # Of 0 and 1, the best of list a, 1 is likelier to be clicked: e**-4.5 against e**-5.
    assert shown(built) == {"a": [1, 0], "b": [5, 4]}
    assert built.value == pytest.approx(
        1.0 + math.exp(-4.5) + (math.exp(-1) + math.exp(-5)) / math.log2(3)
    )


def test_a_boost_lifts_an_article_whatever_its_chance_of_a_click():
    builder = builder_of([1.0, 0.9, 0.8, 0.1, 0.0, 0.0], [5.0, 4.0, 0, 0, 0, 0], click_share=0.9)
    boosts = {"a": np.array([0, 0, 0, 2.0, 0, 0])}
    editorial = dataclasses.replace(NO_RULES, boosts=boosts)
    built = builder.page(None, None, builder.layouts["article"], editorial=editorial)
    assert shown(built)["a"][0] == 3


def test_the_latest_articles_are_in_order_of_time_whatever_their_chances():
    model = random_model(3)
    builder = PageBuilder(model)
    layout = builder.layouts["article"]
    for seed in range(5):
        user = random_user(np.random.default_rng(seed), model)
        latest = shown(builder.page(user, None, layout))["latest_stories"]
        order = model.newest.tolist()
        assert latest == sorted(latest, key=order.index)
        assert len(latest) == 6
