"""The admin pages of the access logs: who read which transcripts, who exported which sessions."""

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
from sessions_app.admin.formatting import readable_query, short_time
from sessions_app.admin.shared import (
    LINK_LENGTH,
    ModelAdmin,
    ReadOnlyAdmin,
    RelatedLink,
    link_if_allowed,
    may_view,
    time_field,
)
from sessions_app.models import Export, Session, TranscriptReading


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
    """Who read what; only sessions_app.review.reading_log writes this log."""

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


class TranscriptsFilter(admin.SimpleListFilter):
    """Filters by whether the file had transcripts."""

    title = "transcripts"
    parameter_name = "with_transcripts__exact"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("1", "With transcripts"), ("0", "Without")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Export]) -> QuerySet[Export]:
        value = self.value()
        return queryset if value is None else queryset.filter(with_transcripts=value == "1")


@admin.register(Export)
class ExportAdmin(ReadOnlyAdmin):
    """Who exported what; visible to users who may view the reading log."""

    list_display = ("started", "username", "chosen", "sessions", "transcripts", "format")
    list_display_links = ("started",)
    list_filter = (TranscriptsFilter, ReaderFilter, ("started_at", TimeFilter))
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    sortable_by = ()
    ordering = ("-started_at", "-id")
    empty_list_hint = "Select chat sessions in their list and choose “Export…”."
    fields = (
        *("username", "user", "selection", "sessions", "transcripts", "format"),
        *("started_at_shown", "finished_at_shown"),
    )

    started_at_shown = time_field("started_at")
    finished_at_shown = time_field("finished_at")

    class Media:
        css = {"all": ["sessions_app/admin/records.css", "sessions_app/admin/access_logs.css"]}

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may_view(request, TranscriptReading)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return KeyedChangeList

    @admin.display(description="started")
    def started(self, export: Export) -> str:
        return short_time(export.started_at)

    @admin.display(description="selection")
    def chosen(self, export: Export) -> str:
        return format_html('<span title="{}">{}</span>', export.selection, export.selection)

    @admin.display(description="sessions")
    def sessions(self, export: Export) -> str:
        """Return how many sessions were exported; for an aborted download, how many up to then."""
        ended = "" if export.finished_at else ", not finished"
        return f"{export.exported:,}{ended}"

    @admin.display(description="transcripts")
    def transcripts(self, export: Export) -> str:
        return "With transcripts" if export.with_transcripts else "Without"
