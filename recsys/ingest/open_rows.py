"""Remember rows of a log that its later events complete, such as reading times of page views."""

from collections import OrderedDict

from recsys.ingest.gather import Gatherer, Value
from recsys.rows import Kind

MAX_OPEN = 100_000


class OpenRows:
    """Rows that later events of a log change, by key; the `MAX_OPEN` last used are remembered.

    A row is given to a gatherer at the end of each batch in which it was opened or changed. The
    store merges what it gets of one row.

    Parameters
    ----------
    kind
        The kind of the rows.
    """

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._rows: OrderedDict[tuple[str, ...], tuple[int, dict[str, Value]]] = OrderedDict()
        self._changed: list[tuple[int, dict[str, Value]]] = []
        self._given: set[int] = set()  # identities of the rows in `_changed`

    def __len__(self) -> int:
        """Return the number of rows that the next call of `give` adds."""
        return len(self._changed)

    def open(self, key: tuple[str, ...], row: int, fields: dict[str, Value]) -> None:
        """Add a row; later events with its key change it."""
        self._rows[key] = row, fields
        self._rows.move_to_end(key)
        if len(self._rows) > MAX_OPEN:
            self._rows.popitem(last=False)
        self._note(row, fields)

    def find(self, key: tuple[str, ...]) -> dict[str, Value] | None:
        """Return the last row of a key, to be changed; None if there is none."""
        if key not in self._rows:
            return None
        self._rows.move_to_end(key)
        row, fields = self._rows[key]
        self._note(row, fields)
        return fields

    def give(self, rows: Gatherer) -> None:
        """Add the rows that were opened or changed since the last call to a gatherer."""
        for row, fields in self._changed:
            rows.add(self._kind, row, fields)
        self._changed, self._given = [], set()

    def _note(self, row: int, fields: dict[str, Value]) -> None:
        if id(fields) not in self._given:
            self._given.add(id(fields))
            self._changed.append((row, fields))
