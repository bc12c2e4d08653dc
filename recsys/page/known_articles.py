"""The articles that a run knows: live ones, and those that were read lately."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from math import isfinite
from types import GenericAlias
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.rows import from_ms

YEAR_1_MS, YEAR_9999_MS = -62_135_596_800_000, 253_402_300_799_999


INSTANTS = ("published_ms", "expires_ms", "modified_ms", "withdrawn_ms")


class KnownArticle(NamedTuple):
    """What a page shows of an article.

    Attributes
    ----------
    article_id, title, category, author, tags, url, language, image_url, summary, kicker
        As ingested; "" where the publisher did not say. Tags are one a line, see `split_tags`.
    topics
        What it is about, one a line, best first; see `recsys.training.topics`.
    premium
        Whether it is for subscribers only; None where not known.
    importance
        The newsroom's own number, larger for more important; None where not known.
    reading_minutes
        Estimated time to read the body; None without a body.
    published_ms, expires_ms, modified_ms, withdrawn_ms
        Instants in ms, None where not known. The article is not shown from `expires_ms` on, nor
        from `withdrawn_ms` on.
    """

    article_id: str
    title: str
    category: str
    author: str
    tags: str
    topics: str
    url: str
    language: str
    image_url: str
    summary: str
    kicker: str
    premium: bool | None
    importance: float | None
    reading_minutes: float | None
    published_ms: int | None
    expires_ms: int | None
    modified_ms: int | None
    withdrawn_ms: int | None

    @property
    def published_at(self) -> datetime | None:
        """Return when it was published, in UTC; None where not known."""
        return None if self.published_ms is None else from_ms(self.published_ms)

    @property
    def modified_at(self) -> datetime | None:
        """Return when its publisher last modified it, in UTC; None where not known."""
        return None if self.modified_ms is None else from_ms(self.modified_ms)


def split_tags(tags: str) -> list[str]:
    r"""Return the tags of an article, which are stored one a line.

    Examples
    --------
    >>> split_tags("Paris, France\nrail")
    ['Paris, France', 'rail']
    """
    return tags.splitlines()


class KnownArticles:
    """A run's known articles, in known order; kept as columns, because few of them are asked for.

    Parameters
    ----------
    columns
        The fields of `KnownArticle`, by name.

    Raises
    ------
    ValueError, KeyError
        If they are not of one length, one is missing, an id is there twice, an instant is out of
        range, or a number is not finite.
    """

    def __init__(self, columns: Mapping[str, Sequence[Any]]) -> None:
        self._columns = [columns[name] for name in KnownArticle._fields]
        if len(set(map(len, self._columns))) > 1:
            raise ValueError("the columns of the articles are not of one length")
        ids = columns["article_id"]
        if len(set(ids)) < len(ids):
            raise ValueError("an article id is there twice")
        for name in INSTANTS:
            known = [value for value in columns[name] if value is not None]
            if known and not YEAR_1_MS <= min(known) <= max(known) <= YEAR_9999_MS:
                raise ValueError(f"{name} is out of range")
        for name in ("importance", "reading_minutes"):
            if not all(value is None or isfinite(value) for value in columns[name]):
                raise ValueError(f"{name} must be finite numbers")

    @staticmethod
    def column_type(name: str) -> Any:
        """Return the type of a field's column, for reading it from a file."""
        return GenericAlias(list, (KnownArticle.__annotations__[name],))

    def column(self, name: str) -> Sequence[Any]:
        """Return one field of all articles."""
        return self._columns[KnownArticle._fields.index(name)]

    def instants(self, name: str, unknown: int) -> NDArray[np.int64]:
        """Return an instant of all articles in ms, shape (n_known,); `unknown` where not known."""
        values = [unknown if ms is None else ms for ms in self.column(name)]
        return np.array(values, dtype=np.int64)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._columns[0])

    def __getitem__(self, row: int) -> KnownArticle:
        """Return one article."""
        return KnownArticle._make([column[row] for column in self._columns])

    def __iter__(self) -> Iterator[KnownArticle]:
        """Return each article."""
        return map(KnownArticle._make, zip(*self._columns, strict=True))
