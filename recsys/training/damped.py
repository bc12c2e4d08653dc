"""Which articles newcomers clicked more than is credible: for the report of a run."""

from dataclasses import dataclass

import numpy as np

from recsys.config import PopularityConfig
from recsys.training.article_signals import credible_clicks, timed_clicks
from recsys.training.window import TrainingWindow

MANY_LEFT_OUT = 10.0  # decayed clicks of newcomers on one article: worth a warning
MAX_NAMED = 10


@dataclass(frozen=True, slots=True)
class Damped:
    """Clicks of newcomers on one article that were not counted in full.

    Attributes
    ----------
    article_id
        The article.
    clicks
        Clicks of newcomers on it in the last 24 hours.
    share_counted
        The share of them that counts in the popularity of the article, in [0, 1].
    """

    article_id: str
    clicks: int
    share_counted: float


def damped_articles(
    window: TrainingWindow, config: PopularityConfig
) -> tuple[list[Damped], list[str]]:
    """Return the live articles whose newcomers were damped most, and warnings.

    Parameters
    ----------
    window
        The training window.
    config
        The half-life of popularity.

    Returns
    -------
    damped, warnings
        Articles with at least one decayed click left out, most first, at most `MAX_NAMED`; and a
        warning for each with `MANY_LEFT_OUT`.
    """
    clicks, n_articles = timed_clicks(window), len(window.articles.id_map)
    is_recent_new = clicks.is_new & (clicks.age_hours <= 24.0)
    n_new = np.bincount(clicks.article_index[is_recent_new], minlength=n_articles)
    found = credible_clicks(clicks, n_articles=n_articles, half_life_hours=config.half_life_hours)
    live, left_out = window.live_rows, found.left_out
    most = live[np.argsort(-left_out[live], kind="stable")][:MAX_NAMED]
    most = most[left_out[most] >= 1.0]
    damped = [
        Damped(window.articles.id_map.ids[i], int(n_new[i]), round(float(found.new_share[i]), 4))
        for i in most.tolist()
    ]
    warnings = [
        f"article {of.article_id}: of {of.clicks} clicks of users first seen in the last 24 hours,"
        f" {of.share_counted:.0%} count: as many as its other readers make credible"
        for of, row in zip(damped, most.tolist(), strict=True)
        if left_out[row] >= MANY_LEFT_OUT
    ]
    return damped, warnings
