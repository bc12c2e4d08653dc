"""What is clicked: decayed counts, click-through rate, rise, importance."""

import numpy as np
from numpy.typing import NDArray


def decayed_clicks(
    article_index: NDArray[np.int64],
    age_hours: NDArray[np.float64],
    *,
    n_articles: int,
    half_life_hours: float,
) -> NDArray[np.float64]:
    """Count clicks per article, each click halving in weight every half-life.

    Parameters
    ----------
    article_index : array of int, shape (n_clicks,)
        Column of the clicked article, in [0, n_articles).
    age_hours : array of float, shape (n_clicks,)
        Hours between the click and the scoring time; never negative, since a
        click from the future is a leak.
    n_articles : int
        Length of the result.
    half_life_hours : float
        Age at which a click counts 0.5.

    Returns
    -------
    array of float64, shape (n_articles,)
        Decayed clicks per article; 0.0 for an article nobody clicked.

    Raises
    ------
    ValueError
        If an age is negative or `half_life_hours` is not positive.

    Notes
    -----
    score[i] = sum over clicks c on i of 2 ** (-age[c] / half_life).

    Examples
    --------
    >>> decayed_clicks(
    ...     np.array([0, 0, 1]), np.array([0.0, 3.0, 6.0]), n_articles=3, half_life_hours=3.0
    ... ).tolist()
    [1.5, 0.25, 0.0]
    """
    if not half_life_hours > 0:
        raise ValueError(f"half_life_hours must be positive, got {half_life_hours}")
    if (age_hours < 0).any():
        raise ValueError(f"click from the future: age {age_hours.min():.2f} h")
    weight = np.exp2(-age_hours / half_life_hours)
    counts = np.bincount(article_index, weights=weight, minlength=n_articles)
    return counts.astype(np.float64, copy=False)  # bincount of nothing is int


def log_share(clicks: NDArray[np.float64], total: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return log1p(1000 x share of all clicks): 0 for none, 6.9 for all of them.

    A share, not a count, so that a quiet night and a busy noon are on one scale.

    Parameters
    ----------
    clicks, total : array of float64, equal shapes
        Decayed clicks of the article, and of all articles, at the same instant.
    """
    return np.log1p(1000.0 * clicks / np.where(total > 0, total, 1.0))


def log_click_rate(
    clicks: NDArray[np.float64],
    views: NDArray[np.float64],
    rate: NDArray[np.float64],
    *,
    prior_views: float,
) -> NDArray[np.float64]:
    """Return the log of the smoothed click-through rate, less that of the average.

    Parameters
    ----------
    clicks, views : array of float64
        Decayed clicks on impressions, and decayed impressions, of each article.
    rate : array of float64
        Clicks a view of all articles at the same instant.
    prior_views : float
        Views of the average rate added to each article; an article never shown
        scores 0, the average.

    Notes
    -----
    log((clicks + prior x rate) / (views + prior) / rate); 0 where the rate is 0.
    """
    known = np.where(rate > 0, rate, 1.0)
    smoothed = np.log((clicks + prior_views * known) / (views + prior_views) / known)
    result: NDArray[np.float64] = np.where(rate > 0, smoothed, 0.0)
    return result


def rise(
    now_clicks: NDArray[np.float64],
    expected_clicks: NDArray[np.float64],
    *,
    now_half_life_hours: float,
    expected_half_life_hours: float,
) -> NDArray[np.float64]:
    """Return how far clicks now exceed what the longer past lets expect.

    Parameters
    ----------
    now_clicks, expected_clicks : array of float64, shape (n_articles,)
        `decayed_clicks` at a short and at a long half-life.

    Returns
    -------
    array of float64
        (now - e) / sqrt(e + 1), in standard deviations of a Poisson count with one
        click of doubt added; e scales the long count to the short half-life and to
        the site's present level, so that a quiet hour does not make everything fall.

    Notes
    -----
    At a constant rate r a decayed count settles at r x half_life / ln 2, so the
    long count times (short half-life / long half-life) is the short one expected.
    """
    expected = expected_clicks * (now_half_life_hours / expected_half_life_hours)
    total = expected.sum()
    if total > 0:
        expected = expected * (now_clicks.sum() / total)
    return (now_clicks - expected) / np.sqrt(expected + 1.0)


def importance(
    readers: NDArray[np.float64],
    dwell_share: NDArray[np.float64],
    breadth: NDArray[np.float64],
    age_hours: NDArray[np.float64],
    *,
    half_life_hours: float,
) -> NDArray[np.float64]:
    """Return how much an article is one that nobody should miss today.

    Parameters
    ----------
    readers : array, shape (n_articles,)
        Decayed distinct readers over about a day.
    dwell_share : array
        Mean reading time against a full read, in 0..1.
    breadth : array
        Evenness of its readers over the sections they usually read, in 0..1.
    age_hours : array
        Since the article came, not negative.
    half_life_hours
        Age at which an article matters half as much.

    Notes
    -----
    log1p(readers / (1 + age, a day at most)) x (0.5 + dwell_share) x (0.5 + breadth)
    x 2^(-age / half life): many readers for its age, who stayed, from all over. Against
    reading time of the day that followed, of all live articles at five hours of 19-22 May
    2023 (EB-NeRD): nDCG@5 .540 at 12 hours, .587 at 6; without age .095, newest first .400,
    popularity .375. Twelve, so that the list holds through a day.
    """
    pace = np.log1p(readers / (1.0 + np.minimum(age_hours, 24.0)))
    result: NDArray[np.float64] = (
        pace * (0.5 + dwell_share) * (0.5 + breadth) * np.exp2(-age_hours / half_life_hours)
    )
    return result


def mean_dwell_share(
    article_index: NDArray[np.int64],
    dwell_seconds: NDArray[np.float32],
    *,
    n_articles: int,
    full_seconds: float,
    prior_clicks: float = 5.0,
) -> NDArray[np.float64]:
    """Return mean reading time of articles against a full read, in 0..1.

    Clicks of unknown reading time are left out; `prior_clicks` clicks of the overall
    mean are added to each article, and where none is known all get 0.5.
    """
    known = ~np.isnan(dwell_seconds)
    share = np.minimum(dwell_seconds[known] / full_seconds, 1.0)
    overall = float(share.mean()) if len(share) else 0.5
    total = np.bincount(article_index[known], weights=share, minlength=n_articles)
    count = np.bincount(article_index[known], minlength=n_articles)
    mean: NDArray[np.float64] = (total + prior_clicks * overall) / (count + prior_clicks)
    return mean


def user_breadth(
    article_index: NDArray[np.int64], home_category: NDArray[np.int64], *, n_articles: int
) -> NDArray[np.float64]:
    """Return how evenly an article's readers come from the sections, in 0..1.

    Parameters
    ----------
    article_index, home_category : array of int, shape (n_clicks,)
        The clicked article and the section its reader reads most.

    Notes
    -----
    1 - sum of squared shares (Simpson's index) of home sections, with clicks plus 2
    in the denominator, so that one reader is not breadth.
    """
    if not len(article_index):
        return np.zeros(n_articles)
    n_categories = int(home_category.max()) + 1
    cell = article_index * n_categories + home_category
    counts = np.bincount(cell, minlength=n_articles * n_categories)
    counts = counts.reshape(n_articles, n_categories).astype(np.float64)
    total = counts.sum(axis=1)
    pairs = total**2 - (counts**2).sum(axis=1)
    breadth: NDArray[np.float64] = pairs / (total + 2.0) ** 2
    return breadth
