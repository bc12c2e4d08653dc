"""Check the arguments of a call, and convert the values of numpy, polars and pandas among them.

Every refusal is one line that names the argument, the values it takes, and the value given.
"""

import reprlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from operator import index
from typing import SupportsFloat, SupportsIndex

from recsys.config_types import MOST_SLOTS
from recsys.ids import Id, spelled_id
from recsys.languages import primary_language
from recsys.page.list_table import Layout
from recsys.rows import to_ms


def id_of(name: str, value: Id | None) -> str | None:
    """Return a user's or an article's id as the store spells it; None for None.

    Raises
    ------
    TypeError
        If it is neither a text nor a whole number.
    """
    if value is None:
        return None
    try:
        return spelled_id(value)
    except TypeError as error:
        raise TypeError(
            f"{name} must be an id (a text or a whole number) or None, got {reprlib.repr(value)}"
        ) from error


def ids_of(name: str, values: Iterable[Id], of: str = "article") -> list[str]:
    """Return ids as the store spells them, in the order given; those of a set in order of text.

    Parameters
    ----------
    name, values
        The argument.
    of
        What the ids are of, for errors.

    Raises
    ------
    TypeError
        If the argument is a single text, not iterable, has more than one dimension, or holds
        anything but texts and whole numbers.
    """
    if isinstance(values, str):
        text = reprlib.repr(values)
        raise TypeError(f"{name} must be a list of {of} ids, got one text: write [{text}]")
    if (
        not isinstance(values, Iterable)
        or isinstance(values, (bytes, bytearray, Mapping))
        or getattr(values, "ndim", 1) != 1
    ):
        raise TypeError(
            f"{name} must be a list, a set, an array or a column of {of} ids, got"
            f" {reprlib.repr(values)}; for no ids leave it out or give []"
        )
    found = []
    for i, value in enumerate(values):
        try:
            found.append(spelled_id(value))
        except TypeError as error:
            raise TypeError(
                f"{name} must hold ids only (texts or whole numbers), got {reprlib.repr(value)} at"
                f" position {i}; leave missing values out"
            ) from error
    return sorted(found) if isinstance(values, (set, frozenset)) else found


def wanted_lists(lists: Iterable[str] | None, layout: Layout) -> tuple[str, ...]:
    """Return the names of the lists that are asked for, in the order of the page.

    Raises
    ------
    ValueError
        If the layout has no such list, or the argument is a single text.
    """
    if lists is None:
        return layout.names
    is_list = isinstance(lists, Iterable) and not isinstance(lists, str)
    names = list(lists) if is_list else []
    unknown = [name for name in names if name not in layout.names]
    if unknown or not is_list:
        raise ValueError(
            f"lists must be some of {', '.join(layout.names)}, as a list, got"
            f" {reprlib.repr(unknown or lists)}"
        )
    return tuple(name for name in layout.names if name in names)


def slots_of(
    n: SupportsIndex | Mapping[str, SupportsIndex] | None, layout: Layout
) -> tuple[int, ...] | None:
    """Return the slots of each list that a call asks for, None for those of the settings.

    Raises
    ------
    ValueError
        If a number is not a whole number from 1 to MOST_SLOTS, or the layout has no such list.
    """
    usual = tuple(of.n_slots for of in layout.lists)
    if n is None:
        return None
    if isinstance(n, Mapping):
        if unknown := [name for name in n if name not in layout.names]:
            known = ", ".join(layout.names)
            raise ValueError(f"n names {reprlib.repr(unknown)}; lists: {known}")
        given = {name: _n_slots(value) for name, value in n.items()}
        slots = tuple(given.get(of.name, of.n_slots) for of in layout.lists)
    else:  # a list of the latest keeps its own number
        number = _n_slots(n)
        slots = tuple(of.n_slots if of.scorer == "latest" else number for of in layout.lists)
    return None if slots == usual else slots


def _n_slots(value: SupportsIndex) -> int:
    number = _whole(value)
    if number is None or not 1 <= number <= MOST_SLOTS:
        raise ValueError(
            f"n must be a whole number from 1 to {MOST_SLOTS}, or one for each list by name,"
            f" got {reprlib.repr(value)}"
        )
    return number


def explored_lists(
    explore: SupportsFloat | Mapping[str, SupportsFloat] | None, layout: Layout
) -> Mapping[str, float]:
    """Return by list how likely its last slot is to be drawn; {} where none may be.

    Raises
    ------
    ValueError
        If a chance is not a number from 0 to 1, or the layout has no such list.
    """
    if explore is None:
        return layout.explore
    if isinstance(explore, Mapping):
        if unknown := [name for name in explore if name not in layout.names]:
            known = ", ".join(layout.names)
            raise ValueError(f"explore names {reprlib.repr(unknown)}; lists: {known}")
        given = dict(layout.explore) | {name: _chance(value) for name, value in explore.items()}
    else:
        given = dict.fromkeys(layout.names, _chance(explore))
    return {name: chance for name, chance in given.items() if chance > 0}


def _chance(value: SupportsFloat) -> float:
    is_number = isinstance(value, SupportsFloat) and not isinstance(value, bool)
    try:
        chance = float(value) if is_number else -1.0
    except TypeError:  # an array of several
        chance = -1.0
    if not 0 <= chance <= 1:
        raise ValueError(
            "explore must be a chance from 0 to 1, or one for each list by name, got"
            f" {reprlib.repr(value)}"
        )
    return chance


def n_users_of(n: SupportsIndex) -> int:
    """Return how many users a call asks for.

    Raises
    ------
    ValueError
        If it is not a whole number of at least 1.
    """
    number = _whole(n)
    if number is None or number < 1:
        raise ValueError(f"n must be a whole number of at least 1, got {reprlib.repr(n)}")
    return number


def _whole(value: SupportsIndex) -> int | None:
    """Return a whole number of Python or numpy as an int; None for any other value."""
    try:
        return None if isinstance(value, bool) else index(value)
    except TypeError:
        return None


def language_of(language: str | None) -> str | None:
    """Return a language without its region; None for None and for "", which ask for none.

    Raises
    ------
    ValueError
        If it is no code of a language.
    """
    if language is None or language == "":
        return None
    found = primary_language(language) if isinstance(language, str) else ""
    if not found:
        raise ValueError(
            "language must be a code such as 'de' or 'de-AT', or None, got"
            f" {reprlib.repr(language)}"
        )
    return found


def now_ms_of(as_of: datetime | None) -> int:
    """Return an instant in ms, the present for None.

    Raises
    ------
    TypeError
        If it is not a datetime.
    """
    if as_of is None:
        return to_ms(datetime.now(UTC))
    if not isinstance(as_of, datetime) or as_of != as_of:  # NaT of pandas differs from itself
        raise TypeError(
            f"as_of must be a datetime, such as datetime.now(UTC), or None, got"
            f" {reprlib.repr(as_of)}"
        )
    return to_ms(as_of)
