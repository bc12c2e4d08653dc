"""Stories: live articles that tell the same news (wire copies, updates, rewrites)."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components


def story_index(similar: csr_matrix, *, threshold: float) -> NDArray[np.int64]:
    """Return the story of each live article: the lowest place among its copies.

    Parameters
    ----------
    similar : csr_matrix, shape (n_live, n_live)
        Cosine of live articles.
    threshold
        Articles at least this similar are one story, and so are chains of them.

    Examples
    --------
    >>> pairs = csr_matrix(np.array([[0, 0, 0.9], [0, 0, 0.1], [0.9, 0.1, 0]]))
    >>> story_index(pairs, threshold=0.5).tolist()
    [0, 1, 0]
    """
    links = similar.copy()
    links.data = (links.data >= threshold).astype(np.int8)
    links.eliminate_zeros()
    n_stories, label = connected_components(links, directed=False)
    first = np.full(n_stories, len(label), dtype=np.int64)
    np.minimum.at(first, label, np.arange(len(label)))
    stories: NDArray[np.int64] = first[label]
    return stories
