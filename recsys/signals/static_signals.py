"""Static signals: one number per article and instant, the same for all users.

A row of `recsys.blend.signal_table` names each of these functions.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from recsys.config import PopularityConfig
from recsys.signals import forecast
from recsys.signals.event_counts import Events
from recsys.signals.recency import recency as decayed_recency

Floats = NDArray[np.float64]
# What the forecast is before a run has learned one: weights of a conditional logit on EB-NeRD
# (clicks of 20-22 May 2023 among all live articles, and among those shown), rounded.
SHIPPED_POPULARITY, SHIPPED_CLICK_RATE, SHIPPED_RECENCY = 0.9, 0.05, 3.3


@dataclass(frozen=True, slots=True)
class ArticlesAt:
    """Articles, each at an instant: what a static signal is computed from.

    Attributes
    ----------
    events
        Clicks and views. Only what is strictly before each instant may count.
    article_key : array of int64, shape (n,)
        The store's keys of the articles.
    age_hours : array of float64, shape (n,)
        Age at the instant.
    as_of_ms : array of int64, shape (n,)
        The instants.
    features : dict of array of float64, shape (n,)
        `Events.article_features` of the articles at the instants.
    config
        The settings of popularity.
    curves
        The learned curves of the forecast; empty where there are none.
    """

    events: Events
    article_key: NDArray[np.int64]
    age_hours: Floats
    as_of_ms: NDArray[np.int64]
    features: Mapping[str, Floats]
    config: PopularityConfig
    curves: forecast.Curves = field(default_factory=dict)


def popularity(articles: ArticlesAt) -> Floats:
    """Return the log share of recent clicks; see `Events.popularity`."""
    half_lives = (articles.config.half_life_hours,)
    found: Floats = articles.events.popularity(articles.article_key, articles.as_of_ms, half_lives)
    first: Floats = found[0]
    return first


def click_rate(articles: ArticlesAt) -> Floats:
    """Return the log of the smoothed click-through rate; see `Events.click_rate`."""
    config = articles.config
    found: Floats = articles.events.click_rate(
        articles.article_key,
        articles.as_of_ms,
        (config.ctr_half_life_hours,),
        config.ctr_prior_views,
    )
    first: Floats = found[0]
    return first


def recency(articles: ArticlesAt) -> Floats:
    """Return 1 for a new article, 0.5 after each half-life; see `recsys.signals.recency`."""
    half_life_hours = articles.config.recency_half_life_hours
    return decayed_recency(articles.age_hours, half_life_hours=half_life_hours)


def forecast_by_clicks(articles: ArticlesAt) -> Floats:
    """Return what recent clicks add to the forecast; see `recsys.signals.forecast`."""
    if not articles.curves:
        return SHIPPED_POPULARITY * popularity(articles)
    return forecast.summed_curves(articles.curves, articles.features, forecast.CLICK_FEATURES)


def forecast_by_views(articles: ArticlesAt) -> Floats:
    """Return what recent views and click rates add to the forecast."""
    if not articles.curves:
        return SHIPPED_CLICK_RATE * click_rate(articles)
    return forecast.summed_curves(articles.curves, articles.features, forecast.VIEW_FEATURES)


def forecast_by_age(articles: ArticlesAt) -> Floats:
    """Return what the age of the articles adds to the forecast."""
    if not articles.curves:
        return SHIPPED_RECENCY * recency(articles)
    age = {forecast.LOG_AGE: forecast.log_age(articles.age_hours)}
    return forecast.summed_curves(articles.curves, age, (forecast.LOG_AGE,))
