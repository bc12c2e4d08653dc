"""How likely each user is to click one article, compared across users.

    score(u, j) = static(j) + als u.y(j) + affinity(u, section(j)) + text(recent reads of u, j)
                  + vectors(reads of u, j) + log(PRIOR_READS + live articles that u has read)

All but the last term are the score of the article on a front page of this user
(`recsys.blend.linear`), which was learned as the logarithm of the chance of a click; the last is
the logarithm of how active the user is. So the score is the logarithm of expected clicks, up to a
number that is the same for all users. docs/evaluation.md compares it with other orders of users.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recsys.blend.linear import recent_weight_table
from recsys.blend.live_model import PageModel
from recsys.blend.profiles import user_model
from recsys.kernels.users import ArticleScores

# Live articles that every user is taken to have read beside those of the log, since the log says
# little of most users. Of 1, 3, 5, 10, 20, 30, 50 and 100 it was the best on the first test day of
# EB-NeRD; docs/evaluation.md has the figures of the next day.
PRIOR_READS = 30.0


class AudienceScorer:
    """Scores one live article for users of a run, out of their packed profiles.

    Parameters
    ----------
    model
        The run.
    live_index
        The article.
    """

    def __init__(self, model: PageModel, live_index: int) -> None:
        live = model.live
        n_live = len(live.live_rows)
        text = np.zeros(len(live.category), dtype=np.float32)
        nonzero = np.flatnonzero(live.similar.column == live_index)
        known = np.searchsorted(live.similar.start, nonzero, side="right") - 1
        text[known] = np.float32(live.weights["text"]) * live.similar.value[nonzero]
        n_reads = live.blend.known_reads
        # Without vectors, reads older than the recent ones are no part of the score.
        if not live.vectors.shape[1]:
            n_reads = min(n_reads, live.blend.recent_reads)
        own = live.live_rows[live_index]
        by_section = np.zeros(model.n_categories, dtype=np.float32)
        by_section[live.category[own]] = live.weights["affinity"]
        self._kernel = ArticleScores(
            user_model(model, known_reads=n_reads),
            side=np.concatenate((live.weights["als"] * live.factors[live_index], by_section)),
            text=text,
            recent_weight=recent_weight_table(live),
            fixed=sum(float(part[live_index]) for part in live.static_parts().values()),
            activity=np.log(PRIOR_READS + np.arange(n_live + 1)),
            excludes=model.story == model.story[live_index],
            vectors=live.vectors,
            vector=np.float32(live.weights["vectors"]) * live.vectors[own],
        )

    def scores(self, packed: Sequence[bytes]) -> NDArray[np.float64]:
        """Return the score of the article for each of some users.

        The score of a user does not depend on the other users of the call.

        Parameters
        ----------
        packed
            Profiles of `recsys.blend.profiles.pack_profiles`.

        Returns
        -------
        array of float64, shape (n_users,)
            -inf for a user who has read the article or another one of its story; NaN for one
            whose profile is damaged.
        """
        return self._kernel.scores(packed)
