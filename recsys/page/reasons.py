"""Why a slot holds what it holds, in words for a reader.

A reason is a code, a text, and the value that the text names, so that a site can write its own.
`{title}` is an article that the user read, `{category}` the section of the article in the slot,
`{topic}` what it shares with another article, and `{minutes}` the time to read it. A code that
needs a section falls back where the article has none.

The kernels choose a code for each slot. Where a list would say the same twice,
`recsys.serving.loaded_run` gives another true reason. The texts are here in English;
`recsys.page.translations` has them in other languages.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from recsys.blend.linear import reads_behind, reads_behind_vectors
from recsys.blend.live_model import LiveModel
from recsys.blend.signal_table import SIGNALS, signal_names
from recsys.page.list_table import ScorerRow
from recsys.page.translations import LANGUAGES_KEPT, translated

CHOSEN, BECAUSE_READ, RELATED, TOPIC = "chosen", "because_read", "related", "topic"
SAME_SECTION, READING_TIME = "same_section", "reading_time"
EXPLORED = "explored"
REASONS = {
    CHOSEN: "Chosen by the editors",
    RELATED: "Related to this article",
    TOPIC: "More on {topic}",
    "read_together": "Readers of this article also read",
    SAME_SECTION: "More in {category}",
    BECAUSE_READ: "Because you read “{title}”",
    "taste": "Readers like you read this",
    "section_taste": "You often read {category}",
    "popular": "Popular in {category}",
    "popular_anywhere": "Popular with our readers",
    "new": "New in {category}",
    "new_anywhere": "Just in",
    "popular_now": "Being read right now in {category}",
    "popular_now_anywhere": "Being read right now",
    "popular_today": "Popular today in {category}",
    "popular_today_anywhere": "Popular today",
    "must_read": "Widely read in {category}",
    "must_read_anywhere": "Widely read today",
    READING_TIME: "{minutes} min read",
    EXPLORED: "Something different",
}
_WITHOUT_SECTION = {
    "popular": "popular_anywhere",
    "new": "new_anywhere",
    "section_taste": "taste",
    SAME_SECTION: RELATED,
    "popular_now": "popular_now_anywhere",
    "popular_today": "popular_today_anywhere",
    "must_read": "must_read_anywhere",
}
NAMED = {code: "".join(re.findall(r"{(\w+)}", words)) for code, words in REASONS.items()}
NAMES_SECTION = frozenset(code for code, name in NAMED.items() if name == "category")
LEAST_MINUTES = 2  # a shorter reading time is no reason to read
BESIDE_ARTICLE = (RELATED, "read_together", SAME_SECTION)  # reasons in the article being read
CODES = tuple(REASONS)
REASONS_KEPT = 4096  # texts in memory: most pages have the same few
Reason = tuple[str, str]  # a code, and the value that its text names, "" for none
Values = tuple[tuple[str, str], ...]  # what a reason names: ("title", a title), or nothing
_EITHER = (False, True)


def leading_signal(parts: Mapping[str, NDArray[np.float32]]) -> str:
    """Return the signal that most lifts one article, the first of equal ones.

    Parameters
    ----------
    parts : dict of array of float32, shape (1,)
        Weighted signals of the article; static ones centred on the average live article,
        otherwise every article would be called popular.
    """
    present = [name for name in signal_names() if name in parts]
    return max(present, key=lambda name: float(parts[name][0]))


def reason_code(scorer: ScorerRow, signal: str, *, has_section: bool, rises: bool) -> str:
    """Return the code of a slot's reason.

    Parameters
    ----------
    scorer
        Of the list of the slot.
    signal
        The leading signal: the one that most lifts the article, the first of equal ones, static
        ones less their mean. It gives the reason where the scorer has none of its own.
    has_section
        Whether the article in the slot has a section to name.
    rises
        Whether it is clicked more than expected; Popular Now says so only then.
    """
    if scorer.reason == "popular_now":
        code = "popular_now" if rises else "popular_today"
    else:
        code = scorer.reason or next(row.reason for row in SIGNALS if row.name == signal)
    return code if has_section else _WITHOUT_SECTION.get(code, code)


def code_table(scorer: ScorerRow) -> NDArray[np.uint8]:
    """Return the index in `CODES` of each reason of a scorer, shape (n_signals, 2, 2).

    By leading signal, whether the article is in a section, and whether it rises.
    """
    return np.array(
        [
            [
                [CODES.index(reason_code(scorer, signal, has_section=s, rises=r)) for r in _EITHER]
                for s in _EITHER
            ]
            for signal in signal_names()
        ],
        dtype=np.uint8,
    )


@lru_cache(maxsize=LANGUAGES_KEPT)
def reason_words(language: str) -> Mapping[str, str]:
    """Return the texts of all reasons by code in a language, in English where there is none."""
    return MappingProxyType({code: translated(text, language) for code, text in REASONS.items()})


@lru_cache(maxsize=REASONS_KEPT)
def reason_in(language: str, code: str, value: str) -> tuple[str, Values]:
    """Return the text of a reason in a language, and the value that it names.

    Examples
    --------
    >>> reason_in("de", "popular", "Politik")
    ('Beliebt in Politik', (('category', 'Politik'),))
    >>> reason_in("en", "because_read", "Coal exit")
    ('Because you read “Coal exit”', (('title', 'Coal exit'),))
    """
    words, name = reason_words(language)[code], NAMED[code]
    if not name:
        return words, ()
    return words.replace(f"{{{name}}}", value), ((name, value),)


def closest_read(live: LiveModel, reads: NDArray[np.int64], live_index: int, signal: str) -> int:
    """Return the recent read (known index) that adds most to a signal of an article, or -1.

    The signal is `vectors`, or the text signal where another one is named.
    """
    if signal == "vectors":
        added = reads_behind_vectors(live, reads, live_index)[: live.blend.recent_reads]
    else:
        added = reads_behind(live, reads, live_index)
    best, best_value = -1, 0.0
    for known, value in added:
        if value > best_value:
            best, best_value = known, value
    return best
