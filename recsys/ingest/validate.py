"""Check the rows of a batch: usable rows become typed rows, every other row becomes a reject.

Checks work on whole columns; a Python loop runs only over values of an unusual form.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import tzinfo

import polars as pl

from recsys.errors import InputRefusedError
from recsys.ingest import columns as convert
from recsys.ingest import times
from recsys.ingest.batches import Batch, clip
from recsys.ingest.values import distinct
from recsys.rows import (
    ANONYMOUS,
    FIELDS,
    LARGEST_NUMBER,
    LIST_FIELDS,
    LONGEST_VECTOR,
    REQUIRED,
    ROW,
    TIME_IS_BOUND,
    UNKNOWN_TIME,
    Kind,
    Reject,
)

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
# A row whose value of one of these fields cannot be read is rejected, and so is one whose value of
# a field of `REQUIRED` cannot. Any other value is then unknown, and its row stays.
STRICT = ("title", "expires_at", "deleted", "user_id", "article_id")
NO_VECTOR = f"not a list of at most {LONGEST_VECTOR} numbers up to {LARGEST_NUMBER:g}"
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
    ignored
        Number of values that were left out of usable rows, by (field, problem).
    n_naive
        Number of times without an offset that were taken as UTC, because no zone was given.
    """

    kind: Kind
    rows: pl.DataFrame
    rejects: list[Reject]
    ignored: Counter[tuple[str, str]] = field(default_factory=Counter)
    n_naive: int = 0


def check(batch: Batch, *, received_ms: int, path: str, zone: tzinfo | None = None) -> Checked:
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
    zone
        The zone of times without an offset; by default UTC.

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
    problems = _Problems(len(frame), kind)
    typed = _typed(batch, received_ms, zone, problems)
    is_bad = typed[_PROBLEM].is_not_null()
    rejects = [*batch.rejects, *_rejects(typed.filter(is_bad), frame.filter(is_bad))]
    rows = typed.filter(~is_bad).drop(_PROBLEM, _FIELD)
    return Checked(kind, rows, rejects, problems.ignored(), problems.n_naive)


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
    try:
        rows = raw.rows(named=True)
    except (ValueError, OverflowError):
        # Python has no years before 1 or after 9999; such times are shown as integers.
        rows = raw.select(
            column.cast(convert.without_instants(column.dtype)) for column in raw
        ).rows(named=True)
    return [
        Reject(row, field, problem, clip(_as_text(values)))
        for row, field, problem, values in zip(
            bad[ROW], bad[_FIELD], bad[_PROBLEM], rows, strict=True
        )
    ]


def _as_text(row: dict[str, object]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in row.items() if value is not None)


class _Problems:
    """What is wrong with the rows of a batch.

    Attributes
    ----------
    field, problem
        For each row, the field for which it is rejected and why; null for a usable row.
    n_naive
        See `Checked`.
    """

    def __init__(self, n_rows: int, kind: Kind) -> None:
        self.field = convert.nulls(_FIELD, n_rows)
        self.problem = convert.nulls(_PROBLEM, n_rows)
        self.n_naive = 0
        self._strict = {*STRICT, *REQUIRED[kind]}
        self._ignored: list[tuple[str, str, pl.Series]] = []

    def note(self, name: str, is_wrong: pl.Series, problem: str) -> None:
        """Note a problem of a field: it rejects the row, or makes the value unknown."""
        if not is_wrong.any():
            return
        if name not in self._strict:
            self._ignored.append((name, problem, is_wrong))
        else:
            self.reject(name, is_wrong, problem)

    def note_each(self, name: str, problems: pl.Series) -> None:
        """Note a problem of a field for each row that has a text in `problems`."""
        for problem in problems.drop_nulls().unique(maintain_order=True):
            self.note(name, (problems == problem).fill_null(False), problem)

    def reject(self, name: str, is_wrong: pl.Series, problem: str) -> None:
        """Reject the rows that were not rejected so far."""
        is_first = is_wrong & self.problem.is_null()
        if is_first.any():
            self.field = self.field.set(is_first, name)
            self.problem = self.problem.set(is_first, problem)

    def unknown(self, name: str) -> pl.Series | None:
        """Mark the rows whose value of a field is unknown; None if there are none."""
        masks = [mask for of, _, mask in self._ignored if of == name]
        return None if not masks else pl.DataFrame(masks).select(pl.any_horizontal("*")).to_series()

    def ignored(self) -> Counter[tuple[str, str]]:
        """Count the unknown values of rows that are not rejected."""
        is_usable = self.problem.is_null()
        counts: Counter[tuple[str, str]] = Counter()
        for name, problem, mask in self._ignored:
            counts[name, problem] += int((mask & is_usable).sum())
        return +counts


def _typed(
    batch: Batch, received_ms: int, zone: tzinfo | None, problems: _Problems
) -> pl.DataFrame:
    """Return typed columns for all fields of a kind, and the first problem of each row."""
    frame, kind = batch.frame, batch.kind
    columns: dict[str, pl.Series] = {ROW: frame[ROW]}
    for name in FIELDS[kind]:
        column = frame[name] if name in frame.columns else convert.nulls(name, len(frame))
        column, is_wrong = convert.readable(column)
        problems.note(name, is_wrong, f"column type {frame.schema.get(name)} cannot be read")
        if name == "propensities":
            columns[name] = _typed_propensities(column, columns["shown"], problems)
        elif name == "vector":
            columns[name], is_wrong = convert.number_lists(column, longest=LONGEST_VECTOR)
            problems.note(name, is_wrong, NO_VECTOR)
        elif name in LIST_FIELDS:
            columns[name], each = convert.id_lists(column)
            problems.note_each(name, each)
            if name in REQUIRED[kind]:
                is_empty = columns[name].list.len().fill_null(0) == 0
                problems.reject(name, is_empty, "missing, or not a list of ids")
        elif name in ("category", "tags"):
            columns[name], is_wrong = convert.name_lists(name, column)
            problems.note(name, is_wrong, "neither a text nor a list of names")
        else:
            columns[name] = _typed_value(column, received_ms, zone, problems)
            if name in REQUIRED[kind]:
                problems.reject(name, columns[name].is_null(), "missing")
    if kind == "articles":
        has_more_sections = _first_section(columns)
        _tell_absent_from_cleared(batch, columns, has_more_sections)
        columns["withdrawn"] = _withdrawn(columns.pop("deleted"), columns.pop("status"))
        has_no_text = (columns["title"] == "") & (columns["body"].fill_null("") == "")
        has_no_text &= ~columns["withdrawn"].fill_null(False)
        problems.reject("title", has_no_text, "neither title nor body has text")
        for name, column in columns.items():
            if (is_unknown := problems.unknown(name)) is not None:
                columns[name] = column.set(is_unknown, None)
    else:
        if kind == "impressions":
            not_shown = columns["clicked"].list.set_difference(columns["shown"]).list.len() > 0
            problems.note("clicked", not_shown.fill_null(False), "not one of the articles shown")
        user_id, session_id = columns["user_id"], columns.pop("session_id")
        columns["user_id"] = user_id.zip_with(
            user_id.is_not_null(), ANONYMOUS + session_id.fill_null("")
        )
    if TIME_IS_BOUND in frame.columns:
        columns[TIME_IS_BOUND] = frame[TIME_IS_BOUND]
    return pl.DataFrame(columns).with_columns(problems.field, problems.problem)


def _first_section(columns: dict[str, pl.Series]) -> pl.Series:
    """Make the first of several sections the section, the others tags, and tags one text.

    Returns
    -------
    Series of bool
        Whether a row has sections besides its first one.
    """
    sections, tags = columns["category"], columns["tags"]
    has_more = sections.list.len() > 1
    if has_more.any():
        more = sections.zip_with(has_more, sections.list.head(0)).list.slice(1)
        both = tags.list.concat(more)
        tags = pl.Series("tags", [distinct(names) for names in both], dtype=pl.List(pl.String))
    columns["category"] = sections.list.first().fill_null("")
    columns["tags"] = tags.list.join("\n")
    return has_more


def _tell_absent_from_cleared(
    batch: Batch, columns: dict[str, pl.Series], has_more_sections: pl.Series
) -> None:
    """Make a field that its row does not give null, and one that it clears a value of its own.

    Sections besides the first give a row its tags. See `recsys.store.articles.CLEARED`.
    """
    for name, column in columns.items():
        if name in (ROW, "article_id", "deleted", "status"):
            continue
        read = batch.frame[name] if name in batch.frame.columns else None
        if column.dtype == pl.String:
            is_absent = column.is_null() | (read is None)
            if read is not None and batch.nulls_are_absent:
                is_absent = read.is_null()
            if name == "tags":
                is_absent &= ~has_more_sections
            columns[name] = column.set(is_absent, None)
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


def _typed_value(
    column: pl.Series, received_ms: int, zone: tzinfo | None, problems: _Problems
) -> pl.Series:
    """Return a column of single values, typed by the name of its field."""
    name = column.name
    if name.endswith("_at"):
        read = times.read_times(column, zone=zone)
        problems.note(name, read.is_wrong, times.EXPECTED)
        problems.n_naive += read.n_naive
        if name not in ("clicked_at", "shown_at"):
            return read.values
        is_future = (read.values > received_ms + CLOCK_SKEW_MS).fill_null(False)
        problems.note(name, is_future, "in the future")
        return read.values.set(is_future, None)
    if name == "status":
        status, is_wrong = convert.texts(name, column)
        status = status.str.to_lowercase()
        is_wrong |= (status != "") & ~status.is_in([*WITHDRAWN, *PUBLISHED])
        problems.note(name, is_wrong, "not a known status")
        return status
    if name in ("dwell_seconds", "importance"):
        values, is_wrong = convert.numbers(column)
        is_negative = (values < 0).fill_null(False) & (name == "dwell_seconds")
        expected = "a number of seconds from 0 up" if name == "dwell_seconds" else "a number"
        problems.note(name, is_wrong | is_negative, f"not {expected}")
        return values.set(is_negative, None)
    if name in ("premium", "deleted"):
        values, is_wrong = convert.flags(column)
        problems.note(name, is_wrong, "neither true nor false")
        return values
    if name.endswith("_id"):
        values, each = convert.ids(column)
        problems.note_each(name, each)
        return values
    values, is_wrong = convert.texts(name, column)
    expected = "an http or https address" if name in ("url", "image_url") else "a text"
    problems.note(name, is_wrong, f"not {expected}")
    return values


def _typed_propensities(column: pl.Series, shown: pl.Series, problems: _Problems) -> pl.Series:
    """Return lists of probabilities, one for each article of `shown`; null where none are given."""
    values, is_wrong = convert.number_lists(column)
    is_chance = values.list.eval(pl.element().is_between(0.0, 1.0, closed="right")).list.all()
    is_valid = is_chance & (values.list.len() == shown.list.len())
    is_wrong |= ~is_valid.fill_null(True)
    problems.note(column.name, is_wrong, "not a chance above 0 and up to 1 for each article shown")
    return values.set(is_wrong, None)
