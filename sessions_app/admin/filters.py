"""Filters that several lists share. None of them reads all values of a large table."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth.models import User
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from sessions_app.admin.shared import ModelAdmin
from sessions_app.models import Session
from sessions_app.time_conversion import local_time


class UserFilter(admin.ListFilter):
    """Filters by user name or e-mail address: a text field instead of a list of all users."""

    title = "user"
    template = "admin/sessions_app/user_filter.html"
    PARAMETER = "user"
    AT_MOST = 1000  # users with the same e-mail address

    def __init__(
        self,
        request: HttpRequest,
        params: dict[str, list[str]],
        model: type[Model],
        model_admin: ModelAdmin,
    ) -> None:
        super().__init__(request, params, model, model_admin)
        if self.PARAMETER in params:
            self.used_parameters[self.PARAMETER] = params.pop(self.PARAMETER)[-1]
        self.value = without_nul(str(self.used_parameters.get(self.PARAMETER, "")).strip())

    def has_output(self) -> bool:
        return True

    def expected_parameters(self) -> list[str | None]:
        return [self.PARAMETER]

    def choices(self, changelist: ChangeList) -> Iterator[Mapping[str, object]]:
        yield {
            "name": self.PARAMETER,
            "value": self.value,
            "others": other_filter_params(changelist, self.PARAMETER),
            "clear": changelist.get_query_string(remove=[self.PARAMETER]),
        }

    def queryset(self, request: HttpRequest, queryset: QuerySet[Session]) -> QuerySet[Session]:
        if not self.value:
            return queryset
        matching = Q(username__iexact=self.value) | Q(email__iexact=self.value)
        # A separate query: the planner can estimate how many sessions these users have, unlike
        # those of a subquery.
        users = list(User.objects.filter(matching).values_list("pk", flat=True)[: self.AT_MOST])
        return queryset.filter(user__in=users)


class SessionFilter(admin.SimpleListFilter):
    """Filters by session; shown only when in use, through a link on the session's page."""

    title = "session"
    parameter_name = "session"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> list[tuple[str, str]]:
        value = self.value()
        if value is None:
            return []
        try:
            session_id = UUID(value)
        except ValueError as error:
            raise IncorrectLookupParameters from error
        chat_session = Session.objects.filter(pk=session_id).only("name").first()
        return [(value, str(chat_session or value))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        return queryset if value is None else queryset.filter(session_id=UUID(value))


class TimeFilter(admin.FieldListFilter):
    """Filters by time: today, the past 7 or 30 days, or any range of days.

    A number of days is stored as such in the address, so that it stays relative when the address
    is opened again. Days begin at midnight in the time zone that the list shows.
    """

    template = "admin/sessions_app/time_filter.html"
    SINCE = {"today": ("Today", 0), "7d": ("Past 7 days", 7), "30d": ("Past 30 days", 30)}

    def __init__(
        self,
        field: Any,
        request: HttpRequest,
        params: dict[str, list[str]],
        model: type[Model],
        model_admin: ModelAdmin,
        field_path: str,
    ) -> None:
        self.lower, self.upper = f"{field_path}__gte", f"{field_path}__lt"
        super().__init__(field, request, params, model, model_admin, field_path)
        self.title = str(self.title).removesuffix(" at")  # "created", like the column's title

    def expected_parameters(self) -> list[str | None]:
        return [self.lower, self.upper]

    def has_output(self) -> bool:
        return True

    def choices(  # type: ignore[override]  # as its template expects
        self, changelist: ChangeList
    ) -> Iterator[Mapping[str, object]]:
        lower, upper = self._value(self.lower), self._value(self.upper)

        def link(text: str, since: str | None) -> dict[str, object]:
            query = changelist.get_query_string({self.lower: since, self.upper: None})
            return {
                "display": text,
                "query_string": query,
                "selected": lower == (since or "") and not upper,
            }

        yield {
            "links": [
                link("Any time", None),
                *(link(text, since) for since, (text, _) in self.SINCE.items()),
            ],
            "lower": {"name": self.lower, "day": self._day(lower)},
            "upper": {"name": self.upper, "day": self._day(upper)},
            "others": other_filter_params(changelist, self.lower, self.upper),
            "is_active": bool(lower or upper),
            "chosen": self._chosen(lower, upper),
        }

    def queryset(self, request: HttpRequest, queryset: QuerySet[Model]) -> QuerySet[Model]:
        for name in (self.lower, self.upper):
            if value := self._value(name):
                queryset = queryset.filter(**{name: self._moment(value)})
        return queryset

    def _value(self, name: str) -> str:
        values = self.used_parameters.get(name, "")
        last = values[-1] if isinstance(values, list) and values else values
        return str(last or "").strip()

    def _moment(self, value: str) -> datetime:
        """Return the time that a value in the address stands for.

        Raises IncorrectLookupParameters, also for times that the database cannot represent.
        """
        try:
            if value in self.SINCE:
                day = timezone.localdate() - timedelta(days=self.SINCE[value][1])
                moment: datetime | None = datetime.combine(day, time.min)
            else:
                moment = parse_datetime(value)
                if moment is None and (day_given := parse_date(value)):
                    moment = datetime.combine(day_given, time.min)
            if moment is None:
                raise IncorrectLookupParameters(f"{value!r} is not a time")
            if timezone.is_naive(moment):
                moment = timezone.make_aware(moment)
            # As SQLite's backend does; raises OverflowError outside the calendar's range.
            return moment.astimezone(UTC)
        except (ValueError, OverflowError) as error:
            raise IncorrectLookupParameters(error) from error

    def _chosen(self, lower: str, upper: str) -> str:
        """Describe the range in words."""
        if lower in self.SINCE and not upper:
            return self.SINCE[lower][0].lower()
        words = [("from", lower), ("before", upper)]
        return " ".join(f"{word} {self._day(value)}" for word, value in words if value)

    def _day(self, value: str) -> str:
        """Return the day of a bound, for a date field; empty if there is none."""
        return local_time(self._moment(value)).date().isoformat() if value else ""


class NewestValuesFilter(admin.SimpleListFilter):
    """Offers the values of a column in the newest rows: cheap to find, and almost always all.

    `parameter_name` is the column.
    """

    parameter_name: str
    always_offered: ClassVar[frozenset[str]] = frozenset()
    NEWEST = 500

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> list[tuple[str, str]]:
        newest = model_admin.model._default_manager.order_by("-created_at", "-pk")
        values = {*newest.values_list(self.parameter_name, flat=True)[: self.NEWEST]}
        values |= self.always_offered
        if (value := self.value()) is not None:
            values.add(value)
        return [(value, value or "(none)") for value in sorted(values)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = without_nul(self.value())
        return queryset if value is None else queryset.filter(**{self.parameter_name: value})


def other_filter_params(changelist: ChangeList, *own: str) -> list[tuple[str, str]]:
    """Return the list's other filter parameters, for a filter's form to keep."""
    return [
        (name, value)
        for name, values in changelist.filter_params.items()
        if name not in own
        for value in values
    ]


def without_nul(value: Any) -> Any:
    """Remove NUL characters, which PostgreSQL rejects."""
    return value.replace("\0", "") if isinstance(value, str) else value
