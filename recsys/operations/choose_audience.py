"""Choose who shall hear of an article, and remember it: no user is chosen too often in a day."""

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from recsys.ids import Id, spelled_id
from recsys.rows import to_ms
from recsys.serving.audience import Audience
from recsys.serving.recommender import Recommender
from recsys.store.database import Store


@dataclass(frozen=True, slots=True)
class Choice:
    """The users chosen for an article on a day.

    Attributes
    ----------
    audience
        The users.
    day
        The day of the site's time zone, in ISO 8601.
    n_chosen_often
        How many users were left out because they had been chosen for other articles often enough
        on this day.
    """

    audience: Audience
    day: str
    n_chosen_often: int


def choose_audience(
    store: Store,
    recommender: Recommender,
    article_id: Id,
    n: int,
    *,
    per_day: int,
    as_of: datetime,
    language: str | None = None,
    record: bool = True,
) -> Choice:
    """Return the users likeliest to click an article, without those chosen too often in a day.

    Asked again on the same day for the same article, it gives the same users as long as the run
    and the rules are the same, and records nothing new.

    Parameters
    ----------
    store
        The store of the runs, which remembers who was chosen.
    recommender
        Serves the runs.
    article_id, n, language
        See `Recommender.audience`.
    per_day
        For how many articles a user may be chosen in a day of the site's time zone
        (`[ingest] timezone` of the run); at least 1.
    as_of
        The instant of the choice. A naive time is UTC.
    record
        Whether to remember who was chosen.

    Raises
    ------
    ArticleError
        If the run does not know the article, or it may not be recommended now.
    StoreError
        If the store does not have the users of the run.
    """
    at_ms, wanted = to_ms(as_of), spelled_id(article_id)
    day = _day(as_of, recommender.run.meta.config.ingest.zone() or UTC)
    while True:
        often = store.audiences.chosen_often(day, wanted, per_day)
        found = recommender.audience(wanted, n, exclude=often, language=language, as_of=as_of)
        ids = [user.user_id for user in found.users]
        if not record or store.audiences.record(day, wanted, ids, per_day=per_day, at_ms=at_ms):
            return Choice(found, day, len(often))


def _day(instant: datetime, zone: tzinfo) -> str:
    """Return the day of an instant in a time zone, in ISO 8601."""
    aware = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    try:
        return aware.astimezone(zone).date().isoformat()
    except OverflowError:  # in the first or the last hours that Python has a datetime for
        return aware.date().isoformat()
