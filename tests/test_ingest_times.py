import unicodedata
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recsys.ingest.times import _FILLERS, _WEEKDAYS, LATEST_MS, parse_time, read_times
from recsys.rows import from_ms, to_ms

# 20,514 days x 86,400,000 ms is 2026-03-02; 04:15 is 15,300,000 ms later.
MIDNIGHT_MS = 1_772_409_600_000
INSTANT_MS = 1_772_424_900_000
BERLIN = ZoneInfo("Europe/Berlin")


def read_one(value, **options):
    """The instant of one value; "wrong" if it is refused."""
    times = read_times(pl.Series([value]), **options)
    return "wrong" if times.is_wrong[0] else times.values[0]


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-02T04:15:00Z",
        "2026-03-02t04:15:00z",
        "2026-03-02T05:15:00+01:00",
        "2026-03-02T05:15:00 +0100",
        "2026-03-02 04:15:00 UTC",
        "2026-03-02 04:15:00+00",
        "2026-03-02 09:45:00+0530",
        "2026-03-01T23:15:00−05:00",
        "2026-03-02T04:15:00,000Z",
        "2026-03-02T04:15Z",
        "20260302T041500Z",
        "20260302T051500+0100",
        "2026-W10-1T04:15:00Z",
        "2026W101T041500Z",
        "2026-061T04:15:00Z",
        "2026-03-02T05:15:00+01:00[Europe/Berlin]",
        "2026-03-02 05:15:00 Europe/Berlin",
        "Mon, 02 Mar 2026 04:15:00 GMT",
        "Mon, 02 Mar 2026 05:15:00 +01:00",
        "Mon, 2 Mar 26 05:15 MEZ",
        "Monday, 02-Mar-26 04:15:00 GMT",
        "Mon Mar 02 2026 05:15:00 GMT+0100 (Central European Standard Time)",
        "Mon Mar  2 04:15:00 UTC 2026",
        "March 1, 2026 11:15 PM EST",
        "March 1, 2026 at 11:15\u202fp.m. EST",
        "5:15 am, 2nd March 2026, CET",
        "Montag, 2. März 2026, 05:15 Uhr MEZ",
        "lundi 2 mars 2026 05:15 CET",
        "2 de marzo de 2026 05:15 CET",
        "2. marts 2026 kl. 05:15 CET",
        "1772424900",
        "1772424900.0",
        "1.7724249e9",
        "1772424900000",
        "1772424900000000",
        "1772424900000000000",
    ],
)
def test_a_time_with_an_offset_is_read_whatever_the_zone_of_other_times(text):
    assert read_one(text) == INSTANT_MS
    times = read_times(pl.Series([text]), zone=timezone(timedelta(hours=-9)))
    assert times.values.to_list() == [INSTANT_MS]
    assert read_times(pl.Series([text])).n_naive == 0


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-02 04:15:00",
        "2026-03-02T04:15",
        "20260302041500",
        "2026/03/02 4:15",
        "46083.177083333",  # 25,569 + 20,514 days, and 15,300 / 86,400 of a day
        "March 2, 2026 4:15 AM",
        "Mon Mar  2 04:15:00 2026",
    ],
)
def test_a_time_without_an_offset_is_in_the_zone_given_or_counted_as_naive(text):
    times = read_times(pl.Series([text, None]))
    assert (times.values.to_list(), times.n_naive) == ([INSTANT_MS, None], 1)
    times = read_times(pl.Series([text, None]), zone=BERLIN)
    assert (times.values.to_list(), times.n_naive) == ([INSTANT_MS - 3_600_000, None], 0)


@pytest.mark.parametrize(
    "text", ["2026-03-02", "20260302", "46083", "2 March 2026", "30/04/2026", "2026-W10-1"]
)
def test_a_date_is_midnight_in_the_zone(text):
    midnight_ms = MIDNIGHT_MS + (59 * 86_400_000 if text == "30/04/2026" else 0)
    hours = 2 if text == "30/04/2026" else 1  # summer time begins on 29 March
    assert read_one(text) == midnight_ms
    assert read_one(text, zone=BERLIN) == midnight_ms - hours * 3_600_000


@pytest.mark.parametrize(
    "text",
    [
        "10:15 PM",
        "Monday",
        "March 2026",
        "2026-03",
        "2026",
        "202603",
        "2 March",
        "03/04/2026",  # 3 April, or 4 March
        "03.04.2026 10:15",
        "2026-03-02 04:15:00 IST",
        "2026-03-02 04:15:00 XYZ",
        "2026-03-02 04:15:00 Europe/Atlantis",
        "2026-03-02T04:15:00+05:00[Europe/Berlin]",
        "2026-03-02T04:15:00 (CET)",
        "2026-03-02T04:15:00+25:00",
        "2026-03-02T04:15:00Z and more",
        "2026-03-02T25:00:00Z",
        "2026-03-02T24:00:01Z",
        "2026-03-02T04:61:00Z",
        "2026-02-29",
        "2026-366",
        "13:15 PM 2 March 2026",
        "202603020415",
        "1850-05-05",
        "100000",
        "-1",
        "tomorrow",
        "true",
        "mar. 3 mars 2026",
        "1e99",
        "x" * 10_000,
        "9" * 41,
    ],
)
def test_what_is_not_a_whole_time_is_refused(text):
    assert read_one(text) == "wrong"


@pytest.mark.parametrize(
    "text",
    [
        "0000-00-00 00:00:00",
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00+01:00",
        "1900-01-01",
        "1900-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59Z",
        "9999-12-31",
        "99991231",
        "3000-01-01",
        "253402300799",
        "253402300799000",
        "9999999999999",
        "9223372036854775807",
        "-62135596800",
        "0",
        "NaT",
        "infinity",
        "",
        "  ",
    ],
)
def test_a_zero_date_and_a_time_that_means_never_are_unknown_and_not_wrong(text):
    assert read_one(text) is None


def test_24_00_is_the_next_midnight_and_a_leap_second_the_next_minute():
    assert read_one("2026-03-01T24:00:00Z") == MIDNIGHT_MS
    assert read_one("2026-03-01T23:59:60Z") == MIDNIGHT_MS


def test_a_repeated_hour_is_the_first_and_a_skipped_one_is_read_with_the_offset_before():
    # Berlin's clocks: 25 October 2026, 03:00 CEST to 02:00 CET; 29 March, 02:00 CET to 03:00 CEST.
    assert read_one("2026-10-25 02:30:00", zone=BERLIN) == to_ms(datetime(2026, 10, 25, 0, 30))
    assert read_one("2026-03-29 02:30:00", zone=BERLIN) == to_ms(datetime(2026, 3, 29, 1, 30))
    naive = pl.Series([datetime(2026, 10, 25, 2, 30)])
    assert read_times(naive, zone=BERLIN).values[0] == to_ms(datetime(2026, 10, 25, 0, 30))


def test_columns_of_datetimes_and_dates_are_read_by_their_zone_or_the_one_given():
    naive = pl.Series([datetime(2026, 3, 2, 4, 15), None])
    assert read_times(naive).n_naive == 1
    assert read_times(naive, zone=BERLIN).values.to_list() == [INSTANT_MS - 3_600_000, None]
    aware = naive.dt.replace_time_zone("Europe/Berlin")
    assert read_times(aware, zone=UTC).values.to_list() == [INSTANT_MS - 3_600_000, None]
    dates = pl.Series([datetime(2026, 3, 2).date()])
    assert read_times(dates, zone=BERLIN).values.to_list() == [MIDNIGHT_MS - 3_600_000]


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_datetimes_beyond_the_years_of_python_are_unknown(unit):
    ends = pl.Series([2**63 - 1, -(2**63) + 1], dtype=pl.Int64).cast(pl.Datetime(unit))
    times = read_times(ends)
    assert times.values.to_list() == [None, None]
    # The smallest number of ns is a time of 1677; those of ms and us are before year 1.
    assert times.is_wrong.to_list() == [False, unit == "ns"]


INSTANTS = st.integers(94_694_400_000, LATEST_MS)  # 1973 to 2249
OFFSETS = st.integers(-14 * 60, 14 * 60)
FORMS = [
    lambda t: t.isoformat(),
    lambda t: t.isoformat().lower(),
    lambda t: t.strftime("%Y-%m-%d %H:%M:%S.%f %z"),
    lambda t: t.strftime("%Y%m%dT%H%M%S,%f%z"),
    lambda t: t.strftime("%G-W%V-%uT%H:%M:%S.%f%z"),
    lambda t: t.strftime("%Y-%jT%H:%M:%S.%f%z"),
    lambda t: t.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f000 UTC"),
]
WHOLE_SECONDS = [
    format_datetime,
    lambda t: t.strftime("%a %b %d %Y %H:%M:%S GMT%z (some zone)"),
    lambda t: t.strftime("%B %d, %Y %I:%M:%S %p %z"),
    lambda t: t.strftime("%d-%b-%Y %H:%M:%S %z"),
    lambda t: t.astimezone(UTC).strftime("%a %b %d %H:%M:%S UTC %Y"),
]
NUMBERS = [
    lambda ms: f"{ms // 1000}.{ms % 1000:03d}",
    lambda ms: f"{ms}",
    lambda ms: f"{ms}.0",
    lambda ms: f"{ms}e0",
    lambda ms: f"{ms}000",
    lambda ms: f"{ms}000000",
]


@settings(deadline=None)
@given(instant_ms=INSTANTS, offset=OFFSETS)
def test_every_instant_reads_back_exactly_from_every_form(instant_ms, offset):
    zone = timezone(timedelta(minutes=offset))
    for forms, unit in ((FORMS, 1), (WHOLE_SECONDS, 1000)):
        instant = from_ms(instant_ms // unit * unit).astimezone(zone)
        texts = [form(instant) for form in forms]
        assert {text: read_one(text) for text in texts} == dict.fromkeys(texts, to_ms(instant))


# Before 1979, ms have 11 or 12 digits, and a few are dates of 12 digits or mean the year 9999.
@settings(deadline=None)
@example(instant_ms=999_900_000_000)  # begins as a date of the year 9999 would
@given(instant_ms=st.integers(283_996_800_000, LATEST_MS))
def test_every_instant_reads_back_exactly_from_a_number_since_1970(instant_ms):
    texts = [form(instant_ms) for form in NUMBERS]
    assert {text: read_one(text) for text in texts} == dict.fromkeys(texts, instant_ms)


@settings(deadline=None)
@given(day=st.integers(-5_000, 30_000), milliseconds=st.integers(0, 86_399_999))
def test_excel_days_read_back_exactly(day, milliseconds):
    assert read_one(f"{25_569 + day}.{milliseconds * 10**12 // 86_400_000 + 1:012d}") == (
        day * 86_400_000 + milliseconds
    )


PIECES = st.sampled_from(
    "2026-03-02 T04:15:00 04:15 Z +01:00 GMT CET IST March 3 2026 PM , / . - 20260302 Mon".split()
)
TEXTS = st.one_of(st.text(max_size=30), st.lists(PIECES, max_size=7).map("".join))


@settings(deadline=None, max_examples=400)
@given(st.lists(st.one_of(TEXTS, st.lists(PIECES, max_size=7).map(" ".join)), max_size=5))
def test_any_text_is_read_as_it_is_alone_or_refused(texts):
    together = read_times(pl.Series(texts, dtype=pl.String), zone=BERLIN)
    alone = [read_times(pl.Series([text]), zone=BERLIN) for text in texts]
    assert together.values.to_list() == [times.values[0] for times in alone]
    assert together.is_wrong.to_list() == [times.is_wrong[0] for times in alone]


@settings(deadline=None, max_examples=400)
@given(
    st.from_regex(
        r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d([.,]\d{1,9})? ?(Z|UTC|[+-]\d\d:?\d\d)?", fullmatch=True
    )
)
def test_whole_columns_and_single_texts_are_read_alike(text):
    try:
        ms, is_naive = parse_time(text)
    except (ValueError, OverflowError):
        assert read_one(text) == "wrong"
    else:
        times = read_times(pl.Series([text]))
        if times.values[0] is not None:
            assert (times.values[0], times.n_naive) == (ms, int(is_naive))


@settings(deadline=None)
@example(instant_ms=94_694_400_000, zone="ÀT")
@example(instant_ms=94_694_400_000, zone="SA")
@given(instant_ms=INSTANTS, zone=st.text(st.characters(categories=["L"]), min_size=2, max_size=5))
def test_a_zone_name_is_used_or_the_time_is_refused(instant_ms, zone):
    local = from_ms(instant_ms).strftime("%Y-%m-%d %H:%M:%S")
    found = read_times(pl.Series([f"{local} {zone}"]))
    letters = unicodedata.normalize("NFKD", zone.casefold())
    name = "".join(letter for letter in letters if not unicodedata.combining(letter))
    # Names of days and small words of a date are no zones.
    if not found.is_wrong[0] and name not in {"am", "pm", *_WEEKDAYS, *_FILLERS}:
        assert found.n_naive == 0
