"""Measure what a crowd of brand-new users can move, against what share of an hour's users it is.

    python scripts/crowd.py STORE AS_OF NIGHTLY [--config recsys.toml] [--crowds 1 2 5 10 20 50 100]

STORE is a store, AS_OF an instant up to which it has clicks, and NIGHTLY a folder with a nightly
run of that store as of an hour before. The attacks work on copies:

popular_now, you_may_also_like, must_reads
    In the last minute, each id of the crowd clicks the same article. A refresh follows.
hits
    The same, and each click is reported by an impression as well.
decoys
    The same without impressions, and each id clicks 40 other articles too.
pair
    Each id clicks the same two articles. Training follows, with the night's weights.
redated
    The first of Must-Reads gets the present as its time of publication. A refresh follows.
latest
    So many articles of one new source arrive, all unlike each other. A refresh follows.

The attacked articles are the first that a list does not show, one as far down again, and those in
the middle and at the end of it. The effect is by how many slots the article rises in the list
as the front page ranks it (a pair: beside the other article), anything below the list being one
slot below its last. Prints one JSON line for each attack, article and crowd, then a Markdown table:
the smallest crowd that moved an article by more than one slot.

Exit status: 0 measured.
"""

import argparse
import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl

from recsys.blas import blas_on_one_thread
from recsys.blend.live_model import PageModel
from recsys.config import Config
from recsys.config_file import load_config
from recsys.ingest.detect import expand
from recsys.ingest.load_files import load_files
from recsys.nightly.refresh import refresh
from recsys.page.build import PageBuilder
from recsys.published import folder as published_folder
from recsys.published import run_file
from recsys.published.connection import connect
from recsys.rows import HOUR_MS, iso, to_ms
from recsys.store.database import Store
from recsys.training.train import train, with_weights
from recsys.training.window import read_training_window

CLICKED = ("popular_now", "you_may_also_like", "must_reads")
CLICKS = ("clicks", "hits", "decoys")
MINUTE_MS = 60_000


@dataclass(frozen=True)
class Pages:
    """The pages of a run: its model, and the ids of its known articles."""

    model: PageModel
    ids: Sequence[str]

    def ranked(self, name: str, beside: str | None = None) -> list[str]:
        """Return the live articles as an anonymous page's list ranks them, best first."""
        builder = PageBuilder(self.model)
        context = None if beside is None else list(self.ids).index(beside)
        layout = builder.layout(None, has_context=context is not None)
        scored = builder.page(None, context, layout).scored
        of = layout.lists[layout.index(name)]
        order = builder.rankings.alone(of, scored)
        kept = order[~scored.closed[order]]
        return [self.ids[self.model.live.live_rows[i]] for i in kept.tolist()]

    def slots(self, name: str) -> int:
        """Return how many slots a list of the front page has."""
        layout = PageBuilder(self.model).layout(None, has_context=False)
        return layout.lists[layout.index(name)].n_slots


class Attack:
    """A copy of a store that a crowd reads and writes.

    Parameters
    ----------
    store, nightly
        The store, and the folder of its nightly run.
    as_of_ms, config
        Of the runs that follow.
    """

    def __init__(self, store: Path, nightly: Path, as_of_ms: int, config: Config) -> None:
        self._nightly, self._as_of_ms, self._config = nightly, as_of_ms, config
        self._opened = TemporaryDirectory(dir=store.parent)
        self._folder = Path(self._opened.name)
        with closing(sqlite3.connect(store)) as source:
            with closing(sqlite3.connect(self._folder / "s.db")) as copy:
                source.backup(copy)
        self.store = Store(self._folder / "s.db")

    def __enter__(self) -> "Attack":
        """Return the attack itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Delete the copy."""
        self.store.close()
        self._opened.cleanup()

    def ingest(self, name: str, rows: list[dict[str, object]]) -> None:
        """Ingest rows from a file of a name, such as clicks.jsonl."""
        path = self._folder / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        load_files(self.store, expand([path]), received_ms=self._as_of_ms - MINUTE_MS)

    def click(self, begin: int, end: int, articles: Sequence[str], *, are_shown: bool) -> None:
        """Let the ids from `begin` to `end` click articles in the last minute."""
        rows: list[dict[str, object]] = []
        for i in range(begin, end):
            for article in articles:
                at = iso(self._as_of_ms - MINUTE_MS + 50_000 * i // max(end, 1))
                if are_shown:
                    rows.append(
                        {
                            "user_id": f"crowd{i}",
                            "shown_at": at,
                            "shown": [article],
                            "clicked": [article],
                        }
                    )
                else:
                    rows.append(
                        {"user_id": f"crowd{i}", "article_id": str(article), "clicked_at": at}
                    )
        kind = "impressions" if are_shown else "clicks"
        self.ingest(f"{kind}-{end}-{articles[-1]}.{kind}.jsonl", rows)

    def refreshed(self) -> Pages:
        """Return the pages of a refresh."""
        with blas_on_one_thread():
            run = refresh(self.store, self._nightly, self._as_of_ms, self._config, _stage)
        return Pages(run.model.page, [of.article_id for of in run.model.articles])

    def trained(self) -> Pages:
        """Return the pages of a nightly run with the weights and curves of the one before."""
        run_id = published_folder.require_current(self._nightly)
        path = published_folder.run_path(self._nightly, run_id)
        conn = connect(path)
        meta, carry = run_file.load_meta(conn, path), run_file.load_carry(conn, path)
        conn.close()
        window = read_training_window(self.store, self._as_of_ms, self._config)
        with blas_on_one_thread():
            model = train(self.store, window, self._config, _stage, carry.forecast)
        model = with_weights(model, meta.weights)
        return Pages(model.page, [of.article_id for of in model.articles])


@contextmanager
def _stage(_: str) -> Iterator[dict[str, int]]:
    yield {}


def risen(before: list[str], after: list[str], article: str, n_slots: int) -> int:
    """Return by how many slots an article rose; below the list is one slot below its last."""

    def slot(ranked: list[str]) -> int:
        return min(ranked.index(article) if article in ranked else n_slots, n_slots)

    return slot(before) - slot(after)


def victims(ranked: list[str], n_slots: int, n: int = 4) -> list[str]:
    """Return the articles to lift: just below the list, the middle, as far again, the end."""
    places = (n_slots, len(ranked) // 2, 2 * n_slots, len(ranked) - 1)[:n]
    return list(dict.fromkeys(ranked[min(place, len(ranked) - 1)] for place in places))


def main() -> None:
    """Measure each attack and print what it moved."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("as_of", type=datetime.fromisoformat)
    parser.add_argument("nightly", type=Path)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--crowds", type=int, nargs="+", default=[1, 2, 5, 10, 20, 50, 100, 200])
    parser.add_argument("--articles", type=int, default=4, help="attacked articles of each list")
    parser.add_argument("--attacks", nargs="+", default=[*CLICKS, "pair", "articles"])
    args = parser.parse_args()
    config = load_config(args.config) if args.config else Config()
    as_of_ms = to_ms(args.as_of)

    def attack() -> Attack:
        return Attack(args.store, args.nightly, as_of_ms, config)

    with attack() as untouched:
        before = untouched.refreshed()
        clicks = untouched.store.clicks(from_ms=as_of_ms - HOUR_MS, before_ms=as_of_ms)
        n_active = len(np.unique(clicks.user_key))
        trained = untouched.trained() if "pair" in args.attacks else before
    found: list[dict[str, object]] = []

    def report(name: str, article: str, place: int, k: int, by: int) -> None:
        row = {"attack": name, "article": article, "from": place, "crowd": k}
        found.append(row | {"share": round(k / n_active, 4), "slots": by})
        print(json.dumps(found[-1]), flush=True)

    for kind in CLICKS:
        if kind not in args.attacks:
            continue
        targets = {
            article: place
            for name in CLICKED
            for ranked in (before.ranked(name),)
            for article in victims(ranked, before.slots(name), args.articles)
            for place in (ranked.index(article),)
        }
        for article in targets:
            others = sorted(set(before.ids) - {article})
            decoys = np.random.default_rng(7).choice(others, min(40, len(others)), replace=False)
            with attack() as crowd:
                n = 0
                for k in args.crowds:
                    clicked = [*decoys, article] if kind == "decoys" else [article]
                    crowd.click(n, k, clicked, are_shown=kind == "hits")
                    n, after = k, crowd.refreshed()
                    for name in CLICKED:
                        was = before.ranked(name)
                        by = risen(was, after.ranked(name), article, before.slots(name))
                        place = was.index(article) if article in was else -1
                        report(f"{name}, {kind}", article, place, k, by)
    if "pair" in args.attacks:
        beside = trained.ranked("popular_now")[0]
        name = "you_may_also_like"
        was = trained.ranked(name, beside)
        for article in victims(was, trained.slots(name), args.articles):
            with attack() as crowd:
                n = 0
                for k in args.crowds:
                    crowd.click(n, k, [beside, article], are_shown=False)
                    n = k
                    by = risen(was, crowd.trained().ranked(name, beside), article, 5)
                    report("pair", article, was.index(article), k, by)
    if "articles" in args.attacks:
        _report_articles(attack, before, as_of_ms, report)
    _print_table(found, n_active)


def _report_articles(attack, before: Pages, as_of_ms: int, report) -> None:  # type: ignore[no-untyped-def]
    """Re-date the articles of Must-Reads, and flood Latest Stories."""
    must_reads, n_slots = before.ranked("must_reads"), before.slots("must_reads")
    for article in victims(must_reads, n_slots) + must_reads[:1]:
        with attack() as redated:
            row = redated.store._conn.execute(  # noqa: SLF001
                "SELECT title, body, category FROM articles JOIN article_ids USING (article_key)"
                " WHERE article_id = ?",
                (article,),
            ).fetchone()
            again = dict(zip(("title", "body", "category"), row, strict=True))
            again |= {"article_id": article, "published_at": iso(as_of_ms - 2 * MINUTE_MS)}
            redated.ingest("redated.articles.jsonl", [again])
            after = redated.refreshed()
            for name in ("must_reads", "latest_stories", "you_may_also_like"):
                was, n = before.ranked(name), before.slots(name)
                by = risen(was, after.ranked(name), article, n)
                report(f"re-dated, {name}", article, was.index(article), 0, by)
    rng = np.random.default_rng(7)
    for k in (1, 10, 100, 1000):
        with attack() as flood:
            rows = [
                {
                    "article_id": f"flood{i}",
                    "title": " ".join(f"term{w}" for w in rng.integers(0, 10**6, 8)),
                    "body": " ".join(f"term{w}" for w in rng.integers(0, 10**6, 80)),
                    "category": "Flood",
                    "url": f"https://flood.example/{i}",
                    "published_at": iso(as_of_ms - 2 * MINUTE_MS - 1000 * i),
                }
                for i in range(k)
            ]
            flood.ingest("flood.articles.jsonl", [dict(row) for row in rows])
            after = flood.refreshed()
            page = PageBuilder(after.model)
            built = page.page(None, None, page.layout(None, has_context=False))
            for name, slots in built.lists.items():
                shown = [after.ids[after.model.live.live_rows[slot.live_index]] for slot in slots]
                taken = sum(article.startswith("flood") for article in shown)
                report(f"flood of articles, {name}", "flood", -1, k, taken)


def _print_table(found: list[dict[str, object]], n_active: int) -> None:
    """Print the smallest crowd that moved anything by more than one slot, by attack."""
    table = pl.DataFrame(found)
    print(f"\n{n_active} users clicked in the last hour\n")
    print("| attack | smallest crowd that moved an article by more than one slot | most slots |")
    print("|---|---|---|")
    for name in table["attack"].unique(maintain_order=True):
        rows = table.filter(pl.col("attack") == name)
        moved = rows.filter(pl.col("slots") > 1)
        least = "none"
        if len(moved):
            k = moved["crowd"].min()
            least = f"{k} ({k / n_active:.1%})"
        most = rows["slots"].max()
        print(f"| {name} | {least} | {most} |")


if __name__ == "__main__":
    main()
