import dataclasses

import numpy as np
import pytest
from naive_pages import random_model

from recsys.blend.linear import reads_behind_vectors
from recsys.page.list_table import SCORERS
from recsys.page.reasons import (
    CODES,
    NAMED,
    READING_TIME,
    REASONS,
    TOPIC,
    closest_read,
    code_table,
    reason_code,
    reason_in,
    reason_words,
)


@pytest.mark.parametrize(
    ("scorer", "signal", "has_section", "rises", "code"),
    [
        ("personal", "context_text", True, False, "related"),
        ("personal", "popularity", True, False, "popular"),
        ("personal", "popularity", False, False, "popular_anywhere"),
        ("personal", "affinity", False, False, "taste"),
        ("rising", "als", True, True, "popular_now"),
        ("rising", "als", True, False, "popular_today"),
        ("rising", "als", False, True, "popular_now_anywhere"),
        ("rising", "als", False, False, "popular_today_anywhere"),
        ("important", "als", True, True, "must_read"),
        ("important", "als", False, True, "must_read_anywhere"),
        ("latest", "als", True, False, "new"),
        ("latest", "als", False, False, "new_anywhere"),
        ("similar", "als", True, False, "related"),
        ("popular_in", "als", True, False, "popular"),
    ],
)
def test_a_reason_is_that_of_the_scorer_or_of_the_leading_signal(
    scorer, signal, has_section, rises, code
):
    assert reason_code(SCORERS[scorer], signal, has_section=has_section, rises=rises) == code


def test_the_table_for_the_kernels_has_the_same_codes():
    from recsys.blend.signal_table import signal_names

    for scorer in SCORERS.values():
        table = code_table(scorer)
        for i, signal in enumerate(signal_names()):
            for s in (False, True):
                for r in (False, True):
                    code = reason_code(scorer, signal, has_section=s, rises=r)
                    assert CODES[table[i, int(s), int(r)]] == code


def test_every_reason_has_words_and_fills_them():
    for code, words in REASONS.items():
        name = NAMED[code]
        text, values = reason_in("en", code, "A {category} title" if name else "")
        assert text
        if name:
            assert "A {category} title" in text
            assert values == ((name, "A {category} title"),)
        assert words.format(**dict(values)) == text
    assert {name for name in NAMED.values() if name} == {"title", "category", "topic", "minutes"}


def test_reasons_are_in_the_language_asked_for_and_else_in_english():
    assert reason_words("de")["new_anywhere"] == "Gerade erschienen"
    assert reason_words("en") == reason_words("xx") == REASONS
    assert reason_in("ko", "new", "정치") == ("정치 새 기사", (("category", "정치"),))
    assert reason_in("de", TOPIC, "Kohle")[0] == "Mehr zum Thema Kohle"
    assert reason_in("da", READING_TIME, "12")[0] == "Læsetid: 12 min."


def test_what_each_read_adds_by_vectors_sums_up_to_the_cosine_with_their_mean():
    live = random_model(0).live
    article, vectors = int(live.live_rows[0]), np.zeros((80, 2), np.float32)
    vectors[article], vectors[7], vectors[8] = (1, 0), (0.6, 0.8), (1, 0)
    live = dataclasses.replace(live, vectors=vectors)
    reads = np.array([7, 9, 8])  # their sum is (1.6, 0.8), of length sqrt(3.2)
    added = reads_behind_vectors(live, reads, 0)
    assert [known for known, _ in added] == [7, 9, 8]
    assert [value for _, value in added] == pytest.approx(
        [0.6 / np.sqrt(3.2), 0, 1 / np.sqrt(3.2)], abs=1e-6
    )
    assert closest_read(live, reads, 0, "vectors") == 8
    assert closest_read(live, reads[:2], 0, "vectors") == 7
    assert closest_read(live, reads[1:2], 0, "vectors") == -1
