"""XML as people write it is mended before it is parsed, and hostile XML stays small."""

import time

import lxml.etree
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.ingest.markup import (
    MAX_ENTITIES,
    clean_markup,
    decode_markup,
    root_name,
    xml_document,
)


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("Caf&eacute;&nbsp;&hellip;", "Café\xa0…"),
        ("Tom & Jerry &amp; Spike", "Tom & Jerry & Spike"),
        ("?x=1&y=2&copy=3&section=4", "?x=1&y=2&copy=3&section=4"),
        ("LIFESTYLE&nbsp", "LIFESTYLE&nbsp"),
        ("&unknown; &#65; &#x42; &#; &#x;", "&unknown; A B &#; &#x;"),
        ("&site; &copy; &broken;", "The Harbour & Post © &broken;"),
        ("<![CDATA[A & B &eacute;]]> &amp;eacute;", "A & B &eacute; &eacute;"),
        ("one<!-- & -->two", "onetwo"),
        ("5 &lt; 6 &LT; 7", "5 < 6 < 7"),
        ("It&#146;s\x00 &#0;&#xFFFF;", "It’s "),
    ],
)
def test_entities_and_ampersands_are_read_as_they_are_meant(written, text):
    doctype = '<!DOCTYPE a [<!ENTITY site "The Harbour &#38; Post"><!ENTITY broken "<b>">]>'
    document = xml_document(f'<?xml version="1.0"?>\n\n{doctype}<a>{written}</a>'.encode())
    assert "".join(lxml.etree.fromstring(document).itertext()) == text


@pytest.mark.parametrize(
    "prolog",
    [
        "",
        "\ufeff<?xml version='1.0' encoding='utf-8'?>",
        "\n\n <?xml version='1.0'?><!-- <b> -->",
        "<!DOCTYPE a PUBLIC '-//x//y' \"http://post.example/a>b.dtd\">",
        "<!DOCTYPE a [<!ENTITY b '>'><!-- ] --><!ELEMENT c (d)>]>\n<?style href='x'?>",
        "Warning: undefined variable\n",
    ],
)
def test_a_document_begins_with_its_root_element(prolog):
    assert xml_document(f"{prolog}<a>x</a>".encode()) == "<a>x</a>"


def test_a_document_without_an_element_is_empty():
    assert [xml_document(data) for data in (b"", b"text", b"<!-- open", b"<!DOCTYPE a [")] == [
        ""
    ] * 4
    assert [root_name(text) for text in ("", "text <a>", "<!-- open", "\n<x:Feed>")] == [
        *[""] * 3,
        "feed",
    ]


def test_entities_do_not_make_a_document_large():
    bomb = '<!DOCTYPE a [<!ENTITY a "' + "b" * 100 + '"><!ENTITY c "&a;&a;&a;">]>'
    found = xml_document(f"{bomb}<a>{'&a;' * 3 * MAX_ENTITIES}&c;</a>".encode())
    assert found.count("b" * 100) == MAX_ENTITIES
    assert "&amp;c;" in found


@pytest.mark.parametrize(
    "text",
    ["&" * 400_000, "&a" * 200_000, "<![CDATA[" * 100_000, "<!--" * 100_000, "&#" * 200_000]
    + ["<!DOCTYPE a [" + "<!ENTITY " * 100_000, "<!ENTITY a '" * 50_000, "\n" * 400_000],
)
def test_hostile_documents_take_linear_time(text):
    began = time.process_time()
    xml_document(f"<a>{text}</a>".encode())
    xml_document(text.encode())
    # Quadratic time would be minutes. The bound is wide, because computers differ.
    assert time.process_time() - began < 20


@settings(deadline=None)
@given(
    st.binary()
    | st.text("<>&#;![]CDAT-ax '\"\x00\ud800").map(lambda s: s.encode("utf-8", "replace"))
)
def test_any_bytes_are_decoded_without_what_xml_does_not_allow(data):
    for text in (clean_markup(decode_markup(data)), xml_document(data)):
        assert not set(text) & set("\x00\x0b\x1f\ud800\ufffe")


@settings(deadline=None)
@given(st.text("&;ampcopyé <#1x"))
def test_text_that_is_escaped_is_left_as_it_is(text):
    element = lxml.etree.Element("a")
    element.text = text
    document = lxml.etree.tostring(element, encoding="unicode")
    assert xml_document(document.encode()) == document
