"""Compiled pages against a twin in plain Python, and what the compiled code refuses."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from naive_pages import (
    plain_page,
    random_model,
    random_user,
    rows_of,
)
from scipy.sparse import csr_matrix

from recsys.config_file import config_of
from recsys.page.build import PageBuilder
from recsys.page.compose import Cap, Pin
from recsys.page.list_table import SCORERS
from recsys.page.reasons import BECAUSE_READ, closest_read, leading_signal, reason_code
from recsys.page.rules import NO_RULES, Editorial

# Every list has a priority of its own. Otherwise two lists may change places without a difference,
# if nothing but clicks counts.
LAYOUTS = config_of(
    {
        "layouts": {
            "article": {
                "you_may_also_like": {},
                "popular_now": {"priority": 1.2},
                "must_reads": {"priority": 1.1},
                "latest_stories": {},
            },
            "front": {
                "must_reads": {"slots": 8},
                "related": {"scorer": "similar", "slots": 3, "priority": 1.3},
                "hot": {"scorer": "popular", "priority": 3.0},
                "section": {"scorer": "popular_in", "priority": 0.9},
                "taste": {
                    "scorer": "personal",
                    "diversity": 0.5,
                    "max_of_section": 2,
                    "priority": 1.4,
                },
            },
        }
    },
    "test",
)


@st.composite
def editorials(draw, n_live=150):
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    some = lambda share: rng.random(n_live) < share  # noqa: E731
    barred = {"": some(0.05), "must_reads": some(0.2)} if draw(st.booleans()) else {}
    boosts = {}
    if draw(st.booleans()):
        boosts = {
            "popular_now": rng.random(n_live) * some(0.2),
            "you_may_also_like": rng.random(n_live),
            "": 0.3 * rng.random(n_live),
        }
        boosts["latest_stories"] = -2.0 * some(0.1)
    pins = (Pin("must_reads", 1, int(rng.integers(n_live))),) if draw(st.booleans()) else ()
    if pins and any(mask[pins[0].live_index] for mask in barred.values()):
        pins = ()  # rules that forbid win before a page is asked for
    caps = (Cap(None, rng.integers(-1, 9, n_live), 3),) if draw(st.booleans()) else ()
    return Editorial(barred, boosts, pins, caps, {}, {})


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 4),
    st.integers(0, 2**32),
    editorials(),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["article", "front"]),
    st.sampled_from([(), ("da", "de")]),
    st.sampled_from([0.0, 0.9, 1.0]),
)
def test_pages_are_what_plain_python_makes(
    model_seed, seed, editorial, known, beside, name, languages, click_share
):
    page = structs.replace(LAYOUTS.page, click_share=click_share, own_candidates=12)
    config = structs.replace(LAYOUTS, page=page)
    model = random_model(model_seed, n_live=150, n_known=200, config=config, languages=languages)
    builder, rng = PageBuilder(model), np.random.default_rng(seed)
    user = random_user(rng, model) if known else None
    context = int(rng.integers(200)) if beside else None
    layout = builder.layouts[name]
    page = builder.page(user, context, layout, editorial=editorial)
    if not page.notes:  # a page made wider looks at more candidates than the twin
        found = {key: [slot.live_index for slot in slots] for key, slots in page.lists.items()}
        assert found == plain_page(builder, user, context, layout, editorial)


@pytest.mark.parametrize("seed", [1, 3])
def test_a_reason_is_that_of_the_signal_that_leads_and_names_the_closest_read(seed):
    model, rng = random_model(seed, n_live=150, n_known=200), np.random.default_rng(seed)
    weights = {**model.live.weights, "vectors": 8.0, "text": 5.0, "context_text": 9.0}
    live = dataclasses.replace(model.live, weights=weights)
    builder = PageBuilder(dataclasses.replace(model, live=live))
    layout, led = builder.layouts["article"], set()
    centred = {name: p - p.mean() for name, p in live.static_parts().items() if weights[name]}
    for context in (None, 4, 5, None, 6, 8):
        user = random_user(rng, model)
        built = builder.page(user, context, layout)
        for slot in built.lists["you_may_also_like"]:
            parts = {name: p[[slot.live_index]] for name, p in (built.parts | centred).items()}
            signal = leading_signal({name: parts[name] for name in parts if weights[name]})
            has_section = bool(live.category[live.live_rows[slot.live_index]] > 0)
            code = reason_code(SCORERS["personal"], signal, has_section=has_section, rises=False)
            read = closest_read(live, user.reads, slot.live_index, signal)
            assert (slot.code, slot.because) == (code, read if code == BECAUSE_READ else -1)
            led.add(signal)
    assert {"vectors", "context_vectors"} <= led


def test_a_run_without_live_articles_has_empty_pages():
    model = random_model(0, n_live=1, n_known=3)
    nothing, none = np.zeros(0, dtype=np.int64), rows_of(csr_matrix((3, 0)))
    live = dataclasses.replace(
        model.live,
        live_rows=nothing,
        factors=model.live.factors[:0],
        static={name: values[:0] for name, values in model.live.static.items()},
        similar=none,
        item_item=none,
    )
    empty = dataclasses.replace(
        model,
        live=live,
        story=nothing,
        importance=model.importance[:0],
        rise=model.rise[:0],
        newest=nothing,
    )
    builder = PageBuilder(empty)
    layout = builder.layouts["article"]
    page = builder.page(None, None, layout, editorial=NO_RULES)
    assert page.lists == {name: [] for name in layout.names}
    assert "0 live articles" in page.notes["must_reads"]


def changed(model, name, value):
    """A model of which one array is another: `live.similar.column`, `rise` ..."""
    if "." not in name:
        return dataclasses.replace(model, **{name: value})
    first, rest = name.split(".", 1)
    if isinstance(inside := getattr(model, first), dict):
        return dataclasses.replace(model, **{first: inside | {rest: value}})
    return dataclasses.replace(model, **{first: changed(inside, rest, value)})


def page_of(model):
    builder = PageBuilder(model)
    return builder.page(None, None, builder.layouts["article"])


@pytest.mark.parametrize(
    ("name", "index", "value", "problem"),
    [
        ("live.similar.column", 0, 10**7, "similar"),
        ("live.similar.column", 0, -1, "similar"),
        ("live.similar.start", 3, 10**9, "similar"),
        ("live.item_item.value", 0, np.nan, "item_item"),
        ("live.category", 0, 99, "category|out of bounds"),
        ("live.live_rows", 5, 10**6, "live_rows|out of bounds"),
        ("story", 0, 77, "story"),
        ("rise", 0, np.nan, "rise"),
        ("importance", 3, np.inf, "importance"),
        ("live.factors", (0, 0), np.nan, "article_side"),
        ("live.vectors", (0, 0), np.nan, "vectors"),
        ("newest", 0, 10**7, "order"),
        ("examination.must_reads", 1, np.nan, "examination"),
        ("examination.must_reads", 0, 1.5, "examination"),
        ("examination.must_reads", 1, 0.0, "examination"),
    ],
)
def test_a_run_with_a_bad_number_is_refused(name, index, value, problem):
    model = random_model(1)
    array = model
    for part in name.split("."):
        array = array[part] if isinstance(array, dict) else getattr(array, part)
    array = array.copy()
    array[index] = value
    with pytest.raises((ValueError, IndexError), match=problem):
        page_of(changed(model, name, array))


def test_a_request_with_a_bad_index_is_refused():
    model = random_model(0)
    builder, rng = PageBuilder(model), np.random.default_rng(1)
    layout, user = builder.layouts["article"], random_user(np.random.default_rng(1), model)
    bad = [
        dataclasses.replace(user, reads=np.array([10**7])),
        dataclasses.replace(user, reads=np.array([-1])),
        dataclasses.replace(user, read=np.array([60])),
        dataclasses.replace(user, factors=np.full(3, np.nan, dtype=np.float32)),
    ]
    for state in bad:
        with pytest.raises(ValueError, match="out of range or a bad number"):
            builder.page(state, None, layout)
    for context, blocked in ((80, []), (-5, []), (None, [60]), (None, [-1])):
        with pytest.raises((ValueError, IndexError)):
            builder.page(None, context, layout, np.array(blocked, dtype=np.int64))
    assert rng is not None


def test_rules_out_of_range_are_refused():
    builder = PageBuilder(random_model(0))
    layout = builder.layouts["article"]
    for editorial in (
        dataclasses.replace(NO_RULES, pins=(Pin("must_reads", 2**64 + 1, 3),)),
        dataclasses.replace(NO_RULES, pins=(Pin("must_reads", 0, 60),)),
        dataclasses.replace(NO_RULES, boosts={"must_reads": np.full(60, np.inf)}),
        dataclasses.replace(NO_RULES, caps=(Cap(None, np.full(60, 61), 2),)),
        dataclasses.replace(NO_RULES, caps=(Cap(None, np.zeros(60, np.int64), -1),)),
    ):
        with pytest.raises(ValueError, match="range|indices|numbers"):
            builder.page(None, None, layout, editorial=editorial)
