"""Messages about wrong usage repeat arguments, which may come out of data: here they are inert."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from typer.core import TyperGroup

from recsys.cli.terminal import inert


class InertGroup(TyperGroup):
    """A group of commands whose messages about wrong usage repeat arguments inertly."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the options before a command."""
        with _inert_messages():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        with _inert_messages():
            return super().invoke(ctx)


@contextmanager
def _inert_messages() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        message = getattr(error, "message", None)  # of click's errors
        if isinstance(message, str):
            error.__dict__["message"] = "\n".join(map(inert, message.split("\n")))
        raise
