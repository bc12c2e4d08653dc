"""What the files of the command line share: options, titles, the terminal."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from recsys.pseudonym import hashed_user

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)
TITLES = {
    "you_may_also_like": "You May Also Like",
    "must_reads": "Must-Reads",
    "popular_now": "Popular Now",
    "latest_stories": "Latest Stories",
}


def instant(value: str) -> datetime:
    """Return an instant out of text; one without an offset is UTC."""
    try:
        found = datetime.fromisoformat(value)
    except ValueError as error:
        raise typer.BadParameter(f"{value!r} is not ISO 8601") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


USER_KEY = "recsysUSER_KEY"


def user_key() -> bytes | None:
    """Return the publisher's secret that readers' ids are hashed with, None for none."""
    key = os.environ.get(USER_KEY)
    return None if key is None else key.encode("utf-8")


def stored_user_id(user: str | None) -> str | None:
    """Return how a reader is called in the store and its runs: hashed, where there is a key."""
    key = user_key()
    return user if user is None or key is None else hashed_user(user, key)


StoreOption = Annotated[Path, typer.Option("--store", help="the store, a SQLite file")]
PublishedOption = Annotated[Path, typer.Option("--published", help="folder of published runs")]
ConfigOption = Annotated[Path | None, typer.Option("--config", help="settings, a recsys.toml")]
UserOption = Annotated[str | None, typer.Option(help="reader id")]
ArticleOption = Annotated[str | None, typer.Option(help="id of the article being read")]
AsOfOption = Annotated[
    datetime | None,
    typer.Option("--as-of", parser=instant, metavar="ISO", help="as if at this time (UTC)"),
]
