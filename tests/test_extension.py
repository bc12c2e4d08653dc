"""A static signal and a list, added by rows of their tables alone, reach every command."""

import csv
import json
import os
import shutil
import tomllib

import pytest
from conftest import ROOT
from newsroom import SAMPLE, at, run

SIGNAL = '''
def youth(articles: ArticlesAt) -> Floats:
    """Return 1 for a new article, and half of it for every two days."""
    young: Floats = np.exp2(-articles.age_hours / 48.0)
    return young
'''
SIGNAL_ROW = """    Signal(
        name="youth",
        kind="static",
        weight=2.5,
        label="less than a few days old",
        reason="new",
        may_be_negative=True,
        compute=static_signals.youth,
    ),
)
"""
LIST_ROW = """    ListRow(name="most_popular", title="Most Popular", scorer="popular"),
)
"""


def with_last_row(text, table, row):
    """Return the text of a module with one more row in a table."""
    start = text.index(f"{table}: tuple[")
    end = text.index("\n)\n", start)
    return text[:end] + "\n" + row + text[end + 3 :]


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """A newsroom of the sample and a copy of the package with a new signal and a new list."""
    here = tmp_path_factory.mktemp("extended")
    package = here / "code" / "recsys"
    shutil.copytree(ROOT / "recsys", package, ignore=shutil.ignore_patterns("__pycache__"))
    signals = package / "signals" / "static_signals.py"
    signals.write_text(signals.read_text("utf-8") + "\n" + SIGNAL, "utf-8")
    for path, table, row in (
        (package / "blend" / "signal_table.py", "SIGNALS", SIGNAL_ROW),
        (package / "page" / "list_table.py", "LISTS", LIST_ROW),
    ):
        path.write_text(with_last_row(path.read_text("utf-8"), table, row), "utf-8")
    env = os.environ | {"PYTHONPATH": str(here / "code")}

    def command(*arguments):
        done = run(here, *arguments, env=env)
        assert done.status == 0, (arguments, done)
        return done.out

    (here / "learn.toml").write_text("[learn]\ndays = 2\n")
    command("ingest", SAMPLE, "--store", "s.db")
    both = ("--store", "s.db", "--published", "p", "--config", "learn.toml")
    command("nightly", *both, "--as-of", at(-3))
    return here, command, both


@pytest.mark.slow
def test_a_new_signal_and_a_new_list_are_on_the_pages_of_a_night_and_of_a_refresh(extended):
    here, command, both = extended
    at_night = json.loads(command("runs", "--store", "s.db", "--published", "p", "--json"))
    for instant, kind in ((at(-3), "nightly"), (at(0), "refresh")):
        if kind == "refresh":
            command("refresh", *both, "--as-of", instant)
        page = ("--published", "p", "--user", "u0007", "--article", "a0030", "--as-of", instant)
        lists = json.loads(command("recommend", *page, "--json"))["lists"]
        assert list(lists)[-2:] == ["latest_stories", "most_popular"]
        assert len(lists["most_popular"]) == 5
        assert {slot["reason"][:7] for slot in lists["most_popular"]} == {"Popular"}
        assert {slot["reason"][:3] for slot in lists["latest_stories"]} <= {"New", "Jus"}
        shown = [slot["article_id"] for slots in lists.values() for slot in slots]
        assert len(set(shown)) == len(shown) == 26

        explained = json.loads(command("explain", *page, "--json"))["lists"]
        liked = explained["you_may_also_like"]
        assert any("youth" in slot["parts"] for slot in liked)
        for slot, served in zip(liked, lists["you_may_also_like"], strict=True):
            assert sum(slot["parts"].values()) == pytest.approx(served["score"], abs=0.001)
        assert all(set(slot["parts"]) == {"popularity"} for slot in explained["most_popular"])

        command("preview", *page, "--out", "page.html")
        text = (here / "page.html").read_text("utf-8")
        assert '<section id="most_popular"' in text
        assert "Most Popular" in text
        assert "less than a few days old" in text

        command("export", "--published", "p", "--to", "rows.csv")
        with (here / "rows.csv").open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["list"] == "most_popular"]
        assert {row["audience"] for row in rows} == {"user", "anonymous", "article"}
    assert at_night[-1]["run_id"]
    weights = tomllib.loads(command("config"))["blend"]["weights"]
    assert weights["youth"] == 2.5


@pytest.mark.slow
def test_rules_name_the_new_list(extended):
    _, command, _ = extended
    who = ("--author", "Ann", "--reason", "x", "--store", "s.db", "--published", "p")
    command(
        "rules",
        "add",
        "pin",
        "a0133",
        "--list",
        "most_popular",
        "--slot",
        "2",
        "--from",
        at(-9),
        *who,
    )
    page = ("--published", "p", "--as-of", at(0), "--json")
    lists = json.loads(command("recommend", *page))["lists"]
    assert lists["most_popular"][1]["article_id"] == "a0133"


@pytest.mark.slow
def test_the_new_signal_is_learned_and_the_new_list_is_judged(extended):
    here, command, _ = extended
    command("evaluate", "--store", "s.db", "--json", "report.json", "--config", "learn.toml")
    report = json.loads((here / "report.json").read_text("utf-8"))
    assert 0.0 < report["full_list"]["youth"]["hit@5"]["mean"] < 1.0
    judged = report["purposes"]["most_popular"]
    assert judged["most_popular, assignment"]["mean"] > judged["random"]["mean"]
    assert set(report["pages"]) == {
        "assignment",
        "by turns",
        "one ranking",
        "separate lists",
        "best fixed",
    }
