"""The real commands, as subprocesses, from files to a page."""

import json
import re
import subprocess
import sys
from functools import partial

import polars as pl
import pytest
from conftest import ROOT, SAMPLE, SHARED, needs_shared
from newsroom import COMMAND

AS_OF = "2026-03-02T06:00:00Z"


def run(*arguments, cwd=None, status=0):
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder in which the sample was ingested and published by the real commands."""
    folder = tmp_path_factory.mktemp("site")
    run("ingest", SAMPLE, "--store", "recsys.db", cwd=folder)
    run("nightly", "--store", "recsys.db", "--published", "published", "--as-of", AS_OF, cwd=folder)
    return folder


def test_ingest_twice_says_that_nothing_changed(site):
    done = run("ingest", SAMPLE, "--store", "recsys.db", cwd=site)
    assert "articles: 0 new, 0 changed, 280 known" in done.stdout
    assert "clicked_at: in the future" in done.stdout
    assert all(" info: file " in line for line in done.stderr.splitlines())  # and no bar


def test_strict_ingest_fails_on_a_rejected_row(tmp_path):
    run("ingest", SAMPLE, "--store", "s.db", "--strict", cwd=tmp_path, status=1)


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["ingest", "none.csv", "--store", "x.db"], 2, "no such file"),
        (["ingest", "x.csv", "--store", "x.db", "--format", "csv"], 2, "refused"),
        (["ingest", "x.csv", "--store", "x.db", "--format", "doc"], 2, "doc"),
        (["ingest"], 2, "Usage"),
        (["nightly", "--store", "none.db", "--published", "p"], 1, "recsys ingest"),
        (["nightly", "--store", "y.db", "--published", "p", "--as-of", "soon"], 2, "ISO 8601"),
        (["recommend", "--published", "p"], 1, "recsys nightly"),
        (["rollback", "--published", "p"], 1, "recsys nightly"),
    ],
)
def test_mistakes_get_one_clear_line_and_their_status(tmp_path, arguments, status, says):
    (tmp_path / "x.csv").write_text("this is no table\n")
    done = run(*arguments, cwd=tmp_path, status=status)
    assert says in done.stderr
    if "Usage" not in done.stderr:  # the command line's own help comes in a box
        # The lines of the log begin with a time; an error may be one of them.
        said = done.stderr.splitlines()
        lines = [line for line in said if not line.startswith("20") or " error: " in line]
        assert len(lines) == 1


def test_an_empty_store_is_held_back_with_status_3(tmp_path):
    (tmp_path / "a.csv").write_text("article_id,title\n")
    run("ingest", "a.csv", "--store", "e.db", cwd=tmp_path, status=1)
    done = run("nightly", "--store", "e.db", "--published", "p", cwd=tmp_path, status=3)
    assert "held back" in done.stderr


def test_recommend_prints_json_of_one_page(site):
    done = run(
        "recommend",
        "--published",
        "published",
        "--user",
        "u0007",
        "--article",
        "a0030",
        "--json",
        "--as-of",
        AS_OF,
        cwd=site,
    )
    page = json.loads(done.stdout)
    slots = [slot for slots in page["lists"].values() for slot in slots]
    assert len({slot["article_id"] for slot in slots}) == 21
    assert {"rank", "title", "category", "url", "published_at", "score", "reason", "parts"} <= set(
        slots[0]
    )


@pytest.mark.slow
def test_runs_rollback_and_export(site):
    run("nightly", "--store", "recsys.db", "--published", "published", "--as-of", AS_OF, cwd=site)
    listed = run("runs", "--published", "published", "--store", "recsys.db", cwd=site).stdout
    assert listed.count("20260302T060000Z") == 2
    assert "serving 000001" in run("rollback", "--published", "published", cwd=site).stdout
    run("rollback", "--published", "published", cwd=site, status=1)  # nothing before the first
    frames = []
    for name in ("rows.csv", "rows.jsonl", "rows.parquet"):
        run("export", "--published", "published", "--to", name, cwd=site)
        read = {
            "csv": pl.read_csv,
            "jsonl": partial(pl.read_ndjson, infer_schema_length=None),
            "parquet": pl.read_parquet,
        }
        frames.append(read[name.rpartition(".")[2]](site / name))
    assert frames[0].shape == frames[1].shape == frames[2].shape
    assert frames[2]["rank"].max() == 6
    run("export", "--published", "published", "--to", "rows.xls", cwd=site, status=2)


def test_refresh_publishes_a_run_and_evaluate_writes_its_report(site):
    run("refresh", "--store", "recsys.db", "--published", "published", "--as-of", AS_OF, cwd=site)
    since = ("--test-from", "2026-03-01T06:00:00Z", "--config", "quick.toml")
    (site / "quick.toml").write_text("[learn]\ndays = 1\n", "utf-8")
    done = run(
        "evaluate",
        "--store",
        "recsys.db",
        "--json",
        "report.json",
        "--html",
        "report.html",
        *since,
        cwd=site,
    )
    assert "in view" in done.stdout
    assert "full list" in done.stdout
    report = json.loads((site / "report.json").read_text("utf-8"))
    assert {"protocol", "n_impressions", "n_users", "systems", "full_list"} <= set(report)
    assert f"{report['systems']['blend']['auc']['mean']:.3f}" in done.stdout
    assert "<svg" in (site / "report.html").read_text("utf-8")
    run("evaluate", "--store", "recsys.db", "--protocol", "weekly", cwd=site, status=2)


def test_forget_leaves_no_byte(site):
    book = ("--store", "recsys.db", "--published", "published")
    assert "no byte" in run("forget", "u0011", *book, cwd=site).stdout
    assert "deleted 0 clicks" in run("forget", "u0011", *book, cwd=site, status=1).stdout


def test_rank_orders_given_articles(site):
    command = ("rank", "--published", "published", "--user", "u0007", "a0030", "a0031", "new")
    command += ("--as-of", AS_OF)
    done = run(*command, cwd=site)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert sorted(line[1] for line in lines[:2]) == ["a0030", "a0031"]
    assert lines[2] == ["3", "new", "unknown"]
    ranked = run(*command, "--new", "new", cwd=site).stdout
    assert "unknown" not in ranked


@pytest.mark.slow
def test_editors_rule_explain_and_look(site):
    book = ("--store", "recsys.db", "--published", "published")
    who = ("--author", "Ann", "--reason", "front page", "--from", "2026-03-01T00:00:00Z")
    pin = ("rules", "add", "pin", "a0133", "--list", "must_reads", "--slot", "1")
    assert "r1: pin a0133" in run(*pin, *book, *who, cwd=site).stdout
    block = run("rules", "add", "block", "a0133", *book, *who, cwd=site, status=1)
    assert "no pin holds" in block.stderr
    assert run("rules", "add", "pin", *book, *who, cwd=site, status=2)
    listed = run("rules", "list", *book, cwd=site).stdout
    assert "pin a0133 to slot 1 of must_reads │ 2026-03-01T00:00:00Z │" in listed
    for typo, problem in (
        (("boost", "Culture", "--by", "section"), "amount is required for a boost"),
        (("pin", "a0134", "--list", "must_reads", "--slot", "9"), "more than 5 slots"),
    ):
        assert problem in run("rules", "add", *typo, *book, *who, cwd=site, status=1).stderr
    typo = ("rules", "add", "block", "Sprots", "--by", "section")
    warned = run(*typo, *book, *who, "--until", "2026-03-01T00:00:01Z", cwd=site).stdout
    assert "r2: matches 0 articles now" in warned
    assert "did you mean “Sports”?" in warned
    page = ("--published", "published", "--user", "u0007", "--as-of", AS_OF)
    said = run("explain", *page, "--list", "must_reads", cwd=site).stdout
    assert "Chosen by the editors" in said
    assert "rule r1: pin a0133 to slot 1 of must_reads (Ann: front page)" in said
    plain = json.loads(run("explain", *page, "--json", cwd=site).stdout)
    first = plain["lists"]["must_reads"][0]
    assert (first["article_id"], first["rules"][0]["author"]) == ("a0133", "Ann")
    run("explain", *page, "--list", "front", cwd=site, status=2)
    run("preview", *page, "--article", "a0030", "--out", "page.html", cwd=site)
    assert "Chosen by the editors" in (site / "page.html").read_text("utf-8")
    run("rules", "export", *book, "--to", "rules.json", cwd=site)
    run("rules", "end", "r1", *book, *who[:4], cwd=site)
    assert "r1" in run("rules", "history", *book, cwd=site).stdout
    present = ("recommend", *page[:4])  # the rule was in force at AS_OF, and stays so
    assert "Chosen by the editors" not in run(*present, cwd=site).stdout
    run("rules", "import", "rules.json", *book, cwd=site)
    assert "Chosen by the editors" in run(*present, cwd=site).stdout
    (site / "bad.json").write_text('[{"kind": "block", "value": 7}]')
    assert "bad.json" in run("rules", "import", "bad.json", *book, cwd=site, status=1).stderr
    run("rules", "end", "r3", *book, *who[:4], cwd=site)


def test_tune_writes_settings_that_can_be_used(site):
    (site / "none.toml").write_text("[learn]\nmin_choices = 1000000\n", "utf-8")
    done = run(
        "tune",
        "--store",
        "recsys.db",
        "--to",
        "tuned.toml",
        "--folds",
        "1",
        "--trials",
        "1",
        "--config",
        "none.toml",
        cwd=site,
    )
    assert "before" in done.stdout
    assert "min_choices = 1000000" in (site / "tuned.toml").read_text("utf-8")


def test_the_scripts_are_the_same_commands(site):
    for script in ("ingest", "nightly", "evaluate"):
        done = subprocess.run(
            [sys.executable, ROOT / "scripts" / f"{script}.py", "--help"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "--store" in done.stdout


def test_the_sample_is_what_its_script_writes(tmp_path):
    subprocess.run(
        [sys.executable, ROOT / "scripts" / "make_sample.py", tmp_path / "sample"],
        check=True,
        capture_output=True,
    )
    for path in [*SAMPLE.iterdir(), SAMPLE.with_suffix(".json")]:
        written = tmp_path / path.relative_to(SAMPLE.parent)
        assert written.read_bytes() == path.read_bytes(), path.name


@pytest.mark.slow
@needs_shared
def test_mind_from_files_to_a_page(tmp_path):
    mind = SHARED / "mind"
    run("ingest", mind / "news.tsv", mind / "behaviors.tsv", "--store", "m.db", cwd=tmp_path)
    run(
        "nightly",
        "--store",
        "m.db",
        "--published",
        "m",
        "--as-of",
        "2019-11-13T00:00:00Z",
        cwd=tmp_path,
    )
    done = run(
        "recommend",
        "--published",
        "m",
        "--user",
        "U10039",
        "--article",
        "N34579",
        "--json",
        cwd=tmp_path,
    )
    lists = json.loads(done.stdout)["lists"]
    ids = [slot["article_id"] for slots in lists.values() for slot in slots]
    assert len(ids) == len(set(ids)) == 21
    assert lists["you_may_also_like"][0]["reason_code"] == "related"


@pytest.mark.slow
@needs_shared
def test_ebnerd_from_ids_alone_to_a_page(tmp_path):
    run("ingest", SHARED / "ebnerd" / "train", "--store", "e.db", cwd=tmp_path)
    (tmp_path / "e.toml").write_text("[data]\nrequire_title = false\n")
    run(
        "nightly",
        "--store",
        "e.db",
        "--published",
        "e",
        "--config",
        "e.toml",
        "--as-of",
        "2023-05-25T04:00:00Z",
        cwd=tmp_path,
    )
    done = run("recommend", "--published", "e", "--user", "13538", "--json", cwd=tmp_path)
    lists = json.loads(done.stdout)["lists"]
    assert [len(slots) for slots in lists.values()] == [5, 5, 5, 6]


@pytest.mark.slow
@needs_shared
def test_saved_pages_give_their_bodies(tmp_path):
    from collections import Counter

    from recsys.store.database import Store

    truth = json.loads((SHARED / "html" / "ground-truth.json").read_text("utf-8"))
    pages = SHARED / "html" / "pages"
    run("ingest", pages, SHARED.parent / "page.txt", "--store", "h.db", cwd=tmp_path)
    with Store(tmp_path / "h.db") as store:
        articles = store.articles(known_by_ms=2**53)
        texts = store.bodies(articles.id_map.keys.tolist())
    bodies = dict(zip(articles.id_map.ids, texts, strict=True))
    assert set(bodies) == set(truth) | {"page"}
    words = lambda text: Counter(re.findall(r"\w+", text.lower()))  # noqa: E731
    scores = []
    for key, true in truth.items():
        found, wanted = words(bodies[key]), words(true["articleBody"])
        scores.append(2 * (found & wanted).total() / (found.total() + wanted.total()))
    assert sum(scores) / len(scores) >= 0.93
    assert "Walnuts" not in bodies["page"]
