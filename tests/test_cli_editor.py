"""The editors' commands, as they are typed."""

import json

import pytest
from newsroom import AS_OF, BOTH, copied, run, well

AT = ("--as-of", AS_OF.isoformat())


@pytest.fixture(scope="module")
def here(newsroom, tmp_path_factory):
    return copied(newsroom, tmp_path_factory.mktemp("editor") / "here")


def test_explain_names_a_user_and_an_article_that_the_run_does_not_know(here):
    known = well(here, "explain", "--published", "p", "--user", "u0007", *AT).out
    assert "note: the run does not know" not in known
    said = well(here, "explain", "--published", "p", "--user", "x", "--article", "y", *AT).out
    assert "note: the run does not know the user x; strangers get this page" in said
    assert "note: the run does not know the article y, or may not show it" in said
    ask = ("explain", "--published", "p", *AT, "--json")
    assert json.loads(well(here, *ask, "--user", "u0007").out)["notes"] == []
    assert json.loads(well(here, *ask, "--user", "x", "--article", "y").out)["notes"] == [
        "the run does not know the user x; strangers get this page",
        "the run does not know the article y, or may not show it",
    ]


def test_a_cap_that_leaves_slots_empty_is_added_with_a_warning(here):
    who = ("--author", "Ann", "--reason", "variety")
    strict = well(here, "rules", "add", "cap", "", "--by", "author", "--amount", "1", *who, *BOTH)
    assert "warning: " in strict.out
    rule_id = strict.out.partition(":")[0]
    assert f"; rule {rule_id} allows 1 of a group" in strict.out
    well(here, "rules", "end", rule_id, *who, *BOTH)
    rule = {"kind": "cap", "by": "author", "value": "", "amount": 1, "author": "Ann"}
    rule |= {"reason": "x", "starts_ms": 0}
    (here / "caps.json").write_text(json.dumps([rule]))
    imported = well(here, "rules", "import", "caps.json", *BOTH).out
    rule_id = f"r{int(rule_id[1:]) + 1}"
    assert f"; rule {rule_id} allows 1 of a group" in imported
    well(here, "rules", "end", rule_id, *who, *BOTH)
    loose = well(here, "rules", "add", "cap", "", "--by", "author", "--amount", "90", *who, *BOTH)
    assert "warning: " not in loose.out


def test_rules_of_a_file_are_by_article_unless_they_say_otherwise(here):
    rule = {"kind": "block", "value": "a0001", "author": "Ann", "reason": "x", "starts_ms": 0}
    (here / "rules.json").write_text(json.dumps([rule]))
    assert "added 1 rules" in well(here, "rules", "import", "rules.json", *BOTH).out
    absent = run(here, "rules", "import", "absent.json", *BOTH)
    assert absent.status == 2
    assert absent.said.endswith("absent.json: refused: No such file or directory\n")
