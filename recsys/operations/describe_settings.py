"""Every setting with its value, where the value comes from, and what the setting means.

The descriptions are those of the annotations in `recsys.config`, and of the tables of signals and
lists; `recsys config` prints them as TOML, `scripts/write_settings.py` as docs/settings.md.
"""

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from inspect import getdoc
from typing import Any

import tomli_w
from msgspec import NODEFAULT, inspect, structs

from recsys.blend.signal_table import SIGNALS, signal_weights
from recsys.checked import allowed_values
from recsys.config import Config, Weight
from recsys.config_page import FilterConfig, ListConfig
from recsys.page.list_table import PageList, layouts_of

WIDTH = 98  # of a comment
# The settings of a list by their names in `PageList`.
_IN_LAYOUT = {
    "scorer": "scorer",
    "slots": "n_slots",
    "priority": "priority",
    "minimum": "minimum",
    "max_of_section": "max_of_section",
    "diversity": "diversity",
    "exempt": "exempt",
    "explore": "explore",
}


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting.

    Attributes
    ----------
    table, key
        Its place in a `recsys.toml`.
    value, default
        The value in force, and the one of a file that does not name the key. The settings of a
        list have no default of their own, None: they are those of the shipped list.
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
    """Return every setting, in the order of `Config`; each list of each layout with its own.

    Parameters
    ----------
    config
        The settings in force.
    file_tables
        The tables of the file that they come from, as `tomllib` reads them; {} for no file.

    Raises
    ------
    ConfigError
        If the settings name no signal or scorer where they must.
    """
    weights, found = signal_weights(config.blend), []
    for table in structs.fields(Config):
        if table.name == "layouts":
            continue
        values, of_file = getattr(config, table.name), file_tables.get(table.name, {})
        for field in structs.fields(values):
            if field.default is not NODEFAULT or field.name == "languages":  # not the weights
                value = getattr(values, field.name)
                found.append(_setting(table.name, field, value, of_file))
        if table.name == "blend":
            found += [
                Setting(
                    table="blend.weights",
                    key=row.name,
                    value=weights[row.name],
                    default=row.weight,
                    from_file=row.name in of_file.get("weights", {}),
                    allowed=allowed_values(Weight),
                    unit="",
                    description=f"Weight of a {row.kind} signal: {row.label}.",
                )
                for row in SIGNALS
            ]
    for layout in layouts_of(config).values():
        for of in layout.lists:
            of_file = file_tables.get("layouts", {}).get(layout.name, {}).get(of.name, {})
            found += _settings_of_list(of, of_file)
    return found


def _settings_of_list(of: PageList, of_file: Mapping[str, Any]) -> list[Setting]:
    """Return what holds for a list; a title or filter only where the file has one."""
    found, table = [], f"layouts.{of.key}"
    for field in structs.fields(ListConfig):
        if field.name == "filter" or (field.name == "title" and "title" not in of_file):
            continue
        value = of.title() if field.name == "title" else getattr(of, _IN_LAYOUT[field.name])
        found.append(_setting(table, field, value, of_file))
    for field in structs.fields(FilterConfig):
        value = getattr(of.filter, field.name)
        if value != field.default:
            found.append(_setting(f"{table}.filter", field, value, of_file.get("filter", {})))
    return found


def _setting(
    table: str, field: structs.FieldInfo, value: object, of_file: Mapping[str, Any]
) -> Setting:
    described = described_field(field)
    return Setting(
        table=table,
        key=field.name,
        value=value,
        default={} if field.default is NODEFAULT else field.default,
        from_file=field.name in of_file,
        allowed=described.allowed,
        unit=described.unit,
        description=described.description,
    )


@dataclass(frozen=True, slots=True)
class Described:
    """What an annotation says of a field: see `Setting`."""

    allowed: str
    unit: str
    description: str


def described_field(field: structs.FieldInfo) -> Described:
    """Return what the annotation of a field of `recsys.config` says."""
    about = inspect.type_info(field.type)
    assert isinstance(about, inspect.Metadata), field.name
    kinds = about.type.types if isinstance(about.type, inspect.UnionType) else ()
    extras = [kind.extra or {} for kind in (about, *kinds) if isinstance(kind, inspect.Metadata)]
    return Described(
        allowed_values(field.type).removesuffix(", or null"),
        next((extra["unit"] for extra in extras if "unit" in extra), ""),
        (about.extra_json_schema or {})["description"],
    )


def table_descriptions() -> dict[str, str]:
    """Return what each table of settings is about, by name.

    LAYOUT and LIST stand for the names of a layout and of a list.
    """
    found = {}
    for table in structs.fields(Config):
        if table.name != "layouts":
            found[table.name] = getdoc(table.type) or ""
        if table.name == "blend":
            found["blend.weights"] = "Weights of the signals in the score."
    found["layouts.LAYOUT.LIST"] = getdoc(ListConfig) or ""
    found["layouts.LAYOUT.LIST.filter"] = getdoc(FilterConfig) or ""
    return found


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
    open_table, explained = "", set[tuple[str, str]]()
    for setting in settings:
        # What all lists have in common is explained at the first of them.
        kind = re.sub(r"^layouts\.[^.]*\.[^.]*", "layouts.LAYOUT.LIST", setting.table)
        if setting.table != open_table:
            open_table = setting.table
            about = [] if (kind, "") in explained else _comment(tables[kind].partition("\n")[0])
            lines += ["", *about, f"[{open_table}]"]
            explained.add((kind, ""))
        if (kind, setting.key) not in explained:
            explained.add((kind, setting.key))
            unit = f", in {setting.unit}" if setting.unit else ""
            default = setting.default
            said = "" if default is None else f" Default: {toml_value(default)}."
            lines += [
                "",
                *_comment(setting.description),
                *_comment(f"Allowed: {setting.allowed}{unit}.{said}"),
            ]
        origin = source if setting.from_file else "default"
        lines.append(f"{setting.key} = {toml_value(setting.value)}  # {origin}")
    return "\n".join(lines[1:]) + "\n"


def toml_value(value: object) -> str:
    """Return a value as TOML in one line.

    Examples
    --------
    >>> toml_value(("a", "b")), toml_value(3.0), toml_value({"front": "fr"})
    ('["a", "b"]', '3.0', '{ front = "fr" }')
    """
    if isinstance(value, tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    if isinstance(value, dict):
        cells = ", ".join(f"{key} = {toml_value(cell)}" for key, cell in value.items())
        return f"{{ {cells} }}" if cells else "{}"
    return tomli_w.dumps({"v": value}).removeprefix("v = ").rstrip("\n")


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="# ", subsequent_indent="# ")
