"""What all commands share: options and their parsers."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import MAXYEAR, UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from recsys.config import Config
from recsys.config_file import PATHS, load_config, load_paths, load_tables
from recsys.errors import ConfigError
from recsys.keys import RUN_KEY, USER_KEY, key_of
from recsys.page.list_table import require_known_names
from recsys.pseudonym import hashed_user

DEFAULT_CONFIG = "recsys.toml"
CONFIG_VARIABLE = "RECSYS_CONFIG"
FIRST_YEAR = 1900  # of an instant that an option names
STANDARD_OUTPUT = Path("-")


def parse_instant(value: str) -> datetime:
    """Return an instant from ISO 8601 text; one without an offset is UTC.

    Raises
    ------
    BadParameter
        If it is no such text, or not of `FIRST_YEAR` to 9998: days before and after are counted.
    """
    try:
        found = datetime.fromisoformat(value)
    except ValueError as error:
        raise typer.BadParameter(f"{value[:100]!r} is not ISO 8601") from error
    if not FIRST_YEAR <= found.year < MAXYEAR:
        raise typer.BadParameter(f"{value!r} must be of the years {FIRST_YEAR} to {MAXYEAR - 1}")
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def now() -> datetime:
    """Return the present instant."""
    return datetime.now(UTC)


def user_key() -> bytes | None:
    """Return the publisher's secret key of hashed user ids, None if there is none."""
    return key_of(os.environ, USER_KEY)


def run_key() -> bytes | None:
    """Return the publisher's secret key that signs runs, None if there is none."""
    return key_of(os.environ, RUN_KEY)


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


def writable_file(path: Path | None) -> Path | None:
    """Return the path of a file to write, checked before the work that it is to hold is done.

    Raises
    ------
    BadParameter
        If it is a folder, or its folder does not exist or cannot be written.
    """
    if path is None or path == STANDARD_OUTPUT:
        return path
    if path.is_dir():
        raise typer.BadParameter(f"{path} is a folder; name a file")
    if not path.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {path.parent}; make it first")
    if not os.access(path.parent, os.W_OK):
        raise typer.BadParameter(f"the folder {path.parent} cannot be written")
    return path


@contextmanager
def usage_errors() -> Iterator[None]:
    """Report a wrong argument of a library function as wrong usage of the command."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise typer.BadParameter(str(error)) from error


def given_settings(path: Path | None) -> Config | None:
    """Return the settings of a file; None without a file, or if it has no table but [paths]."""
    return load_settings(path) if path is not None and load_tables(path).keys() - {PATHS} else None


def _config_path(value: Path | None) -> Path | None:
    """Return the settings file: the given one, or the one of the working folder."""
    return Path(DEFAULT_CONFIG) if value is None and Path(DEFAULT_CONFIG).is_file() else value


def _path_option(key: str, text: str, *, is_required: bool) -> Any:
    """Return the option of a path that the table [paths] of the settings file may give too."""

    def path_of(ctx: typer.Context, value: Path | None) -> Path | None:
        if value is not None or ctx.resilient_parsing:
            return value
        if "config" in ctx.params:  # `--config` is read first
            config = ctx.params["config"]
        else:
            named = os.environ.get(CONFIG_VARIABLE)
            config = _config_path(Path(named) if named else None)
        found = None if config is None else load_paths(config).get(key)
        if found is None and is_required:
            raise typer.BadParameter(
                f"--{key} is required: give it, set RECSYS_{key.upper()},"
                f' or write {key} = "..." below [{PATHS}] in {DEFAULT_CONFIG}'
            )
        return found

    return typer.Option(
        f"--{key}",
        envvar=f"RECSYS_{key.upper()}",
        default_factory=(lambda: None) if is_required else None,
        show_default=f"{key} of [{PATHS}] in {DEFAULT_CONFIG}",
        callback=path_of,
        help=text,
    )


StoreOption = Annotated[Path, _path_option("store", "The store, a SQLite file.", is_required=True)]
KnownStoreOption = Annotated[
    Path | None,
    _path_option("store", "The store, whose ledger has a report of every run.", is_required=False),
]
PublishedOption = Annotated[
    Path, _path_option("published", "The folder of published runs.", is_required=True)
]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        envvar=CONFIG_VARIABLE,
        show_default=f"{DEFAULT_CONFIG} of the working folder, if there is one",
        is_eager=True,
        callback=_config_path,
        help="A recsys.toml with settings to change.",
    ),
]
UserOption = Annotated[str | None, typer.Option(help="The user's id.")]
LayoutOption = Annotated[
    str | None,
    typer.Option(help="Name of the layout. By default: front without an article, else article."),
]
LanguageOption = Annotated[
    str | None,
    typer.Option(
        help="Language of the page, such as de. By default: that of the article, or of the site."
    ),
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
