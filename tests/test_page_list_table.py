import pytest

from recsys.config import Config
from recsys.config_file import config_of
from recsys.config_page import ListConfig
from recsys.errors import ConfigError
from recsys.page.list_table import LISTS, layouts_of, list_names, require_known_names


def layouts(toml_tables):
    return layouts_of(config_of({"layouts": toml_tables}, "recsys.toml"))


def test_the_shipped_layout_is_four_lists_of_one_row_each():
    article = layouts_of(Config())["article"]
    assert article.names == ("you_may_also_like", "popular_now", "must_reads", "latest_stories")
    assert [of.n_slots for of in article.lists] == [5, 5, 5, 6]
    assert [of.priority for of in article.lists] == [1.6, 1.0, 1.0, 1.0]
    assert [of.max_of_section for of in article.lists] == [0, 0, 2, 0]
    assert article.n_page == 21


def test_settings_change_a_shipped_list_and_add_others():
    found = layouts(
        {
            "front": {
                "must_reads": {"slots": 8},
                "politics": {"scorer": "latest", "filter": {"section": "Politics"}},
            }
        }
    )
    assert set(found) == {"article", "front"}
    must_reads, politics = found["front"].lists
    assert (must_reads.n_slots, must_reads.scorer, must_reads.max_of_section) == (8, "important", 2)
    assert (politics.key, politics.n_slots, politics.title()) == ("front.politics", 6, "Politics")
    assert politics.filter.section == ("Politics",)


def test_a_title_of_the_settings_holds_in_every_language():
    own = layouts({"article": {"must_reads": {"title": "The Five"}}})["article"].lists[0]
    shipped = layouts({"article": {"must_reads": {}}})["article"].lists[0]
    assert (own.title("de"), own.title("en")) == ("The Five", "The Five")
    assert shipped.title("de") == "Das sollten Sie lesen"
    assert shipped.title("xx") == shipped.title() == "Must-Reads"


def test_the_settings_give_a_layout_its_language_by_its_name():
    config = config_of({"page": {"languages": {"article": "fr-CA"}}}, "recsys.toml")
    assert layouts_of(config)["article"].language == "fr"
    assert layouts_of(Config())["article"].language == ""
    wrong = config_of({"page": {"languages": {"artikel": "fr"}}}, "recsys.toml")
    with pytest.raises(ConfigError, match=r"page\.languages\.artikel: .* did you mean article\?"):
        require_known_names(wrong)


def test_a_list_of_another_name_needs_a_scorer():
    with pytest.raises(ConfigError, match=r"layouts\.front\.politics: scorer is required"):
        layouts({"front": {"politics": {"slots": 3}}})


@pytest.mark.parametrize(
    ("lists", "problem"),
    [
        ({}, "must have from 1 to 16 lists, has 0"),
        ({f"l{i}": {"scorer": "latest"} for i in range(17)}, "from 1 to 16 lists, has 17"),
        ({"Must Reads": {"scorer": "latest"}}, "small letters"),
        ({"must_reads": {"slots": 101}}, "slots must be a whole number from 1 to 100"),
        ({"must_reads": {"scorer": "newest"}}, "scorer must be one of expected"),
        ({"must_reads": {"filter": {"sections": "x"}}}, "unknown key layouts.front.must_reads"),
        ({"must_reads": {"priority": float("nan")}}, "priority must be a finite number"),
    ],
)
def test_a_layout_that_cannot_be_is_refused_by_name(lists, problem):
    with pytest.raises(ConfigError, match=problem):
        layouts({"front": lists})


def test_a_page_may_have_16_lists_of_100_slots():
    wide = layouts({"wide": {f"l{i}": {"scorer": "latest", "slots": 100} for i in range(16)}})
    assert wide["wide"].n_page == 1600


def test_rules_may_name_every_list_of_every_layout():
    config = Config(layouts={"front": {"politics": ListConfig(scorer="latest")}})
    assert list_names(config) == (*(row.name for row in LISTS), "politics")
