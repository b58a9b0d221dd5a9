"""Times as loggers write them."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scopeside_adapters.channels.times import iso_ns, reader, zone_of

DAY = date(2026, 1, 31)
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
NOON_NS = int(NOON.timestamp()) * 1_000_000_000


@pytest.fixture
def berlin():
    try:
        return zone_of("Europe/Berlin")
    except ValueError:
        pytest.skip("this machine knows no time zones (package tzdata)")


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("epoch_s", "1769860800", NOON_NS),
        ("epoch_s", "1769860800.123456789", NOON_NS + 123_456_789),
        ("epoch_s", "1.7698608e9", NOON_NS),
        ("epoch_ms", "1769860800250.5", NOON_NS + 250_500_000),
        ("epoch_us", "1769860800000001", NOON_NS + 1000),
        ("epoch_ns", "1769860800000000001", NOON_NS + 1),
        ("iso", "2026-01-31T12:00:00Z", NOON_NS),
        ("iso", "2026-01-31 12:00:00.25", NOON_NS + 250_000_000),
        ("iso", "2026-01-31T13:00:00,000000001+01:00", NOON_NS + 1),
        ("clock", "12:00:00.5", NOON_NS + 500_000_000),
    ],
)
def test_a_time_is_read_exactly(kind, text, expected):
    assert reader(kind, "UTC", DAY if kind == "clock" else None)(text) == expected


def test_elapsed_seconds_count_from_t0():
    read = reader("elapsed_s", "UTC", NOON)
    assert read("0.000000001") == NOON_NS + 1
    assert read("-1") == NOON_NS - 1_000_000_000


def test_a_t0_without_a_zone_is_in_that_of_the_table(berlin):
    read = reader("elapsed_s", "Europe/Berlin", datetime(2026, 1, 31, 13))
    assert read("0") == NOON_NS


def test_a_clock_that_passes_midnight_goes_on_with_the_next_day():
    read = reader("clock", "UTC", DAY)
    evening, night = read("23:59:59.9"), read("0:00:00.1")
    assert night - evening == 200_000_000


def test_a_clock_that_is_set_back_a_little_stays_on_its_day():
    read = reader("clock", "UTC", DAY)
    assert read("12:00:05") - read("12:00:00") == 5_000_000_000


def test_summer_time_is_that_of_the_zone(berlin):
    summer, winter = (
        iso_ns(f"2026-{month}-01T12:00:00", berlin) for month in ("07", "01")
    )
    utc = [iso_ns(f"2026-{month}-01T12:00:00Z", None) for month in ("07", "01")]
    assert (utc[0] - summer, utc[1] - winter) == (7200 * 10**9, 3600 * 10**9)


@given(st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1)), st.integers(-14, 14))
def test_iso_is_what_datetime_says(moment, hours):
    aware = moment.replace(tzinfo=timezone(timedelta(hours=hours)))
    micro = (aware - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    text = aware.isoformat()
    assert iso_ns(text, None) == micro * 1000


@pytest.mark.parametrize("kind", ["epoch_s", "epoch_ns", "iso", "clock"])
@given(st.text(max_size=80) | st.from_regex(r"[0-9:.,eE+\-TZ ]{0,80}", fullmatch=True))
def test_garbage_is_a_value_error_and_nothing_else(kind, text):
    try:
        found = reader(kind, "UTC", DAY)(text)
    except ValueError:
        return
    assert abs(found) < 1 << 63


@pytest.mark.parametrize("text", ["nan", "inf", "1e400", "1e99999999", "9" * 64, ""])
def test_a_number_that_is_no_time_is_refused(text):
    with pytest.raises(ValueError, match=r"cannot be|no number"):
        reader("epoch_s", "UTC", None)(text)
