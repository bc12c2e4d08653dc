"""Which live articles a list may show: the filters of the layouts, as masks of a run."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recsys.config import Config
from recsys.config_page import FilterConfig
from recsys.page.known_articles import KnownArticle, split_tags
from recsys.page.list_table import layouts_of
from recsys.page.rules import host_of

Mask = NDArray[np.bool_]


def filter_masks(
    config: Config, articles: Sequence[KnownArticle], age_hours: NDArray[np.float64]
) -> dict[str, Mask]:
    """Return the articles that pass the filter of each list that has one.

    Parameters
    ----------
    config
        The settings, with their layouts.
    articles
        The live articles.
    age_hours : array of float64, shape (n_live,)
        Their ages at the time of the run.

    Returns
    -------
    dict of array of bool, shape (n_live,)
        By `PageList.key`.
    """
    return {
        of.key: _passes(of.filter, articles, age_hours)
        for layout in layouts_of(config).values()
        for of in layout.lists
        if of.has_filter
    }


def _passes(
    wanted: FilterConfig, articles: Sequence[KnownArticle], age_hours: NDArray[np.float64]
) -> Mask:
    passes = np.ones(len(articles), dtype=bool)
    if wanted.max_age_hours is not None:
        passes &= age_hours <= wanted.max_age_hours
    for row, article in enumerate(articles):
        passes[row] = passes[row] and (
            _is_one_of(article.category, wanted.section)
            and _is_one_of(host_of(article.url), wanted.source)
            and _has_tag(article.tags, wanted.tag)
            and _is_language(article.language, wanted.language)
            and (wanted.premium is None or bool(article.premium) == wanted.premium)
        )
    return passes


def _is_one_of(value: str, names: Sequence[str]) -> bool:
    return not names or value.casefold() in {name.casefold().strip() for name in names}


def _has_tag(tags: str, names: Sequence[str]) -> bool:
    found = {tag.casefold() for tag in split_tags(tags)}
    return not names or any(name.casefold().strip() in found for name in names)


def _is_language(language: str, names: Sequence[str]) -> bool:
    found = language.casefold().replace("_", "-")
    wanted = [name.casefold().replace("_", "-") for name in names]
    return not wanted or any(found == name or found.startswith(f"{name}-") for name in wanted)
