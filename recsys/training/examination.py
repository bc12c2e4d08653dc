"""Estimate how much each position of a list is looked at, from the positions of logged lists.

A user looks at the first position of a list more often than at the fifth. How much more depends on
the site: a row of tiles on a wide screen is seen at once, a column below the text seldom to its
end. Where the log has impressions of our own lists, it says so; elsewhere the published curve
holds (`recsys.page.compose.published_examination`).

References
----------
Agarwal et al., "Estimating position bias without intrusive interventions", WSDM 2019 (adjacent
pairs: what a ranking that changes gives away by itself).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recsys.blend.linear import spans
from recsys.config_types import MOST_SLOTS
from recsys.page.compose import published_examination
from recsys.rows import UNKNOWN_TIME, Impressions

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# How many clicks the published curve is worth beside the clicks of the log. On simulated logs of
# five positions (true curves 1 / k, 1 / log2(k + 1) and .9^(k - 1); 100 articles whose order
# changes; 40 logs each) the root mean square error of the curve was .067, .052 and .113 after 300
# impressions and .022, .025 and .034 after 3,000; with 5 clicks .056, .070, .106 and .022, .026,
# .034; with 100 clicks .110, .024, .179 and .034, .021, .043.
PRIOR_CLICKS = 20.0
# Of neighbours: so that of two articles of a list the better one comes first, and no hundredth
# position comes to nothing.
LEAST_RATIO, MOST_RATIO = 0.1, 0.99
MOST_IMPRESSIONS = 100_000  # of a list, the newest; the error is then below .01
MOST_OF_A_USER = 5  # impressions of a list, the newest: so that no one user bends its curve


def estimate_examination(position: Ints, article_key: Ints, clicked: NDArray[np.bool_]) -> Floats:
    """Estimate the chance that each position is looked at, relative to the first.

    Parameters
    ----------
    position : array of int64, shape (n_shown,)
        1-based position of each article shown, 0 where it is unknown.
    article_key : array of int64, shape (n_shown,)
        The articles.
    clicked : array of bool, shape (n_shown,)
        Whether each was clicked.

    Returns
    -------
    array of float64, shape (n_positions,)
        1 for the first position, then always falling; above 0.

    Notes
    -----
    Neighbouring positions are compared on the articles that were shown in both, so that a better
    article in the first position does not count as a better position: p(k + 1) / p(k) is the
    ratio of the clicks in the two positions, of articles weighted by the smaller of their two
    numbers of views. `PRIOR_CLICKS` clicks of the published curve are added to both, so that a
    ratio without any clicks is the published one. The product of the ratios is the curve.
    """
    n_positions = min(int(position.max(initial=0)), MOST_SLOTS)  # what is beyond is ignored
    articles, column = np.unique(article_key, return_inverse=True)
    published = published_examination(n_positions)
    curve = np.ones(n_positions)
    for k in range(1, n_positions):
        at = [position == k, position == k + 1]
        views = [np.bincount(column[inside], minlength=len(articles)) for inside in at]
        clicks = [np.bincount(column[inside & clicked], minlength=len(articles)) for inside in at]
        weight = np.minimum(*views)
        both = weight > 0
        here, below = (
            (weight[both] * n[both] / of[both]).sum() for n, of in zip(clicks, views, strict=True)
        )
        prior = published[k] / published[k - 1]
        ratio = (below + PRIOR_CLICKS * prior) / (here + PRIOR_CLICKS)
        curve[k] = curve[k - 1] * min(max(ratio, LEAST_RATIO), MOST_RATIO)
    return curve


def examination_of_lists(
    shown: Impressions,
    names: Sequence[str],
    as_of_ms: int,
    *,
    counts: NDArray[np.bool_],
    known_keys: Ints,
) -> dict[str, Floats]:
    """Estimate how much each position of each list is looked at, by the name of the list.

    Of each user the newest `MOST_OF_A_USER` impressions of a list count.

    Parameters
    ----------
    shown
        The log, oldest first.
    names
        Names of our lists. One without impressions that count is not in the result.
    as_of_ms
        Clicks of this instant or later are not known yet, though their impression is.
    counts : array of bool, shape (n_impressions,)
        The impressions that count: of settled users, since new ids cost nothing, and of no bots.
    known_keys : array of int64, ascending
        The articles of the store. Others say nothing.
    """
    source = np.array(shown.source, dtype=object)
    curves = {}
    for name in names:
        rows = _newest_of_each(np.flatnonzero((source == name) & counts), shown.user_key)
        of_list = select_impressions(shown, rows)
        position = positions(of_list, [name])
        is_clicked_by_now = (of_list.clicked_ms < as_of_ms) | (of_list.clicked_ms == UNKNOWN_TIME)
        clicked = of_list.clicked & np.repeat(is_clicked_by_now, np.diff(of_list.start))
        inside = np.isin(of_list.article_key, known_keys) & (position <= MOST_SLOTS)
        if inside.any():
            curves[name] = estimate_examination(
                position[inside], of_list.article_key[inside], clicked[inside]
            )
    return curves


def _newest_of_each(rows: Ints, user_key: Ints) -> Ints:
    """Return the newest rows, of each user at most `MOST_OF_A_USER`; `rows` are oldest first."""
    newest = rows[::-1]
    users = user_key[newest]
    order = np.argsort(users, kind="stable")
    _, begin, n_of = np.unique(users[order], return_index=True, return_counts=True)
    number = np.empty(len(rows), dtype=np.int64)  # 0 for the newest of its user
    number[order] = np.arange(len(rows)) - np.repeat(begin, n_of)
    return newest[number < MOST_OF_A_USER][:MOST_IMPRESSIONS]


def positions(shown: Impressions, own_lists: Sequence[str]) -> Ints:
    """Return the 1-based position of each article shown in one of our lists, 0 elsewhere.

    Only an impression whose `source` is one of our lists ("you_may_also_like" and so on) is
    logged in order of position; the candidates of the research sets are shuffled.
    """
    size = np.diff(shown.start)
    position = np.arange(1, len(shown.article_key) + 1) - np.repeat(shown.start[:-1], size)
    is_ours = np.array([name in own_lists for name in shown.source], dtype=bool)
    return np.where(np.repeat(is_ours, size), position, 0).astype(np.int64)


def select_impressions(shown: Impressions, rows: Ints) -> Impressions:
    """Return some impressions, in the order of their rows."""
    size = np.diff(shown.start)[rows]
    start = np.concatenate(([0], np.cumsum(size)))
    inside = spans(shown.start[rows], size)
    return Impressions(
        user_key=shown.user_key[rows],
        context_key=shown.context_key[rows],
        shown_ms=shown.shown_ms[rows],
        start=start,
        article_key=shown.article_key[inside],
        clicked=shown.clicked[inside],
        clicked_ms=shown.clicked_ms[rows],
        source=[shown.source[row] for row in rows.tolist()],
        propensity=shown.propensity[inside],
    )
