"""Check the rows of a batch: usable rows become typed rows, every other row becomes a reject.

Checks work on whole columns; a Python loop runs only over values of an unusual form.
"""

from dataclasses import dataclass

import polars as pl

from recsys.errors import InputRefusedError
from recsys.ingest.batches import Batch, clip
from recsys.ingest.columns import (
    id_lists,
    is_out_of_range,
    normalised_text,
    nulls,
    read_flags,
    read_times,
    readable,
    stripped_text,
)
from recsys.rows import (
    ANONYMOUS,
    FIELDS,
    LIST_FIELDS,
    REQUIRED,
    ROW,
    TIME_IS_BOUND,
    UNKNOWN_TIME,
    Kind,
    Reject,
)

MAX_ID_LENGTH = 512
WITHDRAWN = ("withdrawn", "unpublished", "draft", "private", "archived", "deleted", "trash")
PUBLISHED = ("published", "publish", "public", "live")
# What a typed column holds for a field that its row clears; see `recsys.store.articles.CLEARED`.
CLEARED_VALUES: dict[str, object] = {
    "published_at": UNKNOWN_TIME,
    "expires_at": UNKNOWN_TIME,
    "modified_at": UNKNOWN_TIME,
    "premium": -1,
    "importance": float("nan"),
    "vector": [],
}
CLOCK_SKEW_MS = 5 * 60_000  # clocks of web servers differ; a later time is in the future
_FIELD, _PROBLEM = "_field", "_problem"


@dataclass(frozen=True, slots=True)
class Checked:
    """The result of checking a batch.

    Attributes
    ----------
    kind
        Whether the rows are articles, clicks or impressions.
    rows
        The usable rows with all fields of their kind; times are integers in ms.
    rejects
        One for each row that cannot be used.
    """

    kind: Kind
    rows: pl.DataFrame
    rejects: list[Reject]


def check(batch: Batch, *, received_ms: int, path: str) -> Checked:
    """Convert the rows of a batch to typed rows, and reject those that cannot be used.

    Parameters
    ----------
    batch
        Rows as a format module yields them.
    received_ms
        Current time in ms. A click more than five minutes later (clocks differ) is rejected. An
        article may be dated later, because it may be under embargo.
    path
        The file, named in errors.

    Raises
    ------
    InputRefusedError
        If the file lacks a required column.
    """
    frame, kind = batch.frame, batch.kind
    missing = [name for name in REQUIRED[kind] if name not in frame.columns]
    if missing:
        found = ", ".join(name for name in frame.columns if name != ROW) or "none"
        raise InputRefusedError(
            path, f"no column {missing[0]!r}, needed for {kind} (columns found: {found})"
        )
    if kind == "articles" and not set(FIELDS[kind][1:]) & set(frame.columns):
        raise InputRefusedError(
            path, "articles need a column besides 'article_id', such as 'title'"
        )
    typed = _typed(batch, received_ms)
    is_bad = typed[_PROBLEM].is_not_null()
    rejects = [*batch.rejects, *_rejects(typed.filter(is_bad), frame.filter(is_bad))]
    return Checked(kind, typed.filter(~is_bad).drop(_PROBLEM, _FIELD), rejects)


def _rejects(bad: pl.DataFrame, raw: pl.DataFrame) -> list[Reject]:
    """Return a reject for each row.

    Parameters
    ----------
    bad
        Typed rows, each with a problem.
    raw
        The same rows as they were read.
    """
    if not len(bad):
        return []
    raw = raw.drop(ROW)
    # Python has no years before 1 or after 9999; a column with such times is shown as integers.
    raw = raw.with_columns(
        pl.col(name).to_physical()
        for name, dtype in raw.schema.items()
        if isinstance(dtype, pl.Datetime) and is_out_of_range(raw[name].dt.epoch("ms")).any()
    )
    return [
        Reject(row, field, problem, clip(_as_text(values)))
        for row, field, problem, values in zip(
            bad[ROW], bad[_FIELD], bad[_PROBLEM], raw.iter_rows(named=True), strict=True
        )
    ]


def _as_text(row: dict[str, object]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in row.items() if value is not None)


class _Problems:
    """The first problem noted for each row of a batch, and the field it was noted for."""

    def __init__(self, n_rows: int) -> None:
        self.field = pl.Series(_FIELD, [None] * n_rows, dtype=pl.String)
        self.problem = pl.Series(_PROBLEM, [None] * n_rows, dtype=pl.String)

    def note(self, field: str, is_wrong: pl.Series, problem: str) -> None:
        """Note a problem of a field for the rows that have no problem so far."""
        is_first = is_wrong & self.problem.is_null()
        if is_first.any():
            self.field = self.field.set(is_first, field)
            self.problem = self.problem.set(is_first, problem)


def _typed(batch: Batch, received_ms: int) -> pl.DataFrame:
    """Return typed columns for all fields of a kind, and the first problem of each row."""
    frame, kind = batch.frame, batch.kind
    columns: dict[str, pl.Series] = {ROW: frame[ROW]}
    problems = _Problems(len(frame))
    for name in FIELDS[kind]:
        column = frame[name] if name in frame.columns else nulls(name, len(frame))
        column, is_wrong = readable(column)
        problems.note(name, is_wrong, f"column type {frame.schema.get(name)} cannot be read")
        is_required = name in REQUIRED[kind]
        if name == "propensities":
            columns[name] = _typed_propensities(column, columns["shown"], problems)
        elif name == "vector":
            columns[name] = _typed_vectors(column, problems)
        elif name in LIST_FIELDS:
            columns[name] = id_lists(column)
            if is_required:
                is_empty = columns[name].list.len().fill_null(0) == 0
                problems.note(name, is_empty, "missing, or not a list of ids")
        else:
            columns[name] = _typed_value(column, received_ms, problems)
            if is_required:
                problems.note(name, columns[name].is_null(), "missing")
    if kind == "articles":
        _tell_absent_from_cleared(batch, columns)
        columns["withdrawn"] = _withdrawn(columns.pop("deleted"), columns.pop("status"))
        has_no_text = (columns["title"] == "") & (columns["body"].fill_null("") == "")
        has_no_text &= ~columns["withdrawn"].fill_null(False)
        problems.note("title", has_no_text, "neither title nor body has text")
    else:
        user_id, session_id = columns["user_id"], columns.pop("session_id")
        columns["user_id"] = user_id.zip_with(
            user_id.is_not_null(), ANONYMOUS + session_id.fill_null("")
        )
    if TIME_IS_BOUND in frame.columns:
        columns[TIME_IS_BOUND] = frame[TIME_IS_BOUND]
    return pl.DataFrame(columns).with_columns(problems.field, problems.problem)


def _tell_absent_from_cleared(batch: Batch, columns: dict[str, pl.Series]) -> None:
    """Make a field that its row does not give null, and one that it clears a value of its own.

    See `recsys.store.articles.CLEARED`.
    """
    for name, column in columns.items():
        if name in (ROW, "article_id", "deleted", "status"):
            continue
        read = batch.frame[name] if name in batch.frame.columns else None
        if column.dtype == pl.String:
            if read is None:
                columns[name] = nulls(name, len(column))
            elif batch.nulls_are_absent:
                columns[name] = column.set(read.is_null(), None)
            continue
        cleared = CLEARED_VALUES[name]
        if name == "premium":
            columns[name] = column = column.cast(pl.Int8)
        if read is not None:
            is_cleared = column.is_null()
            if batch.nulls_are_absent:
                is_cleared &= read.is_not_null()
            if is_cleared.any():
                columns[name] = column.set(is_cleared, cleared)


def _withdrawn(deleted: pl.Series, status: pl.Series) -> pl.Series:
    """Return whether each article is withdrawn; null where its row does not say."""
    is_status_known = status.is_in([*WITHDRAWN, *PUBLISHED])
    by_status = status.is_in(WITHDRAWN).set(~is_status_known.fill_null(False), None)
    either = (deleted.fill_null(False) | by_status.fill_null(False)).alias("withdrawn")
    return either.set(deleted.is_null() & by_status.is_null(), None)


def _typed_value(column: pl.Series, received_ms: int, problems: _Problems) -> pl.Series:
    """Return a column of single values, typed by the name of its field."""
    name = column.name
    if name == "tags" and column.dtype == pl.List(pl.String):
        column = column.list.join(", ", ignore_nulls=True)
    if column.dtype.is_nested():
        problems.note(name, column.is_not_null(), f"column type {column.dtype} cannot be read")
        column = nulls(name, len(column))
    if name.endswith("_at"):
        values, is_wrong = read_times(column)
        problems.note(name, is_wrong, "not a time (use ISO 8601 with an offset)")
        if name in ("clicked_at", "shown_at"):
            is_future = (values > received_ms + CLOCK_SKEW_MS).fill_null(False)
            problems.note(name, is_future, "in the future")
        return values
    if name == "importance":
        values = column.cast(pl.Float64, strict=False)
        return values.set(~values.is_finite().fill_null(True), None)
    if name == "status":
        return stripped_text(column).str.to_lowercase()
    if name == "dwell_seconds":
        values = column.cast(pl.Float64, strict=False)
        is_given = column.is_not_null() & (column.cast(pl.String) != "")
        is_wrong = (is_given & values.is_null()) | ((values < 0) | ~values.is_finite()).fill_null(
            False
        )
        problems.note(name, is_wrong, "not a number of seconds from 0 up")
        return values
    if name in ("premium", "deleted"):
        values, is_wrong = read_flags(column)
        problems.note(name, is_wrong, "neither true nor false")
        return values
    if name.endswith("_id"):
        values = stripped_text(column)
        is_long = (values.str.len_chars() > MAX_ID_LENGTH).fill_null(False)
        problems.note(name, is_long, "id too long")
        return values
    return normalised_text(name, column)


def _typed_vectors(column: pl.Series, problems: _Problems) -> pl.Series:
    """Return lists of finite numbers; null where none is given."""
    if not column.is_not_null().any():
        return pl.Series(column.name, [None] * len(column), dtype=pl.List(pl.Float64))
    values = id_lists(column).list.eval(pl.element().cast(pl.Float64, strict=False))
    is_given = column.is_not_null()
    if column.dtype == pl.String:
        is_given &= (column.str.strip_chars() != "").fill_null(False)
    is_valid = values.list.eval(pl.element().is_finite().fill_null(False)).list.all()
    problems.note(
        column.name, is_given & ~is_valid.fill_null(False), "not a list of finite numbers"
    )
    return values.set(~is_given, None)


def _typed_propensities(column: pl.Series, shown: pl.Series, problems: _Problems) -> pl.Series:
    """Return lists of probabilities, one for each article of `shown`; null where none are given."""
    values = id_lists(column).list.eval(pl.element().cast(pl.Float64, strict=False))
    is_valid = (values.list.len() == shown.list.len()) & values.list.eval(
        pl.element().is_between(0.0, 1.0, closed="right").fill_null(False)
    ).list.all()
    is_given = column.is_not_null()
    if isinstance(column.dtype, pl.List):
        is_given &= column.list.len().fill_null(0) > 0
    elif column.dtype == pl.String:
        is_given &= (column.str.strip_chars() != "").fill_null(False)
    is_wrong = is_given & ~is_valid.fill_null(False)
    problems.note(column.name, is_wrong, "not a chance above 0 and up to 1 for each article shown")
    return values.set(~is_given, None)
