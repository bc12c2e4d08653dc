import gzip
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.ingest import json_values as module
from recsys.ingest.json_values import begins_json, json_values
from recsys.rows import Reject

OBJECTS = [{"id": i, "text": '"}]{["\\ é', "inner": [{"id": 9}]} for i in range(3)]


@pytest.fixture
def values_of(tmp_path):
    """Return a function: the values of a text, and a reject as (row, text)."""

    def read(data, enter=()):
        path = tmp_path / "x.json"
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        entries = list(json_values(path, enter))
        return [(e.row, e.raw) if isinstance(e, Reject) else e.value for e in entries]

    return read


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(OBJECTS),
        json.dumps(OBJECTS, indent=4, ensure_ascii=False),
        "\n".join(map(json.dumps, OBJECTS)),
        "\n\n".join(json.dumps(value, indent=1) for value in OBJECTS) + "\n",
        "\ufeff" + json.dumps([OBJECTS[:2], OBJECTS[2:]]),
        json.dumps(OBJECTS).encode("utf-16"),
        json.dumps(OBJECTS).encode("utf-32-be"),
        gzip.compress(json.dumps(OBJECTS).encode()),
    ],
    ids=["array", "indented", "lines", "objects", "arrays", "utf-16", "utf-32", "gzip"],
)
def test_values_are_found_however_they_are_laid_out(values_of, text):
    assert values_of(text) == OBJECTS


def test_rows_are_lines_outside_and_places_inside_of_arrays(tmp_path):
    for text, rows in [('\n{"a":1}\n\n{\n"a":2}\n{}', [2, 4, 6]), ("\n\n[{},\n\n\n{}]", [1, 2])]:
        (tmp_path / "x").write_text(text)
        assert [value.row for value in json_values(tmp_path / "x")] == rows


def test_the_values_of_entered_objects_come_with_their_keys(tmp_path):
    path = tmp_path / "x"
    path.write_text('{"db": [{"meta": {"v": 1}, "data": {"posts": [{"id": 1}, {"id": 2}]}}]}')
    found = [(v.keys, v.value) for v in json_values(path, {(), ("db",), ("db", "data")})]
    assert found == [
        (("db", "meta"), {"v": 1}),
        (("db", "data", "posts"), {"id": 1}),
        (("db", "data", "posts"), {"id": 2}),
    ]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        # A damaged line costs itself, also with a quote that is never closed.
        ('{"a":1}\n{"a": "x\n{"a":3}', [{"a": 1}, (2, '{"a": "x\n'), {"a": 3}]),
        ("no\n{}", [(1, "no"), {}]),
        # A damaged item of an indented array ends where an item begins with the same indent.
        (
            '[\n  {"a": [\n    {"b": 1, }\n  ]},\n  {"a": 2}\n]',
            [(1, '{"a": [\n    {"b": 1, }\n  ]},\n  '), {"a": 2}],
        ),
        ('[{"a":1,},{"a":2}]', [(1, '{"a":1,}'), {"a": 2}]),
        ('[tru, {"a":2}]', [(1, "tru"), {"a": 2}]),
        ('{"a":1}}}\n{"a":2}', [{"a": 1}, (1, "}}\n"), {"a": 2}]),
        ('[{"a":1},{"a":', [{"a": 1}, (2, '{"a":')]),
        ('[{"a":1},', [{"a": 1}, (1, "")]),
        (b'{"a":"\xff"}\n{"a":2}', [(1, '{"a":"\\xff"}'), {"a": 2}]),
        # Numbers beyond Python's integers and floats stay as they are, and NaN is null.
        ('{"a":' + "9" * 5_000 + '}\n{"a":2}', [{"a": "9" * 5_000}, {"a": 2}]),
        ('{"a":[1e999, -1E400, NaN, Infinity]}', [{"a": ["1E+999", "-1E+400", None, "Infinity"]}]),
        ("", []),
    ],
)
def test_a_damaged_value_costs_itself(values_of, text, values):
    assert values_of(text) == values


def test_a_truncated_archive_yields_the_values_before(tmp_path, values_of):
    data = gzip.compress(("{}\n" * 10).encode())[:-8]
    assert values_of(data)[:10] == [{}] * 10
    assert len(values_of(data)) == 11


def test_values_nested_too_deeply_are_refused(values_of):
    for text in ("[" * 200_000, '{"a":' + "[" * 200_000):
        assert len(values_of(text)) == 1


def test_a_value_longer_than_the_limit_is_damaged(monkeypatch, values_of):
    monkeypatch.setattr(module, "MAX_VALUE_CHARS", 1_000)
    monkeypatch.setattr(module, "PIECE_BYTES", 100)
    long = '{"a": "' + "x" * 10_000 + '"}'
    assert len(values_of(long)) == 1
    assert isinstance(values_of(long)[0], tuple)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@settings(deadline=None)
@given(
    objects=st.lists(st.dictionaries(st.text(max_size=3), JSON), max_size=6),
    indent=st.none() | st.integers(0, 4),
    is_array=st.booleans(),
    n_bytes=st.integers(1, 40),
)
def test_any_objects_are_found_however_small_the_buffer(
    tmp_path_factory, objects, indent, is_array, n_bytes
):
    path = tmp_path_factory.mktemp("json") / "x"
    texts = [json.dumps(value, indent=indent, ensure_ascii=False) for value in objects]
    text = json.dumps(objects, indent=indent) if is_array else "\n".join(texts)
    path.write_text(text, "utf-8", "surrogatepass")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PIECE_BYTES", n_bytes)
        assert [value.value for value in json_values(path)] == objects


def test_json_is_recognised_by_its_first_bracket():
    assert begins_json(b"\xef\xbb\xbf\n [{")
    assert begins_json(b"{")
    assert not begins_json(b"<rss>")
