"""Articles by name: the same as a look at each article for each rule."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_rules import matching

from recsys.page.articles_by_name import ArticlesByName
from recsys.page.rules import BYS, GROUPED, Described

NAMES = st.sampled_from(
    ["", "Ann Lee", "ann lee", "Ｃｕｐ", "cup", "王室", "英国王室", "it's", "İzmir"]
)
TITLES = st.lists(NAMES, max_size=4).map(" ".join)


@settings(deadline=None)
@given(st.lists(st.tuples(NAMES, NAMES, TITLES, NAMES, TITLES), max_size=6), NAMES, st.data())
def test_articles_are_found_as_by_a_look_at_each(rows, value, data):
    authors, sections, tags, hosts, titles = zip(*rows, strict=True) if rows else [()] * 5
    live = data.draw(st.sets(st.integers(0, len(rows) - 1))) if rows else set()
    articles = Described(
        [f"a{i}" for i in range(len(rows))],
        authors,
        sections,
        [text.replace(" ", "\n") for text in tags],
        [f"https://{host}/" for host in hosts],
        titles,
        np.array(sorted(live), dtype=np.int64),
    )
    found = ArticlesByName(articles)
    for by in BYS:
        for name in (value, "a1", "cup ann", "王", ""):
            expected = np.flatnonzero(matching(articles, by, name)).tolist()
            assert found.rows(by, name).tolist() == expected, (by, name)


@pytest.mark.parametrize("by", GROUPED)
def test_live_articles_of_one_name_are_a_group(by):
    articles = Described(
        ["a", "b", "c", "d"],
        *[["X", "y", "x", ""]] * 2,
        [""] * 4,
        ["http://x.example/", "http://www.y.example", "//x.example", ""],
        [""] * 4,
        np.array([0, 1, 2, 3]),
    )
    found = ArticlesByName(articles)
    assert found.groups(by).tolist() == [0, 1, 0, -1]
    value = "x.example" if by == "source" else "X"
    assert found.groups(by, value).tolist() == [0, -1, 0, -1]
    assert found.groups(by, "Z").tolist() == [-1] * 4
