"""What a run would show, and whether it may be served: tonight against sane bounds and last night.

Tonight's vitals are told by pages of a sample: the front page, and pages beside articles and
of readers at even steps. The run keeps them, so that the next is held against it.
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
from recsys.nightly import publish_gate
from recsys.page.build import PageBuilder
from recsys.page.compose import LATEST_STORIES, POPULAR_NOW, YOU_MAY_ALSO_LIKE, slots_of
from recsys.published import folder as published_folder
from recsys.published import run_file
from recsys.rows import HOUR_MS

SAMPLED = 100  # articles and readers whose pages are looked at
NAMED = 10  # articles of the report, of those on none of the pages
FROZEN_HOURS = 12  # after which the same front page is no chance
MANY_CHOICES = 1000  # on which an AUC is no chance


@dataclass(frozen=True, slots=True)
class Vitals:
    """What a run would show.

    Attributes
    ----------
    as_of_ms
        Nothing later is known to it.
    counts
        Of live articles, readers and clicks.
    n_pages, n_shown
        Pages looked at, and different articles on them.
    short, cold
        Share of those pages with an empty slot; and of the readers with no factors, whose
        page is nearly anybody's.
    spread
        Of scores in You May Also Like: the tenth to the ninetieth percentile.
    front : dict of list of str
        Articles of the front page, by list.
    never
        Some of the live articles on none of the pages, newest first.
    auc : dict of float
        Of the heads served, on yesterday's choices, by name; of those with many choices.
    """

    as_of_ms: int
    counts: dict[str, int]
    n_pages: int
    n_shown: int
    short: float
    cold: float
    spread: float
    front: dict[str, list[str]]
    never: list[str]
    auc: dict[str, float] = field(default_factory=dict)


def sampled(n: int) -> list[int]:
    """Return up to `SAMPLED` of n places, at even steps."""
    return [round(place) for place in np.linspace(0, n - 1, min(n, SAMPLED)).tolist()]


def vitals_of(
    page: PageModel,
    article_ids: Sequence[str],
    readers: Sequence[UserState],
    as_of_ms: int,
    counts: Mapping[str, int],
    auc: Mapping[str, float],
) -> Vitals:
    """Return what a run would show.

    Parameters
    ----------
    page, article_ids
        The run, and the ids of its known articles.
    readers
        Some of its readers.
    as_of_ms, counts, auc
        As of `Vitals`.
    """
    builder, live = PageBuilder(page), page.live.live_rows
    n_slots = slots_of(page.config.n, page.config.n_latest)
    asked: list[tuple[UserState | None, int | None]] = [(None, None)]
    asked += [(None, int(live[place])) for place in sampled(len(live))]
    asked += [(reader, None) for reader in readers]
    pages = [builder.page(reader, context, n_slots).lists for reader, context in asked]
    shown = {slot.place for lists in pages for slots in lists.values() for slot in slots}
    n_full = sum(n_slots.values())
    short = [sum(map(len, lists.values())) < n_full for lists in pages]
    scores = [slot.score for lists in pages for slot in lists[YOU_MAY_ALSO_LIKE]]
    low, high = np.quantile(scores, (0.1, 0.9)) if scores else (0.0, 0.0)
    cold = [not reader.factors.any() for reader in readers]
    return Vitals(
        as_of_ms=as_of_ms,
        counts=dict(counts),
        n_pages=len(pages),
        n_shown=len(shown),
        short=float(np.mean(short)),
        cold=float(np.mean(cold)) if cold else 0.0,
        spread=round(float(high - low), 4),
        front={
            name: [article_ids[live[slot.place]] for slot in slots]
            for name, slots in pages[0].items()
        },
        never=[article_ids[live[i]] for i in page.newest.tolist() if i not in shown][:NAMED],
        auc=dict(auc),
    )


def bad_numbers(page: PageModel) -> list[str]:
    """Return the signals of a run with values that are no finite numbers."""
    signals = {"factors": page.live.factors, "importance": page.importance, "rise": page.rise}
    return [
        f"{name}: some are not finite numbers"
        for name, values in (signals | page.live.static).items()
        if not np.isfinite(values).all()
    ]


def against_last(
    tonight: Vitals, last: Mapping[str, Any], of_run: str, config: PublishConfig
) -> list[str]:
    """Return what looks wrong with tonight against a run before.

    Parameters
    ----------
    tonight
        The run.
    last
        Fields of the other's `Vitals`, as that run has them.
    of_run
        Its name.
    config
        How much may be lost.
    """
    found = []
    hours = (tonight.as_of_ms - last["as_of_ms"]) / HOUR_MS
    if hours < 0:
        found.append(f"{-hours:.1f} hours before {of_run}: has a clock gone back?")
    share = config.min_share_of_last_run
    pairs = [
        (what.replace("_", " "), n, last["counts"].get(what, 0))
        for what, n in tonight.counts.items()
    ]
    pairs.append(("different articles on the pages looked at", tonight.n_shown, last["n_shown"]))
    found += [
        f"{n} {what}, {before} in {of_run}: below the share of {share}"
        for what, n, before in pairs
        if n < share * before
    ]
    for what, now, before in (
        ("pages with empty slots", tonight.short, last["short"]),
        ("readers whose page is nearly anybody's", tonight.cold, last["cold"]),
    ):
        if now > before + config.max_worse_share:
            found.append(f"{now:.0%} {what}, {before:.0%} in {of_run}")
    if tonight.spread < 0.1 * last["spread"]:
        found.append(f"scores differ by {tonight.spread}, in {of_run} by {last['spread']}")
    frozen = [
        name
        for name in (POPULAR_NOW, LATEST_STORIES)
        if tonight.front[name] and tonight.front[name] == last["front"][name]
    ]
    if hours >= FROZEN_HOURS and frozen:
        found.append(
            f"frozen lists: {', '.join(frozen)} as in {of_run}, {hours:.0f} hours ago: do clicks"
            " and articles still come in?"
        )
    for head, auc in tonight.auc.items():
        before = last["auc"].get(head, 0.5)
        if auc < max(before - config.max_lost_auc, 0.5):
            found.append(f"{head}: AUC {auc:.3f} on yesterday's choices, {before:.3f} in {of_run}")
    return found


def publish_problems(
    meta: run_file.RunMeta,
    vitals: publish_gate.Vitals | None,
    page: PageModel,
    folder: Path,
    config: Config,
) -> list[str]:
    """Return what looks wrong with tonight, in itself and against the run before."""
    if vitals is None:
        return ["no live articles: are articles or clicks of the last days in the store?"]
    found = publish_gate.bad_numbers(page)
    last = _last_run_of_same_kind(meta, folder)
    if last is not None and last.vitals is not None:
        found += publish_gate.against_last(vitals, last.vitals, last.run_id, config.publish)
    return found


def _last_run_of_same_kind(meta: run_file.RunMeta, folder: Path) -> run_file.RunMeta | None:
    """Return the last run that was served and is of the same kind, None for none.

    A refresh reads fewer days of clicks than a night, so each is held against its own kind.
    A damaged run is no yardstick.
    """
    current = published_folder.current_run(folder)
    for run_id in reversed(published_folder.run_ids(folder)):
        if current is None or run_id > current:
            continue
        path = published_folder.run_path(folder, run_id)
        with suppress(SnapshotError), closing(run_file.connect(path)) as conn:
            found = run_file.load_meta(conn, path)
            if (found.base is None) == (meta.base is None):
                return found
    return None
