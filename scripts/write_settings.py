"""Write docs/settings.md, the reference of all settings, from their annotations.

    python scripts/write_settings.py [FILE]

Exit status: 0 written.
"""

import sys
from pathlib import Path

from msgspec import structs

from recsys.config import Config
from recsys.config_page import FilterConfig, ListConfig
from recsys.operations.describe_settings import (
    Setting,
    described_field,
    settings_of,
    table_descriptions,
    toml_value,
)
from recsys.page.list_table import ARTICLE, layouts_of

INTRODUCTION = """# Settings

`recsys nightly`, `refresh`, `evaluate` and `tune` take `--config recsys.toml`. The file names only
the settings that it changes: a key that it leaves out has its default, and a table or key that
does not exist is an error. `recsys config --config recsys.toml` prints the settings in force as
TOML, with a comment on each that says where its value comes from; the output is itself a
`recsys.toml` to start from.

```toml
[data]
window_days = 14

[page]
n = 8
```

This page is written by `python scripts/write_settings.py` from `recsys/config.py` and the tables of
signals and lists.
"""

LAYOUTS = """## Layouts

A layout is the lists of one kind of page, in their order. Without any, `article` has the four
shipped lists, and every page is made by it. Once the settings have a layout `front`, a request
without an article is answered by it; any other layout is asked for by its name,
`recommend(..., layout="sports")`.

```toml
[layouts.front.popular_now]
slots = 8

[layouts.front.politics]
title = "From Politics"
scorer = "latest"
slots = 4
filter.section = "Politics"

[layouts.front.must_reads]
```

A list named like a shipped one takes from it what the settings leave out; any other needs a
`scorer`. These lists are shipped:

"""


def settings_page() -> str:
    """Return the page as Markdown: one table of Markdown for each table of settings."""
    lines, settings = [INTRODUCTION], settings_of(Config(), {})
    rows = {table: [s for s in settings if s.table == table] for table in table_descriptions()}
    for name, kind in (
        ("layouts.LAYOUT.LIST", ListConfig),
        ("layouts.LAYOUT.LIST.filter", FilterConfig),
    ):
        rows[name] = [
            Setting(
                table=name,
                key=field.name,
                value=None,
                default=field.default,
                from_file=False,
                allowed=described_field(field).allowed,
                unit=described_field(field).unit,
                description=described_field(field).description,
            )
            for field in structs.fields(kind)
            if field.name != "filter"
        ]
    for table, description in table_descriptions().items():
        if table == "layouts.LAYOUT.LIST":
            lines.append(LAYOUTS + "\n".join(shipped_lists()) + "\n")
        lines += [f"## [{table}]", "", description, ""]
        lines += ["| key | default | allowed | meaning |", "|---|---|---|---|"]
        for setting in rows[table]:
            unit = f", in {setting.unit}" if setting.unit else ""
            default = "" if setting.default is None else f"`{toml_value(setting.default)}`"
            allowed = f"{setting.allowed}{unit}"
            lines.append(f"| `{setting.key}` | {default} | {allowed} | {setting.description} |")
        lines.append("")
    return "\n".join(lines)


def shipped_lists() -> list[str]:
    """Return the shipped lists as a table of Markdown."""
    lines = [
        "| list | title | scorer | slots | priority | max_of_section | diversity |",
        "|---|---|---|---|---|---|---|",
    ]
    for of in layouts_of(Config())[ARTICLE].lists:
        cells = (f"`{of.name}`", of.title(), f"`{of.scorer}`", of.n_slots, of.priority)
        lines.append(f"| {' | '.join(map(str, (*cells, of.max_of_section, of.diversity)))} |")
    return lines


if __name__ == "__main__":
    docs = Path(__file__).parents[1] / "docs" / "settings.md"
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else docs
    path.parent.mkdir(exist_ok=True)
    path.write_text(settings_page(), "utf-8")
