"""Statements of the documents that can be checked: names, tables, and numbers that are defaults.

The code of the documents runs in `test_documents.py`.
"""

import ast
import gzip
import importlib
import json
import re
import shlex

import pytest
import typer
from conftest import ROOT, SAMPLE
from test_documents import BLOCK, DOCUMENTS, commands_of
from test_layers import MAY_IMPORT, SINGLE_FILES

import recsys
from recsys.blend.curves import feature_names
from recsys.cli.main import app
from recsys.config import Config, LearnConfig
from recsys.config_file import PATHS
from recsys.config_page import FilterConfig
from recsys.ingest.detect import FORMATS
from recsys.learn.protocols import PROTOCOLS
from recsys.operations.export_rows import COLUMNS
from recsys.page.known_articles import KnownArticle
from recsys.page.list_table import ARTICLE, SCORERS, layouts_of
from recsys.page.rules import BYS, KINDS
from recsys.page.translations import catalog_languages
from recsys.serving.recommender import Recommender

CONFIG = Config()
# Paths within the published folder and the working directory of the reader.
OF_THE_READER = {"recsys.toml", "rules.json", "rules.last.json", "urls.py", "views.py"}
OF_THE_READER |= {"DIR/current", "DIR/rules.json", "DIR/exports.jsonl", "vectors.ids.txt"}
OF_THE_READER |= {"recsys.cdx.json"}
PUBLIC = {"Page", "Recommendation", "Recommender"}
VALUES = {"page": "Page", "slot": "Recommendation"}  # as the documents name them
LANGUAGE_NAMES = "English, German, Danish, French, Spanish and Korean"


def text_of(document):
    """Return the prose of a document in one line, without its blocks of code."""
    return " ".join(re.sub(BLOCK, "", (ROOT / document).read_text("utf-8")).split())


def table_after(document, heading):
    """Return the cells of the first table below a heading, without its header."""
    text = ("\n" + (ROOT / document).read_text("utf-8")).partition(f"\n{heading}\n")[2]
    lines = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def names_in(cells):
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


def code_spans(document):
    return re.findall(r"`([^`]+)`", text_of(document))


# ---- names ----------------------------------------------------------------------


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_named_in_a_sentence_exist_with_their_options(document):
    known = {tuple(name.split()): options for name, options in commands_of(app_group())}
    groups = {name[:-1] for name in known}
    for span in code_spans(document):
        if not span.startswith("recsys ") or span == "recsys --version":
            continue
        words = shlex.split(re.sub(r"[][]|\.\.\.", " ", span))
        name = max((n for n in known if n == tuple(words[: len(n)])), key=len, default=None)
        if name is None:
            assert tuple(words) in groups, f"{document}: {span}"
            continue
        said = {word for word in words if word.startswith("--")}
        assert said <= known[name], f"{document}: {span}"


def app_group():
    return typer.main.get_command(app)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_paths_named_in_a_sentence_exist(document):
    for span in code_spans(document):
        is_path = re.fullmatch(r"[\w./*-]+\.(?:py|md|toml|json|jsonl|c|h|txt|po|jinja)", span)
        if not is_path and not re.fullmatch(r"(?:recsys|tests|docs|scripts|data)/[\w./*-]*", span):
            continue
        if span in OF_THE_READER:
            continue
        pattern = span.replace("LANGUAGE", "*")
        found = [*ROOT.glob(pattern), *(ROOT / "recsys").glob(f"**/{pattern}")]
        found += (ROOT / "tests").glob(f"**/{pattern}")
        assert found, f"{document}: {span}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_names_of_python_in_a_sentence_exist(document):
    for span in code_spans(document):
        first, *rest = re.match(r"[\w.]*", span)[0].split(".")
        if first == "recsys" and rest and span not in OF_THE_READER:
            assert resolves(recsys, rest), f"{document}: {span}"
        if (name := VALUES.get(first, first)) in PUBLIC:
            fields = getattr(getattr(recsys, name), "__annotations__", {})
            for attribute in rest[:1]:
                is_there = hasattr(getattr(recsys, name), attribute) or attribute in fields
                is_list = first == "page" and attribute in layouts_of(CONFIG)[ARTICLE].names
                assert is_there or is_list, f"{document}: {span}"


def resolves(module, names):
    for i, name in enumerate(names):
        if not hasattr(module, name):
            try:
                importlib.import_module(".".join(["recsys", *names[: i + 1]]))
            except ImportError:
                return False
        module = getattr(module, name)
    return True


@pytest.mark.parametrize("document", DOCUMENTS)
def test_settings_named_in_a_sentence_exist(document):
    for span in code_spans(document):
        match = re.fullmatch(r"\[(\w+)(?:\.\w+)*\](?: (\w+)(?: = .+)?)?", span)
        if match and match[1] != PATHS:
            table = getattr(CONFIG, match[1])
            assert match[2] is None or hasattr(table, match[2]), f"{document}: {span}"


# ---- tables ---------------------------------------------------------------------


def test_tables_have_a_row_for_each_thing_that_there_is():
    scorers = [row[0] for row in table_after("docs/layouts.md", "## Scorers")]
    assert sorted(names_in(scorers)) == sorted(SCORERS)
    rules = [row[0] for row in table_after("docs/editors.md", "## Rules")]
    assert sorted(names_in(rules)) == sorted(KINDS)
    formats = [row[0] for row in table_after("data/README.md", "## Formats")]
    assert sorted(names_in(formats)) == sorted(FORMATS)
    columns = [row[0] for row in table_after("docs/cookbook.md", "## Plain rows for a CMS")]
    assert names_in(columns) == list(COLUMNS)
    wheels = table_after("docs/operations.md", "## Installing")
    assert {row[0].strip("`"): row[1].strip("`") for row in wheels} == wheel_tags()
    protocols = [row[0] for row in table_after("docs/evaluation.md", "# Evaluation")]
    assert protocols == list(PROTOCOLS)


def wheel_tags():
    """Return `TAGS` of the build hook, which only a build can import."""
    for node in ast.parse((ROOT / "hatch_build.py").read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "TAGS":
            return ast.literal_eval(node.value)
    raise AssertionError("hatch_build.py has no TAGS")


def test_the_architecture_names_every_folder_and_file_at_the_bottom():
    folders = [row[0] for row in table_after("docs/architecture.md", "## Folders")]
    assert sorted(names_in(folders)) == sorted(f"{name}/" for name in MAY_IMPORT)
    (bottom,) = re.findall(r"At the bottom are single files: (.+?) ##", text_of(ARCHITECTURE))
    assert sorted(names_in([bottom])) == sorted(f"{name}.py" for name in SINGLE_FILES)


def test_the_manual_begins_with_the_lists_of_a_page():
    rows = table_after("docs/index.md", "# recsys")
    lists = layouts_of(CONFIG)[ARTICLE].lists
    assert [row[:2] for row in rows] == [[of.title(), str(of.n_slots)] for of in lists]


def test_filters_and_what_a_rule_is_by_are_listed():
    (keys,) = re.findall(r"every key of it: (.+?)\.", text_of("docs/layouts.md"))
    assert sorted(names_in([keys])) == sorted(FilterConfig.__struct_fields__)
    (bys,) = re.findall(r"`--by` says which articles a rule is for: (.+?)\.", text_of(EDITORS))
    assert sorted(names_in([bys])) == sorted(BYS)


# ---- numbers --------------------------------------------------------------------

ARCHITECTURE, EDITORS = "docs/architecture.md", "docs/editors.md"
OPERATIONS = "docs/operations.md"


def number(value):
    return f"{value:g}"


def without_zero(value):
    return number(value).removeprefix("0")


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (OPERATIONS, f"`[publish] keep_runs` runs are kept ({CONFIG.publish.keep_runs})"),
        (OPERATIONS, f"live for {number(CONFIG.data.max_age_hours)} hours after its publication"),
        (OPERATIONS, f"more than {CONFIG.data.max_clicks_per_hour} clicks in an hour, "),
        (OPERATIONS, f" {CONFIG.data.max_clicks_per_day} in a day, or "),
        (OPERATIONS, f" or {CONFIG.data.max_clicks_per_article} on one article in a day"),
        (OPERATIONS, f"by more than {round(100 * CONFIG.publish.max_worse_share)} points"),
        (OPERATIONS, f"AUC lower by {without_zero(CONFIG.publish.max_lost_auc)}"),
        (OPERATIONS, f"older than {number(36)} hours (`max_hours`)"),
        ("docs/data.md", f"the last {number(CONFIG.data.window_days)} days: a nightly run reads"),
        (ARCHITECTURE, f"curves over {len(feature_names())} features"),
        (ARCHITECTURE, f"has fewer than {LearnConfig().min_choices} choices to learn from"),
        (ARCHITECTURE, f"by a cosine of {without_zero(CONFIG.page.story_similarity)}, or of"),
        (
            ARCHITECTURE,
            f"or of {without_zero(CONFIG.page.event_similarity)} within"
            f" {number(CONFIG.page.event_hours)} hours",
        ),
        (EDITORS, "each list keeps three slots before another gets more"),
        (EDITORS, "our own cap (two of a section in Must-Reads)"),
        (
            "docs/evaluation.md",
            f"a cosine of {without_zero(CONFIG.page.story_similarity)} (copies)",
        ),
        ("README.md", "come in six languages"),
        ("docs/cookbook.md", f"come in {LANGUAGE_NAMES}"),
    ],
)
def test_a_number_in_a_sentence_is_the_default(document, said):
    assert said in text_of(document)


def test_numbers_in_words_are_the_defaults():
    assert CONFIG.page.minimum == 3
    must_reads = next(of for of in layouts_of(CONFIG)[ARTICLE].lists if of.name == "must_reads")
    assert must_reads.max_of_section == 2
    assert CONFIG.publish.min_share_of_last_run == 0.5  # "fewer than half"
    assert Recommender.health.__kwdefaults__["max_hours"] == 36
    assert len(catalog_languages()) == 6


def test_the_sample_is_what_the_page_on_data_says(sample_store):
    counts, said = sample_store.counts(), text_of("data/README.md")
    articles = sample_store.articles(known_by_ms=2**60)
    with_title = [title for title in articles.titles if title]
    assert f"{len(with_title)} articles in six sections and two languages" in said
    sections = {section.casefold().strip() for section in articles.categories} - {""}
    assert len({section.replace("\xa0", "") for section in sections}) == 6
    assert len({language for language in articles.languages if language}) == 2
    rows = gzip.decompress((SAMPLE / "clicks.csv.gz").read_bytes()).splitlines()[1:]
    n_faults = {"articles": 3, "clicks": 8}  # at the ends of the files
    assert (
        f"{counts['impressions']:,} impressions, {len(rows) - n_faults['clicks']:,} clicks" in said
    )
    assert (
        f"{sum(n_faults.values())} rows with a fault, of which {counts['rejected_rows']} are"
        in said
    )
    assert f"{counts['users']:,} users with tastes" in said
    about = json.loads(SAMPLE.with_suffix(".json").read_text("utf-8"))
    assert set(about) >= {"as_of", "pages"}


def test_an_article_has_the_fields_of_a_slot_that_are_of_the_article():
    # `Recommender.article` returns "the same fields of one article (and its `tags`)".
    of_article = set(KnownArticle._fields) | {"published_at", "modified_at"}
    own = {"score", "reason", "reason_code", "reason_values", "propensity", "rules"}
    assert set(recsys.SlotDict.__annotations__) - own <= of_article
    assert "tags" in of_article
