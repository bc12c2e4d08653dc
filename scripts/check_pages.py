"""Build many pages of a published run, count what must never happen, compare ways to fill them.

    python scripts/check_pages.py --published published --users 1000 --articles 20

Prints one JSON line. Every page is asked for by `recommend()`, as a web server would. All counts
of "wrong" must be 0, except "short": slots that are empty because the live articles ran out.
"""

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsys import Recommender, metrics
from recsys.blend.linear import total_score
from recsys.blend.live_model import UserState
from recsys.evaluation.page_methods import PAGE_METHODS, pages_by_method
from recsys.evaluation.page_report import exposure_of, padded_pages
from recsys.page.build import Built, PageBuilder
from recsys.page.list_table import PageList
from recsys.page.rules import Editorial, Resolved
from recsys.published import folder as published_folder
from recsys.published.connection import connect
from recsys.published.user_rows import find_profile, user_ids
from recsys.rows import from_ms
from recsys.serving.loaded_run import LoadedRun

Lists = Mapping[str, Sequence[int]]  # live indices by list


def main() -> None:
    """Parse arguments, build the pages, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--published", type=Path, required=True)
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--articles", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print(json.dumps(check(given.published, given.users, given.articles, given.seed)))


@dataclass
class Figures:
    """What is counted and measured, page by page."""

    wrong: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(
            ("repeats", "stories repeated", "already read", "itself", "rules broken", "short"), 0
        )
    )
    slots_touched_by_rules: int = 0
    own_ndcg: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)
    shortfalls: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    pages: dict[str, list[Lists]] = field(
        default_factory=lambda: {method: [] for method in PAGE_METHODS}
    )


def check(published: Path, n_users: int, n_articles: int, seed: int) -> dict[str, object]:
    """Return the figures of pages of random users, each beside random live articles."""
    rng = np.random.default_rng(seed)
    recommender = Recommender(published)
    run = LoadedRun(published, published_folder.require_current(published))
    rules = Resolved(published_folder.load_rules(published, run.list_names), run.described)
    live_ids = [run.articles[row].article_id for row in run.model.live.live_rows.tolist()]
    live_index_of = {article_id: index for index, article_id in enumerate(live_ids)}
    known = known_users(run)
    user_ids = rng.choice(sorted(known), min(n_users, len(known)), replace=False).tolist()
    article_ids = rng.choice(live_ids, min(n_articles, len(live_ids)), replace=False).tolist()
    layout = run.builder.layout(None, has_context=True)
    figures = Figures()
    for user_id in user_ids:
        user = user_of(run, user_id)
        for article_id in article_ids:
            page = recommender.recommend(user_id, article_id, as_of=from_ms(run.as_of_ms))
            lists = {
                name: [live_index_of[slot.article_id] for slot in slots]
                for name, slots in page.items()
            }
            context = run.known[article_id]
            editorial = rules.at(run.as_of_ms, context)
            itself = live_index_of[article_id]
            count_wrong(figures.wrong, lists, user, itself, run.model.story)
            figures.wrong["rules broken"] += n_broken_rules(lists, editorial)
            figures.wrong["short"] += sum(of.n_slots - len(lists[of.name]) for of in layout.lists)
            figures.slots_touched_by_rules += sum(
                slot.rules != () for slots in page.values() for slot in slots
            )
            begin = time.perf_counter()
            built = run.builder.page(user, context, layout)
            figures.seconds.append(time.perf_counter() - begin)
            compare_methods(figures, run.builder, built, lists)
    return {
        "published": published.name,
        "run": run.meta.run_id,
        "pages": len(figures.own_ndcg),
        "users": len(user_ids),
        "articles": len(article_ids),
        "live": len(live_ids),
        "rules": len(rules.rules),
    } | summary(figures, run.model.story, {of.name: of.n_slots for of in layout.lists})


def known_users(run: LoadedRun) -> set[str]:
    """Return the ids of all users that a run knows."""
    known: set[str] = set()
    for path in run.paths:
        with closing(connect(path)) as conn:
            known |= user_ids(conn)
    return known


def user_of(run: LoadedRun, user_id: str) -> UserState:
    """Return the state of a user that a run knows."""
    for path in run.paths:
        with closing(connect(path)) as conn:
            row = find_profile(conn, user_id, path)
        if row is not None:
            return run.users.state_at(row[0], run.as_of_ms)
    raise KeyError(user_id)


def count_wrong(
    wrong: dict[str, int], lists: Lists, user: UserState, itself: int, story: NDArray[np.int64]
) -> None:
    """Count what must never be on a page: repeats, articles already read, the one being read."""
    shown = [index for found in lists.values() for index in found]
    stories = [int(story[index]) for index in shown]
    wrong["repeats"] += len(shown) - len(set(shown))
    wrong["stories repeated"] += len(stories) - len(set(stories))
    wrong["already read"] += len(set(user.read.tolist()) & set(shown))
    wrong["itself"] += itself in shown


def n_broken_rules(lists: Lists, editorial: Editorial) -> int:
    """Return how often a page breaks a rule: articles that are barred or above a cap."""
    broken = 0
    for name, found in lists.items():
        for key in ("", name):
            if key in editorial.barred:
                broken += int(editorial.barred[key][found].sum())
    for cap in editorial.caps:
        shown = [i for name, found in lists.items() if cap.name in (None, name) for i in found]
        groups = np.array([cap.group[index] for index in shown], dtype=np.int64)
        counts = np.bincount(groups[groups >= 0])
        broken += int(np.maximum(counts - cap.most, 0).sum())
    return broken


def compare_methods(figures: Figures, builder: PageBuilder, built: Built, lists: Lists) -> None:
    """Compare a page as served with the same page filled by other methods."""
    pages = pages_by_method(builder, built)
    figures.gaps.append(1 - built.value / built.bound)
    best, turns = (page_value(builder, built, pages[m]) for m in ("assignment", "by turns"))
    figures.shortfalls.append(1 - turns / best)
    liked = built.layout.of_scorer("personal")
    if liked is not None:
        order = free_order(builder, built, liked)
        scores = built.scored.values[liked.name]
        n_page = built.layout.n_page
        figures.own_ndcg.append(own_ndcg(order, lists[liked.name], scores, n_page))
    pages["assignment"] = dict(lists)  # as served: it follows the rules in force
    for method in PAGE_METHODS:
        figures.pages[method].append(pages[method])


def free_order(builder: PageBuilder, built: Built, of: PageList) -> NDArray[np.int64]:
    """Return the live articles that may be on a page as a list ranks them alone."""
    order = builder.rankings.alone(of, built.scored)
    return order[~built.scored.closed[order]]


def page_value(builder: PageBuilder, built: Built, lists: Lists) -> float:
    """Return what a page is worth: the sum of priority x worth / log2(rank + 1) over its slots.

    The worth of an article is that of `recsys.page.compose`: by its chance of a click, and by its
    rank in its list, from 1 for the best candidate to 0 for the last one that the page could need.
    Caps and diversity are left out, and so is what candidates beyond a list's own best are worth
    less. So this is not the value that the assignment maximises, but the part of it which all
    methods can be compared by.
    """
    total, share = 0.0, builder.model.config.page.click_share
    apart = {k: v for k, v in built.parts.items() if not k.startswith("context_")}
    clicks = total_score(apart, len(builder.model.story)).astype(np.float64)
    clicks = np.exp(clicks - clicks[~built.scored.closed].max())
    is_beside = built.scored.context is not None
    for of in built.layout.lists:
        order = free_order(builder, built, of)
        scores = -np.arange(len(order)) if of.row.by_turn else built.scored.values[of.name][order]
        least = scores[min(len(order), built.layout.n_page) - 1]
        span = float(scores[0] - least) or 1.0
        own = (scores - least) / span
        if not (is_beside and of.row.follows_article):
            own = share * clicks[order] + (1 - share) * np.maximum(own, 0.0)
        worth = dict(zip(order.tolist(), own.tolist(), strict=True))
        total += sum(
            of.priority * worth[index] / np.log2(rank + 1)
            for rank, index in enumerate(lists[of.name], start=1)
        )
    return total


def own_ndcg(
    order: NDArray[np.int64], liked: Sequence[int], scores: NDArray[np.float32], n_page: int
) -> float:
    """Return nDCG of You May Also Like against its own ranking.

    The gain of an article is its score above that of the page's last candidate.
    """
    least = float(scores[order[min(n_page, len(order)) - 1]])
    ideal = metrics.dcg(np.maximum(scores[order[: len(liked)]] - least, 0))
    found = metrics.dcg(np.maximum(scores[liked] - least, 0))
    return float(found / ideal) if ideal > 0 else 1.0


def summary(
    figures: Figures, story: NDArray[np.int64], slots: Mapping[str, int]
) -> dict[str, object]:
    """Return means and extremes of the figures; `slots` are those of each list."""

    def mean_and_most(values: Sequence[float]) -> dict[str, float]:
        return {"mean": round(float(np.mean(values)), 4), "most": round(float(max(values)), 4)}

    return {
        "slots touched by rules": figures.slots_touched_by_rules,
        "wrong": figures.wrong,
        "ndcg of you may also like against its own ranking": round(
            float(np.mean(figures.own_ndcg)), 4
        ),
        "gap to the bound": mean_and_most(figures.gaps),
        "turns fall short of the assignment": mean_and_most(figures.shortfalls),
        "microseconds of a page": {
            q: round(1e6 * float(np.quantile(figures.seconds, p)))
            for q, p in (("p50", 0.5), ("p99", 0.99))
        },
        "methods": {
            method: {
                "redundancy": round(metrics.redundancy([[*p.values()] for p in pages], story), 4),
                **{
                    name: round(value, 4)
                    for name, value in exposure_of(padded_pages(pages, slots), len(story)).items()
                },
            }
            for method, pages in figures.pages.items()
        },
    }


if __name__ == "__main__":
    main()
