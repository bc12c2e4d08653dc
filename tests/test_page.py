import dataclasses
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from recsys.blend import LiveModel, Rows, fold_in, recent_weights, score, total
from recsys.config import BlendConfig
from recsys.page import build
from recsys.page.build import PageBuilder, PageModel, slot_parts
from recsys.page.compose import LISTS, compose, compose_block, top_n
from recsys.page.reasons import REASONS, reason_code, reason_text
from recsys.page.stories import story_index
from recsys.rank import unknown_reader

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
        live, story[story], rng.random(n_live).astype("f4"), rng.normal(size=n_live).astype("f4"),
        rng.permutation(n_live), n_categories, 0.8,
    )  # fmt: skip


def random_reader(rng, model):
    n_live, n_known = len(model.live.live_rows), len(model.live.category)
    return replace(
        unknown_reader(3, model.n_categories),
        factors=rng.normal(size=3).astype("f4"),
        affinity=rng.normal(size=model.n_categories).astype("f4"),
        reads=rng.choice(n_known, rng.integers(0, 6), replace=False),
        read=np.sort(rng.choice(n_live, rng.integers(0, 12), replace=False)),
    )


@given(st.lists(st.floats(-1e6, 1e6, width=32), max_size=60), st.integers(0, 20))
def test_top_n_agrees_with_plain_sorting(scores, n):
    naive = sorted(range(len(scores)), key=lambda i: (-scores[i], i))[:n]
    assert top_n(np.array(scores, dtype=np.float32), n).tolist() == naive


rankings = st.permutations(range(12)).map(lambda order: order[:9])


@settings(deadline=None)
@given(
    st.lists(st.tuples(rankings, rankings, rankings, rankings), min_size=1, max_size=4),
    st.lists(st.integers(0, 11), min_size=12, max_size=12),
    st.lists(st.sets(st.integers(0, 11), max_size=6), min_size=4, max_size=4),
    st.integers(1, 4),
)
def test_composing_a_block_is_composing_each(readers, links, reads, n):
    story = np.minimum(np.arange(12), links)
    story = story[story]
    n_slots = dict.fromkeys(LISTS, n)
    used = np.zeros((len(readers), 12), dtype=bool)
    blocked = [np.array(sorted(read), dtype=np.int64) for read in reads[: len(readers)]]
    for row, read in enumerate(blocked):
        used[row, story[read]] = True
    block = {name: np.array([r[i] for r in readers]) for i, name in enumerate(LISTS)}
    together = compose_block(block, n_slots, story, used)
    for row, reader in enumerate(readers):
        alone = compose(dict(zip(LISTS, reader, strict=True)), n_slots, story, blocked[row])
        for name in LISTS:
            places = together[name][row]
            assert places[places >= 0].tolist() == alone[name]
        chosen = [place for places in alone.values() for place in places]
        assert len({story[place] for place in chosen}) == len(chosen)
        assert not {story[p] for p in chosen} & {story[p] for p in blocked[row].tolist()}


def test_lists_take_turns_so_that_none_starves():
    story = np.arange(8)
    same = list(range(8))
    found = compose(dict.fromkeys(LISTS, same), dict.fromkeys(LISTS, 2), story, np.array([0]))
    assert found == {
        "you_may_also_like": [1, 5], "popular_now": [2, 6],
        "must_reads": [3, 7], "latest_stories": [4],
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(5))
def test_a_block_of_pages_is_the_pages_one_by_one(seed):
    model = random_model(seed)
    rng = np.random.default_rng(seed + 100)
    readers = [random_reader(rng, model) for _ in range(20)]
    builder = PageBuilder(model)
    text = np.stack([score(model.live, reader, None)["text"] for reader in readers])
    for reader, page in zip(readers, builder.block(readers, text, N_SLOTS), strict=True):
        alone = builder.page(reader, None, N_SLOTS).lists
        for name in LISTS:
            assert [(s.place, s.code, s.because) for s in page[name]] == [
                (s.place, s.code, s.because) for s in alone[name]
            ]
            assert [s.score for s in page[name]] == pytest.approx(
                [s.score for s in alone[name]], abs=2e-4
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
    monkeypatch.setattr(build, "SHARED", 6)
    monkeypatch.setattr(build, "SPARE", 0)
    model = dataclasses.replace(random_model(2), story=np.arange(60))
    rng = np.random.default_rng(4)
    best = top_n(model.rise, 12)  # read more of the best than is looked at first
    reader = dataclasses.replace(random_reader(rng, model), read=np.sort(best))
    builder = PageBuilder(model)
    alone = builder.page(reader, None, N_SLOTS).lists
    assert [len(alone[name]) for name in LISTS] == [5, 5, 5, 6]
    text = score(model.live, reader, None)["text"][np.newaxis]
    (together,) = builder.block([reader], text, N_SLOTS)
    assert together == alone


def test_the_score_is_the_sum_of_its_parts():
    model = random_model(3)
    reader = random_reader(np.random.default_rng(0), model)
    built = PageBuilder(model).page(reader, 5, N_SLOTS)
    scores = total(built.parts, len(model.story))
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
    assert unchanged is found


def test_recent_weights_sum_to_one_and_fall():
    weights = recent_weights(20, 0.9)
    assert weights.sum() == pytest.approx(1.0)
    assert (np.diff(weights) < 0).all()
    assert len(recent_weights(0, 0.9)) == 0


def test_stories_are_chains_of_near_duplicates():
    similar = csr_matrix(np.array([[0, 0.9, 0, 0], [0, 0, 0, 0.85], [0, 0, 0, 0.2], [0, 0, 0, 0]]))
    assert story_index(similar, threshold=0.8).tolist() == [0, 0, 2, 0]


def test_every_reason_has_words_and_none_names_a_missing_section():
    for name in LISTS:
        for part in range(9):
            for rising in (True, False):
                code = reason_code(name, part, has_category=False, rising=rising)
                assert "{category}" not in REASONS[code]
    assert reason_text("because_read", title="Moon", category="") == "Because you read “Moon”"
