"""The filters beside the lists. None of them reads a whole table to list its choices."""

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth.models import User
from django.core.exceptions import EmptyResultSet
from django.db.models import Exists, Model, OuterRef, Q, QuerySet
from django.http import HttpRequest

from sessions_app.admin.shared import ModelAdmin
from sessions_app.models import CleanupRun, Message, Session
from sessions_app.querysets import PHANTOM_PLATFORM, CleanupRunQuerySet, SessionQuerySet


class RemovableFilter(admin.SimpleListFilter):
    """Whether a cleanup may remove the session."""

    title = "removable"
    parameter_name = "removable"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> list[tuple[str, str]]:
        return [("yes", "Yes (empty and auto-named)"), ("no", "No")]

    def queryset(self, request: HttpRequest, queryset: Any) -> SessionQuerySet:
        sessions: SessionQuerySet = queryset
        if self.value() == "yes":
            return sessions.removable()
        if self.value() == "no":
            removable = Session.objects.removable().filter(pk=OuterRef("pk"))
            return sessions.filter(~Exists(removable))
        return sessions


class PlatformFilter(admin.SimpleListFilter):
    """Offers the platforms of the newest sessions: cheap to find, and nearly always all."""

    title = "platform"
    parameter_name = "platform"
    NEWEST = 500

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> list[tuple[str, str]]:
        newest = Session.objects.order_by("-created_at", "-pk").values_list("platform", flat=True)
        platforms = {PHANTOM_PLATFORM, *newest[: self.NEWEST]}
        if (value := self.value()) is not None:
            platforms.add(value)
        return [(platform, platform or "(none)") for platform in sorted(platforms)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Session]) -> QuerySet[Session]:
        value = _without_nul(self.value())
        return queryset if value is None else queryset.filter(platform=value)


class UserFilter(admin.ListFilter):
    """A text field for a user name or an e-mail address, instead of a list of all users."""

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
        self.value = _without_nul(str(self.used_parameters.get(self.PARAMETER, "")).strip())

    def has_output(self) -> bool:
        return True

    def expected_parameters(self) -> list[str | None]:
        return [self.PARAMETER]

    def choices(self, changelist: ChangeList) -> Iterator[Mapping[str, object]]:
        others = {**changelist.filter_params}
        others.pop(self.PARAMETER, None)
        yield {
            "name": self.PARAMETER,
            "value": self.value,
            "others": [(name, value) for name, values in others.items() for value in values],
            "clear": changelist.get_query_string(remove=[self.PARAMETER]),
        }

    def queryset(self, request: HttpRequest, queryset: QuerySet[Session]) -> QuerySet[Session]:
        if not self.value:
            return queryset
        matching = Q(username__iexact=self.value) | Q(email__iexact=self.value)
        # Found first: the planner knows how many sessions these users have, not a subquery's.
        users = list(User.objects.filter(matching).values_list("pk", flat=True)[: self.AT_MOST])
        return queryset.filter(user__in=users)


class TimeFilter(admin.DateFieldListFilter):
    """Django's date filter, which also rejects bounds that the database cannot represent."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Model]) -> QuerySet[Model] | None:
        filtered = super().queryset(request, queryset)
        try:
            # Converting a bound to UTC, as for SQLite, may leave the calendar's range.
            if filtered is not None:
                filtered.query.sql_with_params()
        except EmptyResultSet:
            pass
        except OverflowError as error:
            raise IncorrectLookupParameters(error) from error
        return filtered


class SessionFilter(admin.SimpleListFilter):
    """One session's messages; shown only when in use, through the link on a session's page."""

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

    def queryset(self, request: HttpRequest, queryset: QuerySet[Message]) -> QuerySet[Message]:
        value = self.value()
        return queryset if value is None else queryset.filter(session_id=UUID(value))


class RunStatusFilter(admin.SimpleListFilter):
    """The current status of a cleanup: one that is presumed dead counts as interrupted."""

    title = "status"
    parameter_name = "status__exact"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> list[tuple[str, str]]:
        return [(status.value, status.label) for status in CleanupRun.Status]

    def queryset(self, request: HttpRequest, queryset: Any) -> CleanupRunQuerySet:
        runs: CleanupRunQuerySet = queryset
        value = self.value()
        return runs if value is None else runs.with_current_status().filter(Q(current_status=value))


def _without_nul(value: Any) -> Any:
    """The text without NUL characters, which PostgreSQL rejects."""
    return value.replace("\0", "") if isinstance(value, str) else value
