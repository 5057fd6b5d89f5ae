"""Command line values, validated and converted: functions for argparse's `type`.

Each also accepts a value of the final type, as call_command() passes it.
"""

import argparse
from datetime import UTC, datetime, timedelta

from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from sessions_app.ages import parse_age, span


def at_least_one(text: str | int) -> int:
    """A whole number of at least 1."""
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is less than 1")
    return number


def seconds(text: str | float) -> float:
    """A number of seconds above 0."""
    try:
        number = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds") from None
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not more than 0")
    return number


def days(text: str | int | timedelta) -> timedelta:
    """A whole number of days, at least 1."""
    if isinstance(text, timedelta):
        return text
    number = at_least_one(text)
    try:
        return span(days=number)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def age(text: str | timedelta) -> timedelta:
    """A number with a unit: 90m, 12h, 30d, 2w."""
    if isinstance(text, timedelta):
        return text
    try:
        return parse_age(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def moment(text: str | datetime) -> datetime:
    """A date (its first moment) or a date and time; without an offset, in TIME_ZONE."""
    if isinstance(text, datetime):
        found: datetime | None = text
    else:
        try:
            day = parse_date(text)
            found = datetime(day.year, day.month, day.day) if day else parse_datetime(text)  # noqa: DTZ001 - made aware below
        except ValueError:
            found = None  # the form of a date, but there is no such day
    if found is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a time such as 2026-01-31 or 2026-01-31T18:00+01:00"
        )
    found = found if timezone.is_aware(found) else timezone.make_aware(found)
    try:
        found.astimezone(UTC)  # as it is passed to the database
    except OverflowError:
        raise argparse.ArgumentTypeError(f"{text} is outside the calendar's range") from None
    return found
