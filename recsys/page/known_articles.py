"""What a run knows of its articles: live ones, and those that were read lately."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple


class KnownArticle(NamedTuple):
    """What a page shows of an article; instants in ms, None where not known."""

    article_id: str
    title: str
    category: str
    author: str
    tags: str
    url: str
    published_ms: int | None
    expires_ms: int | None


class KnownArticles:
    """A run's known articles, in known order; kept as columns, for few of them are asked for.

    Parameters
    ----------
    columns
        The fields of `KnownArticle`, by name.

    Raises
    ------
    ValueError, KeyError
        If they are not of one length, or one is missing.
    """

    def __init__(self, columns: Mapping[str, Sequence[Any]]) -> None:
        self._columns = [columns[name] for name in KnownArticle._fields]
        if len(set(map(len, self._columns))) > 1:
            raise ValueError("columns of articles are not of one length")

    def column(self, name: str) -> Sequence[Any]:
        """Return one field of all articles."""
        return self._columns[KnownArticle._fields.index(name)]

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._columns[0])

    def __getitem__(self, row: int) -> KnownArticle:
        """Return one article."""
        return KnownArticle._make([column[row] for column in self._columns])

    def __iter__(self) -> Iterator[KnownArticle]:
        """Return each article."""
        return map(KnownArticle._make, zip(*self._columns, strict=True))
