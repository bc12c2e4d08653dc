"""Simulate what exploring costs and earns: users with planted tastes click on served pages.

    python scripts/simulate_exploring.py [--seeds 6] [--chances 0 0.1 0.2]

A log cannot say what exploring would have earned, because its users never saw other pages. So this
makes a newsroom like that of `make_sample.py`, whose articles appear over five days. After a day of
pages by an editor, each page is served by `recommend` from a refresh every two hours and a nightly
run at 04:00, and what users click is ingested for the next one. A user looks at a slot with a
chance of 1 / log2(1 + its position), and clicks by taste and by the quality of the article, which
recsys does not know.

Prints one JSON line for each seed and chance: the pages of the last two days, their clicks a page,
those in the slots that were not drawn, and the share of the live articles that any user was shown.

Exit status: 0 simulated.
"""

import argparse
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from make_sample import AS_OF, Article, chance_of_liking, draw_taste, make_articles
from numpy.typing import NDArray

from recsys.config import Config
from recsys.ingest.detect import expand
from recsys.ingest.load_files import load_files
from recsys.nightly.run import run_nightly
from recsys.rows import to_ms
from recsys.serving.recommender import Recommender
from recsys.store.database import Store

N_USERS = 800
N_DAYS = 4  # the first by an editor, the last two measured
STEP = timedelta(hours=2)
MOST_CLICKS = 3  # of a visit
LIVE_HOURS = 60.0
N_SHOWN_BY_EDITOR = 9
Shown = tuple[str, float, bool]  # an article, its propensity, whether it was drawn
VISITS_BY_DAY, VISITS_BY_NIGHT = 0.3, 0.03  # the share of users who come within a step


class Newsroom:
    """Articles, users and their tastes; the same for the same seed.

    Parameters
    ----------
    seed
        Of everything that is drawn.
    """

    def __init__(self, seed: int) -> None:
        self.rng = rng = np.random.default_rng(seed)
        self.articles: list[Article] = make_articles(rng)
        self.index_of = {of.row["article_id"]: i for i, of in enumerate(self.articles)}
        sections = sorted({of.section for of in self.articles})
        about = (
            np.array([sections.index(of.section) for of in self.articles]),
            np.array([of.topic for of in self.articles]),
            np.array([of.language == "de" for of in self.articles]),
        )
        quality = np.array([of.quality for of in self.articles])
        self.quality = quality
        self.appeal = [draw_taste(rng, *about) + 0.5 * quality for _ in range(N_USERS)]

    def clicked(self, user: int, shown: list[list[str]]) -> list[str]:
        """Return what a user clicks on a page, given the articles of its lists."""
        found = []
        for articles in shown:
            index = [self.index_of[article_id] for article_id in articles]
            looked_at = 1 / np.log2(2 + np.arange(len(index)))
            chance = looked_at * chance_of_liking(self.appeal[user][index])
            is_clicked = self.rng.random(len(index)) < chance
            found += [a for a, clicked in zip(articles, is_clicked, strict=True) if clicked]
        chosen = self.rng.permutation(len(found))[:MOST_CLICKS]
        return [found[i] for i in chosen.tolist()]

    def ages_at(self, at: datetime) -> NDArray[np.float64]:
        """Return the hours since each article was published; negative before that."""
        return np.array([(at - of.published_at) / timedelta(hours=1) for of in self.articles])

    def live_at(self, at: datetime) -> set[str]:
        """Return the articles that may be shown at an instant."""
        age = self.ages_at(at)
        live = np.flatnonzero((age > 0) & (age < LIVE_HOURS))
        return {self.articles[i].row["article_id"] for i in live.tolist()}

    def front_page(self, at: datetime) -> list[str]:
        """Return what an editor shows: what is new and good, and a little at random."""
        age = self.ages_at(at)
        live = np.flatnonzero((age > 0) & (age < LIVE_HOURS))
        draw = 1.5 * self.quality[live] - age[live] / 12 + self.rng.gumbel(size=len(live))
        best = live[np.argsort(-draw)[:N_SHOWN_BY_EDITOR]]
        return [self.articles[i].row["article_id"] for i in best.tolist()]


@dataclass
class Figures:
    """What is counted on the last two days."""

    pages: int = 0
    clicks: int = 0
    not_drawn: int = 0
    seen: set[str] = field(default_factory=set)
    live: set[str] = field(default_factory=set)


def simulate(seed: int, chance: float, folder: Path) -> dict[str, float]:
    """Return the figures of the last two days of one newsroom."""
    newsroom, rng, figures = Newsroom(seed), np.random.default_rng(seed), Figures()
    published, first = folder / "published", AS_OF - timedelta(days=N_DAYS)
    write(folder / "articles.jsonl", [of.row for of in newsroom.articles])
    recommender: Recommender | None = None
    with Store(folder / "recsys.db") as store:
        for step in range(N_DAYS * timedelta(days=1) // STEP):
            at = first + step * STEP
            if at >= first + timedelta(days=1):
                load_files(store, expand([folder]), received_ms=to_ms(AS_OF))
                kind = "nightly" if recommender is None or at.hour == 4 else "refresh"
                run_nightly(store, published, as_of_ms=to_ms(at), config=Config(), kind=kind)
                recommender = recommender or Recommender(published)
            rows = []
            share = VISITS_BY_DAY if at.hour >= 6 else VISITS_BY_NIGHT
            counted = figures if at >= AS_OF - timedelta(days=2) else Figures()
            counted.live |= newsroom.live_at(at)
            for user in np.flatnonzero(rng.random(N_USERS) < share).tolist():
                page = page_of(newsroom, recommender, user, at, chance, int(rng.integers(2**31)))
                when = (at + STEP * rng.random()).isoformat()
                rows += visit(newsroom, user, page, when, counted)
            write(folder / f"{step:03d}.jsonl", rows)
    return {
        "seed": seed,
        "chance": chance,
        "pages": figures.pages,
        "clicks a page": round(figures.clicks / figures.pages, 4),
        "clicks a page, not drawn": round(figures.not_drawn / figures.pages, 4),
        "coverage": round(len(figures.seen & figures.live) / len(figures.live), 4),
    }


def page_of(
    newsroom: Newsroom,
    recommender: Recommender | None,
    user: int,
    at: datetime,
    chance: float,
    seed: int,
) -> dict[str, list[Shown]]:
    """Return what a user is shown: by an editor until there is a run."""
    if recommender is None:
        return {"front_page": [(article_id, 1.0, False) for article_id in newsroom.front_page(at)]}
    page = recommender.recommend(f"u{user:04d}", as_of=at, explore=chance, random_state=seed)
    return {
        name: [(of.article_id, of.propensity, of.reason_code == "explored") for of in slots]
        for name, slots in page.items()
    }


def visit(
    newsroom: Newsroom, user: int, page: dict[str, list[Shown]], when: str, figures: Figures
) -> list[dict[str, object]]:
    """Return the impressions of a page, and count what the user clicks."""
    clicked = newsroom.clicked(user, [[shown[0] for shown in slots] for slots in page.values()])
    drawn = {shown[0] for slots in page.values() for shown in slots if shown[2]}
    figures.pages += 1
    figures.clicks += len(clicked)
    figures.not_drawn += len(set(clicked) - drawn)
    figures.seen |= {shown[0] for slots in page.values() for shown in slots}
    return [
        {
            "user_id": f"u{user:04d}",
            "shown_at": when,
            "source": name,
            "shown": [article_id for article_id, _, _ in slots],
            "propensities": [propensity for _, propensity, _ in slots],
            "clicked": [article_id for article_id, _, _ in slots if article_id in clicked],
        }
        for name, slots in page.items()
    ]


def write(path: Path, rows: list[dict[str, object]]) -> None:
    """Write rows as JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def main() -> None:
    """Simulate each seed at each chance."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--chances", type=float, nargs="+", default=[0.0, 0.1, 0.2])
    given = parser.parse_args()
    for seed in range(given.seeds):
        for chance in given.chances:
            with TemporaryDirectory() as folder:
                print(json.dumps(simulate(seed, chance, Path(folder))), flush=True)


if __name__ == "__main__":
    main()
