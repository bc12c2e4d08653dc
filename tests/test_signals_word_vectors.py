"""Vectors of words: planted tastes, slopes by differences, what cannot be learned from."""

import numpy as np
import pytest
from scipy.optimize import check_grad
from scipy.sparse import csr_matrix, random

from recsys.matrices import unit_rows
from recsys.signals import word_vectors
from recsys.signals.word_vectors import N_DIMENSIONS, learn_word_vectors


def planted(rng, n_users=4000, n_articles=40, n_words=8):
    """Return TF-IDF of articles of two topics without a word in common, and who read what.

    The words of topic 0 come in two halves, which no article has both of; so have those of topic 1.
    Each user reads one topic. Only what users read says that the halves belong together.
    """
    topic, half = np.arange(n_articles) % 2, np.arange(n_articles) // 2 % 2
    block = topic * 2 + half
    words = block[:, np.newaxis] * n_words + rng.permuted(
        np.tile(np.arange(n_words), (n_articles, 1)), axis=1
    )
    row = np.repeat(np.arange(n_articles), n_words // 2)
    values = np.ones(len(row), np.float32) / np.float32(np.sqrt(n_words // 2))
    tfidf = csr_matrix((values, (row, words[:, : n_words // 2].ravel())), (n_articles, 4 * n_words))
    user = np.repeat(np.arange(n_users), 6)
    article = np.concatenate(
        [rng.choice(np.flatnonzero(topic == u % 2), 6, replace=False) for u in range(n_users)]
    )
    return tfidf, clicks(user, article, n_users, n_articles), topic, half


def clicks(user, article, n_users, n_articles):
    return csr_matrix((np.ones(len(user)), (user, article)), shape=(n_users, n_articles))


def test_words_of_one_taste_come_close_though_no_article_has_both():
    tfidf, user_items, topic, half = planted(np.random.default_rng(3))
    learned = learn_word_vectors(tfidf, user_items).of_articles(tfidf)
    cosine = learned @ learned.T
    other_half = half[:, np.newaxis] != half
    same_topic = topic[:, np.newaxis] == topic
    assert cosine[other_half & same_topic].mean() > cosine[other_half & ~same_topic].mean() + 0.05
    first = learn_word_vectors(tfidf, user_items[:0]).of_articles(tfidf)
    between = (first @ first.T)[other_half]
    assert abs(between).max() < 1e-3


def test_the_same_input_gives_the_same_vectors():
    tfidf, user_items, _, _ = planted(np.random.default_rng(4))
    first, second = (learn_word_vectors(tfidf, user_items) for _ in range(2))
    assert np.array_equal(first.vectors, second.vectors)


def test_slopes_agree_with_differences():
    rng = np.random.default_rng(6)
    n, d = 5, 4
    target = np.array([3, 1, 4, 1, 5])  # two users read article 1
    popularity = rng.normal(size=n)

    def value(numbers):
        users, reads = (unit_rows(x) for x in numbers[:-1].reshape(2, n, d))
        score = np.exp(numbers[-1]) * (users @ reads.T) - popularity
        score[1, 3] = score[3, 1] = -np.inf
        return -np.mean(np.diag(score) - np.log(np.exp(score).sum(axis=1)))

    def slope(numbers):
        users, reads = numbers[:-1].reshape(2, n, d)
        (of_users, of_reads), of_sharpness = word_vectors._slopes(
            users, reads, float(np.exp(numbers[-1])), popularity, target
        )
        return np.concatenate((of_users.ravel(), of_reads.ravel(), [of_sharpness]))

    start = np.append(rng.normal(size=2 * n * d), 0.5)
    assert check_grad(value, slope, start, epsilon=1e-3) < 5e-3  # `unit_rows` is of float32


def test_a_draw_gives_each_user_one_read_and_others_of_the_same_user():
    user = np.array([0, 0, 0, 1, 2, 2, 2])
    article = np.array([4, 5, 5, 6, 1, 2, 3])
    reads = word_vectors._Reads.of(clicks(user, article, 3, 9), np.ones(9, dtype=bool))
    assert reads.users.tolist() == [0, 2]  # user 1 has one read
    assert np.exp(reads.log_share[4]) == pytest.approx(1 / 6)  # article 5 counts once for user 0
    target, owner, others = reads.drawn(np.random.default_rng(0))
    assert len(target) == word_vectors.USERS_PER_STEP
    for i in range(20):
        together = sorted([int(target[i]), *others[owner == i].tolist()])
        assert together in ([4, 5], [1, 2, 3])


@pytest.mark.parametrize("n_articles", [0, 1, 3])
def test_what_is_too_little_to_learn_from_gives_vectors_of_zeros_or_of_the_svd(n_articles):
    tfidf = random(n_articles, 50, density=0.5, format="csr", dtype=np.float32, random_state=1)
    learned = learn_word_vectors(tfidf, csr_matrix((0, n_articles)))
    vectors = learned.of_articles(tfidf)
    assert vectors.shape == (n_articles, N_DIMENSIONS)
    assert np.isfinite(vectors).all()
    without_text = csr_matrix((n_articles, 50), dtype=np.float32)
    learned = learn_word_vectors(without_text, csr_matrix(np.ones((2, n_articles))))
    assert not learned.of_articles(without_text).any()


def test_an_article_that_no_user_read_has_a_vector_too():
    tfidf, user_items, topic, _ = planted(np.random.default_rng(7))
    others = user_items.tolil()
    others[:, 0] = 0
    learned = learn_word_vectors(tfidf, others.tocsr()).of_articles(tfidf)
    likeness = learned[1:] @ learned[0]
    assert likeness[topic[1:] == topic[0]].mean() > likeness[topic[1:] != topic[0]].mean() + 0.2
