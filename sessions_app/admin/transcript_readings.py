"""The admin pages of the reading log: who read which transcripts, where and when."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.text import Truncator

from sessions_app.admin.changelist import KeyedChangeList
from sessions_app.admin.filters import TimeFilter, UserFilter
from sessions_app.admin.shared import (
    LINK_LENGTH,
    ModelAdmin,
    ReadOnlyAdmin,
    RelatedLink,
    link_if_allowed,
    may_view,
    readable_query,
    short_time,
    time_field,
)
from sessions_app.models import Session, TranscriptReading


class ReaderFilter(UserFilter):
    """Filters by the reader's name, which stays in the log when the account is deleted."""

    title = "reader"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(username__iexact=self.value) if self.value else queryset


class KindFilter(admin.SimpleListFilter):
    """Filters by what was read: single sessions, or lists, which are read more often."""

    title = "what"
    parameter_name = "what"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> list[tuple[str, str]]:
        return [("sessions", "Single sessions"), ("lists", "Lists")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        return queryset if value is None else queryset.filter(session_id__isnull=value == "lists")


class ReadingList(KeyedChangeList):
    """Fetches the sessions of a page's rows, to which the log has no foreign key."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        attach_sessions(request, self.result_list)


def attach_sessions(request: HttpRequest, readings: list[Any]) -> None:
    """Set each reading's `chat_session`: None if it was deleted or may not be viewed."""
    ids = {reading.session_id for reading in readings} - {None}
    found: dict[UUID, Session] = {}
    if may_view(request, Session):
        found = Session.objects.only("name").in_bulk(ids)
    for reading in readings:
        reading.chat_session = found.get(reading.session_id)


@dataclass(frozen=True)
class LoggedSessionLink(RelatedLink):
    """The session that was read: a link, or its id if it was deleted or may not be viewed."""

    def __call__(self, row: Any) -> str:
        chat_session: Session | None = row.chat_session
        if row.session_id is None:
            return "-"
        if chat_session is None:
            return str(row.session_id)
        return link_if_allowed(
            self.request, chat_session, Truncator(str(chat_session)).chars(LINK_LENGTH)
        )


@admin.register(TranscriptReading)
class TranscriptReadingAdmin(ReadOnlyAdmin):
    """Who read what; only sessions_app.review.readings writes this log."""

    list_display = ("read", "username", "session", "via", "filters")
    list_display_links = ("read",)
    list_filter = (KindFilter, ReaderFilter, ("read_at", TimeFilter))
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    sortable_by = ()
    ordering = ("-read_at", "-id")
    empty_list_hint = "Staff who open a conversation are listed here."
    search_fields = ("session_id",)
    search_help_text = "Id of a chat session"
    fields = ("username", "user", "session", "session_id", "via", "filters", "read_at_shown")
    readonly_fields = ("session",)

    read_at_shown = time_field("read_at")

    class Media:
        css = {"all": ["sessions_app/admin/records.css", "sessions_app/admin/access_logs.css"]}

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return ReadingList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if not search_term.strip():
            return queryset, False
        try:
            return queryset.filter(session_id=UUID(search_term.strip())), False
        except ValueError:
            return queryset.none(), False

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Any:
        reading = super().get_object(request, object_id, from_field)
        if reading is not None:
            attach_sessions(request, [reading])
        return reading

    def _linked(self, request: HttpRequest, name: Any) -> Any:
        if name == "session":
            return LoggedSessionLink(name, request)
        return super()._linked(request, name)

    @admin.display(description="when")
    def read(self, reading: TranscriptReading) -> str:
        return short_time(reading.read_at)

    @admin.display(description="session")
    def session(self, reading: TranscriptReading) -> str:
        return str(reading.session_id or "-")

    @admin.display(description="search and filters", empty_value="-")
    def filters(self, reading: TranscriptReading) -> str:
        text = readable_query(reading.query)
        return format_html('<span title="{}">{}</span>', text, text) if text else ""
