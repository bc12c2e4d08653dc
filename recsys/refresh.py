"""A refresh: the current run and what came since, as a new run. Nothing is learned.

What it costs goes with the clicks since, the counted days and the live articles, not with
the readers: profiles of readers of whom nothing came stay where the night put them, and
pages are made when they are asked for.
"""

import dataclasses
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from sqlite3 import Connection

import numpy as np
from numpy.typing import NDArray

from recsys import publishing, snapshot
from recsys.carry import Last, grouped, readers_to_know
from recsys.config import BlendConfig, Config
from recsys.errors import SnapshotError
from recsys.model import ArticleModel, Stage, items_of, train_articles
from recsys.night import COUNTED_DAYS, Night, read_night
from recsys.rank import RankModel, unknown_reader
from recsys.readers import Profile, advanced, pack_profile, profile_of, unpack_profile
from recsys.rows import HOUR_MS, iso, to_ms
from recsys.store import Store

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What a refresh made.

    Attributes
    ----------
    base
        The night it goes back to.
    model, rank
        Of the articles; the curves are those for counts of the hour.
    weights
        Of the night.
    profiles
        Packed, of the readers of whom something came since that night.
    n_readers
        Whom the run knows, those left where they are among them.
    """

    base: str
    model: ArticleModel
    rank: RankModel
    weights: BlendConfig
    profiles: dict[str, bytes]
    n_readers: int


def refresh(store: Store, folder: Path, as_of_ms: int, config: Config, stage: Stage) -> Refreshed:
    """Return the current run, carried on to the present.

    Raises
    ------
    NotPublishedError
        If there is no current run to carry on.
    SnapshotError
        If it is damaged, later than the refresh, or too old for one.
    """
    run_id = publishing.require_current(folder)
    path = publishing.run_path(folder, run_id)
    with ExitStack() as opened:
        conn = opened.enter_context(closing(snapshot.connect(path)))
        with stage("carry"):
            meta = snapshot.load_meta(conn, path)
            page, rank = snapshot.load_model(conn, path)
            last = Last(
                as_of_ms=to_ms(datetime.fromisoformat(meta.as_of)),
                article_ids=[article.article_id for article in snapshot.load_articles(conn, path)],
                live=page.live,
                vectors=rank.vectors,
                carry=snapshot.load_carry(conn, path),
            )
            _check_age(path, last, as_of_ms)
            known = [(conn, path)]
            if meta.base is not None:
                base = publishing.run_path(folder, meta.base)
                known.append((opened.enter_context(closing(snapshot.connect(base))), base))
        with stage("read"):
            days = min(config.data.window_days, COUNTED_DAYS)
            data = dataclasses.replace(config.data, window_days=days)
            config = dataclasses.replace(config, data=data, blend=meta.weights)
            night = read_night(store, as_of_ms, config, earlier=last.earlier)
        with stage("known readers"):
            n_factors = page.live.factors.shape[1]
            before = _Before(known, n_factors)
            user = np.zeros((len(night.users), n_factors), dtype=np.float32)
            for row in readers_to_know(night, last, config.collaborative).tolist():
                profile = before.profile(night.users.ids[row])
                if profile is not None:
                    user[row] = profile.factors
        items = items_of(night, config)
        model = train_articles(store, night, config, stage, items, (last, user))
        with stage("readers"):
            profiles = {}
            if meta.base is not None:
                profiles = dict(snapshot.load_profiles(conn, path))
            touched = dict(_touched(night, last, before, model, config.blend))
            profiles |= {user_id: pack_profile(found) for user_id, found in touched.items()}
    curves = rank.refresh_curves
    return Refreshed(
        base=meta.base or run_id,
        model=model,
        rank=dataclasses.replace(model.rank, curves=curves, refresh_curves=curves),
        weights=meta.weights,
        profiles=profiles,
        n_readers=meta.n_readers + before.n_new,
    )


def _check_age(path: Path, last: Last, as_of_ms: int) -> None:
    made = iso(last.as_of_ms)
    if last.as_of_ms > as_of_ms:
        raise SnapshotError(f"{path}: made as of {made}, which is after this refresh")
    if last.as_of_ms < as_of_ms - COUNTED_DAYS * 24 * HOUR_MS:
        raise SnapshotError(
            f"{path}: made as of {made}, more than {COUNTED_DAYS:g} days before this refresh;"
            " run `recsys nightly`"
        )


class _Before:
    """Profiles as the current run has them, its own before those of its night."""

    def __init__(self, runs: list[tuple[Connection, Path]], n_factors: int) -> None:
        self._runs, self._n_factors = runs, n_factors
        self._found: dict[str, Profile | None] = {}
        self.n_new = 0

    def profile(self, user_id: str) -> Profile | None:
        """Return a reader's profile, None for one who is new."""
        if user_id not in self._found:
            self._found[user_id] = None
            for conn, path in self._runs:
                row = snapshot.find_profile(conn, user_id, path)
                if row is not None:
                    self._found[user_id] = unpack_profile(row[0], n_factors=self._n_factors)
                    break
        return self._found[user_id]


def _touched(
    night: Night, last: Last, before: _Before, model: ArticleModel, weights: BlendConfig
) -> Iterator[tuple[str, Profile]]:  # fmt: skip
    """Yield the readers who clicked or were shown something since, as they are now."""
    live, users = model.page.live, night.everyone
    is_live = np.zeros(len(model.articles), dtype=bool)
    is_live[live.live_rows] = True
    fresh = np.flatnonzero(night.clicked_ms >= last.as_of_ms)
    clicks = dict(grouped(night.users.keys[night.user_index[fresh]], fresh))
    row_of = dict(zip(night.users.keys.tolist(), range(len(night.users)), strict=True))
    new = [key for key in clicks if before.profile(night.users.ids[row_of[key]]) is None]
    before.n_new = len(new)
    events = night.events
    reads = _Since(night, last, new, events.click_user, events.click_key, events.click_ms)
    views = _Since(night, last, new, events.view_user, events.view_key, events.view_ms)
    nobody = profile_of(
        unknown_reader(live.factors.shape[1], model.page.n_categories), live.live_rows,
        last.as_of_ms,
    )  # fmt: skip
    none = np.zeros(0, dtype=np.int64)
    keys = np.array(sorted(clicks.keys() | views.of_user.keys()), dtype=np.int64)
    for key, place in zip(keys.tolist(), users.index_of_keys(keys).tolist(), strict=True):
        profile = before.profile(users.ids[place])
        if profile is None and key not in clicks:
            continue  # a run knows readers by their clicks
        profile = profile or nobody
        mine = clicks.get(key, none)
        yield users.ids[place], advanced(
            profile, night.article_index[mine], reads.of(key), views.of(key),
            factors=model.factors.user[row_of[key]] if len(mine) else profile.factors,
            is_live=is_live, as_of_ms=night.as_of_ms, known_reads=weights.known_reads,
        )  # fmt: skip


class _Since:
    """Events on known articles since the last run, by reader; none of machines.

    Of `new` readers, of whom that run kept nothing, all there are.
    """

    def __init__(
        self,
        night: Night,
        last: Last,
        new: list[int],
        user_key: Ints,
        article_key: Ints,
        event_ms: Ints,
    ) -> None:
        since = np.flatnonzero((event_ms >= last.as_of_ms) | np.isin(user_key, new))
        since = since[~np.isin(user_key[since], night.machine_keys)]
        article = night.articles.id_map.index_of_keys(article_key[since])
        since, article = since[article >= 0], article[article >= 0]
        self._article, self._event_ms = article, event_ms[since]
        self.of_user = dict(grouped(user_key[since], np.arange(len(since))))

    def of(self, key: int) -> tuple[Ints, Ints]:
        """Return the articles of a reader's events, and when each was."""
        rows = self.of_user.get(key, np.zeros(0, dtype=np.int64))
        return self._article[rows], self._event_ms[rows]
