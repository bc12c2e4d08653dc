"""The slots of pages: as the kernels fill them, as tuples, and as the bytes that a run keeps."""

from dataclasses import dataclass
from itertools import islice
from math import isfinite
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.kernels.pages import SLOT
from recsys.page.list_table import Layout
from recsys.page.reasons import CODES


class Slot(NamedTuple):
    """One filled slot.

    A tuple, because every page view makes twenty of them.

    Attributes
    ----------
    live_index
        The article.
    score
        In its list.
    code
        Of the reason.
    because
        Known index of the read article that the reason names, -1 for none.
    rules
        Editors' rules that put the article here, or lifted or lowered it.
    """

    live_index: int
    score: float
    code: str
    because: int
    rules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pages:
    """A block of pages.

    Attributes
    ----------
    slots : array of `SLOT`, shape (n_pages, n_slots)
        List after list; empty slots come last in their list.
    notes
        By page, by list: how it was filled against its own limits, or why it is short.
    value, bound : array of float64, shape (n_pages,)
        See `recsys.kernels.pages.Pages`.
    """

    slots: NDArray[np.void]
    notes: list[dict[str, str]]
    value: NDArray[np.float64]
    bound: NDArray[np.float64]


def slots_of_page(rows: NDArray[np.void], layout: Layout) -> dict[str, list[Slot]]:
    """Return the filled slots of a page by list, out of the `SLOT`s of all lists."""
    # Rounded by numpy and not by `round`, which takes most of the time for a page of 21 slots.
    score = np.rint(rows["score"].astype(np.float64) * 1e4) / 1e4
    columns = (rows["live_index"], score, rows["code"], rows["because"])
    slots = zip(*(column.tolist() for column in columns), strict=True)
    return {
        of.name: [
            Slot(live_index, value, CODES[code], because)
            for live_index, value, code, because in islice(slots, of.n_slots)
            if live_index >= 0
        ]
        for of in layout.lists
    }


def pack_pages(pages: Pages) -> list[bytes | None]:
    """Return each page as bytes, `SLOT`s of all lists; None for a page that has notes."""
    packed = zip(pages.slots, pages.notes, strict=True)
    return [None if notes else slots.tobytes() for slots, notes in packed]


def unpack_page(
    packed: bytes, layout: Layout, *, n_live: int, n_known: int
) -> dict[str, list[Slot]]:
    """Return a page of `pack_pages`, its slots by list.

    Raises
    ------
    ValueError
        If it is not a page of this layout and run: a run is read as if anyone had written it.
    """
    rows = np.frombuffer(packed, dtype=SLOT)
    if len(rows) == layout.n_page > 0:
        # In Python, because a page has so few slots that numpy takes longer.
        live_index, score, code, because = zip(*rows.tolist(), strict=True)
        if (
            -1 <= min(live_index)
            and max(live_index) < n_live
            and max(code) < len(CODES)
            and -1 <= min(because)
            and max(because) < n_known
            and isfinite(sum(score))
        ):
            return slots_of_page(rows, layout)
    raise ValueError("a stored page is not one of this run")
