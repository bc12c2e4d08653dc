import dataclasses
import itertools
import math
import zipfile
from contextlib import nullcontext

import msgspec
import numpy as np
import pytest
from conftest import BY_HAND, SHARED, needs_shared
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from recsys.blend.linear import fold_in, recent_weights, total_score
from recsys.blend.live_model import LiveModel, PageModel, Rows, UserState
from recsys.blend.profiles import NO_COUNTS, NOTHING_EXPOSED
from recsys.config import BlendConfig, PageConfig, TextConfig
from recsys.evaluation.turn_taking import greedy
from recsys.page import compose as composing
from recsys.page import rankings
from recsys.page.build import PageBuilder, UserBlock, pack_pages, slot_parts, unpack_page
from recsys.page.compose import LISTS, Cap, Pin, Wish
from recsys.page.rankings import top_n
from recsys.page.reasons import REASONS, reason_code, reason_text
from recsys.page.stories import story_index
from recsys.rows import HOUR_MS, UNKNOWN_TIME, to_ms
from recsys.signals.text import count_terms, document_counts, idf, similar_articles, tfidf
from recsys.store.database import Store
from recsys.training.train import train
from recsys.training.window import read_training_window

N_SLOTS = dict.fromkeys(LISTS, 5) | {"latest_stories": 6}


def rows_of(matrix):
    matrix = csr_matrix(matrix)
    return Rows(
        matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32), matrix.data.astype("f4")
    )


def random_model(seed, n_live=60, n_known=80, n_categories=4):
    rng = np.random.default_rng(seed)
    live_rows = np.sort(rng.choice(n_known, n_live, replace=False))
    sparse = lambda: np.where(rng.random((n_known, n_live)) < 0.1, rng.random((n_known, n_live)), 0)  # noqa: E731
    factors = rng.normal(size=(n_live, 3)).astype(np.float32)
    live = LiveModel(
        live_rows=live_rows,
        static={n: rng.random(n_live).astype("f4") for n in ("popularity", "ctr", "recency")},
        factors=factors,
        warm=np.ones(n_live, dtype=bool),
        gram=factors.T @ factors + np.eye(3, dtype=np.float32),
        category=rng.integers(0, n_categories, n_known),
        similar=rows_of(sparse() * 0.5),
        item_item=rows_of(sparse()),
        weights=BlendConfig(),
        click_confidence=11.0,
    )
    story = np.minimum(np.arange(n_live), rng.integers(0, n_live, n_live))
    return PageModel(
        live,
        story[story],
        rng.random(n_live).astype("f4"),
        rng.normal(size=n_live).astype("f4"),
        rng.permutation(n_live),
        n_categories,
        PageConfig(),
    )


def random_reader(rng, model):
    n_live, n_known = len(model.live.live_rows), len(model.live.category)
    return UserState(
        rng.normal(size=3).astype("f4"),
        rng.normal(size=model.n_categories).astype("f4"),
        rng.choice(n_known, rng.integers(0, 6), replace=False),
        np.sort(rng.choice(n_live, rng.integers(0, 12), replace=False)),
        NOTHING_EXPOSED,
        NO_COUNTS,
    )


@given(st.lists(st.floats(-1e6, 1e6, width=32), max_size=60), st.integers(0, 20))
def test_top_n_agrees_with_plain_sorting(scores, n):
    naive = sorted(range(len(scores)), key=lambda i: (-scores[i], i))[:n]
    assert top_n(np.array(scores, dtype=np.float32), n).tolist() == naive


class compose:
    """A page composed alone, as a block of one."""

    def __init__(self, wishes, story, caps=(), pins=()):
        found = composing.compose(wishes, story, caps, pins)
        self.lists = {name: places[0].tolist() for name, places in found.lists.items()}
        self.value, self.bound = float(found.value[0]), float(found.bound[0])


def worth_of(wishes, page):
    """What a page is worth by the formula: priority x value / log2(rank + 1)."""
    total_score = 0.0
    for wish, places in zip(wishes, page, strict=True):
        value = dict(zip(wish.places[0].tolist(), wish.values[0].tolist(), strict=True))
        total_score += sum(
            wish.priority * value[place] / math.log2(rank + 2)
            for rank, place in enumerate(places)
            if place is not None
        )
    return total_score


def allowed(wishes, page, story, caps, pins=()):
    pinned = [pin.place for pin in pins]
    stories = [int(story[p]) for p in pinned]
    stories += [int(story[p]) for places in page for p in places if p is not None]
    if len(set(stories)) < len(stories):
        return False
    for cap in caps:
        counted = [p for pin in pins if cap.name in (None, pin.name) for p in [pin.place]]
        counted += [
            p
            for wish, places in zip(wishes, page, strict=True)
            if cap.name in (None, wish.name)
            for p in places
            if p is not None
        ]
        groups = [int(cap.group[p]) for p in counted if cap.group[p] >= 0]
        if any(groups.count(g) > cap.most for g in groups):
            return False
    return True


def brute_force(wishes, story, caps):
    """The best page of all there are: most slots filled, then most worth."""
    options = [
        list(itertools.product([None, *wish.places[0].tolist()], repeat=wish.n_slots))
        for wish in wishes
    ]
    best = (-1, 0.0)
    for page in itertools.product(*options):
        if allowed(wishes, page, story, caps):
            filled = sum(place is not None for places in page for place in places)
            best = max(best, (filled, round(worth_of(wishes, page), 9)))
    return best


values = st.lists(st.integers(0, 50), min_size=1, max_size=4)


@settings(deadline=None, max_examples=80)
@given(
    st.lists(
        st.tuples(st.permutations(range(6)), values, st.integers(1, 2)), min_size=2, max_size=2
    ),
    st.lists(st.integers(0, 5), min_size=6, max_size=6),
    st.lists(st.integers(-1, 1), min_size=6, max_size=6),
    st.sampled_from([(), (("a", 1),), ((None, 2), ("b", 1)), ((None, 1),), (("a", 0),)]),
)
def test_no_page_is_better_than_the_composed_one(lists, links, groups, limits):
    story = np.minimum(np.arange(6), links)
    story = story[story]
    wishes = []
    for (order, worth, n_slots), name in zip(lists, "ab", strict=True):
        places, seen = [], set()
        for place in order[: len(worth)]:
            if int(story[place]) not in seen:
                seen.add(int(story[place]))
                places.append(place)
        falling = np.sort(np.array(worth[: len(places)], dtype=float))[::-1] / 50
        wishes.append(wish(name, places, falling, n_slots, priority=1.0 + (name == "a")))
    caps = [Cap(name, np.array(groups), most) for name, most in limits]
    found = compose(wishes, story, caps)
    page = [[p if p >= 0 else None for p in found.lists[wish.name]] for wish in wishes]
    assert allowed(wishes, page, story, caps)
    filled, worth = brute_force(wishes, story, caps)
    found_filled = sum(p is not None for places in page for p in places)
    assert worth_of(wishes, page) == pytest.approx(found.value, abs=1e-6)
    if caps:
        assert found_filled <= filled
        assert found.value <= found.bound + 1e-6
        assert found_filled < filled or worth <= found.bound + 1e-6
    else:
        assert found.value == found.bound
        assert (found_filled, found.value) == (filled, pytest.approx(worth, abs=1e-6))


def wish(name, places, values, n_slots=2, **more):
    return Wish(name, n_slots, np.array([places]), np.array([values], dtype=float), **more)


def test_an_article_goes_where_it_is_worth_most():
    # Both want 1 first; list b has nothing as good, so a takes its second best.
    wishes = [wish("a", [1, 2, 3], [1.0, 0.9, 0.0]), wish("b", [1, 4, 5], [1.0, 0.1, 0.0])]
    found = compose(wishes, np.arange(6))
    assert found.lists == {"a": [2, 3], "b": [1, 4]}
    # 0.9 + 0 + 1.0 + 0.1 / log2(3), and by turns 1.0 + 0.9 / log2(3) + 0.1 + 0.
    assert found.value == found.bound == pytest.approx(1.9 + 0.1 / math.log2(3))


def test_a_pin_holds_its_slot_and_its_story():
    wishes = [wish("a", [1, 2, 3], [1.0, 0.5, 0.0]), wish("b", [2, 4, 1], [1.0, 0.5, 0.0])]
    story = np.array([0, 1, 2, 3, 2, 5])  # 2 and 4 tell one story
    found = compose(wishes, story, pins=[Pin("b", 1, 4)])
    assert found.lists == {"a": [1, 3], "b": [-1, 4]}


def test_a_cap_counts_pins_and_never_takes_one_away():
    group = np.array([0, 0, 0, 1, 1])
    wishes = [wish("a", [0, 1, 3, 4], [1.0, 0.9, 0.8, 0.0], n_slots=3)]
    found = compose(wishes, np.arange(5), [Cap("a", group, 1)], [Pin("a", 2, 2)])
    assert found.lists == {"a": [3, -1, 2]}
    assert compose(wishes, np.arange(5), [Cap("a", group, 2)], [Pin("a", 2, 2)]).lists == {
        "a": [0, 3, 2]
    }


def test_an_exempt_list_may_tell_a_story_again_by_another_article():
    story = np.array([0, 0, 2, 3])  # 0 and 1 tell one story
    lists = [wish("a", [0, 2], [1.0, 0.0]), wish("b", [1, 3], [1.0, 0.0], exempt=True)]
    assert compose(lists, story).lists == {"a": [0, 2], "b": [1, 3]}
    same = [wish("a", [0, 2], [1.0, 0.0]), wish("b", [0, 3], [1.0, 0.0], exempt=True)]
    found = compose(same, story).lists
    assert sorted(p for places in found.values() for p in places) == [-1, 0, 2, 3]
    pinned = compose(lists, story, pins=[Pin("a", 1, 1)]).lists  # 1 stands in a, so not in b
    assert pinned == {"a": [2, 1], "b": [3, -1]}


def test_when_articles_run_out_each_list_keeps_its_minimum():
    both = ([0, 1, 2], [1.0, 0.5, 0.0])
    lists = [wish("a", *both, 3, priority=9.0, minimum=1), wish("b", *both, 3, minimum=1)]
    found = compose(lists, np.arange(3)).lists
    assert [sum(place >= 0 for place in places) for places in found.values()] == [2, 1]


def test_of_too_many_of_a_kind_the_best_few_stay_wherever_they_stand():
    group = np.array([0, 0, 0, 0, 1, 1])
    lists = [wish("a", [0, 1, 4], [1.0, 0.9, 0.1]), wish("b", [2, 3, 5], [0.8, 0.7, 0.2])]
    found = compose(lists, np.arange(6), [Cap(None, group, 2)])
    # Alone a shows 0, 1 and b 2, 3. First slots count most, so 0 and 2 stay.
    assert found.lists == {"a": [0, 4], "b": [2, 5]}
    assert found.value == pytest.approx(1.0 + 0.8 + (0.1 + 0.2) / math.log2(3))
    assert found.bound == pytest.approx(1.0 + 0.8 + (0.9 + 0.7) / math.log2(3))


def test_caps_hold_and_leave_no_slot_empty_that_could_be_filled():
    rng = np.random.default_rng(0)
    for _ in range(20):
        lists = [
            wish(name, rng.permutation(30)[:20], np.sort(rng.random(20))[::-1], 3) for name in "abc"
        ]
        caps = [Cap(None, rng.integers(0, 9, 30), 2), Cap("a", rng.integers(0, 3, 30), 1)]
        found = compose(lists, np.arange(30), caps)
        page = [[p if p >= 0 else None for p in found.lists[w.name]] for w in lists]
        assert allowed(lists, page, np.arange(30), caps)
        assert all(p is not None for places in page for p in places)
        assert found.value <= found.bound


def test_taking_turns_is_never_better():
    for seed in range(10):
        model = random_model(seed)
        builder = PageBuilder(model)
        built = builder.page(random_reader(np.random.default_rng(seed), model), None, N_SLOTS)
        orders = {name: builder.rankings.alone(name, built.scored).tolist() for name in LISTS}
        closed = np.flatnonzero(built.scored.closed[0])
        turns = greedy(orders, N_SLOTS, model.story, closed)
        wishes = builder.rankings.wishes(built.scored, N_SLOTS)
        story = model.story
        page = [
            [p for p in turns[w.name] if p in set(w.places[0].tolist())] for w in wishes
        ]  # what a list does not even wish for is worth nothing to it
        assert worth_of(wishes, page) <= built.bound + 1e-6
        assert len({int(story[p]) for places in page for p in places}) == sum(map(len, page))


@pytest.mark.parametrize("seed", range(5))
def test_a_block_of_pages_is_the_pages_one_by_one(seed):
    model = random_model(seed)
    rng = np.random.default_rng(seed + 100)
    readers = [random_reader(rng, model) for _ in range(20)]
    builder = PageBuilder(model)
    pages = builder.block(UserBlock.of(readers), N_SLOTS)
    for i, (reader, slots) in enumerate(zip(readers, pages.slots, strict=True)):
        alone = builder.page(reader, None, N_SLOTS)
        assert pages.notes[i] == alone.notes
        assert pack_pages(pages)[i] == (None if alone.notes else slots.tobytes())
        together = unpack_page(slots.tobytes(), N_SLOTS)
        for name in LISTS:
            assert [(s.place, s.code, s.because) for s in together[name]] == [
                (s.place, s.code, s.because) for s in alone.lists[name]
            ]
            assert [s.score for s in together[name]] == pytest.approx(
                [s.score for s in alone.lists[name]], abs=2e-4
            )


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.booleans(), st.booleans())
def test_no_page_repeats_an_article_a_story_or_what_was_read(seed, with_reader, with_article):
    model = random_model(seed % 7)
    rng = np.random.default_rng(seed)
    reader = random_reader(rng, model) if with_reader else None
    context = int(rng.integers(len(model.live.category))) if with_article else None
    lists = PageBuilder(model).page(reader, context, N_SLOTS).lists
    places = [slot.place for slots in lists.values() for slot in slots]
    stories = [int(model.story[place]) for place in places]
    assert len(set(stories)) == len(stories)
    if reader is not None:
        assert not set(places) & set(reader.read.tolist())
    if context is not None:
        assert context not in model.live.live_rows[places]


def test_when_candidates_run_out_the_lists_are_shorter_not_wrong():
    model = random_model(1, n_live=4, n_known=6)
    lists = PageBuilder(model).page(None, None, N_SLOTS).lists
    assert sum(map(len, lists.values())) == len(np.unique(model.story))


def test_a_list_is_short_only_when_the_live_articles_run_out(monkeypatch):
    monkeypatch.setattr(rankings, "UNDER_CAPS", 6)
    monkeypatch.setattr(rankings, "SPARE", 0)
    model = dataclasses.replace(random_model(2), story=np.arange(60))
    rng = np.random.default_rng(4)
    best = top_n(model.rise, 12)  # read more of the best than is looked at first
    reader = dataclasses.replace(random_reader(rng, model), read=np.sort(best))
    builder = PageBuilder(model)
    alone = builder.page(reader, None, N_SLOTS).lists
    assert [len(alone[name]) for name in LISTS] == [5, 5, 5, 6]
    together = builder.block(UserBlock.of([reader]), N_SLOTS).slots[0]
    assert unpack_page(together.tobytes(), N_SLOTS) == alone


def test_must_reads_are_of_several_sections_as_long_as_there_are_some():
    model = random_model(3)
    section = model.live.category[model.live.live_rows]
    for seed in range(5):
        reader = random_reader(np.random.default_rng(seed), model)
        built = PageBuilder(model).page(reader, None, N_SLOTS)
        found = [int(section[slot.place]) for slot in built.lists["must_reads"]]
        assert all(found.count(s) <= 2 for s in found if s > 0)
        assert not built.notes
    one = dataclasses.replace(model.live, category=np.ones_like(model.live.category))
    built = PageBuilder(dataclasses.replace(model, live=one)).page(None, None, N_SLOTS)
    assert len(built.lists["must_reads"]) == 5
    assert "too few sections" in built.notes["must_reads"]


def test_what_says_the_same_again_comes_later():
    model = random_model(5)
    plain, diverse = (
        PageBuilder(dataclasses.replace(model, config=PageConfig(diversity=d)))
        .page(None, None, N_SLOTS)
        .lists["you_may_also_like"]
        for d in (0.0, 5.0)
    )

    def likeness(slots):
        live = model.live
        rows = [live.similar.row(int(live.live_rows[slot.place])) for slot in slots]
        return sum(
            float(value[column == other.place].sum()) for column, value in rows for other in slots
        )

    assert likeness(diverse) < likeness(plain)


def test_the_score_is_the_sum_of_its_parts():
    model = random_model(3)
    reader = random_reader(np.random.default_rng(0), model)
    built = PageBuilder(model).page(reader, 5, N_SLOTS)
    scores = total_score(built.parts, len(model.story))
    for slot in built.lists["you_may_also_like"]:
        parts = slot_parts(model, built.parts, "you_may_also_like", slot.place)
        assert sum(parts.values()) == pytest.approx(slot.score, abs=1e-3)
        assert slot.score == pytest.approx(float(scores[slot.place]), abs=1e-4)
    for slot in built.lists["must_reads"]:
        parts = slot_parts(model, built.parts, "must_reads", slot.place)
        assert sum(parts.values()) == pytest.approx(slot.score, abs=1e-3)


def test_folding_in_a_cold_reader_is_the_exact_als_solution():
    rng = np.random.default_rng(1)
    items = rng.normal(size=(30, 4)).astype(np.float32)
    gram = items.T @ items + 0.1 * np.eye(4, dtype=np.float32)
    clicked, confidence = items[:3], 11.0
    c = np.ones(30)
    c[:3] = confidence
    p = (np.arange(30) < 3).astype(float)
    exact = np.linalg.solve(items.T @ np.diag(c) @ items + 0.1 * np.eye(4), items.T @ (c * p))
    found = fold_in(np.zeros(4, np.float32), clicked, gram=gram, confidence=confidence)
    np.testing.assert_allclose(found, exact, rtol=1e-3)
    unchanged = fold_in(found, np.zeros((2, 4), np.float32), gram=gram, confidence=confidence)
    np.testing.assert_array_equal(unchanged, found)


def test_recent_weights_sum_to_one_and_fall():
    weights = recent_weights(20, 0.9)
    assert weights.sum() == pytest.approx(1.0)
    assert (np.diff(weights) < 0).all()
    assert len(recent_weights(0, 0.9)) == 0


def test_stories_are_chains_of_copies_and_of_reports_of_one_day():
    similar = csr_matrix(np.array([[0, 0.9, 0, 0], [0, 0, 0, 0.85], [0, 0, 0, 0.7], [0, 0, 0, 0]]))
    never = np.full(4, UNKNOWN_TIME)
    assert story_index(similar, never, PageConfig()).tolist() == [0, 0, 2, 0]
    hours = np.array([0, 90, 89, 66]) * HOUR_MS  # 2 and 3 are 23 hours apart
    assert story_index(similar, hours, PageConfig()).tolist() == [0, 0, 0, 0]
    assert story_index(similar, hours, PageConfig(event_hours=22)).tolist() == [0, 0, 2, 0]


def pairs_of(story):
    return {
        (i, j) for i in range(len(story)) for j in range(i + 1, len(story)) if story[i] == story[j]
    }


def test_stories_of_the_sample_are_its_planted_copies(by_hand):
    with Store(by_hand.store) as store:
        night = read_training_window(store, to_ms(by_hand.as_of), BY_HAND)
        copies_only = msgspec.structs.replace(BY_HAND, page=PageConfig(event_hours=0))
        found = train(store, night, copies_only, lambda stage: nullcontext())
    titles = [found.articles[row].title for row in found.page.live.live_rows]
    place = {title: i for i, title in enumerate(titles)}
    planted = {
        (*sorted((place[title.removeprefix("Update: ")], i)),)
        for i, title in enumerate(titles)
        if title.startswith("Update: ") and title.removeprefix("Update: ") in place
    }
    told = pairs_of(found.page.story.tolist())
    assert len(planted) > 5
    assert planted == told  # precision and recall 1


@pytest.mark.slow
@needs_shared
def test_stories_of_real_news_are_its_copies():
    """Pairs of 2,225 BBC articles; labels by scikit-learn's own vectoriser."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    with zipfile.ZipFile(SHARED / "bbc" / "bbc-fulltext.zip") as archive:
        names = [n for n in sorted(archive.namelist()) if n.count("/") == 2 and n.endswith(".txt")]
        texts = [archive.read(name).decode("utf-8", "replace") for name in names]
    vectors = TfidfVectorizer(sublinear_tf=True, stop_words="english").fit_transform(texts)
    cosine = np.triu((vectors @ vectors.T).toarray(), 1)
    copies = set(zip(*(rows.tolist() for rows in np.nonzero(cosine >= 0.8)), strict=True))
    alike = set(zip(*(rows.tolist() for rows in np.nonzero(cosine >= 0.6)), strict=True))
    config = TextConfig()
    title, body = zip(*(text.split("\n", 1) for text in texts), strict=True)
    counts = count_terms(title, body, [""] * len(texts), config)
    ours = tfidf(counts, idf(*document_counts(counts)))
    similar = similar_articles(ours, ours, np.arange(len(texts)), config)
    told = pairs_of(story_index(similar, np.full(len(texts), UNKNOWN_TIME), PageConfig()).tolist())
    assert len(copies & told) / len(copies) >= 0.97
    assert len(alike & told) / len(told) >= 0.99
    one_day = pairs_of(story_index(similar, np.zeros(len(texts), np.int64), PageConfig()).tolist())
    assert len(alike & one_day) / len(one_day) >= 0.99


def test_every_reason_has_words_and_none_names_a_missing_section():
    for name in LISTS:
        for part in range(9):
            for rising in (True, False):
                code = reason_code(name, part, has_category=False, rising=rising)
                assert "{category}" not in REASONS[code]
    assert reason_text("because_read", title="Moon", category="") == "Because you read “Moon”"
