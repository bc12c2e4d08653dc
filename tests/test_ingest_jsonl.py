import json

import pytest
from conftest import RECEIVED_MS
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recsys.ingest.blocks import Block
from recsys.ingest.columns import id_lists
from recsys.ingest.jsonl import parse_block
from recsys.ingest.validate import check
from recsys.rows import FIELDS

TEXT = st.text(max_size=6) | st.text("[]{}'\", a1.é\u0301\x07\\", max_size=8)
NUMBER = st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False)
SINGLE = st.none() | st.booleans() | NUMBER | TEXT
VALUE = SINGLE | st.lists(SINGLE, max_size=3) | st.lists(st.lists(SINGLE, max_size=2), max_size=2)
OBJECT = st.dictionaries(st.sampled_from(["name", "title", "en", "x"]), VALUE, max_size=2)


def rows_of(kind, data):
    """The typed rows, the rejects and the ignored values of a block of JSON Lines."""
    checked = check(parse_block(Block(data, 1, 0), kind), received_ms=RECEIVED_MS, path="x")
    rejects = [(reject.row, reject.field, reject.reason) for reject in checked.rejects]
    return repr(checked.rows.rows()), rejects, checked.ignored  # as text, because NaN is not NaN


@pytest.mark.parametrize("kind", ["articles", "impressions", "clicks"])
@settings(deadline=None)
@given(data=st.data())
def test_a_line_is_read_alike_whatever_lines_are_beside_it(kind, data):
    names = st.sampled_from(FIELDS[kind])
    fields = data.draw(st.dictionaries(names, VALUE | OBJECT | st.lists(OBJECT, max_size=2)))
    usual = {"article_id": "a", "title": "T", "clicked_at": 1_772_359_200, "user_id": "u"}
    usual |= {"shown_at": 1_772_359_200, "shown": ["a", "b"]} if kind == "impressions" else {}
    line = json.dumps(usual | fields, ensure_ascii=data.draw(st.booleans())).encode(
        "utf-8", "replace"
    )
    # A blank line makes the block one that is parsed line by line.
    assert rows_of(kind, line + b"\n") == rows_of(kind, line + b"\n\n")


@given(st.text("0123456789.eE+-", max_size=12))
@example("1.0E+2")
@example("-0.0")
@example("9007199254740993.0")
def test_a_number_is_one_id_whatever_lines_are_beside_it(number):
    line = f'{{"user_id": {number}, "article_id": "a", "clicked_at": 1772359200}}\n'.encode()
    assert rows_of("clicks", line) == rows_of("clicks", line + b"\n")


def test_of_a_repeated_key_the_last_counts():
    line = b'{"user_id": "u", "user_id": "v", "article_id": "a", "clicked_at": 1772359200}\n'
    for data in (line, line + b"\n"):
        batch = parse_block(Block(data, 1, 0), "clicks")
        assert (batch.frame["user_id"].to_list(), batch.rejects) == (["v"], [])


def test_half_a_surrogate_pair_is_no_id():
    line = b'{"user_id": "u\\ud83d", "article_id": "a", "clicked_at": 1772359200}\n'
    for data in (line, line + b"\n"):
        assert rows_of("clicks", data)[1] == [(1, "user_id", "control characters in an id")]


def titles(*values):
    """Read each JSON text as the title of an article, in one block and each in a slow block."""
    rows = [b'{"article_id": "a", "title": ' + value + b"}\n" for value in values]
    together = parse_block(Block(b"".join(rows), 1, 0), "articles")
    alone = [parse_block(Block(row + b"\n", 1, 0), "articles") for row in rows]
    found = [title for batch in alone for title in batch.frame["title"].to_list()]
    assert together.frame["title"].to_list() == found
    assert len(together.rejects) == sum(len(batch.rejects) for batch in alone)
    return found


@pytest.mark.parametrize(
    ("value", "title"),
    [
        (b'"\\u0041\\n\\/\\""', 'A\n/"'),
        (b'"\\ud83d\\ude00"', "😀"),  # a surrogate pair
        ('"\u2028\u2029\x7f"'.encode(), "\u2028\u2029\x7f"),
        (b'""', ""),
        (b"null", ""),
        (b"true", "true"),
        (b"-0", "0"),
        (b"-0.0", "0"),
        (b"1E2", "100"),
        (b"0.5e-3", "0.0005"),
        (b"[]", "[]"),
        (b'{"a": {}}', '{"a": {}}'),
        (b' \t"x" ', "x"),
    ],
)
def test_what_json_allows_is_read(value, title):
    assert titles(value) == [title]
    assert titles(b'"beside"', value) == ["beside", title]


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"01",
        b"+1",
        b".5",
        b"1.",
        b"1e",
        b"0x1F",
        b"'x'",
        b"x",
        b"True",
        b'"x',
        b'"\\x41"',
        b'"\\u12"',
        b"[1,]",
        b"[1 2]",
        b'{"a"}',
        b'{"a": 1,}',
        b"{a: 1}",
        b'"a"]',
        b'"x" // comment',
        b'"\t"',
        b'"\xff"',
        b'"\xc0\xaf"',
        b'"\xed\xa0\x80"',
    ],
)
def test_what_json_forbids_costs_its_own_line(value):
    assert titles(value) == []
    assert titles(b'"before"', value, b'"after"') == ["before", "after"]


@pytest.mark.parametrize(
    ("value", "title"),
    [
        (b"NaN", ""),  # pandas writes it where there is no value
        (b"-Infinity", "-Infinity"),
        (b"1e999", "1E+999"),
        (b"9" * 30, "9" * 30),
        (b"9" * 5_000, "9" * 5_000),
        (b'"\\ud800"', "\x00"),  # the mark of `encodable`, which no id may hold
        (b"[" * 400 + b"]" * 400, "[" * 400 + "]" * 400),
    ],
)
def test_what_json_leaves_open_is_read_alike_whatever_is_beside_it(value, title):
    assert titles(value) == [title]
    assert titles(b'"beside"', value) == ["beside", title]


def test_what_is_nested_without_bound_does_not_end_the_process():
    assert titles(b"[" * 100_000 + b"]" * 100_000, b'"after"')[-1] == "after"


def test_a_field_that_is_null_is_cleared_and_one_that_is_absent_is_not():
    batch = parse_block(
        Block(b'{"article_id": "a", "url": null}\n{"article_id": "b"}\n', 1, 0), "articles"
    )
    assert batch.nulls_are_absent
    assert batch.frame["url"].to_list() == ["", None]


def test_a_text_beside_a_list_is_not_split_by_the_reader():
    lines = [{"shown": ["a", "b"]}, {"shown": "['a' 'b']"}, {"shown": "a b"}]
    data = "".join(json.dumps(line) + "\n" for line in lines).encode()
    shown = parse_block(Block(data, 1, 0), "impressions").frame["shown"]
    assert shown.to_list() == ['["a", "b"]', "['a' 'b']", "a b"]
    assert id_lists(shown)[0].to_list()[:2] == [["a", "b"], ["a", "b"]]
