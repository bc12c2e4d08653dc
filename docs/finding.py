"""Go from files to a finding: what a model and a signal of one's own are worth.

    python docs/finding.py data/sample finding.db finding.html

Reads the files into a store, compares a model with every system of recsys in pairs, lets the blend
learn with a signal, and prints what was found. It takes about a minute on the sample.
"""

import logging
import sqlite3
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from recsys.config import Config, LearnConfig
from recsys.evaluation import evaluate
from recsys.ingest.detect import expand
from recsys.ingest.load_files import load_files
from recsys.rows import to_ms
from recsys.store import Store

NOW = datetime.now(UTC)


def table(store: Store, query: str) -> pl.DataFrame:
    """Return the result of a query of the store's views."""
    with closing(sqlite3.connect(store.path)) as connection:
        return pl.read_database(query, connection, infer_schema_length=None)


def section_model(store: Store):
    """Return a model: how often the user has clicked in the section of the candidate so far."""
    sections = table(store, "SELECT article_id, lower(category) AS section FROM v_articles")
    clicks = table(store, "SELECT user_id, article_id, clicked_at FROM v_clicks")
    clicks = clicks.join(sections, on="article_id").with_columns(
        pl.col("clicked_at").str.to_datetime(time_unit="ms", time_zone="UTC")
    )

    def score(candidates: pl.DataFrame) -> pl.Series:
        # Only clicks before `known_until` may be used. All candidates that come at once are those
        # of one nightly run or refresh, so the earliest of their instants is right for all.
        known = clicks.filter(pl.col("clicked_at") < candidates["known_until"].min())
        taste = known.group_by("user_id", "section").len("n_clicks")
        rows = candidates.join(sections, on="article_id", how="left", maintain_order="left")
        rows = rows.join(taste, on=["user_id", "section"], how="left", maintain_order="left")
        return rows["n_clicks"].fill_null(0)

    return score


def main(files: Path, path: Path, page: Path) -> None:
    """Read files into a store, evaluate, print the findings, and write them as a page."""
    logging.basicConfig(format="%(message)s", level=logging.INFO)  # how far the evaluation is
    with Store(path) as store:
        load_files(store, expand([files]), received_ms=to_ms(NOW))
        shown = table(
            store,
            "SELECT rank, avg(clicked) AS click_rate FROM v_lists GROUP BY rank ORDER BY rank",
        )
        print("Click rate by position:", shown)

        words = table(store, "SELECT article_id, title FROM v_articles").select(
            "article_id", value=pl.col("title").str.split(" ").list.len()
        )
        report = evaluate(
            store,
            Config(learn=LearnConfig(days=1)),
            scores={"sections": section_model(store)},  # a function of the candidates
            signals={"title_words": words},  # a DataFrame; a function or a file would do too
        )
    differences = report.tables["differences"].to_polars()
    print(
        differences.filter(system="sections", metric="auc").select("other", "mean", "low", "high")
    )
    for sentence in (*report.findings, *report.notes):
        print(sentence)
    page.write_text(report.to_html(evaluated_at=NOW, command=" ".join(sys.argv)), "utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
