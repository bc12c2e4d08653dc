"""Decide whether a run may be served: look at its numbers and at a sample of its pages.

`measure_vitals` builds the front page, pages of articles and pages of users at even steps, and
reduces them to a few figures: the vitals. A run keeps its vitals, and `publish_problems`
compares those of a new run with those of the last served run of its kind.
"""

from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from recsys.blend.live_model import PageModel, UserState
from recsys.config import Config, PublishConfig
from recsys.errors import SnapshotError
from recsys.page.build import PageBuilder
from recsys.page.list_table import layouts_of
from recsys.published import folder as published_folder
from recsys.published import run_file
from recsys.published.connection import connect
from recsys.rows import HOUR_MS
from recsys.training.liveness import why_none_is_live

SAMPLE_SIZE = 100  # articles, and users, whose pages are looked at
MAX_NAMED = 10  # articles on none of those pages that the vitals name
FROZEN_HOURS = 12  # after so many hours, an unchanged list is not a coincidence
MANY_CHOICES = 1000  # with so many choices, a lower AUC is not a coincidence


@dataclass(frozen=True, slots=True)
class Vitals:
    """Figures of a run that show whether its pages are sound.

    Attributes
    ----------
    as_of_ms
        The run's `as_of`.
    counts
        Numbers of live articles, users and clicks, by name.
    n_pages
        Number of sample pages.
    n_shown_articles
        Number of different articles on the sample pages.
    short_page_share
        Share of the sample pages that have an empty slot.
    cold_user_share
        Share of the sampled users without ALS factors: their page is nearly the anonymous one.
    score_spread
        From the 10th to the 90th percentile of the scores in You May Also Like.
    front_page : dict of list of str
        Article ids of the front page, by list.
    never_shown
        Ids of live articles on none of the sample pages, newest first, at most `MAX_NAMED`.
    auc : dict of float
        AUC of each served head on its validation choices, for heads with `MANY_CHOICES`.
    """

    as_of_ms: int
    counts: dict[str, int]
    n_pages: int
    n_shown_articles: int
    short_page_share: float
    cold_user_share: float
    score_spread: float
    front_page: dict[str, list[str]]
    never_shown: list[str]
    auc: dict[str, float] = field(default_factory=dict)


def publish_problems(
    meta: run_file.RunMeta,
    vitals: Vitals | None,
    page: PageModel,
    folder: Path,
    counts: Mapping[str, int],
    run_key: bytes | None = None,
) -> list[str]:
    """Return the reasons to hold a run back; an empty list means that it may be served.

    Parameters
    ----------
    meta
        The run.
    vitals
        Its vitals; None if it has no live articles, or numbers that are not finite.
    page
        Its model, whose numbers must be finite.
    folder
        The published folder, with the last run to compare with.
    counts
        Of the run's report.
    run_key
        The key by which the folder's pointer must be signed to be believed, if there is one.
    """
    if problems := non_finite_signals(page):
        return problems
    if vitals is None:
        return [why_none_is_live(counts, meta.config.data)]
    last = _last_run_of_same_kind(meta, folder, run_key)
    if last is not None and last.vitals is not None:
        problems += compare_vitals(vitals, last.vitals, last.run_id, meta.config.publish)
        problems += frozen_lists(vitals, last, page.config)
    return problems


def evenly_spaced(n: int) -> list[int]:
    """Return up to `SAMPLE_SIZE` of the indices 0 to n - 1, at even steps.

    Examples
    --------
    >>> evenly_spaced(3)
    [0, 1, 2]
    """
    return [round(index) for index in np.linspace(0, n - 1, min(n, SAMPLE_SIZE)).tolist()]


def measure_vitals(
    page: PageModel,
    article_ids: Sequence[str],
    users: Sequence[UserState],
    as_of_ms: int,
    counts: Mapping[str, int],
    auc: Mapping[str, float],
) -> Vitals:
    """Build a sample of a run's pages and return its vitals.

    Parameters
    ----------
    page
        The model of the run.
    article_ids
        Ids of its known articles.
    users
        A sample of its users.
    as_of_ms, counts, auc
        See `Vitals`.
    """
    builder, live = PageBuilder(page), page.live.live_rows
    requests: list[tuple[UserState | None, int | None]] = [(None, None)]
    requests += [(None, int(live[index])) for index in evenly_spaced(len(live))]
    requests += [(user, None) for user in users]
    pages = [
        builder.page(user, context, builder.layout(None, has_context=context is not None))
        for user, context in requests
    ]
    shown = {slot.live_index for built in pages for slots in built.lists.values() for slot in slots}
    is_short = [sum(map(len, built.lists.values())) < built.layout.n_page for built in pages]
    scores = [
        slot.score
        for built in pages
        for of in built.layout.lists
        if of.scorer == "personal"
        for slot in built.lists[of.name]
    ]
    low, high = np.quantile(scores, (0.1, 0.9)) if scores else (0.0, 0.0)
    is_cold = [not user.factors.any() for user in users]
    never_shown = [article_ids[live[i]] for i in page.newest.tolist() if i not in shown]
    return Vitals(
        as_of_ms=as_of_ms,
        counts=dict(counts),
        n_pages=len(pages),
        n_shown_articles=len(shown),
        short_page_share=float(np.mean(is_short)),
        cold_user_share=float(np.mean(is_cold)) if is_cold else 0.0,
        score_spread=round(float(high - low), 4),
        front_page={
            name: [article_ids[live[slot.live_index]] for slot in slots]
            for name, slots in pages[0].lists.items()
        },
        never_shown=never_shown[:MAX_NAMED],
        auc=dict(auc),
    )


def non_finite_signals(page: PageModel) -> list[str]:
    """Return a problem for each signal of a run that has values which are not finite numbers."""
    signals = {"factors": page.live.factors, "importance": page.importance, "rise": page.rise}
    return [
        f"{name}: some values are not finite numbers"
        for name, values in (signals | page.live.static).items()
        if not np.isfinite(values).all()
    ]


def compare_vitals(
    vitals: Vitals, last: Mapping[str, Any], last_run_id: str, config: PublishConfig
) -> list[str]:
    """Return what is wrong with a run in comparison with the last run.

    Parameters
    ----------
    vitals
        The vitals of the run.
    last
        The vitals of the last run, as its file has them: by name of the attribute.
    last_run_id
        The last run.
    config
        How much worse than the last run the run may be.
    """
    problems = []
    hours = (vitals.as_of_ms - last["as_of_ms"]) / HOUR_MS
    if hours < 0:
        problems.append(
            f"as of {-hours:.1f} hours earlier than {last_run_id}: has a clock gone back?"
        )
    problems += _lost_counts(vitals, last, last_run_id, config)
    for what, share, before in (
        ("pages have empty slots", vitals.short_page_share, last["short_page_share"]),
        ("users have no ALS factors", vitals.cold_user_share, last["cold_user_share"]),
    ):
        if share > before + config.max_worse_share:
            problems.append(
                f"{share:.0%} of {what}, {before:.0%} in {last_run_id}:"
                f" more than [publish] max_worse_share = {config.max_worse_share} above"
            )
    if vitals.score_spread < 0.1 * last["score_spread"]:
        problems.append(
            f"scores of You May Also Like spread over {vitals.score_spread},"
            f" over {last['score_spread']} in {last_run_id}: less than a tenth"
        )
    for head, auc in vitals.auc.items():
        before = last["auc"].get(head, 0.5)
        if auc < max(before - config.max_lost_auc, 0.5):
            problems.append(
                f"{head}: AUC {auc:.3f} on the latest choices, {before:.3f} in {last_run_id}:"
                f" lower than 0.5, or by more than [publish] max_lost_auc = {config.max_lost_auc}"
            )
    return problems


def _lost_counts(
    vitals: Vitals, last: Mapping[str, Any], last_run_id: str, config: PublishConfig
) -> list[str]:
    """Return a problem for each count that has fallen too far below the last run's."""
    share = config.min_share_of_last_run
    pairs = [
        (name.replace("_", " "), n, last["counts"].get(name, 0))
        for name, n in vitals.counts.items()
    ]
    shown = vitals.n_shown_articles, last["n_shown_articles"]
    pairs.append(("different articles on the sample pages", *shown))
    return [
        f"{n} {name}, {before} in {last_run_id}: below [publish] min_share_of_last_run = {share}"
        for name, n, before in pairs
        if n < share * before
    ]


def frozen_lists(vitals: Vitals, last: run_file.RunMeta, config: Config) -> list[str]:
    """Return a problem if lists of the front page have not changed for too many hours.

    Only lists of rising and of the latest articles are looked at: those must move.
    """
    before = last.vitals or {}
    hours = (vitals.as_of_ms - before["as_of_ms"]) / HOUR_MS
    moving = {
        of.name for layout in layouts_of(config).values() for of in layout.lists if of.row.moves
    }
    frozen = [
        name
        for name, articles in vitals.front_page.items()
        if name in moving and articles and articles == before["front_page"].get(name)
    ]
    if hours < FROZEN_HOURS or not frozen:
        return []
    return [
        f"frozen lists: {', '.join(frozen)} are the same as in {last.run_id}, {hours:.0f} hours"
        " ago: do clicks and articles still come in?"
    ]


def _last_run_of_same_kind(
    meta: run_file.RunMeta, folder: Path, run_key: bytes | None
) -> run_file.RunMeta | None:
    """Return the last served run of the same kind; None if there is none.

    A refresh reads fewer days of clicks than a nightly run, so each is compared with its own
    kind. A damaged run is skipped. Where no pointer can be believed, it is the newest one.
    """
    current = published_folder.signed_current_run(folder, run_key)
    for run_id in reversed(published_folder.run_ids(folder)):
        if current is not None and run_id > current:
            continue
        path = published_folder.run_path(folder, run_id)
        with suppress(SnapshotError), closing(connect(path, None)) as conn:
            last = run_file.load_meta(conn, path)
            if (last.base is None) == (meta.base is None):
                return last
    return None
