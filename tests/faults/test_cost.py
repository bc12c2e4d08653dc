"""What hostile input costs: in proportion to its size, or it is refused.

A test gives a door n and 4 n of something and compares the processor time of both. In proportion
that is 4 times as much, and with the square 16 times; a test fails from 9 times on. Which test
holds which bound is a table of docs/operations.md.
"""

import gc
import gzip
import re
import resource
import shutil
import subprocess
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from conftest import RECEIVED_MS, ROOT, rule
from hostile_files import CLICK, CLICKS, FILES, LOG, TIME, line
from naive_rules import matching
from newsroom import AS_OF, COMMAND
from test_fuzz import run_ingest

from recsys import Recommender
from recsys.config_file import MAX_BYTES, load_config
from recsys.errors import ConfigError, RuleError
from recsys.ingest import blocks, parquet
from recsys.ingest.detect import READERS, expand
from recsys.ingest.load_files import load_files
from recsys.operations.rulebook import MOST_AT_ONCE, Rulebook
from recsys.page.rules import MAX_RULES_BYTES, Described, Resolved, rules_of
from recsys.store.database import Store

NIGHT = "2026-03-02T06:00:00Z"
TIMES = 4
MOST_GROWTH = 9
FLOOR_SECONDS = 0.03  # a shorter measurement says nothing


def require_proportion(measured, n: int, floor_seconds: float = FLOOR_SECONDS) -> None:
    """Require that `measured(size)`, seconds, grows with the size; a busy machine gets 3 tries."""
    measured(10)  # libraries are imported when they are first used
    tries = []
    for _ in range(3):
        small, large = measured(n), measured(TIMES * n)
        if large < MOST_GROWTH * max(small, floor_seconds):
            return
        tries.append((round(small, 3), round(large, 3)))
    raise AssertionError(f"seconds of {n} and of {TIMES} times as much: {tries}")


def seconds_of(call) -> float:
    """Return processor seconds, without the collection of garbage.

    That looks at all objects of the process, those of other tests too.
    """
    gc.collect()
    gc.disable()
    try:
        began = time.process_time()
        call()
        return time.process_time() - began
    finally:
        gc.enable()


def ingest(path, **options):
    with Store(path.parent / "s.db") as store:
        report = load_files(store, expand([path]), received_ms=RECEIVED_MS, **options)
    (path.parent / "s.db").unlink()
    return report


@pytest.mark.parametrize(
    ("format", "name", "n", "made"),
    [(format, *file[1:]) for format, files in FILES.items() for file in files],
    ids=[f"{format}-{file[0]}" for format, files in FILES.items() for file in files],
)
def test_the_time_of_a_hostile_file_grows_as_its_size(format, name, n, made, tmp_path):
    def measured(size):
        (tmp_path / name).write_bytes(made(size))
        return seconds_of(lambda: ingest(tmp_path / name, format=format))

    require_proportion(measured, n)


def test_reasons_of_ignored_rows_are_counted_apart_up_to_a_number(tmp_path):
    (tmp_path / "x.json").write_bytes(FILES["matomo"][0][3](5_000))
    report = ingest(tmp_path / "x.json")
    assert len(report.ignored) <= 201
    assert report.ignored.total() == 5_000
    assert report.ignored["action", "for another reason"] == 4_800


def repeated(n_rows: int, text: str) -> pa.Table:
    """Return articles that all have one text: a Parquet file holds it once."""
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * n_rows, pa.int32()), pa.array([text]))
    tags = pa.ListArray.from_arrays(pa.array(range(n_rows + 1), pa.int32()), texts)
    ids = pa.array([f"a{i}" for i in range(n_rows)])
    return pa.table({"article_id": ids, "title": ["t"] * n_rows, "body": texts, "tags": tags})


@pytest.mark.parametrize("store_schema", [True, False])
def test_a_text_of_many_rows_is_written_out_for_some_at_a_time(store_schema, tmp_path, monkeypatch):
    pq.write_table(repeated(1_000, "x" * 5_000), tmp_path / "x.parquet", store_schema=store_schema)
    monkeypatch.setattr(parquet, "MAX_BATCH_BYTES", 1 << 20)
    frames = list(parquet.read_frames(tmp_path / "x.parquet", ["article_id", "body", "tags"]))
    assert max(map(len, frames)) <= 125
    assert [id_ for frame in frames for id_ in frame["article_id"]] == [
        f"a{i}" for i in range(1000)
    ]
    assert {len(text) for frame in frames for text in frame["body"].cast(str)} == {5_000}


def test_a_file_that_expands_too_much_for_its_size_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "x.parquet"
    pq.write_table(repeated(20_000, "x" * (1 << 20)), path)
    assert path.stat().st_size < 1_000_000
    (refused,) = ingest(path).refused
    assert "too much for its size" in str(refused)

    monkeypatch.setattr(blocks, "MAX_EXPANDED_BYTES", 1 << 20)
    monkeypatch.setattr(blocks, "MAX_EXPANSION", 20)
    rows = CLICKS + CLICK * 400_000
    for name, data in (("x.csv.gz", gzip.compress(rows)), ("x.csv.zst", zstandard.compress(rows))):
        (tmp_path / name).write_bytes(data)
        report = ingest(tmp_path / name)
        assert any("too much for its size" in reason for reason, _ in report.rejected)
    monkeypatch.undo()
    assert not ingest(tmp_path / "x.csv.gz").rejected


def test_a_row_of_a_parquet_file_has_a_largest_size(tmp_path, monkeypatch):
    pq.write_table(repeated(3, "x" * 5_000), tmp_path / "x.parquet")
    monkeypatch.setattr(parquet, "MAX_BATCH_BYTES", 4_000)
    monkeypatch.setattr(parquet, "MAX_ROW_BYTES", 8_000)
    (refused,) = ingest(tmp_path / "x.parquet", kind="articles").refused
    assert "row 1 takes" in str(refused)
    monkeypatch.undo()
    monkeypatch.setattr(parquet, "MAX_GROUP_VALUES", 2)
    (refused,) = ingest(tmp_path / "x.parquet", kind="articles").refused
    assert "'article_id' has 3 values in a row group, more than 2" in str(refused)


def test_a_file_of_ids_is_read_up_to_the_rows_of_its_vectors(tmp_path):
    np.save(tmp_path / "v.npy", np.ones((2, 2)))
    (tmp_path / "v.ids.txt").write_text("\n" * 100_000)
    (refused,) = ingest(tmp_path / "v.npy").refused
    assert "2 vectors, but v.ids.txt has more ids" in str(refused)


SETTINGS = {
    "arrays": lambda n: "a = " + "[" * n,
    "tables": lambda n: "a = " + "{a=" * n,
    "digits": lambda n: "a = " + "9" * n,
    "parts": lambda n: ".".join(["a"] * n) + " = 1",
    "tables of parts": lambda n: f"[{'.'.join(['a'] * n)}]",
    "pattern": lambda n: f"[ingest]\narticle_pattern = '{'(' * n}'",
    "layouts": lambda n: "".join(f"[layouts.a{i}.x]\nn = 1\n" for i in range(n // 10)),
    "keys": lambda n: "".join(f"a{i} = 1\n" for i in range(n // 10)),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_hostile_settings_are_refused_in_time_that_grows_as_their_size(name, tmp_path):
    path = tmp_path / "recsys.toml"

    def measured(size):
        path.write_text(SETTINGS[name](size))
        with pytest.raises(ConfigError, match=r"recsys.toml"):
            load_config(path)
        return seconds_of(lambda: pytest.raises(ConfigError, load_config, path))

    require_proportion(measured, 20_000)


def test_settings_have_a_largest_size(tmp_path):
    path = tmp_path / "recsys.toml"
    path.write_text("#" * (MAX_BYTES + 1))
    with pytest.raises(ConfigError, match="larger than 256 kB"):
        load_config(path)
    path.write_text("#" * MAX_BYTES)
    load_config(path)


BODY = "Some text of an article. " * 20
STREAMED = {
    "x.jsonl": lambda i: line(article_id=f"a{i}", title=f"t{i}", body=BODY),
    "x.csv": lambda i: f"u{i % 1000},a{i % 500},{TIME},{BODY}\n".encode(),
    "x.log": lambda i: LOG.replace(b"Moz", BODY.encode()),
    "x.json": lambda i: b"[" * (i == 0) + line(article_id=f"a{i % 500}", title="t", body=BODY),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", STREAMED)
def test_memory_does_not_grow_with_a_file_that_is_read_in_parts(name, tmp_path):
    peaks = []
    for n in (40_000, 160_000):  # 20 and 80 MB
        head = b"user_id,article_id,clicked_at,x\n" if name == "x.csv" else b""
        (tmp_path / name).write_bytes(head + b"".join(map(STREAMED[name], range(n))))
        status, peak_mb, output = run_ingest(tmp_path, name)
        assert status in (0, 1), output
        (tmp_path / "s.db").unlink()
        peaks.append(peak_mb)
    assert peaks[1] < 1.4 * peaks[0], peaks


N_ARTICLES = 3_000
DESCRIBED = Described(
    [f"a{i}" for i in range(N_ARTICLES)],
    [f"Author {i % 50}" for i in range(N_ARTICLES)],
    [f"Section {i % 20}" for i in range(N_ARTICLES)],
    ["x\ny"] * N_ARTICLES,
    ["https://n.example/a"] * N_ARTICLES,
    [f"Title with some words é {i}" for i in range(N_ARTICLES)],
    np.arange(1_000),
)
RULES = {
    "articles": lambda i: rule("block", f"a{i}", rule_id=f"r{i}"),
    "authors": lambda i: rule("block", f"Author {i}", by="author", rule_id=f"r{i}"),
    "words": lambda i: rule("block", f"words {i}", by="text", rule_id=f"r{i}"),
    "boosts": lambda i: rule("boost", "a1", amount=1.0, rule_id=f"r{i}"),
    "pins": lambda i: rule("pin", f"a{i}", list_name="must_reads", slot=1, rule_id=f"r{i}"),
    "sensitive": lambda i: rule("sensitive", f"a{i}", only="Section 1", rule_id=f"r{i}"),
}


@pytest.mark.parametrize("kind", RULES)
def test_the_time_of_rules_grows_as_their_number(kind):
    def measured(size):
        rules = [RULES[kind](i) for i in range(size)]
        return seconds_of(lambda: Resolved(rules, DESCRIBED).at(10, 5))

    require_proportion(measured, 500)


def test_a_rule_costs_no_look_at_each_article():
    rules = [RULES["words"](i) for i in range(50)]
    naive = seconds_of(lambda: [matching(DESCRIBED, "text", r.value) for r in rules])
    assert seconds_of(lambda: Resolved(rules, DESCRIBED)) < naive / 3


def test_a_file_of_rules_has_a_largest_size_and_number(tmp_path):
    with pytest.raises(RuleError, match="larger than 16 MB"):
        rules_of(b" " * (MAX_RULES_BYTES + 1), None)
    with Store(tmp_path / "s.db") as store:
        rules = [rule("block", f"a{i}") for i in range(MOST_AT_ONCE + 1)]
        with pytest.raises(RuleError, match="1001 rules, more than 1000; import them in several"):
            Rulebook(store, tmp_path / "p").add_all(rules, now_ms=0)


@pytest.fixture(scope="module")
def recommender(newsroom):
    return Recommender(newsroom / "p")


def known(n):
    return [f"a{i % 280:04d}" for i in range(n)]


def unknown(n):
    return [f"x{i}" for i in range(n)]


COLLIDING = [(2**61 - 1) * i for i in range(200_000)]  # Python hashes all of them to 0
CALLS = {
    "recommend user_id": lambda r, n: r.recommend("u\u0301" * n),
    "recommend article_id": lambda r, n: r.recommend(None, "u\u0301" * n),
    "recommend layout": lambda r, n: pytest.raises(ValueError, r.recommend, layout="x" * n),
    "recommend language": lambda r, n: r.recommend(language="de" + "-x" * n),
    "recommend n": lambda r, n: pytest.raises(
        ValueError, r.recommend, n=dict.fromkeys(unknown(n), 3)
    ),
    "recommend explore": lambda r, n: pytest.raises(
        ValueError, r.recommend, explore=dict.fromkeys(unknown(n), 0.5)
    ),
    "recommend lists": lambda r, n: r.recommend(lists=["must_reads"] * n),
    "recommend recent_clicks": lambda r, n: r.recommend("u0007", recent_clicks=known(n)),
    "recommend exclude": lambda r, n: r.recommend("u0007", exclude=known(n) + unknown(n)),
    "recommend exclude, colliding": lambda r, n: r.recommend("u0007", exclude=COLLIDING[:n]),
    "rank candidates": lambda r, n: r.rank("u0007", unknown(n)),
    "rank new": lambda r, n: r.rank("u0007", unknown(n // 20), new=unknown(n // 20)),
    "rank recent_clicks": lambda r, n: r.rank("u0007", known(100), recent_clicks=known(n)),
    "audience exclude": lambda r, n: r.audience("a0133", 5, exclude=unknown(n), as_of=AS_OF),
}


@pytest.mark.parametrize("call", CALLS)
def test_the_time_of_a_call_grows_as_its_argument(call, recommender):
    require_proportion(lambda size: seconds_of(lambda: CALLS[call](recommender, size)), 40_000)


def articles(n: int, **fields) -> bytes:
    made = (
        {"article_id": f"a{i}", "title": f"Title {i}", "published_at": TIME} | fields
        for i in range(n)
    )
    return b"".join(line(**article) for article in made)


def clicks(pairs) -> bytes:
    return CLICKS + b"".join(b"u%d,a%d,%s\n" % (*pair, TIME.encode()) for pair in pairs)


SOME = [(user, (7 * user + 13 * i) % 200) for user in range(200) for i in range(5)]
# By name: a newsroom of n of something, as files.
NEWSROOMS = {
    "equal articles": lambda n: (articles(200 + n, title="All the same"), clicks(SOME)),
    "long titles": lambda n: (articles(200, title="x" * n, body="y " * n), clicks(SOME)),
    "tags": lambda n: (articles(200, tags=[f"t{i}" for i in range(n // 8)]), clicks(SOME)),
    "a user of clicks": lambda n: (articles(200), clicks(SOME + [(1, i) for i in range(10 * n)])),
    "an article of clicks": lambda n: (
        articles(200),
        clicks(SOME + [(300 + i, 5) for i in range(10 * n)]),
    ),
    "wide impressions": lambda n: (
        articles(200) + b"".join(line(article_id=f"b{i}", title="t") for i in range(3)),
        clicks(SOME),
        b"".join(
            line(
                user_id=f"u{u}",
                shown_at=TIME,
                shown=[f"a{i}" for i in range(3 * n)],
                clicked=["a1"],
            )
            for u in range(20)
        ),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NEWSROOMS)
def test_the_time_of_a_night_grows_as_what_is_odd_about_its_newsroom(name, tmp_path):
    def measured(size):
        folder = tmp_path / f"{size}"
        folder.mkdir(exist_ok=True)
        names = ["a.jsonl", "c.csv", "i.jsonl"][: len(NEWSROOMS[name](1))]
        for file, data in zip(names, NEWSROOMS[name](size), strict=True):
            (folder / file).write_bytes(data)
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        for command in (["ingest", *names], ["nightly", "--published", "p", "--as-of", NIGHT]):
            done = subprocess.run(
                [*COMMAND, *command, "--store", "s.db"], cwd=folder, capture_output=True, text=True
            )
            assert done.returncode == 0, done.stderr
        shutil.rmtree(folder)
        return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before

    usual = measured(1)  # importing libraries takes longer than most of the work
    require_proportion(lambda size: measured(size) - usual, 2_000, floor_seconds=0.5)


def test_no_message_repeats_a_long_argument(recommender):
    for arguments in ({"layout": "x" * 10**6}, {"n": dict.fromkeys(unknown(10**5), 3)}):
        with pytest.raises(ValueError, match=next(iter(arguments))) as error:
            recommender.recommend(**arguments)
        assert len(str(error.value)) < 500


TABLE = (ROOT / "docs" / "operations.md").read_text("utf-8").partition("## What input costs")[2]
ROWS = [
    [cell.strip() for cell in row.strip("|").split(" | ")]
    for row in TABLE.partition("\n## ")[0].splitlines()
    if row.startswith("| ") and not row.startswith("| input")
]
ARGUMENTS = "user_id article_id layout language n lists explore random_state recent_clicks exclude"
DOORS = {*READERS, *f"{ARGUMENTS} candidates new as_of".split()}
DOORS |= {"recsys.toml", "rules.json", "rules import", ".gz", "vectors.ids.txt"}


def test_every_door_is_in_the_table_and_has_tests_that_exist():
    named = {name for row in ROWS for name in re.findall(r"`([^`]+)`", row[0])}
    assert DOORS <= named, DOORS - named
    tests = "\n".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    for row in ROWS:
        assert len(row) == 5, row
        held_by = re.findall(r"`(test_\w+)`", row[4])
        assert held_by, row
        for name in held_by:
            assert f"\ndef {name}(" in tests, name


def test_every_format_has_a_hostile_file():
    assert set(FILES) | {"parquet", "ebnerd", "npy"} == set(READERS)
