"""Decides what a news site shows beside an article.

`recommend` reads the lists that `recsys nightly` published; it never trains.
"""

from recsys.errors import NotPublishedError, RecsysError, SnapshotError
from recsys.pseudonym import hashed_user
from recsys.serving.recommender import Recommender, recommend
from recsys.serving.responses import Health, Page, Recommendation

__all__ = [
    "Health",
    "NotPublishedError",
    "Page",
    "Recommendation",
    "Recommender",
    "RecsysError",
    "SnapshotError",
    "hashed_user",
    "recommend",
]
__version__ = "0.2.0"
