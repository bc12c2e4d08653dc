"""What editors decide, on top of every score: pins, blocks, boosts, embargoes, caps.

Rules act when a page is asked for, to the second, whatever the night knew. One that
forbids wins over one that shows: a pin gives way to a block, to what this reader has
read, and to the article being read.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Literal
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from recsys.page.compose import LISTS, Cap, Pin

Kind = Literal["pin", "block", "boost", "embargo", "expire", "sensitive", "cap"]
By = Literal["article", "author", "section", "tag", "source", "text"]
KINDS: tuple[Kind, ...] = ("pin", "block", "boost", "embargo", "expire", "sensitive", "cap")
BYS: tuple[By, ...] = ("article", "author", "section", "tag", "source", "text")
GROUPED: tuple[By, ...] = ("author", "section", "source")  # an article is of one of each
EVERY = ""  # of lists
_WORD = re.compile(r"\w+")
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, as an editor entered it.

    Attributes
    ----------
    rule_id
        Its name, such as "r3".
    kind
        "pin": the article holds a slot. "block": not shown. "boost": lifted (or lowered) by
        `amount` of the span between a list's best and the last of a page. "embargo": not
        shown before `ends_ms`. "expire": not shown from `starts_ms` on. "sensitive": not
        recommended, and beside it only `only_by`/`only`. "cap": at most `amount` of each
        author, section or source.
    by, value
        Which articles: by id, author, section, tag, source (the host of the address), or
        words that are all in the title.
    list_name
        The list it is for, EVERY for the whole page.
    slot
        Of a pin, 1 the first.
    amount
        Of a boost or cap.
    only_by, only
        Of "sensitive": the articles that may stand beside; `only` "" for nothing.
    author, reason
        Who entered it, and why.
    starts_ms, ends_ms
        From when, and until when (not included); None without end.
    """

    rule_id: str
    kind: Kind
    by: By
    value: str
    author: str
    reason: str
    starts_ms: int
    ends_ms: int | None = None
    list_name: str = EVERY
    slot: int = 0
    amount: float = 0.0
    only_by: By = "section"
    only: str = ""

    def active(self, now_ms: int) -> bool:
        """Return whether it is in force."""
        return self.starts_ms <= now_ms and (self.ends_ms is None or now_ms < self.ends_ms)


def rule_of(row: Any) -> Rule:
    """Return a rule out of a row of a file.

    Raises
    ------
    TypeError
        If the row is no object, or a field is missing, unknown or of the wrong type.
    """
    if not isinstance(row, dict):
        raise TypeError(f"a rule is an object, got {row!r}")
    values: dict[str, Any] = {"rule_id": ""} | row
    rule = Rule(**values)
    numbers = ("starts_ms", "ends_ms", "slot", "amount")
    for name, value in asdict(rule).items():
        if name in numbers:
            fits = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not fits and not (name == "ends_ms" and value is None):
                raise TypeError(f"{name} must be a number, got {value!r}")
        elif not isinstance(value, str):
            raise TypeError(f"{name} must be text, got {value!r}")
    return rule


def problem_of(rule: Rule) -> str:
    """Return what is wrong with a rule in itself, "" for nothing."""
    if rule.kind not in KINDS:
        return f"kind must be one of {', '.join(KINDS)}, got {rule.kind!r}"
    if rule.by not in BYS or rule.only_by not in BYS:
        return f"by must be one of {', '.join(BYS)}, got {rule.by!r} and {rule.only_by!r}"
    if rule.list_name not in (EVERY, *LISTS):
        return f"list must be one of {', '.join(LISTS)}, got {rule.list_name!r}"
    if not rule.author.strip() or not rule.reason.strip():
        return "a rule needs an author and a reason"
    if rule.ends_ms is not None and rule.ends_ms <= rule.starts_ms:
        return "it ends before it starts"
    if rule.kind == "embargo" and rule.ends_ms is None:
        return "an embargo needs an end: when may it be shown?"
    if rule.kind == "pin" and (rule.by != "article" or rule.list_name == EVERY or rule.slot < 1):
        return "a pin needs an article, a list and a slot (1 is the first)"
    if rule.kind == "cap" and (rule.by not in GROUPED or rule.amount < 0):
        return f"a cap is by {', '.join(GROUPED)}, and its amount is not negative"
    if rule.kind == "cap" and rule.amount != int(rule.amount):
        return "a cap's amount is a whole number"
    if rule.kind == "boost" and not np.isfinite(rule.amount):
        return "a boost's amount is a finite number"
    if not rule.value.strip() and rule.kind != "cap":
        return "value must say which articles"
    return ""


def conflicts(rule: Rule, others: Iterable[Rule]) -> list[str]:
    """Return how a rule contradicts others that are in force at some time with it."""
    found = []
    forbids = ("block", "embargo", "expire", "sensitive")
    for other in others:
        ends = [r.ends_ms for r in (rule, other) if r.ends_ms is not None]
        if other.rule_id == rule.rule_id or max(rule.starts_ms, other.starts_ms) >= min(
            ends, default=2**62
        ):
            continue
        same = (rule.by, rule.value.casefold()) == (other.by, other.value.casefold())
        lists = {rule.list_name, other.list_name}
        meets = len(lists) == 1 or EVERY in lists
        kinds = {rule.kind, other.kind}
        if kinds == {"pin"} and rule.list_name == other.list_name and rule.slot == other.slot:
            found.append(f"{other.rule_id} pins {other.value} to the same slot")
        elif kinds == {"pin"} and same:
            found.append(f"{other.rule_id} pins the same article to {other.list_name}")
        elif "pin" in kinds and kinds & set(forbids) and same and meets:
            found.append(f"{other.rule_id} is {other.kind}, for the same article: no pin holds")
        elif kinds & {"boost"} and kinds & set(forbids) and same and meets:
            found.append(f"{other.rule_id} is {other.kind}, of what is boosted")
        elif kinds == {"cap"} and rule.by == other.by and lists == {rule.list_name}:
            found.append(f"{other.rule_id} caps the same by {other.amount:g}")
        elif kinds == {"boost"} and same and lists == {rule.list_name}:
            found.append(f"{other.rule_id} boosts the same by {other.amount:g}")
    return found


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
    """What rules may ask of the known articles: parallel sequences.

    `live_rows` are the known indices of the live ones.
    """

    article_ids: Sequence[str]
    authors: Sequence[str]
    sections: Sequence[str]
    tags: Sequence[str]
    urls: Sequence[str]
    titles: Sequence[str]
    live_rows: Ints

    def matching(self, by: By, value: str) -> Mask:
        """Return which known articles are meant."""
        if by == "text":
            wanted = set(_WORD.findall(value.casefold()))
            return np.array(
                [wanted <= set(_WORD.findall(title.casefold())) for title in self.titles],
                dtype=bool,
            )
        if by == "article":
            return np.array([id_ == value for id_ in self.article_ids], dtype=bool)
        name = value.casefold().strip()
        if by == "tag":
            tags = ([tag.strip() for tag in text.casefold().split(",")] for text in self.tags)
            return np.array([name in found for found in tags], dtype=bool)
        return np.array([v.casefold() == name for v in self._by(by)], dtype=bool)

    def _by(self, by: By) -> Sequence[str]:
        if by == "source":
            return [host_of(url) for url in self.urls]
        return self.authors if by == "author" else self.sections

    def groups(self, by: By, value: str) -> Ints:
        """Return a number of each live article's group; -1 for none, or others than `value`."""
        of = self._by(by)
        names = [of[row].casefold() for row in self.live_rows.tolist()]
        number = {name: i for i, name in enumerate(sorted(set(names) - {""}))}
        if value:
            number = {name: i for name, i in number.items() if name == value.casefold()}
        return np.array([number.get(name, -1) for name in names], dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Editorial:
    """What the rules in force ask of one page; articles by live place. Equal to itself alone.

    Attributes
    ----------
    barred : dict of array of bool, shape (n_live,)
        By list (EVERY for all): what must not be shown.
    boosts : dict of array of float64, shape (n_live,)
        By list: how far each is lifted.
    pins, caps
        As of `recsys.page.compose`.
    touched : dict
        By (list, live place): the rules that lift, lower or pin it there.
    barred_by : dict
        By live place: the rule that bars it.
    """

    barred: dict[str, Mask]
    boosts: dict[str, NDArray[np.float64]]
    pins: tuple[Pin, ...]
    caps: tuple[Cap, ...]
    touched: dict[tuple[str, int], tuple[str, ...]]
    barred_by: dict[int, str]


NO_RULES = Editorial({}, {}, (), (), {}, {})


class Resolved:
    """Rules, with the articles of one run that each means; worked out once for a run."""

    def __init__(self, rules: Sequence[Rule], articles: Described) -> None:
        self.rules = tuple(rules)
        self._n_live = len(articles.live_rows)
        self._meant: dict[str, Mask] = {}
        self._beside: dict[str, Mask] = {}
        self._only: dict[str, Mask] = {}
        self._groups: dict[str, Ints] = {}
        self._editorial = lru_cache(maxsize=256)(self._build)
        for rule in rules:
            if rule.kind == "cap":
                self._groups[rule.rule_id] = articles.groups(rule.by, rule.value)
                continue
            known = articles.matching(rule.by, rule.value)
            self._meant[rule.rule_id] = known[articles.live_rows]
            if rule.kind == "sensitive":
                self._beside[rule.rule_id] = known
                allowed = articles.matching(rule.only_by, rule.only) & (rule.only != "")
                self._only[rule.rule_id] = allowed[articles.live_rows]

    def at(self, now_ms: int, context: int | None) -> Editorial:
        """Return what is in force at an instant beside an article (a known index, or none).

        The very same object for the same rules, beside articles they mean alike.
        """
        active = tuple(i for i, rule in enumerate(self.rules) if rule.active(now_ms))
        if not active:
            return NO_RULES
        beside = frozenset(
            rule_id
            for rule_id, known in self._beside.items()
            if context is not None and known[context]
        )
        return self._editorial(active, beside)

    def _build(self, places: tuple[int, ...], beside: frozenset[str]) -> Editorial:
        """Return what some of the rules ask, beside an article that some of them mean."""
        active = [self.rules[place] for place in places]
        barred: dict[str, Mask] = {}
        boosts: dict[str, NDArray[np.float64]] = {}
        pins: list[Pin] = []
        caps: list[Cap] = []
        touched: dict[tuple[str, int], tuple[str, ...]] = {}
        barred_by: dict[int, str] = {}

        def touch(rule: Rule, name: str, place: int) -> None:
            touched[name, place] = (*touched.get((name, place), ()), rule.rule_id)

        def bar(rule: Rule, mask: Mask) -> None:
            every = barred.setdefault(rule.list_name, np.zeros(self._n_live, dtype=bool))
            every |= mask
            for place in np.flatnonzero(mask).tolist():
                barred_by.setdefault(place, rule.rule_id)

        for rule in active:
            if rule.kind == "cap":
                name = rule.list_name or None
                caps.append(Cap(name, self._groups[rule.rule_id], int(rule.amount)))
                continue
            meant = self._meant[rule.rule_id]
            if rule.kind in ("block", "embargo", "expire"):
                bar(rule, meant)
            elif rule.kind == "sensitive":
                bar(rule, meant)
                if rule.rule_id in beside:
                    bar(rule, ~self._only[rule.rule_id])
            elif rule.kind == "boost":
                for name in LISTS if rule.list_name == EVERY else (rule.list_name,):
                    lift = boosts.setdefault(name, np.zeros(self._n_live))
                    lift += rule.amount * meant
                    for place in np.flatnonzero(meant).tolist():
                        touch(rule, name, place)
        pinned: set[tuple[str, int]] = set()
        for rule in active:  # pins last: what is barred cannot be pinned
            if rule.kind == "pin":
                off = barred.get(EVERY), barred.get(rule.list_name)
                for place in np.flatnonzero(self._meant[rule.rule_id]).tolist():
                    at = (rule.list_name, rule.slot - 1)
                    if at not in pinned and not any(m is not None and m[place] for m in off):
                        pins.append(Pin(rule.list_name, rule.slot - 1, place))
                        pinned.add(at)
                        touch(rule, rule.list_name, place)
        return Editorial(barred, boosts, tuple(pins), tuple(caps), touched, barred_by)
