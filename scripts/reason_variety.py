"""Measure how varied the reasons of pages are.

    python scripts/reason_variety.py --published DIR [--n-pages 300] [--as-of ISO]

Asks for pages beside articles without a user, pages beside articles for users, and front pages of
users, drawn with a fixed seed. Prints one JSON line for each kind, with means over its pages: the
distinct reasons of a page and of You May Also Like, and the share of the most frequent reason in
each.

Exit status: 0 measured.
"""

import argparse
import json
import sqlite3
from collections import Counter
from contextlib import closing
from datetime import datetime
from itertools import product
from pathlib import Path

import numpy as np

from recsys.serving.recommender import Recommender


def main() -> None:
    """Parse arguments, ask for pages, print their means."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--published", type=Path, required=True)
    parser.add_argument("--n-pages", type=int, default=300)
    parser.add_argument("--as-of", type=datetime.fromisoformat)
    args = parser.parse_args()
    recommender = Recommender(args.published)
    run, rng = recommender.run, np.random.default_rng(0)
    as_of = args.as_of or datetime.fromisoformat(run.meta.as_of)
    with closing(sqlite3.connect(run.paths[0])) as conn:
        users = [row[0] for row in conn.execute("SELECT user_id FROM users ORDER BY user_id")]
    ids = run.articles.column("article_id")
    live = [ids[row] for row in run.model.live.live_rows.tolist()]
    for with_user, with_article in product((False, True), repeat=2):
        if not with_user and not with_article:
            continue
        rows = []
        for _ in range(args.n_pages):
            user = str(rng.choice(users)) if with_user else None
            article = str(rng.choice(live)) if with_article else None
            page = recommender.recommend(user, article, as_of=as_of)
            every = [slot.reason for slots in page.values() for slot in slots]
            first = [slot.reason for slot in page["you_may_also_like"]]
            rows.append((*_variety(every), *_variety(first)))
        names = ("distinct", "most_frequent", "distinct_you_may_also_like", "most_frequent_of_it")
        means = np.mean(rows, axis=0).round(3).tolist()
        about = {"user": with_user, "article": with_article, "pages": len(rows)}
        print(json.dumps(about | dict(zip(names, means, strict=True))))


def _variety(reasons: list[str]) -> tuple[float, float]:
    """Return the number of distinct reasons, and the share of the most frequent one."""
    counted = Counter(reasons)
    return len(counted), max(counted.values(), default=0) / max(len(reasons), 1)


if __name__ == "__main__":
    main()
