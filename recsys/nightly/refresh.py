"""Refresh the current run: take in what has happened since, without learning.

The cost depends on the clicks since, on the days that are counted, and on the live articles,
but not on the number of users. The profile of a user without new events stays where the
nightly run put it, and pages are built when they are asked for.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from recsys.blend.curves import RankModel
from recsys.blend.live_model import PageModel
from recsys.blend.profiles import (
    Exposures,
    Profiles,
    advanced,
    empty_profile,
    pack_profiles,
    unpack_profiles,
)
from recsys.config import Config
from recsys.errors import ConfigError, SnapshotError
from recsys.published import folder as published_folder
from recsys.published import run_file
from recsys.published.connection import RunConnection, connect
from recsys.published.user_rows import find_profiles, load_profiles
from recsys.rows import HOUR_MS, iso, to_ms
from recsys.signals.own_signals import NO_OWN_SIGNALS, OwnSignals
from recsys.sorted_ints import distinct
from recsys.store.database import Store
from recsys.training.carry_over import BaseRun, users_needing_factors
from recsys.training.train import (
    ArticleModel,
    Stage,
    train_articles,
    window_sizes,
    window_user_items,
    with_weights,
)
from recsys.training.window import COUNTED_DAYS, TrainingWindow, read_training_window

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Refreshed:
    """The result of a refresh.

    Attributes
    ----------
    nightly_run_id
        The nightly run that the refresh goes back to; its file has the profiles of the users
        without new events.
    model
        The article model.
    rank
        What the ranking head needs; its curves are those learned with hourly counts.
    weights
        The weights that the nightly run learned.
    profiles
        Packed profiles of users with new events since the nightly run, by user id.
    n_users
        Number of users that the run knows, those without new events included.
    """

    nightly_run_id: str
    model: ArticleModel
    rank: RankModel
    weights: Mapping[str, float]
    profiles: dict[str, bytes]
    n_users: int


@dataclass(frozen=True, slots=True)
class _CurrentRun:
    """The current run, as a refresh reads it.

    Attributes
    ----------
    run_id
        The run.
    meta, page, rank
        What its file says.
    base
        The same run, as what the refresh builds on.
    files
        Connection and path of its file; if it is itself a refresh, then also of the nightly
        run that it goes back to.
    """

    run_id: str
    meta: run_file.RunMeta
    page: PageModel
    rank: RankModel
    base: BaseRun
    files: list[tuple[RunConnection, Path]]


def refresh(
    store: Store,
    folder: Path,
    as_of_ms: int,
    config: Config,
    stage: Stage,
    own: OwnSignals = NO_OWN_SIGNALS,
    run_key: bytes | None = None,
) -> Refreshed:
    """Build a run from the current one and what has happened since.

    Parameters
    ----------
    store
        The log.
    folder
        The published folder, with the current run.
    as_of_ms
        Events of this instant or later are not used.
    config
        All settings; the weights of the blend are those of the current run.
    stage
        See `recsys.training.train.train_articles`.
    own
        Signals that the caller gives: those of the current run.
    run_key
        The key by which the current run must be signed; None if it need not be.

    Raises
    ------
    ConfigError
        If these are not the signals of the current run.
    NotPublishedError
        If there is no current run.
    SnapshotError
        If the current run is damaged, later than the refresh, or too old for one.
    """
    with ExitStack() as opened:
        with stage("base run"):
            current = _open_current_run(folder, opened, run_key)
            meta, base = current.meta, current.base
            _require_same_signals(base, own)
            _check_base_run(current.files[0][1], base, as_of_ms, config)
        with stage("read") as counts:
            days = min(config.data.window_days, COUNTED_DAYS)
            data = msgspec.structs.replace(config.data, window_days=days)
            config = msgspec.structs.replace(config, data=data)
            window = read_training_window(store, as_of_ms, config, base=base.facts)
            counts |= window_sizes(window)
        with stage("known users") as counts:
            changed_keys = _users_with_new_events(window, base)
            needed = users_needing_factors(window, base, config.collaborative)
            wanted = distinct(np.append(changed_keys, window.users.keys[needed]))
            packed = _packed_profiles(current.files, _ids_of(window, wanted))
            user_factors = _base_factors(window, needed, packed, current.page)
            counts["users_with_new_events"] = len(changed_keys)
        user_items = window_user_items(window, config)
        curves = base.carry.forecast
        model = train_articles(
            store, window, config, stage, user_items, curves, (base, user_factors), own
        )
        with stage("users") as counts:
            profiles = {}
            if meta.base is not None:  # those of the refresh that is refreshed
                profiles = dict(load_profiles(*current.files[0]))
            changed, n_new = _advanced_profiles(window, base, changed_keys, packed, model)
            profiles |= changed
            counts |= {"profiles": len(profiles), "new_users": n_new}
    refresh_curves = current.rank.refresh_curves
    return Refreshed(
        nightly_run_id=meta.base or current.run_id,
        model=with_weights(model, meta.weights),
        rank=dataclasses.replace(model.rank, curves=refresh_curves, refresh_curves=refresh_curves),
        weights=meta.weights,
        profiles=profiles,
        n_users=meta.n_users + n_new,
    )


def _open_current_run(folder: Path, opened: ExitStack, run_key: bytes | None) -> _CurrentRun:
    """Return the current run of a folder; `opened` closes its files."""
    run_id = published_folder.require_current(folder, run_key)
    path = published_folder.run_path(folder, run_id)
    conn = opened.enter_context(closing(connect(path, run_key)))
    meta = run_file.load_meta(conn, path)
    page, rank = run_file.load_model(conn, path)
    base = BaseRun(
        as_of_ms=to_ms(datetime.fromisoformat(meta.as_of)),
        article_ids=run_file.load_articles(conn, path).column("article_id"),
        live=page.live,
        vectors=rank.vectors,
        carry=run_file.load_carry(conn, path),
    )
    files = [(conn, path)]
    if meta.base is not None:
        nightly_path = published_folder.run_path(folder, meta.base)
        nightly_conn = opened.enter_context(closing(connect(nightly_path, run_key)))
        files.append((nightly_conn, nightly_path))
    return _CurrentRun(run_id, meta, page, rank, base, files)


def _require_same_signals(base: BaseRun, own: OwnSignals) -> None:
    before = set(base.live.own_names())
    if before != set(own):
        names = [", ".join(sorted(found)) or "none" for found in (before, own)]
        raise ConfigError(
            f"the run to refresh has the own signals {names[0]}, but {names[1]} are given;"
            " give the same, or run `recsys nightly`"
        )


def _check_base_run(path: Path, base: BaseRun, as_of_ms: int, config: Config) -> None:
    """Raise SnapshotError if a run cannot be refreshed at an instant with these settings."""
    made, n_features = iso(base.as_of_ms), len(base.carry.n_having)
    if base.as_of_ms > as_of_ms:
        raise SnapshotError(f"{path}: made as of {made}, which is after this refresh")
    if n_features != config.text.n_features:
        raise SnapshotError(
            f"{path}: made with n_features = {n_features}, which is now {config.text.n_features};"
            " run `recsys nightly`"
        )
    if base.as_of_ms < as_of_ms - COUNTED_DAYS * 24 * HOUR_MS:
        raise SnapshotError(
            f"{path}: made as of {made}, more than {COUNTED_DAYS:g} days before this refresh;"
            " run `recsys nightly`"
        )


def _users_with_new_events(window: TrainingWindow, base: BaseRun) -> Ints:
    """Return the keys of users with clicks or impressions since the base run, ascending."""
    events = window.events
    clicked = window.users.keys[window.user_index[window.clicked_ms >= base.as_of_ms]]
    new_views = np.flatnonzero(events.view_ms >= base.as_of_ms)
    is_known = window.articles.id_map.index_of_keys(events.view_key[new_views]) >= 0
    shown = events.view_user[new_views[is_known]]
    without_profile = np.concatenate((window.bot_keys, window.anonymous_keys))
    return distinct(np.concatenate((clicked, shown[~np.isin(shown, without_profile)])))


def _ids_of(window: TrainingWindow, user_keys: Ints) -> list[str]:
    """Return the ids of users."""
    user_index = window.all_users.index_of_keys(user_keys)
    return [window.all_users.ids[index] for index in user_index.tolist()]


def _packed_profiles(
    files: Sequence[tuple[RunConnection, Path]], user_ids: Sequence[str]
) -> dict[str, bytes]:
    """Return the packed profiles of users; a file has precedence over those after it."""
    packed: dict[str, bytes] = {}
    for conn, path in reversed(files):
        packed |= find_profiles(conn, path, user_ids)
    return packed


def _base_factors(
    window: TrainingWindow, user_index: Ints, packed: Mapping[str, bytes], page: PageModel
) -> NDArray[np.float32]:
    """Return the base run's factors of a window's users; zeros but for those at `user_index`.

    A user whom the base run did not know has zeros too.
    """
    factors = np.zeros((len(window.users), page.live.factors.shape[1]), dtype=np.float32)
    known = [index for index in user_index.tolist() if window.users.ids[index] in packed]
    profiles = [packed[window.users.ids[index]] for index in known]
    factors[known] = _unpacked(profiles, page).factors
    return factors


def _unpacked(packed: Sequence[bytes], page: PageModel) -> Profiles:
    n_factors = page.live.factors.shape[1]
    return unpack_profiles(packed, n_factors=n_factors, n_categories=page.n_categories)


def _advanced_profiles(
    window: TrainingWindow,
    base: BaseRun,
    changed_keys: Ints,
    packed: Mapping[str, bytes],
    model: ArticleModel,
) -> tuple[dict[str, bytes], int]:
    """Return the packed profiles of users with new events, as they are now.

    Parameters
    ----------
    window, base
        The training window of the refresh, and the run it builds on.
    changed_keys : array of int64, ascending
        Store keys of the users with new events. A user who is new and has not clicked is left
        out, since a run knows users by their clicks.
    packed
        The profiles before, of those users whom the base run knew.
    model
        The refreshed article model.

    Returns
    -------
    profiles, n_new
        By user id, and how many of the users are new.
    """
    live, events = model.page.live, window.events
    new_clicks = np.flatnonzero(window.clicked_ms >= base.as_of_ms)
    clicked_key = window.users.keys[window.user_index[new_clicks]]
    is_known = np.array([user_id in packed for user_id in _ids_of(window, changed_keys)], bool)
    has_clicked = np.isin(changed_keys, clicked_key)
    kept = is_known | has_clicked
    keys, is_known, has_clicked = changed_keys[kept], is_known[kept], has_clicked[kept]
    ids = _ids_of(window, keys)
    empty = empty_profile(live.factors.shape[1], model.page.n_categories, base.as_of_ms)
    packed_empty = pack_profiles(empty)[0]
    profiles = _unpacked([packed.get(user_id, packed_empty) for user_id in ids], model.page)

    def exposures_since(user_key: Ints, article_key: Ints, event_ms: Ints) -> Exposures:
        """Return the events since the base run; of new users, who had no profile, all events."""
        is_since = (event_ms >= base.as_of_ms) | np.isin(user_key, keys[~is_known])
        rows = np.flatnonzero(is_since)
        rows = rows[np.isin(user_key[rows], keys)]
        article_index = window.articles.id_map.index_of_keys(article_key[rows])
        rows, article_index = rows[article_index >= 0], article_index[article_index >= 0]
        return Exposures(np.searchsorted(keys, user_key[rows]), article_index, event_ms[rows])

    factors = profiles.factors.copy()
    factors[has_clicked] = model.factors.user[window.users.index_of_keys(keys[has_clicked])]
    after = advanced(
        profiles,
        (np.searchsorted(keys, clicked_key), window.article_index[new_clicks]),
        exposures_since(events.click_user, events.click_key, events.click_ms),
        exposures_since(events.view_user, events.view_key, events.view_ms),
        factors=factors,
        is_live=live.live_index_of(np.arange(len(model.articles))) >= 0,
        as_of_ms=window.as_of_ms,
        known_reads=live.blend.known_reads,
    )
    return dict(zip(ids, pack_profiles(after), strict=True)), int((~is_known).sum())
