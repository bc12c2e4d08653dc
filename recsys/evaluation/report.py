"""The report of an evaluation: its findings in words, its tables, JSON and a page of HTML."""

import json
from dataclasses import dataclass
from datetime import datetime

from recsys.evaluation.full_list_report import FullListReport
from recsys.evaluation.headline import findings
from recsys.evaluation.html_report import render
from recsys.evaluation.in_view_report import InViewReport
from recsys.evaluation.json_report import as_json
from recsys.evaluation.tables import Table, tables_of
from recsys.learn.protocols import Protocol
from recsys.metrics import Interval
from recsys.rows import iso


@dataclass(frozen=True, slots=True)
class Report:
    """What an evaluation found.

    Attributes
    ----------
    data
        Name of the store.
    from_ms, before_ms
        The test window: impressions shown in [from_ms, before_ms).
    settings
        All settings, as the text of a `recsys.toml`.
    version
        Of recsys.
    in_view
        By protocol: the systems on what was shown.
    full_list
        The systems on all live articles.
    ablation
        By protocol and group of features: the AUC that the blend loses without the group. Groups
        are left out if asked for; each signal of the caller always is.
    notes
        What could not be judged, and why, in sentences.
    """

    data: str
    from_ms: int
    before_ms: int
    settings: str
    version: str
    in_view: dict[Protocol, InViewReport]
    full_list: FullListReport
    ablation: dict[Protocol, dict[str, Interval]]
    notes: list[str]

    @property
    def findings(self) -> list[str]:
        """Return what won, by how much, and against what, in sentences."""
        return findings(self.in_view, self.full_list, self.ablation)

    @property
    def tables(self) -> dict[str, Table]:
        """Return all figures as tables, by name; `recsys.evaluation.tables.SCHEMAS` lists them."""
        return tables_of(self.in_view, self.full_list, self.ablation)

    def about(
        self, *, evaluated_at: datetime | None = None, command: str = ""
    ) -> dict[str, str | list[str] | None]:
        """Return what was evaluated, how and when, and what was found in words.

        Parameters
        ----------
        evaluated_at
            The time of the evaluation; this library reads no clock.
        command
            The command that ran it.
        """
        when = None if evaluated_at is None else evaluated_at.isoformat(timespec="seconds")
        return {
            "data": self.data,
            "test_from": iso(self.from_ms),
            "test_before": iso(self.before_ms),
            "evaluated_at": when,
            "version": self.version,
            "command": command,
            "settings": self.settings,
            "findings": self.findings,
            "notes": self.notes,
        }

    def as_dict(
        self, *, evaluated_at: datetime | None = None, command: str = ""
    ) -> dict[str, object]:
        """Return the report as values that JSON has; for the parameters see `about`.

        The keys do not depend on the protocols; see `recsys.evaluation.json_report`.
        """
        about = self.about(evaluated_at=evaluated_at, command=command)
        return as_json(about, self.in_view, self.full_list, self.ablation)

    def to_json(self, *, evaluated_at: datetime | None = None, command: str = "") -> str:
        """Return the report as the text of a JSON file; for the parameters see `about`."""
        found = self.as_dict(evaluated_at=evaluated_at, command=command)
        return json.dumps(found, indent=2, allow_nan=False) + "\n"

    def to_html(self, *, evaluated_at: datetime | None = None, command: str = "") -> str:
        """Return the report as one page of HTML; for the parameters see `about`."""
        about = self.about(evaluated_at=evaluated_at, command=command)
        return render(about, self.in_view, self.full_list, self.ablation)
