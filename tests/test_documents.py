"""What the documents say is true: their commands and their code run, their links lead somewhere.

A block with a comment `<!-- not run: why -->` before it is not run. One with
`<!-- needs: module -->` runs where that module is installed, as it is in CI.
"""

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec

import pytest
import typer
from conftest import ROOT, SAMPLE

from recsys.cli.main import app
from recsys.config_file import load_config
from recsys.rows import FIELDS

PAGES = sorted(path.name for path in (ROOT / "docs").glob("*.md"))
DOCUMENTS = ["README.md", "CONTRIBUTING.md", "data/README.md"]
DOCUMENTS += [f"docs/{name}" for name in PAGES]
SERVER = "/srv/news"  # where the newsroom of the crontabs and units is
MOST_NOT_RUN = 12
NOT_CODE = {"text", "dockerfile"}  # languages of blocks that are looked at only
BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>not run|needs): (?P<why>.+?) -->\n\n)?"
    r"^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?\+00:00")


@dataclass(frozen=True)
class Block:
    language: str
    text: str
    mark: str | None
    why: str | None


def blocks_of(document):
    text = (ROOT / document).read_text("utf-8")
    found = [Block(**match.groupdict()) for match in BLOCK.finditer(text)]
    assert 2 * len(found) == len(re.findall("^```", text, re.MULTILINE)), document
    return found


def moved_to_now(text, by):
    return INSTANT.sub(lambda found: (datetime.fromisoformat(found[0]) + by).isoformat(), text)


@pytest.fixture(scope="session")
def programs(tmp_path_factory):
    """The environment of a shell that has this recsys, and this Python."""
    folder = tmp_path_factory.mktemp("bin")
    for name, start in (("recsys", f"{sys.executable} -m recsys"), ("python", sys.executable)):
        (folder / name).write_text(f'#!/bin/sh\nexec {start} "$@"\n')
        (folder / name).chmod(0o755)
    return os.environ | {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "200"}


@pytest.fixture(scope="session")
def newsroom_of_today(programs, tmp_path_factory):
    """The sample as if it were of today, ingested and published: commands need no --as-of."""
    folder = tmp_path_factory.mktemp("today")
    as_of = datetime.fromisoformat(json.loads(SAMPLE.with_suffix(".json").read_text())["as_of"])
    by = datetime.now(UTC) - as_of
    (folder / "data" / "sample").mkdir(parents=True)
    for path in SAMPLE.iterdir():
        packed = path.suffix == ".gz"
        text = (gzip.decompress(path.read_bytes()) if packed else path.read_bytes()).decode(
            "utf-8", "surrogateescape"
        )
        moved = moved_to_now(text, by).encode("utf-8", "surrogateescape")
        (folder / "data" / "sample" / path.name).write_bytes(
            gzip.compress(moved) if packed else moved
        )
    shutil.copytree(folder / "data" / "sample", folder / "incoming")
    (folder / "scripts").symlink_to(ROOT / "scripts")
    (folder / "recsys.toml").write_text("[data]\nkeep_days = 90\n")
    run_shell(
        "recsys ingest data/sample --store recsys.db\n"
        "recsys nightly --store recsys.db --published published",
        folder,
        programs,
    )
    return folder


def run_shell(text, folder, env):
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        cwd=folder,
        env=env,
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout


def run_session(text, folder, env):
    """Run the lines that begin with `$`; what is shown below each is printed, in that order."""
    for command in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        line, _, shown = command.partition("\n")
        printed = run_shell(line, folder, env)
        for expected in map(str.strip, shown.splitlines()):
            if expected not in ("", "..."):
                assert expected in printed, f"{line}: {expected}"
                printed = printed.partition(expected)[2]


def run_crontab(text, folder, env):
    for line in text.splitlines():
        if not re.match(r"[A-Z]+=", line):
            command = line.split(maxsplit=5)[5]
            run_shell(command.replace(SERVER, str(folder)), folder, env)


def run_python(text, folder, env):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", text],
        cwd=folder,
        env=env,
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, f"{text}\n{done.stderr}"


# What a client of the real framework gets from the code of a block that imports it.
ASK = """
import json
found = json.loads(get("/recommendations?user=u0007&article=a0030&recent=a0031"))
asked = recommender.recommend("u0007", "a0030", recent_clicks=["a0031"])
assert found == asked.as_dict(), found
"""
CLIENTS = {
    "fastapi": """
import asyncio

def get(address):
    path, _, query = address.partition("?")
    scope = {"type": "http", "method": "GET", "path": path, "headers": []}
    sent = []

    async def receive():
        return {"type": "http.request", "body": b""}

    async def send(message):
        sent.append(message)

    asyncio.run(app(scope | {"query_string": query.encode()}, receive, send))
    return b"".join(message.get("body", b"") for message in sent)
""",
    "flask": """
def get(address):
    return app.test_client().get(address).data
""",
    "django": """
import django
from django.test import Client

def get(address):
    return Client().get(address).content

django.setup()
""",
}


def asks_for_a_page(block):
    """Return the code of a block, and that which asks its framework for a page."""
    is_server = block.language == "python" and block.why in CLIENTS
    return block.text + CLIENTS[block.why] + ASK if is_server else block.text


def read_settings(text, folder, env):
    (folder / "block.toml").write_text(text, "utf-8")
    load_config(folder / "block.toml")


RUN = {
    "console": run_session,
    "bash": run_shell,
    "cron": run_crontab,
    "python": run_python,
    "toml": read_settings,
}


@pytest.mark.parametrize(
    "document",
    [pytest.param(name, marks=[pytest.mark.slow] * (name != "README.md")) for name in DOCUMENTS],
)
def test_every_block_of_a_document_runs(document, newsroom_of_today, programs, tmp_path):
    today = tmp_path / "today"
    shutil.copytree(newsroom_of_today, today, symlinks=True)
    session = tmp_path / "session"  # begins with nothing but the sample
    (session / "data").mkdir(parents=True)
    (session / "data" / "sample").symlink_to(SAMPLE)
    for block in blocks_of(document):
        if block.mark == "not run" or (block.mark == "needs" and find_spec(block.why) is None):
            continue
        if block.language not in NOT_CODE:
            folder = session if block.language == "console" else today
            RUN[block.language](asks_for_a_page(block), folder, programs)


@pytest.mark.slow
def test_the_example_from_files_to_a_finding_finds_what_the_sample_planted(tmp_path):
    script = [sys.executable, "-W", "error", ROOT / "docs" / "finding.py"]
    done = subprocess.run(
        [*script, SAMPLE, "f.db", "f.html"],
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "Re-ranking what was shown (nightly): blend won, with AUC" in done.stdout
    assert "What signal title_words adds to the blend (nightly): AUC" in done.stdout
    steps = re.findall(r"^(\d+) of (\d+): ", done.stderr, re.MULTILINE)
    assert steps[-1][0] == steps[-1][1]
    assert "sections" in (tmp_path / "f.html").read_text("utf-8")


def test_few_blocks_are_not_run_and_each_says_why():
    marked = [block for name in DOCUMENTS for block in blocks_of(name) if block.mark == "not run"]
    assert all(len(block.why.split()) > 3 for block in marked)
    assert len(marked) <= MOST_NOT_RUN


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text("utf-8").split()) <= 900


# ---- links ----------------------------------------------------------------------


def anchors_of(text):
    """Return the anchors of headings, as GitHub and mkdocs both make them of plain words."""
    headings = re.findall(r"^#+ (.+)$", re.sub(BLOCK, "", text), re.MULTILINE)
    return {
        re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings
    }


@pytest.mark.parametrize("document", [*DOCUMENTS, "CHANGELOG.md", "data/README.md"])
def test_links_lead_to_files_and_headings(document):
    text = re.sub(BLOCK, "", (ROOT / document).read_text("utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        path = (ROOT / document).parent / name if name else ROOT / document
        assert path.exists(), f"{document}: {target}"
        if anchor:
            assert anchor in anchors_of(path.read_text("utf-8")), f"{document}: {target}"


def test_every_page_of_the_manual_is_reached_from_its_start():
    start = (ROOT / "docs" / "index.md").read_text("utf-8")
    for name in PAGES:
        assert name == "index.md" or f"({name})" in start, name


# ---- reference ------------------------------------------------------------------


def commands_of(group, name=""):
    """Yield every command with its options, as the command line itself knows them."""
    for word, command in sorted(group.commands.items()):
        if hasattr(command, "commands"):
            yield from commands_of(command, f"{name} {word}")
        else:
            options = {o for p in command.params for o in p.opts if o.startswith("--")}
            yield f"recsys{name} {word}", options - {"--help"}


def test_every_command_and_option_is_in_the_manual():
    pages = [(ROOT / "docs" / name).read_text("utf-8") for name in ("operations.md", "editors.md")]
    rows = [line for page in pages for line in page.splitlines() if line.startswith("| `recsys ")]
    for command, options in commands_of(typer.main.get_command(app)):
        (row,) = [row for row in rows if re.match(rf"\| `{command}[ `]", row)]
        missing = {option for option in options if option not in row}
        # Said once: in the row of `rules add`, and of the log below the table.
        said_once = {"--store", "--published"} if "rules" in command else set()
        assert missing <= said_once | {"--verbose", "--quiet", "--log-json"}, row
        said = set(re.findall(r"--[a-z-]+", row.split(" | ")[0]))
        assert said <= options, row


def test_every_field_is_documented():
    text = (ROOT / "data" / "README.md").read_text("utf-8")
    for fields in FIELDS.values():
        for name in fields:
            assert f"`{name}`" in text, name
