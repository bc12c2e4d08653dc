import numpy as np
import pytest
from scipy.sparse import csr_matrix

from recsys.blend.curves import RankModel, _cosines, likeness_to_reads
from recsys.blend.live_model import Rows


def test_likeness_to_reads_agrees_with_the_dense_product():
    rng = np.random.default_rng(8)
    dense = rng.random((12, 30)) * (rng.random((12, 30)) < 0.3)
    dense[3] = 0.0  # an article without text
    sparse = csr_matrix(dense.astype(np.float32))
    vectors = Rows(sparse.indptr.astype(np.int64), sparse.indices, sparse.data)
    model = RankModel(vectors, np.zeros((12, 0), np.float32), {}, np.zeros(12, np.int64), {}, {})
    reads, known = np.array([5, 1, 3, 9]), np.array([0, 3, -1, 7, 5])
    found = likeness_to_reads(model, reads, known)
    naive = dense[known] @ dense[reads].sum(axis=0) / 2  # 2 is the root of four reads
    naive[known < 0] = 0.0
    assert found == pytest.approx(naive, abs=1e-5)
    assert likeness_to_reads(model, reads[:0], known).tolist() == [0.0] * 5


def test_the_cosine_with_a_vector_is_0_where_either_is_missing():
    vectors = np.array([[0.6, 0.8], [0.0, 0.0], [1.0, 0.0]], dtype=np.float32)
    known = np.array([0, 1, -1, 2])
    found = _cosines(vectors, known, vectors[0] + vectors[2])  # (1.6, 0.8), length sqrt(3.2)
    length = np.sqrt(3.2)
    assert found == pytest.approx([(0.96 + 0.64) / length, 0.0, 0.0, 1.6 / length])
    assert _cosines(vectors, known, vectors[1]).tolist() == [0.0] * 4
