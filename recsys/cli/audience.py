"""The command that chooses who shall hear of an article."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from recsys.cli.options import (
    AsOfOption,
    JsonOption,
    LanguageOption,
    PublishedOption,
    StoreOption,
    now,
    usage_errors,
    writable_file,
)
from recsys.cli.row_files import require_known_suffix, write_rows
from recsys.cli.terminal import out, print_json, print_table, table_of
from recsys.operations.choose_audience import Choice, choose_audience
from recsys.serving.recommender import Recommender
from recsys.store.database import Store


def audience(
    article: Annotated[str, typer.Argument(help="The id of the article.")],
    store: StoreOption,
    published: PublishedOption,
    n: Annotated[int, typer.Option(min=1, help="How many users.")] = 100,
    per_day: Annotated[
        int,
        typer.Option(min=1, max=1000, help="For how many articles a user may be chosen in a day."),
    ] = 1,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Do not remember who was chosen: other articles may too."),
    ] = False,
    language: LanguageOption = None,
    to: Annotated[
        Path | None,
        typer.Option(
            "--to",
            callback=writable_file,
            help="A .csv, .jsonl or .parquet file to write instead of a table.",
        ),
    ] = None,
    as_of: AsOfOption = None,
    as_json: JsonOption = False,
) -> None:
    """Choose the users most likely to click an article, for a newsletter or a push message."""
    if to is not None:
        require_known_suffix(to)
        if as_json:
            raise typer.BadParameter("--to writes a file instead of printing: leave out --json")
    with Store(store, must_exist=True) as opened, usage_errors():
        choice = choose_audience(
            opened,
            Recommender(published),
            article,
            n,
            per_day=per_day,
            as_of=as_of or now(),
            language=language,
            record=not dry_run,
        )
    if as_json:
        about = {"day": choice.day, "n_chosen_often": choice.n_chosen_often}
        print_json(asdict(choice.audience) | about | {"is_recorded": not dry_run})
        return
    if to is None:
        _print_table(choice)
    else:
        _write(choice, to, published)
    _print_notes(choice, n, per_day)
    if not dry_run and choice.audience.users:
        out.print(
            f"remembered for {choice.day}: other articles of this day get other users"
            " (--dry-run remembers nothing)",
            markup=False,
        )


def _write(choice: Choice, to: Path, published: Path) -> None:
    """Write a row for each chosen user."""
    import polars as pl

    schema: dict[str, pl.DataType] = dict.fromkeys(
        ("article_id", "rank", "user_id", "score", "reason", "reason_code"), pl.String()
    )
    schema |= {"rank": pl.Int64(), "score": pl.Float64()}
    found = choice.audience
    rows = [
        (found.article_id, rank, user.user_id, user.score, user.reason, user.reason_code)
        for rank, user in enumerate(found.users, start=1)
    ]
    write_rows(to, rows, schema, published)


def _print_table(choice: Choice) -> None:
    """Print a table of the chosen users."""
    table = table_of("rank", "user", "score", "reason")
    for rank, user in enumerate(choice.audience.users, start=1):
        table.add_row(str(rank), user.user_id, f"{user.score:.4f}", user.reason)
    print_table(table)


def _print_notes(choice: Choice, n: int, per_day: int) -> None:
    """Print who was left out, and why there are fewer users than asked for."""
    n_found, often = len(choice.audience.users), choice.n_chosen_often
    if often:
        already = f"chosen for other articles on {choice.day} already (--per-day {per_day})"
        out.print(f"left out: {often} users, {already}")
    if n_found < n:
        out.print(f"note: {n_found} of {n} users; there are no others who have not read it")
