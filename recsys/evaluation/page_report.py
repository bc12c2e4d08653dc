"""Report whole pages, by what fills them: clicks on them, repeats, and what they show of all."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from recsys import metrics
from recsys.metrics import Interval, bootstrap

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
PagesOf = Mapping[str, Ints]  # by list: the articles of each page, (n_pages, n_slots), -1 for none


def page_report(
    pages: PagesOf, relevant: Sequence[set[int]], story: Ints, user_key: Ints, moment: Ints
) -> dict[str, Interval]:
    """Return the metrics of the pages that one method filled.

    Parameters
    ----------
    pages
        One page for each user and moment.
    relevant
        For each page, the articles that its user clicked in the next hours.
    story : array of int64, shape (n_articles,)
        Story of each article.
    user_key, moment : array of int64, shape (n_pages,)
        The user of each page, and the moment it was made at.

    Returns
    -------
    dict of Interval
        `any_click`, the share of pages with a click; `clicks`, how many of its articles the user
        clicked; `weighted_clicks`, the same with each click worth 1 / log2(1 + its position in its
        list), the discount of DCG; `redundancy`, the share of slots whose story is on the page
        already; `coverage` and `gini` of all pages together, without an interval because they are
        no means over users.
    """
    rows = zip(*(shown.tolist() for shown in pages.values()), strict=True)
    of_pages = [
        _of_page(page, clicked, story) for page, clicked in zip(rows, relevant, strict=True)
    ]
    found = np.array(of_pages).reshape(-1, 3)
    clicks, weighted, repeats = found.T
    result = {
        name: bootstrap(values, user_key, crossed=moment)
        for name, values in (
            ("any_click", (clicks > 0).astype(np.float64)),
            ("clicks", clicks),
            ("weighted_clicks", weighted),
            ("redundancy", repeats),
        )
    }
    exposure = exposure_of(pages, len(story))
    return result | {name: Interval(value, value, value) for name, value in exposure.items()}


def padded_pages(pages: Sequence[Mapping[str, Sequence[int]]], slots: Mapping[str, int]) -> PagesOf:
    """Return pages as arrays.

    Parameters
    ----------
    pages
        The articles of each list of each page.
    slots
        The number of slots of each list.
    """
    found = {name: np.full((len(pages), n), -1, dtype=np.int64) for name, n in slots.items()}
    for row, page in enumerate(pages):
        for name, shown in page.items():
            found[name][row, : len(shown)] = shown
    return found


def exposure_of(pages: PagesOf, n_articles: int) -> dict[str, float]:
    """Return `coverage` and `gini` of what some pages show of all articles."""
    every = np.concatenate([np.zeros(0, dtype=np.int64), *map(np.ravel, pages.values())])
    shown = metrics.exposure(every, n_articles)
    return {"coverage": metrics.catalog_coverage(shown), "gini": metrics.gini(shown)}


def _of_page(
    page: Sequence[Sequence[int]], clicked: set[int], story: Ints
) -> tuple[float, float, float]:
    """Return clicks, weighted clicks and the share of repeats; each article counts once."""
    worth: dict[int, float] = {}
    for shown in page:
        for position, article in enumerate(shown, start=1):
            if article in clicked:
                worth[article] = max(worth.get(article, 0.0), 1.0 / float(np.log2(1 + position)))
    filled = [[article for article in shown if article >= 0] for shown in page]
    return float(len(worth)), sum(worth.values()), metrics.redundancy([filled], story)


def best_fixed(relevant: Sequence[set[int]], n: int) -> list[int]:
    """Return the n articles that most users of a moment clicked one of, chosen afterwards.

    Each next article is the one that most users clicked who clicked none before it (the greedy
    choice, within 1 - 1/e of the best one), then the one with most clicks. Whatever shows everyone
    the same articles can hardly do better, so the distance to it is what remains to be gained
    without personalisation.

    Parameters
    ----------
    relevant
        For each user, the articles that the user clicked.
    n
        How many articles to choose; fewer are returned if fewer were clicked.

    References
    ----------
    Nemhauser, Wolsey, Fisher, "An analysis of approximations for maximizing submodular set
    functions", Mathematical Programming 14, 1978.
    """
    users_of: dict[int, set[int]] = {}
    for user, clicked in enumerate(relevant):
        for article in clicked:
            users_of.setdefault(article, set()).add(user)
    n_users = {article: len(users) for article, users in users_of.items()}
    chosen: list[int] = []
    while users_of and len(chosen) < n:
        best = max(users_of, key=lambda a: (len(users_of[a]), n_users[a], -a))
        reached = users_of.pop(best)
        chosen.append(best)
        for users in users_of.values():
            users -= reached
    return chosen


def dealt(articles: Sequence[int], slots: Mapping[str, int]) -> dict[str, list[int]]:
    """Return a page of articles, best first: the first places of all lists, then the second ones.

    Examples
    --------
    >>> dealt([7, 8, 9], {"a": 2, "b": 1})
    {'a': [7, 9], 'b': [8]}
    """
    page: dict[str, list[int]] = {name: [] for name in slots}
    rest: Iterator[int] = iter(articles)
    for position in range(max(slots.values(), default=0)):
        for name, n in slots.items():
            if position < n and (article := next(rest, None)) is not None:
                page[name].append(article)
    return page
