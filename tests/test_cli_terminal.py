"""No byte of data acts on the terminal of whoever runs a command."""

import io
import json
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from newsroom import run
from rich.table import Table

from recsys.cli import terminal
from recsys.cli.terminal import Terminal, inert

# Sets a window's title, clears the screen, colours by one character, and turns text around.
WICKED = "\x1b]0;owned\x07\x1b[2J\x9b31mx\u202ey\u2028z\r\n\u200b[bold]:boom:"
HARMLESS = r"\x1b]0;owned\x07\x1b[2J\x9b31mx\u202ey\u2028z\r\n\u200b[bold]:boom:"
ID = "owned\u200f[bold]:boom:"  # ingest rejects ids with control characters
ACTS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def test_characters_that_act_on_a_terminal_are_escaped_and_others_are_not():
    assert inert(WICKED) == HARMLESS
    for text in (
        "größer, 한국어, العربية, ไทย",
        "a\xa0b\u3000c",
        "\U0001f468\u200d\U0001f469",
        "می\u200cخواهم",
    ):
        assert inert(text) == text


@given(st.text())
def test_no_text_acts_on_a_terminal(text):
    found = inert(text)
    assert not ACTS.search(found)
    assert "\n" not in found
    assert not {"Cc", "Cs", "Zl", "Zp"} & {unicodedata.category(character) for character in found}
    found.encode("utf-8")


def test_a_terminal_prints_texts_and_tables_inertly(monkeypatch):
    written = io.StringIO()
    console = Terminal(width=200)
    console.file = written
    table = Table(WICKED, title=WICKED)
    table.add_row(WICKED)
    console.print(WICKED, style="red")
    console.print(table)
    lines = [line.strip(" │┃") for line in written.getvalue().splitlines()]
    assert [line for line in lines if "owned" in line] == [HARMLESS] * 4
    assert not ACTS.search(written.getvalue())


@given(value=st.dictionaries(st.text(), st.text() | st.none()))
def test_json_is_inert_and_says_the_same(value):
    written = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(terminal.sys, "stdout", written)
        terminal.print_json(value)
    assert not ACTS.search(written.getvalue())
    written.getvalue().encode("utf-8")
    assert json.loads(written.getvalue()) == value


@pytest.fixture(scope="module")
def wicked(tmp_path_factory):
    """A folder with a published newsroom whose every text and id wants to act on the terminal."""
    folder = tmp_path_factory.mktemp("wicked")
    articles = [
        {"article_id": f"{ID}{i}", "title": f"{WICKED} {i} bridge", "category": f"{WICKED}s"}
        | {"published_at": "2026-03-02T04:00:00Z", "author": WICKED, "url": "https://n.example/"}
        for i in range(12)
    ]
    clicks = [
        {"user_id": f"{ID}u{k % 7}", "article_id": f"{ID}{k % 5}"}
        | {"clicked_at": f"2026-03-02T05:{k:02d}:00Z"}
        for k in range(35)
    ]
    rejected = [{"user_id": WICKED, "article_id": WICKED, "clicked_at": WICKED}]
    for name, rows in (("articles", articles), ("clicks", clicks + rejected)):
        text = "\n".join(json.dumps(row) for row in rows)
        (folder / f"{name}\x1b[2J.jsonl").write_text(text + "\n", "utf-8")
    (folder / "c.toml").write_text("[learn]\ndays = 0\n")
    return folder


BOTH = ("--store", "s.db", "--published", "p")
AS_OF = ("--as-of", "2026-03-02T06:00:00Z")
PAGE = ("--published", "p", *AS_OF)
USER, ARTICLE = f"{ID}u1", f"{ID}1"
WHO = ("--author", WICKED, "--reason", WICKED)
BLOCK = ("rules", "add", "block", WICKED, "--by", "section", *BOTH, *WHO)
COMMANDS = [
    ("ingest", "articles\x1b[2J.jsonl", "clicks\x1b[2J.jsonl", "--store", "s.db"),
    ("ingest", "articles\x1b[2J.jsonl", "--store", "s.db", "--format", "rss"),
    ("ingest", "none\x1b[2J.jsonl", "--store", "s.db"),
    ("nightly", *BOTH, *AS_OF, "--config", "c.toml"),
    ("recommend", *PAGE, "--user", USER, "--article", ARTICLE),
    ("recommend", *PAGE, "--user", USER, "--json"),
    ("rank", *PAGE, ARTICLE, "a2", "--user", USER),
    ("explain", *PAGE, "--user", USER, "--article", ARTICLE),
    ("explain", *PAGE, "--json"),
    ("audience", ARTICLE, *BOTH, *AS_OF),
    ("audience", ARTICLE, *BOTH, *AS_OF, "--json"),
    ("audience", WICKED, *BOTH, *AS_OF),
    BLOCK,
    ("rules", "list", *BOTH),
    ("rules", "history", *BOTH),
    ("rules", "history", *BOTH, "--json"),
    ("rules", "end", WICKED, *BOTH, *WHO),
    ("refresh", *BOTH, "--as-of", "2026-03-02T07:00:00Z"),
    ("runs", *BOTH),
    ("health", *PAGE),
    ("diff", "000001-20260302T060000Z", "000002-20260302T070000Z", "--published", "p"),
    ("diff", WICKED, WICKED, "--published", "p"),
    ("forget", USER, *BOTH),
    ("recommend", "--published", f"p{WICKED}"),
    ("evaluate", "--store", f"none{WICKED}"),
]


def test_no_command_lets_data_act_on_the_terminal(wicked, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")  # so that no table breaks a text
    said = []
    for command in COMMANDS:
        done = run(wicked, *command)
        for text in (done.out, done.said):
            assert not ACTS.search(text), command
        said.append(done.out + done.said)
    assert all(said)
    assert sum("owned" in text for text in said) >= 12  # the texts were shown, inertly


def test_characters_that_the_terminal_lacks_are_escaped(wicked, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "latin-1")
    done = run(wicked, "rules", "add", "block", "한국", "--by", "tag", *BOTH, *WHO)
    assert (done.status, r"tag \u201c\ud55c\uad6d\u201d" in done.out) == (0, True)


def test_messages_about_wrong_usage_repeat_arguments_inertly(tmp_path):
    acts = "x\x1b[2J\u202ey"
    lines = ((f"--{acts}",), ("nightly", f"--{acts}"), ("rules", acts), ("demo", acts))
    for line in lines:
        done = run(tmp_path, *line)
        assert done.status == 2
        assert not ACTS.search(done.said), line
