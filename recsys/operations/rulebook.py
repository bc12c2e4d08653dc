"""Editors' rules: the store keeps every version, servers read a file of the latest ones.

A change is in the store before servers see it, and a server sees all of it or nothing.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import numpy as np
from msgspec.structs import asdict, replace

from recsys.config import Config
from recsys.errors import RuleError
from recsys.files import create_folder
from recsys.page.known_articles import YEAR_9999_MS
from recsys.page.list_table import list_names, most_slots
from recsys.page.rules import (
    Described,
    Resolved,
    Rule,
    closest,
    conflicts,
    rule_of,
    unmatched_note,
    without_effect,
)
from recsys.published import folder as published_folder
from recsys.published import run_file
from recsys.published.connection import connect
from recsys.rows import RuleChange, is_text
from recsys.store.database import Store

MOST_AT_ONCE = 1_000  # each rule of a file is compared with all rules in force
NO_ROWS = np.zeros(0, dtype=np.int64)  # which articles are live does not matter here


class Rulebook:
    """The rules of a newsroom.

    Parameters
    ----------
    store
        Keeps every version of every rule.
    published
        The folder whose servers follow the rules.
    run_key
        The key by which its run must be signed, and which signs the rules; None without.
    """

    def __init__(self, store: Store, published: Path, run_key: bytes | None = None) -> None:
        self._store, self._published, self._run_key = store, published, run_key

    def rules(self) -> list[Rule]:
        """Return the latest version of every rule, in the order in which they were added."""
        return [Rule(**row) for row in self._store.latest_rules()]

    def list_names(self) -> tuple[str, ...]:
        """Return the lists that a rule may name: those of the served run, and the shipped ones.

        Raises
        ------
        SnapshotError
            If the served run is damaged.
        """
        return list_names(self._config())

    def _config(self) -> Config:
        """Return the settings of the served run, the shipped ones before the first run."""
        run_id = published_folder.current_run(self._published, self._run_key)
        if run_id is None:
            return Config()
        path = published_folder.run_path(self._published, run_id)
        with closing(connect(path, self._run_key)) as conn:
            return run_file.load_meta(conn, path).config

    def unmatched(self, rules: Sequence[Rule]) -> list[str]:
        """Return a note for each value of some rules that is about no article now.

        A note asks for the closest name that there is. The articles are those that the served run
        knows; before the first run, those of the store.

        Raises
        ------
        SnapshotError
            If the served run is damaged.
        """
        articles = self._articles()
        return [
            unmatched_note(rule_id, by, value) + closest(value, articles.names(by))
            for rule_id, unmatched in Resolved(rules, articles).unmatched.items()
            for by, value in unmatched
        ]

    def _articles(self) -> Described:
        run_id = published_folder.current_run(self._published, self._run_key)
        if run_id is None:
            stored = self._store.articles(known_by_ms=YEAR_9999_MS)
            return Described(
                stored.id_map.ids,
                stored.authors,
                stored.categories,
                stored.tags,
                stored.urls,
                stored.titles,
                NO_ROWS,
            )
        path = published_folder.run_path(self._published, run_id)
        with closing(connect(path, self._run_key)) as conn:
            return Described.of(run_file.load_articles(conn, path), NO_ROWS)

    def publish_rules(self) -> list[Rule]:
        """Write the rules for the folder's servers once more, and return them."""
        with self._exclusive():
            return self.rules()

    def history(self, rule_id: str | None = None) -> list[RuleChange]:
        """Return every change of all rules, or of one rule, oldest first."""
        changes = self._store.rule_changes()
        return [change for change in changes if rule_id in (None, change.rule_id)]

    def add(self, rule: Rule, *, now_ms: int, force: bool = False) -> Rule:
        """Add a rule and return it with its id.

        Parameters
        ----------
        rule
            Its id is replaced by the next one that is free.
        now_ms
            The present, in ms since 1970.
        force
            Add it although it contradicts another rule, names an article that is not in the
            store or a slot that no layout has, or has a field without effect.

        Raises
        ------
        RuleError
            If `rule_of` refuses the rule, or (without `force`) for what `force` allows.
        """
        return self._enter([rule], "added", now_ms, force)[0]

    def add_all(self, rules: Sequence[Rule], *, now_ms: int, force: bool = False) -> list[Rule]:
        """Add the rules of a file: all of them, or none if one is refused. See `add`.

        Raises
        ------
        RuleError
            As `add`, and if there are more than `MOST_AT_ONCE`.
        """
        if len(rules) > MOST_AT_ONCE:
            problem = f"{len(rules)} rules, more than {MOST_AT_ONCE}; import them in several files"
            raise RuleError(problem)
        return self._enter(rules, "imported", now_ms, force)

    def end(self, rule_id: str, *, author: str, reason: str, now_ms: int) -> Rule:
        """End a rule now and return it; its earlier versions stay in the history.

        Raises
        ------
        RuleError
            If there is no such rule, it has ended already, or the author or reason is missing.
        """
        for field, text in (("author", author), ("reason", reason)):
            if not text.strip() or not is_text(text):
                raise RuleError(f"{rule_id}: {field} is required, as Unicode text (--{field})")
        with self._exclusive():
            found = {rule.rule_id: rule for rule in self.rules()}
            if rule_id not in found:
                raise RuleError(f"{rule_id}: there is no such rule; `recsys rules list` names them")
            rule = found[rule_id]
            if rule.ends_ms is not None and rule.ends_ms <= now_ms:
                raise RuleError(f"{rule_id}: the rule has ended already")
            # A rule that has not begun must not begin: it starts just before its end.
            ended = replace(rule, starts_ms=min(rule.starts_ms, now_ms - 1), ends_ms=now_ms)
            version = len(self.history(rule_id)) + 1
            self._store_change(ended, version, "ended", author, reason, now_ms)
            return ended

    def _enter(self, rules: Sequence[Rule], change: str, now_ms: int, force: bool) -> list[Rule]:
        with self._exclusive():
            known, config = self.rules(), self._config()
            lists, n_slots = list_names(config), most_slots(config)
            n_known = len(known)
            entered = []
            for i, rule in enumerate(rules):
                rule = rule_of(asdict(rule) | {"rule_id": f"r{n_known + i + 1}"}, lists)
                in_time = [r for r in known if r.ends_ms is None or r.ends_ms > now_ms]
                found = without_effect(rule) + conflicts(rule, in_time)
                if rule.by == "article" and rule.kind != "cap":
                    if not self._store.has_article(rule.value):
                        asked = closest(rule.value, self._articles().names("article"))
                        found.append(f"no article {rule.value!r} is in the store{asked}")
                if rule.kind == "pin" and rule.slot > (most := n_slots.get(rule.list_name, 0)):
                    found.append(f"no layout has more than {most} slots for {rule.list_name}")
                if found and not force:
                    raise RuleError(
                        f"{rule.rule_id} ({rule.kind} of {rule.by} {rule.value!r}):"
                        f" {'; '.join(found)}; --force adds it all the same"
                    )
                known.append(rule)
                entered.append(rule)
            for rule in entered:
                self._store_change(rule, 1, change, rule.author, rule.reason, now_ms)
            return entered

    def _store_change(
        self, rule: Rule, version: int, change: str, author: str, reason: str, now_ms: int
    ) -> None:
        text = msgspec.json.encode(rule, order="sorted").decode("utf-8")
        self._store.put_rule(
            RuleChange(rule.rule_id, version, change, text, author, reason, now_ms)
        )

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Lock the rules of the folder; write them for its servers at the end, changed or not."""
        create_folder(self._published)
        published_folder.require_key(self._published, self._run_key)
        with published_folder.rules_locked(self._published):
            try:
                yield
            finally:
                published_folder.write_rules(self._published, self.rules(), self._run_key)
