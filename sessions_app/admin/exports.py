"""The admin pages of the export log: who exported which sessions, how and when."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html

from sessions_app.admin.changelist import KeyedChangeList
from sessions_app.admin.filters import TimeFilter
from sessions_app.admin.shared import ReadOnlyAdmin, may_view, short_time, time_field
from sessions_app.admin.transcript_readings import ReaderFilter
from sessions_app.models import Export, TranscriptReading


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
