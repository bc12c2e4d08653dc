"""Export the lists of the current run as plain rows, for a CMS that wants tables.

Pages of a nightly run are exported as the run holds them; those of a refresh are built here.
"""

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path

from recsys.published import folder as published_folder
from recsys.published import run_file
from recsys.published.connection import connect
from recsys.published.user_rows import user_ids as user_ids_of
from recsys.serving.recommender import Recommender

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


def export_rows(published: Path) -> Iterator[tuple[object, ...]]:
    """Yield the rows of each user's page, the anonymous page, and the page of each live article.

    The columns are `COLUMNS`; pages are built as if at the time of the run.

    Raises
    ------
    NotPublishedError, SnapshotError
        See `Recommender`.
    """
    path = published_folder.run_path(published, published_folder.require_current(published))
    with closing(connect(path)) as conn:
        meta = run_file.load_meta(conn, path)
        articles = run_file.load_articles(conn, path)
        model = run_file.load_model(conn, path)[0]
        user_ids = user_ids_of(conn)
    if meta.base is not None:
        with closing(connect(published_folder.run_path(published, meta.base))) as conn:
            user_ids |= user_ids_of(conn)
    live_ids = [articles[row].article_id for row in model.live.live_rows.tolist()]
    recommender, as_of = Recommender(published), datetime.fromisoformat(meta.as_of)
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
