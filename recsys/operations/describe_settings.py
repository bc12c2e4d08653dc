"""Every setting with its value, where the value comes from, and what the setting means.

The descriptions are those of the annotations in `recsys.config`; `recsys config` prints them
as TOML, `scripts/write_settings.py` as docs/settings.md.
"""

import inspect
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import tomli_w

from recsys.checked import allowed_values
from recsys.config import Config

WIDTH = 98  # of a comment


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting.

    Attributes
    ----------
    table, key
        Its place in a `recsys.toml`.
    value, default
        The value in force, and the one of a file that does not name the key.
    from_file
        Whether the value comes from the file.
    allowed, unit, description
        The values that it may have, their unit ("" for none), and what it means.
    """

    table: str
    key: str
    value: object
    default: object
    from_file: bool
    allowed: str
    unit: str
    description: str


def settings_of(config: Config, file_tables: Mapping[str, Any]) -> list[Setting]:
    """Return every setting, in the order of `Config`.

    Parameters
    ----------
    config
        The settings in force.
    file_tables
        The tables of the file that they come from, as `tomllib` reads them; {} for no file.
    """
    found = []
    for table in msgspec.structs.fields(config):
        values = getattr(config, table.name)
        for field in msgspec.structs.fields(values):
            about = msgspec.inspect.type_info(field.type)
            assert isinstance(about, msgspec.inspect.Metadata), field.name
            found.append(
                Setting(
                    table=table.name,
                    key=field.name,
                    value=getattr(values, field.name),
                    default=field.default,
                    from_file=field.name in file_tables.get(table.name, {}),
                    allowed=allowed_values(field.type),
                    unit=(about.extra or {}).get("unit", ""),
                    description=(about.extra_json_schema or {})["description"],
                )
            )
    return found


def table_descriptions() -> dict[str, str]:
    """Return what each table of settings is about, by name: the docstrings of `recsys.config`."""
    return {
        table.name: inspect.getdoc(table.type) or "" for table in msgspec.structs.fields(Config)
    }


def toml_with_comments(settings: Sequence[Setting], source: str) -> str:
    """Return settings as TOML with a comment on each; `recsys.config` reads it back.

    Parameters
    ----------
    settings
        All of them, from `settings_of`.
    source
        The name of the file that some come from.
    """
    lines: list[str] = []
    tables = table_descriptions()
    open_table = ""
    for setting in settings:
        if setting.table != open_table:
            open_table = setting.table
            lines += ["", *_comment(tables[open_table].partition("\n")[0]), f"[{open_table}]"]
        unit = f", in {setting.unit}" if setting.unit else ""
        origin = source if setting.from_file else "default"
        lines += [
            "",
            *_comment(setting.description),
            *_comment(f"Allowed: {setting.allowed}{unit}. Default: {toml_value(setting.default)}."),
            f"{setting.key} = {toml_value(setting.value)}  # {origin}",
        ]
    return "\n".join(lines[1:]) + "\n"


def toml_value(value: object) -> str:
    """Return a value as TOML in one line.

    Examples
    --------
    >>> toml_value(("a", "b")), toml_value(3.0)
    ('["a", "b"]', '3.0')
    """
    if isinstance(value, tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    return tomli_w.dumps({"v": value}).removeprefix("v = ").rstrip("\n")


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="# ", subsequent_indent="# ")
