"""Estimate how long it takes to read a text."""

from recsys.words import UNSPACED

WORDS_PER_MINUTE = 238  # silent reading of non-fiction in English; Brysbaert (2019), 190 studies
# Characters a minute of a Chinese text, Trauzettel-Klosinski and Dietz (2012), IReST. Japanese is
# read at 357 of its own, of which about 7 of 10 are counted here as Chinese characters are.
IDEOGRAPHS_PER_MINUTE = 255


def reading_minutes(body: str) -> float:
    """Return the time to read a body, in minutes with two decimals; 0 without text.

    Examples
    --------
    >>> reading_minutes("word " * 476)
    2.0
    """
    rest, n_ideographs = UNSPACED.subn(" ", body)
    minutes = len(rest.split()) / WORDS_PER_MINUTE + n_ideographs / IDEOGRAPHS_PER_MINUTE
    return round(minutes, 2)
