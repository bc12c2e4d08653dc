import json

import pytest
from read_file import read_file

from recsys.ingest import mind

AT = "11/13/2019 8:36:57 AM"


def news(title="[]", abstract="[]", subcategory="football"):
    return f"N1\tsports\t{subcategory}\tTitle\tAbstract\t\t{title}\t{abstract}\n"


def entities(*labels):
    return json.dumps([{"Label": label, "Type": "P", "WikidataId": "Q1"} for label in labels])


@pytest.mark.parametrize(
    ("line", "tags"),
    [
        (
            news(entities("Ana", "Oslo"), entities("Oslo", "Cup, 2019")),
            ["Ana", "Oslo", "Cup, 2019"],
        ),
        (news("", ""), []),
        (news("{broken", '[1, {"Label": 2}]'), []),
        (news('{"Label": "x"}'), []),
    ],
)
def test_subcategory_and_entities_are_tags(tmp_path, line, tags):
    (row,) = read_file(mind.read, tmp_path, line).articles
    assert row["tags"] == ["football", *tags]
    assert (row["category"], row["language"]) == ("sports", "en")


def test_an_article_without_subcategory_and_entities_has_no_tags(tmp_path):
    assert read_file(mind.read, tmp_path, news(subcategory="")).articles[0]["tags"] == []


def test_an_impression_that_does_not_say_what_was_clicked_is_ignored(tmp_path):
    text = f"1\tU1\t{AT}\tN1 N2\tN3 N4\n2\tU2\t{AT}\tN5\tN3-0 N4-1\n3\tU3\t{AT}\t\t\n"
    found = read_file(mind.read, tmp_path, text)
    assert [(row["row"], row.get("shown"), row.get("clicked")) for row in found.impressions] == [
        (2, ["N3", "N4"], ["N4"]),
        (3, None, None),  # rejected by the checks: nothing was shown
    ]
    assert found.ignored == {("impression", "does not say what was clicked"): 1}
    clicks = [(row["user_id"], row["article_id"]) for row in found.clicks]
    assert clicks == [("U1", "N1"), ("U1", "N2"), ("U2", "N5")]
