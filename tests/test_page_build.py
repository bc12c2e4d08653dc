import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_pages import random_model, random_user

from recsys.config import Config
from recsys.config_file import config_of
from recsys.config_page import PageConfig
from recsys.page import rankings
from recsys.page.build import PageBuilder, UserBlock
from recsys.page.list_table import LISTS
from recsys.page.rankings import top_n
from recsys.page.slots import pack_pages, unpack_page

WIDE = {
    "front": {
        "must_reads": {"slots": 8},
        "related": {"scorer": "similar", "slots": 3},
        "hot": {"scorer": "popular"},
        "section": {"scorer": "popular_in", "exempt": True},
        "taste": {"scorer": "personal", "max_of_section": 2},
    }
}
TWO_LAYOUTS = config_of({"layouts": WIDE}, "test")


def articles_of(lists):
    return [slot.live_index for slots in lists.values() for slot in slots]


@pytest.mark.parametrize("seed", range(5))
def test_a_block_of_pages_is_the_pages_one_by_one(seed):
    model = random_model(seed)
    rng = np.random.default_rng(seed + 100)
    users = [random_user(rng, model) for _ in range(20)]
    builder = PageBuilder(model)
    layout = builder.layouts["article"]
    pages = builder.block(UserBlock.of(users, model.live), layout)
    for i, (user, slots) in enumerate(zip(users, pages.slots, strict=True)):
        alone = builder.page(user, None, layout)
        assert pages.notes[i] == alone.notes
        assert pack_pages(pages)[i] == (None if alone.notes else slots.tobytes())
        together = unpack_page(slots.tobytes(), layout, n_live=60, n_known=80)
        for name in layout.names:
            assert [(s.live_index, s.code, s.because) for s in together[name]] == [
                (s.live_index, s.code, s.because) for s in alone.lists[name]
            ]
            assert [s.score for s in together[name]] == pytest.approx(
                [s.score for s in alone.lists[name]], abs=2e-4
            )


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.booleans(), st.booleans(), st.sampled_from(["article", "front"]))
def test_no_page_repeats_an_article_a_story_or_a_read(seed, with_user, with_article, name):
    model = random_model(seed % 7, config=TWO_LAYOUTS)
    rng = np.random.default_rng(seed)
    user = random_user(rng, model) if with_user else None
    context = int(rng.integers(len(model.live.category))) if with_article else None
    builder = PageBuilder(model)
    layout = builder.layouts[name]
    lists = builder.page(user, context, layout).lists
    articles = articles_of(lists)
    assert len(set(articles)) == len(articles)
    strict = [a for of in layout.lists if not of.exempt for a in articles_of({0: lists[of.name]})]
    assert len({int(model.story[a]) for a in strict}) == len(strict)
    if user is not None:
        assert not set(articles) & set(user.read.tolist())
    if context is not None:
        assert context not in model.live.live_rows[articles]


def test_a_filter_holds_and_a_short_list_says_how_many_pass():
    config = config_of(
        {"layouts": {"article": {"few": {"scorer": "latest", "filter": {"section": "x"}}}}}, "test"
    )
    passes = np.zeros(60, dtype=bool)
    passes[[3, 14, 15]] = True
    model = dataclasses.replace(random_model(0, config=config), filters={"article.few": passes})
    model = dataclasses.replace(model, story=np.arange(60))
    builder = PageBuilder(model)
    built = builder.page(None, None, builder.layouts["article"])
    assert sorted(articles_of(built.lists)) == [3, 14, 15]
    assert "3 of 6 slots" in built.notes["few"]
    assert "3 pass the filter" in built.notes["few"]


def test_a_similar_list_shows_only_what_is_like_the_article_being_read():
    config = config_of({"layouts": {"article": {"alike": {"scorer": "similar"}}}}, "test")
    model = random_model(0, config=config)
    builder = PageBuilder(model)
    layout = builder.layouts["article"]
    column, _ = model.live.similar.row(7)
    shown = articles_of(builder.page(None, 7, layout).lists)
    assert shown
    assert set(shown) <= set(column.tolist())
    assert articles_of(builder.page(None, None, layout).lists) == []


def test_when_candidates_run_out_the_lists_are_shorter_not_wrong():
    model = random_model(1, n_live=4, n_known=6)
    builder = PageBuilder(model)
    lists = builder.page(None, None, builder.layouts["article"]).lists
    assert sum(map(len, lists.values())) == len(np.unique(model.story))


def test_a_list_is_short_only_when_the_live_articles_run_out(monkeypatch):
    monkeypatch.setattr(rankings, "UNDER_CAPS", 6)
    monkeypatch.setattr(rankings, "SPARE", 0)
    config = Config(page=PageConfig(own_candidates=5))
    model = dataclasses.replace(random_model(2, config=config), story=np.arange(60))
    rng = np.random.default_rng(4)
    best = top_n(model.rise, 12)  # more of the best were read than are looked at first
    user = dataclasses.replace(random_user(rng, model), read=np.sort(best))
    builder = PageBuilder(model)
    layout = builder.layouts["article"]
    alone = builder.page(user, None, layout).lists
    assert [len(alone[name]) for name in layout.names] == [5, 5, 5, 6]
    together = builder.block(UserBlock.of([user], builder.model.live), layout).slots[0]
    assert unpack_page(together.tobytes(), layout, n_live=60, n_known=80) == alone


def test_however_little_a_list_thinks_of_an_article_it_fills_a_slot():
    """A few articles far ahead of the rest: the rest still fill the page."""
    model = dataclasses.replace(random_model(6), story=np.arange(60))
    rise = np.full(60, -1e6, dtype=np.float32)
    rise[:21] = np.linspace(1.0, 1.0001, 21)  # the span that worth is measured by is tiny
    model = dataclasses.replace(model, rise=rise)
    user = dataclasses.replace(
        random_user(np.random.default_rng(0), model), read=np.arange(20, dtype=np.int64)
    )
    builder = PageBuilder(model)
    built = builder.page(user, None, builder.layouts["article"])
    assert [len(slots) for slots in built.lists.values()] == [5, 5, 5, 6]


def test_must_reads_are_of_several_sections_as_long_as_there_are_some():
    model = random_model(3)
    section = model.live.category[model.live.live_rows]
    for seed in range(5):
        user = random_user(np.random.default_rng(seed), model)
        builder = PageBuilder(model)
        built = builder.page(user, None, builder.layouts["article"])
        found = [int(section[slot.live_index]) for slot in built.lists["must_reads"]]
        assert all(found.count(s) <= 2 for s in found if s > 0)
        assert not built.notes
    one = dataclasses.replace(model.live, category=np.ones_like(model.live.category))
    builder = PageBuilder(dataclasses.replace(model, live=one))
    built = builder.page(None, None, builder.layouts["article"])
    assert len(built.lists["must_reads"]) == 5
    assert "too few sections" in built.notes["must_reads"]


def test_an_article_like_a_better_one_comes_later():
    def page(diversity):
        lists = {row.name: {} for row in LISTS} | {"you_may_also_like": {"diversity": diversity}}
        config = config_of({"layouts": {"article": lists}}, "test")
        builder = PageBuilder(random_model(5, config=config))
        return builder.page(None, None, builder.layouts["article"]).lists["you_may_also_like"]

    def likeness(slots):
        live = random_model(5).live
        rows = [live.similar.row(int(live.live_rows[slot.live_index])) for slot in slots]
        return sum(
            float(value[column == other.live_index].sum())
            for column, value in rows
            for other in slots
        )

    assert likeness(page(5.0)) < likeness(page(0.0))


def test_a_slot_has_the_score_that_its_list_gives_the_article():
    for seed in range(5):
        model = random_model(seed, n_live=100, n_known=140)
        rng = np.random.default_rng(seed)
        builder = PageBuilder(model)
        page = builder.page(random_user(rng, model), 7, builder.layouts["article"])
        for name, slots in page.lists.items():
            for slot in slots:
                value = float(page.scored.values[name][slot.live_index])
                assert slot.score == pytest.approx(value, abs=2e-4)


def test_a_layout_that_does_not_exist_is_refused():
    builder = PageBuilder(random_model(0))
    with pytest.raises(ValueError, match="layout must be one of article, got 'front'"):
        builder.layout("front", has_context=True)
    assert builder.layout(None, has_context=False).name == "article"
    two = PageBuilder(random_model(0, config=TWO_LAYOUTS))
    assert two.layout(None, has_context=False).name == "front"
    assert two.layout(None, has_context=True).name == "article"


@pytest.mark.parametrize(
    ("field", "value"),
    [("live_index", 60), ("live_index", -2), ("because", 80), ("code", 255), ("score", np.nan)],
)
def test_a_stored_page_of_another_run_is_refused(field, value):
    model = random_model(0)
    builder = PageBuilder(model)
    layout = builder.layouts["article"]
    user = random_user(np.random.default_rng(0), model)
    slots = builder.block(UserBlock.of([user], builder.model.live), layout).slots[0].copy()
    slots[3][field] = value
    with pytest.raises(ValueError, match="not one of this run"):
        unpack_page(slots.tobytes(), layout, n_live=60, n_known=80)
    with pytest.raises(ValueError, match="not one of this run"):
        unpack_page(slots[:20].tobytes(), layout, n_live=60, n_known=80)
