"""Signals of the articles of a training window that are the same for all users."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.blend.curves import age_hours
from recsys.config import Config
from recsys.page.rankings import top_n
from recsys.rows import HOUR_MS
from recsys.signals import affinity, popularity, recency
from recsys.signals.event_counts import Events
from recsys.training.window import TrainingWindow


@dataclass(frozen=True, slots=True)
class ArticleSignals:
    """Signals of articles that are the same for all users.

    Attributes
    ----------
    static : dict of array of float32, shape (n_live,)
        Unweighted signals of the blend, by name; see `static_signals`.
    importance, rise : array of float32, shape (n_live,)
        Scores of Must-Reads and of Popular Now.
    newest : array of int64, shape (n_live,)
        Live indices, newest first.
    features : dict of array of float32, shape (n_articles,)
        `recsys.blend.curves.ARTICLE_FEATURES` of every known article.
    """

    static: dict[str, NDArray[np.float32]]
    importance: NDArray[np.float32]
    rise: NDArray[np.float32]
    newest: NDArray[np.int64]
    features: dict[str, NDArray[np.float32]]


def article_signals(
    window: TrainingWindow, items: csr_matrix, category: NDArray[np.int64], config: Config
) -> ArticleSignals:
    """Return the signals of a training window's articles that are the same for all users.

    Parameters
    ----------
    window, config
        The training window and the settings.
    items : csr_matrix, shape (n_users, n_articles)
        Confidence of the clicks that count.
    category : array of int64, shape (n_articles,)
        Section of each known article; 0 is "no section".
    """
    live = window.live_rows
    ages = age_hours(window.born_ms[live], window.as_of_ms)  # every live article has been born
    static = static_signals(
        window.events,
        window.articles.id_map.keys[live],
        ages,
        np.full(len(live), window.as_of_ms),
        config,
    )
    return ArticleSignals(
        static={name: signal.astype(np.float32) for name, signal in static.items()},
        importance=_importance(window, window.counted, items, category, ages, config),
        rise=_rise(window, window.counted, config),
        newest=np.lexsort((np.arange(len(live)), ages)),
        features=_article_features(window),
    )


def section_names(
    categories: Sequence[str], known: Sequence[str] = ()
) -> tuple[NDArray[np.int64], list[str]]:
    """Return the section of each article and the names; section 0 is "no section".

    Sections that an earlier run knew keep their places and names.

    `LIFESTYLE`, `lifestyle` and `Lifestyle` are one section. Its name is the
    commonest spelling in mixed case, else a short one in capitals, else in title case.

    Examples
    --------
    >>> index, names = section_names(["LIFESTYLE", "Lifestyle", "", "UK", "tv shows"])
    >>> index.tolist(), names
    ([1, 1, 0, 3, 2], ['', 'Lifestyle', 'Tv Shows', 'UK'])
    """
    spellings: dict[str, dict[str, int]] = {}
    for category in categories:
        if category:
            counts = spellings.setdefault(category.casefold(), {})
            counts[category] = counts.get(category, 0) + 1
    names = list(known) or [""]
    old = {name.casefold(): place for place, name in enumerate(names)}
    keys = sorted(key for key in spellings if key not in old)
    for key in keys:
        found = sorted(spellings[key], key=lambda s: (-spellings[key][s], s))
        mixed = [s for s in found if not (s.isupper() or s.islower())]
        short = [s for s in found if s.isupper() and len(s) <= 3]
        names.append((mixed or short or [found[0].title()])[0])
    index = old | {key: i for i, key in enumerate(keys, start=len(old))}
    return np.array([index.get(c.casefold(), 0) for c in categories], dtype=np.int64), names


def static_signals(
    events: Events,
    article_key: NDArray[np.int64],
    age_hours: NDArray[np.float64],
    as_of_ms: NDArray[np.int64],
    config: Config,
) -> dict[str, NDArray[np.float64]]:
    """Return the signals of articles that are the same for all readers, unweighted.

    Parameters
    ----------
    events
        Only what is strictly before each instant counts.
    article_key, age_hours, as_of_ms : array, shape (n_queries,)
        The article, its age, and the instant.
    """
    settings = config.popularity
    return {
        "popularity": events.popularity(article_key, as_of_ms, (settings.half_life_hours,))[0],
        "ctr": events.click_rate(
            article_key, as_of_ms, (settings.ctr_half_life_hours,), settings.ctr_prior_views
        )[0],
        "recency": recency.recency(age_hours, half_life_hours=settings.recency_half_life_hours),
    }


def _importance(
    window: TrainingWindow,
    counted: NDArray[np.int64],
    items: csr_matrix,
    category: NDArray[np.int64],
    ages: NDArray[np.float64],
    config: Config,
) -> NDArray[np.float32]:
    n_articles, timed = len(window.articles.id_map), counted[window.timed[counted]]
    readers = popularity.decayed_clicks(
        window.article_index[timed],
        window.age_hours[timed],
        n_articles=n_articles,
        half_life_hours=config.popularity.importance_half_life_hours,
    )
    dwell = popularity.mean_dwell_share(
        window.article_index[counted],
        window.dwell_seconds[counted],
        n_articles=n_articles,
        full_seconds=2 * config.collaborative.full_dwell_seconds,
    )
    home = affinity.home_category(items, category)
    breadth = popularity.user_breadth(
        window.article_index[counted], home[window.user_index[counted]], n_articles=n_articles
    )
    live = window.live_rows
    found = popularity.importance(
        readers[live],
        dwell[live],
        breadth[live],
        np.maximum(ages, 0.0),
        half_life_hours=config.popularity.importance_age_half_life_hours,
    )
    return found.astype(np.float32)


def _rise(
    window: TrainingWindow, counted: NDArray[np.int64], config: Config
) -> NDArray[np.float32]:
    timed = counted[window.timed[counted]]
    return _rise_of(window, window.article_index[timed], window.age_hours[timed], config)


def lifted_by_bots(window: TrainingWindow, config: Config) -> list[str]:
    """Return the ids that only clicks of machines would lift into the first of Popular Now."""
    clicks, n = window.bot_clicks, config.page.n
    place = window.articles.id_map.index_of_keys(clicks.article_key)
    theirs = (place >= 0) & ~clicks.time_is_bound & (clicks.clicked_ms >= window.counted_from_ms)
    if not theirs.any():
        return []
    timed = window.counted[window.timed[window.counted]]
    article, age_hours = window.article_index[timed], window.age_hours[timed]
    hours = (window.as_of_ms - clicks.clicked_ms[theirs]) / HOUR_MS
    without = _rise_of(window, article, age_hours, config)
    article, age_hours = np.append(article, place[theirs]), np.append(age_hours, hours)
    with_them = _rise_of(window, article, age_hours, config)
    lifted = set(top_n(with_them, n).tolist()) - set(top_n(without, n).tolist())
    return [window.articles.id_map.ids[window.live_rows[i]] for i in sorted(lifted)]


def _rise_of(
    window: TrainingWindow,
    article: NDArray[np.int64],
    age_hours: NDArray[np.float64],
    config: Config,
) -> NDArray[np.float32]:
    """Return how live articles rise by some clicks."""
    halves = config.popularity.now_half_life_hours, config.popularity.expected_half_life_hours
    now, expected = (
        popularity.decayed_clicks(
            article, age_hours, n_articles=len(window.articles.id_map), half_life_hours=half
        )
        for half in halves
    )
    rise = popularity.rise(
        now, expected, now_half_life_hours=halves[0], expected_half_life_hours=halves[1]
    )
    return rise[window.live_rows].astype(np.float32)


def _article_features(window: TrainingWindow) -> dict[str, NDArray[np.float32]]:
    keys = window.articles.id_map.keys
    found = window.events.of_articles(keys, np.full(len(keys), window.as_of_ms))
    return {name: values.astype(np.float32) for name, values in found.items()}
