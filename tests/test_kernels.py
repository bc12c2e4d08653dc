"""The compiled loops against twins in plain Python, which say what they do."""

import dataclasses
import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from test_page import N_SLOTS, random_model, random_reader
from test_refresh import profiles_of

from recsys.blend.curves import USER_FEATURES
from recsys.blend.linear import score
from recsys.blend.profiles import Profile, UserStateBuilder, empty_profile, pack_profiles
from recsys.files import atomic_replacement, version_of
from recsys.kernels import clicks, lists, readers
from recsys.page import rankings
from recsys.page.build import PageBuilder
from recsys.page.compose import FILLED, LISTS, MINIMUM, Cap, Pin
from recsys.page.rules import NO_RULES, Editorial

NEVER = 1e6


# ---- pages, told plainly -------------------------------------------------------------


def candidates(builder, scored, name, closed, editorial, n_page, n, caps):
    """What a list would show: (place, worth), best first."""
    model, values = builder.model, scored.values[name][0]
    ordered = {
        "popular_now": builder.rankings.risen,
        "latest_stories": builder.rankings.latest(scored.context),
    }
    far = n * (rankings.FARTHER if caps else 1) + rankings.SPARE
    if name in ordered:
        free = [int(p) for p in ordered[name] if not closed[p]]
        by_turn = name == "latest_stories"
        ranked = [(-float(i) if by_turn else float(values[p]), p) for i, p in enumerate(free)]
    else:
        free = [p for p in range(len(values)) if not closed[p]]
        ranked = sorted(((float(values[p]), p) for p in free), key=lambda pair: (-pair[0], pair[1]))
    if name in editorial.boosts:
        near = ranked if name in ordered else ranked[:far]
        last = min(max(len(near), 1), n_page) - 1
        span = np.float32(near[0][0]) - np.float32(near[last][0]) if near else np.float32(1)
        lift = (editorial.boosts[name] * float(span)).astype(np.float32)
        ranked = sorted(
            ((float(np.float32(v) + lift[p]), p) for v, p in ranked),
            key=lambda pair: (-pair[0], pair[1]),
        )
    ranked = ranked[:far]
    last = min(max(len(ranked), 1), n_page) - 1
    low = ranked[last][0] if ranked else 0.0
    reach = ranked[0][0] - low if ranked else 1.0
    found = [(p, (v - low) / (reach if reach > 0 else 1.0)) for v, p in ranked]
    for cap in caps:
        seen, kept = {}, []
        for place, worth in found:
            group = int(cap.group[place])
            seen[group] = seen.get(group, 0) + 1
            if group < 0 or seen[group] <= cap.most + n_page - N_SLOTS[name]:
                kept.append((place, worth))
        found = kept
    told, kept = set(), []
    for place, worth in found:
        if model.story[place] not in told:
            told.add(model.story[place])
            kept.append((place, worth))
    if name == "you_may_also_like":
        again = []
        for rank, (place, worth) in enumerate(kept):
            column, value = model.live.similar.row(int(model.live.live_rows[place]))
            likeness = dict(zip(column.tolist(), value.tolist(), strict=True))
            most = max((likeness.get(better, 0.0) for better, _ in kept[:rank]), default=0.0)
            again.append((place, worth - model.config.diversity * most))
        kept = sorted(again, key=lambda pair: -pair[1])
    return kept[:n]


def assigned(model, wishes, story, caps, pins):
    """The best page without caps; then of too many the best few stay, and the rest anew."""
    config, n_live = model.config, len(story)
    held = {(pin.name, pin.slot) for pin in pins}
    rows = [(n, s) for n in wishes for s in range(N_SLOTS[n]) if (n, s) not in held]
    stories = sorted({int(story[p]) for found in wishes.values() for p, _ in found})
    taken = {int(story[pin.place]) for pin in pins}
    banned: set[tuple[str, int]] = set()
    while True:
        cost = np.full((len(rows), len(stories) + len(rows)), NEVER)
        article = {}
        for i, (name, slot) in enumerate(rows):
            weight = getattr(config, f"{name}_priority") / math.log2(slot + 2)
            fill = MINIMUM if slot < config.minimum else FILLED
            cost[i, len(stories) + i] = 0.0
            for place, worth in wishes[name]:
                article[name, int(story[place])] = place
                if int(story[place]) not in taken and (name, place) not in banned:
                    cost[i, stories.index(int(story[place]))] = -weight * worth - fill
        chosen = linear_sum_assignment(cost)[1]
        stands = [
            (cost[i, column], name, article[name, stories[column]])
            for i, ((name, _), column) in enumerate(zip(rows, chosen, strict=True))
            if column < len(stories)
        ]
        before = len(banned)
        for cap in caps:
            mine = [s for s in stands if cap.name in (None, s[1]) and cap.group[s[2]] >= 0]
            over, stays = set(), set()
            for group in {int(cap.group[place]) for _, _, place in mine}:
                n_pinned = sum(
                    cap.group[p.place] == group for p in pins if cap.name in (None, p.name)
                )
                here = [s for s in mine if cap.group[s[2]] == group]
                here.sort(
                    key=lambda s: (s[0], LISTS.index(s[1]))
                )  # what pays alike, as lists stand
                kept = here[: max(cap.most - n_pinned, 0)]
                over |= {group} if len(kept) < len(here) else set()
                stays |= {int(story[place]) for _, _, place in kept}
            banned |= {
                (name, place)
                for name, found in wishes.items()
                for place, _ in found
                if cap.name in (None, name)
                and int(cap.group[place]) in over
                and int(story[place]) not in stays
            }
        if len(banned) == before:
            break
    page = {name: [place for _, where, place in stands if where == name] for name in wishes}
    for name in page:
        filled = iter(page[name])
        slots = [None] * N_SLOTS[name]
        for pin in pins:
            if pin.name == name:
                slots[pin.slot] = pin.place
        page[name] = [next(filled, None) if place is None else place for place in slots]
    assert n_live or not rows
    return {name: [p for p in places if p is not None] for name, places in page.items()}


def plain_page(builder, reader, context, editorial):
    model, n_page = builder.model, sum(N_SLOTS.values())
    parts = score(model.live, reader, context)
    scored = builder.scored(parts, reader, context, np.zeros(0, dtype=np.int64))
    closed, story = scored.closed[0], model.story
    pins, told = [], set()
    for pin in editorial.pins:
        if not closed[pin.place] and int(story[pin.place]) not in told:
            pins.append(pin)
            told.add(int(story[pin.place]))
    caps = (*builder.rankings.caps, *editorial.caps)
    wishes = {}
    for name in LISTS:
        off = rankings.barred(name, closed, editorial)
        own = [cap for cap in caps if cap.name in (None, name)]
        n = n_page + len(editorial.pins)
        n = max(n, rankings.UNDER_CAPS) if own else n
        wishes[name] = candidates(builder, scored, name, off, editorial, n_page, n, own)
    return assigned(model, wishes, story, caps, pins)


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
        }
        boosts["latest_stories"] = -2.0 * some(0.1)
    pins = (Pin("must_reads", 1, int(rng.integers(n_live))),) if draw(st.booleans()) else ()
    if pins and any(mask[pins[0].place] for mask in barred.values()):
        pins = ()  # rules that forbid win before a page is asked for
    caps = (Cap(None, rng.integers(-1, 9, n_live), 3),) if draw(st.booleans()) else ()
    return Editorial(barred, boosts, pins, caps, {}, {})


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 4), st.integers(0, 2**32), editorials(), st.booleans(), st.booleans())
def test_pages_are_what_plain_python_makes(model_seed, seed, editorial, known, beside):
    model = random_model(model_seed, n_live=150, n_known=200)
    builder, rng = PageBuilder(model), np.random.default_rng(seed)
    reader = random_reader(rng, model) if known else None
    context = int(rng.integers(200)) if beside else None
    page = builder.page(reader, context, N_SLOTS, editorial=editorial)
    if not page.notes:  # a page made wider looks at more candidates than the twin
        found = {name: [slot.place for slot in slots] for name, slots in page.lists.items()}
        assert found == plain_page(builder, reader, context, editorial)


def test_a_slot_says_the_score_that_its_parts_come_to():
    for seed in range(5):
        model = random_model(seed, n_live=100, n_known=140)
        rng = np.random.default_rng(seed)
        page = PageBuilder(model).page(random_reader(rng, model), 7, N_SLOTS)
        for name, slots in page.lists.items():
            for slot in slots:
                value = float(page.scored.values[name][0, slot.place])
                assert slot.score == pytest.approx(value, abs=2e-4)


def test_a_run_without_live_articles_has_empty_pages():
    model = random_model(0, n_live=1, n_known=3)
    nothing = np.zeros(0, dtype=np.int64)
    live = dataclasses.replace(
        model.live,
        live_rows=nothing,
        factors=model.live.factors[:0],
        static={name: values[:0] for name, values in model.live.static.items()},
        similar=type(model.live.similar)(
            np.zeros(4, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32)
        ),
        item_item=type(model.live.similar)(
            np.zeros(4, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32)
        ),
    )
    empty = dataclasses.replace(
        model,
        live=live,
        story=nothing,
        importance=model.importance[:0],
        rise=model.rise[:0],
        newest=nothing,
    )
    page = PageBuilder(empty).page(None, None, N_SLOTS, editorial=NO_RULES)
    assert page.lists == {name: [] for name in LISTS}
    assert "0 live articles" in page.notes["must_reads"]


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
    places, values = lists.tops(scores, n)
    for row in range(2):
        order = sorted(range(n_live), key=lambda i: (-scores[row, i], i))
        best = [i for i in order if scores[row, i] > -np.inf][:n]
        found = places[row][places[row] >= 0].tolist()
        assert found == best
        np.testing.assert_array_equal(values[row][: len(best)], scores[row, best])


def test_minus_zero_is_zero_and_no_number_is_never_chosen():
    scores = np.array([[np.nan, -0.0, 0.0, -1.0]], dtype=np.float32)
    assert lists.tops(scores, 4)[0].tolist() == [[1, 2, 3, -1]]


def test_a_wrong_array_is_refused_before_it_is_read():
    with pytest.raises(ValueError, match="of type float32"):
        lists.tops(np.zeros((2, 3)), 1)
    with pytest.raises(ValueError, match="numbered from 0"):
        clicks.one_of_pair(np.array([-1]), np.array([0]), first=True)


# ---- clicks --------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=60), st.booleans())
def test_one_click_of_each_reader_and_article_is_kept(pairs, first):
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
    starts_of_runs = np.append(True, keys[1:] != keys[:-1])[: len(keys)]
    found = clicks.running_counts(ms, starts_of_runs, half_life_hours=3.0)
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
    found = readers.fold_in(before, clicked, gram, confidence)
    left = gram + (confidence - 1.0) * clicked.T.astype(float) @ clicked
    right = gram @ before.astype(float) + confidence * clicked.sum(axis=0)
    np.testing.assert_allclose(found, np.linalg.solve(left, right), rtol=1e-4, atol=1e-4)
    if not clicked.any():
        np.testing.assert_array_equal(found, before)


def test_without_a_solution_factors_stay():
    before, clicked = np.ones(2, np.float32), np.ones((1, 2), np.float32)
    found = readers.fold_in(before, clicked, np.zeros((2, 2), np.float32), 11.0)
    np.testing.assert_array_equal(found, before)


# ---- readers -------------------------------------------------------------------------


def plain_reader(profile, clicks, model):
    """What pages ask of a reader after some clicks, oldest first, told plainly."""
    live, place_of = model.live, {known: i for i, known in enumerate(model.live.live_rows.tolist())}
    reads = list(dict.fromkeys([*reversed(clicks), *profile.reads.tolist()]))
    read = [place_of[known] for known in profile.read.tolist() if known in place_of]
    clicked = [place_of[known] for known in dict.fromkeys(clicks) if known in place_of]
    unseen = [place for place in clicked if place not in read]
    after = live.factors[unseen].astype(float)
    left = live.gram + (live.click_confidence - 1.0) * after.T @ after
    right = live.gram @ profile.factors.astype(float) + live.click_confidence * after.sum(axis=0)
    found = np.linalg.solve(left, right) if unseen else profile.factors
    tastes = [*profile.affinity.tolist(), *[0.0] * model.n_categories]
    return (
        found,
        tastes[: model.n_categories],
        reads[: live.weights.known_reads],
        sorted({*read, *unseen}),
    )


@given(st.integers(0, 2**32), st.lists(st.integers(0, 49), max_size=12), st.data())
def test_a_reader_is_what_plain_python_makes_of_a_profile_and_clicks(seed, clicks, data):
    rng, model = np.random.default_rng(seed), random_model(seed % 5, n_live=30, n_known=50)
    some = lambda n: np.sort(rng.choice(50, n, replace=False))  # noqa: E731
    n_reads, n_met = int(rng.integers(0, 9)), int(rng.integers(0, 5))
    profile = Profile(
        2**45,
        rng.normal(size=3).astype("f4"),
        rng.normal(size=3).astype("f4"),
        rng.permutation(some(n_reads)),
        some(int(rng.integers(0, 9))),
        some(n_met),
        rng.random((len(USER_FEATURES), n_met), np.float32),
    )
    known_reads = data.draw(st.sampled_from([1, 5, 100]))
    weights = msgspec.structs.replace(model.live.weights, known_reads=known_reads)
    model = dataclasses.replace(model, live=dataclasses.replace(model.live, weights=weights))
    builder, packed = UserStateBuilder(model), pack_profiles(profiles_of([profile]))[0]
    factors, tastes, reads, read = plain_reader(profile, clicks, model)
    found = builder.reader(packed, clicks)
    np.testing.assert_allclose(found.factors, factors, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(found.affinity, np.float32(tastes))
    assert (found.reads.tolist(), found.read.tolist()) == (reads, read)
    # Somebody of whom nothing is kept is known by the clicks alone.
    anybody = dataclasses.replace(
        profile,
        factors=0 * profile.factors,
        affinity=0 * profile.affinity,
        reads=profile.reads[:0],
        read=profile.read[:0],
    )
    factors, _, reads, read = plain_reader(anybody, clicks, model)
    found = builder.reader(b"", clicks)
    np.testing.assert_allclose(found.factors, factors, rtol=1e-4, atol=1e-4)
    assert (found.reads.tolist(), found.read.tolist()) == (reads, read)


def test_a_profile_of_another_shape_is_refused():
    model = random_model(0, n_live=30, n_known=50)
    builder = UserStateBuilder(model)
    packed = pack_profiles(empty_profile(3, model.n_categories, 0))[0]
    assert not builder.reader(packed).factors.any()
    for wrong in (
        packed[:10],
        packed[: -4 * model.n_categories - 4],
        packed + bytes(4),
        packed[:8] + b"\xff" * 12 + packed[20:],
    ):
        with pytest.raises(ValueError, match="not of this run's shape"):
            builder.reader(wrong)


def test_articles_that_a_run_does_not_know_are_no_reads_of_it():
    model = random_model(0, n_live=30, n_known=50)
    reader = UserStateBuilder(model).reader(b"", [10**9, 7, -1])
    assert reader.reads.tolist() == [7]


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
