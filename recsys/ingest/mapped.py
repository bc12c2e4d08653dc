"""Read JSON, CSV and Parquet files whose columns have other names, by the mapping of the settings.

A mapping names for a field the column of the file, `"user_pseudo_id"`; a dotted path into nested
values, `"user.id"`; several of them, of which the first with a value counts; or a constant,
`{ constant = "web" }`. Fields that it does not name are read from columns of their own name.
"""

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from recsys.config import FieldSource, IngestConfig
from recsys.errors import InputRefusedError
from recsys.ingest import delimited, parquet
from recsys.ingest.batches import Batch
from recsys.ingest.gather import Gatherer, Value
from recsys.ingest.json_values import json_values
from recsys.rows import FIELDS, LIST_FIELDS, REQUIRED, ROW, Kind, Reject

Table = Literal["jsonl", "csv", "parquet"]  # the formats that a mapping applies to
TABLES: dict[str, Table] = {name: name for name in get_args(Table)}
N_FIRST_ROWS = 100  # decide which mapping a file has
# Kinds in the order in which they are tried: an impression may have all columns of a click.
_KINDS: tuple[Kind, ...] = ("impressions", "clicks", "articles")


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row of a file as it is: values by the names of the file.

    Attributes
    ----------
    row
        1-based line or row.
    values
        Texts, numbers, and nested lists and dictionaries.
    position
        Bytes of the file read so far.
    """

    row: int
    values: Mapping[str, object]
    position: int


def raw_rows(path: Path, table: Table) -> Iterator[RawRow | Reject]:
    """Yield the rows of a file, and a reject for each row that cannot be read.

    Raises
    ------
    InputRefusedError
        If the file is not of the format.
    """
    if table == "jsonl":
        for found in json_values(path):
            if isinstance(found, Reject):
                yield found
            elif isinstance(found.value, dict):
                yield RawRow(found.row, found.value, found.position)
            else:
                yield Reject(found.row, "", "not a JSON object", json.dumps(found.value)[:200])
        return
    size = path.stat().st_size
    if table == "parquet":
        row = 0
        for frame in parquet.read_frames(path, parquet.column_names(path)):
            for values in frame.iter_rows(named=True):
                row += 1
                yield RawRow(row, values, size)
        return
    for frame, rejects, position in delimited.read_frames(path):
        yield from rejects
        for values in frame.iter_rows(named=True):
            row = values.pop(ROW)
            yield RawRow(row, values, position)


def value_at(values: Mapping[str, object], path: str) -> object:
    """Return the value of a column, or at a dotted path into nested values; None if there is none.

    Examples
    --------
    >>> value_at({"user": {"ids": ["u7"]}}, "user.ids.0")
    'u7'
    """
    if path in values:
        return values[path]
    found: object = values
    for part in path.split("."):
        if isinstance(found, Mapping):
            found = found.get(part)
        elif isinstance(found, list) and part.isdigit() and int(part) < len(found):
            found = found[int(part)]
        else:
            return None
    return found


def mapped_value(values: Mapping[str, object], source: FieldSource) -> object:
    """Return the value that a mapping gives to a field; None if the row has none."""
    if isinstance(source, dict):
        return source["constant"]
    paths = (source,) if isinstance(source, str) else source
    return next((v for path in paths if (v := value_at(values, path)) not in (None, "")), None)


def kind_of(path: Path, table: Table, config: IngestConfig, kind: Kind | None) -> Kind | None:
    """Return the kind of rows that the mapping finds in a file; None if the mapping is not for it.

    A mapping is for a file if it names a column of it, and if with it some of the first rows have
    all required fields.
    """
    rows = (row for row in raw_rows(path, table) if isinstance(row, RawRow))
    first = [row.values for row in itertools.islice(rows, N_FIRST_ROWS)]
    for candidate in _KINDS if kind is None else (kind,):
        mapping = config.mapping(candidate)
        columns = [source for source in mapping.values() if not isinstance(source, dict)]
        sources = {name: mapping.get(name, name) for name in REQUIRED[candidate]}
        if any(
            any(mapped_value(values, source) is not None for source in columns)
            and all(mapped_value(values, source) is not None for source in sources.values())
            for values in first
        ):
            return candidate
    return None


def read(
    path: Path, table: Table, kind: Kind, mapping: Mapping[str, FieldSource]
) -> Iterator[Batch]:
    """Yield the rows of a file by a mapping, see the module's docstring.

    Parameters
    ----------
    path
        The file.
    table
        Its format.
    kind
        The kind of its rows, see `kind_of`.
    mapping
        The source of each field that has a column of another name.
    """
    sources = {name: mapping.get(name, name) for name in FIELDS[kind]}
    gathered = Gatherer(kind, kind)
    position = 0
    for row in raw_rows(path, table):
        if isinstance(row, Reject):
            gathered.reject(row.row, row.field, row.reason, row.raw)
            continue
        fields: dict[str, Value] = {}
        for name, source in sources.items():
            value = mapped_value(row.values, source)
            if isinstance(value, list) and (name in LIST_FIELDS or name == "tags"):
                fields[name] = [v if isinstance(v, str) else _as_text(v) for v in value]
            elif value is not None:
                fields[name] = _as_text(value)
        gathered.add(kind, row.row, fields)
        position = row.position
        if gathered.is_full():
            yield from gathered.batches(position)
    yield from gathered.batches(position)


def _as_text(value: object) -> str:
    """Return a value as text: nested values as JSON, instants in ISO 8601."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict | list | bool):
        return json.dumps(value, ensure_ascii=False, default=str)
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def first_columns(path: Path, format: str) -> dict[str, None]:
    """Return the columns of the first rows of a table, nested ones as dotted paths, in order."""
    columns: dict[str, None] = {}
    if format not in TABLES:
        return columns
    if format == "parquet":
        return dict.fromkeys(parquet.column_names(path))
    try:
        for row in itertools.islice(raw_rows(path, TABLES[format]), N_FIRST_ROWS):
            if isinstance(row, RawRow):
                _add_columns(columns, row.values, "")
    except InputRefusedError:
        pass  # the refusal is reported where the file is read
    return columns


def _add_columns(columns: dict[str, None], values: Mapping[str, object], prefix: str) -> None:
    for name, value in values.items():
        if isinstance(value, Mapping) and not prefix:
            _add_columns(columns, value, f"{name}.")
        else:
            columns[f"{prefix}{name}"] = None


def unknown_columns(columns: Mapping[str, None], config: IngestConfig) -> list[str]:
    """Return the columns that neither are fields nor are named by a mapping."""
    known = {name for fields in FIELDS.values() for name in fields} | {ROW}
    for kind in FIELDS:
        for source in config.mapping(kind).values():
            if not isinstance(source, dict):
                known.update((source,) if isinstance(source, str) else source)
    return [name for name in columns if not {name, name.partition(".")[0]} & known]
