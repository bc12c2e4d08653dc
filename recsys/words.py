"""The words of a text, as editors' rules and the text signal compare them.

Two spellings that look the same must be the same word. So characters that readers do not see (soft
hyphens, joiners, variation selectors) are dropped, and a letter that has several codes
(full-width, in a ligature, composed or not) gets one of them (NFKC).

Scripts that are written without blanks have no words to find. In `split_words` a run of such a
script is one word. A rule looks for its characters within a title, and the text signal takes each
pair of neighbouring characters as a word.
"""

import re
import unicodedata
from collections.abc import Iterator

# Thai, Lao, Burmese, Khmer, kana and Chinese characters: the scripts written without blanks.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\ua9e0-\ua9ff\uaa60-\uaa7f\uf900-\ufaff\U00020000-\U000323af"
)
UNSPACED = re.compile(f"[{_UNSPACED}]")
_RUN = re.compile(f"[{_UNSPACED}]+|[^{_UNSPACED}]+")
# Unicode's Default_Ignorable_Code_Point.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e0fff]"
)
# The vowels of many scripts are combining marks, which `\w` leaves out. There are more of them
# beyond U+AFFF, in scripts that no newspaper uses.
_MARKS = "".join(chr(i) for i in range(0x300, 0xB000) if unicodedata.category(chr(i))[0] == "M")
_WORD_END = f"(?:[^\\W_]|[{_MARKS}])*"
_WORD = re.compile(f"[^\\W_]{_WORD_END}(?:['’][^\\W_]{_WORD_END})?")
_DOTTED_I = str.maketrans({"İ": "I"})  # its lower case is two characters: i and a dot above
_APOSTROPHES = str.maketrans("'’", "  ")
_DOTLESS_I = str.maketrans({"ı": "i"})  # the small letter of I in Turkish


def clean(text: str) -> str:
    """Return a text in one spelling, its case kept.

    Examples
    --------
    >>> clean("Ｂundes\u00adregierung"), clean("İzmir")
    ('Bundesregierung', 'Izmir')
    """
    if text.isascii():
        return text
    visible = _INVISIBLE.sub("", text)
    return unicodedata.normalize("NFKC", visible).translate(_DOTTED_I)


def fold(text: str) -> str:
    """Return a text in one spelling and without case: equal for texts that name the same.

    Examples
    --------
    >>> fold("STRASSE") == fold("Straße"), fold("ISPARTA") == fold("Isparta") == fold("ısparta")
    (True, True)
    """
    return clean(text).casefold().translate(_DOTLESS_I)


def split_words(text: str) -> Iterator[str]:
    """Yield the words of a text that is in one spelling (`clean` or `fold`), in its order.

    A word has letters, digits, and the marks on them; it may have an apostrophe inside. A run of
    scripts without blanks is a word of its own.

    Examples
    --------
    >>> list(split_words("Kim's visit: iPhone发布, हिन्दी"))
    ["Kim's", 'visit', 'iPhone', '发布', 'हिन्दी']
    """
    for word in _WORD.findall(text):
        if word.isascii():
            yield word
        else:
            yield from _RUN.findall(word)


def is_unspaced(word: str) -> bool:
    """Return whether a word of `split_words` is a run of scripts without blanks."""
    return UNSPACED.match(word) is not None


def words_to_find(text: str) -> frozenset[str]:
    """Return the words of a text as `has_words` compares them; an apostrophe divides words."""
    return frozenset(split_words(fold(text).translate(_APOSTROPHES)))


def has_words(title: str, wanted: frozenset[str]) -> bool:
    """Return whether a title has all of some words; False if there are none.

    Parameters
    ----------
    title
        The title, in any spelling.
    wanted
        From `words_to_find`. A run of a script without blanks may be anywhere within a run of the
        title.

    Examples
    --------
    >>> coal, royals = words_to_find("exit coal"), words_to_find("王室")
    >>> has_words("COAL: exit delayed", coal), has_words("Coaling exit", coal)
    (True, False)
    >>> has_words("英国王室迎来新成员", royals)
    True
    """
    folded = fold(title)
    if not wanted or any(word not in folded for word in wanted):
        return False  # most titles, without a look at their words
    found = words_to_find(title)
    runs = [word for word in found if is_unspaced(word)]
    return all(
        any(word in run for run in runs) if is_unspaced(word) else word in found for word in wanted
    )
