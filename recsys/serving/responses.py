"""What a server answers: a page with its lists, slots and reasons; an order; its health."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple

from recsys.page.explain import Explanation, PageTrace
from recsys.page.known_articles import KnownArticle

# What `Recommendation.as_dict` gives of an article beside the fields of the slot itself.
ARTICLE_FIELDS = (
    "author",
    "language",
    "image_url",
    "summary",
    "kicker",
    "premium",
    "importance",
    "reading_minutes",
    "modified_at",
)


class Recommendation(NamedTuple):
    """One slot of a page.

    A tuple, for every page view makes a score of them.

    Attributes
    ----------
    article_id, title, category, url
        The article; "" where the publisher did not say.
    published_at
        UTC, None where not known.
    score
        In its list; comparable within the list only.
    reason
        Why it is here, for the reader, in English.
    reason_code
        The same for translation; see `recsys.page.reasons.REASONS`.
    propensity
        Chance this article had of standing here: 1.0 but in a slot drawn to explore. To be
        logged with the impression.
    rules
        Editors' rules that put it here, or lifted or lowered it.
    trace, place
        How the page was made, and the slot's list and live index: what `parts` and
        `explanation` are computed from. They are neither compared nor printed.
    """

    article_id: str
    title: str
    category: str
    url: str
    published_at: datetime | None
    score: float
    reason: str
    reason_code: str
    propensity: float
    rules: tuple[str, ...]
    trace: PageTrace
    place: tuple[str, int]

    def as_dict(self) -> dict[str, Any]:
        """Return what the slot says by name: its fields, and those of `article` beside them.

        `trace` and `place` are left out.
        """
        values = zip(self._fields, self, strict=True)
        fields = {name: value for name, value in values if name not in ("trace", "place")}
        article = self.article
        return fields | {name: getattr(article, name) for name in ARTICLE_FIELDS}

    @property
    def article(self) -> KnownArticle:
        """Return all that the run knows of the article; read when it is asked for."""
        return self.trace.article(self.place[1])

    @property
    def author(self) -> str:
        """Return its author, "" where not known."""
        return self.article.author

    @property
    def language(self) -> str:
        """Return its language, "" where not known."""
        return self.article.language

    @property
    def image_url(self) -> str:
        """Return the address of its picture, "" without one."""
        return self.article.image_url

    @property
    def summary(self) -> str:
        """Return its summary, "" without one."""
        return self.article.summary

    @property
    def kicker(self) -> str:
        """Return the short line above its headline, "" without one."""
        return self.article.kicker

    @property
    def premium(self) -> bool | None:
        """Return whether it is for subscribers only; None where not known."""
        return self.article.premium

    @property
    def importance(self) -> float | None:
        """Return the number that the newsroom gave it; None where not known."""
        return self.article.importance

    @property
    def reading_minutes(self) -> float | None:
        """Return the time to read its body; None without a body."""
        return self.article.reading_minutes

    @property
    def modified_at(self) -> datetime | None:
        """Return when its publisher last modified it, in UTC; None where not known."""
        return self.article.modified_at

    def __eq__(self, other: object) -> bool:
        """Return whether another slot says the same."""
        return isinstance(other, Recommendation) and self.as_dict() == other.as_dict()

    def __ne__(self, other: object) -> bool:
        """Return whether another slot says something else."""
        return not self == other

    def __hash__(self) -> int:
        """Return a hash of what it says."""
        return hash(tuple(self.as_dict().values()))

    def __repr__(self) -> str:
        """Return what it says."""
        values = ", ".join(f"{name}={value!r}" for name, value in self.as_dict().items())
        return f"Recommendation({values})"

    @property
    def parts(self) -> Mapping[str, float]:
        """Return what the score is made of: weighted parts by signal."""
        return self.trace.parts(*self.place)

    @property
    def explanation(self) -> Explanation:
        """Return why this slot holds what it holds; worked out when asked for."""
        return self.trace.explanation(*self.place, self.rules)


@dataclass(frozen=True, slots=True)
class Ranked:
    """One of the articles given to `Recommender.rank`.

    Attributes
    ----------
    article_id
        As given.
    score
        Comparable within one call only.
    parts
        What the score is made of, by feature.
    """

    article_id: str
    score: float
    parts: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Page(Mapping[str, tuple[Recommendation, ...]]):
    """The lists of one page, by name, and the run they come from.

    Attributes
    ----------
    run_id
        The run.
    notes
        What a list could not do, such as "must_reads: 3 of 5 slots, no candidates left".
    lists
        The lists; a page is itself a mapping of them.
    titles
        The titles of the lists in English, by name.
    """

    run_id: str
    notes: tuple[str, ...]
    lists: Mapping[str, tuple[Recommendation, ...]]
    titles: Mapping[str, str]

    def of(self, wanted: Sequence[str]) -> "Page":
        """Return some lists of the page."""
        if tuple(wanted) == tuple(self.lists):
            return self
        return Page(
            self.run_id,
            tuple(note for note in self.notes if note.partition(":")[0] in wanted),
            MappingProxyType({name: self.lists[name] for name in wanted}),
            MappingProxyType({name: self.titles[name] for name in wanted}),
        )

    def __getitem__(self, name: str) -> tuple[Recommendation, ...]:
        """Return one list."""
        return self.lists[name]

    def __iter__(self) -> Iterator[str]:
        """Return the names of the lists."""
        return iter(self.lists)

    def __len__(self) -> int:
        """Return the number of lists."""
        return len(self.lists)


@dataclass(frozen=True, slots=True)
class Health:
    """The state of what a server serves.

    Attributes
    ----------
    run_id
        The run it serves.
    hours
        Hours since the run's `as_of`.
    problems
        What is wrong, in words; empty if nothing is.
    notes
        What may be meant: rules in force that are about no article of the run.
    """

    run_id: str
    hours: float
    problems: tuple[str, ...]
    notes: tuple[str, ...]
