"""Editors' rules, applied on top of every score: pins, blocks, boosts, embargoes, caps.

Rules act when a page is asked for, to the second, whatever the nightly run knew. A rule that
forbids wins over a rule that shows: a pin gives way to a block, to an article that this user
has read, and to the article being read.
"""

import difflib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec
import numpy as np
from msgspec import Meta, structs
from numpy.typing import NDArray

from recsys.checked import struct_of
from recsys.config_types import MOST_SLOTS
from recsys.errors import RuleError
from recsys.page.articles_by_name import ArticlesByName
from recsys.page.compose import Cap, Pin
from recsys.page.known_articles import KnownArticles, split_tags
from recsys.rows import is_text
from recsys.words import fold

Kind = Literal["pin", "block", "boost", "embargo", "expire", "sensitive", "cap"]
By = Literal["article", "author", "section", "tag", "source", "text"]
KINDS: tuple[Kind, ...] = ("pin", "block", "boost", "embargo", "expire", "sensitive", "cap")
BYS: tuple[By, ...] = ("article", "author", "section", "tag", "source", "text")
GROUPED: tuple[By, ...] = ("author", "section", "source")  # an article has one of each
EVERY = ""  # of lists
MOST_BOOST = 10  # a boost lifts or lowers by at most so many times a list's span of scores
MAX_RULES_BYTES = 16 << 20  # of a file; some 50,000 rules
MOST_OF_GROUP = 100  # the largest amount of a cap
# What the amount of a rule says, by kind.
AMOUNTS = {
    "boost": f"how far it lifts, from -{MOST_BOOST} to {MOST_BOOST} (--amount)",
    "cap": f"how many articles it allows, from 0 to {MOST_OF_GROUP} (--amount)",
}
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
Name = Annotated[str, Meta(max_length=512)]
Instant = Annotated[int, Meta(ge=-62_135_596_800_000, le=253_402_300_799_999)]  # years 1 to 9999


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule, as an editor entered it; `rule_of` makes a checked one.

    Attributes
    ----------
    rule_id
        Its name, such as "r3"; "" for a rule that was not added yet.
    kind
        "pin": the article holds a slot. "block": the articles are not shown. "boost": they are
        lifted (or lowered) by `amount` times the distance in score between a list's best
        candidate and the last one of a page. "embargo": they are not shown before `ends_ms`.
        "expire": they are not shown from `starts_ms` on. "sensitive": they are not recommended,
        and only the articles of `only_by` and `only` are shown beside them. "cap": at most
        `amount` articles of each author, section or source.
    by, value
        Which articles: by id, author, section, tag, source (the host of the address), or
        words that are all in the title. The value of a cap may be "": it caps each group.
    list_name
        The list to which the rule applies, EVERY for the whole page.
    slot
        The slot of a pin: 1 (the first) to 100.
    amount
        Of a boost from -10 to 10, of a cap a whole number from 0 to 100.
    only_by, only
        Of "sensitive": the articles that may be shown beside; `only` "" for none.
    author, reason
        Who entered the rule, and why.
    starts_ms, ends_ms
        When it begins and when it ends (no longer in force at that instant); None without end.
    """

    kind: Kind
    by: By = "article"
    value: Name
    author: Name
    reason: Annotated[str, Meta(max_length=2000)]
    starts_ms: Instant
    rule_id: Name = ""
    ends_ms: Instant | None = None
    list_name: Name = EVERY
    slot: Annotated[int, Meta(ge=0, le=MOST_SLOTS)] = 0
    amount: float = 0.0
    only_by: By = "section"
    only: Name = ""

    def active(self, now_ms: int) -> bool:
        """Return whether the rule is in force at an instant."""
        return self.starts_ms <= now_ms and (self.ends_ms is None or now_ms < self.ends_ms)


def rules_of(text: bytes, list_names: Sequence[str] | None) -> list[Rule]:
    """Return the checked rules of a JSON file, such as `recsys rules export` writes.

    Raises
    ------
    RuleError
        If the text is too long or no JSON array, or `rule_of` refuses a rule; names which.
    """
    if len(text) > MAX_RULES_BYTES:
        raise RuleError(f"larger than {MAX_RULES_BYTES >> 20} MB: no file of rules")
    try:
        rows = msgspec.json.decode(text, type=list[object])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RuleError(f"not a JSON array of rules: {error}") from error
    rules = []
    for i, row in enumerate(rows, start=1):
        try:
            rules.append(rule_of(row, list_names))
        except RuleError as error:
            raise RuleError(f"rule {i} of the file: {error}") from error
    return rules


def rule_of(row: object, list_names: Sequence[str] | None) -> Rule:
    """Return a checked rule out of an object of a file, or of a command's options.

    Parameters
    ----------
    row
        The rule's fields by name.
    list_names
        The lists that a rule may name; None for any, where a run decides which lists there are.

    Raises
    ------
    RuleError
        If the row is no object, or a field is missing, unknown, of the wrong type, outside its
        range, or contradicts another field; names the rule and the field.
    """
    rule_id = row.get("rule_id") if isinstance(row, dict) else None
    try:
        rule = struct_of(Rule, row)
        if rule.kind in AMOUNTS and isinstance(row, dict) and "amount" not in row:
            problem = f"amount is required for a {rule.kind}: {AMOUNTS[rule.kind]}"
        else:
            problem = _problem_between_fields(rule, list_names)
    except ValueError as error:
        problem = str(error)
    if problem:
        named = rule_id[:100] if rule_id and isinstance(rule_id, str) else "the new rule"
        raise RuleError(f"{named}: {problem}")
    return rule


def problem_of(rule: Rule, list_names: Sequence[str]) -> str:
    """Return why `rule_of` would refuse a rule, "" if it would not."""
    try:
        rule_of(structs.asdict(rule), list_names)
    except RuleError as error:
        return str(error)
    return ""


def _problem_between_fields(rule: Rule, list_names: Sequence[str] | None) -> str:
    """Return what is wrong with a rule whose fields are each in range, "" for nothing."""
    for name in ("rule_id", "value", "list_name", "only", "author", "reason"):
        if not is_text(getattr(rule, name)):
            return f"{name} must be Unicode text"
    known = ", ".join(list_names or ())
    if list_names is not None and rule.list_name not in (EVERY, *list_names):
        asked = closest(rule.list_name, list_names or ())
        return f"list_name must be one of {known}, got {rule.list_name!r} (--list){asked}"
    for name in ("author", "reason"):
        if not getattr(rule, name).strip():
            return f"{name} is required (--{name})"
    if not rule.value.strip() and rule.kind != "cap":
        return f"value is required: the {rule.by} that the rule is about"
    if rule.ends_ms is not None and rule.ends_ms <= rule.starts_ms:
        return "ends_ms must be later than starts_ms (--until later than --from)"
    match rule.kind:
        case "embargo" if rule.ends_ms is None:
            return "ends_ms is required: when the embargo ends (--until)"
        case "pin" if rule.by != "article":
            return f"by must be article for a pin, got {rule.by!r} (--by)"
        case "pin" if rule.list_name == EVERY:
            return f"list_name is required for a pin: one of {known} (--list)"
        case "pin" if rule.slot < 1:
            return f"slot must be from 1 to {MOST_SLOTS} for a pin, got {rule.slot} (--slot)"
        case "cap" if rule.by not in GROUPED:
            return f"by must be one of {', '.join(GROUPED)} for a cap, got {rule.by!r} (--by)"
        case "cap" if not (rule.amount.is_integer() and 0 <= rule.amount <= MOST_OF_GROUP):
            return (
                f"amount must be a whole number from 0 to {MOST_OF_GROUP} for a cap,"
                f" got {rule.amount:g} (--amount)"
            )
        case "boost" if abs(rule.amount) > MOST_BOOST:
            return (
                f"amount must be from -{MOST_BOOST} to {MOST_BOOST} for a boost,"
                f" got {rule.amount:g} (--amount)"
            )
    return ""


def without_effect(rule: Rule) -> list[str]:
    """Return a sentence for each field of a rule that does nothing: its kind ignores it, or 0."""
    kinds = {"slot": ("pin",), "amount": tuple(AMOUNTS), "only": ("sensitive",)}
    if rule.kind == "boost" and rule.amount == 0:
        return [f"a boost by 0 does nothing: amount is {AMOUNTS['boost']}"]
    return [
        f"{name} is for a {' or a '.join(of)}, not for a {rule.kind} (--{name})"
        for name, of in kinds.items()
        if getattr(rule, name) and rule.kind not in of
    ]


def conflicts(rule: Rule, others: Iterable[Rule]) -> list[str]:
    """Return how a rule contradicts other rules that are in force at some time with it."""
    found = []
    forbids = ("block", "embargo", "expire", "sensitive")
    for other in others:
        ends = [r.ends_ms for r in (rule, other) if r.ends_ms is not None]
        if other.rule_id == rule.rule_id or max(rule.starts_ms, other.starts_ms) >= min(
            ends, default=2**62
        ):
            continue
        same = (rule.by, fold(rule.value)) == (other.by, fold(other.value))
        lists = {rule.list_name, other.list_name}
        meets = len(lists) == 1 or EVERY in lists
        kinds = {rule.kind, other.kind}
        if kinds == {"pin"} and rule.list_name == other.list_name and rule.slot == other.slot:
            found.append(f"{other.rule_id} pins {other.value} to the same slot")
        elif kinds == {"pin"} and same:
            found.append(f"{other.rule_id} pins the same article to {other.list_name}")
        elif "pin" in kinds and kinds & set(forbids) and same and meets:
            found.append(f"{other.rule_id} ({other.kind}) is about the same article: no pin holds")
        elif kinds & {"boost"} and kinds & set(forbids) and same and meets:
            found.append(f"{other.rule_id} ({other.kind}) is about the same articles as a boost")
        elif kinds == {"cap"} and rule.by == other.by and lists == {rule.list_name}:
            found.append(f"{other.rule_id} caps the same by {other.amount:g}")
        elif kinds == {"boost"} and same and lists == {rule.list_name}:
            found.append(f"{other.rule_id} boosts the same by {other.amount:g}")
    return found


def closest(name: str, known: Iterable[str]) -> str:
    """Return a question for the known name most like a misspelled one; "" if none is like it.

    Examples
    --------
    >>> closest("Sprots", ["Politics", "Sports"]), closest("Sprots", ["Culture"])
    ('; did you mean “Sports”?', '')
    """
    spelled = {fold(text).strip(): text for text in known}
    found = difflib.get_close_matches(fold(name).strip(), spelled, n=1)
    return f"; did you mean “{spelled[found[0]]}”?" if found else ""


def host_of(url: str) -> str:
    """Return the host of an address without "www.", "" for none.

    Examples
    --------
    >>> host_of("https://www.news.example/politics/a0030"), host_of("")
    ('news.example', '')
    """
    try:
        return (urlsplit(url).hostname or "").removeprefix("www.")
    except ValueError:
        return ""


@dataclass(frozen=True, slots=True)
class Described:
    """The fields of the known articles that rules are about: parallel sequences.

    `live_rows` are the known indices of the live articles.
    """

    article_ids: Sequence[str]
    authors: Sequence[str]
    sections: Sequence[str]
    tags: Sequence[str]
    urls: Sequence[str]
    titles: Sequence[str]
    live_rows: Ints

    @classmethod
    def of(cls, articles: KnownArticles, live_rows: Ints) -> "Described":
        """Return what rules may ask of the articles of a run."""
        column = articles.column
        return cls(
            article_ids=column("article_id"),
            authors=column("author"),
            sections=column("category"),
            tags=column("tags"),
            urls=column("url"),
            titles=column("title"),
            live_rows=live_rows,
        )

    def tags_of(self) -> Iterator[list[str]]:
        """Return the tags of each known article."""
        return (split_tags(text) for text in self.tags)

    def one_name(self, by: By) -> Sequence[str]:
        """Return the author, section or source of each known article, "" for none."""
        if by == "source":
            return [host_of(url) for url in self.urls]
        return self.authors if by == "author" else self.sections

    def names(self, by: By) -> set[str]:
        """Return the ids, authors, sections, tags or sources of the known articles, none of text.

        They are what a rule's value may be.
        """
        if by == "text":
            return set()
        if by == "article":
            return set(self.article_ids)
        if by == "tag":
            return {tag for found in self.tags_of() for tag in found}
        return set(self.one_name(by)) - {""}


@dataclass(frozen=True, slots=True, eq=False)
class Editorial:
    """What the rules in force require of one page; an instance is equal only to itself.

    Attributes
    ----------
    barred : dict of array of bool, shape (n_live,)
        By list (EVERY for all): the articles that must not be shown.
    boosts : dict of array of float64, shape (n_live,)
        By list: how far each article is lifted.
    pins, caps
        See `recsys.page.compose`.
    touched : dict
        By (list, live index): the rules that lift, lower or pin the article there; EVERY is any
        list.
    barred_by : dict
        By live index: the rule that bars the article.
    unnamed : dict of array of bool, shape (n_known,)
        By list (EVERY for all): the known articles that a rule bars there, so that their titles
        are not named there either.
    withheld : array of bool, shape (n_known,), or None
        The known articles that a block, an embargo or an expiry takes off every page. They are
        as good as unknown.
    """

    barred: dict[str, Mask]
    boosts: dict[str, NDArray[np.float64]]
    pins: tuple[Pin, ...]
    caps: tuple[Cap, ...]
    touched: dict[tuple[str, int], tuple[str, ...]]
    barred_by: dict[int, str]
    unnamed: dict[str, Mask] = field(default_factory=dict)
    withheld: Mask | None = None

    def touching(self, name: str, live_index: int) -> tuple[str, ...]:
        """Return the rules that lift, lower or pin an article in a list."""
        of_every = self.touched.get((EVERY, live_index), ())
        return (*of_every, *self.touched.get((name, live_index), ()))


def unmatched_note(rule_id: str, by: By, value: str) -> str:
    """Return a note for a value of a rule that is about no known article."""
    return f"{rule_id}: matches 0 articles now: no known article has the {by} “{value}”"


NO_RULES = Editorial({}, {}, (), (), {}, {})


class Resolved:
    """Rules, and the articles of one run that each is about; worked out once per run.

    Parameters
    ----------
    rules
        Checked by `rule_of`.
    articles
        The known articles of the run.

    Attributes
    ----------
    unmatched : dict of tuple of (by, value)
        By rule: each of its values that is about no known article. A value that is an article id
        is left out, since that article may come later.
    """

    def __init__(self, rules: Sequence[Rule], articles: Described) -> None:
        self.rules = tuple(rules)
        self.unmatched: dict[str, tuple[tuple[By, str], ...]] = {}
        self._live_rows, self._n_known = articles.live_rows, len(articles.article_ids)
        self._live_of = np.full(self._n_known, -1, dtype=np.int64)
        self._live_of[articles.live_rows] = np.arange(len(articles.live_rows))
        self._meant: dict[str, Ints] = {}  # by rule: known indices
        self._only: dict[str, Ints] = {}
        self._sensitive: dict[str, frozenset[int]] = {}
        self._groups: dict[str, Ints] = {}
        by_name = ArticlesByName(articles)
        self._editorial = lru_cache(maxsize=256)(self._build)
        for rule in rules:
            known = by_name.rows(rule.by, rule.value)
            values = [(rule.by, rule.value, known)]
            if rule.kind == "cap":
                self._groups[rule.rule_id] = by_name.groups(rule.by, rule.value)
            else:
                self._meant[rule.rule_id] = known
            if rule.kind == "sensitive":
                allowed = by_name.rows(rule.only_by, rule.only)[: None if rule.only else 0]
                self._only[rule.rule_id] = allowed
                self._sensitive[rule.rule_id] = frozenset(known.tolist())
                values.append((rule.only_by, rule.only, allowed))
            self.unmatched[rule.rule_id] = tuple(
                (by, value)
                for by, value, found in values
                if value and by != "article" and not len(found)
            )

    def notes(self, now_ms: int) -> tuple[str, ...]:
        """Return a note for each value of `unmatched` of rules that are in force at an instant."""
        active = (rule.rule_id for rule in self.rules if rule.active(now_ms))
        return tuple(
            unmatched_note(rule_id, by, value)
            for rule_id in active
            for by, value in self.unmatched[rule_id]
        )

    def at(self, now_ms: int, context: int | None) -> Editorial:
        """Return what the rules require at an instant beside an article (a known index or None).

        The result is the same object as long as the same rules are in force and the same
        sensitive rules are about the article.
        """
        active = tuple(i for i, rule in enumerate(self.rules) if rule.active(now_ms))
        if not active:
            return NO_RULES
        beside = frozenset(
            rule_id
            for rule_id, about in self._sensitive.items()
            if context is not None and context in about
        )
        return self._editorial(active, beside)

    def _build(self, active_rules: tuple[int, ...], beside: frozenset[str]) -> Editorial:
        """Return what rules require, beside an article that the rules `beside` are about."""
        active = [self.rules[at] for at in active_rules]
        unnamed: dict[str, Mask] = {}
        withheld: Mask | None = None
        live = self._live_of_rows
        boosts: dict[str, NDArray[np.float64]] = {}
        pins: list[Pin] = []
        caps: list[Cap] = []
        touched: defaultdict[tuple[str, int], list[str]] = defaultdict(list)
        barred_by: dict[int, str] = {}

        def bar(rule: Rule, rows: Ints) -> None:
            if rule.list_name not in unnamed:
                unnamed[rule.list_name] = np.zeros(self._n_known, dtype=bool)
            unnamed[rule.list_name][rows] = True
            for index in live(rows):
                barred_by.setdefault(index, rule.rule_id)

        for rule in active:
            if rule.kind == "cap":
                name = rule.list_name or None
                group = self._groups[rule.rule_id]
                caps.append(Cap(name, group, int(rule.amount), rule.rule_id))
                continue
            meant = self._meant[rule.rule_id]
            if rule.kind in ("block", "embargo", "expire"):
                bar(rule, meant)
                if rule.list_name == EVERY:
                    withheld = np.zeros(self._n_known, bool) if withheld is None else withheld
                    withheld[meant] = True
            elif rule.kind == "sensitive":
                bar(rule, meant)
                if rule.rule_id in beside:
                    bar(rule, np.delete(np.arange(self._n_known), self._only[rule.rule_id]))
            elif rule.kind == "boost":
                if rule.list_name not in boosts:
                    boosts[rule.list_name] = np.zeros(len(self._live_rows))
                boosts[rule.list_name][live(meant)] += rule.amount
                for index in live(meant):
                    touched[rule.list_name, index].append(rule.rule_id)
        barred = {name: mask[self._live_rows] for name, mask in unnamed.items()}
        pinned: set[tuple[str, int]] = set()
        for rule in active:  # pins last: a barred article cannot be pinned
            if rule.kind == "pin":
                off = barred.get(EVERY), barred.get(rule.list_name)
                for index in live(self._meant[rule.rule_id]):
                    at = (rule.list_name, rule.slot - 1)
                    if at not in pinned and not any(m is not None and m[index] for m in off):
                        pins.append(Pin(rule.list_name, rule.slot - 1, index))
                        pinned.add(at)
                        touched[rule.list_name, index].append(rule.rule_id)
        named = {place: tuple(rule_ids) for place, rule_ids in touched.items()}
        return Editorial(
            barred, boosts, tuple(pins), tuple(caps), named, barred_by, unnamed, withheld
        )

    def _live_of_rows(self, rows: Ints) -> list[int]:
        """Return the live indices of those known articles that are live."""
        found: list[int] = self._live_of[rows][self._live_of[rows] >= 0].tolist()
        return found
