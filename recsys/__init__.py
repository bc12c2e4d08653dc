"""Decides what a news site shows beside an article.

`recommend` reads the lists that `recsys nightly` published; it never trains.
"""

import logging

from recsys.errors import NotPublishedError, RecsysError, SnapshotError
from recsys.pseudonym import hashed_user
from recsys.serving.recommender import Recommender, recommend
from recsys.serving.responses import Health, Page, PageDict, Recommendation, SlotDict

__all__ = [
    "Health",
    "NotPublishedError",
    "Page",
    "PageDict",
    "Recommendation",
    "Recommender",
    "RecsysError",
    "SlotDict",
    "SnapshotError",
    "hashed_user",
    "recommend",
]
__version__ = "0.2.0"
logging.getLogger(__name__).addHandler(logging.NullHandler())  # silent unless the caller logs
