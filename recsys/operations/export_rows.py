"""Export the lists of the current run as plain rows, for a CMS that wants tables.

Pages of a nightly run are exported as the run holds them; those of a refresh are built here.
"""

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path

import polars as pl

from recsys.published import folder as published_folder
from recsys.published import run_file
from recsys.published.connection import connect
from recsys.published.user_rows import user_ids as user_ids_of
from recsys.serving.recommender import Recommender

IDS = ("user_id", "beside_article_id", "article_id")
USER, ANONYMOUS, ARTICLE = "user", "anonymous", "article"  # audiences
COLUMNS = (
    "audience",
    "list",
    "user_id",
    "beside_article_id",
    "rank",
    "article_id",
    "title",
    "category",
    "url",
    "score",
    "reason",
)


def export_rows(
    published: Path, *, as_of: datetime, run_key: bytes | None = None
) -> Iterator[tuple[object, ...]]:
    """Yield the rows of each user's page, the anonymous page, and the page of each live article.

    The columns are `COLUMNS`.

    Parameters
    ----------
    published
        The published folder.
    as_of
        The pages are those of this instant: without what has expired by then, and under the
        rules in force then.
    run_key
        See `Recommender`.

    Raises
    ------
    NotPublishedError, SnapshotError
        See `Recommender`.
    """
    run_id = published_folder.require_current(published, run_key)
    path = published_folder.run_path(published, run_id)
    with closing(connect(path, run_key)) as conn:
        meta = run_file.load_meta(conn, path)
        articles = run_file.load_articles(conn, path)
        model = run_file.load_model(conn, path)[0]
        user_ids = user_ids_of(conn)
    if meta.base is not None:
        base = published_folder.run_path(published, meta.base)
        with closing(connect(base, run_key)) as conn:
            user_ids |= user_ids_of(conn)
    live_ids = [articles[row].article_id for row in model.live.live_rows.tolist()]
    recommender = Recommender(published, run_key=run_key)
    requests = [
        *((USER, user_id, None) for user_id in sorted(user_ids)),
        (ANONYMOUS, None, None),
        *((ARTICLE, None, article_id) for article_id in live_ids),
    ]
    for audience, user_id, beside in requests:
        page = recommender.recommend(user_id, beside, as_of=as_of)
        for name, slots in page.items():
            for rank, slot in enumerate(slots, start=1):
                yield (
                    audience,
                    name,
                    user_id,
                    beside,
                    rank,
                    slot.article_id,
                    slot.title,
                    slot.category,
                    slot.url,
                    slot.score,
                    slot.reason,
                )


def without_formulas(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows of which no text is a formula to a spreadsheet; ids stay as they are.

    A text that begins like a formula gets an apostrophe before it.

    References
    ----------
    OWASP, "CSV Injection": the first characters =, +, -, @, tab, carriage return and line feed, and
    the full-width forms of the first four.
    """
    names = [name for name, kind in rows.schema.items() if kind == pl.String and name not in IDS]
    begins_like_one = "^[=+\\-@\t\r\n＝＋－＠]"
    return rows.with_columns(
        pl.when(pl.col(name).str.contains(begins_like_one))
        .then(pl.lit("'") + pl.col(name))
        .otherwise(pl.col(name))
        .alias(name)
        for name in names
    )
