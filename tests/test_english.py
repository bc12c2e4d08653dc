"""Words and phrases that no reader should meet here: they were private idiom of this project."""

import re

from conftest import ROOT

# Written so that this file holds none of them itself; a phrase may go on in the next line.
BANNED = re.compile(
    r"\b([o]f whom|[w]hose each|[t]ells|[t]old|[a]new|[n]obody|[a]nybody|[c]omes of"
    r"|[s]tands|[a]nd they)\b".replace(" ", r"\s+(?:[#*]\s+)?"),
    re.IGNORECASE,
)
SUFFIXES = {".py", ".c", ".h", ".md", ".jinja", ".html", ".toml", ".yml"}
# The sentences of the sample newsroom are data: a test compares their bytes with the script's.
DATA = {"scripts/make_sample.py"}


def texts():
    """Yield every file that a person reads: code, tests, templates, documents, configuration."""
    folders = ("recsys", "scripts", "tests", "docs")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*")]
    files += [*ROOT.glob("*"), ROOT / "data" / "README.md", ROOT / ".ci" / "run"]
    for path in files:
        if path.is_file() and (path.suffix in SUFFIXES or path.name == "run"):
            yield path.relative_to(ROOT).as_posix(), path.read_text("utf-8")


def test_banned_phrases_are_found_whatever_their_case_and_not_within_words():
    for phrase in ("Readers of w" + "hom", "To" + "ld by", "it st" + "ands", "an" + "ew;"):
        assert BANNED.search(phrase), phrase
    for phrase in ("test_what_is_t" + "old", "understands", "renewed", "a body"):
        assert not BANNED.search(phrase), phrase


def test_no_text_has_a_banned_phrase():
    found = [
        f"{name}:{text.count(chr(10), 0, match.start()) + 1}: {match[0]}"
        for name, text in texts()
        if name not in DATA
        for match in BANNED.finditer(text)
    ]
    assert found == []
