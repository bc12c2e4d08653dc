import json

import pytest
from conftest import RECEIVED_MS
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recsys.ingest.blocks import Block
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
