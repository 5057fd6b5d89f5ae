"""The action "Remove empty auto-named automagik sessions": confirm, remove, report.

A selection that is too large for one request is removed over several. Between them, the CleanupRun
stores the cursor, and the page's form contains the selection: it posts the action to the list
again, so that Django builds the same queryset.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any, cast

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.db import Error
from django.db.models import OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import ngettext

from sessions_app.admin.formatting import day_on_one_line, session_count
from sessions_app.admin.posted_selection import PostedSelection
from sessions_app.admin.session_filters import RemovableFilter
from sessions_app.admin.shared import ModelAdmin, admin_page, current_user
from sessions_app.cleanup.run import continue_cleanup, finish_cleanup, start_cleanup
from sessions_app.database_errors import one_line
from sessions_app.models import CleanupRun, Session
from sessions_app.querysets import KeptCounts, RemovalPlan, SessionQuerySet

logger = logging.getLogger(__name__)

REQUEST_TIME_BUDGET = 2.0  # seconds that one request spends on removals
SAMPLE_SIZE = 10
_MAX_COUNT = 2**31 - 1  # the limit of the column CleanupRun.matched


class RemovalForm(forms.Form):
    """What the confirmation page and the progress page post in addition to the selection."""

    confirm = forms.BooleanField(required=False)
    matched = forms.IntegerField(required=False, min_value=0, max_value=_MAX_COUNT)
    run = forms.IntegerField(required=False, min_value=1)
    stop = forms.BooleanField(required=False)


@dataclass(frozen=True)
class Selection:
    """The selected sessions, and the form fields that select them again.

    The two querysets have the same sessions: one is fast to count, the other to read in batches.
    """

    for_counting: SessionQuerySet
    for_batches: SessionQuerySet
    url: str
    fields: list[tuple[str, str]]
    criteria: dict[str, Any]
    is_removable: bool  # whether the list's filter makes all of them removable

    @classmethod
    def from_request(cls, request: HttpRequest, queryset: QuerySet[Session]) -> Selection:
        """Return the selection that the list's form posted."""
        posted = PostedSelection.from_request(request, remove_empty_sessions.__name__)
        if posted.is_across_pages:
            listed = cast("SessionQuerySet", queryset.order_by())
            # As a subquery, the whole list would be evaluated again for each count.
            is_plain = not listed.query.distinct
            for_counting = (
                listed if is_plain else Session.objects.filter(pk__in=listed.values("pk"))
            )
            # A separate query, since rows of a joined list cannot be locked. A scalar subquery
            # looks up each row in the list: with `pk__in` or Exists() the planner evaluates the
            # whole list for each batch.
            row = listed.filter(pk=OuterRef("pk")).values(is_listed=Value(True))
            for_batches = Session.objects.filter(Coalesce(Subquery(row[:1]), False))
        else:
            for_counting = for_batches = Session.objects.filter(pk__in=posted.ticked)
        is_removable = request.GET.get(RemovableFilter.parameter_name) == "yes"
        return cls(
            for_counting=for_counting,
            for_batches=for_batches,
            url=posted.url,
            fields=posted.fields,
            criteria=_criteria(posted),
            is_removable=posted.is_across_pages and is_removable,
        )

    def plan(self) -> RemovalPlan:
        """Return how many sessions would be removed, and how many would be kept and why."""
        if not self.is_removable:
            return self.for_counting.removal_plan()
        # The list's filter has already applied the condition, which is expensive.
        kept = KeptCounts(**{field.name: 0 for field in fields(KeptCounts)})
        return RemovalPlan(self.for_counting.count(), kept)


def _criteria(posted: PostedSelection) -> dict[str, Any]:
    """Identify the selection by the list's filters and, unless all are selected, the ids."""
    if posted.is_across_pages:
        return {"list": posted.query}
    ids = sorted(set(posted.ticked))
    digest = hashlib.sha256("\n".join(ids).encode()).hexdigest()
    filters = {"list": posted.query} if posted.query else {}
    return {"selected": len(ids), "ids_sha256": digest, **filters}


class NotContinuable(Exception):
    """The request refers to a cleanup that it may not continue."""


@admin.action(permissions=["delete"], description="Remove empty auto-named automagik sessions")
def remove_empty_sessions(
    model_admin: ModelAdmin, request: HttpRequest, queryset: QuerySet[Session]
) -> HttpResponse:
    """Show the confirmation; once confirmed, remove sessions and show progress or outcome."""
    selection = Selection.from_request(request, queryset)
    form = RemovalForm(request.POST)
    if not form.is_valid():
        reason = "The form is not valid. Start again from the list."
        return _nothing_removed(model_admin, request, selection, reason)
    try:
        if form.cleaned_data["run"]:
            run = _run_to_continue(request, selection, form.cleaned_data["run"])
        elif form.cleaned_data["confirm"]:
            run = _start(model_admin, request, selection, form.cleaned_data["matched"])
        else:
            return _confirmation(model_admin, request, selection)
    except NotContinuable as error:
        return _nothing_removed(model_admin, request, selection, str(error))
    except Error as error:
        reason = f"The database reports: {one_line(error)}"
        return _nothing_removed(model_admin, request, selection, reason)

    try:
        if form.cleaned_data["stop"]:
            finish_cleanup(run, CleanupRun.Status.PARTIAL)
        else:
            continue_cleanup(run, selection.for_batches, seconds=REQUEST_TIME_BUDGET)
    except Error as error:
        logger.warning("%s failed: %s", run, one_line(error))
        # Not saved: already recorded, unless the database is unreachable.
        run.status, run.error = CleanupRun.Status.FAILED, one_line(error)
    if run.status == CleanupRun.Status.RUNNING:
        return _progress(model_admin, request, selection, run)
    return _outcome(model_admin, request, selection, run)


def _nothing_removed(
    model_admin: ModelAdmin, request: HttpRequest, selection: Selection, reason: str
) -> HttpResponse:
    model_admin.message_user(request, f"Nothing was removed. {reason}", messages.ERROR)
    return HttpResponseRedirect(selection.url)


def undo_notice() -> str:
    """Return a sentence that says until when a removal can be undone if it is made now."""
    days = settings.CLEANUP_ARCHIVE_DAYS
    if days == 0:
        return "This cannot be undone: removed sessions are not archived here."
    last_day = timezone.localdate() + timedelta(days=days)
    return format_html("This can be undone until {}.", day_on_one_line(last_day))


def _start(
    model_admin: ModelAdmin, request: HttpRequest, selection: Selection, matched: int | None
) -> CleanupRun:
    """Start a run; `matched` is the number that the confirmation page showed."""
    user = current_user(request)
    if matched is None:
        matched = selection.plan().removable
    run = start_cleanup(
        source=CleanupRun.Source.ADMIN,
        started_by=user.get_username(),
        user=user,
        matched=matched,
        criteria=selection.criteria,
    )
    model_admin.log_addition(request, run, f"Started removing {session_count(matched)}.")
    return run


def _run_to_continue(request: HttpRequest, selection: Selection, pk: int) -> CleanupRun:
    """Return the user's own unfinished run, even if it has been marked as interrupted.

    Raises NotContinuable.
    """
    run = CleanupRun.objects.filter(
        pk=pk, source=CleanupRun.Source.ADMIN, user=request.user.pk
    ).first()
    if run is None:
        raise NotContinuable(f"Cleanup {pk} is not yours to continue.")
    if run.status not in CleanupRun.UNFINISHED or run.archive_purged_at:
        raise NotContinuable(f"{run} has already ended ({run.get_status_display().lower()}).")
    if run.criteria != selection.criteria:
        raise NotContinuable(f"{run} was started for another selection.")
    return run


def _confirmation(
    model_admin: ModelAdmin, request: HttpRequest, selection: Selection
) -> HttpResponse:
    plan = selection.plan()
    sample = selection.for_counting.removable().select_related("user", "agent").order_by("pk")
    return admin_page(
        model_admin,
        request,
        "admin/sessions_app/session/remove_confirmation.html",
        title="Remove empty sessions",
        selection=selection,
        removable=plan.removable,
        selected=plan.removable + plan.kept.total,
        kept=[
            (getattr(plan.kept, reason), label)
            for reason, label in KeptCounts.LABELS.items()
            if getattr(plan.kept, reason)
        ],
        kept_total=plan.kept.total,
        sample=sample[:SAMPLE_SIZE],
        undo=undo_notice(),
    )


def _progress(
    model_admin: ModelAdmin, request: HttpRequest, selection: Selection, run: CleanupRun
) -> HttpResponse:
    return admin_page(
        model_admin,
        request,
        "admin/sessions_app/progress.html",
        title="Removing empty sessions",
        action_url=selection.url,
        done_url=selection.url,
        fields=[*selection.fields, ("run", run.pk)],
        participle="removed",
        count=run.removed,
        total=run.matched,
    )


def _outcome(
    model_admin: ModelAdmin, request: HttpRequest, selection: Selection, run: CleanupRun
) -> HttpResponse:
    """Redirect to the list with a message about the outcome."""
    text, level = _report(run)
    link = _link(model_admin, request, run)
    model_admin.message_user(request, format_html("{} {}", text, link), level)
    return HttpResponseRedirect(selection.url)


def _report(run: CleanupRun) -> tuple[str, int]:
    missing = max(0, run.matched - run.removed)
    removed = session_count(run.removed)
    if missing:
        removed = f"{run.removed:,} of {session_count(run.matched)}"
    if run.status == CleanupRun.Status.FAILED:
        reason = run.error.rstrip(".")
        return f"A database error ended the cleanup ({reason}). Removed {removed}.", messages.ERROR
    if run.status == CleanupRun.Status.PARTIAL:
        return f"Stopped. Removed {removed}.", messages.WARNING
    if missing:
        were = ngettext("was", "were", missing)
        kept = f"{missing:,} {were} in use or already gone."
        return f"Removed {removed}; {kept}", messages.WARNING
    return f"Removed {removed}.", messages.SUCCESS


def _link(model_admin: ModelAdmin, request: HttpRequest, run: CleanupRun) -> str:
    if not model_admin.admin_site.get_model_admin(CleanupRun).has_view_permission(request):
        return f"({run})"
    url = reverse("admin:sessions_app_cleanuprun_change", args=[run.pk])
    return format_html('<a href="{}">{}</a>', url, run)
