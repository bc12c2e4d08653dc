"""A refresh: the current run and what came since, as a new run. Nothing is learned.

What it costs goes with the clicks since, the counted days and the live articles, not with
the readers: profiles of readers of whom nothing came stay where the night put them, and
pages are made when they are asked for.
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
from recsys.config import BlendConfig, Config
from recsys.errors import SnapshotError
from recsys.published import folder as published_folder
from recsys.published import run_file
from recsys.rows import HOUR_MS, iso, to_ms
from recsys.sorted_ints import distinct
from recsys.store.database import Store
from recsys.training.carry_over import BaseRun, users_needing_factors
from recsys.training.train import ArticleModel, Stage, items_of, train_articles
from recsys.training.window import COUNTED_DAYS, TrainingWindow, read_training_window

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
    n_users
        Whom the run knows, those left where they are among them.
    """

    base: str
    model: ArticleModel
    rank: RankModel
    weights: BlendConfig
    profiles: dict[str, bytes]
    n_users: int


def refresh(store: Store, folder: Path, as_of_ms: int, config: Config, stage: Stage) -> Refreshed:
    """Return the current run, carried on to the present.

    Raises
    ------
    NotPublishedError
        If there is no current run to carry on.
    SnapshotError
        If it is damaged, later than the refresh, or too old for one.
    """
    run_id = published_folder.require_current(folder)
    path = published_folder.run_path(folder, run_id)
    with ExitStack() as opened:
        conn = opened.enter_context(closing(run_file.connect(path)))
        with stage("carry"):
            meta = run_file.load_meta(conn, path)
            page, rank = run_file.load_model(conn, path)
            last = BaseRun(
                as_of_ms=to_ms(datetime.fromisoformat(meta.as_of)),
                article_ids=run_file.load_articles(conn, path).column("article_id"),
                live=page.live,
                vectors=rank.vectors,
                carry=run_file.load_carry(conn, path),
            )
            _check_last(path, last, as_of_ms, config)
            known = [(conn, path)]
            if meta.base is not None:
                base = published_folder.run_path(folder, meta.base)
                known.append((opened.enter_context(closing(run_file.connect(base))), base))
        with stage("read"):
            days = min(config.data.window_days, COUNTED_DAYS)
            data = msgspec.structs.replace(config.data, window_days=days)
            config = msgspec.structs.replace(config, data=data, blend=meta.weights)
            window = read_training_window(store, as_of_ms, config, earlier=last.earlier)
        with stage("known readers"):
            touched = _touched(window, last)
            to_know = users_needing_factors(window, last, config.collaborative)
            ids = _ids_of(window, distinct(np.append(touched, window.users.keys[to_know])))
            before: dict[str, bytes] = {}
            for of_run in reversed(known):  # the current run's own stand before those of its night
                before |= run_file.find_profiles(*of_run, ids)
            user = _factors_before(window, to_know, before, page)
        items = items_of(window, config)
        model = train_articles(store, window, config, stage, items, (last, user))
        with stage("readers"):
            profiles = {}
            if meta.base is not None:
                profiles = dict(run_file.load_profiles(conn, path))
            found, n_new = _advanced(window, last, touched, before, model, config.blend)
            profiles |= found
    curves = rank.refresh_curves
    return Refreshed(
        base=meta.base or run_id,
        model=model,
        rank=dataclasses.replace(model.rank, curves=curves, refresh_curves=curves),
        weights=meta.weights,
        profiles=profiles,
        n_users=meta.n_users + n_new,
    )


def _check_last(path: Path, last: BaseRun, as_of_ms: int, config: Config) -> None:
    made, n_features = iso(last.as_of_ms), len(last.carry.n_having)
    if last.as_of_ms > as_of_ms:
        raise SnapshotError(f"{path}: made as of {made}, which is after this refresh")
    if n_features != config.text.n_features:
        raise SnapshotError(
            f"{path}: made with n_features = {n_features}, which is now {config.text.n_features};"
            " run `recsys nightly`"
        )
    if last.as_of_ms < as_of_ms - COUNTED_DAYS * 24 * HOUR_MS:
        raise SnapshotError(
            f"{path}: made as of {made}, more than {COUNTED_DAYS:g} days before this refresh;"
            " run `recsys nightly`"
        )


def _touched(window: TrainingWindow, last: BaseRun) -> Ints:
    """Return the keys, ascending, of readers who clicked or were shown something since."""
    events = window.events
    clicked = window.users.keys[window.user_index[window.clicked_ms >= last.as_of_ms]]
    since = np.flatnonzero(events.view_ms >= last.as_of_ms)
    since = since[window.articles.id_map.index_of_keys(events.view_key[since]) >= 0]
    shown = events.view_user[since]
    return distinct(np.concatenate((clicked, shown[~np.isin(shown, window.bot_keys)])))


def _ids_of(window: TrainingWindow, keys: Ints) -> list[str]:
    """Return the ids of readers."""
    place = window.all_users.index_of_keys(keys)
    return [window.all_users.ids[row] for row in place.tolist()]


def _factors_before(
    window: TrainingWindow, rows: Ints, before: Mapping[str, bytes], page: PageModel
) -> NDArray[np.float32]:
    """Return the factors of a night's readers, as far as `rows` of them were known before."""
    user = np.zeros((len(window.users), page.live.factors.shape[1]), dtype=np.float32)
    here = [row for row in rows.tolist() if window.users.ids[row] in before]
    packed = [before[window.users.ids[row]] for row in here]
    user[here] = _unpacked(packed, page).factors
    return user


def _unpacked(packed: Sequence[bytes], page: PageModel) -> Profiles:
    n_factors = page.live.factors.shape[1]
    return unpack_profiles(packed, n_factors=n_factors, n_categories=page.n_categories)


def _advanced(
    window: TrainingWindow,
    last: BaseRun,
    touched: Ints,
    before: Mapping[str, bytes],
    model: ArticleModel,
    weights: BlendConfig,
) -> tuple[dict[str, bytes], int]:
    """Return the touched readers' profiles as they are now, and how many are new.

    One who is new and did not click is left out: a run knows readers by their clicks.
    """
    live, events = model.page.live, window.events
    fresh = np.flatnonzero(window.clicked_ms >= last.as_of_ms)
    fresh_key = window.users.keys[window.user_index[fresh]]
    ids = _ids_of(window, touched)
    known = np.array([user_id in before for user_id in ids], dtype=bool)
    clicked = np.isin(touched, fresh_key)
    keep = known | clicked
    keys, known, clicked = touched[keep], known[keep], clicked[keep]
    ids = [user_id for user_id, kept in zip(ids, keep.tolist(), strict=True) if kept]
    stranger = empty_profile(live.factors.shape[1], model.page.n_categories, last.as_of_ms)
    of_stranger = pack_profiles(stranger)[0]
    profiles = _unpacked([before.get(user_id, of_stranger) for user_id in ids], model.page)

    def since(user_key: Ints, article_key: Ints, event_ms: Ints) -> Exposures:
        """Return events of these readers since; of the new, of whom nothing was kept, all."""
        at = np.flatnonzero((event_ms >= last.as_of_ms) | np.isin(user_key, keys[~known]))
        at = at[np.isin(user_key[at], keys)]
        article = window.articles.id_map.index_of_keys(article_key[at])
        at, article = at[article >= 0], article[article >= 0]
        return Exposures(np.searchsorted(keys, user_key[at]), article, event_ms[at])

    factors = profiles.factors.copy()
    factors[clicked] = model.factors.user[window.users.index_of_keys(keys[clicked])]
    after = advanced(
        profiles,
        (np.searchsorted(keys, fresh_key), window.article_index[fresh]),
        since(events.click_user, events.click_key, events.click_ms),
        since(events.view_user, events.view_key, events.view_ms),
        factors=factors,
        is_live=live.live_index_of(np.arange(len(model.articles))) >= 0,
        as_of_ms=window.as_of_ms,
        known_reads=weights.known_reads,
    )
    return dict(zip(ids, pack_profiles(after), strict=True)), int((~known).sum())
