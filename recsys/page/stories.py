"""Stories: live articles that tell the same news (wire copies, updates, rewrites).

Two articles are linked if their texts are nearly the same, or if they are similar and were
published within hours of each other: two reports of one event. A story is a connected component
of these links. A pair keeps its link when articles are added, so stories only grow; nothing is
drawn at random.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from recsys.config_page import PageConfig
from recsys.rows import HOUR_MS, UNKNOWN_TIME


def story_index(
    similar: csr_matrix, written_ms: NDArray[np.int64], config: PageConfig
) -> NDArray[np.int64]:
    """Return the story of each live article: the lowest live index among its articles.

    Parameters
    ----------
    similar : csr_matrix, shape (n_live, n_live)
        Cosine of live articles.
    written_ms : array of int64, shape (n_live,)
        When each was published. Where that is UNKNOWN_TIME, only copies are linked.
    config
        The two cosines, and the most hours between two reports of one event.

    Examples
    --------
    >>> pairs = csr_matrix(np.array([[0, 0, 0.9], [0, 0, 0.1], [0.9, 0.1, 0]]))
    >>> story_index(pairs, np.full(3, UNKNOWN_TIME), PageConfig()).tolist()
    [0, 1, 0]
    """
    links = similar.tocoo()
    first, second = written_ms[links.row], written_ms[links.col]
    dated = (first != UNKNOWN_TIME) & (second != UNKNOWN_TIME)
    apart = np.abs(np.where(dated, first, 0) - np.where(dated, second, 0))
    one_event = dated & (apart <= config.event_hours * HOUR_MS)
    least = np.where(one_event, config.event_similarity, config.story_similarity)
    kept = links.data >= np.minimum(least, config.story_similarity)
    graph = csr_matrix((kept[kept], (links.row[kept], links.col[kept])), shape=similar.shape)
    n_stories, label = connected_components(graph, directed=False)
    lowest = np.full(n_stories, len(label), dtype=np.int64)
    np.minimum.at(lowest, label, np.arange(len(label)))
    stories: NDArray[np.int64] = lowest[label]
    return stories
