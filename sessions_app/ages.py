"""Ages such as 90m, 12h, 30d or 2w."""

import re
from datetime import UTC, datetime, timedelta

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_age(text: str) -> timedelta:
    """The time that a number with a unit means. Raises ValueError."""
    match = re.fullmatch(r"\s*(\d+)\s*([smhdw])\s*", text, re.ASCII)
    if not match:
        raise ValueError(f"{text!r} is not an age such as 90m, 12h, 30d or 2w")
    return span(**{_UNITS[match[2]]: int(match[1])})


def span(**amount: int) -> timedelta:
    """A time that can be counted back from now. Raises ValueError."""
    try:
        found = timedelta(**amount)
        datetime.now(UTC) - found  # the date must exist as well
    except OverflowError:
        raise ValueError("that is before the calendar's first day") from None
    return found
