"""Dates, times and spans of time as numbers (days) and as text, whatever their resolution.

A date is the number of days since 1970-01-01, as R's ``Date``; a time of day is a fraction of one. A span of time is a
number of days too. A time with a zone is its instant, in UTC; one without is taken as it stands, as if in UTC.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np

from mme.errors import MMEError

# The types of one date or time, and of one span, in Python, NumPy and pandas.
DATES, SPANS = (date, np.datetime64), (timedelta, np.timedelta64)
_PER_DAY = {"D": 1, "h": 24, "m": 1_440, "s": 86_400} | {
    unit: 86_400 * 10**power for unit, power in (("ms", 3), ("us", 6), ("ns", 9), ("ps", 12), ("fs", 15), ("as", 18))
}
# What nanoseconds since 1970 hold in 64 bits: the years 1678 to 2262.
_SECONDS = 9_000_000_000
_DATE = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?)?(?: ?(?:(Z|UTC)|([+-]\d\d):?(\d\d)?))?"
)
_SPAN = re.compile(r"(-?\d+) days?(?:,? \+?(\d\d?):(\d\d):(\d\d)(?:\.(\d{1,9}))?)?")


def days(values: np.ndarray) -> np.ndarray:
    """Days since 1970-01-01 of dates, or the days of spans; NaN is missing. The same moment is the same number.

    Raises
    ------
    MMEError
        They are spans of months or years, which have no number of days.

    Examples
    --------
    >>> days(np.array(["1970-01-02T12", "NaT"], dtype="datetime64[ns]")), days(np.array([36], dtype="timedelta64[h]"))
    (array([1.5, nan]), array([1.5]))
    """
    values = _fine(values)
    unit, step = np.datetime_data(values.dtype)
    count, per_day = values.astype(np.int64), _PER_DAY[unit]
    if per_day >= 2**63:
        return np.where(np.isnat(values), np.nan, count * float(step) / per_day)  # attoseconds
    with np.errstate(over="ignore"):
        count = count * step  # of NaT anything
    # whole days and the rest apart: each is exact, so that the sum is rounded once, alike for every unit
    whole, rest = np.divmod(count, per_day)
    return np.where(np.isnat(values), np.nan, whole + rest / per_day)


def text_of(values: np.ndarray) -> list[str]:
    """Write dates and spans so that one value has one text: ``2024-03-01``, ``2024-03-01 12:30:00``, ``2 days``.

    Examples
    --------
    >>> text_of(np.array(["2024-03-01T00:00", "2024-03-01T12:30:00.250"], dtype="datetime64[ns]"))
    ['2024-03-01', '2024-03-01 12:30:00.25']
    >>> text_of(np.array([48, 36, -1], dtype="timedelta64[h]"))
    ['2 days', '1 days 12:00:00', '-1 days +23:00:00']
    """
    if values.dtype.kind == "M":
        return [_short(*text.partition("T")[::2]) for text in np.datetime_as_string(_fine(values)).tolist()]
    if np.datetime_data(values.dtype)[0] in ("Y", "M"):
        return values.astype(str).tolist()  # "3 months": no number of days
    values = _fine(values)
    whole = values.astype("timedelta64[D]")
    whole -= whole > values  # the conversion rounds towards zero
    clock = np.datetime_as_string(np.datetime64(0, "D") + (values - whole)).tolist()
    return [
        _short(f"{number} days", text.partition("T")[2], " +" if number < 0 else " ")
        for number, text in zip(whole.astype(np.int64).tolist(), clock, strict=True)
    ]


def from_objects(values: list[Any]) -> np.ndarray:
    """Dates, or spans, of Python, NumPy and pandas, as one array; None is missing.

    Examples
    --------
    >>> days(from_objects([date(1970, 1, 2), None, datetime(1970, 1, 2, 6, tzinfo=UTC)]))
    array([1.  ,  nan, 1.25])
    """
    if set(map(type, values)) <= {date, type(None)}:
        return np.array(values, dtype="datetime64[D]")
    moments = [None if value is None else _moment(value) for value in values]
    units = {np.datetime_data(moment.dtype)[0] for moment in moments if moment is not None}
    kind = next((moment.dtype.kind for moment in moments if moment is not None), "M")
    coarse = np.array([None if m is None else m.astype(f"{kind}8[us]") for m in moments], dtype=f"{kind}8[us]")
    if "ns" not in units or (np.abs(coarse.astype(f"{kind}8[s]").astype(np.int64)[~np.isnat(coarse)]) > _SECONDS).any():
        return coarse
    return np.array(moments, dtype=f"{kind}8[ns]")


def spelt(text: str) -> str | None:
    """The text that :func:`text_of` gives to the date or span that this text spells; None: it spells none.

    Examples
    --------
    >>> [spelt(text) for text in ("2024-03-01T00:00:00.000", "2024-03-01T01:00+01:00", "1 day, 0:00:00", "2024")]
    ['2024-03-01', '2024-03-01', '1 days', None]
    """
    try:
        return text_of(np.array([_read(text)]))[0]
    except (ValueError, OverflowError):  # no such day, or nothing of the kind
        return None


def number(value: Any) -> float:
    """One number: a number as it is; a date, a span, or the text of one, in days.

    Raises
    ------
    ValueError, TypeError
        It is none of these.

    Examples
    --------
    >>> number(2), number(date(1970, 1, 3)), number("1970-01-03"), number(timedelta(hours=6))
    (2.0, 2.0, 2.0, 0.25)
    """
    if isinstance(value, str):
        text = spelt(value)
        return float(value) if text is None else float(days(np.array([_read(text)]))[0])
    if is_moment(value):
        return float(days(from_objects([value]))[0])
    return float(value)


def is_moment(value: Any) -> bool:
    """Whether this is a date, a time or a span of time."""
    return isinstance(value, DATES + SPANS)


def _moment(value: Any) -> Any:
    if isinstance(value, datetime) and value.tzinfo is not None:
        value = value.astimezone(UTC).replace(tzinfo=None)
    if hasattr(value, "to_numpy"):  # pandas: nanoseconds are kept
        value = value.to_numpy()
    return value if isinstance(value, np.generic) else np.array([value], dtype=_stored(value))[0]


def _stored(value: Any) -> str:
    return "timedelta64[us]" if isinstance(value, timedelta) else "datetime64[us]"


def _fine(values: np.ndarray) -> np.ndarray:
    """In days, where the unit is longer, and in seconds, where it is an hour or a minute."""
    unit = np.datetime_data(values.dtype)[0]
    kind = "datetime64" if values.dtype.kind == "M" else "timedelta64"
    if unit == "generic":
        raise MMEError("dates without a unit (datetime64) cannot be read; give them one: datetime64[D]")
    if unit in ("Y", "M") and kind == "timedelta64":
        raise MMEError("spans of months and years have no number of days; give them in days")
    if unit in ("Y", "M", "W"):
        return values.astype(f"{kind}[D]")
    return values.astype(f"{kind}[s]") if unit in ("h", "m") else values


def _short(day: str, clock: str, gap: str = " ") -> str:
    """Without the zeros that say nothing."""
    if "." in clock:
        clock = clock.rstrip("0").rstrip(".")
    return day if clock in ("", "00:00:00") else f"{day}{gap}{clock}"


def _read(text: str) -> np.datetime64 | np.timedelta64:
    if found := _DATE.fullmatch(text):
        day, hour, minute, second, fraction, _, hours, minutes = found.groups(default="")
        moment = _precise(np.datetime64(day, "s"), hour, minute, second, fraction)
        if hours:
            east = 60 * int(hours) + int(f"{hours[0]}{minutes or 0}")
            moment = moment - np.timedelta64(east, "m")
        return moment
    if found := _SPAN.fullmatch(text):
        number, *clock = found.groups(default="")
        return _precise(np.timedelta64(int(number), "D").astype("timedelta64[s]"), *clock)
    raise ValueError(text)


def _precise(start: Any, hour: str, minute: str, second: str, fraction: str) -> Any:
    if int(hour or 0) > 23 or int(minute or 0) > 59 or int(second or 0) > 59:
        raise ValueError(hour)
    moment = start + np.timedelta64(3600 * int(hour or 0) + 60 * int(minute or 0) + int(second or 0), "s")
    fraction = fraction.rstrip("0")
    if not fraction:
        return moment
    if len(fraction) <= 6:
        return moment + np.timedelta64(int(fraction.ljust(6, "0")), "us")
    if abs(int(moment.astype(np.int64))) > _SECONDS:
        raise ValueError(fraction)
    return moment + np.timedelta64(int(fraction.ljust(9, "0")), "ns")
