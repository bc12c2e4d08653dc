"""Find the articles that a rule is about, without a look at each of them for each rule.

A newsroom has thousands of rules after a few years, and its server works all of them out again for
each run and each change of a rule.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from recsys.words import fold, is_unspaced, words_to_find

if TYPE_CHECKING:
    from recsys.page.rules import By, Described

Ints = NDArray[np.int64]
EVERY_NAME = ""  # of `groups`


class ArticlesByName:
    """The known articles by id, name or word; each index is made when a rule first needs it.

    Parameters
    ----------
    articles
        The articles.
    """

    def __init__(self, articles: "Described") -> None:
        self._articles = articles
        self._rows_by = lru_cache(maxsize=None)(self._indexed)
        self._groups_by = lru_cache(maxsize=None)(self._numbered)

    def rows(self, by: "By", value: str) -> Ints:
        """Return the known indices of the articles that a rule is about, ascending."""
        if by == "text":
            found = self._with_words(words_to_find(value))
        elif by == "article":
            found = self._rows_by(by).get(value, ())
        else:
            found = self._rows_by(by).get(fold(value).strip(), ())
        return np.array(sorted(found), dtype=np.int64)

    def groups(self, by: "By", value: str = EVERY_NAME) -> Ints:
        """Return the group number of each live article; -1 if it has none, or not `value`."""
        number, group = self._groups_by(by)
        if value == EVERY_NAME:
            return group
        wanted = number.get(fold(value).strip(), -2)
        return np.where(group == wanted, group, -1)

    def _indexed(self, by: "By") -> dict[str, list[int]]:
        """Return the rows of each name as it is compared; of each word of the titles for text."""
        found = defaultdict(list)
        for row, names in enumerate(self._names(by)):
            for name in names:
                found[name].append(row)
        return dict(found)

    def _names(self, by: "By") -> Iterable[Iterable[str]]:
        if by == "text":
            return map(words_to_find, self._articles.titles)
        if by == "article":
            return ((id_,) for id_ in self._articles.article_ids)
        if by == "tag":
            return (set(map(fold, tags)) for tags in self._articles.tags_of())
        return ((fold(name),) for name in self._articles.one_name(by))

    def _with_words(self, wanted: frozenset[str]) -> Iterable[int]:
        """Return the rows of the titles that `recsys.words.has_words` finds some words in."""
        if not wanted:
            return ()
        index = self._rows_by("text")
        rows = [self._rows_with(word, index) for word in wanted]
        return set(rows[0]).intersection(*rows[1:])

    def _rows_with(self, word: str, index: dict[str, list[int]]) -> Sequence[int]:
        if not is_unspaced(word):
            return index.get(word, ())
        # A run of a script without blanks may be anywhere within a run.
        return [
            row for run, rows in index.items() if word in run and is_unspaced(run) for row in rows
        ]

    def _numbered(self, by: "By") -> tuple[dict[str, int], Ints]:
        """Return the number of each name of a live article, and the group of each live article."""
        of = self._articles.one_name(by)
        names = [fold(of[row]) for row in self._articles.live_rows.tolist()]
        number = {name: i for i, name in enumerate(sorted(set(names) - {""}))}
        group = np.array([number.get(name, -1) for name in names], dtype=np.int64)
        group.flags.writeable = False
        return number, group
