"""Read and write the versions of editors' rules and the record of every run."""

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import astuple
from typing import Any

from sqlite_utils import Database

from recsys.rows import RuleChange


def insert_rule_change(conn: sqlite3.Connection, change: RuleChange) -> None:
    """Insert one version of a rule, inside a transaction.

    Raises
    ------
    sqlite3.IntegrityError
        If the rule already has that version.
    """
    conn.execute("INSERT INTO rules VALUES (?, ?, ?, ?, ?, ?, ?)", astuple(change))


def read_rule_changes(conn: sqlite3.Connection) -> list[RuleChange]:
    """Read every change of every rule, in the order in which they were made."""
    rows = conn.execute("SELECT * FROM rules ORDER BY changed_at, rowid")
    return [RuleChange(*row) for row in rows]


def latest_rules(changes: Iterable[RuleChange]) -> list[dict[str, Any]]:
    """Return the latest version of every rule, in the order in which the rules were added."""
    latest = {change.rule_id: change.rule for change in changes}
    return [json.loads(rule) for rule in latest.values()]


def insert_run(
    conn: sqlite3.Connection, run_id: str, kind: str, as_of: str, status: str, report: object
) -> None:
    """Insert or replace the record of a run, inside a transaction; see `Store.put_run`."""
    conn.execute(
        "INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?)",
        (run_id, kind, as_of, status, json.dumps(report, sort_keys=True)),
    )


def read_runs(db: Database) -> list[dict[str, Any]]:
    """Read the record of every run, oldest first, with `report` decoded from JSON."""
    rows = db.query("SELECT * FROM runs ORDER BY rowid")
    return [row | {"report": json.loads(row["report"])} for row in rows]
