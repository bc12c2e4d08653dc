"""Preview pages as HTML: each as a reader sees it, and why each slot holds its article."""

from collections import deque
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from urllib.parse import urlsplit

from jinja2 import Environment

from recsys.page.explain import PART_LABELS, Explanation
from recsys.page.known_articles import KnownArticle
from recsys.page.reasons import READING_TIME, reason_in
from recsys.rows import from_ms
from recsys.serving.recommender import Recommender
from recsys.serving.responses import Page

LEAST_SHARE = 0.01  # signals below it are left out of a slot's bars
HUES = 360  # of the tile that an article without a picture has, by section


@dataclass(frozen=True, slots=True)
class Bar:
    """What one signal adds to a score, for an editor.

    Attributes
    ----------
    label
        The signal in words.
    percent
        Its share of all that adds to the score and takes from it, in whole percent.
    takes
        Whether it takes from the score.
    rank
        "3rd": the place of the article among all live ones by the signal; "" where not known.
    """

    label: str
    percent: int
    takes: bool
    rank: str


def render_pages(
    recommender: Recommender,
    user_id: str | None,
    article_id: str | None,
    *,
    name: str,
    n_pages: int = 1,
    layout: str | None = None,
    language: str | None = None,
    as_of: datetime | None = None,
) -> dict[str, str]:
    """Return a page and pages beside its articles as HTML, by file name.

    Titles link to the page beside their article if it is one of them, otherwise to the article's
    address. Every text that comes from data is escaped.

    Parameters
    ----------
    recommender
        Serves the pages.
    user_id, article_id, layout, language, as_of
        Of the first page, see `recsys.recommend`. Other pages have the layout of an article page.
    name
        Of the first file, without its ending.
    n_pages
        The number of pages: the first one, then those beside the articles of the pages before.
    """
    names = {article_id: f"{name}.html"}
    pages: dict[str | None, Page] = {}
    waiting = deque([article_id])
    while waiting:
        beside = waiting.popleft()
        pages[beside] = recommender.recommend(
            user_id,
            beside,
            layout=layout if beside == article_id else None,
            language=language,
            as_of=as_of,
        )
        for slot in (slot for slots in pages[beside].values() for slot in slots):
            if slot.article_id not in names and len(names) < n_pages:
                names[slot.article_id] = f"{name}-{len(names) + 1}.html"
                waiting.append(slot.article_id)
    template = _environment().from_string(
        files("recsys.operations").joinpath("preview_page.html.jinja").read_text("utf-8")
    )
    return {
        names[beside]: template.render(
            page=page,
            lists={
                name: [(slot, slot.article, slot.explanation) for slot in slots]
                for name, slots in page.items()
            },
            user_id=user_id,
            article_id=beside,
            article=None if beside is None else recommender.article(beside, as_of=as_of),
            links=names,
        )
        for beside, page in pages.items()
    }


def _environment() -> Environment:
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {
        "safe_url": safe_url,
        "bars": bars,
        "place": place,
        "reading_time": reading_time,
        "hue": lambda section: sum(section.encode("utf-8")) * 47 % HUES,
        "when": lambda ms: f"{from_ms(ms):%Y-%m-%d %H:%M} UTC",
    }
    return environment


def bars(why: Explanation) -> list[Bar]:
    """Return what the signals of a slot add to its score, the largest share first.

    Signals below `LEAST_SHARE` are left out.
    """
    total = sum(abs(value) for value in why.parts.values())
    ordered = sorted(why.parts.items(), key=lambda part: -abs(part[1]))
    return [
        Bar(
            label=PART_LABELS.get(part, part),
            percent=round(100 * abs(value) / total),
            takes=value < 0,
            rank=place(why.ranks[part]) if part in why.ranks else "",
        )
        for part, value in ordered
        if abs(value) >= LEAST_SHARE * total > 0
    ]


def place(rank: int) -> str:
    """Return a rank as a word.

    Examples
    --------
    >>> [place(rank) for rank in (1, 2, 3, 4, 11, 22, 113)]
    ['1st', '2nd', '3rd', '4th', '11th', '22nd', '113th']
    """
    ending = (
        "th" if rank % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(rank % 10, "th")
    )
    return f"{rank}{ending}"


def reading_time(article: KnownArticle, language: str) -> str:
    """Return the time to read an article in words of a language; "" where not known."""
    if not article.reading_minutes:
        return ""
    return reason_in(language, READING_TIME, str(max(1, round(article.reading_minutes))))[0]


def safe_url(url: str) -> str:
    """Return an address that is safe to link to: "" unless it is http or https.

    Examples
    --------
    >>> safe_url("https://news.example/a"), safe_url("javascript:alert(1)")
    ('https://news.example/a', '')
    """
    try:
        return url if urlsplit(url).scheme.lower() in ("http", "https") else ""
    except ValueError:
        return ""
