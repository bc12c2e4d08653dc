"""Signals of the articles of a training window that are the same for all users."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.blend.curves import age_hours
from recsys.blend.signal_table import static_values
from recsys.config import Config
from recsys.languages import primary_language
from recsys.page.rankings import top_n
from recsys.rows import HOUR_MS, Clicks
from recsys.signals import affinity, popularity
from recsys.signals.forecast import Curves
from recsys.signals.newcomers import credible_counts
from recsys.signals.own_signals import NO_OWN_SIGNALS, OwnSignals, own_values
from recsys.signals.static_signals import ArticlesAt
from recsys.training.newest import held_sources, in_turn, sources_of
from recsys.training.window import TrainingWindow, select_clicks

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

SOURCE_HALF_LIFE_HOURS = 24.0  # of the clicks by which sources have their turn: about a day


@dataclass(frozen=True, slots=True)
class ArticleSignals:
    """Signals of articles that are the same for all users.

    Attributes
    ----------
    static : dict of array of float32, shape (n_live,)
        Unweighted static signals of `recsys.blend.signal_table`, and own ones, by name.
    importance : array of float32, shape (n_live,)
        The score of Must-Reads.
    rise : array of float32, shape (n_live,)
        The score of Popular Now.
    newest : array of int64, shape (n_live,)
        Live indices, newest first, sources held to their turn (`recsys.training.newest`).
    held : list of str
        Warnings of sources that were held to their turn.
    features : dict of array of float32, shape (n_articles,)
        `recsys.blend.curves.ARTICLE_FEATURES`, and own signals, of every known article.
    """

    static: dict[str, NDArray[np.float32]]
    importance: NDArray[np.float32]
    rise: NDArray[np.float32]
    newest: Ints
    held: list[str]
    features: dict[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class TimedClicks:
    """Clicks before an instant.

    Attributes
    ----------
    article_index : array of int64, shape (n_clicks,)
        The clicked articles.
    age_hours : array of float64, shape (n_clicks,)
        Hours between each click and the instant; not negative.
    is_new : array of bool, shape (n_clicks,)
        Whether it is the click of a newcomer; see `recsys.signals.newcomers`.
    """

    article_index: Ints
    age_hours: Floats
    is_new: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class CredibleClicks:
    """Decayed clicks of articles; see `recsys.signals.newcomers.credible_counts`.

    Attributes
    ----------
    counts : array of float64, shape (n_articles,)
        What counts.
    new_share : array of float64, shape (n_articles,)
        The share of the clicks of newcomers that counts; 1 for an article without any.
    left_out : array of float64, shape (n_articles,)
        Their clicks that do not count.
    """

    counts: Floats
    new_share: Floats
    left_out: Floats


def article_signals(
    window: TrainingWindow,
    user_items: csr_matrix,
    category: Ints,
    config: Config,
    curves: Curves,
    own: OwnSignals = NO_OWN_SIGNALS,
) -> ArticleSignals:
    """Compute the signals of a training window's articles that are the same for all users.

    Parameters
    ----------
    window
        The training window.
    user_items : csr_matrix, shape (n_users, n_articles)
        Confidence of the clicks in `window.counted_clicks`.
    category : array of int64, shape (n_articles,)
        Section of each known article; 0 is "no section".
    config
        Half-lives and priors of the signals.
    curves
        Of the forecast; empty where none were learned.
    own
        Signals that the caller gives.
    """
    live = window.live_rows
    ages = age_hours(window.born_ms[live], window.as_of_ms)  # every live article has been born
    keys = window.articles.id_map.keys
    features = window.events.article_features(keys, np.full(len(keys), window.as_of_ms))
    articles = ArticlesAt(
        window.events,
        keys[live],
        ages,
        np.full(len(live), window.as_of_ms),
        {name: values[live] for name, values in features.items()},
        config.popularity,
        curves,
    )
    known = window.articles.id_map
    source, hosts = sources_of(window.articles.urls)
    clicks = timed_clicks(window)
    newest = in_turn(ages, source[live], _shares_of_sources(clicks, source, len(hosts)))
    given = own_values(own, known.ids, np.full(len(known), window.as_of_ms))
    static = {**static_values(articles), **{name: of[live] for name, of in given.items()}}
    return ArticleSignals(
        static={name: values.astype(np.float32) for name, values in static.items()},
        importance=_importance(window, clicks, user_items, category, ages, config),
        rise=_rise(window, clicks, config),
        newest=newest,
        held=held_sources(newest, ages, source[live], hosts, config.page.n_latest),
        features={
            name: values.astype(np.float32) for name, values in {**features, **given}.items()
        },
    )


def assign_sections(
    categories: Sequence[str], known_names: Sequence[str] = ()
) -> tuple[Ints, list[str]]:
    """Return the section number of each article, and the name of each section.

    `LIFESTYLE`, `lifestyle` and `Lifestyle` are one section. Its name is the most frequent
    spelling in mixed case, else a short one in capitals, else the most frequent one, as it is in
    lower case and in title case if it is in capitals.

    Parameters
    ----------
    categories
        The category of each article; "" gives section 0, "no section".
    known_names
        For a refresh: names of the sections of the base run, which keep their numbers.

    Examples
    --------
    >>> index, names = assign_sections(["LIFESTYLE", "Lifestyle", "", "UK", "tv shows"])
    >>> index.tolist(), names
    ([1, 1, 0, 3, 2], ['', 'Lifestyle', 'tv shows', 'UK'])
    """
    spellings: dict[str, dict[str, int]] = {}
    for category in categories:
        if category:
            counts = spellings.setdefault(category.casefold(), {})
            counts[category] = counts.get(category, 0) + 1
    names = list(known_names) or [""]
    known = {name.casefold(): section for section, name in enumerate(names)}
    new = sorted(key for key in spellings if key not in known)
    for key in new:
        by_count = sorted(spellings[key], key=lambda s: (-spellings[key][s], s))
        mixed = [s for s in by_count if not (s.isupper() or s.islower())]
        short = [s for s in by_count if s.isupper() and len(s) <= 3]
        first = by_count[0] if by_count[0].islower() else by_count[0].title()
        names.append((mixed or short or [first])[0])
    section_of = known | {key: section for section, key in enumerate(new, start=len(known))}
    return np.array([section_of.get(c.casefold(), 0) for c in categories], dtype=np.int64), names


def assign_languages(codes: Sequence[str]) -> tuple[Ints, list[str]]:
    """Return the language number of each article, and the language of each number.

    Examples
    --------
    >>> index, languages = assign_languages(["en-GB", "", "de", "en"])
    >>> index.tolist(), languages
    ([2, 0, 1, 2], ['', 'de', 'en'])
    """
    primary = {code: primary_language(code) for code in set(codes)}
    languages = sorted({"", *primary.values()})
    number = {language: i for i, language in enumerate(languages)}
    return np.array([number[primary[code]] for code in codes], dtype=np.int64), languages


def _importance(
    window: TrainingWindow,
    clicks: TimedClicks,
    user_items: csr_matrix,
    category: Ints,
    ages: Floats,
    config: Config,
) -> NDArray[np.float32]:
    """Return the importance of each live article, the score of Must-Reads."""
    n_articles, counted = len(window.articles.id_map), window.counted_clicks
    anonymous, anonymous_index = _anonymous_clicks(window)
    found = credible_clicks(
        clicks,
        n_articles=n_articles,
        half_life_hours=config.popularity.importance_half_life_hours,
    )

    def weights(article_index: Ints, user_key: Ints, clicked_ms: Ints) -> Floats:
        """Return what each click weighs: of a newcomer, the share of them that counts."""
        is_settled = window.events.is_settled(user_key, clicked_ms)
        return np.where(is_settled, 1.0, found.new_share[article_index])

    clicked = window.article_index[counted]
    user_key = window.users.keys[window.user_index[counted]]
    weight = weights(clicked, user_key, window.clicked_ms[counted])
    of_anonymous = weights(anonymous_index, anonymous.user_key, anonymous.clicked_ms)
    dwell = popularity.mean_dwell_share(
        np.append(clicked, anonymous_index),
        np.append(window.dwell_seconds[counted], anonymous.dwell_seconds),
        np.append(weight, of_anonymous),
        n_articles=n_articles,
        full_seconds=2 * config.collaborative.full_dwell_seconds,
    )
    home = affinity.home_category(user_items, category)
    breadth = popularity.user_breadth(
        clicked, home[window.user_index[counted]], weight, n_articles=n_articles
    )
    live = window.live_rows
    importance = popularity.importance(
        found.counts[live],
        dwell[live],
        breadth[live],
        np.maximum(ages, 0.0),
        half_life_hours=config.popularity.importance_age_half_life_hours,
    )
    return importance.astype(np.float32)


def articles_lifted_by_bots(window: TrainingWindow, config: Config) -> list[str]:
    """Return the ids of articles that the clicks of bots would lift into Popular Now.

    These are the articles among the first `config.page.n` by rise if the bots' clicks counted,
    but not among them without those clicks.
    """
    bot_clicks, n = window.bot_clicks, config.page.n
    article_index = window.articles.id_map.index_of_keys(bot_clicks.article_key)
    counts = (article_index >= 0) & ~bot_clicks.time_is_bound
    counts &= bot_clicks.clicked_ms >= window.counted_from_ms
    if not counts.any():
        return []
    clicks = timed_clicks(window)
    without_bots = _rise(window, clicks, config)
    bot_hours = (window.as_of_ms - bot_clicks.clicked_ms[counts]) / HOUR_MS
    as_settled = TimedClicks(
        np.append(clicks.article_index, article_index[counts]),
        np.append(clicks.age_hours, bot_hours),
        np.append(clicks.is_new, np.zeros(len(bot_hours), dtype=bool)),
    )
    with_bots = _rise(window, as_settled, config)
    lifted = set(top_n(with_bots, n).tolist()) - set(top_n(without_bots, n).tolist())
    return [window.articles.id_map.ids[window.live_rows[i]] for i in sorted(lifted)]


def timed_clicks(window: TrainingWindow) -> TimedClicks:
    """Return the counted clicks whose time is known, those of anonymous users last."""
    counted = window.counted_clicks
    counted = counted[window.time_is_known[counted]]
    anonymous, anonymous_index = _anonymous_clicks(window)
    known = ~anonymous.time_is_bound
    user_key = np.append(window.users.keys[window.user_index[counted]], anonymous.user_key[known])
    clicked_ms = np.append(window.clicked_ms[counted], anonymous.clicked_ms[known])
    return TimedClicks(
        np.append(window.article_index[counted], anonymous_index[known]),
        (window.as_of_ms - clicked_ms) / HOUR_MS,
        ~window.events.is_settled(user_key, clicked_ms),
    )


def _anonymous_clicks(window: TrainingWindow) -> tuple[Clicks, Ints]:
    """Return the counted clicks of anonymous users, and the article index of each."""
    clicks = window.anonymous_clicks
    clicks = select_clicks(clicks, clicks.clicked_ms >= window.counted_from_ms)
    return clicks, window.articles.id_map.index_of_keys(clicks.article_key)


def credible_clicks(
    clicks: TimedClicks, *, n_articles: int, half_life_hours: float
) -> CredibleClicks:
    """Count the decayed clicks of each article, newcomers as far as they are credible.

    Parameters
    ----------
    clicks
        The clicks.
    n_articles
        Length of the result.
    half_life_hours
        Age at which a click counts 0.5.
    """
    settled, new = (
        popularity.decayed_clicks(
            clicks.article_index[some],
            clicks.age_hours[some],
            n_articles=n_articles,
            half_life_hours=half_life_hours,
        )
        for some in (~clicks.is_new, clicks.is_new)
    )
    totals = np.full(n_articles, settled.sum()), np.full(n_articles, new.sum())
    counts = credible_counts(settled, new, *totals)
    has_new = new > 0
    share = np.where(has_new, (counts - settled) / np.where(has_new, new, 1.0), 1.0)
    return CredibleClicks(counts, share, settled + new - counts)


def _shares_of_sources(clicks: TimedClicks, source: Ints, n_sources: int) -> Floats:
    """Return which share of the clicks each source has, newcomers where credible."""
    found = credible_clicks(clicks, n_articles=len(source), half_life_hours=SOURCE_HALF_LIFE_HOURS)
    has_source = source >= 0
    of = np.bincount(source[has_source], weights=found.counts[has_source], minlength=n_sources)
    return of / max(float(found.counts.sum()), 1.0)


def _rise(window: TrainingWindow, clicks: TimedClicks, config: Config) -> NDArray[np.float32]:
    """Return how far each live article rises by some clicks."""
    short, long = config.popularity.now_half_life_hours, config.popularity.expected_half_life_hours
    now, expected = (
        credible_clicks(
            clicks, n_articles=len(window.articles.id_map), half_life_hours=half_life_hours
        ).counts
        for half_life_hours in (short, long)
    )
    rise = popularity.rise(now, expected, now_half_life_hours=short, expected_half_life_hours=long)
    return rise[window.live_rows].astype(np.float32)
