"""Finding an id in bytes: every spelling, whole or within longer words, however files are cut."""

import html
import json
import unicodedata
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.id_search import Found, IdSearch

ODD = 'jü/r"g&n 7'


@pytest.mark.parametrize(
    "written",
    [
        ODD,
        unicodedata.normalize("NFD", ODD),
        json.dumps(ODD),
        json.dumps(ODD, ensure_ascii=False),
        json.dumps(ODD).replace("\\u00fc", "\\u00FC").replace("/", "\\/"),
        quote(ODD),
        quote(ODD, safe="").lower(),
        quote(ODD, safe="").replace("%20", "+"),
        html.escape(ODD),
        ODD.replace('"', '""'),
    ],
)
def test_an_id_is_found_however_a_file_writes_it(written):
    assert IdSearch([ODD]).count([f"a,{written};b".encode()]) == Found(1, 0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"u1,a7 u12,a8\nxu1 u1", Found(2, 2)),
        (b'{"user_id": 1, "u1": "\\tu1\\u0020u1"}', Found(3, 0)),
        (b"?user%3Du1&u=u1_2", Found(1, 1)),
        ("üu1 u1é".encode(), Found(0, 2)),
        (b"", Found(0, 0)),
    ],
)
def test_an_id_within_a_longer_word_is_counted_apart(text, expected):
    assert IdSearch(["u1"]).count([text]) == expected


@given(
    st.lists(st.sampled_from(["u1", "u12", " ", ",", "\\t", "%3D", "\\u0020", "é", "x"])),
    st.lists(st.integers(0, 60), max_size=5),
)
def test_where_a_file_is_cut_changes_nothing(parts, cuts):
    data = "".join(parts).encode()
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    chunks = [data[a:b] for a, b in zip(edges, edges[1:], strict=False)]
    search = IdSearch(["u1", "7"])
    assert search.count(chunks) == search.count([data])
    assert search.holds(data.decode()) == (search.count([data]).whole > 0)
