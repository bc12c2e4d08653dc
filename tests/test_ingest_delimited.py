import csv
import io

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from recsys.errors import InputRefusedError
from recsys.ingest import delimited
from recsys.ingest.blocks import Block
from recsys.rows import ROW

NAMES = ["user_id", "article_id", "clicked_at"]


def table(separator=",", quoted=True):
    return delimited.Table(NAMES, NAMES, separator, separator.join(NAMES), quoted)


def read(folder, data, kind=None):
    path = folder / "x.csv"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    batches = list(delimited.read(path, kind))
    rows = [row for batch in batches for row in batch.frame.to_dicts()]
    return rows, [reject for batch in batches for reject in batch.rejects]


def values(rows):
    return [tuple(value for name, value in row.items() if name != ROW) for row in rows]


CELL = st.text(
    st.characters(codec="utf-8", exclude_characters='\r\n",\x00'), min_size=1, max_size=8
)


@settings(deadline=None)
@given(ids=st.lists(CELL, min_size=1, max_size=20), ending=st.sampled_from(["\n", "\r\n"]))
@example(ids=["x^"], ending="\n")  # polars takes these bytes for the beginning of a zlib archive
def test_polars_and_the_splitter_give_the_same_rows(ids, ending):
    data = "".join(f"{id_},a,1{ending}" for id_ in ids).encode()
    by_polars, _ = delimited.parse_block(Block(data, 2, 0), table(), "clicks")
    # A blank line makes the block one that is split line by line.
    line_by_line, _ = delimited.parse_block(Block(data + b"\n", 2, 0), table(), "clicks")
    assert by_polars.frame.rows() == line_by_line.frame.rows()
    assert (by_polars.rejects, line_by_line.rejects) == ([], [])


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00\ufeff\r"), max_size=12)


@settings(deadline=None)
@given(
    rows=st.lists(st.tuples(CELL, TEXT), min_size=1, max_size=8),
    separator=st.sampled_from(",;\t|"),
    ending=st.sampled_from(["\n", "\r\n"]),
)
def test_what_a_csv_program_writes_is_read_back(tmp_path_factory, rows, separator, ending):
    assume(not any(title.strip() == "" for _, title in rows))
    assume(not any(id_.strip() in ("", "article_id") for id_, _ in rows))
    file = io.StringIO()
    writer = csv.writer(file, delimiter=separator, lineterminator=ending, quoting=csv.QUOTE_ALL)
    writer.writerows([("article_id", "title"), *rows])
    found, rejects = read(tmp_path_factory.mktemp("csv"), file.getvalue())
    assert rejects == []
    assert values(found) == rows


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        ("article_id;title\na;b\n", [("a", "b")]),
        ("article_id\ttitle\na\tb\n", [("a", "b")]),
        ("article_id|title\na|b\n", [("a", "b")]),
        ("sep=;\narticle_id;title\na;b,c\n", [("a", "b,c")]),
        ("\ufeffarticle_id,title\r\na,b\r\n", [("a", "b")]),
        ("article_id,title\ra,b\rc,d\r", [("a", "b"), ("c", "d")]),  # as Macs once wrote
        ("\n\narticle_id,title\n\na,b", [("a", "b")]),
        ("Article ID,Title\na,b\n", [("a", "b")]),
        ("article_id,title,\na,b,\n", [("a", "b")]),  # a separator at the end of each line
        ('article_id,title\na,"b ""c"" d"\n', [("a", 'b "c" d')]),
        ('article_id,title\na,"b\nc"\n', [("a", "b\nc")]),
        ('article_id,title\na,5" disk\n', [("a", '5" disk')]),
        ('article_id,title\na,"Big" news\n', [("a", '"Big" news')]),
        ("article_id,title\na,\n", [("a", None)]),
        ('"article_id","title"\n"a","b"', [("a", "b")]),  # no newline at the end
        ('article_id,title\na,"b, c"\n', [("a", "b, c")]),
        ('article_id,title\na,""\n', [("a", None)]),
        ('article_id,title\na,""""\n', [("a", '"')]),
        ('article_id,title\na,"{""k"": ""v, w""}"\n', [("a", '{"k": "v, w"}')]),
        ('article_id,title\r\na,"b\r\nc"\r\nd,e\r\n', [("a", "b\r\nc"), ("d", "e")]),
        ('article_id,title\na, "b"\n', [("a", "b")]),  # blanks before a quote
        ("article_id,title\na,b;c|d\n", [("a", "b;c|d")]),
        ("article_id,title\na,ʤ 日本\n", [("a", "ʤ 日本")]),
        ("title\n1\n2\n", [("1",), ("2",)]),  # one column
    ],
)
def test_the_forms_of_csv(tmp_path, data, rows):
    found, rejects = read(tmp_path, data)
    assert (values(found), rejects) == (rows, [])


@pytest.mark.parametrize(
    "line", ['"u7,a1,2026', 'u7,"a1,2026', 'u7,a1,"2026', 'u7,a"1",20"26', '"']
)
def test_a_stray_quote_costs_its_own_row_at_most(tmp_path, line):
    good = [f"u{i},a{i % 5},2026-03-01T00:00:0{i % 10}Z" for i in range(40)]
    lines = [",".join(NAMES), *good[:20], line, *good[20:]]
    found, rejects = read(tmp_path, "\n".join(lines) + "\n")
    ids = [row["user_id"] for row in found if row["user_id"] != "u7" or row["article_id"] == "a2"]
    assert set(ids) >= {f"u{i}" for i in range(40)}
    assert len(found) + len(rejects) == 41


def test_a_text_of_several_lines_is_one_field_however_long(tmp_path):
    body = "\n".join(f"Paragraph {i}, with a comma." for i in range(20_000))  # over 131,072 letters
    found, rejects = read(tmp_path, f'article_id,body\na,"{body}"\nb,c\n')
    assert (values(found), rejects) == ([("a", body), ("b", "c")], [])


def test_damaged_rows_are_rejects_with_their_text(tmp_path):
    text = b"user_id,article_id\nu1,a1\nu2\nu3,a3,x\nu\xff,a1\nuser_id,article_id\nu4,a4\n"
    found, rejects = read(tmp_path, text)
    assert values(found) == [("u1", "a1"), ("u4", "a4")]
    assert [(reject.row, reject.reason, reject.raw) for reject in rejects] == [
        (3, "1 fields where the header has 2", "u2"),
        (4, "3 fields where the header has 2", "u3,a3,x"),
        (5, "broken UTF-8", "u\\xff,a1"),
        (6, "header repeated", "user_id,article_id"),
    ]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ("article_id,title,title\n", "names column 'title' twice"),
        ("a,b\n1,2\n", "not CSV with a header of known fields"),
        (",".join(f"c{i}" for i in range(1_001)) + "\n", "1001 columns"),
    ],
)
def test_what_has_no_usable_header_is_refused(tmp_path, data, problem):
    with pytest.raises(InputRefusedError, match=problem):
        read(tmp_path, data)


@pytest.mark.parametrize(("data", "has"), [("user_id\tarticle_id\n", True), ("1\tU1\tN1\n", False)])
def test_a_header_is_recognised(tmp_path, data, has):
    (tmp_path / "x.tsv").write_text(data)
    assert delimited.has_header(tmp_path / "x.tsv") == has
