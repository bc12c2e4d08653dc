"""The figures of an evaluation as tables, with one row for each figure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from recsys.evaluation.full_list_report import FullListReport
from recsys.evaluation.in_view_report import InViewReport
from recsys.evaluation.own_systems import FULL_LIST, IN_VIEW
from recsys.learn.protocols import Protocol
from recsys.metrics import Interval

if TYPE_CHECKING:
    import pandas as pd

Row = tuple[Any, ...]
_INTERVAL = {"mean": pl.Float64(), "low": pl.Float64(), "high": pl.Float64()}
_TEXT = pl.String()
# The columns of each table, with their types. A figure without a value is null.
SCHEMAS: dict[str, dict[str, pl.DataType]] = {
    "in_view": {"protocol": _TEXT, "system": _TEXT, "metric": _TEXT, **_INTERVAL},
    "full_list": {"system": _TEXT, "metric": _TEXT, **_INTERVAL},
    "differences": {
        "task": _TEXT,
        "protocol": _TEXT,
        "system": _TEXT,
        "other": _TEXT,
        "metric": _TEXT,
        **_INTERVAL,
    },
    "strata": {
        "task": _TEXT,
        "protocol": _TEXT,
        "kind": _TEXT,
        "stratum": _TEXT,
        "system": _TEXT,
        "metric": _TEXT,
        **_INTERVAL,
    },
    "ablation": {"protocol": _TEXT, "without": _TEXT, "metric": _TEXT, **_INTERVAL},
    "pages": {"method": _TEXT, "metric": _TEXT, **_INTERVAL},
    "frontier": {"point": _TEXT, "metric": _TEXT, **_INTERVAL},
    "purposes": {"list": _TEXT, "system": _TEXT, "metric": _TEXT, **_INTERVAL},
    "calibration": {
        "protocol": _TEXT,
        "candidates": pl.Int64(),
        "predicted": pl.Float64(),
        "real": pl.Float64(),
    },
    "contributions": {"protocol": _TEXT, "feature": _TEXT, "spread": pl.Float64()},
    "heads": {
        "protocol": _TEXT,
        "as_of": _TEXT,
        "head": _TEXT,
        "n": pl.Int64(),
        "learned": pl.Float64(),
        "shipped": pl.Float64(),
        "used": pl.Boolean(),
        "why": _TEXT,
    },
}


@dataclass(frozen=True, slots=True)
class Table:
    """A table of an evaluation.

    Attributes
    ----------
    name
        Of `SCHEMAS`.
    rows
        The rows; each has the columns of its schema.
    """

    name: str
    rows: Sequence[Row]

    def to_polars(self) -> pl.DataFrame:
        """Return the table as a DataFrame of polars."""
        frame = pl.DataFrame(list(self.rows), schema=SCHEMAS[self.name], orient="row")
        return frame.fill_nan(None)

    def to_pandas(self) -> "pd.DataFrame":
        """Return the table as a DataFrame of pandas.

        Raises
        ------
        ImportError
            If pandas, which this package does not install, is not there.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError(
                "to_pandas needs pandas: pip install pandas; to_polars needs no more"
            ) from error

        return pd.DataFrame(self.to_polars().to_dict(as_series=False))


def tables_of(
    in_view: Mapping[Protocol, InViewReport],
    full: FullListReport,
    ablation: Mapping[Protocol, Mapping[str, Interval]],
) -> dict[str, Table]:
    """Return the tables of an evaluation, by name; for the parameters see `Report`."""
    rows: dict[str, list[Row]] = {name: [] for name in SCHEMAS}
    for protocol, report in in_view.items():
        rows["in_view"] += [(protocol, *row) for row in _figures(report.systems)]
        rows["differences"] += [
            (IN_VIEW, protocol, system, *row)
            for system, others in report.differences.items()
            for row in _figures(others)
        ]
        rows["strata"] += [
            (IN_VIEW, protocol, kind, stratum, name, "auc", *_ends(value))
            for kind, groups in report.strata.items()
            for stratum, systems in groups.items()
            for name, value in systems.items()
        ]
        rows["calibration"] += [(protocol, *found) for found in report.calibration]
        rows["contributions"] += [(protocol, *found) for found in report.contributions.items()]
        rows["heads"] += [
            (protocol, as_of, head, *(found[key] for key in list(SCHEMAS["heads"])[3:]))
            for as_of, heads in report.heads.items()
            for head, found in heads.items()
        ]
        rows["ablation"] += [
            (protocol, group, "auc", *_ends(lost)) for group, lost in ablation[protocol].items()
        ]
    if full.n_lists:
        rows["full_list"] = list(_figures(full.systems))
        rows["differences"] += [
            (FULL_LIST, None, system, *row)
            for system, others in full.differences.items()
            for row in _figures(others)
        ]
        rows["strata"] += [
            (FULL_LIST, None, "user", stratum, name, "hit@5", *_ends(value))
            for stratum, systems in full.strata.items()
            for name, value in systems.items()
        ]
        rows["pages"] = list(_figures(full.pages))
        rows["frontier"] = list(_figures(full.frontier))
        rows["purposes"] = [
            (purpose, name, "ndcg@5", *_ends(value))
            for purpose, systems in full.purposes.items()
            for name, value in systems.items()
        ]
    return {name: Table(name, found) for name, found in rows.items()}


def _figures(systems: Mapping[str, Mapping[str, Interval]]) -> Iterator[Row]:
    for name, values in systems.items():
        for metric, value in values.items():
            yield (name, metric, *_ends(value))


def _ends(value: Interval) -> tuple[float, float, float]:
    return value.mean, value.low, value.high
