"""The systems that an evaluation compares, in the one order in which every table has them."""

from collections.abc import Iterable, Mapping
from typing import TypeVar

from recsys.blend.signal_table import signal_names

T = TypeVar("T")
BLEND, PAGE, POPULARITY = "blend", "page", "popularity"
BEST_FIXED = "best fixed"  # articles chosen afterwards for all users of a moment


def order_of_systems() -> tuple[str, ...]:
    """Return the names of all systems: baselines, the blend, the page; own systems follow."""
    return (
        "random",
        *signal_names("static"),
        "text",
        "als",
        "item-item",
        "collaborative",
        "forecast",
        "hand weights",
        BLEND,
        PAGE,
        BEST_FIXED,
    )


def in_order(values: Mapping[str, T]) -> dict[str, T]:
    """Return values by system in the order of systems; those of other names come last."""
    order = order_of_systems()
    names = [name for name in order if name in values]
    return {name: values[name] for name in (*names, *(n for n in values if n not in order))}


def without(signal: str) -> str:
    """Return the name of the blend that has not learned a signal."""
    return f"blend without {signal}"


def compared(names: Iterable[str], own: Iterable[str]) -> dict[str, list[str]]:
    """Return with which other systems each of the blend and a user's own systems is compared.

    Examples
    --------
    >>> compared(["random", "blend", "mine"], ["mine"])
    {'blend': ['random', 'mine'], 'mine': ['random', 'blend']}
    """
    names = list(names)
    return {
        system: [name for name in names if name != system]
        for system in (BLEND, *own)
        if system in names
    }
