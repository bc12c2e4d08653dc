"""The compiled loops against twins in plain Python, which say what they compute."""

import dataclasses

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_pages import plain_page, profiles_of, random_model, random_user, rows_of
from scipy.sparse import csr_matrix

from recsys.blend.profiles import (
    Profile,
    UserStateBuilder,
    empty_profile,
    pack_profiles,
)
from recsys.config_file import config_of
from recsys.files import atomic_replacement, version_of
from recsys.kernels import clicks, text, users
from recsys.kernels.best import tops
from recsys.kernels.library import library, require_rows
from recsys.page.build import PageBuilder
from recsys.page.compose import Cap, Pin
from recsys.page.rules import NO_RULES, Editorial
from recsys.signals.event_features import USER_FEATURES

LAYOUTS = config_of(
    {
        "layouts": {
            "front": {
                "must_reads": {"slots": 8},
                "related": {"scorer": "similar", "slots": 3},
                "hot": {"scorer": "popular", "priority": 3.0},
                "section": {"scorer": "popular_in"},
                "taste": {"scorer": "personal", "diversity": 0.5, "max_of_section": 2},
            }
        }
    },
    "test",
)


# ---- pages ---------------------------------------------------------------------------


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
)
def test_pages_are_what_plain_python_makes(model_seed, seed, editorial, known, beside, name):
    model = random_model(model_seed, n_live=150, n_known=200, config=LAYOUTS)
    builder, rng = PageBuilder(model), np.random.default_rng(seed)
    user = random_user(rng, model) if known else None
    context = int(rng.integers(200)) if beside else None
    layout = builder.layouts[name]
    page = builder.page(user, context, layout, editorial=editorial)
    if not page.notes:  # a page made wider looks at more candidates than the twin
        found = {key: [slot.live_index for slot in slots] for key, slots in page.lists.items()}
        assert found == plain_page(builder, user, context, layout, editorial)


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


# ---- what does not get past the boundary ---------------------------------------------


def changed(model, name, value):
    """A model of which one array is another: `live.similar.column`, `rise` ..."""
    if "." not in name:
        return dataclasses.replace(model, **{name: value})
    first, rest = name.split(".", 1)
    return dataclasses.replace(model, **{first: changed(getattr(model, first), rest, value)})


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
        ("newest", 0, 10**7, "order"),
    ],
)
def test_a_run_with_a_bad_number_is_refused(name, index, value, problem):
    model = random_model(0)
    array = model
    for part in name.split("."):
        array = getattr(array, part)
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


def test_a_wrong_array_is_refused_before_it_is_read():
    with pytest.raises(ValueError, match="scores must be a contiguous array of type float32"):
        tops(np.zeros((2, 3)), 1)
    with pytest.raises(ValueError, match="numbered from 0"):
        clicks.one_of_pair(np.array([-1]), np.array([0]), first=True)
    with pytest.raises(ValueError, match="below 2"):
        clicks.one_of_pair(np.array([2**40]), np.array([0]), first=True)
    with pytest.raises(ValueError, match="start must rise"):
        text.heaviest(np.array([0, 9]), np.zeros(3, np.float32), 1)


def test_columns_of_a_row_must_ascend():
    start = np.array([0, 2])
    value = np.ones(2, np.float32)
    require_rows("m", (start, np.array([1, 3], np.int32), value), 1, 4)
    with pytest.raises(ValueError, match="ascend"):
        require_rows("m", (start, np.array([3, 1], np.int32), value), 1, 4)
    two = np.array([0, 1, 2])
    require_rows("m", (two, np.array([3, 1], np.int32), value), 2, 4)


def test_the_header_and_the_settings_allow_the_same():
    from recsys.config import MOST_LISTS, MOST_SLOTS

    assert (library.MAX_LISTS, library.MAX_SLOTS) == (MOST_LISTS, MOST_SLOTS)


# ---- the best of scores --------------------------------------------------------------


@settings(deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(1, 3000),
    st.integers(1, 300),
    st.sampled_from(["random", "rising", "falling", "few", "closed"]),
)
def test_the_best_are_those_of_a_plain_sort(seed, n_live, n, kind):
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(2, n_live)).astype(np.float32)
    if kind == "rising":
        scores.sort(axis=1)
    elif kind == "falling":
        scores = -np.sort(-scores, axis=1)
    elif kind == "few":
        scores = rng.integers(-1, 2, (2, n_live)).astype(np.float32) * np.float32(-0.0 + 1)
    elif kind == "closed":
        scores[rng.random(scores.shape) < 0.9] = -np.inf
    index, values = tops(scores, n)
    for row in range(2):
        order = sorted(range(n_live), key=lambda i: (-scores[row, i], i))
        best = [i for i in order if scores[row, i] > -np.inf][:n]
        found = index[row][index[row] >= 0].tolist()
        assert found == best
        np.testing.assert_array_equal(values[row][: len(best)], scores[row, best])


def test_minus_zero_is_zero_and_a_nan_is_never_chosen():
    scores = np.array([[np.nan, -0.0, 0.0, -1.0, np.inf]], dtype=np.float32)
    assert tops(scores, 5)[0].tolist() == [[1, 2, 3, -1, -1]]


# ---- clicks --------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=60), st.booleans())
def test_one_click_of_each_user_and_article_is_kept(pairs, first):
    kept = {}
    for i, pair in enumerate(pairs):
        if not (first and pair in kept):
            kept[pair] = i
    user, article = (np.array([p[c] for p in pairs], dtype=np.int64) for c in (0, 1))
    found = np.flatnonzero(clicks.one_of_pair(user, article, first=first))
    assert found.tolist() == sorted(kept.values())


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 10**8)), max_size=40))
def test_running_counts_are_sums_of_decayed_events(events):
    events = sorted(events)
    keys, ms = (np.array([e[c] for e in events], dtype=np.int64) for c in (0, 1))
    begins = np.append(True, keys[1:] != keys[:-1])[: len(keys)]
    found = clicks.running_counts(ms, begins, half_life_hours=3.0)
    for i, (key, at) in enumerate(events):
        plain = sum(2 ** (-(at - t) / 3_600_000 / 3.0) for k, t in events[: i + 1] if k == key)
        assert found[i] == pytest.approx(plain)


# ---- factors -------------------------------------------------------------------------


@given(st.integers(0, 2**32), st.integers(1, 12), st.integers(0, 40), st.floats(1.0, 50.0))
def test_folding_in_is_what_a_solver_finds(seed, n, n_clicks, confidence):
    rng = np.random.default_rng(seed)
    items = rng.normal(size=(30, n)).astype(np.float32)
    gram = items.T @ items + 0.1 * np.eye(n, dtype=np.float32)
    clicked, before = rng.normal(size=(n_clicks, n)), rng.normal(size=n)
    clicked[rng.random(n_clicks) < 0.3] = 0.0
    clicked, before = clicked.astype(np.float32), before.astype(np.float32)
    found = users.fold_in(before, clicked, gram, confidence)
    left = gram + (confidence - 1.0) * clicked.T.astype(float) @ clicked
    right = gram @ before.astype(float) + confidence * clicked.sum(axis=0)
    np.testing.assert_allclose(found, np.linalg.solve(left, right), rtol=1e-4, atol=1e-4)
    if not clicked.any():
        np.testing.assert_array_equal(found, before)


def test_without_a_solution_factors_stay():
    before, clicked = np.ones(2, np.float32), np.ones((1, 2), np.float32)
    found = users.fold_in(before, clicked, np.zeros((2, 2), np.float32), 11.0)
    np.testing.assert_array_equal(found, before)


# ---- users ---------------------------------------------------------------------------


def plain_user(profile, clicks, model):
    """The state of a user after some clicks, oldest first, in plain Python."""
    live, live_index = (
        model.live,
        {known: i for i, known in enumerate(model.live.live_rows.tolist())},
    )
    reads = list(dict.fromkeys([*reversed(clicks), *profile.reads.tolist()]))
    read = [live_index[known] for known in profile.read.tolist() if known in live_index]
    clicked = [live_index[known] for known in dict.fromkeys(clicks) if known in live_index]
    unseen = [index for index in clicked if index not in read]
    after = live.factors[unseen].astype(float)
    left = live.gram + (live.click_confidence - 1.0) * after.T @ after
    right = live.gram @ profile.factors.astype(float) + live.click_confidence * after.sum(axis=0)
    found = np.linalg.solve(left, right) if unseen else profile.factors
    tastes = [*profile.affinity.tolist(), *[0.0] * model.n_categories]
    return (
        found,
        tastes[: model.n_categories],
        reads[: live.blend.known_reads],
        sorted({*read, *unseen}),
    )


@given(st.integers(0, 2**32), st.lists(st.integers(0, 49), max_size=12), st.data())
def test_a_user_is_what_plain_python_makes_of_a_profile_and_clicks(seed, clicks, data):
    rng, model = np.random.default_rng(seed), random_model(seed % 5, n_live=30, n_known=50)
    some = lambda n: np.sort(rng.choice(50, n, replace=False))  # noqa: E731
    n_reads, n_exposed = int(rng.integers(0, 9)), int(rng.integers(0, 5))
    profile = Profile(
        2**45,
        rng.normal(size=3).astype("f4"),
        rng.normal(size=3).astype("f4"),
        rng.permutation(some(n_reads)),
        some(int(rng.integers(0, 9))),
        some(n_exposed),
        rng.random((len(USER_FEATURES), n_exposed), np.float32),
    )
    known_reads = data.draw(st.sampled_from([1, 5, 100]))
    blend = msgspec.structs.replace(model.live.blend, known_reads=known_reads)
    model = dataclasses.replace(model, live=dataclasses.replace(model.live, blend=blend))
    builder, packed = UserStateBuilder(model), pack_profiles(profiles_of([profile]))[0]
    factors, tastes, reads, read = plain_user(profile, clicks, model)
    found = builder.state(packed, clicks)
    np.testing.assert_allclose(found.factors, factors, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(found.affinity, np.float32(tastes))
    assert (found.reads.tolist(), found.read.tolist()) == (reads, read)
    # A user without a profile is known by the clicks alone.
    without_history = dataclasses.replace(
        profile,
        factors=0 * profile.factors,
        affinity=0 * profile.affinity,
        reads=profile.reads[:0],
        read=profile.read[:0],
    )
    factors, _, reads, read = plain_user(without_history, clicks, model)
    found = builder.state(b"", clicks)
    np.testing.assert_allclose(found.factors, factors, rtol=1e-4, atol=1e-4)
    assert (found.reads.tolist(), found.read.tolist()) == (reads, read)


def test_a_profile_of_another_shape_is_refused():
    model = random_model(0, n_live=30, n_known=50)
    builder = UserStateBuilder(model)
    packed = pack_profiles(empty_profile(3, model.n_categories, 0))[0]
    assert not builder.state(packed).factors.any()
    for wrong in (
        packed[:10],
        packed[: -4 * model.n_categories - 4],
        packed + bytes(4),
        packed[:8] + b"\xff" * 12 + packed[20:],
        packed[:20] + np.float32(np.nan).tobytes() + packed[24:],
    ):
        with pytest.raises(ValueError, match="shape of this run"):
            builder.state(wrong)


def test_articles_that_a_run_does_not_know_are_no_reads_of_it():
    model = random_model(0, n_live=30, n_known=50)
    user = UserStateBuilder(model).state(b"", [10**9, 7, -1])
    assert user.reads.tolist() == [7]


# ---- files ---------------------------------------------------------------------------


def test_a_version_is_what_the_system_says_of_a_file(tmp_path):
    path = tmp_path / "größe.json"
    assert version_of(path) is None
    path.write_text("1")
    first = version_of(path)
    status = path.stat()
    assert first == (status.st_mtime_ns, status.st_ino)
    assert version_of(str(path)) == first
    with atomic_replacement(path) as partial:
        partial.write_text("2")
    assert version_of(path) != first
