import math

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from recsys.config import TextConfig
from recsys.matrices import select_columns
from recsys.signals import text

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
    cut = select_columns(text.tfidf(counts, weights), np.array([True, False, True]))
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
