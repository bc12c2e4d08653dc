"""Fuzz every input format and `recommend`: any input gives a result or a documented error.

Files that decompress or nest without bound must not exhaust memory.
"""

import gzip
import io
import json
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import zstandard
from conftest import RECEIVED_MS, SAMPLE
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from newsroom import AS_OF, COMMAND

from recsys import Recommender
from recsys.ingest import npy
from recsys.ingest.detect import READERS, expand
from recsys.ingest.ebnerd import BEHAVIORS, HISTORY
from recsys.ingest.load_files import LoadReport, load_files
from recsys.rows import FIELDS
from recsys.store.database import Store

LONG = {"deadline": None, "suppress_health_check": list(HealthCheck)}
MANY = 1000  # inputs of a long test, times --scale


def few_or_many(few):
    """Run a test on few inputs, and marked long on many."""
    values = [few, pytest.param(MANY, marks=pytest.mark.long)]
    return pytest.mark.parametrize("n_inputs", values, ids=["few", "many"], indirect=True)


@pytest.fixture
def n_inputs(request, scale, record_property):
    n = request.param * scale if request.param == MANY else request.param
    record_property("files of any bytes, values and columns", n)
    return n


PEAK_MB = 1500  # each bomb decompresses to more, or nests deeper than a call stack
SUFFIX = {
    "jsonl": ".jsonl",
    "csv": ".csv",
    "parquet": ".parquet",
    "mind": ".tsv",
    "ebnerd": ".parquet",
    "html": ".html",
    "rss": ".xml",
    "sitemap": ".xml",
    "wordpress": ".json",
    "wxr": ".xml",
    "ghost": ".json",
    "ga4": ".json",
    "matomo": ".json",
    "snowplow": ".tsv",
    "access_log": ".log",
    "npy": ".npy",
}


def load(data: bytes, name: str, **options) -> LoadReport:
    """Load bytes as a file of a given name into a store of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        if name.endswith(".npy"):
            npy.ids_path(path).write_text("a1\na2\n")
        with Store(Path(folder) / "s.db") as store:
            return load_files(store, expand([path]), received_ms=RECEIVED_MS, **options)


WORDPRESS_POST = {
    "id": 1,
    "date_gmt": "2026-03-01T06:00:00",
    "title": {"rendered": "One"},
    "content": {"rendered": "<p>Text</p>", "protected": False},
    "_embedded": {"wp:term": [[{"taxonomy": "category", "name": "News"}]]},
}
GHOST_TABLES = {
    "posts": [{"id": "1", "title": "One", "lexical": '{"root": {"children": [{"text": "x"}]}}'}],
    "posts_tags": [{"post_id": "1", "tag_id": "2", "sort_order": 0}],
    "tags": [{"id": "2", "name": "News"}],
}
GA4_EVENT = {
    "event_timestamp": "1772344800000000",
    "event_name": "view_item_list",
    "user_pseudo_id": "u1",
    "event_params": [{"key": "page_location", "value": {"string_value": "https://n.example/a1"}}],
    "items": [{"item_id": "a2", "item_list_name": "top", "item_list_index": "1"}],
}
MATOMO_VISIT = {
    "idVisit": "1",
    "visitorId": "u1",
    "actionDetails": [
        {"type": "action", "url": "https://n.example/a1", "timestamp": 1772344800, "timeSpent": 3}
    ],
}


def seeds() -> dict[str, bytes]:
    """Return a small valid file of each format, to be mutated."""
    rows = {
        "article_id": ["a1", "a2"],
        "title": ["One", "Two"],
        "body": ["Text.", "More text."],
        "category": ["News", ""],
        "published_at": ["2026-03-01T06:00:00Z", None],
    }
    frame = pl.DataFrame(rows)
    parquet = io.BytesIO()
    frame.write_parquet(parquet)
    parquet.seek(0)
    ebnerd = io.BytesIO()
    pl.DataFrame(
        {
            "impression_id": [1],
            "user_id": [7],
            "article_id": [None],
            "device_type": [1],
            "impression_time": [datetime(2023, 5, 20)],
            "article_ids_inview": [[1, 2]],
            "article_ids_clicked": [[2]],
            "read_time": [3.0],
        }
    ).write_parquet(ebnerd)
    ebnerd.seek(0)
    npy_file = io.BytesIO()
    np.save(npy_file, np.array([[1.0, 0.5], [0.25, -2.0]]))
    mind = "1\tU1\t11/13/2019 8:36:57 AM\tN1 N2\tN3-0 N4-1\n"
    html = "<html><head><title>A page</title></head><body><article><p>Some text of a page, long"
    html += " enough to be one.</p></article></body></html>"
    rss = "<rss version='2.0'><channel><title>t</title><item><title>One</title><guid>g1</guid>"
    rss += "<description>text &amp; more</description></item></channel></rss>"
    sitemap = "<urlset xmlns:news='n'><url><loc>https://n.example/a</loc><news:news><news:title>One"
    sitemap += "</news:title></news:news></url></urlset>"
    event = [""] * 131
    event[3], event[5], event[15] = "2026-03-01 06:00:00.123", "page_view", "u1"
    event[29], event[52] = "https://n.example/a1", '{"data": [{"schema": "x", "data": {"id": 1}}]}'
    wxr = "<rss xmlns:wp='http://wordpress.org/export/1.2/'><channel><item><title>One</title>"
    wxr += "<category domain='category'><![CDATA[News]]></category><wp:post_id>1</wp:post_id>"
    wxr += "<wp:post_date_gmt>2026-03-01 06:00:00</wp:post_date_gmt></item></channel></rss>"
    return {
        "wordpress": json.dumps([WORDPRESS_POST]).encode(),
        "wxr": wxr.encode(),
        "ghost": json.dumps({"db": [{"meta": {}, "data": GHOST_TABLES}]}).encode(),
        "ga4": json.dumps(GA4_EVENT).encode() + b"\n",
        "matomo": json.dumps([MATOMO_VISIT]).encode(),
        "snowplow": "\t".join(event).encode() + b"\n",
        "access_log": b'192.0.2.7 - u1 [01/Mar/2026:06:00:00 +0000] "GET /a1 HTTP/1.1" 200 5\n',
        "jsonl": "".join(json.dumps(row) + "\n" for row in frame.to_dicts()).encode(),
        "csv": frame.write_csv().encode(),
        "parquet": parquet.read(),
        "ebnerd": ebnerd.read(),
        "npy": npy_file.getvalue(),
        "mind": mind.encode(),
        "html": html.encode(),
        "rss": rss.encode(),
        "sitemap": sitemap.encode(),
    }


SEEDS = seeds()


def test_the_seeds_are_valid_files():
    for name, data in SEEDS.items():
        report = load(data, f"behaviors{SUFFIX[name]}", format=name)
        assert not report.refused, (name, report.refused)
        assert report.added, name


FOUND = sorted((Path(__file__).parent / "found").iterdir())


@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.name)
def test_inputs_found_by_a_fuzzer_are_refused(path):
    """Inputs found by `scripts/fuzz.py` that once raised an undocumented error."""
    report = load(path.read_bytes(), path.name)
    assert report.refused or report.rejected


@st.composite
def mutated(draw, name: str) -> bytes:
    """Return a valid file with some bytes changed, removed, repeated or inserted."""
    data = bytearray(SEEDS[name])
    for _ in range(draw(st.integers(1, 6))):
        begin = draw(st.integers(0, max(len(data) - 1, 0)))
        end = begin + draw(st.integers(0, 30))
        replacement = draw(
            st.sampled_from(
                [
                    b"",
                    b"\x00",
                    b'"',
                    b"\n",
                    b"\t",
                    b"\xff\xfe",
                    b"{",
                    b"[[",
                    b"]]>",
                    b"<",
                    b"&#x0;",
                    b"-1",
                    b"9" * 40,
                    b"NaN",
                    b"1e999",
                    b"null",
                    b"\r\n",
                    "İß😀".encode(),
                    b"<!DOCTYPE x [<!ENTITY",
                    bytes(data[begin:end]) * 2,
                ]
            )
            | st.binary(max_size=12)
        )
        data[begin:end] = replacement
    return bytes(data)


@few_or_many(40)
@pytest.mark.parametrize("name", READERS)
def test_any_bytes_give_rows_rejects_or_a_refusal(name, n_inputs):
    assert set(SEEDS) == set(READERS)

    @settings(max_examples=n_inputs, **LONG)
    @given(data=mutated(name) | st.binary(max_size=400), format_given=st.booleans())
    def fuzz(data, format_given):
        options = {"format": name} if format_given else {}
        file_name = "behaviors.tsv" if name == "mind" else f"x{SUFFIX[name]}"
        assert isinstance(load(data, file_name, **options), LoadReport)

    fuzz()


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["a1", "2026-03-01T06:00:00Z", "javascript:alert(1)", "\ud800", "\x00"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@few_or_many(60)
@pytest.mark.parametrize("kind", FIELDS)
def test_any_value_in_any_field_gives_a_row_or_a_reject(kind, n_inputs):
    row = st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS[kind], VALUES))

    @settings(max_examples=n_inputs, **LONG)
    @given(rows=st.lists(row, min_size=1, max_size=4))
    def fuzz(rows):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        report = load(text.encode(), "x.jsonl", kind=kind)
        counts = report.added.get(kind)
        n_rows = 0 if counts is None else counts.new + counts.changed + counts.known
        assert report.refused or n_rows or report.rejected

    fuzz()


COLUMNS = [
    pl.Series([None, None]),
    pl.Series([1, -2]),
    pl.Series([1.5, float("nan")]),
    pl.Series([True, None]),
    pl.Series(["a", "\x00"]),
    pl.Series([b"a", b"\xff"]),
    pl.Series([datetime(2026, 3, 1), datetime(1, 1, 1)]),
    pl.Series([datetime(2026, 3, 1)] * 2).dt.replace_time_zone("Asia/Tokyo"),
    pl.Series([datetime(2026, 3, 1), None]).dt.date(),
    pl.Series([datetime(2026, 3, 1)] * 2).dt.time(),
    pl.Series([[b"a"], [b"\xff"]]),
    pl.Series([1, 2]).cast(pl.Duration),
    pl.Series(["1.5", "2"]).cast(pl.Decimal(10, 2)),
    pl.Series(["a", "b"]).cast(pl.Categorical),
    pl.Series(["a", "b"]).cast(pl.Enum(["a", "b"])),
    pl.Series([["a", None], []]),
    pl.Series([[1, 2], None]),
    pl.Series([[[1]], [[]]]),
    pl.Series([{"a": 1}, None]),
    pl.Series([[{"a": 1}], []]),
    pl.Series([2**63, 1], dtype=pl.UInt64),
    pl.Series([["a", "b"]] * 2).list.to_array(2),
    pl.Series([-(2**62), 2**62]).cast(pl.Datetime("us")),
]


@few_or_many(100)
@pytest.mark.parametrize("kind", FIELDS)
def test_any_column_type_gives_rows_or_rejects(kind, n_inputs):
    column = st.sampled_from(COLUMNS)

    @settings(max_examples=n_inputs, **LONG)
    @given(columns=st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS[kind], column)))
    def fuzz(columns):
        file = io.BytesIO()
        pl.DataFrame({name: values.alias(name) for name, values in columns.items()}).write_parquet(
            file
        )
        assert isinstance(load(file.getvalue(), "x.parquet", kind=kind), LoadReport)

    fuzz()


@few_or_many(60)
@pytest.mark.parametrize("names", [BEHAVIORS | {"read_time", "article_id"}, HISTORY], ids=len)
def test_any_column_type_in_an_ebnerd_file_gives_rows_or_a_refusal(names, n_inputs):
    seed = pl.read_parquet(io.BytesIO(SEEDS["ebnerd"]))
    valid = {name: seed[name].extend(seed[name]) for name in names if name in seed.columns}
    valid["user_id"] = pl.Series([7, 8])
    columns = {
        name: st.sampled_from([*COLUMNS, *([valid[name]] * 30 if name in valid else [])])
        for name in sorted(names)
    }

    @settings(max_examples=n_inputs, **LONG)
    @given(columns=st.fixed_dictionaries(columns))
    def fuzz(columns):
        file = io.BytesIO()
        pl.DataFrame({name: values.alias(name) for name, values in columns.items()}).write_parquet(
            file
        )
        assert isinstance(load(file.getvalue(), "x.parquet", format="ebnerd"), LoadReport)

    fuzz()


@pytest.fixture(scope="module")
def recommender(newsroom):
    return Recommender(newsroom / "p")


IDS = st.sampled_from(
    ["u0007", "a0030", "a0031", "", "unknown", "\x00", "\ud800", "'; DROP TABLE x"]
)
ANY = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.binary(max_size=8),
    st.just(datetime.max),
    st.just(datetime.min),
    IDS,
    st.lists(IDS, max_size=40),
    st.lists(st.integers(), max_size=2),
    st.tuples(IDS),
    st.dictionaries(IDS, IDS, max_size=2),
    st.datetimes(),
    st.just(AS_OF),
    st.timedeltas(),
    st.integers(-3, 60),
)
ARGUMENTS = {
    "user_id": IDS,
    "article_id": IDS,
    "n": st.integers(-1, 30) | st.integers(),
    "lists": st.lists(st.sampled_from(["must_reads", "latest_stories", "none"]), max_size=3),
    "recent_clicks": st.lists(IDS, max_size=30),
    "exclude": st.lists(IDS, max_size=30),
    "as_of": st.datetimes(),
    "explore": st.integers(-1, 7),
    "random_state": st.integers(-1, 9),
}


@few_or_many(150)
def test_any_argument_gives_a_page_or_a_documented_error(recommender, n_inputs):
    any_values = {name: valid | ANY for name, valid in ARGUMENTS.items()}

    @settings(max_examples=n_inputs, **LONG)
    @given(arguments=st.fixed_dictionaries({}, optional=any_values))
    def fuzz(arguments):
        try:
            page = recommender.recommend(**arguments)
        except (ValueError, TypeError):
            return
        ids = [slot.article_id for slots in page.values() for slot in slots]
        assert len(set(ids)) == len(ids)
        assert not {arguments.get("article_id")} & set(ids)

    fuzz()
    assert recommender.health(as_of=AS_OF).problems == ()  # the recommender still works


# A new process inherits the peak memory of the one that started it, and pytest's own may be large.
# So a small process starts the command, and prints the peak of its child.
MEASURE = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=2)
_, status, usage = os.wait4(process.pid, 0)
print(usage.ru_maxrss / 1024)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def run_ingest(folder: Path, *arguments: str) -> tuple[int, float, str]:
    """Run `recsys ingest`; return its exit status, its peak memory in MB, and its output."""
    command = [*COMMAND, "ingest", *arguments, "--store", "s.db"]
    process = subprocess.run(
        [sys.executable, "-c", MEASURE, *command],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    return process.returncode, float(process.stdout), process.stderr


def compressed(compressor, chunk: bytes, times: int) -> bytes:
    """Return a chunk, repeated, as one compressed frame."""
    chunks = [compressor.compress(chunk) for _ in range(times)]
    return b"".join([*chunks, compressor.flush()])


BOMBS = {
    "zeros.jsonl.gz": lambda: gzip.compress(b"\x00" * (1 << 26), 1) * 20,
    "line.jsonl.gz": lambda: (
        gzip.compress(b'{"a": "' + b"x" * (1 << 26), 1) + gzip.compress(b"x" * (1 << 26), 1) * 16
    ),
    "zeros.csv.zst": lambda: compressed(
        zstandard.ZstdCompressor().compressobj(), b"0" * (1 << 26), 20
    ),
    "wide.csv": lambda: (
        ",".join(f"c{i}" for i in range(10**6)) + "\n" + "1," * 10**6 + "\n"
    ).encode(),
    "wide.jsonl": lambda: json.dumps({f"c{i}": i for i in range(10**6)}).encode() + b"\n",
    "deep.jsonl": lambda: b'{"article_id": ' + b"[" * 200_000 + b"]" * 200_000 + b"}\n",
    "deep.html": lambda: b"<html><body>" + b"<div>" * 300_000 + b"text" + b"</div>" * 300_000,
    "long.html": lambda: b"<html><body><p>" + b"word " * 8_000_000 + b"</p></body></html>",
    "laughs.xml": lambda: (
        "<?xml version='1.0'?><!DOCTYPE rss [<!ENTITY a 'ha'>"
        + "".join(f"<!ENTITY {chr(98 + i)} '{f'&{chr(97 + i)};' * 10}'>" for i in range(12))
        + "]><rss version='2.0'><channel><item><guid>1</guid><title>&m;</title></item></channel>"
        + "</rss>"
    ).encode(),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_ingested_or_refused_in_bounded_memory(name, tmp_path):
    (tmp_path / name).write_bytes(BOMBS[name]())
    status, peak_mb, output = run_ingest(tmp_path, name)
    assert status in (0, 1, 2), output[:1000]
    assert "Traceback" not in output
    assert peak_mb < PEAK_MB, peak_mb


def test_paths_in_data_are_never_opened_and_only_web_addresses_are_stored(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("the secret of this file")
    rss = f"""<?xml version='1.0'?><!DOCTYPE rss [<!ENTITY s SYSTEM 'file://{secret}'>]>
        <rss version='2.0'><channel><item><guid>1</guid><title>A title &s;</title>
        <link>javascript:alert(1)</link></item></channel></rss>"""
    rows = [
        {"article_id": f"x{i}", "title": "A title", "body": "Text.", "url": url}
        for i, url in enumerate(
            [
                "javascript:alert(1)",
                "data:text/html,x",
                f"file://{secret}",
                "https://a.example/b",
                "HTTP://a.example/",
                " javascript:alert(1)",
                "//a.example/c",
                "/news/1",
            ]
        )
    ]
    (tmp_path / "f.xml").write_text(rss)
    (tmp_path / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with Store(tmp_path / "s.db") as store:
        load_files(
            store, expand([tmp_path / "f.xml", tmp_path / "x.jsonl"]), received_ms=RECEIVED_MS
        )
        articles = store.articles(known_by_ms=RECEIVED_MS + 1)
    assert "secret of" not in " ".join(articles.titles)
    urls = {url for url in articles.urls if url}
    assert all(url.lower().startswith(("http://", "https://")) for url in urls), urls
    assert "https://a.example/b" in urls


def test_ingesting_the_sample_takes_half_of_that_memory_at_most(tmp_path):
    status, peak_mb, _ = run_ingest(tmp_path, str(SAMPLE))
    assert status == 0
    assert 50 < peak_mb < PEAK_MB / 2
