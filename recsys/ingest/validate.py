"""Rows as read into typed rows, and the rest into rejects with a reason.

Whole columns at a time: a Python loop runs only over values that look odd.
"""

from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime

import polars as pl

from recsys.errors import InputRefusedError
from recsys.ingest.batches import Batch, clip
from recsys.ingest.text import normalise_body, normalise_line, normalise_url
from recsys.rows import (
    FIELDS,
    LIST_FIELDS,
    REQUIRED,
    ROW,
    TIME_IS_BOUND,
    Kind,
    Reject,
    is_text,
    to_ms,
)

MAX_ID_LENGTH = 512
CLOCK_SKEW_MS = 5 * 60_000  # clocks of web servers differ; more than this is the future
EARLIEST_MS = -2_208_988_800_000  # 1900-01-01: older is a wrong unit or a wrong column
_PROBLEM, _FIELD = "_problem", "_field"
_NO_VALUES = (pl.Duration, pl.Time, pl.Object)  # types of columns that hold no field of ours


@dataclass(frozen=True, slots=True)
class Checked:
    """Typed rows (times in integer ms), and the rejects of the same batch."""

    kind: Kind
    rows: pl.DataFrame
    rejects: list[Reject]


def check(batch: Batch, *, received_ms: int, path: str) -> Checked:
    """Return the usable rows of a batch, typed, and a reject for every other row.

    Parameters
    ----------
    batch
        As a reader yields it.
    received_ms
        The present: a click after it (and five minutes for unequal clocks) is
        impossible. An article may be dated ahead: that is an embargo.
    path
        Named in errors.

    Raises
    ------
    InputRefusedError
        If a required column is missing from the whole file.
    """
    frame, kind = batch.frame, batch.kind
    missing = [name for name in REQUIRED[kind] if name not in frame.columns]
    if missing:
        found = ", ".join(name for name in frame.columns if name != ROW) or "none"
        raise InputRefusedError(
            path, f"no column {missing[0]!r}, needed for {kind} (columns found: {found})"
        )
    if kind == "articles" and not {"title", "body"} & set(frame.columns):
        raise InputRefusedError(path, "articles need a column 'title' or 'body'")
    typed = _typed(frame, kind, received_ms)
    bad = typed.filter(pl.col(_PROBLEM).is_not_null())
    rejects = list(batch.rejects)
    if len(bad):
        raws = frame.filter(typed[_PROBLEM].is_not_null()).drop(ROW)
        # Python knows no years before 1 or after 9999: these are shown as the numbers they are.
        raws = raws.with_columns(
            pl.col(name).to_physical()
            for name, dtype in raws.schema.items()
            if isinstance(dtype, pl.Datetime) and _out_of_range(raws[name].dt.epoch("ms")).any()
        )
        rejects += [
            Reject(row, field, problem, clip(_as_text(raw)))
            for row, field, problem, raw in zip(
                bad[ROW], bad[_FIELD], bad[_PROBLEM], raws.iter_rows(named=True), strict=True
            )
        ]
    good = typed.filter(pl.col(_PROBLEM).is_null()).drop(_PROBLEM, _FIELD)
    return Checked(kind, good, rejects)


def _as_text(row: dict[str, object]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in row.items() if value is not None)


def _typed(frame: pl.DataFrame, kind: Kind, received_ms: int) -> pl.DataFrame:
    """Return all fields of a kind, typed, with the first problem of each row."""
    columns: dict[str, pl.Series] = {ROW: frame[ROW]}
    problems: list[pl.DataFrame] = []

    def note(field: str, mask: pl.Series, text: str) -> None:
        problems.append(
            pl.DataFrame({"m": mask, "f": [field] * len(mask), "t": [text] * len(mask)})
            if mask.any()
            else pl.DataFrame()
        )

    for name in FIELDS[kind]:
        series = (
            frame[name]
            if name in frame.columns
            else pl.Series(name, [None] * len(frame), dtype=pl.String)
        )
        series, wrong = _readable(series)
        note(name, wrong, f"column type {frame.schema.get(name)} cannot be read")
        if name == "propensities":
            columns[name], wrong = _propensities(series, columns["shown"])
            note(name, wrong, "not a chance above 0 and up to 1 for each article shown")
            continue
        if name == "tags" and series.dtype == pl.List(pl.String):
            series = series.list.join(", ", ignore_nulls=True)
        if name in LIST_FIELDS:
            columns[name] = _lists(series)
            if name in REQUIRED[kind]:
                empty = columns[name].list.len().fill_null(0) == 0
                note(name, empty, "missing, or not a list of ids")
            continue
        if series.dtype.is_nested():
            note(name, series.is_not_null(), f"column type {series.dtype} cannot be read")
            series = pl.Series(name, [None] * len(frame), dtype=pl.String)
        if name.endswith("_at"):
            value, unreadable = _times(series)
            note(name, unreadable, "not a time (use ISO 8601 with an offset)")
            future = (value > received_ms + CLOCK_SKEW_MS).fill_null(False)
            if name in ("clicked_at", "shown_at"):
                note(name, future, "in the future")
            columns[name] = value
        elif name == "dwell_seconds":
            value = series.cast(pl.Float64, strict=False)
            wrong = (series.is_not_null() & (series.cast(pl.String) != "") & value.is_null()) | (
                (value < 0) | ~value.is_finite()
            ).fill_null(False)
            note(name, wrong, "not a number of seconds from 0 up")
            columns[name] = value
        elif name.endswith("_id"):
            value = _strings(series)
            columns[name] = value
            note(name, (value.str.len_chars() > MAX_ID_LENGTH).fill_null(False), "id too long")
        else:
            columns[name] = _texts(name, series)
        if name in REQUIRED[kind]:
            note(name, columns[name].is_null() & frame_not_noted(problems, len(frame)), "missing")
    if kind == "articles":
        no_text = (columns["title"] == "") & (columns["body"] == "")
        note("title", no_text, "neither title nor body has text")
    if TIME_IS_BOUND in frame.columns:
        columns[TIME_IS_BOUND] = frame[TIME_IS_BOUND]
    return pl.DataFrame(columns).with_columns(_first_problem(problems, len(frame)))


def _readable(series: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Return a column of a type we know how to read, and which of its values are none.

    Bytes and names of categories become text; a span of time, say, is no value of any field.
    """
    inner = series.dtype.inner if isinstance(series.dtype, pl.List) else None
    if series.dtype in (pl.Categorical, pl.Enum):
        series = series.cast(pl.String)
    elif series.dtype == pl.Binary:
        text = [None if v is None else v.decode("utf-8", "surrogateescape") for v in series]
        broken = pl.Series([v is not None and not is_text(v) for v in text], dtype=pl.Boolean)
        values = [None if bad else v for v, bad in zip(text, broken, strict=True)]
        return pl.Series(series.name, values, dtype=pl.String), broken
    elif series.dtype in _NO_VALUES or inner in (*_NO_VALUES, pl.Binary):
        return pl.Series(series.name, [None] * len(series), dtype=pl.String), series.is_not_null()
    return series, series.is_null() & False


def frame_not_noted(problems: list[pl.DataFrame], n_rows: int) -> pl.Series:
    """Return True for rows without a problem so far: one reason a row is enough."""
    noted = pl.Series([False] * n_rows, dtype=pl.Boolean)
    for problem in problems:
        if len(problem):
            noted = noted | problem["m"]
    return ~noted


def _first_problem(problems: list[pl.DataFrame], n_rows: int) -> list[pl.Series]:
    found = [problem for problem in problems if len(problem)]
    empty = pl.Series([None] * n_rows, dtype=pl.String)
    if not found:
        return [empty.alias(_FIELD), empty.alias(_PROBLEM)]
    fields = [pl.when(p["m"]).then(p["f"]) for p in found]
    texts = [pl.when(p["m"]).then(p["t"]) for p in found]
    both = pl.select(pl.coalesce(fields).alias(_FIELD), pl.coalesce(texts).alias(_PROBLEM))
    return [both[_FIELD], both[_PROBLEM]]


def _strings(series: pl.Series) -> pl.Series:
    text = series.cast(pl.String, strict=False).str.strip_chars()
    return text.set(text == "", None) if (text == "").any() else text


def _texts(name: str, series: pl.Series) -> pl.Series:
    """Return normalised text, "" for a missing one; distinct values only are worked on."""
    normalise = {"body": normalise_body, "url": normalise_url}.get(name, normalise_line)
    text = series.cast(pl.String, strict=False).fill_null("")
    distinct = text.unique()
    if len(distinct) == 1 and distinct[0] == "":
        return text
    return text.replace_strict(distinct, [normalise(value) for value in distinct])


def _lists(series: pl.Series) -> pl.Series:
    """Return lists of ids from lists, or from text that separates ids by white space."""
    if series.dtype == pl.String:
        return series.str.extract_all(r"\S+")
    if isinstance(series.dtype, pl.List):
        inner = series.dtype.inner
        if inner is not None and not inner.is_nested():
            return series.cast(pl.List(pl.String)).list.drop_nulls()
    return pl.Series(series.name, [None] * len(series), dtype=pl.List(pl.String))


def _propensities(series: pl.Series, shown: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Return lists of chances parallel to `shown`, and which given ones are none."""
    value = _lists(series).list.eval(pl.element().cast(pl.Float64, strict=False))
    fits = (value.list.len() == shown.list.len()) & value.list.eval(
        pl.element().is_between(0.0, 1.0, closed="right").fill_null(False)
    ).list.all()
    given = series.is_not_null()
    if isinstance(series.dtype, pl.List):
        given &= series.list.len().fill_null(0) > 0
    elif series.dtype == pl.String:
        given &= (series.str.strip_chars() != "").fill_null(False)
    return value.set(~given, None), given & ~fits.fill_null(False)


def _times(series: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Return instants in ms, and which given values could not be read as one."""
    if isinstance(series.dtype, pl.Datetime):
        if series.dtype.time_zone not in (None, "UTC"):
            series = series.dt.convert_time_zone("UTC")
        value = series.dt.epoch("ms")
        return value, _out_of_range(value)
    if series.dtype == pl.Date:
        return series.cast(pl.Datetime("ms")).dt.epoch("ms"), series.is_null() & False
    text = _strings(series)
    # exact=True and a literal T/Z: the fast path takes one form, never guesses.
    plain = text.str.replace(r"\+00:?00$", "Z")
    value = plain.str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", strict=False, time_unit="ms").dt.epoch(
        "ms"
    )
    rest = text.is_not_null() & value.is_null()
    if rest.any():
        odd = text.filter(rest).unique()
        value = value.fill_null(
            text.replace_strict(
                odd, [_read_time(v) for v in odd], default=None, return_dtype=pl.Int64
            )
        )
    value = value.set(_out_of_range(value), None) if _out_of_range(value).any() else value
    return value, text.is_not_null() & value.is_null()


def _out_of_range(value: pl.Series) -> pl.Series:
    return ((value < EARLIEST_MS) | (value > -4 * EARLIEST_MS)).fill_null(False)


def _read_time(text: str) -> int | None:
    """Return ms of ISO 8601, of epoch seconds or milliseconds, or of an RFC 2822 date."""
    try:
        number = float(text)
        if number != number or abs(number) > 1e15:
            return None
        # Seconds stay below 1e11 until the year 5138; milliseconds pass it in 1973.
        return round(number * 1000) if abs(number) < 1e11 else round(number)
    except ValueError:
        pass
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            return to_ms(read(text))
        except (ValueError, TypeError, OverflowError, IndexError):
            continue
    return None
