import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from recsys.config import CollaborativeConfig, TextConfig
from recsys.rows import HOUR_MS, UNKNOWN_TIME, Clicks, Impressions
from recsys.signals import affinity, collaborative, popularity, recency, text
from recsys.signals.event_counts import Events
from recsys.signals.timeline import NEVER, Timeline

TEXT = TextConfig(min_similarity=1e-6)


def tfidf_of(*titles):
    empty = [""] * len(titles)
    counts = text.count_terms(titles, empty, empty, TEXT)
    return text.tfidf(counts, text.idf(*text.document_counts(counts)))


def dense_cosine(vectors):
    dense = vectors.toarray()
    return dense @ dense.T


def test_similar_articles_agree_with_the_dense_product():
    words = ["tax", "goal", "bank", "reef", "moon", "vote", "rent", "bread"]
    rng = np.random.default_rng(3)
    x = tfidf_of(*(" ".join(rng.choice(words, 5)) for _ in range(30)))
    live = np.arange(0, 30, 2)
    found = text.similar_articles(x, x[live], live, TEXT).toarray()
    naive = dense_cosine(x)[:, live]
    naive[live, np.arange(len(live))] = 0.0  # an article is not similar to itself
    naive[naive < 1e-6] = 0.0
    np.testing.assert_allclose(found, naive, atol=1e-5)


def test_similar_articles_are_the_best_and_never_the_article_itself():
    x = tfidf_of("a1 b1 c1", "a1 b1 c1", "a1 b1 d1", "a1 e1 f1")
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


def test_tfidf_agrees_with_hand_arithmetic():
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
    cut = text.select_columns(text.tfidf(counts, weights), np.array([True, False, True]))
    assert cut.toarray()[0] == pytest.approx([1.0 / length, 0.0])


def test_titles_weigh_more_than_bodies_and_a_section_is_a_term():
    counts = text.count_terms(["Taxes"], ["taxes"], ["News"], TEXT)
    # The title counts 3 and the body 1; the section is a term of its own that counts 2.
    assert sorted(counts.data.tolist()) == [2.0, 4.0]


def test_the_heaviest_terms_are_kept_and_ties_go_to_the_first_term():
    x = csr_matrix(np.array([[0.5, 0.1, 0.5, 0.7], [0, 0, 0, 0], [0, 0.2, 0, 0]], dtype="f4"))
    found = text.keep_heaviest_terms(x, 2).toarray()
    assert found == pytest.approx(np.array([[0.5, 0, 0, 0.7], [0, 0, 0, 0], [0, 0.2, 0, 0]]))
    assert (text.keep_heaviest_terms(x, 9) != x).nnz == 0


def test_an_article_without_text_has_no_similar_articles():
    x = tfidf_of("tax law", "", "tax law")
    assert text.similar_articles(x, x, np.arange(3), TEXT)[1].nnz == 0


def test_counting_the_terms_of_articles_one_by_one_or_at_once_is_the_same():
    titles = ["Über die Brücke", "東京都の選挙", "Vote, again"]
    at_once = text.count_terms(titles, [""] * 3, [""] * 3, TEXT)
    for row, title in enumerate(titles):
        assert (text.count_terms([title], [""], [""], TEXT) != at_once[row]).nnz == 0


@pytest.fixture
def two_tastes():
    """40 users x 40 articles: even users click even articles, odd users odd ones.

    User i never clicks article i, so article i is the right recommendation for user i.
    """
    user, article = np.indices((40, 40))
    return csr_matrix(((user % 2 == article % 2) & (user != article)).astype(np.float32))


def test_als_finds_the_withheld_article(two_tastes):
    config = CollaborativeConfig(factors=8, alpha=1.0)
    factors = collaborative.fit_als(two_tastes, config)
    scores = factors.user @ factors.article.T
    scores[two_tastes.toarray() > 0] = -np.inf
    assert scores.argmax(axis=1).tolist() == list(range(40))


def test_als_is_reproducible(two_tastes):
    config = CollaborativeConfig(factors=8)
    first, second = (collaborative.fit_als(two_tastes, config) for _ in range(2))
    assert first.user.tobytes() == second.user.tobytes()
    assert first.article.tobytes() == second.article.tobytes()


def test_users_without_clicks_and_articles_with_few_have_zero_factors(two_tastes):
    items = two_tastes.tolil()
    items[0] = 0.0
    items[:, 1] = 0.0
    items[1, 3], items[3, 3] = 1.0, 1.0
    factors = collaborative.fit_als(items.tocsr(), CollaborativeConfig(factors=4))
    assert not factors.user[0].any()
    assert not factors.article[1].any()
    assert factors.article[2].any()


def test_factors_without_any_clicks_are_all_zero():
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


def test_item_item_similarity_agrees_with_hand_arithmetic():
    # Article 0 has 3 users and article 1 has 2, both in common: 2 / sqrt(6), shrunk by 2 / 4.
    items = csr_matrix(np.array([[1, 1, 0], [1, 1, 0], [1, 0, 1]], dtype=np.float32))
    rows, columns = np.arange(3), np.array([1, 2, 0])
    found = collaborative.item_item_similarity(
        items, rows, columns, CollaborativeConfig()
    ).toarray()
    found = found[:, np.argsort(columns)]
    assert found[0, 1] == pytest.approx(2 / math.sqrt(6) * 2 / 4)
    assert found[0, 2] == pytest.approx(1 / math.sqrt(3) * 1 / 3)
    assert found[1, 2] == 0.0
    assert not found.diagonal().any()


def test_click_weights_halve_with_age_and_with_half_the_reading_time():
    config = CollaborativeConfig(half_life_hours=10.0, full_dwell_seconds=20.0)
    ages = np.array([0.0, 10.0, 0.0, 0.0])
    dwell = np.array([40.0, 40.0, 10.0, np.nan], dtype=np.float32)
    # The unknown reading time counts as the median of 1, 1 and 0.5.
    assert collaborative.click_weights(ages, dwell, config).tolist() == [1.0, 0.5, 0.5, 1.0]


def test_user_items_hold_the_weights_of_clicks():
    user, article = np.array([0, 0, 1]), np.array([2, 1, 0])
    weights = np.array([0.2, 0.7, 0.5], dtype=np.float32)
    found = collaborative.build_user_items(user, article, weights, shape=(2, 3))
    np.testing.assert_allclose(found.toarray(), [[0, 0.7, 0.2], [0.5, 0, 0]])
    assert found.indices.tolist() == [1, 2, 0]  # sorted within each row


def test_a_click_from_the_future_is_refused():
    with pytest.raises(ValueError, match="future"):
        popularity.decayed_clicks(
            np.array([0]), np.array([-1.0]), n_articles=1, half_life_hours=1.0
        )
    with pytest.raises(ValueError, match="future"):
        collaborative.click_weights(
            np.array([-1.0]), np.array([1.0], np.float32), CollaborativeConfig()
        )


def test_log_share_agrees_with_hand_arithmetic_and_is_zero_without_clicks():
    none = np.zeros(2)
    assert popularity.log_share(none, none).tolist() == [0.0, 0.0]
    shares = popularity.log_share(np.array([1.0, 3.0]), np.array([4.0, 4.0]))
    assert shares == pytest.approx([math.log(251), math.log(751)])


def test_click_rate_is_pulled_towards_the_average():
    # Average 3/30 = .1; article 0: (2 + 2) / (10 + 20) = .1333; an article never shown: 0.
    clicks, views = np.array([2.0, 1.0, 0.0]), np.array([10.0, 20.0, 0.0])
    found = popularity.log_click_rate(clicks, views, np.full(3, 0.1), prior_views=20.0)
    assert found == pytest.approx([math.log(4 / 30 / 0.1), math.log(3 / 40 / 0.1), 0.0])


def test_a_steady_article_does_not_rise_and_a_new_one_does():
    # At a constant rate the counts are in proportion to the half-lives: 2 to 24.
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


def test_mean_dwell_share_is_smoothed_towards_the_overall_mean():
    found = popularity.mean_dwell_share(
        np.array([0, 1]), np.array([60.0, 0.0], np.float32), n_articles=3, full_seconds=60.0
    )
    # The overall mean is .5; five such clicks are added: (1 + 2.5) / 6, (0 + 2.5) / 6, 2.5 / 5.
    assert found == pytest.approx([3.5 / 6, 2.5 / 6, 0.5])


def test_affinity_agrees_with_hand_arithmetic():
    items = csr_matrix(np.array([[1, 1, 0], [0, 0, 2], [0, 0, 0]], dtype=np.float32))
    found = affinity.category_affinity(items, np.array([0, 0, 1]), n_categories=3)
    # Both sections have half of all clicks; user 0 in section 0: (2 + 2.5) / (2 + 5) / .5.
    assert found[0] == pytest.approx([math.log(4.5 / 7 / 0.5), math.log(2.5 / 7 / 0.5), 0.0])
    assert found[2].tolist() == [0.0, 0.0, 0.0]


def test_serial_numbers_are_ignored_unless_they_follow_time():
    serial = np.arange(80.0)
    first_seen_ms = np.arange(80) * HOUR_MS
    as_of_ms = 80 * HOUR_MS
    found = recency.published_ms_by_serial(serial, first_seen_ms, as_of_ms)
    assert found.tolist() == first_seen_ms.tolist()
    assert recency.published_ms_by_serial(serial[:9], first_seen_ms[:9], as_of_ms) is None
    # Higher numbers were seen earlier, so most estimates are long before `first_seen_ms`.
    assert recency.published_ms_by_serial(serial[::-1].copy(), first_seen_ms, as_of_ms) is None


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


EVENTS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 50)), max_size=25)  # key, hour
QUERIES = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 60)), min_size=1, max_size=10)
HALF_LIVES = st.floats(0.5, 50)


def timeline_of(events):
    keys, hours = np.array(events, dtype=np.int64).reshape(-1, 2).T
    return Timeline(keys, hours * HOUR_MS)


@settings(deadline=None, max_examples=80)
@given(EVENTS, QUERIES, HALF_LIVES)
def test_decayed_counts_at_many_instants_agree_with_decayed_clicks_at_each(
    events, queries, half_life
):
    query_key, query_hour = np.array(queries, dtype=np.int64).T
    found = timeline_of(events).decayed_counts(query_key, query_hour * HOUR_MS, [half_life, 7.0])
    for (key, as_of_hour), count in zip(queries, found[0].tolist(), strict=True):
        # Strictly before: an event at the very instant is not known yet.
        ages = [as_of_hour - hour for event, hour in events if event == key and hour < as_of_hour]
        naive = popularity.decayed_clicks(
            np.zeros(len(ages), dtype=np.int64),
            np.array(ages, dtype=np.float64),
            n_articles=1,
            half_life_hours=half_life,
        )
        assert count == pytest.approx(naive[0])


@settings(deadline=None, max_examples=80)
@given(EVENTS, QUERIES, HALF_LIVES)
def test_counts_at_one_instant_agree_with_counts_at_several(events, queries, half_life):
    timeline = timeline_of(events)
    query_key = np.array([key for key, _ in queries])
    for instant_ms in (20 * HOUR_MS, queries[0][1] * HOUR_MS):

        def at(*instants_ms):
            return np.array(instants_ms, dtype=np.int64)

        at_one = timeline.decayed_counts(query_key, at(*[instant_ms] * len(queries)), [half_life])
        at_several = [
            timeline.decayed_counts(
                np.array([key, 3]), at(instant_ms, instant_ms + 1), [half_life]
            )[0, 0]
            for key in query_key
        ]
        assert at_one[0] == pytest.approx(at_several)
        of_keys = timeline.decayed_counts(np.arange(5), at(*[instant_ms] * 5), [half_life])[0]
        total_at_one = timeline.total_counts(at(instant_ms, instant_ms), [half_life])[0]
        assert total_at_one == pytest.approx([of_keys.sum()] * 2)
        total_at_several = timeline.total_counts(at(instant_ms, instant_ms + 1), [half_life])
        assert total_at_several[0, 0] == pytest.approx(of_keys.sum())


@settings(deadline=None, max_examples=80)
@given(EVENTS, QUERIES)
def test_first_ms_is_the_earliest_event_or_never(events, queries):
    query_key = np.array([key for key, _ in queries])
    expected = [
        min((hour * HOUR_MS for event, hour in events if event == key), default=NEVER)
        for key in query_key
    ]
    assert timeline_of(events).first_ms(query_key).tolist() == expected


def test_events_are_first_clicks_views_and_hits():
    hour = np.arange(10) * HOUR_MS
    clicks = Clicks(
        user_key=np.array([1, 1, 1, 2, 2]),
        article_key=np.array([5, 6, 6, 6, 7]),
        clicked_ms=hour[[0, 4, 5, 6, 7]],
        dwell_seconds=np.full(5, np.nan, np.float32),
        time_is_bound=np.array([False, False, False, False, True]),
    )
    impressions = Impressions(
        user_key=np.array([1, 2]),
        context_key=np.array([-1, -1]),
        shown_ms=hour[[3, 5]],
        start=np.array([0, 2, 3]),
        article_key=np.array([6, 7, 6]),
        clicked=np.array([True, False, True]),
        clicked_ms=np.array([hour[4], UNKNOWN_TIME]),
        source=["", ""],
        propensity=np.ones(3),
    )
    earlier = (np.array([8, 5]), np.array([-HOUR_MS, -2 * HOUR_MS]))
    events = Events.from_logs(clicks, impressions, from_ms=int(hour[1]), earlier=earlier)
    # The click before `from_ms`, the second one of user 1 on 6, and the bound do not count.
    found = zip(events.click_user, events.click_key, events.click_ms, strict=True)
    assert sorted(found) == [(1, 6, hour[4]), (2, 6, hour[6])]
    assert events.view_key.tolist() == [6, 7, 6]
    assert events.view_ms.tolist() == hour[[3, 3, 5]].tolist()
    # The second impression does not say when it was clicked, so it counts from when it was shown.
    assert events.hit_ms.tolist() == hour[[4, 5]].tolist()
    first_seen_ms = [-2 * HOUR_MS, hour[3], hour[3], -HOUR_MS, NEVER]
    assert events.first_seen_ms(np.array([5, 6, 7, 8, 9])).tolist() == first_seen_ms
    pairs = [keys.tolist() for keys in events.user_article_pairs()]
    assert pairs == [[1, 1, 2], [6, 7, 6]]
    assert events.restricted_to(np.array([7])).view_user.tolist() == [1]
    # One view of article 7 by user 1, one hour before: 2 ** -(1 / 12) with a half-life of 12 hours.
    features = events.user_features(np.array([1]), np.array([7]), hour[[4]])
    assert features["shown_12h"] == pytest.approx([math.log1p(2 ** (-1 / 12))])


def test_importance_agrees_with_hand_arithmetic():
    # Seven users in three hours, full reads, breadth .5: log1p(7/4) x 1.5 x 1 x 2^(-3/12).
    found = popularity.importance(
        np.array([7.0, 0.0, 25.0]),
        np.array([1.0, 1.0, 0.5]),
        np.array([0.5, 1.0, 0.5]),
        np.array([3.0, 0.0, 48.0]),
        half_life_hours=12.0,
    )
    expected = [math.log1p(7 / 4) * 1.5 * 2**-0.25, 0.0, math.log1p(1.0) * 2**-4]
    assert found.tolist() == pytest.approx(expected)
