"""Preview one article page as plain HTML: the user's view, and the editor's view below it."""

from datetime import datetime
from importlib.resources import files
from urllib.parse import urlsplit

from recsys.errors import RecsysError
from recsys.page.explain import PART_LABELS
from recsys.rows import from_ms
from recsys.serving.recommender import Recommender


def render_preview(
    recommender: Recommender,
    user_id: str | None,
    article_id: str | None,
    *,
    layout: str | None,
    language: str | None = None,
    as_of: datetime | None,
) -> str:
    """Return the page as HTML; every text that comes from data is escaped.

    Parameters
    ----------
    recommender
        Serves the page.
    user_id, article_id, layout, language, as_of
        See `recsys.recommend`.

    Raises
    ------
    RecsysError
        If Jinja2 is not installed.
    """
    try:
        from jinja2 import Environment
    except ImportError as error:
        raise RecsysError("preview needs Jinja2: pip install 'recsys[report]'") from error
    page = recommender.recommend(user_id, article_id, layout=layout, language=language, as_of=as_of)
    slots = {name: [(slot, slot.explanation) for slot in found] for name, found in page.items()}
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["safe_url"] = safe_url
    environment.filters["when"] = lambda ms: f"{from_ms(ms):%Y-%m-%d %H:%M} UTC"
    template = environment.from_string(
        files("recsys.operations").joinpath("preview_page.html.jinja").read_text("utf-8")
    )
    return template.render(
        page=page,
        slots=slots,
        titles=page.titles,
        labels=PART_LABELS,
        user_id=user_id,
        article_id=article_id,
        article=None if article_id is None else recommender.article(article_id, as_of=as_of),
    )


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
