"""The report of an evaluation as plain values, which `recsys evaluate --json` writes.

The keys are the same whatever the protocols: one for each protocol, null where it was not
evaluated, and beside them all figures of the first protocol that was.
"""

from collections.abc import Mapping
from dataclasses import asdict, is_dataclass

import numpy as np

from recsys.evaluation.full_list_report import FullListReport
from recsys.evaluation.in_view_report import InViewReport
from recsys.learn.protocols import PROTOCOLS, Protocol
from recsys.metrics import Interval

SCHEMA = 2  # raise it when a key changes its meaning or goes


def as_json(
    about: Mapping[str, object],
    in_view: Mapping[Protocol, InViewReport],
    full: FullListReport,
    ablation: Mapping[Protocol, Mapping[str, Interval]],
) -> dict[str, object]:
    """Return a report as dicts, lists, numbers and strings.

    Parameters
    ----------
    about
        What was evaluated, and how.
    in_view, full, ablation
        See `recsys.evaluation.report.Report`.

    Returns
    -------
    dict
        Floats have five digits after the point; one that is not finite is None.
    """
    of = {
        protocol: _of_protocol(protocol, report, full, ablation[protocol])
        for protocol, report in in_view.items()
    }
    found: dict[str, object] = {"schema": SCHEMA, **about, "protocols": list(of)}
    found |= next(iter(of.values()))
    found |= {protocol: of.get(protocol) for protocol in PROTOCOLS}
    return {name: _plain(value) for name, value in found.items()}


def _of_protocol(
    protocol: Protocol,
    in_view: InViewReport,
    full: FullListReport,
    ablation: Mapping[str, Interval],
) -> dict[str, object]:
    report: dict[str, object] = {"protocol": protocol} | asdict(in_view)
    report["full_list"] = {name: dict(values) for name, values in full.systems.items()}
    return report | {
        "n_lists": full.n_lists,
        "full_list_users": full.n_users,
        "full_list_moments": full.n_moments,
        "full_list_strata": full.strata,
        "full_list_differences": full.differences,
        "full_list_n_scored": full.n_scored,
        "pages": full.pages,
        "frontier": full.frontier,
        "cold_users": full.cold_users,
        "purposes": full.purposes,
        "ablation": dict(ablation),
    }


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
