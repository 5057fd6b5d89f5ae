"""Formats times, durations, costs, counts, queries and JSON as text."""

from datetime import date, datetime
from decimal import Context, Decimal
from typing import Any
from urllib.parse import parse_qsl

from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import ngettext

from sessions_app.displayable import json_text
from sessions_app.time_conversion import local_time

_SIGNIFICANT = 3  # digits of an amount below one dollar


def dollars(amount: Decimal) -> str:
    """Format an amount of US dollars; below one dollar, with significant digits."""
    if amount >= 1 or not amount:
        return f"${amount:,.2f}"
    return f"${Context(prec=_SIGNIFICANT).plus(amount).normalize():f}"


def duration(seconds: float) -> str:
    """Format a duration: `0.42 s`, `12.3 s`, `2 min 5 s`, `3 h 0 min`."""
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def tokens(tokens_in: int | None, tokens_out: int | None) -> str:
    """Format the numbers of input and output tokens; empty if neither is known."""
    if tokens_in is None and tokens_out is None:
        return ""
    return f"{tokens_in or 0:,} tokens in, {tokens_out or 0:,} out"


def as_text(value: Any) -> str:
    """Format a JSON value with indentation; empty for None."""
    return "" if value is None else json_text(value)


def short_time(moment: datetime) -> str:
    """Format a time as on all pages (config.formats)."""
    return date_format(local_time(moment), "DATETIME_FORMAT")


def time_with_seconds(moment: datetime) -> SafeString:
    """Format a time as on all pages; hovering over it also shows the seconds."""
    local = local_time(moment)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        date_format(local, "c"),
        date_format(local, "Y-m-d H:i:s"),
        date_format(local, "DATETIME_FORMAT"),
    )


def day_on_one_line(day: date) -> SafeString:
    """Format a day as on all pages, without line breaks at its hyphens."""
    return format_html("<time>{}</time>", date_format(day, "DATE_FORMAT"))


def readable_query(query: str) -> str:
    """Format the search and filters of a list's address for people: `q=boats, p=2`."""
    return ", ".join(f"{name}={value}" for name, value in parse_qsl(query, keep_blank_values=True))


def session_count(count: int) -> str:
    """Format a number of sessions: `1 session`, `2,000 sessions`."""
    return f"{count:,} {ngettext('session', 'sessions', count)}"
