"""The editors' commands: rules, why a page is what it is, and what it looks like."""

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, get_args

import msgspec
import typer
from rich.table import Table

from recsys.cli.options import (
    TITLES,
    ArticleOption,
    AsOfOption,
    PublishedOption,
    StoreOption,
    UserOption,
    instant,
    out,
    stored_user_id,
)
from recsys.errors import RuleError
from recsys.files import atomic_replacement
from recsys.operations.rulebook import Rulebook
from recsys.page.compose import LISTS
from recsys.page.rules import EVERY, KINDS, By, Rule, rule_of, rules_of
from recsys.rows import iso, to_ms
from recsys.serving.recommender import Recommender
from recsys.store.database import Store

rules = typer.Typer(
    help="What editors decide: pin, block, boost, embargo, expire, cap, sensitive topics.",
    no_args_is_help=True,
)
AuthorOption = Annotated[str, typer.Option(help="who decides")]
ReasonOption = Annotated[str, typer.Option(help="and why")]


@rules.command()
def add(
    kind: Annotated[str, typer.Argument(help=", ".join(KINDS))],
    value: Annotated[str, typer.Argument(help="which articles: an id, a name, a tag, words")],
    store: StoreOption,
    published: PublishedOption,
    author: AuthorOption,
    reason: ReasonOption,
    by: Annotated[str, typer.Option(help=", ".join(get_args(By)))] = "article",
    list_name: Annotated[str, typer.Option("--list", help=", ".join(LISTS))] = EVERY,
    slot: Annotated[int, typer.Option(help="of a pin; 1 is the first")] = 0,
    amount: Annotated[float, typer.Option(help="of a boost or a cap")] = 0.0,
    only_by: Annotated[str, typer.Option(help="of a sensitive topic")] = "section",
    only: Annotated[str, typer.Option(help="what alone may stand beside it")] = "",
    since: Annotated[
        datetime | None, typer.Option("--from", parser=instant, metavar="ISO", help="default: now")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(parser=instant, metavar="ISO", help="default: for good")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="although it contradicts")] = False,
) -> None:
    """Add a rule; servers follow it at once."""
    now_ms = _now_ms()
    row = {
        "kind": kind,
        "by": by,
        "value": value,
        "author": author,
        "reason": reason,
        "starts_ms": now_ms if since is None else to_ms(since),
        "ends_ms": None if until is None else to_ms(until),
        "list_name": list_name,
        "slot": slot,
        "amount": amount,
        "only_by": only_by,
        "only": only,
    }
    with Store(store, must_exist=True) as opened:
        added = Rulebook(opened, published).add(rule_of(row, LISTS), now_ms=now_ms, force=force)
    out.print(f"{added.rule_id}: {_rule_text(added)}", markup=False)


@rules.command("list")
def list_rules(
    store: StoreOption,
    published: PublishedOption,
    over: Annotated[bool, typer.Option("--all", help="those that are over too")] = False,
) -> None:
    """List the rules, and hand them to the servers anew."""
    now_ms = _now_ms()
    table = Table("rule", "what", "from", "until", "who", "why")
    with Store(store, must_exist=True) as opened:
        for rule in Rulebook(opened, published).publish_rules():
            if over or rule.ends_ms is None or rule.ends_ms > now_ms:
                until = "" if rule.ends_ms is None else iso(rule.ends_ms)
                table.add_row(
                    rule.rule_id,
                    _rule_text(rule),
                    iso(rule.starts_ms),
                    until,
                    rule.author,
                    rule.reason,
                )
    out.print(table)


@rules.command()
def end(
    rule_id: Annotated[str, typer.Argument(help="such as r3")],
    store: StoreOption,
    published: PublishedOption,
    author: AuthorOption,
    reason: ReasonOption,
) -> None:
    """End a rule now; its history stays."""
    with Store(store, must_exist=True) as opened:
        ended = Rulebook(opened, published).end(
            rule_id, author=author, reason=reason, now_ms=_now_ms()
        )
    out.print(f"{ended.rule_id} is over: {_rule_text(ended)}", markup=False)


@rules.command()
def history(
    store: StoreOption,
    published: PublishedOption,
    rule_id: Annotated[str | None, typer.Argument(help="of one rule only")] = None,
) -> None:
    """List every change of the rules, oldest first."""
    table = Table("when", "rule", "version", "change", "who", "why", "what it was then")
    with Store(store, must_exist=True) as opened:
        for change in Rulebook(opened, published).history(rule_id):
            table.add_row(
                iso(change.changed_ms),
                change.rule_id,
                str(change.version),
                change.change,
                change.changed_by,
                change.reason,
                _rule_text(Rule(**json.loads(change.rule))),
            )
    out.print(table)


@rules.command("import")
def import_rules(
    path: Annotated[Path, typer.Argument(help="JSON, as `recsys rules export` writes it")],
    store: StoreOption,
    published: PublishedOption,
    force: Annotated[bool, typer.Option("--force", help="although some contradict")] = False,
) -> None:
    """Add the rules of a file: all of them, or none."""
    try:
        found = rules_of(path.read_bytes(), LISTS)
    except (OSError, RuleError) as error:
        raise RuleError(f"{path}: {error}") from error
    with Store(store, must_exist=True) as opened:
        added = Rulebook(opened, published).add_all(found, now_ms=_now_ms(), force=force)
    out.print(f"{len(added)} rules from {path}", markup=False)


@rules.command("export")
def export_rules(
    store: StoreOption,
    published: PublishedOption,
    to: Annotated[Path, typer.Option("--to", help="a .json file")],
) -> None:
    """Write the rules that are not over to a file."""
    now_ms = _now_ms()
    with Store(store, must_exist=True) as opened:
        found = [
            rule
            for rule in Rulebook(opened, published).rules()
            if rule.ends_ms is None or rule.ends_ms > now_ms
        ]
    with atomic_replacement(to) as partial:
        partial.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")
    out.print(f"{len(found)} rules to {to}", markup=False)


def _now_ms() -> int:
    return to_ms(datetime.now(UTC))


def _rule_text(rule: Rule) -> str:
    """Return a rule in words."""
    where = f" in {rule.list_name}" if rule.list_name else ""
    which = rule.value if rule.by == "article" else f"{rule.by} “{rule.value}”"
    if rule.kind == "pin":
        return f"pin {which} to slot {rule.slot} of {rule.list_name}"
    if rule.kind == "cap":
        return f"at most {rule.amount:g} of {which if rule.value else f'each {rule.by}'}{where}"
    if rule.kind == "boost":
        return f"boost {which} by {rule.amount:g}{where}"
    if rule.kind == "sensitive":
        beside = f"only {rule.only_by} “{rule.only}”" if rule.only else "nothing"
        return f"never recommend {which}; beside it {beside}{where}"
    return f"{rule.kind} {which}{where}"


def explain(
    published: PublishedOption,
    user: UserOption = None,
    article: ArticleOption = None,
    lists: Annotated[list[str] | None, typer.Option("--list", help=", ".join(LISTS))] = None,
    as_of: AsOfOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Print why each slot of a page holds what it holds."""
    for name in lists or ():
        if name not in LISTS:
            raise typer.BadParameter(f"{name!r}; one of {', '.join(LISTS)}")
    page = Recommender(published).recommend(stored_user_id(user), article, lists=lists, as_of=as_of)
    if as_json:
        found = {
            name: [
                {"rank": rank, "article_id": slot.article_id, "reason": slot.reason}
                | msgspec.to_builtins(slot.explanation)
                for rank, slot in enumerate(slots, start=1)
            ]
            for name, slots in page.items()
        }
        text = json.dumps(
            {"run_id": page.run_id, "notes": list(page.notes), "lists": found},
            ensure_ascii=False,
            indent=2,
        )
        sys.stdout.write(text + "\n")
        return
    for name, slots in page.items():
        out.print(f"\n{TITLES[name]}", style="bold")
        for rank, slot in enumerate(slots, start=1):
            why = slot.explanation
            out.print(f"  {rank}  {slot.title or slot.article_id}", markup=False)
            out.print(f"     {slot.reason} · {why.list_rank}. of its list alone", markup=False)
            for line in explained(why.parts, why.ranks):
                out.print(f"     {line}", style="dim", markup=False)
            for driver in why.drivers[:3]:
                named = driver.title or driver.article_id
                added = f"text {driver.text:.2f}, readers {driver.als:.2f}"
                out.print(f"     because of “{named}”: {added}", style="dim", markup=False)
            for rule in why.rules:
                said = f"rule {rule.rule_id}: {_rule_text(rule)} ({rule.author}: {rule.reason})"
                out.print(f"     {said}", style="dim", markup=False)
            for other in why.displaced[:3]:
                said = f"before it: {other.title or other.article_id} ({other.why})"
                out.print(f"     {said}", style="dim", markup=False)
    for note in page.notes:
        out.print(f"\nnote: {note}", markup=False)


def explained(parts: Any, ranks: Any) -> Sequence[str]:
    """Return the parts of a score in words, the largest first."""
    shown = sorted(parts.items(), key=lambda item: -abs(item[1]))
    return [
        f"{name} {value:+.2f}" + (f" (rank {ranks[name]})" if name in ranks else "")
        for name, value in shown
    ]


def preview(
    published: PublishedOption,
    to: Annotated[Path, typer.Option("--out", help="an .html file")],
    user: UserOption = None,
    article: ArticleOption = None,
    as_of: AsOfOption = None,
) -> None:
    """Write the article page as a reader sees it, and what an editor wants to know of it."""
    from recsys.operations.preview_page import html_of

    text = html_of(Recommender(published), TITLES, stored_user_id(user), article, as_of)
    with atomic_replacement(to) as partial:
        partial.write_text(text, "utf-8")
    out.print(f"page to {to}", markup=False)
