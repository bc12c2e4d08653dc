"""Write rows that name users to a file that only the owner can read."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from recsys.cli.terminal import err, out
from recsys.errors import reason_of
from recsys.files import atomic_replacement, create_private_file
from recsys.published.user_deletion import note_exports

if TYPE_CHECKING:
    import polars as pl

_WRITERS = {".csv": "write_csv", ".jsonl": "write_ndjson", ".parquet": "write_parquet"}


def require_known_suffix(to: Path) -> None:
    """Check that a file's name says which format it is to have.

    Raises
    ------
    BadParameter
        If it does not.
    """
    if to.suffix not in _WRITERS:
        raise typer.BadParameter(f"--to must end in one of {', '.join(_WRITERS)}; got {to}")


def write_rows(
    to: Path,
    rows: Sequence[tuple[object, ...]],
    schema: "Mapping[str, pl.DataType]",
    published: Path,
) -> None:
    """Write rows to a .csv, .jsonl or .parquet file, whole or not at all, and say how many.

    In CSV no text is a formula to a spreadsheet. The published folder remembers the file, so that
    `recsys forget` searches it.

    Parameters
    ----------
    to
        The file, see `require_known_suffix`.
    rows
        The rows.
    schema
        Names and types of their columns.
    published
        The folder of the runs that the rows are about.
    """
    import polars as pl

    from recsys.operations.export_rows import without_formulas

    frame = pl.DataFrame(rows, schema=dict(schema), orient="row")
    if to.suffix == ".csv":
        frame = without_formulas(frame)
    note_files_of_users(published, [to])  # first, so that a killed command leaves nothing unknown
    with atomic_replacement(to) as partial:
        partial.unlink(missing_ok=True)
        create_private_file(partial)  # it names users
        getattr(frame, _WRITERS[to.suffix])(partial)
    out.print(f"wrote {len(frame)} rows to {to}", markup=False)


def note_files_of_users(published: Path, files: Sequence[Path]) -> None:
    """Let `recsys forget` search some files; warn if the published folder cannot be written."""
    try:
        note_exports(published, files)
    except OSError as error:
        err.print(
            f"warning: {published}: cannot be written: {reason_of(error)}; `recsys forget` will"
            f" not search {', '.join(map(str, files))} unless --search names it"
        )
