"""Add rows of polars or pandas DataFrames to the store, checked as rows of files are."""

from typing import TYPE_CHECKING

import polars as pl

from recsys.errors import InputRefusedError
from recsys.ingest.batches import BATCH_ROWS, UNREADABLE, Batch
from recsys.ingest.load_files import LoadReport
from recsys.ingest.validate import check
from recsys.rows import FIELDS, ROW, Kind
from recsys.store.database import Store

if TYPE_CHECKING:
    import pandas as pd


def add_frame(
    store: Store, kind: Kind, frame: "pl.DataFrame | pd.DataFrame", *, received_ms: int
) -> LoadReport:
    """Add the rows of a DataFrame to the store; adding them twice changes nothing.

    Parameters
    ----------
    store
        The store to add to. Its user ids are not hashed.
    kind
        "articles", "clicks" or "impressions".
    frame
        Columns named as in `recsys.rows.FIELDS`; other columns are named in the report. Times may
        be datetimes, dates, ISO 8601 text, or seconds or milliseconds since 1970. As in a Parquet
        file, every row gives every column: a null clears the field of a stored article.
    received_ms
        Current time in ms, stored with new rows; clicks that are later are rejected.

    Returns
    -------
    LoadReport
        Rejected rows are named by their number in the frame, from 1 on.

    Raises
    ------
    InputRefusedError
        If the frame lacks a required column, or polars cannot read it.
    StoreError
        If the store cannot be written, or its user ids are hashed.
    """
    store.require_user_key(None)
    name, report = f"DataFrame of {kind}", LoadReport(n_files=1)
    rows = _polars(name, frame).drop(ROW, strict=False).with_row_index(ROW, offset=1)
    report.unknown_columns |= dict.fromkeys(
        column for column in rows.columns if column not in (ROW, *FIELDS[kind])
    )
    rows = rows.select(ROW, *(field for field in FIELDS[kind] if field in rows.columns))
    for part in rows.iter_slices(BATCH_ROWS) if len(rows) else ():
        batch = Batch(kind, part)
        try:
            checked = check(batch, received_ms=received_ms, path=name)
        except UNREADABLE as error:
            raise InputRefusedError(name, f"cannot be read: {error}") from error
        added = store.add(kind, checked.rows, checked.rejects, file=name, at_ms=received_ms)
        report.count_batch(name, checked, added)
    return report


def _polars(name: str, frame: "pl.DataFrame | pd.DataFrame") -> pl.DataFrame:
    """Return a frame as one of polars, with categories as text."""
    if not isinstance(frame, pl.DataFrame):
        try:
            frame = pl.from_pandas(frame)
        except (*UNREADABLE, TypeError, ValueError, OverflowError, ImportError) as error:
            raise InputRefusedError(name, f"cannot be read: {error}") from error
    is_category = [isinstance(dtype, pl.Categorical | pl.Enum) for dtype in frame.dtypes]
    names = [column for column, found in zip(frame.columns, is_category, strict=True) if found]
    return frame.with_columns(pl.col(names).cast(pl.String)) if names else frame
