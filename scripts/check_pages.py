"""Compose many pages of a published run, count what must never happen, compare ways to compose.

    python scripts/check_pages.py --published published --readers 1000 --articles 20

Prints one JSON line. Every page is asked for as a web server would, by `recommend()`.
"""

import argparse
import json
import time
from contextlib import closing
from datetime import datetime
from pathlib import Path

import numpy as np

from recsys import Recommender, metrics
from recsys.evaluation.backtest import PAGES, by_each_way
from recsys.evaluation.report import page_metrics
from recsys.page.compose import YOU_MAY_ALSO_LIKE, compose, slots_of
from recsys.published import run_file
from recsys.rows import to_ms


def main() -> None:
    """Parse arguments, compose, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--published", type=Path, required=True)
    parser.add_argument("--readers", type=int, default=1000)
    parser.add_argument("--articles", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print(json.dumps(check(given.published, given.readers, given.articles, given.seed)))


def check(published: Path, n_users: int, n_articles: int, seed: int) -> dict[str, object]:
    """Return the figures of random readers beside random live articles."""
    rng = np.random.default_rng(seed)
    recommender = Recommender(published)
    run = recommender._current()  # what a page was made from is not public
    model, builder = run.model, run.builder
    as_of = datetime.fromisoformat(run.meta.as_of)
    known: set[str] = set()
    for path in run.paths:
        with closing(run_file.connect(path)) as conn:
            known |= run_file.user_ids(conn)
    readers = rng.choice(sorted(known), min(n_users, len(known)), replace=False).tolist()
    live = [run.articles[row].article_id for row in model.live.live_rows.tolist()]
    beside = rng.choice(live, min(n_articles, len(live)), replace=False).tolist()
    place_of = {article_id: place for place, article_id in enumerate(live)}
    n_slots = slots_of(model.config.n, model.config.n_latest)
    wrong = dict.fromkeys(
        ("repeats", "stories repeated", "already read", "itself", "rules broken", "short"), 0
    )
    rules, now_ms = recommender._resolved(run), to_ms(as_of)
    n_pinned = 0
    pages: dict[str, list[dict[str, list[int]]]] = {name: [] for name in PAGES}
    ratios, gaps, shortfalls, seconds = [], [], [], []
    for user_id in readers:
        reader = recommender._reader(run, user_id)
        read = set(reader.read.tolist())
        for article_id in beside:
            page = recommender.recommend(user_id, article_id, as_of=as_of)
            lists = {name: [place_of[s.article_id] for s in slots] for name, slots in page.items()}
            places = [place for found in lists.values() for place in found]
            stories = [int(model.story[place]) for place in places]
            wrong["repeats"] += len(places) - len(set(places))
            wrong["stories repeated"] += len(stories) - len(set(stories))
            wrong["already read"] += len(read & set(places))
            wrong["itself"] += article_id in {
                s.article_id for slots in page.values() for s in slots
            }
            wrong["short"] += sum(n_slots[name] - len(found) for name, found in lists.items())
            context = run.known[article_id]
            editorial = rules.at(now_ms, context)
            wrong["rules broken"] += _broken(lists, editorial)
            n_pinned += sum(slot.rules != () for slots in page.values() for slot in slots)
            built = builder.page(reader, context, n_slots)
            wishes = builder.rankings.wishes(built.scored, n_slots)
            begin = time.perf_counter()
            best = compose(wishes, model.story)
            seconds.append(time.perf_counter() - begin)
            # What was served stands for our way, since it follows the rules in force.
            ways = by_each_way(builder, built, n_slots) | {PAGES[0]: lists}
            gaps.append(1 - built.value / built.bound)
            shortfalls.append(1 - _worth(wishes, ways["by turns"]) / best.value[0])
            order = builder.rankings.alone(YOU_MAY_ALSO_LIKE, built.scored)
            own = order[~built.scored.closed[0, order]]
            scores = built.scored.values[YOU_MAY_ALSO_LIKE][0]
            ratios.append(_gain(own, lists[YOU_MAY_ALSO_LIKE], scores))
            for name in PAGES:
                pages[name].append(ways[name])
    return {
        "published": published.name,
        "run": run.meta.run_id,
        "pages": len(ratios),
        "readers": len(readers),
        "articles": len(beside),
        "live": len(live),
        "rules": len(rules.rules),
        "slots touched by rules": n_pinned,
        "wrong": wrong,
        "ndcg of you may also like against its own ranking": round(float(np.mean(ratios)), 4),
        "gap to the bound": {
            "mean": round(float(np.mean(gaps)), 4),
            "most": round(float(max(gaps)), 4),
        },
        "turns fall short of the assignment": {
            "mean": round(float(np.mean(shortfalls)), 4),
            "most": round(float(max(shortfalls)), 4),
        },
        "microseconds of an assignment": {
            q: round(1e6 * float(np.quantile(seconds, p))) for q, p in (("p50", 0.5), ("p99", 0.99))
        },
        "ways": {
            name: {key: round(value, 4) for key, value in page_metrics(found, model.story).items()}
            for name, found in pages.items()
        },
    }


def _broken(lists, editorial) -> int:
    """Return how often a page breaks a rule: an article barred, a cap exceeded."""
    broken = 0
    for name, places in lists.items():
        for key in ("", name):
            if key in editorial.barred:
                broken += int(editorial.barred[key][places].sum())
    for cap in editorial.caps:
        places = [p for name, found in lists.items() if cap.name in (None, name) for p in found]
        groups = np.array([cap.group[place] for place in places], dtype=np.int64)
        counts = np.bincount(groups[groups >= 0])
        broken += int(np.maximum(counts - cap.most, 0).sum())
    return broken


def _worth(wishes, lists) -> float:
    """Return what a page is worth: priority x value / log2(rank + 1)."""
    total_score = 0.0
    for wish in wishes:
        value = dict(zip(wish.places[0].tolist(), wish.values[0].tolist(), strict=True))
        total_score += sum(
            wish.priority * value.get(place, 0.0) / np.log2(rank + 2)
            for rank, place in enumerate(lists[wish.name])
        )
    return total_score


def _gain(order, liked, scores) -> float:
    """Return nDCG of You May Also Like, gains being scores above the page's last candidate."""
    least = float(scores[order[min(21, len(order)) - 1]])
    ideal = metrics.dcg(np.maximum(scores[order[: len(liked)]] - least, 0))
    found = metrics.dcg(np.maximum(scores[liked] - least, 0))
    return float(found / ideal) if ideal > 0 else 1.0


if __name__ == "__main__":
    main()
