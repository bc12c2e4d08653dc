import json
import stat
from datetime import datetime

import polars as pl
from conftest import BY_HAND
from newsroom import well

from recsys import Recommender
from recsys.nightly.run import run_nightly
from recsys.operations.export_rows import COLUMNS, export_rows, without_formulas
from recsys.operations.rulebook import Rulebook
from recsys.page.rules import Rule
from recsys.published import folder as published_folder
from recsys.rows import from_ms, to_ms

AS_OF = datetime.fromisoformat("2026-03-02T00:00:00+00:00")


def published(store, load, tmp_path, articles):
    rows = [{"published_at": "2026-03-01T20:00:00Z", "title": "Plain"} | row for row in articles]
    load({"a.jsonl": "".join(json.dumps(row) + "\n" for row in rows)})
    run_nightly(store, tmp_path / "p", as_of_ms=to_ms(AS_OF), config=BY_HAND)
    return tmp_path / "p"


def test_texts_that_begin_like_a_formula_get_an_apostrophe_and_ids_do_not():
    texts = ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "\nx", "＝1", "a=1", "", None, "'=1"]
    safe = ["'=1+1", "'+1", "'-1", "'@x", "'\tx", "'\rx", "'\nx", "'＝1", "a=1", "", None, "'=1"]
    rows = pl.DataFrame({"article_id": texts, "user_id": texts, "title": texts, "score": -1.0})
    found = without_formulas(rows)
    assert found["title"].to_list() == safe
    assert found["article_id"].to_list() == found["user_id"].to_list() == texts
    assert found["score"].to_list() == [-1.0] * len(texts)


def test_the_command_writes_a_file_for_its_owner_only(store, load, tmp_path):
    title = '=HYPERLINK("https://x.example")'
    published(store, load, tmp_path, [{"article_id": "-a", "title": title}])
    for name in ("e.csv", "e.jsonl", "e.parquet"):
        path = tmp_path / name
        path.write_text("old")
        path.chmod(0o644)
        well(tmp_path, "export", "--published", "p", "--to", name, "--as-of", AS_OF.isoformat())
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for name, expected in (("e.csv", "'" + title), ("e.jsonl", title), ("e.parquet", title)):
        read = {".csv": pl.read_csv, ".json": pl.read_ndjson, ".parq": pl.read_parquet}[name[1:6]]
        rows = read(tmp_path / name)
        assert set(rows["title"]) == {expected}
        assert set(rows["article_id"]) == {"-a"}
    assert list(tmp_path.glob(".*.partial")) == []


def test_rows_are_those_of_the_instant_asked_for(store, load, tmp_path):
    folder = published(
        store,
        load,
        tmp_path,
        [
            {"article_id": "kept"},
            {"article_id": "over", "title": "Over", "expires_at": "2026-03-02T09:00:00Z"},
            {"article_id": "barred", "title": "Barred"},
        ],
    )
    fields = {"by": "article", "author": "Ann", "reason": "court", "kind": "block"}
    later_ms = to_ms(AS_OF) + 10 * 3_600_000
    Rulebook(store, folder).add(Rule(value="barred", starts_ms=later_ms, **fields), now_ms=later_ms)

    def titles(hours):
        instant = datetime.fromtimestamp(AS_OF.timestamp() + hours * 3600, AS_OF.tzinfo)
        rows = export_rows(folder, as_of=instant)
        return {row[COLUMNS.index("title")] for row in rows}

    assert titles(0) == {"Plain", "Over", "Barred"}
    assert titles(9) == {"Plain", "Barred"}
    assert titles(10) == {"Plain"}


def test_a_refresh_is_exported_with_every_user(refreshed):
    folder, reports, twins = refreshed
    published_folder.publish(folder, reports[-1].run_id)
    as_of = from_ms(twins[-1].window.as_of_ms)
    rows = list(export_rows(folder, as_of=as_of))
    assert {row[2] for row in rows} - {None} == set(twins[-1].model.users.user_ids)
    assert {row[0] for row in rows} == {"user", "anonymous", "article"}


def test_exported_rows_are_the_slots_of_the_pages(sample):
    rows = list(export_rows(sample.folder, as_of=sample.as_of))
    mine = [dict(zip(COLUMNS, row, strict=True)) for row in rows if row[2] == "u0007"]
    page = Recommender(sample.folder).recommend("u0007", as_of=sample.as_of)
    for name, slots in page.items():
        found = sorted((row for row in mine if row["list"] == name), key=lambda r: r["rank"])
        assert [row["article_id"] for row in found] == [slot.article_id for slot in slots]
        assert [row["reason"] for row in found] == [slot.reason for slot in slots]
    assert {row[0] for row in rows} == {"user", "anonymous", "article"}
