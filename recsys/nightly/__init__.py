"""Make a nightly run or a refresh, from the training window to the published file.

`run_nightly` is the entry, for both; it returns the report of the run. `read_signal` reads a signal
of your own for it.
"""

from recsys.nightly.run import run_nightly
from recsys.nightly.run_report import RunReport
from recsys.signals.own_tables import read_signal

__all__ = ["RunReport", "read_signal", "run_nightly"]
