"""Settings read from a `recsys.toml`, written as TOML, and compared."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import msgspec
import tomli_w

from recsys.checked import suggestion
from recsys.config import Config
from recsys.config_types import Settings
from recsys.errors import ConfigError, reason_of

MAX_BYTES = 256 << 10  # of a file; the 32 layouts of 16 lists that are allowed take less
MAX_DOTS = 500  # of a line
PATHS = "paths"  # a table of a recsys.toml that is no setting of a run
PATH_KEYS = ("store", "published")


def load_config(path: Path | None) -> Config:
    """Return the settings of a TOML file; the defaults for None.

    Raises
    ------
    ConfigError
        If the file cannot be read, or a table, key, type or value is wrong.
    """
    return config_of(load_tables(path), str(path))


def load_tables(path: Path | None) -> dict[str, Any]:
    """Return the tables of a TOML file as they are, not checked; {} for None.

    Raises
    ------
    ConfigError
        If the file cannot be read, or is not TOML.
    """
    if path is None:
        return {}
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ConfigError(f"{path}: larger than {MAX_BYTES >> 10} kB; settings take a few")
        # tomllib takes time with the square of the parts of a key, `a.b.c`.
        if max(line.count(b".") for line in data.split(b"\n")) > MAX_DOTS:
            raise ConfigError(f"{path}: a line with more than {MAX_DOTS} dots")
        return tomllib.loads(data.decode("utf-8").replace("\r\n", "\n"))
    # Beside its own errors, tomllib raises those of Python for a number of thousands of digits,
    # and for arrays within arrays.
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: cannot be read: {reason_of(error)}") from error


def load_paths(path: Path) -> dict[str, Path]:
    """Return the table `[paths]` of a TOML file: where the store and the published folder are.

    A relative path begins at the folder of the file.

    Raises
    ------
    ConfigError
        If the file cannot be read, or a key or a type is wrong.
    """
    table = load_tables(path).get(PATHS, {})
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: {PATHS} must be a table: write [{PATHS}]")
    for key, value in table.items():
        if key not in PATH_KEYS:
            raise ConfigError(f"{path}: unknown key {PATHS}.{key}{suggestion(key, PATH_KEYS)}")
        if not isinstance(value, str) or not value:
            raise ConfigError(f"{path}: {PATHS}.{key} must be a path in quotes, got {value!r}")
    return {key: path.parent / value for key, value in table.items()}


def config_of(tables: Mapping[str, Any], source: str) -> Config:
    """Return the settings of the tables of a TOML file, or of `tables_of`.

    The table `[paths]` is left out.

    Raises
    ------
    ConfigError
        If a table, key, type or value is wrong; begins with `source`, where the tables are from.
    """
    settings = {name: table for name, table in tables.items() if name != PATHS}
    try:
        made: Config = _made(Config, settings, "")
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from error
    return made


def tables_of(config: Config) -> dict[str, Any]:
    """Return settings as tables of plain values, without the keys that are not set."""
    tables: dict[str, Any] = _without_none(msgspec.to_builtins(config))
    return tables


def toml_of(config: Config) -> str:
    """Return settings as the text of a `recsys.toml`; `load_config` reads them back equal."""
    return tomli_w.dumps(tables_of(config))


def differences(before: Config, after: Config) -> list[str]:
    """Return each setting that differs, as "table.key: before -> after"."""
    old, new = _flat(tables_of(before)), _flat(tables_of(after))
    return [
        f"{key}: {old.get(key, 'not set')} -> {new.get(key, 'not set')}"
        for key in dict.fromkeys([*old, *new])
        if old.get(key) != new.get(key)
    ]


def _flat(tables: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in tables.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def _without_none(value: Any) -> Any:
    """Return tables without the keys that are not set, which TOML cannot say."""
    if not isinstance(value, dict):
        return value
    return {key: _without_none(part) for key, part in value.items() if part is not None}


def _made(kind: Any, value: Any, name: str) -> Any:
    """Return a value of a file as settings of a kind; `name` is its dotted path in the file."""
    kind = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    if get_origin(kind) is dict:
        if not isinstance(value, Mapping):
            raise ConfigError(f"{name} must be a table: write [{name}]")
        inner = get_args(kind)[1]
        return {key: _made(inner, part, f"{name}.{key}") for key, part in value.items()}
    if not (isinstance(kind, type) and issubclass(kind, Settings)):
        return value  # its owner checks it
    if not isinstance(value, Mapping):
        raise ConfigError(f"{name} must be a table: write [{name}]")
    known = {field.name: field.type for field in msgspec.structs.fields(kind)}
    prefix = name and f"{name}."
    parts = {}
    for key, part in value.items():
        if key not in known:
            what = "key" if name else "table"
            raise ConfigError(f"unknown {what} {prefix}{key[:100]}{suggestion(key, known)}")
        parts[key] = _made(known[key], part, f"{prefix}{key}")
    try:
        return kind(**parts)
    except ConfigError as error:
        raise ConfigError(f"{prefix}{error}") from error
