"""What a server answers: a page with its lists, slots and reasons; an order; its health."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    NamedTuple,
    TypedDict,
    TypeVar,
    cast,
    get_type_hints,
)

import msgspec

from recsys.page.explain import Explanation, PageTrace
from recsys.page.known_articles import KnownArticle
from recsys.page.reasons import Values

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema


V = TypeVar("V")


class SlotDict(TypedDict):
    """A slot as values that JSON has; see `Recommendation` for the meaning of the fields.

    Instants are ISO 8601 in UTC, such as "2026-03-02T05:30:00+00:00".
    """

    article_id: str
    title: str
    category: str
    url: str
    published_at: str | None
    score: float
    reason: str
    reason_code: str
    propensity: float
    rules: list[str]
    reason_values: dict[str, str]
    author: str
    language: str
    image_url: str
    summary: str
    kicker: str
    premium: bool | None
    importance: float | None
    reading_minutes: float | None
    modified_at: str | None


class PageDict(TypedDict):
    """A page as values that JSON has; see `Page` for the meaning of the fields."""

    run_id: str
    language: str
    titles: dict[str, str]
    lists: dict[str, list[SlotDict]]
    notes: list[str]


_OUT_OF_A_PICKLE = (
    "this slot comes out of a pickle, which leaves out how its page was made: ask `recommend` for"
    " the page again"
)


@dataclass(frozen=True, slots=True)
class ArticleAlone:
    """A pickled slot keeps this in place of its `PageTrace`: the article that it shows."""

    shown: KnownArticle

    def article(self, live_index: int) -> KnownArticle:
        """Return the article."""
        return self.shown

    def parts(self, name: str, live_index: int) -> Mapping[str, float]:
        """Raise a ValueError."""
        raise ValueError(_OUT_OF_A_PICKLE)

    def explanation(self, name: str, live_index: int, rules: Sequence[str]) -> Explanation:
        """Raise a ValueError."""
        raise ValueError(_OUT_OF_A_PICKLE)


class Recommendation(NamedTuple):
    """One slot of a page: an immutable tuple that compares, hashes, copies and pickles.

    Two slots are equal if they show the same. A pickle, such as a cache keeps, leaves out
    most of `trace`, which is as large as the run: a slot that comes out of it has all fields that
    a page shows, but no `parts` and no `explanation`.

    Attributes
    ----------
    article_id, title, category, url
        The article; "" where the publisher did not say.
    published_at
        UTC, None where not known.
    score
        In its list; comparable within the list only.
    reason
        Why it is here, for the reader, in the language of the page.
    reason_code
        The same as a code, for texts of your own; see `recsys.page.reasons.REASONS` and
        `reason_values`.
    propensity
        Chance this article had of being here: 1.0 but in a slot that may be drawn at random
        (`explore`). To be logged with the impression.
    rules
        Editors' rules that put it here, or lifted or lowered it.
    named
        The items of `reason_values`.
    trace, place
        How the page was made, and the slot's list and live index: `parts`, `explanation` and the
        fields of the article are computed from them. They are neither compared nor printed.
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
    named: Values
    trace: PageTrace | ArticleAlone
    place: tuple[str, int]

    def as_dict(self) -> SlotDict:
        """Return the slot as values that JSON has: its fields, and those of its article."""
        article = self.article
        fields = {name: getattr(self, name) for name in _OWN_FIELDS}
        fields |= {name: getattr(article, name) for name in _ARTICLE_FIELDS}
        return cast(SlotDict, {name: _plain(value) for name, value in fields.items()})

    @property
    def reason_values(self) -> dict[str, str]:
        """Return the value that the reason names, see `recsys.page.reasons.NAMED`; {} for none."""
        return dict(self.named)

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
        """Return whether another slot shows the same."""
        if not isinstance(other, Recommendation) or self._shown() != other._shown():
            return False
        return self.article == other.article

    def __ne__(self, other: object) -> bool:
        """Return whether another slot shows something else."""
        return not self == other

    def __hash__(self) -> int:
        """Return a hash of the tuple's fields without `trace` and `place`."""
        return hash(self._shown())

    def __repr__(self) -> str:
        """Return the tuple's fields without `trace` and `place`."""
        shown = zip(self._fields, self._shown(), strict=False)
        return f"Recommendation({', '.join(f'{name}={value!r}' for name, value in shown)})"

    def __copy__(self) -> "Recommendation":
        """Return the slot itself, which never changes."""
        return self

    def __deepcopy__(self, memo: object) -> "Recommendation":
        """Return the slot itself, which never changes."""
        return self

    def __reduce__(self) -> tuple[object, ...]:
        """Return a pickle's content: all fields, but only the article of `trace`."""
        return Recommendation, (*self._shown(), ArticleAlone(self.article), self.place)

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: object, handler: "GetCoreSchemaHandler"
    ) -> "CoreSchema":
        """Return how pydantic, and so FastAPI, writes and documents a slot."""
        return _pydantic_schema(cls, get_type_hints(SlotDict), handler)

    def _shown(self) -> tuple[object, ...]:
        return self[:-2]  # without `trace` and `place`

    @property
    def parts(self) -> Mapping[str, float]:
        """Return the weighted parts of the score, by signal.

        Raises
        ------
        ValueError
            If the slot comes out of a pickle.
        """
        return self.trace.parts(*self.place)

    @property
    def explanation(self) -> Explanation:
        """Return why this slot holds its article; computed when asked for.

        Raises
        ------
        ValueError
            If the slot comes out of a pickle.
        """
        return self.trace.explanation(*self.place, self.rules)


_ARTICLE_FIELDS = tuple(
    name
    for name in get_type_hints(SlotDict)
    if name in (*KnownArticle._fields, "modified_at") and name not in Recommendation._fields
)
_OWN_FIELDS = tuple(name for name in get_type_hints(SlotDict) if name not in _ARTICLE_FIELDS)


def _plain(value: object) -> object:
    """Return a field of a slot as a value that JSON has."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return list(value) if isinstance(value, tuple) else value


def _pydantic_schema(
    cls: "type[Recommendation | Page]", fields: Mapping[str, Any], handler: "GetCoreSchemaHandler"
) -> "CoreSchema":
    """Return a pydantic schema of a class with `as_dict`: a JSON object with these fields."""
    from pydantic_core import core_schema

    shown = core_schema.typed_dict_schema(
        {
            name: core_schema.typed_dict_field(handler.generate_schema(kind))
            for name, kind in fields.items()
        },
        cls_name=cls.__name__,
        ref=f"{cls.__module__}.{cls.__qualname__}",
    )
    return core_schema.no_info_before_validator_function(
        lambda value: value.as_dict() if isinstance(value, cls) else value, shown
    )


@dataclass(frozen=True, slots=True)
class Ranked:
    """One of the articles given to `Recommender.rank`.

    Attributes
    ----------
    article_id
        As given.
    score
        Comparable within one call only; None for an article that the run does not know.
    parts
        What the score is made of, by feature.
    """

    article_id: str
    score: float | None
    parts: Mapping[str, float] = field(hash=False)


class ReadOnly(Mapping[str, V]):
    """A mapping of a page, which never changes."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, V]) -> None:
        self._values = values

    def __getitem__(self, name: str) -> V:
        """Return the value of a list."""
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        """Return the names of the lists."""
        return iter(self._values)

    def __len__(self) -> int:
        """Return the number of lists."""
        return len(self._values)

    def __repr__(self) -> str:
        """Return the mapping as that of a dictionary."""
        return repr(dict(self._values))

    def __deepcopy__(self, memo: object) -> dict[str, object]:
        """Return the mapping as values that JSON has.

        `dataclasses.asdict` asks for deep copies of the fields of a page; flask.jsonify and
        FastAPI ask for `dataclasses.asdict`.
        """
        return {
            name: [slot.as_dict() for slot in value] if isinstance(value, tuple) else value
            for name, value in self.items()
        }

    def __reduce__(self) -> tuple[object, ...]:
        """Return a pickle's content."""
        return ReadOnly, (dict(self._values),)


@dataclass(frozen=True, slots=True)
class Page(Mapping[str, tuple[Recommendation, ...]]):
    """The lists of one page, by name, and the run they come from.

    A page never changes. It compares, hashes, copies and pickles; see `Recommendation` for what
    a pickle leaves out. A page is itself a mapping from the name of a list to its slots, and a
    WSGI application that answers with its JSON: a view of Flask may return it.

    Attributes
    ----------
    run_id
        The run.
    language
        The language of the page, such as "en"; see `recsys.recommend`.
    titles
        The titles of the lists in the language of the page, by name.
    lists
        The slots of each list, best first, by name.
    notes
        What a list could not do, such as "must_reads: 3 of 5 slots, no candidates left".
    """

    do_not_call_in_templates: ClassVar[bool] = True  # Django's templates call what they can

    run_id: str
    language: str
    titles: Mapping[str, str]
    lists: Mapping[str, tuple[Recommendation, ...]]
    notes: tuple[str, ...]

    def of(self, wanted: Sequence[str]) -> "Page":
        """Return some lists of the page."""
        if tuple(wanted) == tuple(self.lists):
            return self
        return Page(
            self.run_id,
            self.language,
            ReadOnly({name: self.titles[name] for name in wanted}),
            ReadOnly({name: self.lists[name] for name in wanted}),
            tuple(note for note in self.notes if note.partition(":")[0] in wanted),
        )

    def as_dict(self) -> PageDict:
        """Return the page as values that JSON has."""
        return {
            "run_id": self.run_id,
            "language": self.language,
            "titles": dict(self.titles),
            "lists": {name: [slot.as_dict() for slot in slots] for name, slots in self.items()},
            "notes": list(self.notes),
        }

    def to_json(self) -> str:
        """Return `as_dict` as JSON; equal pages give the same text."""
        return msgspec.json.encode(self.as_dict()).decode("utf-8")

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Answer a request of a WSGI server with the page as JSON."""
        body = self.to_json().encode("utf-8")
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        start_response("200 OK", headers)
        return [body]

    def __hash__(self) -> int:
        """Return a hash of the fields."""
        lists, titles = frozenset(self.lists.items()), frozenset(self.titles.items())
        return hash((self.run_id, self.language, self.notes, lists, titles))

    def __copy__(self) -> "Page":
        """Return the page itself, which never changes."""
        return self

    def __deepcopy__(self, memo: object) -> "Page":
        """Return the page itself, which never changes."""
        return self

    def __reduce__(self) -> tuple[object, ...]:
        """Return a pickle's content."""
        return Page, (self.run_id, self.language, self.titles, self.lists, self.notes)

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: object, handler: "GetCoreSchemaHandler"
    ) -> "CoreSchema":
        """Return how pydantic, and so FastAPI, writes and documents a page."""
        fields = get_type_hints(PageDict) | {"lists": dict[str, list[Recommendation]]}
        return _pydantic_schema(cls, fields, handler)

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
