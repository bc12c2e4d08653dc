"""Evaluate the engine offline: back-tests with baselines, reports, and a search for settings.

`evaluate` is the entry; the other names here are what it takes and returns.
"""

from recsys.evaluation.own_systems import read_scores
from recsys.evaluation.report import Report
from recsys.evaluation.run import evaluate
from recsys.evaluation.tables import Table
from recsys.signals.own_tables import read_signal

__all__ = ["Report", "Table", "evaluate", "read_scores", "read_signal"]
