"""Measure which order of users finds more of those who click an article next.

    python scripts/audience_orders.py --store recsys.db [--config FILE] [--hours 12]

At the moments of `recsys evaluate` (every two hours of the last two days of impressions), a refresh
knows what was known by then. For each live article that at least three users clicked within the
next hours, all users of the run who had not read it or a copy are ordered. Prints one JSON line for
each day and order: the mean over articles of AUC (ties .5), precision at 10 and 50 and recall at
100, each with its 95 % interval by bootstrap over articles and moments, and the AUC paired less
that of the order that `recsys audience` serves.

Exit status: 0 measured.
"""

import argparse
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from recsys.blas import blas_on_one_thread
from recsys.blend.audience import PRIOR_READS, AudienceScorer
from recsys.blend.linear import score_parts
from recsys.cli.options import load_settings
from recsys.evaluation.backtest import EvaluatedRun, evaluated_runs
from recsys.evaluation.full_list import moments
from recsys.evaluation.run import find_test_window
from recsys.learn.examples import ExampleBuilder
from recsys.learn.live_choices import later_clicks
from recsys.learn.past_runs import PastRuns
from recsys.metrics.intervals import bootstrap
from recsys.nightly.workers import PageScorer
from recsys.rows import HOUR_MS, iso
from recsys.store import Store

Floats = NDArray[np.float64]
LEAST_CLICKS = 3
SERVED = "page score and activity (served)"
METRICS = ("auc", "precision_at_10", "precision_at_50", "recall_at_100")


def main() -> None:
    """Parse arguments, order users at each moment, print the figures of each day."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--hours", type=float, default=12.0)
    args = parser.parse_args()
    config = load_settings(args.config)
    with Store(args.store, must_exist=True) as store, blas_on_one_thread():
        from_ms, before_ms = find_test_window(store, None, None)
        past = PastRuns(store, config)
        builder = ExampleBuilder(past, keep_in_store=False)
        days = evaluated_runs(builder, ("hourly",), from_ms=from_ms, before_ms=before_ms)
        for day in days:
            rows = [
                (moment_ms, *row)
                for moment_ms in moments(day.from_ms, before_ms, config.ingest.zone())
                if moment_ms < day.before_ms and moment_ms + args.hours * HOUR_MS <= before_ms
                for row in judged(past, day, moment_ms, args.hours)
            ]
            if rows:
                report(day, rows, args.hours)


def judged(
    past: PastRuns, day: EvaluatedRun, moment_ms: int, hours: float
) -> Iterator[tuple[int, dict[str, list[float]]]]:
    """Yield the article, and the metrics of each order of users, for each article of a moment."""
    run = past.refresh(day.run, moment_ms, moment_ms)
    users = run.model.users
    live = dataclasses.replace(run.model.page.live, weights=day.heads.weights)
    page = dataclasses.replace(run.model.page, live=live)
    packed = [profile for _, profile, _ in PageScorer(page, moment_ms).rows(users)]
    n_users, rng = len(packed), np.random.default_rng(moment_ms % 2**32)
    states = [users.state(i) for i in range(n_users)]
    parts = [score_parts(live, user, None) for user in states]
    scores = np.array([np.sum(list(part.values()), axis=0) for part in parts], dtype=float)
    affinity = np.array([part["affinity"] for part in parts], dtype=float)
    n_read = np.array([len(user.read) for user in states])
    unread = np.ones(scores.shape, dtype=bool)
    for i, user in enumerate(states):
        unread[i] = ~np.isin(page.story, page.story[user.read])
    # The chance that the next click of a user is on the article, among the articles unread.
    best = scores.max(axis=1, keepdims=True)
    total = np.sum(np.exp(scores - best) * unread, axis=1, keepdims=True)
    share = scores - best - np.log(np.maximum(total, 1e-300))
    activity = np.log(PRIOR_READS + n_read)

    clicks, clicked = later_clicks(past, run, moment_ms + round(hours * HOUR_MS))
    user_index = run.window.users.index_of_keys(clicks.user_key)
    for article in np.unique(clicked).tolist():
        is_click = np.zeros(n_users, dtype=bool)
        is_click[user_index[(clicked == article) & (user_index >= 0)]] = True
        served = AudienceScorer(page, article).scores(packed)
        may = served > -np.inf
        if (is_click & may).sum() < LEAST_CLICKS:
            continue
        chance = rng.random(n_users)  # also the order of users who are equal
        orders = {
            "random": chance,
            "most active": n_read + 1e-9 * chance,
            "section taste": affinity[:, article] + 1e-9 * chance,
            "share": share[:, article],
            "share and activity": share[:, article] + activity,
            "page score": scores[:, article],
            SERVED: served,
        }
        known = run.window.articles.id_map.keys[live.live_rows[article]]
        yield int(known), {name: figures(is_click[may], of[may]) for name, of in orders.items()}


def figures(is_click: NDArray[np.bool_], scores: Floats) -> list[float]:
    """Return the metrics of one order of users."""
    n_clicks = int(is_click.sum())
    n_pairs = n_clicks * (len(is_click) - n_clicks)
    auc = (rankdata(scores)[is_click].sum() - n_clicks * (n_clicks + 1) / 2) / n_pairs
    hits = np.cumsum(is_click[np.argsort(-scores, kind="stable")])
    at = [int(hits[min(k, len(hits)) - 1]) for k in (10, 50, 100)]
    return [float(auc), at[0] / 10, at[1] / 50, at[2] / n_clicks]


def report(
    day: EvaluatedRun, rows: list[tuple[int, int, dict[str, list[float]]]], hours: float
) -> None:
    """Print a line for each order of users of a day."""
    moment, article = (np.array([row[i] for row in rows], dtype=np.int64) for i in (0, 1))
    of = {name: np.array([found[name] for _, _, found in rows]) for name in rows[0][2]}
    about = {
        "day": iso(day.from_ms)[:10],
        "hours": hours,
        "moments": len(np.unique(moment)),
        "articles_at_moments": len(rows),
        "articles": len(np.unique(article)),
    }
    for name, values in of.items():
        line: dict[str, object] = {"order": name} | about
        for column, metric in enumerate(METRICS):
            found = bootstrap(values[:, column], article, crossed=moment)
            line[metric] = [round(float(x), 4) for x in (found.mean, found.low, found.high)]
        less = bootstrap(values[:, 0] - of[SERVED][:, 0], article, crossed=moment)
        line["auc_less_served"] = [round(float(x), 4) for x in (less.mean, less.low, less.high)]
        print(json.dumps(line))


if __name__ == "__main__":
    main()
