"""What each article is about, in words that a reason may name: "More on the coal exit".

A topic is a tag, a name, or a phrase of headlines and summaries. An article keeps those that
another article shares and few do: a word of most articles says nothing about one.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.page.known_articles import split_tags
from recsys.words import clean, fold, is_unspaced, split_words

LONGEST_PHRASE = 4  # words
LONGEST_TOPIC = 40  # characters
MOST_TOPICS = 8  # of an article
PAIRS_OF_DOUBT = 4  # pairs that are not alike, added to those of a topic: few pairs prove little
LEAST_CLOSENESS = 0.07  # mean cosine of the articles of a topic
LEAST_OF_WORD = 0.15  # the same of a topic of one word, which may mean several things
MOST_SHARE = 0.02  # of the articles may share a topic, or a word that a phrase begins or ends with
MOST_OF_FEW = 10  # articles may do so anyway
LEAST_COHESION = 0.5  # of the articles with its rarer end, so many have the phrase
_CLAUSES = re.compile(r"[.,:;!?…|()\[\]{}“”„«»‹›\"–—\n]+|\s['‘’-]|['‘’-]\s")
# Written with a capital in English, and no topics.
_CALENDAR = frozenset(
    "january february march april may june july august september october november december"
    " monday tuesday wednesday thursday friday saturday sunday".split()
)
Words = list[str]


def topics_of(
    titles: Sequence[str],
    summaries: Sequence[str],
    tags: Sequence[str],
    *,
    similar: csr_matrix,
    live_rows: NDArray[np.int64],
) -> list[list[str]]:
    """Return the topics of each article, best first, in their most frequent spelling.

    Two articles share a topic if the same text is among the topics of both. The best topic is the
    one whose articles are most alike, so that an idiom or a habit of headlines is none.

    Parameters
    ----------
    titles, summaries, tags
        Of each article; tags are one a line, see `split_tags`.
    similar : csr_matrix, shape (n_articles, n_live)
        Cosine of each with live articles; those that are not alike are absent.
    live_rows : array of int64, shape (n_live,)
        Which articles are live.
    """
    found, spelling = _candidates(titles, summaries, tags)
    keys = sorted(spelling)
    column_of = {key: column for column, key in enumerate(keys)}
    columns = [[column_of[key] for key in sorted(of) if key in column_of] for of in found]
    start = np.cumsum([0, *map(len, columns)])
    flat = np.fromiter(chain.from_iterable(columns), dtype=np.int64, count=int(start[-1]))
    having = csr_matrix((np.ones(len(flat)), flat, start), shape=(len(found), len(keys)))
    live = having[live_rows]
    alike = _column_sums((similar @ live).multiply(having))
    # A live article is no pair with itself, and none of its own similar articles.
    n_pairs = _column_sums(having) * _column_sums(live) - _column_sums(live)
    closeness = alike / (n_pairs + PAIRS_OF_DOUBT)
    least = [LEAST_CLOSENESS if " " in key else LEAST_OF_WORD for key in keys]
    chosen: list[list[str]] = []
    for of in columns:
        topics: list[str] = []
        for column in sorted(of, key=lambda c: (-closeness[c], -len(keys[c]), keys[c])):
            # "coal" says nothing beside "coal exit".
            if closeness[column] >= least[column] and not any(keys[column] in t for t in topics):
                topics.append(keys[column])
        chosen.append([spelling[key] for key in topics[:MOST_TOPICS]])
    return chosen


def _column_sums(matrix: csr_matrix) -> NDArray[np.float64]:
    sums: NDArray[np.float64] = np.asarray(matrix.sum(axis=0), dtype=np.float64).ravel()
    return sums


def _candidates(
    titles: Sequence[str], summaries: Sequence[str], tags: Sequence[str]
) -> tuple[list[set[str]], dict[str, str]]:
    """Return the phrases of each article, folded, and the spelling of each that may be a topic."""
    texts = [
        [*_clauses(title), *_clauses(summary)]
        for title, summary in zip(titles, summaries, strict=True)
    ]
    having = Counter(word for clauses in texts for word in {w for _, of in clauses for w in of})
    most = max(MOST_OF_FEW, MOST_SHARE * len(texts))
    spelled: Counter[tuple[str, str]] = Counter()  # by phrase and spelling
    found: list[set[str]] = []
    tagged: set[str] = set()
    for clauses, tag_lines in zip(texts, tags, strict=True):
        of_tags = {fold(tag).strip(): clean(tag).strip() for tag in split_tags(tag_lines)}
        of_tags.pop("", None)
        spelled.update(of_tags.items())
        tagged.update(of_tags)
        keys = set(of_tags)
        for words, folded in clauses:
            for begin, end in _phrases(folded, having, most):
                key = " ".join(folded[begin:end])
                keys.add(key)
                # A capital at the beginning of a sentence is not part of a spelling.
                spelled[key, " ".join(words[begin:end])] += begin > 0
        found.append(keys)
    sharing = Counter(chain.from_iterable(found))
    kept = {
        key
        for key, n in sharing.items()
        if 2 <= n <= most
        and len(key) <= LONGEST_TOPIC
        and (key in tagged or n >= LEAST_COHESION * _rarer_end(key, having))
    }
    spelling: dict[str, str] = {}
    for (key, text), n in sorted(spelled.items(), key=lambda item: (-item[1], item[0])):
        is_name = n > 0 and text[0].isupper()
        if key in kept and key not in spelling and (" " in key or key in tagged or is_name):
            spelling[key] = text
    return found, spelling


def _rarer_end(phrase: str, having: Counter[str]) -> int:
    """Return how many articles have the first or the last word of a phrase, the rarer one."""
    words = phrase.split()
    return min(having[words[0]], having[words[-1]])


def _clauses(text: str) -> list[tuple[Words, Words]]:
    """Return the words of each part of a text between punctuation marks, as they are and folded."""
    found = [list(split_words(clause)) for clause in _CLAUSES.split(clean(text))]
    return [
        (words, [fold(word) for word in words])
        for words in found
        if words and not any(map(is_unspaced, words))
    ]


def _phrases(words: Words, having: Counter[str], most: float) -> Iterator[tuple[int, int]]:
    """Yield where phrases begin and end whose first and last words are no frequent ones."""
    rare = [i for i, w in enumerate(words) if 2 <= having[w] <= most and len(w) > 2 and w.isalpha()]
    for at, begin in enumerate(rare):
        for last in rare[at:]:
            if last - begin < LONGEST_PHRASE and words[begin] not in _CALENDAR:
                yield begin, last + 1
