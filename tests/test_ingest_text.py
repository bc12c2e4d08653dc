import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.ingest.text import (
    MAX_MARKS,
    body_of_html,
    encodable,
    line_of_html,
    nfc,
    normalise_body,
    normalise_line,
    normalise_url,
)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("<em>Big</em> news", "Big news"),
        ("5 < 6 and 7 > 6", "5 < 6 and 7 > 6"),
        ("A List<T> and <T>", "A List<T> and <T>"),
        ("Tom &amp; Jerry &lt;em&gt;", "Tom & Jerry <em>"),
        ("One<br/>two", "One two"),
        ("<a href=\"x>y\" title='a'>Link</a>", "Link"),
        ("<span title=don't>Text</span>", "Text"),
        ("Before<script>x('<b>')</script> after<!-- note -->", "Before after"),
        ("<O:P>Word</O:P>", "Word"),
        ("\x1b[31mRed\x1b[0m \x9b31m", "[31mRed[0m 31m"),
        ("one\u202etwo \ufeffthree", "onetwo three"),
        ("\u2067עברית\u2069", "\u2067עברית\u2069"),
        ("a\u2028b\x85c\x0bd", "a b c d"),
    ],
)
def test_a_line_of_html_is_its_text(text, line):
    assert line_of_html(text) == line


@pytest.mark.parametrize(
    ("text", "body"),
    [
        ("<p>One\nand two</p>\n\n<p>Three</p>", "One and two\nThree"),
        ("One <b>and</b> two\n\nThree", "One and two\nThree"),
        ("<ul><li>One</li><li>Two</li></ul>", "One\nTwo"),
        ("<!-- wp:paragraph --><p>One</p><!-- /wp:paragraph -->", "One"),
        ("<style>p {}</style><p>5 &lt; 6</p>", "5 < 6"),
        ("<p>One <b>two</b></p><script>x()</script><p>&lt;three&gt;</p>", "One two\n<three>"),
        ("<!DOCTYPE html><![CDATA[<p>One]]>", "One"),
        ("<p>&lt;p&gt; begins a paragraph</p>", "<p> begins a paragraph"),
        ("&lt;p&gt;One&lt;/p&gt;&lt;p&gt;Two&lt;/p&gt;", "One\nTwo"),
        ("<p>Write &lt;p&gt; for a paragraph</p>", "Write <p> for a paragraph"),
        ("One.\r\n\r\nTwo.", "One.\nTwo."),
        ("a <- b\nc", "a <- b\nc"),
    ],
)
def test_a_body_of_html_has_one_paragraph_a_line(text, body):
    assert body_of_html(text) == body


def test_numbers_of_characters_may_have_thousands_of_digits():
    assert normalise_line("&#" + "9" * 5_000 + ";x") == "\ufffdx"
    assert normalise_line("&#00000000038; &#38;") == "& &"


def test_of_many_marks_on_one_letter_thirty_stay():
    marks = "\u0301\u0316" * 500
    assert len(unicodedata.normalize("NFD", nfc("a" + marks))) == 1 + MAX_MARKS
    assert nfc("cafe\u0301") == "caf\u00e9"
    assert nfc("—" * 100) == "—" * 100


@pytest.mark.parametrize(
    "text",
    ["a" + "\u0301\u0316" * 200_000, "<a " * 200_000, '<a "' * 100_000, "<!--" * 100_000]
    + ["<script>" * 50_000, "<" * 400_000, "&#" * 200_000, '<a title="' + "x'" * 200_000],
)
def test_hostile_texts_take_linear_time(text):
    began = time.process_time()
    body_of_html(text)
    # Quadratic time would be minutes. The bound is wide, because computers differ.
    assert time.process_time() - began < 20


@settings(deadline=None)
@given(st.text() | st.text("<>/abp=\"' &;#1!-\u0301\n"))
def test_normalised_text_is_nfc_and_has_no_control_characters(text):
    for normalise in (normalise_body, normalise_line, line_of_html, body_of_html, normalise_url):
        found = normalise(encodable(text))
        assert found == found.strip()
        assert not any(unicodedata.category(c) == "Cc" and c != "\n" for c in found)
    assert unicodedata.is_normalized("NFC", line_of_html(text))


def test_a_text_of_invisible_characters_is_empty_and_others_keep_theirs():
    assert normalise_line("\u200b \u00ad\ufeff") == ""
    assert normalise_line("co\u00adoperate") == "co\u00adoperate"
