"""Write docs/settings.md, the reference of all settings, from their annotations.

    python scripts/write_settings.py [FILE]

Exit status: 0 written.
"""

import sys
from pathlib import Path

from recsys.config import Config
from recsys.operations.describe_settings import settings_of, table_descriptions, toml_value

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

This page is written by `python scripts/write_settings.py` from `recsys/config.py`.
"""


def settings_page() -> str:
    """Return the page as Markdown: one table of Markdown for each table of settings."""
    lines = [INTRODUCTION]
    settings = settings_of(Config(), {})
    for table, description in table_descriptions().items():
        lines += [f"## [{table}]", "", description, ""]
        lines += ["| key | default | allowed | meaning |", "|---|---|---|---|"]
        for setting in settings:
            if setting.table == table:
                unit = f", in {setting.unit}" if setting.unit else ""
                default = f"`{toml_value(setting.default)}`"
                allowed = f"{setting.allowed}{unit}"
                lines.append(f"| `{setting.key}` | {default} | {allowed} | {setting.description} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    docs = Path(__file__).parents[1] / "docs" / "settings.md"
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else docs
    path.parent.mkdir(exist_ok=True)
    path.write_text(settings_page(), "utf-8")
