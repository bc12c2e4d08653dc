"""Why a slot holds what it holds, in words for a reader.

A reason is a code, so that a site can translate it, and the English text.
`{title}` is an article the reader read, `{category}` the section of the article
in the slot. A code that needs a section falls back where there is none.
"""

import numpy as np
from numpy.typing import NDArray

from recsys.blend.linear import recent_weights
from recsys.blend.live_model import PARTS, LiveModel
from recsys.page.compose import LATEST_STORIES, LISTS, MUST_READS, POPULAR_NOW

CHOSEN = "chosen"
REASONS = {
    CHOSEN: "Chosen by the editors",
    "related": "Related to this article",
    "read_together": "Readers of this article also read",
    "same_section": "More in {category}",
    "because_read": "Because you read “{title}”",
    "taste": "Readers like you read this",
    "section_taste": "You often read {category}",
    "popular": "Popular in {category}",
    "popular_anywhere": "Popular with our readers",
    "new": "New in {category}",
    "new_anywhere": "Just in",
    "popular_now": "Being read right now",
    "popular_today": "Popular today",
    "must_read": "Widely read today",
}
_OF_PART = {
    "context_text": "related",
    "context_item_item": "read_together",
    "context_category": "same_section",
    "text": "because_read",
    "als": "taste",
    "affinity": "section_taste",
    "popularity": "popular",
    "ctr": "popular",
    "recency": "new",
}
_WITHOUT_SECTION = {
    "popular": "popular_anywhere",
    "new": "new_anywhere",
    "section_taste": "taste",
    "same_section": "related",
}


def leading_parts(parts: dict[str, NDArray[np.float32]]) -> NDArray[np.int64]:
    """Return the part (place in `PARTS`) that most lifts each candidate.

    Parameters
    ----------
    parts : dict of array of float32, equal shapes
        Weighted parts; static ones should be centred on the average live article,
        else "popular" would be said of everything.
    """
    present = [name for name in PARTS if name in parts]
    stacked = np.stack([parts[name] for name in present])
    lead: NDArray[np.int64] = np.array([PARTS.index(name) for name in present])[
        stacked.argmax(axis=0)
    ]
    return lead


def reason_code(list_name: str, part: int, *, has_category: bool, rising: bool) -> str:
    """Return the code of a slot's reason.

    Parameters
    ----------
    list_name
        The list of the slot.
    part
        From `leading_parts`; says why in You May Also Like.
    has_category
        Whether the article in the slot has a section to name.
    rising
        Whether it is clicked more than expected; Popular Now says so only then.
    """
    if list_name == POPULAR_NOW:
        return "popular_now" if rising else "popular_today"
    if list_name == MUST_READS:
        return "must_read"
    code = "new" if list_name == LATEST_STORIES else _OF_PART[PARTS[part]]
    return code if has_category else _WITHOUT_SECTION.get(code, code)


CODES = tuple(REASONS)
_RANGE = (False, True)
# By list, part, whether it has a section, whether it rises: the place of the code in `CODES`.
CODE_TABLE = np.array(
    [
        [
            [
                [CODES.index(reason_code(name, part, has_category=c, rising=r)) for r in _RANGE]
                for c in _RANGE
            ]
            for part in range(len(PARTS))
        ]
        for name in LISTS
    ],
    dtype=np.uint8,
)


def reason_text(code: str, *, title: str, category: str) -> str:
    """Return the English text of a reason.

    Examples
    --------
    >>> reason_text("popular", title="", category="Politics")
    'Popular in Politics'
    """
    words = REASONS[code]
    if "{" not in words:
        return words
    return words.replace("{title}", title).replace("{category}", category)


def closest_read(live: LiveModel, reads: NDArray[np.int64], place: int) -> int:
    """Return the recent read (known index) that adds most to a place's text part."""
    best, best_value = -1, 0.0
    for known, value in reads_behind(live, reads, place):
        if value > best_value:
            best, best_value = known, value
    return best


def reads_behind(live: LiveModel, reads: NDArray[np.int64], place: int) -> list[tuple[int, float]]:
    """Return the recent reads (known indices) like a live article, and the cosine each adds."""
    recent = reads[: live.weights.recent_reads]
    weights = recent_weights(len(recent), live.weights.recent_decay)
    found = []
    for known, weight in zip(recent.tolist(), weights.tolist(), strict=True):
        column, value = live.similar.row(known)
        at = int(np.searchsorted(column, place))
        if at < len(column) and column[at] == place:
            found.append((known, weight * float(value[at])))
    return found
