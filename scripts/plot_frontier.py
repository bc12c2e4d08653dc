#!/usr/bin/env python
"""Draw the frontiers of `recsys evaluate --json` as pictures: clicks against purpose, exposure.

    python scripts/plot_frontier.py report.json docs

writes `clicks-purpose.svg` and `hits-exposure.svg` into the folder.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recsys.evaluation.page_methods import chosen_for_clicks, chosen_for_exposure
from recsys.evaluation.scatter_plot import scatter_plot
from recsys.metrics import Interval


def main() -> None:
    """Draw both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    report = json.loads(given.report.read_text("utf-8"))
    pages, frontier = intervals(report["pages"]), intervals(report["frontier"])
    pictures = {
        "clicks-purpose": (
            chosen_for_clicks(pages, frontier),
            "clicks a page",
            "hit@5 or nDCG@5",
        ),
        "hits-exposure": (
            chosen_for_exposure(pages, frontier),
            "hit@5 of the personal list",
            "share of the live articles that any user is shown",
        ),
    }
    for name, picture in pictures.items():
        (given.folder / f"{name}.svg").write_text(scatter_plot(*picture), "utf-8")


def intervals(figures: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Interval]]:
    """Return the figures of a report as they were before they became JSON; null is NaN."""
    return {
        name: {
            metric: Interval(*(float("nan") if end is None else end for end in found.values()))
            for metric, found in metrics.items()
        }
        for name, metrics in figures.items()
    }


if __name__ == "__main__":
    main()
