import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.ingest import values

READERS = [
    values.line_of,
    values.plain_line_of,
    values.language_of,
    values.body_of,
    values.address_of,
    values.sections_of,
    values.author_of,
    values.tags_of,
    values.items_of,
    values.numbers_of,
]


@pytest.mark.parametrize(
    ("cell", "line"),
    [
        ("Rail strike ends", "Rail strike ends"),
        ('{"rendered": "Tom &amp; <b>Jerry</b>", "protected": false}', "Tom & Jerry"),
        ('{"value": {"text": "Deep"}}', "Deep"),
        ('{"en": "One language"}', "One language"),
        ('{"en": "Two", "de": "Zwei"}', None),
        ('["Only one"]', "Only one"),
        ('["One", "Two"]', None),
        ("[[1, 2], [3]]", None),
        ('{"id": 5}', None),
        ("{'name': \"It's open\"}", "It's open"),
        ("[Update] Storm", "[Update] Storm"),
        ("[Update]", "[Update]"),
        ("{draft", "{draft"),
        ('["', '["'),
        ("1984", "1984"),
        ("true", None),
        ("[]", ""),
        ("{}", ""),
        ("", ""),
    ],
)
def test_a_title_is_the_one_text_of_its_cell(cell, line):
    assert values.line_of(cell) == line


@pytest.mark.parametrize(
    ("cell", "tags"),
    [
        ("coal, energy", ["coal", "energy"]),
        ('["Paris, France", "rail"]', ["Paris, France", "rail"]),
        ("['Paris, France', 'rail']", ["Paris, France", "rail"]),
        ("['Paris, France' 'rail']", ["Paris, France", "rail"]),
        ('{rail,"Paris, France"}', ["rail", "Paris, France"]),
        (r"""['\\"', 'it\'s']""", ['\\"', "it's"]),
        ('[{"name": "Rail", "slug": "rail-2"}, {"slug": "coal"}]', ["Rail", "coal"]),
        ("[{'label': 'Rail', 'id': 4, 'parent': None, 'open': True}]", ["Rail"]),
        ('{"0": "a", "1": {"term": "b"}}', ["a", "b"]),
        ('["Rail", "rail", "", null, "<i>Coal</i> &amp; gas"]', ["Rail", "Coal & gas"]),
        ('["Olympics", 2028]', ["Olympics", "2028"]),
        ('["\\u00e9t\\u00e9"]', ["été"]),
        ("['\\xe9t\\u00e9 \"90\"']", ['été "90"']),
        ("[5, 12]", None),
        ('[{"id": 5}]', None),
        ('["a", [1]]', None),
        ("[]", []),
        ("", []),
        ("false", None),
    ],
)
def test_tags_are_the_names_of_a_list_in_any_notation(cell, tags):
    assert values.tags_of(cell) == tags


def test_sections_and_authors_are_names_that_may_have_commas():
    assert values.sections_of("Food, Drink") == ["Food, Drink"]
    assert values.sections_of('["Local", "Transport"]') == ["Local", "Transport"]
    assert values.sections_of('{"name": "LIFESTYLE&nbsp"}') == ["LIFESTYLE"]
    assert values.author_of("Ana Writer, Bo Editor") == "Ana Writer, Bo Editor"
    assert values.author_of('[{"name": "Ana"}, "Bo"]') == "Ana, Bo"
    assert values.author_of("[3]") is None


@pytest.mark.parametrize(
    ("cell", "body"),
    [
        ('["One.", "<b>Two.</b>"]', "One.\nTwo."),
        ('[{"text": "One."}, {"text": "Two."}]', "One.\nTwo."),
        ('{"rendered": "<p>One.</p><p>Two.</p>"}', "One.\nTwo."),
        ("One.\n\nTwo.", "One.\nTwo."),
        ('[{"type": "image"}, {"type": "line"}]', None),
    ],
)
def test_a_body_has_one_paragraph_a_line(cell, body):
    assert values.body_of(cell) == body


@pytest.mark.parametrize(
    ("cell", "address"),
    [
        (
            " https://n.example/?id=4&section=money&copy=2 ",
            "https://n.example/?id=4&section=money&copy=2",
        ),
        ("HTTPS://n.example/a\tb\n", "HTTPS://n.example/ab"),
        ('{"url": "https://n.example/x.jpg", "width": 5}', "https://n.example/x.jpg"),
        ('[{"src": "https://n.example/x.jpg"}, {"src": "y"}]', "https://n.example/x.jpg"),
        ("https://n.example/{x}[1]", "https://n.example/{x}[1]"),
        ("javascript:alert(1)", None),
        ("//n.example/x", None),
        ('{"width": 5}', None),
        ("[]", ""),
        ("", ""),
    ],
)
def test_addresses_are_left_as_they_are(cell, address):
    assert values.address_of(cell) == address


@pytest.mark.parametrize(
    ("cell", "items"),
    [
        ("a1 a2", ["a1", "a2"]),
        ("a1, a2, a3", ["a1", "a2", "a3"]),
        (
            "tag:x.example,2026:1 tag:x.example,2026:2",
            ["tag:x.example,2026:1", "tag:x.example,2026:2"],
        ),
        ('["a1", "a2"]', ["a1", "a2"]),
        ("['a1' 'a2']", ["a1", "a2"]),
        (str(np.array(["a1", "a2"])), ["a1", "a2"]),
        (str(np.array([101, 102])), ["101", "102"]),
        ("{a1,a2}", ["a1", "a2"]),
        ("{110D559F-DEA5-42EA-9C1C-8A5DF7E70EF9}", ["{110D559F-DEA5-42EA-9C1C-8A5DF7E70EF9}"]),
        ('["a b"]', ["a b"]),
        ("[]", []),
        ("", []),
        ('{"a": 1}', None),
        ('[{"id": 1}]', None),
        ("[true]", None),
    ],
)
def test_lists_of_ids_and_numbers_are_read_in_any_notation(cell, items):
    assert values.items_of(cell) == items


@pytest.mark.parametrize(
    ("cell", "numbers"),
    [
        ("[0.5, 1]", [0.5, 1.0]),
        ("0.5, 1", [0.5, 1.0]),
        ("0.5 1e-7", [0.5, 1e-7]),
        (str(np.array([0.5, 1.0, -2.0])), [0.5, 1.0, -2.0]),
        ('["0.5"]', [0.5]),
        ("{0.5,1}", [0.5, 1.0]),
        ("", []),
        ("[0.5, null]", None),
        ("[0.5, true]", None),
        ("[0.5, [1]]", None),
        ("a b", None),
        ("1" * 400 + ".", [float("inf")]),
        ("[" + "1" * 400 + "]", None),
    ],
)
def test_lists_of_numbers_have_no_gaps(cell, numbers):
    assert values.numbers_of(cell) == numbers


def test_a_list_that_numpy_shortened_is_no_list():
    shortened = str(np.arange(2_000))
    assert "..." in shortened
    assert values.structure_of(shortened) is None


@pytest.mark.parametrize("read", READERS)
def test_hostile_cells_are_read_in_bounded_time(read):
    for text in ("[" * 100_000, "{'a':" * 50_000 + "}", "['" * 50_000 + "]", '"\\' * 50_000):
        read(text + "]")
        read("[" + text + "]")


NAMES = st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=8))


@settings(deadline=None)
@given(NAMES)
def test_lists_of_json_and_python_hold_the_same_texts(names):
    assert values.structure_of(json.dumps(names)) == names
    assert values.structure_of(json.dumps(names, ensure_ascii=False)) == names
    assert values.structure_of(repr(names)) == names


@settings(deadline=None)
@given(st.text() | st.text("[]{}(),:'\"\\ 1.aé<>/&;").map(lambda text: f"[{text}]"))
def test_any_text_is_read_or_has_no_meaning(text):
    for read in READERS:
        read(text)
