"""The articles that a run knows: live ones, and those that were read lately."""

from collections.abc import Iterator, Mapping, Sequence
from types import GenericAlias
from typing import Any, NamedTuple

YEAR_1_MS, YEAR_9999_MS = -62_135_596_800_000, 253_402_300_799_999


class KnownArticle(NamedTuple):
    """What a page shows of an article; instants in ms, None where not known."""

    article_id: str
    title: str
    category: str
    author: str
    tags: str
    url: str
    language: str
    premium: bool | None
    published_ms: int | None
    expires_ms: int | None


class KnownArticles:
    """A run's known articles, in known order; kept as columns, because few of them are asked for.

    Parameters
    ----------
    columns
        The fields of `KnownArticle`, by name.

    Raises
    ------
    ValueError, KeyError
        If they are not of one length, one is missing, an id is there twice, or an instant is out
        of range.
    """

    def __init__(self, columns: Mapping[str, Sequence[Any]]) -> None:
        self._columns = [columns[name] for name in KnownArticle._fields]
        if len(set(map(len, self._columns))) > 1:
            raise ValueError("the columns of the articles are not of one length")
        ids = columns["article_id"]
        if len(set(ids)) < len(ids):
            raise ValueError("an article id is there twice")
        for name in ("published_ms", "expires_ms"):
            known = [value for value in columns[name] if value is not None]
            if known and not YEAR_1_MS <= min(known) <= max(known) <= YEAR_9999_MS:
                raise ValueError(f"{name} is out of range")

    @staticmethod
    def column_type(name: str) -> Any:
        """Return the type of a field's column, for reading it from a file."""
        return GenericAlias(list, (KnownArticle.__annotations__[name],))

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
