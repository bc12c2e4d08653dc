"""Which articles a rule is about in plain Python, which says what `ArticlesByName` finds."""

import numpy as np

from recsys.words import fold, has_words, words_to_find


def matching(articles, by, value):
    """Return which known articles a rule is about, by a look at each of them."""
    if by == "text":
        wanted = words_to_find(value)
        return np.array([has_words(title, wanted) for title in articles.titles], dtype=bool)
    if by == "article":
        return np.array([id_ == value for id_ in articles.article_ids], dtype=bool)
    name = fold(value).strip()
    if by == "tag":
        tags = ([fold(tag) for tag in found] for found in articles.tags_of())
        return np.array([name in found for found in tags], dtype=bool)
    return np.array([fold(v) == name for v in articles.one_name(by)], dtype=bool)
