import dataclasses
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_pages import random_model, random_user

from recsys.page.build import PageBuilder
from recsys.page.compose import Cap, Pin
from recsys.page.explore import explored
from recsys.page.reasons import EXPLORED
from recsys.page.rules import EVERY, NO_RULES

NOTHING = np.zeros(0, dtype=np.int64)


def page_of(seed, *, editorial=NO_RULES, n_live=60):
    model = random_model(seed % 7, n_live=n_live, n_known=n_live + 20)
    user = random_user(np.random.default_rng(seed), model)
    builder = PageBuilder(model)
    return builder, user, builder.page(user, None, builder.layouts["article"], NOTHING, editorial)


def naive_pool(builder, built, lists, name, editorial, caps):
    """The articles that a list may be given in its last slot, one at a time."""
    story, of = builder.model.story, next(of for of in built.layout.lists if of.name == name)
    barred = builder.rankings.barred(of, editorial, built.language)
    on_page = [slot.live_index for slots in lists.values() for slot in slots]
    kept = {key: [s.live_index for s in slots] for key, slots in lists.items()}
    kept[name] = kept[name][:-1]
    found = []
    for article in range(len(story)):
        is_out = built.closed[article] or (barred is not None and barred[article])
        is_out |= any(story[article] == story[other] for other in on_page)
        for cap in caps:
            group = cap.group[article]
            if cap.name in (None, name) and group >= 0:
                lists_of_cap = kept if cap.name is None else [name]
                beside = [cap.group[other] for key in lists_of_cap for other in kept[key]]
                is_out |= beside.count(group) >= cap.most
        if not is_out:
            found.append(article)
    return found


def rules_of(rng, n_live):
    caps = (
        Cap(None, rng.integers(-1, 4, n_live), int(rng.integers(3, 9)), "r1"),
        Cap("latest_stories", rng.integers(-1, 4, n_live), 2, "r2"),
    )
    barred = {EVERY: rng.random(n_live) < 0.1, "popular_now": rng.random(n_live) < 0.2}
    return dataclasses.replace(NO_RULES, barred=barred, caps=caps)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.booleans())
def test_a_page_that_explores_keeps_to_every_rule_of_a_page(seed, has_rules):
    rng = np.random.default_rng(seed)
    editorial = rules_of(rng, 60) if has_rules else NO_RULES
    builder, _, built = page_of(seed, editorial=editorial)
    names = built.layout.names
    found = explored(builder, built, dict.fromkeys(names, 1.0), rng, editorial)
    caps = (*builder.rankings.caps(built.layout), *editorial.caps)
    before, drawn = dict(built.lists), 0
    for name in names:  # the lists draw one after the other
        was, now = built.lists[name], found.lists[name]
        assert now[:-1] == was[:-1]
        pool = naive_pool(builder, built, before, name, editorial, caps) if was else []
        if pool:
            article = now[-1].live_index
            assert article in pool
            assert now[-1].code == EXPLORED
            assert found.propensity[article] == pytest.approx(1 / len(pool))
            drawn += 1
        else:
            assert now == was
        before[name] = now
    assert len(found.propensity) == drawn
    articles = [slot.live_index for slots in found.lists.values() for slot in slots]
    assert len({int(builder.model.story[a]) for a in articles}) == len(articles)
    assert not built.closed[articles].any()


def test_each_article_is_drawn_as_often_as_its_propensity_says():
    builder, _, built = page_of(3, n_live=80)
    name = "you_may_also_like"
    last = built.lists[name][-1].live_index
    n_pages, n_seen, rng = 4000, Counter(), np.random.default_rng(0)
    chance_of = {}
    for _ in range(n_pages):
        found = explored(builder, built, {"you_may_also_like": 0.5}, rng)
        assert all(found.lists[n] == built.lists[n] for n in found.lists if n != name)
        article = found.lists[name][-1].live_index
        n_seen[article] += 1
        assert list(found.propensity) == [article]
        chance_of[article] = found.propensity[article]
    assert chance_of[last] == 0.5
    assert sum(chance_of.values()) == pytest.approx(1.0)
    for article, chance in chance_of.items():  # five standard deviations of a binomial
        spread = 5 * np.sqrt(n_pages * chance * (1 - chance))
        assert abs(n_seen[article] - n_pages * chance) < spread


def test_what_editors_pinned_is_not_drawn_away():
    article = int(np.flatnonzero(~page_of(1)[2].closed)[-1])
    pinned = dataclasses.replace(NO_RULES, pins=(Pin("must_reads", 4, article),))
    builder, _, built = page_of(1, editorial=pinned)
    assert built.lists["must_reads"][-1].live_index == article
    always = dict.fromkeys(built.layout.names, 1.0)
    found = explored(builder, built, always, np.random.default_rng(0), pinned)
    assert found.lists["must_reads"] == built.lists["must_reads"]
    assert article not in found.propensity


def test_a_list_with_nothing_else_to_show_keeps_its_last_slot_for_certain():
    builder, _, built = page_of(2)
    everything = dataclasses.replace(NO_RULES, barred={EVERY: np.ones(60, dtype=bool)})
    found = explored(builder, built, {"must_reads": 0.5}, np.random.default_rng(0), everything)
    assert found.lists == built.lists
    assert found.propensity == {}


def test_no_chance_changes_nothing():
    builder, _, built = page_of(2)
    found = explored(builder, built, {}, np.random.default_rng(0))
    assert found.lists == built.lists
    assert found.propensity == {}
