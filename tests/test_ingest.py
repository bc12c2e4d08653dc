import gzip
import io
import json
import sqlite3
from contextlib import closing
from datetime import datetime

import numpy as np
import polars as pl
import pytest
import zstandard
from conftest import RECEIVED_MS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsys.errors import InputRefusedError
from recsys.ingest import detect
from recsys.ingest.batches import Batch
from recsys.ingest.validate import check
from recsys.rows import to_ms
from recsys.store.database import Store

CLICK = {"user_id": "u1", "article_id": "a1", "clicked_at": "2026-03-01T10:00:00Z"}
CLICKED_MS = 1_772_359_200_000  # 2026-03-01T10:00:00Z: 20,513 days x 86,400 s + 36,000 s
CSV = "user_id,article_id,clicked_at\nu1,a1,2026-03-01T10:00:00Z\n"


def json_lines(*changes):
    """One line of JSON for each change to the click above."""
    return "".join(json.dumps(CLICK | change) + "\n" for change in changes)


def clicks_of(store):
    """The store's clicks as (instant in ms, reading time in seconds or -1)."""
    clicks = store.clicks(from_ms=0, before_ms=2**53)
    dwell_seconds = np.nan_to_num(clicks.dwell_seconds, nan=-1.0)  # NaN is not equal to itself
    return list(zip(clicks.clicked_ms.tolist(), dwell_seconds.tolist(), strict=True))


def rejects_of(store):
    """The store's rejects as (row, field, reason)."""
    query = "SELECT row, field, reason FROM rejected_rows ORDER BY file, row"
    with closing(sqlite3.connect(store.path)) as conn:
        return conn.execute(query).fetchall()


def parquet_bytes(frame):
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("c.jsonl", json_lines({})),
        ("c.jsonl.gz", gzip.compress(json_lines({}).encode(), mtime=0)),
        ("c.jsonl.zst", zstandard.compress(json_lines({}).encode())),
        ("misnamed.jsonl", gzip.compress(json_lines({}).encode(), mtime=0)),
        ("c.csv", CSV),
        ("bom.csv", b"\xef\xbb\xbf" + CSV.encode()),
        ("crlf.csv", CSV.replace("\n", "\r\n")),
        ("quoted.csv", CSV.replace("u1", '"u1"')),
        ("no_end.csv", CSV.rstrip()),
        ("c.parquet", parquet_bytes(pl.DataFrame([CLICK]))),
        ("c.parquet.gz", gzip.compress(parquet_bytes(pl.DataFrame([CLICK])), mtime=0)),
        ("unnamed", json_lines({})),
    ],
)
def test_every_format_gives_the_same_click(store, load, name, data):
    report = load({name: data})
    assert report.refused == []
    assert store.clicks(from_ms=0, before_ms=2**53).clicked_ms.tolist() == [CLICKED_MS]
    assert rejects_of(store) == []


@pytest.mark.parametrize(
    "clicked_at",
    [
        "2026-03-01T10:00:00Z",
        "2026-03-01T10:00:00.000Z",
        "2026-03-01T11:00:00+01:00",
        "2026-03-01 10:00:00",
        "Sun, 01 Mar 2026 10:00:00 GMT",
        1_772_359_200,
        1_772_359_200_000,
    ],
)
def test_times_are_read_in_every_supported_form(store, load, clicked_at):
    load({"c.jsonl": json_lines({"clicked_at": clicked_at})})
    assert [ms for ms, _ in clicks_of(store)] == [CLICKED_MS]


# A line, the field that is wrong, and the beginning of the reason.
BAD_LINES = [
    (json_lines({"article_id": "  "}).strip(), "article_id", "missing"),
    (json_lines({"clicked_at": "yesterday"}).strip(), "clicked_at", "not a time"),
    (json_lines({"clicked_at": None}).strip(), "clicked_at", "missing"),
    (json_lines({"clicked_at": "2031-01-01T00:00:00Z"}).strip(), "clicked_at", "in the future"),
    (json_lines({"user_id": "x" * 600}).strip(), "user_id", "id too long"),
    ("[1, 2]", "", "not a JSON object"),
    ('{"user_id": "u1', "", "not a JSON object"),
]


def test_a_bad_row_is_rejected_with_its_reason_and_no_other_row_is(store, load):
    lines = [json_lines({}).strip()]
    for bad_line, _, _ in BAD_LINES:
        lines += [bad_line, json_lines({"user_id": f"good{len(lines)}"}).strip()]
    report = load({"c.jsonl": "\n".join(lines) + "\n"})
    assert report.added["clicks"].new == len(BAD_LINES) + 1
    found = rejects_of(store)
    assert [row for row, _, _ in found] == [2 * i + 2 for i in range(len(BAD_LINES))]
    for (_, field, reason), (_, found_field, found_reason) in zip(BAD_LINES, found, strict=True):
        assert found_field == field
        assert found_reason.startswith(reason)
    assert sum(report.rejected.values()) == len(BAD_LINES)


def test_csv_lines_that_cannot_be_split_are_rejected_with_their_line_number(store, load):
    text = CSV.encode() + b"u2,a1\nu\xff,a1,2026-03-01T10:00:00Z\n" + CSV.encode()
    load({"c.csv": text})
    assert rejects_of(store) == [
        (3, "", "2 fields where the header has 3"),
        (4, "", "broken UTF-8"),
        (5, "", "header repeated"),
    ]
    assert len(clicks_of(store)) == 1


def test_a_truncated_archive_yields_the_rows_before_the_damage(store, load):
    rng = np.random.default_rng(0)
    text = "".join(json_lines({"user_id": f"u{i}-{rng.integers(2**60)}"}) for i in range(5_000))
    packed = gzip.compress(text.encode())
    report = load({"c.jsonl.gz": packed[: len(packed) // 2]})
    assert report.refused == []
    assert 0 < report.added["clicks"].new < 5_000
    assert any("truncated" in reason for _, _, reason in rejects_of(store))


def test_an_unusable_parquet_column_rejects_its_rows(store, load):
    frame = pl.DataFrame([CLICK | {"user_id": {"id": 1}}])
    report = load({"c.parquet": parquet_bytes(frame)}, kind="clicks")
    assert report.added["clicks"].new == 0
    assert rejects_of(store)[0][2] == "a list or an object is not an id"


@pytest.mark.parametrize(
    ("name", "data", "format", "message"),
    [
        ("x.jsonl", "user_id,article_id\n", "jsonl", "not JSON Lines"),
        ("x.csv", json_lines({}), "csv", "not CSV"),
        ("x.csv", "user_id,user_id,clicked_at\n", "csv", "twice"),
        ("x.csv", "user_id,clicked_at\nu,1\n", "csv", "no column 'article_id'"),
        ("x.parquet", "not parquet at all", "parquet", "not Parquet"),
        ("x.parquet", parquet_bytes(pl.DataFrame([CLICK])), "ebnerd", "not EB-NeRD"),
        ("x.tsv", "a\tb\n", "mind", "not MIND"),
        ("x.xml", "plain text", "rss", "not RSS"),
        ("x.html", b"\x00\x01\x02", "html", "binary"),
        ("x.bin", b"\x00\x01", None, "unknown format"),
    ],
)
def test_a_file_of_another_format_is_refused_as_a_whole(store, load, name, data, format, message):
    report = load({name: data}, format=format)
    assert len(report.refused) == 1
    assert message in str(report.refused[0])
    assert "\n" not in str(report.refused[0])
    assert store.counts()["clicks"] == 0


def test_a_missing_path_and_an_empty_folder_are_refused(tmp_path):
    for path in (tmp_path / "none.csv", tmp_path):
        (file,) = detect.expand([path])
        with pytest.raises(InputRefusedError, match=path.name):
            detect.require_file(file.path)


def test_mind_histories_are_clicks_whose_time_is_a_bound(store, load):
    behaviors = (
        "1\tU1\t11/12/2019 2:14:46 PM\tN1 N2 N1\tN3-1 N4-0\n"
        "2\tU1\t11/12/2019 3:00:00 PM\tN1 N2 N1\tN5-0\n"
        "3\tU1\tsoon\tN1\tN3-1\n"
    )
    news = "N3\tnews\tnewsworld\tA title\tAn abstract\thttps://x.example/\t[]\t[]\n"
    load({"behaviors.tsv": behaviors, "news.tsv": news})
    clicks = store.clicks(from_ms=0, before_ms=2**53)
    assert clicks.time_is_bound.tolist() == [True, True, False]
    shown_ms = 1_573_568_086_000  # 2019-11-12T14:14:46Z
    day_ms = 1_573_516_800_000  # 2019-11-12T00:00:00Z
    assert clicks.clicked_ms.tolist() == [day_ms - 3, day_ms - 2, shown_ms]
    impressions = store.impressions(from_ms=0, before_ms=2**53)
    assert impressions.clicked.tolist() == [True, False, False]
    assert impressions.start.tolist() == [0, 2, 3]
    ((row, field, reason),) = rejects_of(store)
    assert (row, field) == (3, "shown_at")
    assert reason.startswith("not a time")


def test_an_ebnerd_click_happens_after_the_reading_time(store, load):
    frame = pl.DataFrame(
        {
            "user_id": [7],
            "article_id": [None],
            "impression_time": ["2023-05-20T10:00:00"],
            "read_time": [30.0],
            "next_read_time": [12.0],
            "article_ids_inview": [[11, 12]],
            "article_ids_clicked": [[12]],
        }
    ).with_columns(pl.col("impression_time").str.to_datetime(), pl.col("article_id").cast(pl.Int32))
    load({"behaviors.parquet": parquet_bytes(frame)})
    shown_ms = 1_684_576_800_000  # 2023-05-20T10:00:00Z
    assert clicks_of(store) == [(shown_ms + 30_000, 12.0)]
    assert store.impressions(from_ms=0, before_ms=2**53).shown_ms.tolist() == [shown_ms]


PAGE = """<html lang="en"><head><title>Bridge opens - Site</title>
<link rel="canonical" href="https://news.example/bridge"></head><body>
<nav><a href="/">Home</a> <a href="/sport">Sport</a></nav>
<article><h1>Bridge opens after ten years</h1>
<p>{}</p><p>{}</p></article><aside><h3>Popular</h3><ul><li><a href="/w">Walnuts are
back</a></li></ul></aside><footer>Imprint</footer></body></html>""".format(
    "The bridge over the river opened on Monday before a crowd of several thousand people. " * 3,
    "Engineers said that the last bolt had been the hardest of all to place in the steel. " * 3,
)


def test_a_saved_page_yields_its_article_without_the_widgets(store, load):
    load({"bridge.html.gz": gzip.compress(PAGE.encode())})
    articles = store.articles(known_by_ms=RECEIVED_MS)
    assert articles.id_map.ids == ("bridge",)
    assert "Bridge opens" in articles.titles[0]
    assert "last bolt" in store.bodies(articles.id_map.keys.tolist())[0]
    assert "Walnuts" not in store.bodies(articles.id_map.keys.tolist())[0]
    assert articles.urls[0] == "https://news.example/bridge"


SCRAPED = """Quick access to main page (top) Direct access to main contents of this site

Town votes to keep its old swimming pool open

Jo Smith Views

The town voted on Tuesday evening to keep its old swimming pool open for ten more years.

You May Also Like

  • 1
    Five ways to eat more bananas in the course of a working week

    LIFESTYLE&nbsp
"""


def test_the_text_of_a_page_yields_title_author_and_sentences_only(store, load):
    load({"page.txt": SCRAPED})
    articles = store.articles(known_by_ms=RECEIVED_MS)
    assert articles.titles == ("Town votes to keep its old swimming pool open",)
    assert articles.authors == ("Jo Smith",)
    assert store.bodies(articles.id_map.keys.tolist())[0].startswith("The town voted")
    assert store.bodies(articles.id_map.keys.tolist())[0].endswith("ten more years.")


def test_a_page_without_text_is_rejected(store, load):
    report = load({"empty.html": "<html><body></body></html>"})
    assert sum(report.rejected.values()) == 1


RSS = """<?xml version="1.0"?><rss version="2.0"><channel><title>Feed</title>
<language>en</language>
<item><guid>g1</guid><title>One &amp;amp; two</title><link>https://news.example/1</link>
<category>LIFESTYLE&amp;nbsp</category><pubDate>Sun, 01 Mar 2026 10:00:00 GMT</pubDate>
<description>&lt;p&gt;First.&lt;/p&gt;&lt;p&gt;Second.&lt;/p&gt;</description></item>
<item><title>No id, no link</title></item></channel></rss>"""


def test_a_feed_yields_its_entries(store, load):
    load({"feed.rss": RSS})
    articles = store.articles(known_by_ms=RECEIVED_MS)
    assert articles.id_map.ids == ("g1",)
    assert articles.titles == ("One & two",)
    assert store.bodies(articles.id_map.keys.tolist()) == ["First.\nSecond."]
    assert articles.categories == ("LIFESTYLE",)
    assert articles.published_ms.tolist() == [CLICKED_MS]
    assert rejects_of(store) == [(2, "article_id", "missing")]


def test_an_address_other_than_http_or_https_is_dropped(store, load):
    load({"a.jsonl": json.dumps({"article_id": "a", "title": "T", "url": "javascript:x"})})
    assert store.articles(known_by_ms=RECEIVED_MS).urls == ("",)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.binary(max_size=200), name=st.sampled_from(["a.jsonl", "a.csv", "a.tsv", "a.bin"]))
def test_any_bytes_are_read_or_refused(tmp_path, data, name):
    path = tmp_path / name
    path.write_bytes(data)
    try:
        for batch in detect.READERS[detect.format_of(path)](path, None):
            checked = check(batch, received_ms=RECEIVED_MS, path=name)
            assert len(checked.rows) <= len(batch.frame)
    except InputRefusedError as error:
        assert name in str(error)  # noqa: PT017 - either outcome is right


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(1, 40)), min_size=1, max_size=30
    )
)
@settings(deadline=None, max_examples=25)
def test_ingest_is_idempotent_and_order_does_not_matter(tmp_path_factory, entries):
    folder = tmp_path_factory.mktemp("idempotent")
    frame = pl.DataFrame(
        {
            "row": range(1, len(entries) + 1),
            "user_id": [f"u{u}" for u, _, _ in entries],
            "article_id": [f"a{a}" for _, a, _ in entries],
            "clicked_at": [str(1_700_000_000 + s) for _, _, s in entries],
        }
    )

    def add(store, rows):
        checked = check(Batch("clicks", rows), received_ms=RECEIVED_MS, path="x")
        return store.add("clicks", checked.rows, [], file="x", at_ms=RECEIVED_MS)["clicks"]

    with Store(folder / "one.db") as one, Store(folder / "two.db") as two:
        first = add(one, frame)
        again = add(one, frame)
        assert first.new == len(set(entries))
        assert (again.new, again.changed, again.known) == (0, 0, len(entries))
        add(two, frame.reverse())
        assert one.users().ids == two.users().ids
        assert clicks_of(one) == clicks_of(two)


def test_to_ms_agrees_with_hand_arithmetic():
    assert to_ms(datetime.fromisoformat("2026-03-01T10:00:00+00:00")) == CLICKED_MS
