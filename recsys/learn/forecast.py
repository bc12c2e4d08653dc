"""Learn the curves of the forecast from past moments: which live articles were clicked next.

At each moment, the live articles are alternatives, and every click of the next hours is a choice
among them. The curves are those of a conditional logit. On three days of EB-NeRD (26 moments, each
learned from the days before) the first five unread articles by the forecast held a click of the
next 12 hours for .46 of the users, against .39 for the shipped weights of popularity and recency;
on two days of MIND (14 moments) .22 against .18. Horizons of 1 and 24 hours order the clicks of the
next hour and of the next day no better, so there is one forecast for all lists.
"""

import numpy as np
from numpy.typing import NDArray

from recsys.config import Config
from recsys.learn.choice import Choices, CurveFit, mean_auc
from recsys.learn.head_report import HeadReport
from recsys.rows import HOUR_MS, UNKNOWN_TIME
from recsys.signals import forecast
from recsys.signals.forecast import Curves
from recsys.signals.static_signals import (
    ArticlesAt,
    forecast_by_age,
    forecast_by_clicks,
    forecast_by_views,
)
from recsys.training.births import births_of
from recsys.training.liveness import live_articles
from recsys.training.window import TrainingWindow

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
HORIZON_HOURS = 12  # clicks of so many hours after a moment are forecast
FIRST_HOURS = 12  # of the log before the first moment, so that its features mean something
STEP_HOURS = 2  # between moments; 1 and 4 learn curves as good
MIN_MOMENTS = 6
MAX_ALTERNATIVES = 60_000  # fewer moments are taken where many articles are live
BEND_PENALTY = 1000.0  # 10 and 100 do as well on EB-NeRD, and worse on the shorter log of MIND
VALIDATION_SHARE = 0.25  # of the moments: the latest ones


def learn_forecast(window: TrainingWindow, config: Config) -> tuple[Curves, HeadReport]:
    """Learn the curves of the forecast from the events of a training window.

    Parameters
    ----------
    window
        No event after its end is used: the hours after each moment end with the window.
    config
        Which articles are live, and how many clicks are needed to learn.

    Returns
    -------
    curves : dict of array of float64, shape (2, n_knots)
        By feature; empty where the shipped forecast is to be served: with too few moments or
        clicks, or where the learned one does no better on the latest moments.
    report
        How they were learned, with the mean AUC over the latest quarter of the moments.
    """
    moments = _moments(window) if config.learn.days else []
    choices, counts, shipped = _choices(window, config, moments)
    n_clicks = int(counts.sum())
    needed = config.learn.min_choices
    if len(choices) < MIN_MOMENTS or n_clicks < needed:
        why = f"{n_clicks} clicks after {len(choices)} moments; {needed} and {MIN_MOMENTS} needed"
        return {}, HeadReport(n_clicks, None, None, False, why)
    edge = round(len(choices) * (1 - VALIDATION_SHARE))
    latest = choices.select(edge, len(choices))
    fit = CurveFit(choices, counts)
    early = fit.curves(BEND_PENALTY, edge)
    forecast_features = forecast.FORECAST_FEATURES
    learned = mean_auc(forecast.summed_curves(early, latest.features, forecast_features), latest)
    shipped_auc = mean_auc(shipped[-len(latest.chosen) :], latest)
    used = learned > shipped_auc
    why = f"{len(choices)} moments" if used else "no better than the shipped forecast"
    report = HeadReport(n_clicks, round(learned, 4), round(shipped_auc, 4), used, why)
    return (fit.curves(BEND_PENALTY) if used else {}), report


def _moments(window: TrainingWindow) -> list[int]:
    """Return the instants to learn from, oldest first; the last one is a horizon ago."""
    events = window.events
    first_ms = min(
        int(times.min(initial=window.as_of_ms)) for times in (events.click_ms, events.view_ms)
    )
    last_ms = window.as_of_ms - HORIZON_HOURS * HOUR_MS
    n_hours = (last_ms - first_ms) // HOUR_MS - FIRST_HOURS
    most = max(MAX_ALTERNATIVES // max(len(window.live_rows), 1), MIN_MOMENTS)
    n_moments = min(n_hours // STEP_HOURS + 1, most)
    if n_moments < MIN_MOMENTS:
        return []
    back = np.linspace(n_hours, 0, n_moments).astype(np.int64)
    return [last_ms - hours * HOUR_MS for hours in back.tolist()]


def _choices(
    window: TrainingWindow, config: Config, moments: list[int]
) -> tuple[Choices, Floats, Floats]:
    """Return choices at some moments, and each alternative's clicks and shipped forecast."""
    births = births_of(window.articles, window.events)
    article_index = window.articles.id_map.index_of_keys(window.events.click_key)
    is_known = article_index >= 0
    clicked, clicked_ms = article_index[is_known], window.events.click_ms[is_known]
    keys, age_hours, at_ms, n_clicks = [], [], [], []
    n_articles = len(window.articles.id_map)
    for moment_ms in moments:
        born_ms = births.born_ms_at(moment_ms)
        is_live = live_articles(window.articles, window.events, born_ms, (), moment_ms, config.data)
        next_clicks = (clicked_ms >= moment_ms) & (clicked_ms < moment_ms + HORIZON_HOURS * HOUR_MS)
        n_next = np.bincount(clicked[next_clicks], minlength=n_articles)
        live = np.flatnonzero(is_live & (born_ms != UNKNOWN_TIME))
        if not n_next[live].any():
            continue
        keys.append(window.articles.id_map.keys[live])
        age_hours.append((moment_ms - born_ms[live]) / HOUR_MS)
        at_ms.append(np.full(len(live), moment_ms))
        n_clicks.append(n_next[live].astype(np.float64))
    sizes = [len(found) for found in keys]
    no_ints, no_floats = np.zeros(0, dtype=np.int64), np.zeros(0)
    key, instant_ms = np.concatenate([no_ints, *keys]), np.concatenate([no_ints, *at_ms])
    ages = np.concatenate([no_floats, *age_hours])
    features = window.events.article_features(key, instant_ms)
    articles = ArticlesAt(window.events, key, ages, instant_ms, features, config.popularity)
    shipped = forecast_by_clicks(articles) + forecast_by_views(articles) + forecast_by_age(articles)
    features[forecast.LOG_AGE] = forecast.log_age(ages)
    counts: Floats = np.concatenate([no_floats, *n_clicks])
    choices = Choices(
        {name: features[name] for name in forecast.FORECAST_FEATURES},
        counts > 0,
        np.concatenate(([0], np.cumsum(np.array(sizes, dtype=np.int64)))),
    )
    return choices, counts, shipped
