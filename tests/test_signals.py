import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from recsys.config import CollaborativeConfig, TextConfig
from recsys.signals import affinity, collaborative, popularity, recency, text
from recsys.signals.timeline import Timeline

TEXT = TextConfig(min_similarity=1e-6)


def vectors(*titles, categories=None):
    empty = [""] * len(titles)
    counts = text.count_terms(titles, empty, categories or empty, TEXT)
    return text.tfidf(counts, text.idf(*text.document_counts(counts)))


def dense_cosine(x):
    full = x.toarray()
    return full @ full.T


def test_similar_articles_agree_with_the_dense_product():
    words = ["tax", "goal", "bank", "reef", "moon", "vote", "rent", "bread"]
    rng = np.random.default_rng(3)
    x = vectors(*(" ".join(rng.choice(words, 5)) for _ in range(30)))
    live = np.arange(0, 30, 2)
    found = text.similar_articles(x, x[live], live, TEXT).toarray()
    naive = dense_cosine(x)[:, live]
    naive[live, np.arange(len(live))] = 0.0  # an article is not similar to itself
    naive[naive < 1e-6] = 0.0
    np.testing.assert_allclose(found, naive, atol=1e-5)


def test_similar_articles_keep_the_best_and_never_the_article_itself():
    x = vectors("a1 b1 c1", "a1 b1 c1", "a1 b1 d1", "a1 e1 f1")
    live = np.arange(4)
    config = TextConfig(n_similar=2, min_similarity=1e-6)
    found = text.similar_articles(x, x, live, config)
    assert np.diff(found.indptr).tolist() == [2, 2, 2, 2]
    assert found.indices[:2].tolist() == [1, 2]
    assert found[0, 1] == pytest.approx(1.0, abs=1e-6)
    naive = np.sort(dense_cosine(x) - np.eye(4), axis=1)[:, -2:]
    for row in range(4):
        part = found.data[found.indptr[row] : found.indptr[row + 1]]
        assert np.sort(part) == pytest.approx(naive[row], abs=1e-5)


def test_terms_weigh_by_how_many_articles_have_them_by_hand_arithmetic():
    counts = csr_matrix(np.array([[1, 2, 0], [1, 0, 0], [1, 0, 3]], dtype="f4"))
    n_having, n = text.document_counts(counts, np.array([True, True, False]))
    assert (n_having.tolist(), n) == ([2, 1, 0], 2)
    assert text.document_counts(counts)[0].tolist() == [3, 1, 1]
    weights = text.idf(n_having.astype(np.uint8), n)
    assert weights == pytest.approx([1.0, 1.0 + math.log(1.5), 1.0 + math.log(3.0)])
    second = weights[1] * (1.0 + math.log(2.0))
    length = math.hypot(1.0, second)
    found = text.tfidf(counts, weights).toarray()[0]
    assert found == pytest.approx([1.0 / length, second / length, 0.0])
    cut = text.narrowed(text.tfidf(counts, weights), np.array([True, False, True]))
    assert cut.toarray()[0] == pytest.approx([1.0 / length, 0.0])


def test_titles_weigh_more_than_bodies_and_sections_count():
    counts = text.count_terms(["Taxes"], ["taxes"], ["News"], TEXT)
    # 3 for the title and 1 for the body; the section is a term of its own.
    assert sorted(counts.data.tolist()) == [2.0, 4.0]


def test_the_heaviest_terms_are_kept_with_their_weights_and_ties_go_by_term():
    x = csr_matrix(np.array([[0.5, 0.1, 0.5, 0.7], [0, 0, 0, 0], [0, 0.2, 0, 0]], dtype="f4"))
    found = text.heaviest(x, 2).toarray()
    assert found == pytest.approx(np.array([[0.5, 0, 0, 0.7], [0, 0, 0, 0], [0, 0.2, 0, 0]]))
    assert (text.heaviest(x, 9) != x).nnz == 0


def test_an_article_without_text_is_like_nothing():
    x = vectors("tax law", "", "tax law")
    assert text.similar_articles(x, x, np.arange(3), TEXT)[1].nnz == 0


def test_counting_one_by_one_is_counting_at_once():
    titles = ["Über die Brücke", "東京都の選挙", "Vote, again"]
    at_once = text.count_terms(titles, [""] * 3, [""] * 3, TEXT)
    for row, title in enumerate(titles):
        assert (text.count_terms([title], [""], [""], TEXT) != at_once[row]).nnz == 0


@pytest.fixture
def two_tastes():
    """40 readers x 40 articles; even readers click even articles, odd odd.

    Reader i never saw article i, so article i is reader i's right answer.
    """
    u, i = np.indices((40, 40))
    return csr_matrix(((u % 2 == i % 2) & (u != i)).astype(np.float32))


def test_als_finds_the_withheld_article(two_tastes):
    config = CollaborativeConfig(factors=8, alpha=1.0)
    factors = collaborative.fit_als(two_tastes, config)
    scores = factors.user @ factors.article.T
    scores[two_tastes.toarray() > 0] = -np.inf
    assert scores.argmax(axis=1).tolist() == list(range(40))


def test_als_is_the_same_twice_and_on_more_threads(two_tastes):
    config = CollaborativeConfig(factors=8)
    first, second = (collaborative.fit_als(two_tastes, config) for _ in range(2))
    assert first.user.tobytes() == second.user.tobytes()
    assert first.article.tobytes() == second.article.tobytes()


def test_cold_rows_and_columns_have_zero_factors(two_tastes):
    items = two_tastes.tolil()
    items[0] = 0.0
    items[:, 1] = 0.0
    items[1, 3], items[3, 3] = 1.0, 1.0
    factors = collaborative.fit_als(items.tocsr(), CollaborativeConfig(factors=4))
    assert not factors.user[0].any()
    assert not factors.article[1].any()
    assert factors.article[2].any()


def test_als_of_no_clicks_is_all_zero():
    factors = collaborative.fit_als(csr_matrix((3, 2), dtype=np.float32), CollaborativeConfig())
    assert not factors.user.any()
    assert not factors.article.any()


def test_cold_factors_are_the_shrunk_mean_of_text_neighbours():
    similar = csr_matrix(np.array([[0, 0.5, 0.5], [0.5, 0, 0], [0.5, 0, 0]], dtype=np.float32))
    article = np.array([[9, 9], [2, 0], [0, 4]], dtype=np.float32)
    warm = np.array([False, True, True])
    found = collaborative.cold_factors(article, warm, similar)
    # (0.5 x [2, 0] + 0.5 x [0, 4]) / (1 + 1)
    assert found.tolist() == [[0.5, 1.0], [2, 0], [0, 4]]


def test_item_item_agrees_with_hand_arithmetic():
    # Articles 0 and 1 share two of three and two readers: 2 / sqrt(6), shrunk by 2 / 4.
    items = csr_matrix(np.array([[1, 1, 0], [1, 1, 0], [1, 0, 1]], dtype=np.float32))
    rows, columns = np.arange(3), np.array([1, 2, 0])
    found = collaborative.item_item(items, rows, columns, CollaborativeConfig()).toarray()
    found = found[:, np.argsort(columns)]
    assert found[0, 1] == pytest.approx(2 / math.sqrt(6) * 2 / 4)
    assert found[0, 2] == pytest.approx(1 / math.sqrt(3) * 1 / 3)
    assert found[1, 2] == 0.0
    assert not found.diagonal().any()


def test_click_weights_halve_with_age_and_short_reading():
    config = CollaborativeConfig(half_life_hours=10.0, full_dwell_seconds=20.0)
    ages = np.array([0.0, 10.0, 0.0, 0.0])
    dwell = np.array([40.0, 40.0, 10.0, np.nan], dtype=np.float32)
    # The unknown one weighs as the median of 1, 1 and 0.5.
    assert collaborative.click_weights(ages, dwell, config).tolist() == [1.0, 0.5, 0.5, 1.0]


def test_user_items_are_the_weights_of_clicks():
    user, article = np.array([0, 0, 1]), np.array([2, 1, 0])
    weights = np.array([0.2, 0.7, 0.5], dtype=np.float32)
    found = collaborative.user_items(user, article, weights, shape=(2, 3))
    np.testing.assert_allclose(found.toarray(), [[0, 0.7, 0.2], [0.5, 0, 0]])
    assert found.indices.tolist() == [1, 2, 0]  # as a product of matrices wants them


def test_a_click_from_the_future_is_refused():
    with pytest.raises(ValueError, match="future"):
        popularity.decayed_clicks(
            np.array([0]), np.array([-1.0]), n_articles=1, half_life_hours=1.0
        )
    with pytest.raises(ValueError, match="future"):
        collaborative.click_weights(
            np.array([-1.0]), np.array([1.0], np.float32), CollaborativeConfig()
        )


def test_log_share_is_bounded_and_zero_for_nothing():
    none = np.zeros(2)
    assert popularity.log_share(none, none).tolist() == [0.0, 0.0]
    shares = popularity.log_share(np.array([1.0, 3.0]), np.array([4.0, 4.0]))
    assert shares == pytest.approx([math.log(251), math.log(751)])


def test_click_rate_is_pulled_towards_the_average():
    # p = 3/30 = .1; article 0: (2 + 2) / (10 + 20) = .1333; never shown: 0.
    clicks, views = np.array([2.0, 1.0, 0.0]), np.array([10.0, 20.0, 0.0])
    found = popularity.log_click_rate(clicks, views, np.full(3, 0.1), prior_views=20.0)
    assert found == pytest.approx([math.log(4 / 30 / 0.1), math.log(3 / 40 / 0.1), 0.0])


def test_a_steady_article_does_not_rise_and_a_new_one_does():
    # At a constant rate the counts stand as their half-lives: 2 to 24.
    now, long = np.array([2.0, 2.0]), np.array([24.0, 2.0])
    rise = popularity.rise(now, long, now_half_life_hours=2.0, expected_half_life_hours=24.0)
    assert rise[1] > 0 > rise[0]
    steady = popularity.rise(
        np.array([2.0, 4.0]),
        np.array([24.0, 48.0]),
        now_half_life_hours=2.0,
        expected_half_life_hours=24.0,
    )
    assert steady == pytest.approx([0.0, 0.0])


def test_breadth_is_zero_for_one_section_and_grows_with_evenness():
    article, home = np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1])
    found = popularity.user_breadth(article, home, n_articles=3)
    # Article 1: 2^2 - (1 + 1) = 2 over (2 + 2)^2.
    assert found.tolist() == [0.0, 0.125, 0.0]


def test_dwell_is_smoothed_towards_the_overall_mean():
    found = popularity.mean_dwell_share(
        np.array([0, 1]), np.array([60.0, 0.0], np.float32), n_articles=3, full_seconds=60.0
    )
    # Overall .5; five clicks of it are added: (1 + 2.5) / 6, (0 + 2.5) / 6, 2.5 / 5.
    assert found == pytest.approx([3.5 / 6, 2.5 / 6, 0.5])


def test_affinity_agrees_with_hand_arithmetic():
    items = csr_matrix(np.array([[1, 1, 0], [0, 0, 2], [0, 0, 0]], dtype=np.float32))
    found = affinity.category_affinity(items, np.array([0, 0, 1]), n_categories=3)
    # Shares .5 and .5; reader 0: (2 + 2.5) / (2 + 5) / .5.
    assert found[0] == pytest.approx([math.log(4.5 / 7 / 0.5), math.log(2.5 / 7 / 0.5), 0.0])
    assert found[2].tolist() == [0.0, 0.0, 0.0]


@settings(deadline=None)
@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=20))
def test_recency_falls_with_age_and_stays_in_bounds(ages):
    found = recency.recency(np.sort(np.array(ages)), half_life_hours=12.0)
    assert ((found >= 0) & (found <= 1)).all()
    assert (np.diff(found) <= 0).all()


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 4), st.floats(0, 100)), max_size=30), st.floats(0.5, 50))
def test_decayed_clicks_agree_with_a_plain_loop(clicks, half_life):
    naive = [0.0] * 5
    for article, age in clicks:
        naive[article] += 2 ** (-age / half_life)
    found = popularity.decayed_clicks(
        np.array([a for a, _ in clicks], dtype=np.int64),
        np.array([t for _, t in clicks], dtype=np.float64),
        n_articles=5,
        half_life_hours=half_life,
    )
    assert found.tolist() == pytest.approx(naive)


@settings(deadline=None, max_examples=80)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 50)), max_size=25),
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 60)), min_size=1, max_size=10),
    st.floats(0.5, 50),
)
def test_counts_at_many_instants_agree_with_counts_at_each(events, queries, half_life):
    hour = 3_600_000
    key = np.array([k for k, _ in events], dtype=np.int64)
    at = np.array([t * hour for _, t in events], dtype=np.int64)
    asked = np.array(queries, dtype=np.int64)
    line = Timeline(key, at)
    for instant in (20 * hour, int(asked[0, 1]) * hour):  # one for all, and each its own
        together = line.decayed(asked[:, 0], np.full(len(asked), instant), [half_life])[0]
        apart = [
            line.decayed(np.array([k, 3]), np.array([instant, instant + 1]), [half_life])[0, 0]
            for k in asked[:, 0]
        ]
        assert together == pytest.approx(apart)
        everything = line.decayed(np.arange(5), np.full(5, instant), [half_life])[0].sum()
        assert line.total(np.full(2, instant), [half_life])[0] == pytest.approx([everything] * 2)
        each = line.total(np.array([instant, instant + 1]), [half_life])[0, 0]
        assert each == pytest.approx(everything)
    found = line.decayed(asked[:, 0], asked[:, 1] * hour, [half_life, 7.0])[0]
    first = [min([t for k, t in events if k == key_], default=None) for key_, _ in queries]
    never = np.iinfo(np.int64).max
    expected = [never if t is None else t * hour for t in first]
    assert line.first_ms(asked[:, 0]).tolist() == expected
    for (article, hours), value in zip(queries, found.tolist(), strict=True):
        before = at < hours * hour  # strictly: an event of that instant is not known yet
        one = popularity.decayed_clicks(
            key[before],
            (hours * hour - at[before]) / hour,
            n_articles=5,
            half_life_hours=half_life,
        )
        assert value == pytest.approx(one[article])


def test_importance_by_hand_arithmetic():
    # Seven readers in three hours, a full read, half breadth: log1p(7/4) x 1.5 x 1 x 2^(-3/12).
    found = popularity.importance(
        np.array([7.0, 0.0, 25.0]),
        np.array([1.0, 1.0, 0.5]),
        np.array([0.5, 1.0, 0.5]),
        np.array([3.0, 0.0, 48.0]),
        half_life_hours=12.0,
    )
    wanted = [math.log1p(7 / 4) * 1.5 * 2**-0.25, 0.0, math.log1p(1.0) * 2**-4]
    assert found.tolist() == pytest.approx(wanted)
