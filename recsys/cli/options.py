"""What all commands share: options and their parsers."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from recsys.config import Config
from recsys.config_file import load_config
from recsys.errors import ConfigError
from recsys.page.list_table import require_known_names
from recsys.pseudonym import hashed_user

USER_KEY = "RECSYS_USER_KEY"  # the environment variable of the key of hashed user ids


def parse_instant(value: str) -> datetime:
    """Return an instant from ISO 8601 text; one without an offset is UTC."""
    try:
        found = datetime.fromisoformat(value)
    except ValueError as error:
        raise typer.BadParameter(f"{value!r} is not ISO 8601") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def now() -> datetime:
    """Return the present instant."""
    return datetime.now(UTC)


def user_key() -> bytes | None:
    """Return the publisher's secret key of hashed user ids, None if there is none."""
    key = os.environ.get(USER_KEY)
    return None if key is None else key.encode("utf-8")


def stored_user_id(user: str | None) -> str | None:
    """Return the id that the store and its runs have for a user: a hash if there is a key."""
    key = user_key()
    return user if user is None or key is None else hashed_user(user, key)


def load_settings(path: Path | None) -> Config:
    """Return the settings of a file, the defaults for None; every name in them exists.

    Raises
    ------
    ConfigError
        If the file cannot be read, or a setting is wrong.
    """
    config = load_config(path)
    try:
        require_known_names(config)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    return config


def named_files(option: str, values: list[str] | None) -> dict[str, Path]:
    """Return the files of an option by name, from NAME=FILE; without a name it is the file's.

    Raises
    ------
    BadParameter
        If two files have one name.
    """
    found: dict[str, Path] = {}
    for value in values or ():
        name, is_named, file = value.partition("=")
        path = Path(file if is_named else value)
        name = name if is_named else path.stem
        if name in found:
            raise typer.BadParameter(f"{option}: two files are named {name}; write NAME=FILE")
        found[name] = path
    return found


@contextmanager
def usage_errors() -> Iterator[None]:
    """Report a wrong argument of a library function as wrong usage of the command."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise typer.BadParameter(str(error)) from error


StoreOption = Annotated[Path, typer.Option("--store", help="The store, a SQLite file.")]
PublishedOption = Annotated[Path, typer.Option("--published", help="The folder of published runs.")]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="A recsys.toml with settings to change.")
]
UserOption = Annotated[str | None, typer.Option(help="The user's id.")]
LayoutOption = Annotated[
    str | None,
    typer.Option(help="Name of the layout. By default: front without an article, else article."),
]
ArticleOption = Annotated[str | None, typer.Option(help="The id of the article being read.")]
AsOfOption = Annotated[
    datetime | None,
    typer.Option(
        "--as-of",
        parser=parse_instant,
        metavar="ISO",
        help="Act as if it were this time (UTC without an offset). By default it is now.",
    ),
]
SignalOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[NAME=]FILE",
        help="Learn with a signal of your own: a file with article_id, value, and at where a value"
        " counts from an instant on. Repeat it for more.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
