"""Numbers for the admin's dashboard, at a cost that does not grow with the tables.

Every number is counted up to COUNT_LIMIT, in subqueries of one statement, so that it reads at
most that many entries of an index.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import QuerySet, Value
from django.utils import timezone

from sessions_app.querysets import SessionQuerySet, Window

COUNT_LIMIT = 10_000


@dataclass(frozen=True)
class Count:
    """A number of rows; there are more than `value` when it is capped."""

    value: int
    is_capped: bool = False

    def __str__(self) -> str:
        return f"{self.value:,}{'+' if self.is_capped else ''}"


def total(counts: Sequence[Count]) -> Count:
    """Their sum; capped when one of them is."""
    return Count(sum(count.value for count in counts), any(count.is_capped for count in counts))


@dataclass(frozen=True)
class Day:
    """A day in the current time zone."""

    date: date

    @property
    def window(self) -> Window:
        return Window(midnight(self.date), midnight(self.date + timedelta(days=1)))


def last_days(number: int) -> list[Day]:
    """The last days, today included, oldest first."""
    today = timezone.localdate()
    return [Day(today - timedelta(days=ago)) for ago in reversed(range(number))]


def midnight(day: date) -> datetime:
    """The beginning of a day in the current time zone."""
    return timezone.make_aware(datetime.combine(day, time.min))


def capped_counts(querysets: Sequence[QuerySet[Any]]) -> list[Count]:
    """How many rows each of them has, up to COUNT_LIMIT, in one statement."""
    selected: list[str] = []
    parameters: list[Any] = []
    for rows in querysets:
        # One more than the limit, so that exactly the limit is not taken for more.
        limited = rows.order_by().values(one=Value(1))[: COUNT_LIMIT + 1]
        try:
            sql, own = limited.query.sql_with_params()
        except EmptyResultSet:
            selected.append("0")
            continue
        selected.append(f"(SELECT COUNT(*) FROM ({sql}) AS counted)")  # noqa: S608 - compiled
        parameters += own
    if not selected:
        return []
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(selected)}", parameters)
        found: tuple[int, ...] = cursor.fetchone()
    return [Count(min(value, COUNT_LIMIT), value > COUNT_LIMIT) for value in found]


def per_day(rows: QuerySet[Any], days: Sequence[Day]) -> list[Count]:
    """How many of the rows were created on each day. One statement.

    It reads one range per day of an index that begins with created_at.
    """
    return capped_counts([rows.filter(day.window.as_q()) for day in days])


@dataclass(frozen=True)
class Age:
    """Sessions created within a window, named by how long ago that is."""

    label: str
    window: Window


def ages() -> list[Age]:
    """From the newest to the oldest, without gaps or overlaps."""
    today = timezone.localdate()
    bounds = [midnight(today - timedelta(days=ago)) for ago in (0, 7, 30)]
    return [
        Age("Today", Window(created_after=bounds[0])),
        Age("Last 7 days", Window(bounds[1], bounds[0])),
        Age("Last 30 days", Window(bounds[2], bounds[1])),
        Age("Older", Window(created_before=bounds[2])),
    ]


def removable_by_age(sessions: SessionQuerySet, by: Sequence[Age]) -> list[Count]:
    """How many of the sessions a cleanup would remove, by their age. One statement.

    The most expensive of these numbers: where few candidates are empty, it examines all of them,
    with a few index look-ups each. Callers should cache it.
    """
    return capped_counts([sessions.removable(age.window) for age in by])
