"""Gather rows that a format module reads one by one into batches of bounded size."""

from collections import Counter
from collections.abc import Iterator, Mapping

import polars as pl

from recsys.ingest.batches import BATCH_BYTES, BATCH_ROWS, Batch, clip
from recsys.ingest.text import encodable
from recsys.rows import FIELDS, LIST_FIELDS, ROW, Kind, Reject

Value = str | float | bool | list[str] | None
MAX_REASON = 60  # characters of a text from the file that names a reason
MAX_REASONS = 200  # that are counted apart; a file may have another one in each row
OTHER_REASON = "for another reason"


def is_apart(counts: Counter[tuple[str, str]], key: tuple[str, str]) -> bool:
    """Return whether a key is counted by itself: it is already, or there are few others."""
    return key in counts or len(counts) < MAX_REASONS


def count_reason(counts: Counter[tuple[str, str]], key: tuple[str, str], n: int = 1) -> None:
    """Count an entry by its kind and a reason; beyond `MAX_REASONS`, as `OTHER_REASON`."""
    counts[key if is_apart(counts, key) else (key[0], OTHER_REASON)] += n


class Gatherer:
    """Rows, rejects and counts of ignored entries since the last batch.

    A field that a row lacks, or whose value is None, is one that the row does not give; "" and an
    empty list clear the field (see `Batch.nulls_are_absent`).

    Parameters
    ----------
    wanted
        The kind of rows to gather; None for all kinds.
    default
        The kind of a batch that has rejects or ignored entries and no row.
    """

    def __init__(self, wanted: Kind | None, default: Kind) -> None:
        self._wanted, self._default = wanted, default
        self._rows: dict[Kind, list[dict[str, str | list[str] | int | None]]] = {}
        self._rejects: list[Reject] = []
        self._ignored: Counter[tuple[str, str]] = Counter()
        self._n_chars = 0
        self._n_entries = 0

    def add(self, kind: Kind, row: int, fields: Mapping[str, Value]) -> None:
        """Add a row with the fields of its kind; titles, bodies and summaries are HTML."""
        if self._wanted not in (None, kind):
            return
        values = {name: _as_column_value(name, fields.get(name)) for name in FIELDS[kind]}
        self._rows.setdefault(kind, []).append({ROW: row, **values})
        self._n_entries += 1
        self._n_chars += sum(len(value) for value in values.values() if value is not None)

    def reject(self, row: int, field: str, reason: str, raw: str) -> None:
        """Add a row that cannot be used, with its text."""
        raw = clip(raw).encode("utf-8", "backslashreplace").decode()
        self._rejects.append(Reject(row, field, reason, raw))
        self._n_entries += 1

    def ignore(self, entry: str, reason: str) -> None:
        """Count an entry that holds no row of ours."""
        count_reason(self._ignored, (entry, encodable(reason[:MAX_REASON])))

    def is_full(self) -> bool:
        """Return whether the rows should be taken now."""
        return self._n_chars > BATCH_BYTES or self._n_entries >= BATCH_ROWS

    def batches(self, position: int) -> Iterator[Batch]:
        """Yield what was gathered, one batch a kind, and begin again without any.

        Parameters
        ----------
        position
            Bytes of the file read so far.
        """
        rows, rejects, ignored = self._rows, self._rejects, self._ignored
        self._rows, self._rejects, self._ignored = {}, [], Counter()
        self._n_chars = self._n_entries = 0
        if not rows and (rejects or ignored):
            rows = {self._default: []}
        for kind, gathered in rows.items():
            frame = pl.DataFrame(gathered, schema=_schema(kind))
            yield Batch(kind, frame, rejects, position, nulls_are_absent=True, ignored=ignored)
            rejects, ignored = [], Counter()


def _is_list(name: str) -> bool:
    return name in LIST_FIELDS or name == "tags"


def _schema(kind: Kind) -> dict[str, pl.DataType]:
    """Return the columns of a frame: text, or lists of texts."""
    columns = {name: pl.List(pl.String) if _is_list(name) else pl.String() for name in FIELDS[kind]}
    return {ROW: pl.UInt32(), **columns}


def _as_column_value(name: str, value: Value) -> str | list[str] | None:
    """Return a value as its column holds it."""
    if isinstance(value, list) and _is_list(name):
        return [encodable(item) for item in value]
    if value is None or isinstance(value, list) or _is_list(name):
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    return encodable(str(value))
