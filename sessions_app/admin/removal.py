"""The action "Remove empty auto-named automagik sessions": confirmed, removed, reported.

A selection too large for one request is removed over several. Between them, how far it has
come is kept in the CleanupRun, and what was selected is kept in the page's form, which
posts the action to the list again, so that Django builds the same selection anew.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.views.main import PAGE_VAR
from django.contrib.auth.models import User
from django.db import Error
from django.db.models import OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html

from sessions_app.admin.base import ModelAdmin, counted, first_line
from sessions_app.cleanup import continue_cleanup, start_cleanup
from sessions_app.models import CleanupRun, Session
from sessions_app.querysets import Kept, SessionQuerySet

SLICE_SECONDS = 2.0  # of one request's time for removals
SAMPLE_SIZE = 10
_BIGGEST = 2**31 - 1  # what a count's column holds


class RemovalForm(forms.Form):
    """What the confirmation and the progress page post, beside the selection."""

    confirm = forms.BooleanField(required=False)
    matched = forms.IntegerField(required=False, min_value=0, max_value=_BIGGEST)
    run = forms.IntegerField(required=False, min_value=1)
    stop = forms.BooleanField(required=False)


@dataclass(frozen=True)
class Selection:
    """The selected sessions, and the form's fields that select them again.

    Twice the same ones: in a form that is fast to count, and in one of which a few at a time
    are fast to find.
    """

    counted: SessionQuerySet
    in_batches: SessionQuerySet
    url: str
    fields: list[tuple[str, str]]
    criteria: dict[str, Any]

    @classmethod
    def from_request(cls, request: HttpRequest, queryset: QuerySet[Session]) -> Selection:
        """The selection that Django made of the list's form."""
        # The page one was on may not exist any more when its sessions are gone.
        query = request.GET.copy()
        query.pop(PAGE_VAR, None)
        ticked = request.POST.getlist(ACTION_CHECKBOX_NAME)
        across = request.POST.get("select_across", "0") not in {"", "0"}
        if across:
            listed = queryset.order_by()
            # Queries of their own, since rows of a list that is joined cannot be locked. For
            # removing, each row is looked up in the list, as a value and not as a condition to
            # be planned: with `pk__in` or Exists() the whole list is put together, and for
            # each batch anew.
            row = listed.filter(pk=OuterRef("pk")).values(is_listed=Value(True))
            counted = Session.objects.filter(pk__in=listed.values("pk"))
            in_batches = Session.objects.filter(Coalesce(Subquery(row[:1]), False))
        else:
            counted = in_batches = Session.objects.filter(pk__in=ticked)
        return cls(
            counted=counted,
            in_batches=in_batches,
            url=f"{request.path}?{query.urlencode()}" if query else request.path,
            fields=[
                ("action", remove_empty_sessions.__name__),
                ("select_across", str(int(across))),
                # Django wants one ticked row even when all are selected.
                *((ACTION_CHECKBOX_NAME, pk) for pk in (ticked[:1] if across else ticked)),
            ],
            criteria=_criteria(query.urlencode(), None if across else ticked),
        )


def _criteria(query: str, ticked: list[str] | None) -> dict[str, Any]:
    """Exactly what was selected: the list, by its filters, and which of its rows were ticked."""
    if ticked is None:
        return {"list": query}
    ids = sorted(set(ticked))
    digest = hashlib.sha256("\n".join(ids).encode()).hexdigest()
    return {"selected": len(ids), "ids_sha256": digest, **({"list": query} if query else {})}


class CannotContinue(Exception):
    """The request names a cleanup that it must not go on with."""


@admin.action(permissions=["delete"], description="Remove empty auto-named automagik sessions")
def remove_empty_sessions(
    model_admin: ModelAdmin, request: HttpRequest, queryset: QuerySet[Session]
) -> HttpResponse:
    """Ask first; then remove for a while, and answer with the outcome or the progress."""
    selection = Selection.from_request(request, queryset)
    form = RemovalForm(request.POST)
    try:
        if not form.is_valid():
            raise CannotContinue("The form was not understood. Start again from the list.")
        if form.cleaned_data["run"]:
            run = _run_to_continue(request, selection, form.cleaned_data["run"])
        elif form.cleaned_data["confirm"]:
            run = _start(model_admin, request, selection, form.cleaned_data["matched"])
        else:
            return _confirmation(model_admin, request, selection)
    except CannotContinue as refusal:
        model_admin.message_user(request, f"Nothing was removed. {refusal}", messages.ERROR)
        return HttpResponseRedirect(selection.url)
    except Error as error:
        model_admin.message_user(
            request,
            f"Nothing was removed. The database reports: {first_line(error)}",
            messages.ERROR,
        )
        return HttpResponseRedirect(selection.url)

    try:
        if form.cleaned_data["stop"]:
            run.finish(CleanupRun.Status.PARTIAL)
        else:
            continue_cleanup(run, selection.in_batches, seconds=SLICE_SECONDS)
    except Error as error:
        # When the database is out of reach, the run itself cannot say so.
        run.status, run.error = CleanupRun.Status.FAILED, first_line(error)
    if run.status == CleanupRun.Status.RUNNING:
        return _progress(model_admin, request, selection, run)
    return _outcome(model_admin, request, selection, run)


def undo_until() -> str:
    """How long what is removed now can be put back, in words."""
    days = settings.CLEANUP_ARCHIVE_DAYS
    if days == 0:
        return "This cannot be undone: no archive of removed sessions is kept here."
    last_day = timezone.localdate() + timedelta(days=days)
    return f"This can be undone until {date_format(last_day)}."


def _start(
    model_admin: ModelAdmin, request: HttpRequest, selection: Selection, matched: int | None
) -> CleanupRun:
    """A new run, for as many sessions as the confirmation page announced."""
    user = cast("User", request.user)  # nobody else gets into the admin
    if matched is None:
        matched = selection.counted.survey().removable
    run = start_cleanup(
        source=CleanupRun.Source.ADMIN,
        started_by=user.get_username(),
        user=user,
        matched=matched,
        criteria=selection.criteria,
    )
    model_admin.log_addition(request, run, f"Started the removal of {counted(matched)}.")
    return run


def _run_to_continue(request: HttpRequest, selection: Selection, pk: int) -> CleanupRun:
    """The user's own unfinished run; also one that was given up for dead meanwhile.

    Raises CannotContinue.
    """
    run = CleanupRun.objects.filter(
        pk=pk, source=CleanupRun.Source.ADMIN, user=request.user.pk
    ).first()
    if run is None:
        raise CannotContinue(f"Cleanup {pk} is not yours to go on with.")
    unfinished = run.status in {CleanupRun.Status.RUNNING, CleanupRun.Status.INTERRUPTED}
    if not unfinished or run.archive_purged_at:
        raise CannotContinue(f"{run} has already ended ({run.get_status_display().lower()}).")
    if run.criteria != selection.criteria:
        raise CannotContinue(f"{run} was started for another selection.")
    return run


def _confirmation(
    model_admin: ModelAdmin, request: HttpRequest, selection: Selection
) -> HttpResponse:
    survey = selection.counted.survey()
    sample = selection.counted.removable().select_related("user", "agent").order_by("pk")
    return _page(
        model_admin,
        request,
        "admin/sessions_app/session/remove_confirmation.html",
        title="Remove empty sessions",
        selection=selection,
        removable=survey.removable,
        selected=survey.removable + survey.kept.total,
        kept=[
            (getattr(survey.kept, reason), label)
            for reason, label in Kept.LABELS.items()
            if getattr(survey.kept, reason)
        ],
        kept_total=survey.kept.total,
        sample=sample[:SAMPLE_SIZE],
        undo=undo_until(),
    )


def _progress(
    model_admin: ModelAdmin, request: HttpRequest, selection: Selection, run: CleanupRun
) -> HttpResponse:
    return _page(
        model_admin,
        request,
        "admin/sessions_app/session/remove_progress.html",
        title="Removing empty sessions",
        selection=selection,
        run=run,
    )


def _page(
    model_admin: ModelAdmin, request: HttpRequest, template: str, **context: Any
) -> HttpResponse:
    return TemplateResponse(
        request,
        template,
        {
            **model_admin.admin_site.each_context(request),
            "opts": model_admin.opts,
            "media": model_admin.media,
            **context,
        },
    )


def _outcome(
    model_admin: ModelAdmin, request: HttpRequest, selection: Selection, run: CleanupRun
) -> HttpResponse:
    """Back to the list, with what came of it."""
    text, level = _report(run)
    link = _link(model_admin, request, run)
    model_admin.message_user(request, format_html("{} {}", text, link), level)
    return HttpResponseRedirect(selection.url)


def _report(run: CleanupRun) -> tuple[str, int]:
    missing = max(0, run.matched - run.removed)
    of_all = f"{run.removed} of {counted(run.matched)}" if missing else counted(run.removed)
    if run.status == CleanupRun.Status.FAILED:
        reason = run.error.rstrip(".")
        return f"The database stopped the cleanup ({reason}). Removed {of_all}.", messages.ERROR
    if run.status == CleanupRun.Status.PARTIAL:
        return f"Stopped. Removed {of_all}.", messages.WARNING
    if missing:
        were = "was" if missing == 1 else "were"
        return (
            f"Removed {of_all}; {missing} {were} in use meanwhile, or already gone.",
            messages.WARNING,
        )
    return f"Removed {of_all}.", messages.SUCCESS


def _link(model_admin: ModelAdmin, request: HttpRequest, run: CleanupRun) -> str:
    if not model_admin.admin_site.get_model_admin(CleanupRun).has_view_permission(request):
        return f"({run})"
    url = reverse("admin:sessions_app_cleanuprun_change", args=[run.pk])
    return format_html('<a href="{}">{}</a>', url, run)
