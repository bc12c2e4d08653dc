r"""The terminal: every text that a command prints passes through here.

Data may hold escape sequences, line ends and bidirectional controls, which would act on the
terminal of whoever looks at them: move the cursor, forge lines, reverse text. Here they are printed
as Python writes them in a string, such as \x1b; in JSON as JSON escapes them.
"""

import json
import re
import sys
from io import TextIOWrapper
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

# Control characters, half surrogate pairs, line separators and format characters. Not among them
# are joiners and the tags in flags: scripts and emoji need these, which act on no terminal.
_ACTING = (
    "\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ud800-\udfff"
)
_IN_TEXT = re.compile(f"[{_ACTING}]")
_IN_JSON = re.compile(f"(?!\n)[{_ACTING}]")


def inert(text: str) -> str:
    r"""Return a text as one line without any character that acts on a terminal.

    Examples
    --------
    >>> print(inert("a\x1b[2Jb\nc\u202ed, größer"))
    a\x1b[2Jb\nc\u202ed, größer
    """
    return _IN_TEXT.sub(lambda found: repr(found[0])[1:-1], text)


class Terminal(Console):
    """A console on which texts are inert: no markup, no emoji codes, no control characters.

    Each text is one line; `print()` prints an empty one.
    """

    def __init__(self, *, stderr: bool = False, width: int | None = None) -> None:
        super().__init__(
            stderr=stderr,
            width=width,
            soft_wrap=width is None,
            highlight=False,
            markup=False,
            emoji=False,
        )

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a text as rich shows it."""
        return super().render_str(inert(text), **options)

    def on_broken_pipe(self) -> None:
        """Stop writing to a pipe without a reader; work whose log it was goes on."""
        if not self.stderr:
            super().on_broken_pipe()
        self.quiet = True


WIDEST = 10_000  # characters of a line that no terminal shows
out, err = Terminal(), Terminal(stderr=True)


def table_of(*columns: str) -> Table:
    """Return a table in which no cell is cut off; instants are broken last."""
    table = Table()
    for name in columns:
        table.add_column(name, overflow="fold", no_wrap=name in ("when", "from", "until"))
    return table


def print_table(table: Table) -> None:
    """Print a table as wide as the terminal; as wide as it is where the output is no terminal."""
    (out if out.is_terminal else Terminal(width=WIDEST)).print(table)


def json_text(text: str) -> str:
    """Return JSON without any character that acts on a terminal; line ends stay."""
    return _IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def print_json(value: object) -> None:
    """Print a value as JSON."""
    sys.stdout.write(json_text(json.dumps(value, ensure_ascii=False, indent=2)) + "\n")


def accept_any_encoding() -> None:
    """Print characters that the terminal's encoding lacks as escapes instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
