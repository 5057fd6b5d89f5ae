"""The admin pages of cleanup runs: what each one did, and how to restore what it removed."""

from datetime import timedelta
from typing import Any, cast

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.formats import date_format
from django.utils.html import format_html

from sessions_app.admin.badges import cleanup_badge
from sessions_app.admin.formatting import day_on_one_line, duration, session_count, short_time
from sessions_app.admin.removed_sessions_table import ArchivedSession, read_archive, with_users
from sessions_app.admin.restoring import confirmation, restore
from sessions_app.admin.shared import (
    ModelAdmin,
    ReadOnlyAdmin,
    count_field,
    json_field,
    link_if_allowed,
    may_view,
    time_field,
)
from sessions_app.cleanup.archive_search import Found, ids_in, search_runs
from sessions_app.cleanup.run_querysets import CleanupRunQuerySet
from sessions_app.models import CleanupRun, Session
from sessions_app.time_conversion import local_time

_PRESENT_SHOWN = 3
_COUNTS = ("matched_shown", "removed_shown", "restored_shown")


class RunStatusFilter(admin.SimpleListFilter):
    """Filters by the current status; a cleanup that is presumed dead counts as interrupted."""

    title = "status"
    parameter_name = "status__exact"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> list[tuple[str, str]]:
        return [(status.value, status.label) for status in CleanupRun.Status]

    def queryset(self, request: HttpRequest, queryset: Any) -> CleanupRunQuerySet:
        runs: CleanupRunQuerySet = queryset
        value = self.value()
        return runs if value is None else runs.with_current_status().filter(Q(current_status=value))


class CleanupRunList(ChangeList):
    """Lists the runs that removed the sessions found by a search."""

    found: Found | None
    found_rows: list[ArchivedSession]
    present: list[str]  # links to existing sessions with that id

    def get_queryset(
        self, request: HttpRequest, exclude_parameters: list[str | None] | None = None
    ) -> QuerySet[Any]:
        runs: QuerySet[Any] = super().get_queryset(request, exclude_parameters)
        text = self.query.replace("\0", "").strip()
        self.found, self.found_rows, self.present = None, [], []
        if not text:
            return runs
        self.found = search_runs(text)
        self.found_rows = with_users(request, self.found.rows)
        self.present = _present(request, text)
        return runs.filter(pk__in={row.run_id for row in self.found.rows})


@admin.register(CleanupRun)
class CleanupRunAdmin(ReadOnlyAdmin):
    """The log of cleanups, whether started by the command or in the admin."""

    list_display = (
        "id",
        "started",
        "started_by",
        "source",
        "shown_status",
        *_COUNTS,
        "took",
    )
    list_display_links = ("id", "started")
    list_filter = (RunStatusFilter, "source")
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    sortable_by = ()
    ordering = ("-id",)
    search_fields = ("removed_sessions__session_id",)  # makes Django show the search box
    search_help_text = (
        "Id (or at least its first 8 characters) or name of a session that may have been removed"
    )
    empty_list_hint = (
        "Start one on the dashboard, from the list of chat sessions, or with cleanup_sessions."
    )

    fieldsets = (
        (
            None,
            {"fields": ("shown_status", "shown_error", *_COUNTS, "undo")},
        ),
        (
            "Who and when",
            {"fields": ("started_by", "source", "started_at_shown", "finished_at_shown", "took")},
        ),
        (
            "What was selected",
            {
                "fields": ("criteria_json",),
                "description": "“selected” is the number of selected rows, and “ids_sha256” the "
                "hash of their ids; “list” contains the list's filters (empty for the whole "
                "list); everything else is an option of the command.",
            },
        ),
    )

    matched_shown = count_field("matched")
    removed_shown = count_field("removed")
    restored_shown = count_field("restored")
    started_at_shown = time_field("started_at")
    finished_at_shown = time_field("finished_at")
    criteria_json = json_field("criteria")

    class Media:
        css = {"all": ["sessions_app/admin/records.css", "sessions_app/admin/cleanup_runs.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[CleanupRun]:
        return cast("CleanupRunQuerySet", super().get_queryset(request)).with_restore_obstacle()

    @admin.display(description="started")
    def started(self, run: CleanupRun) -> str:
        return short_time(run.started_at)

    @admin.display(description="status")
    def shown_status(self, run: CleanupRun) -> str:
        return cleanup_badge(run.current_status)

    def get_fieldsets(self, request: HttpRequest, obj: CleanupRun | None = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        if obj is not None and not self.shown_error(obj):
            fieldsets[0][1]["fields"].remove("shown_error")
        return fieldsets

    @admin.display(description="error")
    def shown_error(self, run: CleanupRun) -> str:
        return run.error or (CleanupRunQuerySet.PROCESS_EXITED if _is_presumed_dead(run) else "")

    @admin.display(description="duration")
    def took(self, run: CleanupRun) -> str:
        if _is_presumed_dead(run):
            return _as_duration(run.heartbeat_at - run.started_at)
        return _as_duration(run.duration)

    @admin.display(description="can be undone")
    def undo(self, run: CleanupRun) -> str:
        reason = why_not_restorable(run)
        if reason:
            return f"No: {reason}"
        last_day = day_on_one_line(local_time(run.restorable_until).date())
        count = session_count(run.archived)
        return format_html("{} can be restored, at least until {}.", count, last_day)

    def get_urls(self) -> list[URLPattern]:
        restore = path(
            "<path:object_id>/restore/",
            self.admin_site.admin_view(self.restore_view),
            name="sessions_app_cleanuprun_restore",
        )
        return [restore, *super().get_urls()]

    def has_restore_permission(self, request: HttpRequest) -> bool:
        """Whether the user may restore sessions, which viewing the runs does not include."""
        return request.user.has_perm("sessions_app.restore_session")

    # --- The list, and its search for removed sessions --------------------------------

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return CleanupRunList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[CleanupRun], search_term: str
    ) -> tuple[QuerySet[CleanupRun], bool]:
        return queryset, False  # CleanupRunList searches

    # --- One run ---------------------------------------------------------------------

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Render the run, with a page of the sessions that it removed."""
        run: CleanupRun = context["original"]
        context["restorable"] = self.has_restore_permission(request) and not why_not_restorable(run)
        context["archive"] = read_archive(request, run)
        return super().render_change_form(request, context, *args, **kwargs)

    def restore_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show the confirmation; once confirmed, restore the run's sessions."""
        # Checked before the run is looked up, so that nothing reveals which runs exist.
        if not self.has_view_permission(request) or not self.has_restore_permission(request):
            raise PermissionDenied
        run: CleanupRun | None = self.get_object(request, unquote(object_id))
        if run is None:
            url = reverse("admin:sessions_app_cleanuprun_changelist")
            self.message_user(request, "There is no such cleanup.", messages.WARNING)
            return HttpResponseRedirect(url)
        if request.method == "POST":
            return restore(self, request, run)
        return confirmation(self, request, run, why_not_restorable(run))


def _present(request: HttpRequest, text: str) -> list[str]:
    """Return links to sessions with that id that were not removed, or have been restored."""
    if not may_view(request, Session) or not (ids := ids_in(text)):
        return []
    rows = Session.objects.filter(pk__range=ids).order_by("pk").only("name")[:_PRESENT_SHOWN]
    return [link_if_allowed(request, row, str(row)) for row in rows]


def _is_presumed_dead(run: CleanupRun) -> bool:
    return run.current_status != run.status


def why_not_restorable(run: CleanupRun) -> str:
    """Return why the run's sessions cannot be restored, or an empty text if they can."""
    obstacle = CleanupRun.RestoreObstacle
    if not run.restore_obstacle:
        return ""
    if run.restore_obstacle == obstacle.RUNNING:
        return "the cleanup is still running, or was left unfinished a few minutes ago."
    if run.restore_obstacle == obstacle.PURGED and run.archive_purged_at:
        purged = date_format(local_time(run.archive_purged_at), "DATE_FORMAT")
        return f"the archive was purged on {purged}."
    if run.removed == 0:
        return "nothing was removed."
    if run.restored >= run.removed:
        return "all of its sessions have been restored."
    return "the removed data was not archived."


def _as_duration(span: timedelta) -> str:
    # May be negative: the two times may be from different clocks, the database's and the process's.
    return duration(max(0.0, span.total_seconds()))
