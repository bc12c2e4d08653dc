"""Systems that a user of this package gives: their scores of the candidates join the comparison."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.computed_once import computed_once
from recsys.errors import ConfigError
from recsys.learn.impressions import ImpressionFeatures
from recsys.learn.protocols import Protocol, counted_until_ms
from recsys.rows import IdMap, is_anonymous
from recsys.signals.own_signals import instants, numbers
from recsys.signals.own_tables import read_table
from recsys.store.database import Store

if TYPE_CHECKING:
    from recsys.signals.own_tables import Tabular

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
# Scores the candidates of a frame, higher for better ones: one number for each row, null or NaN
# for a candidate that the system does not score. The columns are those of `COLUMNS`.
Scorer = Callable[[pl.DataFrame], Any]

IN_VIEW, FULL_LIST = "in view", "full list"
COLUMNS: dict[str, pl.DataType] = {
    "task": pl.String(),  # `IN_VIEW`: order what was shown; `FULL_LIST`: find among all live ones
    "user_id": pl.String(),  # null for an anonymous user
    "article_id": pl.String(),  # the candidate
    "at": pl.Datetime("ms", "UTC"),  # when the impression was shown; the moment of a full list
    "known_until": pl.Datetime("ms", "UTC"),  # only clicks and views before may be used
    "beside": pl.String(),  # the article being read, null for none
}
_KEYS = ("user_id", "article_id", "at")
_ROWS_AT_ONCE = 200_000


def read_scores(source: "Tabular", name: str) -> Scorer:
    """Return the system whose scores a file or DataFrame holds.

    Parameters
    ----------
    source
        Columns `article_id` and `score`, and any of `user_id` and `at`: a score counts for the
        candidates that are equal to it in all of these columns.
    name
        Of the system, for messages.

    Raises
    ------
    InputRefusedError
        If the file cannot be read, or lacks a column.
    ConfigError
        If a candidate has two scores.
    """
    table = read_table(source, "score", _KEYS)
    keys = [key for key in _KEYS if key in table.columns]
    twice = table.filter(table.select(keys).is_duplicated())
    if len(twice):
        row = ", ".join(f"{key} {twice[key][0]}" for key in keys)
        raise ConfigError(f"scores {name}: two scores of {row}")
    return lambda rows: rows.join(
        table, on=keys, how="left", nulls_equal=True, maintain_order="left"
    )["score"]


@dataclass(frozen=True)
class OwnSystems:
    """Systems by name, with the ids of the store that they score.

    Attributes
    ----------
    scorers
        The systems.
    users, articles
        All users and articles of the store.
    """

    scorers: Mapping[str, Scorer]
    users: IdMap
    articles: IdMap

    @classmethod
    def of(cls, store: Store, scorers: Mapping[str, Scorer]) -> "OwnSystems":
        """Return the systems of a store."""
        if not scorers:
            return NO_OWN_SYSTEMS
        return cls(scorers, store.users(), store.article_ids())

    @computed_once
    def _user_ids(self) -> pl.Series:
        """Return the ids of all users, null for anonymous ones, and a null behind them."""
        ids = [None if is_anonymous(id_) else id_ for id_ in self.users.ids]
        return pl.Series([*ids, None], dtype=pl.String)

    @computed_once
    def _article_ids(self) -> pl.Series:
        """Return the ids of all articles, and a null behind them."""
        return pl.Series([*self.articles.ids, None], dtype=pl.String)

    def in_view(
        self, shown: ImpressionFeatures, protocol: Protocol, as_of_ms: int
    ) -> dict[str, Floats]:
        """Return the scores of the candidates of impressions by each system; NaN for none.

        Parameters
        ----------
        shown
            The impressions.
        protocol
            Up to when clicks and views count.
        as_of_ms
            The time of the nightly run before the impressions.
        """
        if not self.scorers:
            return {}
        size = np.diff(shown.choices.start)
        known_ms = counted_until_ms(shown.shown_ms, protocol, as_of_ms)
        return self._scores(
            IN_VIEW,
            np.repeat(shown.user_key, size),
            shown.article_key,
            np.repeat(shown.shown_ms, size),
            np.repeat(known_ms, size),
            np.repeat(shown.context_key, size),
        )

    def full_lists(
        self, user_keys: Sequence[int], article_keys: Ints, moment_ms: int
    ) -> dict[str, Floats]:
        """Return scores of all live articles, arrays of shape (n_users, n_live), by system.

        Parameters
        ----------
        user_keys
            The users to make lists for.
        article_keys : array of int64, shape (n_live,)
            The live articles.
        moment_ms
            When the lists are made.
        """
        if not self.scorers or not len(article_keys):
            return {name: np.zeros((len(user_keys), len(article_keys))) for name in self.scorers}
        n_live = len(article_keys)
        n_users_at_once = max(_ROWS_AT_ONCE // n_live, 1)
        found: dict[str, list[Floats]] = {name: [np.zeros((0, n_live))] for name in self.scorers}
        for first in range(0, len(user_keys), n_users_at_once):
            users = np.array(user_keys[first : first + n_users_at_once], dtype=np.int64)
            n = len(users) * n_live
            moment, front_page = np.full(n, moment_ms), np.full(n, -1)
            user, article = np.repeat(users, n_live), np.tile(article_keys, len(users))
            scores = self._scores(FULL_LIST, user, article, moment, moment, front_page)
            for name, values in scores.items():
                found[name].append(values.reshape(len(users), n_live))
        return {name: np.concatenate(parts) for name, parts in found.items()}

    def _scores(
        self,
        task: str,
        user_key: Ints,
        article_key: Ints,
        at_ms: Ints,
        known_ms: Ints,
        context_key: Ints,
    ) -> dict[str, Floats]:
        rows = pl.DataFrame(
            {
                "task": pl.repeat(task, len(user_key), eager=True),
                "user_id": _at(self._user_ids, self.users.index_of_keys(user_key)),
                "article_id": _at(self._article_ids, self.articles.index_of_keys(article_key)),
                "at": instants(at_ms),
                "known_until": instants(known_ms),
                "beside": _at(self._article_ids, self.articles.index_of_keys(context_key)),
            },
            schema=COLUMNS,
        )
        return {
            name: numbers(score(rows), len(rows), f"scores {name}")
            for name, score in self.scorers.items()
        }


def _at(ids: pl.Series, index: Ints) -> pl.Series:
    """Return ids by their indices; null, which is the last of them, for -1."""
    return ids.gather(np.where(index >= 0, index, len(ids) - 1))


NO_OWN_SYSTEMS = OwnSystems({}, *(IdMap([], np.zeros(0, dtype=np.int64)) for _ in range(2)))
