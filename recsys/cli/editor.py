"""The editors' commands: rules, why each slot holds its article, a preview of a page."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from recsys.cli.options import (
    ArticleOption,
    AsOfOption,
    JsonOption,
    LanguageOption,
    LayoutOption,
    PublishedOption,
    StoreOption,
    UserOption,
    now,
    parse_instant,
    run_key,
    stored_user_id,
    usage_errors,
    writable_file,
)
from recsys.cli.row_files import note_files_of_users
from recsys.cli.terminal import out, print_json, print_table, table_of
from recsys.errors import InputRefusedError, RuleError, reason_of
from recsys.files import atomic_replacement
from recsys.operations.rulebook import Rulebook
from recsys.page.rules import BYS, EVERY, KINDS, MOST_BOOST, Rule, rule_of, rules_of
from recsys.published import folder as published_folder
from recsys.rows import from_ms, to_ms
from recsys.serving.recommender import Recommender
from recsys.serving.responses import Page
from recsys.store.database import Store

MOST_PAGES = 500  # of a preview
SHOWN = 3  # reads behind a slot, and displaced articles, that `explain` prints

rules = typer.Typer(
    help="Editors' rules: pin, block, boost, embargo, expire, cap, sensitive topics.",
    no_args_is_help=True,
)
AuthorOption = Annotated[str, typer.Option(help="Who decides it.")]
ReasonOption = Annotated[str, typer.Option(help="Why.")]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Add a rule although it contradicts another one.")
]


@rules.command()
def add(
    kind: Annotated[str, typer.Argument(help=f"{', '.join(KINDS)}.")],
    value: Annotated[
        str, typer.Argument(help="Which articles: an id, a name, a tag, words of the title.")
    ],
    store: StoreOption,
    published: PublishedOption,
    author: AuthorOption,
    reason: ReasonOption,
    by: Annotated[str, typer.Option(help=f"What the value is: {', '.join(BYS)}.")] = "article",
    list_name: Annotated[
        str, typer.Option("--list", help="Name of a list. By default: the whole page.")
    ] = EVERY,
    slot: Annotated[int, typer.Option(help="The slot of a pin; 1 is the first.")] = 0,
    amount: Annotated[
        float | None,
        typer.Option(
            help=f"How far a boost lifts, from -{MOST_BOOST} to {MOST_BOOST}; how many articles a"
            " cap allows."
        ),
    ] = None,
    only_by: Annotated[
        str, typer.Option(help="Of a sensitive topic: what the value of --only is.")
    ] = "section",
    only: Annotated[
        str, typer.Option(help="Of a sensitive topic: the only articles shown beside it.")
    ] = "",
    since: Annotated[
        datetime | None,
        typer.Option(
            "--from", parser=parse_instant, metavar="ISO", help="When it begins. By default: now."
        ),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(parser=parse_instant, metavar="ISO", help="When it ends. By default: never."),
    ] = None,
    force: ForceOption = False,
) -> None:
    """Add a rule; servers follow it at once."""
    now_ms = to_ms(now())
    fields = {
        "kind": kind,
        "by": by,
        "value": value,
        "author": author,
        "reason": reason,
        "starts_ms": now_ms if since is None else to_ms(since),
        "ends_ms": None if until is None else to_ms(until),
        "list_name": list_name,
        "slot": slot,
        "only_by": only_by,
        "only": only,
    } | ({} if amount is None else {"amount": amount})
    with Store(store, must_exist=True) as opened:
        rulebook = Rulebook(opened, published, run_key())
        rule = rule_of(fields, rulebook.list_names())
        added = rulebook.add(rule, now_ms=now_ms, force=force)
        notes = rulebook.unmatched([added])
    notes += _notes_of_front_page(published, [added], now_ms=now_ms)
    out.print(f"{added.rule_id}: {_rule_text(added)}", markup=False)
    _print_notes(notes)


@rules.command("list")
def list_rules(
    store: StoreOption,
    published: PublishedOption,
    with_ended: Annotated[
        bool, typer.Option("--all", help="List also the rules that have ended.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List the rules, and write them for the servers once more."""
    now_ms = to_ms(now())
    with Store(store, must_exist=True) as opened:
        found = Rulebook(opened, published, run_key()).publish_rules()
    listed = [rule for rule in found if with_ended or not _has_ended(rule, now_ms)]
    if as_json:
        print_json(msgspec.to_builtins(listed))
        return
    table = table_of("rule", "what", "from", "until", "author", "reason")
    for rule in listed:
        when = _second(rule.starts_ms), _second(rule.ends_ms)
        table.add_row(rule.rule_id, _rule_text(rule), *when, rule.author, rule.reason)
    print_table(table)


@rules.command()
def end(
    rule_id: Annotated[str, typer.Argument(help="The rule's id, such as r3.")],
    store: StoreOption,
    published: PublishedOption,
    author: AuthorOption,
    reason: ReasonOption,
) -> None:
    """End a rule now; its history stays."""
    with Store(store, must_exist=True) as opened:
        ended = Rulebook(opened, published, run_key()).end(
            rule_id, author=author, reason=reason, now_ms=to_ms(now())
        )
    out.print(f"{ended.rule_id} has ended: {_rule_text(ended)}", markup=False)


@rules.command()
def history(
    store: StoreOption,
    published: PublishedOption,
    rule_id: Annotated[
        str | None, typer.Argument(help="List the changes of this rule only.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List every change of the rules, oldest first."""
    with Store(store, must_exist=True) as opened:
        changes = Rulebook(opened, published, run_key()).history(rule_id)
    if as_json:
        rows = [msgspec.to_builtins(change) for change in changes]
        print_json([row | {"rule": json.loads(row["rule"])} for row in rows])
        return
    table = table_of("when", "rule", "version", "change", "author", "reason", "the rule then")
    for change in changes:
        table.add_row(
            _second(change.changed_ms),
            change.rule_id,
            str(change.version),
            change.change,
            change.changed_by,
            change.reason,
            _rule_text(Rule(**json.loads(change.rule))),
        )
    print_table(table)


def _second(instant_ms: int | None) -> str:
    """Return an instant to the second, "" for none."""
    return "" if instant_ms is None else f"{from_ms(instant_ms):%Y-%m-%dT%H:%M:%SZ}"


@rules.command("import")
def import_rules(
    path: Annotated[
        Path, typer.Argument(help="A JSON file, such as `recsys rules export` writes.")
    ],
    store: StoreOption,
    published: PublishedOption,
    force: ForceOption = False,
) -> None:
    """Add the rules of a file: all of them, or none."""
    now_ms = to_ms(now())
    with Store(store, must_exist=True) as opened:
        rulebook = Rulebook(opened, published, run_key())
        try:
            found = rules_of(path.read_bytes(), rulebook.list_names())
        except OSError as error:
            raise InputRefusedError(str(path), reason_of(error)) from error
        except RuleError as error:
            raise RuleError(f"{path}: {error}") from error
        added = rulebook.add_all(found, now_ms=now_ms, force=force)
        notes = rulebook.unmatched(added)
    notes += _notes_of_front_page(published, added, now_ms=now_ms)
    out.print(f"added {len(added)} rules from {path}", markup=False)
    _print_notes(notes)


def _notes_of_front_page(published: Path, rules: Sequence[Rule], *, now_ms: int) -> list[str]:
    """Return the notes of lists of the front page that new caps leave short when they begin."""
    caps = [rule for rule in rules if rule.kind == "cap" and not _has_ended(rule, now_ms)]
    if not caps or published_folder.current_run(published, run_key()) is None:
        return []
    recommender = Recommender(published)
    found: dict[str, None] = {}
    for instant_ms in sorted({max(now_ms, cap.starts_ms) for cap in caps}):
        page = recommender.recommend(as_of=from_ms(instant_ms))
        found |= {
            note: None for note in page.notes if any(f"rule {cap.rule_id} " in note for cap in caps)
        }
    return list(found)


def _print_notes(notes: Sequence[str]) -> None:
    """Print a warning for each value of new rules that is about no article."""
    for note in notes:
        out.print(f"warning: {note}", markup=False)


@rules.command("export")
def export_rules(
    store: StoreOption,
    published: PublishedOption,
    to: Annotated[
        Path, typer.Option("--to", callback=writable_file, help="The .json file to write.")
    ],
) -> None:
    """Write the rules that have not ended to a file."""
    now_ms = to_ms(now())
    with Store(store, must_exist=True) as opened:
        found = Rulebook(opened, published, run_key()).rules()
    kept = [rule for rule in found if not _has_ended(rule, now_ms)]
    with atomic_replacement(to) as partial:
        partial.write_bytes(msgspec.json.format(msgspec.json.encode(kept), indent=1) + b"\n")
    out.print(f"wrote {len(kept)} rules to {to}", markup=False)


def _has_ended(rule: Rule, now_ms: int) -> bool:
    return rule.ends_ms is not None and rule.ends_ms <= now_ms


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
        return f"never recommend {which}; beside it show {beside}{where}"
    return f"{rule.kind} {which}{where}"


def explain(
    published: PublishedOption,
    user: UserOption = None,
    article: ArticleOption = None,
    lists: Annotated[
        list[str] | None,
        typer.Option("--list", help="Name of a list; repeat it. By default: all."),
    ] = None,
    layout: LayoutOption = None,
    language: LanguageOption = None,
    as_of: AsOfOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print why each slot of a page holds its article."""
    recommender = Recommender(published)
    with usage_errors():
        page = recommender.recommend(
            stored_user_id(user),
            article,
            layout=layout,
            lists=lists,
            language=language,
            as_of=as_of,
        )
    unknown = []
    if user is not None and not recommender.knows_user(stored_user_id(user) or ""):
        unknown.append(f"the run does not know the user {user}; strangers get this page")
    if article is not None and recommender.article(article, as_of=as_of) is None:
        unknown.append(f"the run does not know the article {article}, or may not show it")
    if as_json:
        explained = {
            name: [
                {"rank": rank, "article_id": slot.article_id, "reason": slot.reason}
                | msgspec.to_builtins(slot.explanation)
                for rank, slot in enumerate(slots, start=1)
            ]
            for name, slots in page.items()
        }
        notes = [*unknown, *page.notes]
        print_json({"run_id": page.run_id, "notes": notes, "lists": explained})
    else:
        for note in unknown:
            out.print(f"note: {note}", markup=False)
        _print_explanations(page)


def _print_explanations(page: Page) -> None:
    for name, slots in page.items():
        out.print()
        out.print(page.titles[name], style="bold", markup=False)
        for rank, slot in enumerate(slots, start=1):
            why = slot.explanation
            out.print(f"  {rank}  {slot.title or slot.article_id}", markup=False)
            out.print(f"     {slot.reason} · rank {why.list_rank} in its list alone", markup=False)
            for line in _signal_lines(why.parts, why.ranks):
                out.print(f"     {line}", style="dim", markup=False)
            for read in why.drivers[:SHOWN]:
                line = (
                    f"because the user read “{read.title or read.article_id}”:"
                    f" text {read.text:.2f}, collaborative {read.als:.2f}"
                )
                line += f", vectors {read.vectors:.2f}" if read.vectors else ""
                out.print(f"     {line}", style="dim", markup=False)
            for rule in why.rules:
                line = f"rule {rule.rule_id}: {_rule_text(rule)} ({rule.author}: {rule.reason})"
                out.print(f"     {line}", style="dim", markup=False)
            for other in why.displaced[:SHOWN]:
                line = (
                    f"above it in its list alone: {other.title or other.article_id} ({other.why})"
                )
                out.print(f"     {line}", style="dim", markup=False)
    for note in page.notes:
        out.print()
        out.print(f"note: {note}", markup=False)


def _signal_lines(parts: Mapping[str, float], ranks: Mapping[str, int]) -> Sequence[str]:
    """Return a line per signal of a score, the largest first."""
    ordered = sorted(parts.items(), key=lambda item: -abs(item[1]))
    return [
        f"{name} {value:+.2f}" + (f" (rank {ranks[name]})" if name in ranks else "")
        for name, value in ordered
    ]


def preview(
    published: PublishedOption,
    to: Annotated[
        Path, typer.Option("--out", callback=writable_file, help="The .html file to write.")
    ],
    user: UserOption = None,
    article: ArticleOption = None,
    layout: LayoutOption = None,
    language: LanguageOption = None,
    pages: Annotated[
        int,
        typer.Option(
            min=1,
            max=MOST_PAGES,
            help="How many pages to write: that page, then those beside its articles, linked.",
        ),
    ] = 1,
    as_of: AsOfOption = None,
) -> None:
    """Write an article page as HTML: as the user sees it, and why each slot holds its article."""
    from recsys.operations.preview_page import render_pages

    if to.suffix != ".html":
        raise typer.BadParameter(f"must end in .html, got {to}", param_hint="--out")
    recommender = Recommender(published)
    with usage_errors():
        found = render_pages(
            recommender,
            stored_user_id(user),
            article,
            name=to.stem,
            n_pages=pages,
            layout=layout,
            language=language,
            as_of=as_of,
        )
    if user is not None:
        note_files_of_users(published, [to.with_name(name) for name in found])
    for name, text in found.items():
        with atomic_replacement(to.with_name(name)) as partial:
            partial.write_text(text, "utf-8")
    if len(found) == 1:
        out.print(f"wrote the page to {to}", markup=False)
    else:
        out.print(
            f"wrote {len(found)} pages that link to each other; the first: {to}", markup=False
        )
