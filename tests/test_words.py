import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.signals.text import extract_terms
from recsys.words import clean, fold, has_words, is_unspaced, split_words, words_to_find


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Bundes\u00adregierung", "Bundesregierung"),  # soft hyphen
        ("Haupt\u200bstadt", "Hauptstadt"),  # zero-width space
        ("می\u200cخواهم", "میخواهم"),  # zero-width non-joiner
        ("\u2066Wahl\u2069", "Wahl"),  # isolates of text direction
        ("Sturm ☔\ufe0f", "Sturm ☔"),  # variation selector
        ("Ｔｏｋｙｏ　２０２６", "Tokyo 2026"),  # full-width
        ("ﾃｽﾄ", "テスト"),  # half-width kana
        ("Zu\u0308rich", "Z\u00fcrich"),  # composed or not
        ("e\u00ad\u0301", "é"),  # composed once the hyphen is gone
        ("ﬁnance", "finance"),  # ligature
        ("İzmir", "IZMIR"),
        ("ıspanak", "Ispanak"),
        ("ΟΔΟΣ", "οδος"),  # both small sigmas
        ("STRASSE", "straße"),
    ],
)
def test_spellings_that_look_the_same_fold_to_the_same(one, other):
    assert fold(one) == fold(other)


def test_the_case_is_kept_by_clean_only():
    assert clean("Ｂerlin\u00ad") == "Berlin"
    assert fold("Ｂerlin\u00ad") == "berlin"


@given(st.text())
def test_cleaning_twice_is_cleaning_once_and_ascii_stays(text):
    once = clean(text)
    assert clean(once) == once
    ascii_only = text.encode("ascii", "ignore").decode()
    assert clean(ascii_only) == ascii_only


@given(st.text(), st.text())
def test_any_invisible_character_between_changes_nothing(before, after):
    text = unicodedata.normalize("NFC", before + after)
    for invisible in "\u00ad\u200b\u200d\u2060\ufeff\ufe0f":
        assert fold(before + invisible + after) == fold(text)


def test_words_have_their_marks_and_runs_without_blanks_are_their_own():
    assert list(split_words("हिन्दी தமிழ் tin_can")) == ["हिन्दी", "தமிழ்", "tin", "can"]
    assert list(split_words("A股iPhone发布 ราชวงศ์ ราคา5บาท")) == [
        "A",
        "股",
        "iPhone",
        "发布",
        "ราชวงศ์",
        "ราคา",
        "5",
        "บาท",
    ]


@pytest.mark.parametrize(
    ("title", "rule", "found"),
    [
        ("東京都の王室展", "王室", True),  # Japanese
        ("東京都の王・室展", "王室", False),  # not one run
        ("ข่าวพระราชวงศ์วันนี้", "ราชวงศ์", True),  # Thai
        ("ຂ່າວພະລາຊະວົງ", "ລາຊະວົງ", True),  # Lao
        ("ព័ត៌មានព្រះមហាក្សត្រ", "មហាក្សត្រ", True),  # Khmer
        ("တော်ဝင်မိသားစု", "မိသားစု", True),  # Burmese
        ("苹果发布iPhone新机", "iphone", True),
        ("苹果发布iPhone新机", "phone", False),  # a word of a script with blanks is whole
        ("苹果发布iPhone新机", "新机 发布", True),
        ("苹果发布iPhone新机", "新机 手机", False),
        ("Kim’s visit", "kim", True),
        ("हिन्दी दिवस", "हिन्दी", True),
        ("हानि दर", "हिन्दी", False),  # shares its consonants only
        ("Steuer\u00adreform", "steuerreform", True),
        ("Anything", "!?", False),
        ("", "a", False),
    ],
)
def test_a_title_has_the_words_of_a_rule(title, rule, found):
    assert has_words(title, words_to_find(rule)) is found


@given(st.text(alphabet="ab王室ก็ı-İſ '\u00ad", max_size=12))
def test_a_title_has_all_its_own_words(title):
    words = words_to_find(title)
    assert has_words(title, words) is (words != frozenset())
    assert all(has_words(title.swapcase(), frozenset({w})) for w in words if is_unspaced(w))


def test_terms_are_the_same_however_a_text_is_spelled():
    assert list(extract_terms("Steuer\u00adreform in Ｂerlin")) == [
        "steuerreform",
        "berlin",
        "steuerreform berlin",
    ]
    assert list(extract_terms("İzmir")) == ["izmir"]


def test_terms_of_scripts_without_blanks_are_pairs_and_latin_words_stay_whole():
    assert list(extract_terms("苹果发布iPhone")) == [
        *("苹果", "果发", "发布", "iphone"),
        *("苹果 果发", "果发 发布", "发布 iphone"),
    ]
    assert list(extract_terms("ไทย")) == ["ไท", "ทย", "ไท ทย"]
    assert list(extract_terms("股")) == ["股"]
