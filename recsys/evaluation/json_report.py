"""The report of an evaluation as plain values, which `recsys evaluate --json` writes."""

from collections.abc import Mapping
from dataclasses import asdict, is_dataclass

import numpy as np

from recsys.evaluation.full_list_report import FullListReport
from recsys.evaluation.in_view_report import InViewReport
from recsys.learn.protocols import Protocol
from recsys.metrics import Interval


def as_json(
    protocol: Protocol,
    in_view: InViewReport,
    full: FullListReport,
    ablation: Mapping[str, Interval],
) -> dict[str, object]:
    """Return the reports of one protocol as dicts, lists, numbers and strings.

    Parameters
    ----------
    protocol
        The protocol of the impressions.
    in_view, full, ablation
        See `recsys.evaluation.run.Evaluation`.

    Returns
    -------
    dict
        Floats have five digits after the point; one that is not finite is None.
    """
    report: dict[str, object] = {"protocol": protocol} | asdict(in_view)
    report["full_list"] = {name: dict(values) for name, values in full.systems.items()}
    report |= {
        "n_lists": full.n_lists,
        "full_list_users": full.n_users,
        "full_list_strata": full.strata,
        "pages": full.pages,
        "cold_users": full.cold_users,
        "purposes": full.purposes,
        "ablation": dict(ablation),
    }
    return {name: _plain(value) for name, value in report.items()}


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return round(value, 5) if np.isfinite(value) else None
    return value
