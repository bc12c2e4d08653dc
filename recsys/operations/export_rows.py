"""The served run's lists as plain rows, for a CMS that wants tables.

Pages that the night made are taken as they are; after a refresh they are made anew.
"""

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path

from recsys.published import folder as published_folder
from recsys.published import run_file
from recsys.serving.recommender import Recommender

READER, ANONYMOUS, ARTICLE = "reader", "anonymous", "article"  # audiences
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
    """Yield the rows of every reader's page, of the anonymous one, and beside each live article.

    Columns are `COLUMNS`; a page is as of the run.

    Raises
    ------
    NotPublishedError, SnapshotError
        As of `Recommender`.
    """
    path = published_folder.run_path(published, published_folder.require_current(published))
    with closing(run_file.connect(path)) as conn:
        meta = run_file.load_meta(conn, path)
        articles = run_file.load_articles(conn, path)
        model = run_file.load_model(conn, path)[0]
        readers = run_file.user_ids(conn)
    if meta.base is not None:
        with closing(run_file.connect(published_folder.run_path(published, meta.base))) as conn:
            readers |= run_file.user_ids(conn)
    live = [articles[row].article_id for row in model.live.live_rows.tolist()]
    n = model.config.n
    recommender, as_of = Recommender(published), datetime.fromisoformat(meta.as_of)
    asked = [
        *((READER, user_id, None) for user_id in sorted(readers)),
        (ANONYMOUS, None, None),
        *((ARTICLE, None, article_id) for article_id in live),
    ]
    for audience, user_id, beside in asked:
        page = recommender.recommend(user_id, beside, n=n, as_of=as_of)
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
