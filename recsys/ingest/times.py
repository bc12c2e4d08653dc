"""Read columns of times as instants in ms: understood to the last character, or refused.

Understood are ISO 8601 (also with a blank for the `T`, in week and ordinal dates, without
hyphens), RFC 2822 and its relatives (asctime, JavaScript's `Date.toString`, `March 1, 2026 10:15
PM`), month names in English, German, French, Spanish and Danish, day counts of Excel, and seconds,
milliseconds, microseconds and nanoseconds since 1970. A text is refused if any part of it was not
used, if it does not give a whole date, if day and month could be exchanged (`03/04/2026`), or if
its zone name means several zones (`IST`).

A time that means "no time" is null, and it is not wrong: a zero date of a database (years 0
and 1, 1601-01-01, 1753-01-01, 1899-12-30, 1899-12-31, 1900-01-01), and a time after 2249, which
means "never".

A local time that occurs twice, because clocks went back, is the first of both. One that clocks
skipped is read with the offset before the change, so 02:30 becomes 03:30.
"""

import re
import unicodedata
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from decimal import Decimal
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

import polars as pl

EARLIEST_MS = -2_208_988_800_000  # 1900-01-01
LATEST_MS = 8_835_955_199_999  # the last ms of 2249
EXPECTED = "not a time; write ISO 8601 with an offset, such as 2026-03-02T04:15:00+01:00"
MAX_LENGTH = 100
_DAY_MS = 86_400_000
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_ZERO_DATES = [
    date(1601, 1, 1),
    date(1753, 1, 1),
    date(1899, 12, 30),
    date(1899, 12, 31),
    date(1900, 1, 1),
]
_ZERO_DAYS = [day.toordinal() - _EPOCH_DAY for day in _ZERO_DATES]
_YEAR_2_MS = -62_104_060_800_000
_NO_TIME = {"", "null", "none", "nan", "nat", "infinity", "-infinity"}  # as databases write them


@dataclass(frozen=True, slots=True)
class Times:
    """The instants of a column.

    Attributes
    ----------
    values : Series of int64
        Instants in ms since 1970; null where none is given, known, or readable.
    is_wrong : Series of bool
        True for a value that is given and cannot be read.
    n_naive
        Number of instants without an offset, taken as UTC because no zone was given.
    """

    values: pl.Series
    is_wrong: pl.Series
    n_naive: int = 0


def read_times(column: pl.Series, *, zone: tzinfo | None = None) -> Times:
    """Convert datetimes, dates, texts or numbers to instants in ms.

    Parameters
    ----------
    column
        A column of any type that is not nested; see the module's docstring.
    zone
        The zone of times that give no offset, and of dates; by default UTC.
    """
    if column.dtype == pl.Date:
        column = column.cast(pl.Datetime("ms"))
    if isinstance(column.dtype, pl.Datetime):
        is_naive = column.is_not_null() & (column.dtype.time_zone is None)
        local_ms = column.dt.epoch("ms")
        return _instants(local_ms, column.is_null() & False, is_naive, zone)
    text = column.cast(pl.String, strict=False)
    # Most logs have this form. Values of any other form are read below.
    local_ms = _polars_times(text, "%Y-%m-%dT%H:%M:%S%.fZ")
    is_other = text.is_not_null() & local_ms.is_null()
    if not is_other.any():
        return _instants(local_ms, is_other, is_other, zone)
    other_texts = text.filter(is_other).unique()
    other_ms, is_naive = _common_forms(other_texts)
    is_wrong = other_texts.is_null()
    is_rare = other_ms.is_null()
    if is_rare.any():
        parsed = [_parsed_or_wrong(value) for value in other_texts.filter(is_rare)]
        at = is_rare.arg_true()
        other_ms = other_ms.scatter(at, [ms for ms, _, _ in parsed])
        is_naive = is_naive.scatter(at, [naive for _, naive, _ in parsed])
        is_wrong = is_wrong.scatter(at, [wrong for _, _, wrong in parsed])
    others = {"text": other_texts, "ms": other_ms, "naive": is_naive, "wrong": is_wrong}
    found = pl.DataFrame({"text": text}).join(
        pl.DataFrame(others), on="text", how="left", maintain_order="left"
    )
    return _instants(
        local_ms.fill_null(found["ms"]),
        found["wrong"].fill_null(False),
        found["naive"].fill_null(False),
        zone,
    )


def _polars_times(text: pl.Series, form: str) -> pl.Series:
    return text.str.to_datetime(form, strict=False, time_unit="ms").dt.epoch("ms")


def _common_forms(text: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Read ISO 8601 with seconds, and most numbers; return the instants, and which are local."""
    parts = text.str.extract_groups(
        r"^\s*([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}:[0-5][0-9])(?:[.,]([0-9]+))?"
        r" ?(Z|z|UTC|[+-][0-9]{2}:?[0-9]{2})?\s*$"
    ).struct.unnest()
    day, clock, fraction, offset = (parts.to_series(i) for i in range(4))
    local_ms = _polars_times(day + "T" + clock, "%Y-%m-%dT%H:%M:%S")
    local_ms += (fraction.fill_null("") + "000").str.slice(0, 3).cast(pl.Int64)
    distinct = offset.drop_nulls().unique()
    offset_ms = offset.replace_strict(
        distinct,
        [_offset_ms(value) for value in distinct],
        default=None,
        return_dtype=pl.Int64,
    )
    is_naive = offset.is_null() & local_ms.is_not_null()
    iso_ms = (local_ms - offset_ms).fill_null(local_ms.set(~is_naive, None))
    return iso_ms.fill_null(_common_numbers(text)), is_naive


def _common_numbers(text: pl.Series) -> pl.Series:
    """Read the numbers since 1970 whose unit is certain by how many digits they have."""
    found = text.str.extract_groups(
        r"^\s*([0-9]{9,10}|[0-9]{13}|[0-9]{16}|[0-9]{19})(?:\.([0-9]*))?\s*$"
    ).struct.unnest()
    digits, fraction = found.to_series(0), found.to_series(1)
    number = digits.cast(pl.Int64, strict=False)  # null beyond 2**63
    n_digits = digits.str.len_bytes()
    ms_of_second = (fraction.fill_null("") + "000").str.slice(0, 3).cast(pl.Int64)
    by_unit = [
        (n_digits < 13, number * 1000 + ms_of_second),
        (n_digits == 13, number),
        (n_digits == 16, number // 10**3),
        (n_digits == 19, number // 10**6),
    ]
    return pl.select(pl.coalesce(ms.set(~is_unit, None) for is_unit, ms in by_unit)).to_series()


def _offset_ms(offset: str) -> int | None:
    """Return the ms of `Z`, `UTC` or `+01:00`; None for an offset of a day or more."""
    if offset in ("Z", "z", "UTC"):
        return 0
    hours, minutes = int(offset[1:3]), int(offset[-2:])
    if hours > 23 or minutes > 59:
        return None
    return (hours * 60 + minutes) * (-60_000 if offset[0] == "-" else 60_000)


def _instants(
    local_ms: pl.Series, is_wrong: pl.Series, is_naive: pl.Series, zone: tzinfo | None
) -> Times:
    """Apply the zone to local times, and separate instants, missing times and wrong ones.

    Parameters
    ----------
    local_ms
        Instants in ms; where `is_naive`, the time on a clock as if it were UTC.
    is_wrong, is_naive
        Flags of the same length.
    zone
        The zone of the local times; None for UTC.
    """
    values = local_ms
    is_early = (local_ms < EARLIEST_MS + _DAY_MS).fill_null(False)
    is_late = (local_ms > LATEST_MS).fill_null(False)
    if (is_early | is_late).any():
        is_zero = (local_ms < _YEAR_2_MS) | (local_ms // _DAY_MS).is_in(_ZERO_DAYS)
        is_wrong = is_wrong | (is_early & ~is_zero.fill_null(False))
        values = local_ms.set(is_early | is_late, None)
    is_naive &= values.is_not_null()
    if zone is None:
        return Times(values, is_wrong, int(is_naive.sum()))
    if is_naive.any():
        minute = (values // 60_000).set(~is_naive, None)
        distinct = minute.drop_nulls().unique()
        offsets = [_offset_at(value * 60_000, zone) for value in distinct]
        offset_ms = minute.replace_strict(
            distinct, offsets, default=None, return_dtype=pl.Int64
        ).fill_null(0)
        values = values - offset_ms
    return Times(values, is_wrong)


def _offset_at(local_ms: int, zone: tzinfo) -> int:
    """Return the offset in ms of a zone at a time on its clocks."""
    local = datetime(1970, 1, 1) + timedelta(milliseconds=local_ms)
    offset = local.replace(tzinfo=zone).utcoffset() or timedelta()
    return offset // timedelta(milliseconds=1)


def _parsed_or_wrong(text: str) -> tuple[int | None, bool, bool]:
    """Return what `parse_time` returns, and whether the text is not a time."""
    try:
        return (*parse_time(text), False)
    except (ValueError, OverflowError):  # a date before year 1 or after 9999
        return None, False, True


def parse_time(text: str) -> tuple[int | None, bool]:
    """Read a text as a time.

    Parameters
    ----------
    text
        Any text.

    Returns
    -------
    ms
        The instant in ms; None for a text that says that there is no time.
    is_naive
        True if the text gives no offset; `ms` is then the time on a clock, as if it were UTC.

    Raises
    ------
    ValueError
        If the text is not understood to the last character, or does not give a whole date.

    Examples
    --------
    >>> parse_time("Sun, 01 Mar 2026 11:00:00 CET") == parse_time("2026-03-01T10:00:00Z")
    True
    >>> parse_time("1 March 2026")
    (1772323200000, True)
    """
    text = _simplified(text)
    if text in _NO_TIME:
        return None, False
    if _NUMBER.fullmatch(text):
        return _parse_number(text)
    if compact := _COMPACT.fullmatch(text):
        day, time_ms, rest = compact["date"], _time_of_day(compact), compact["zone"] or ""
    elif clock := _CLOCK.search(text):
        day, time_ms, rest = text[: clock.start()], _time_of_day(clock), text[clock.end() :]
        day = re.sub(r"(?<=\d)t$", "", day)
    else:
        day, time_ms, rest = text, 0, ""
    zones, rest = _take_zones(rest)
    day = f"{day.strip(' ,')} {rest.strip(' ,')}".strip()
    if not zones and (named := _NAME_AT_END.search(day)):
        zones = _zones_of(named["name"])
        day = day[: named.start()] if zones else day
    days = _parse_date(day)
    if days is None:
        return None, False
    local_ms = days * _DAY_MS + time_ms
    offsets = {zone if isinstance(zone, int) else _offset_at(local_ms, zone) for zone in zones}
    if len(offsets) > 1:
        raise ValueError("the offset is not that of the region")
    return local_ms - (offsets.pop() if offsets else 0), not zones


def _simplified(text: str) -> str:
    """Return a text in small letters without accents, with single blanks and plain digits."""
    if len(text) > MAX_LENGTH:
        raise ValueError("too long for a time")
    text = unicodedata.normalize("NFKD", text.casefold().replace("\u2212", "-"))
    return " ".join("".join(c for c in text if not unicodedata.combining(c)).split())


# Minutes east of UTC. Not here: names of several zones, such as IST (India, Israel, Ireland).
_ZONES: dict[str, int] = {
    **dict.fromkeys(("z", "utc", "ut", "gmt", "wet"), 0),
    **dict.fromkeys(("cet", "mez", "met", "west", "bst", "wat"), 60),
    **dict.fromkeys(("cest", "mesz", "mest", "eet", "sast", "cat"), 120),
    **dict.fromkeys(("eest", "msk", "eat"), 180),
    **{"pkt": 300, "wib": 420, "ict": 420, "sgt": 480, "hkt": 480, "awst": 480},
    **{"jst": 540, "kst": 540, "acst": 570, "aest": 600, "acdt": 630, "aedt": 660},
    **{"nzst": 720, "nzdt": 780, "adt": -180, "edt": -240, "est": -300, "cdt": -300},
    **{"cst": -360, "mdt": -360, "mst": -420, "pdt": -420, "pst": -480, "akdt": -480},
    **{"akst": -540, "hst": -600},
}
_OFFSET = r"(?:(?:utc|gmt|ut) ?)?(?P<sign>[+-])(?P<hours>\d{1,2})(?::?(?P<minutes>\d\d))?"
_NAME = r"(?P<name>[a-z]{1,4}|[a-z_]+(?:/[a-z0-9_+-]+)+)"
# A note in round brackets is a comment, as in RFC 2822; Java gives the region in square ones.
_NOTE = r"(?: \([^()]*\)|\[(?P<region>[a-z0-9_+/-]+)\])?"
_ZONE = re.compile(rf" ?(?:{_OFFSET}|{_NAME}){_NOTE}(?=[ ,]|$)|\[(?P<only>[a-z0-9_+/-]+)\]$", re.A)
_NAME_AT_END = re.compile(rf" {_NAME}$", re.A)


def _take_zones(text: str) -> tuple[list[int | ZoneInfo], str]:
    """Split the text after a time of day into its zones and the rest.

    A zone is an offset in ms or a region. There is none if the text begins with no known zone, and
    two if it gives both an offset and a region.
    """
    found = _ZONE.match(text)
    if found is None:
        return [], text
    if not found["sign"]:
        zones = _zones_of(found["name"] or found["only"])
        if not zones:
            return [], text
    else:
        hours, minutes = int(found["hours"]), int(found["minutes"] or 0)
        if hours > 23 or minutes > 59:
            raise ValueError(f"no offset has {hours} hours and {minutes} minutes")
        zones = [(hours * 60 + minutes) * (-60_000 if found["sign"] == "-" else 60_000)]
    if region := found["region"]:
        if region not in _ZONES and region not in _regions():
            raise ValueError(f"no zone {region!r}")
        zones += _zones_of(region)
    return zones, text[found.end() :]


def _zones_of(name: str) -> list[int | ZoneInfo]:
    """Return the zone of an abbreviation, or of a region such as Europe/Paris, if it is known."""
    if name in _ZONES:
        return [_ZONES[name] * 60_000]
    key = _regions().get(name)
    return [] if key is None else [ZoneInfo(key)]


@lru_cache(maxsize=1)
def _regions() -> dict[str, str]:
    """Return the regions that this computer's zone database knows, by name in small letters."""
    return {key.casefold(): key for key in available_timezones() if "/" in key}


_TIME_MS = r"(?::(?P<second>\d\d)(?:[.,](?P<fraction>\d+))?)?"
_CLOCK = re.compile(
    rf"(?<![\d:+.,-])(?P<hour>\d{{1,2}}):(?P<minute>\d\d){_TIME_MS}"
    r"(?: ?(?P<half>[ap])\.?m(?:\.|(?![a-z])))?(?![\d:])",
    re.A,
)
_COMPACT = re.compile(
    r"(?P<date>\d{8}|\d{4}-\d\d-\d\d|\d{4}-?w\d\d-?\d|\d{4}-\d{3})"
    r"(?:t(?P<hour>\d\d)(?:(?P<minute>\d\d)(?:(?P<second>\d\d)(?:[.,](?P<fraction>\d+))?)?)?)?"
    r"(?P<zone>z|[+-]\d\d(?::?\d\d)?)?",
    re.A,
)


def _time_of_day(clock: re.Match[str]) -> int:
    """Return the ms since midnight; 24:00 is the midnight at the end of the day."""
    parts = {name: text or "" for name, text in clock.groupdict().items()}
    hour, minute, second = (int(parts[name] or 0) for name in ("hour", "minute", "second"))
    fraction = int((parts.get("fraction", "") + "000")[:3])
    if half := parts.get("half"):
        if not 1 <= hour <= 12:
            raise ValueError(f"no hour {hour} am or pm")
        hour = hour % 12 + (12 if half == "p" else 0)
    time_ms = (hour * 3600 + minute * 60 + second) * 1000 + fraction
    # A leap second is the first second of the next minute.
    if minute > 59 or second > 60 or (hour > 23 and time_ms != _DAY_MS):
        raise ValueError("no time of day")
    return time_ms


_NUMBER = re.compile(r"-?\d{1,40}(?:\.\d*|,\d+)?(?:e\+?\d{1,2})?", re.A)
_DIGITS = re.compile(r"(?P<date>\d{8})(?:(?P<hour>\d\d)(?P<minute>\d\d)(?P<second>\d\d))?", re.A)
_SECONDS_1973, _MS_1979 = 94_694_400, 283_996_800_000
_YEAR_9999_S = (253_370_764_800, 253_402_214_400, 253_402_300_799, 253_402_300_800)
# Numbers that programs write for "never"; as ms, us or ns they would be instants before 1979.
_NEVER = {10**n_digits - 1 for n_digits in (11, 14, 17)} | {
    seconds * unit + more
    for seconds in _YEAR_9999_S
    for unit, more in ((1, 0), (10**3, 0), (10**3, 999), (10**6, 0), (10**6, 999_999))
}
_YEAR_1_S = -62_135_596_800
_UNKNOWN = {0, _YEAR_1_S, _YEAR_1_S * 10**3, _YEAR_1_S * 10**6, -(2**63)}


def _parse_number(text: str) -> tuple[int | None, bool]:
    """Read a bare number, see `parse_time`.

    These cannot be confused between 1973 and 2249: 20260302 and 20260302041500 (dates), numbers
    of 5 digits from 20000 to 79999 (Excel's days since 1899-12-30), and larger numbers, which are
    seconds, milliseconds, microseconds or nanoseconds since 1970 by their size. Any other number
    is refused, such as a year, and also 202603020415, which could be milliseconds of 1976.
    """
    number = Decimal(text.replace(",", "."))
    if number in _UNKNOWN:
        return None, False
    digits = _DIGITS.fullmatch(text)
    if number in _NEVER or (digits and text.startswith("9999")):
        return None, False
    if digits and number < _SECONDS_1973 * 10 ** (len(text) - 8):
        days = _parse_date(digits["date"])
        return None if days is None else days * _DAY_MS + _time_of_day(digits), True
    if len(text) == 12 and number < _MS_1979 and _is_date(_DIGITS.fullmatch(text + "00")):
        raise ValueError("a date without seconds, or milliseconds of before 1979")
    if 20_000 <= number < 80_000 and re.match(r"\d{5}(?!\d)", text):
        return round((number - 25_569) * _DAY_MS), True
    for unit in (1, 10**3, 10**6, 10**9):
        if _SECONDS_1973 * unit <= number < _SECONDS_1973 * unit * 1000:
            return int(number * 1000 // unit), False
    raise ValueError("neither a date nor a time since 1970")


def _is_date(digits: re.Match[str] | None) -> bool:
    """Return whether digits are a date and a time of day."""
    if digits is None:
        return False
    try:
        return _parse_date(digits["date"]) is not None and _time_of_day(digits) >= 0
    except ValueError:
        return False


_MONTHS: dict[str, int] = {
    name: number
    for number, names in enumerate(
        # English; German, French, Spanish and Danish where the name differs
        (
            "jan january januar janvier janv enero ene",
            "feb february februar fevrier fevr febrero",
            "mar march marz maerz mrz mars marzo marts",
            "apr april avril avr abril abr",
            "may mai mayo maj",
            "jun june juni juin junio",
            "jul july juli juillet juil julio",
            "aug august aout agosto ago",
            "sep sept september septembre septiembre setiembre",
            "oct october oktober okt octobre octubre",
            "nov november novembre noviembre",
            "dec december dezember dez decembre diciembre dic",
        ),
        start=1,
    )
    for name in names.split()
}
_WEEKDAYS = set(
    "mon tue tues wed thu thur thurs fri sat sun"
    " monday tuesday wednesday thursday friday saturday sunday"
    " mo di mi do fr sa so montag dienstag mittwoch donnerstag freitag samstag sonnabend sonntag"
    " lundi mardi mercredi jeudi vendredi samedi dimanche"
    " lunes martes miercoles jueves viernes sabado domingo"
    " mandag tirsdag onsdag torsdag fredag l\u00f8rdag s\u00f8ndag".split()
)
_FILLERS = set("at of on the um uhr den kl de del le".split())
_WORD = re.compile(r"(?<!\w)[^\W\d_]+(?!\w)")
_DATE_FORMS = [
    re.compile(form, re.A)
    for form in (
        r"(?P<year>\d{4})(?P<sep>[-/.])(?P<month>\d{1,2})(?P=sep)(?P<day>\d{1,2})",
        r"(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)",
        r"(?P<one>\d{1,2})(?P<sep>[-/.])(?P<two>\d{1,2})(?P=sep)(?P<year>\d{4})",
        r"(?P<year>\d{4})-?w(?P<week>\d\d)-?(?P<weekday>\d)",
        r"(?P<year>\d{4})-(?P<day_of_year>\d{3})",
    )
]
_NAMED_FORMS = [
    re.compile(form, re.A)
    for form in (
        r"(?P<day>\d{1,2})(?:st|nd|rd|th|er|o)? (?P<month>[a-z]+) (?P<year>\d{4}|\d\d)",
        r"(?P<month>[a-z]+) (?P<day>\d{1,2})(?:st|nd|rd|th|er|o)? (?P<year>\d{4})",
        r"(?P<year>\d{4}) (?P<month>[a-z]+) (?P<day>\d{1,2})",
    )
]


def _parse_date(text: str) -> int | None:
    """Return the days from 1970-01-01 to a date; None for the zero date of a database.

    Raises
    ------
    ValueError
        If the text is no date, lacks its day, month or year, or does not tell day from month.
    """
    words = [word for word in _WORD.findall(text) if word not in _FILLERS | _MONTHS.keys()]
    if len(words) > 1 or not _WEEKDAYS.issuperset(words):
        raise ValueError(f"words that are not part of a date: {words}")
    rest = _WORD.sub(lambda word: word[0] if word[0] in _MONTHS else " ", text)
    rest = re.sub(r"\s+", " ", rest).strip(" ,.")
    forms = _DATE_FORMS
    if _WORD.search(rest):
        forms, rest = _NAMED_FORMS, re.sub(r"[ ,./-]+", " ", rest)
    found = next(filter(None, (form.fullmatch(rest) for form in forms)), None)
    if found is None:
        raise ValueError("not a date")
    parts = found.groupdict()
    year = int(parts["year"])
    if len(parts["year"]) == 2:  # as RFC 2822 reads such years
        year += 2000 if year < 50 else 1900
    elif year == 0:
        return None
    if "week" in parts:
        day = date.fromisocalendar(year, int(parts["week"]), int(parts["weekday"]))
    elif "day_of_year" in parts:
        day = date(year, 1, 1) + timedelta(int(parts["day_of_year"]) - 1)
        if day.year != year:
            raise ValueError("no such day of the year")
    elif "one" in parts:
        day = _day_and_month(year, int(parts["one"]), int(parts["two"]))
    else:
        month = _MONTHS.get(parts["month"]) or int(parts["month"])
        day = date(year, month, int(parts["day"]))
    return day.toordinal() - _EPOCH_DAY


def _day_and_month(year: int, one: int, two: int) -> date:
    """Return the date of a day and a month in unknown order, if only one order is possible."""
    if one != two and one <= 12 and two <= 12:
        raise ValueError("day and month could be exchanged")
    return date(year, min(one, two), max(one, two))
