import numpy as np
import pytest

from recsys.config_file import config_of
from recsys.page.filters import filter_masks
from recsys.page.known_articles import KnownArticle


def article(**fields):
    blank = dict.fromkeys(KnownArticle._fields, "") | {"published_ms": None, "expires_ms": None}
    return KnownArticle(**(blank | {"premium": None} | fields))


ARTICLES = [
    article(category="Politics", url="https://www.news.example/a", language="en-GB", premium=True),
    article(
        category="Sports", url="https://wire.example/b", language="en", tags="goals\nCup, final"
    ),
    article(category="politics", url="", language="de", premium=False),
]
AGES = np.array([1.0, 5.0, 30.0])


@pytest.mark.parametrize(
    ("wanted", "passes"),
    [
        ({"section": "POLITICS"}, [True, False, True]),
        ({"section": ["Sports", "Politics"]}, [True, True, True]),
        ({"source": "news.example"}, [True, False, False]),
        ({"tag": "GOALS"}, [False, True, False]),
        ({"tag": "cup, Final"}, [False, True, False]),
        ({"tag": "cup"}, [False, False, False]),
        ({"language": "en"}, [True, True, False]),
        ({"premium": True}, [True, False, False]),
        ({"premium": False}, [False, True, True]),
        ({"max_age_hours": 5}, [True, True, False]),
        ({"section": "Politics", "max_age_hours": 5}, [True, False, False]),
    ],
)
def test_an_article_passes_that_fits_every_part_of_a_filter(wanted, passes):
    layouts = {"front": {"some": {"scorer": "latest", "filter": wanted}}}
    masks = filter_masks(config_of({"layouts": layouts}, "test"), ARTICLES, AGES)
    assert masks["front.some"].tolist() == passes


def test_a_list_without_a_filter_has_no_mask():
    assert filter_masks(config_of({}, "test"), ARTICLES, AGES) == {}
