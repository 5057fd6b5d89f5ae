"""Restores what a cleanup removed: the selected sessions, or all of them over several requests.

Between requests, the page's form contains where to continue, and the run counts what has been
restored.
"""

from __future__ import annotations

import logging
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db import Error
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from sessions_app.admin.formatting import session_count
from sessions_app.admin.shared import ModelAdmin, admin_page
from sessions_app.cleanup.archive_search import PAGE_SIZE
from sessions_app.cleanup.restoring import NotRestorable, restore_chosen, restore_slice
from sessions_app.database_errors import one_line
from sessions_app.models import CleanupRun

logger = logging.getLogger(__name__)

REQUEST_TIME_BUDGET = 2.0  # seconds that one request spends on restoring
_IDS_LISTED = 5
_MAX_COUNT = 2**31 - 1  # the limit of the column CleanupRun.restored


class ArchiveRestoreForm(forms.Form):
    """What the confirmation page and the progress page post; `after` is empty at the start."""

    after = forms.UUIDField(required=False)
    total = forms.IntegerField(required=False, min_value=0, max_value=_MAX_COUNT)
    restored_before = forms.IntegerField(required=False, min_value=0, max_value=_MAX_COUNT)
    stop = forms.BooleanField(required=False)


def restore(model_admin: ModelAdmin, request: HttpRequest, run: CleanupRun) -> HttpResponse:
    """Handle a POST: restore the selected sessions, or the next slice of all sessions."""
    if "ticked" in request.POST:
        return _restore_ticked(model_admin, request, run)
    form = ArchiveRestoreForm(request.POST)
    if not form.is_valid():
        return _to_run(model_admin, request, run, "The form is not valid.", messages.ERROR)
    values = form.cleaned_data
    starts = values["after"] is None
    if starts:
        values |= {"total": run.archived, "restored_before": run.restored}
    before = values["restored_before"] or 0
    if values["stop"]:
        text = f"Stopped. Restored {_out_of(run.restored - before, values['total'])}."
        return _done(model_admin, request, run, text, messages.WARNING)
    try:
        slice_ = restore_slice(run, after=values["after"], seconds=REQUEST_TIME_BUDGET)
    except NotRestorable as error:
        return _to_run(model_admin, request, run, str(error), messages.ERROR)
    except Error as error:
        return _failed(model_admin, request, run, error)
    if slice_.next is None:
        in_use = _left_in_archive(run)
        text = f"Restored {session_count(max(0, run.restored - before))}.{in_use}"
        level = messages.WARNING if in_use else messages.SUCCESS
        return _done(model_admin, request, run, text, level)
    if starts:
        text = f"Started restoring {session_count(values['total'])}."
        model_admin.log_change(request, run, text)
    return admin_page(
        model_admin,
        request,
        "admin/sessions_app/progress.html",
        title="Restoring sessions",
        object=run,
        action_url=reverse("admin:sessions_app_cleanuprun_restore", args=[run.pk]),
        done_url=reverse("admin:sessions_app_cleanuprun_change", args=[run.pk]),
        fields=[
            ("after", slice_.next),
            ("total", values["total"] or 0),
            ("restored_before", before),
        ],
        participle="restored",
        count=max(0, run.restored - before),
        total=values["total"] or 0,
    )


def _restore_ticked(model_admin: ModelAdmin, request: HttpRequest, run: CleanupRun) -> HttpResponse:
    try:
        ids = _ticked(request)
        if not ids:
            text = "Nothing was restored: no session was selected."
            return _to_run(model_admin, request, run, text, messages.WARNING)
        restored = restore_chosen(run, ids)
    except NotRestorable as error:
        return _to_run(model_admin, request, run, str(error), messages.ERROR)
    except Error as error:
        return _failed(model_admin, request, run, error)
    text = f"Restored {session_count(restored.count)}."
    if restored.ids_in_use:
        text += _in_use(restored.ids_in_use, len(restored.ids_in_use))
    gone = len(ids) - restored.count - len(restored.ids_in_use)
    if gone:
        text += f" {session_count(gone)} had already been restored."
    if not restored.count:
        return _to_run(model_admin, request, run, text, messages.WARNING)
    level = messages.WARNING if gone or restored.ids_in_use else messages.SUCCESS
    return _done(model_admin, request, run, text, level)


def _ticked(request: HttpRequest) -> set[UUID]:
    """Return the posted ids. Raises NotRestorable if they are invalid, or more than a page has."""
    try:
        ids = {
            forms.UUIDField().clean(value) or UUID(int=0)
            for value in request.POST.getlist("session")
        }
    except ValidationError:
        raise NotRestorable("Nothing was restored: the form is not valid.") from None
    if len(ids) > PAGE_SIZE:
        raise NotRestorable(f"Nothing was restored: select at most {PAGE_SIZE} sessions.")
    return ids


def _left_in_archive(run: CleanupRun) -> str:
    """Return a sentence with the ids in use again: those left after all were to be restored."""
    left = run.removed_sessions.order_by("session_id").values_list("session_id", flat=True)
    ids = list(left[:_IDS_LISTED])
    return _in_use(ids, run.archived) if ids else ""


def _in_use(ids: list[UUID], count: int) -> str:
    listed = ", ".join(map(str, ids[:_IDS_LISTED]))
    more = f" and {count - _IDS_LISTED:,} more" if count > _IDS_LISTED else ""
    return f" Left in the archive because their ids are in use again: {listed}{more}."


def _out_of(count: int, total: int | None) -> str:
    count = max(0, count)
    if total is None or total <= count:
        return session_count(count)
    return f"{count:,} of {session_count(total)}"


def _failed(
    model_admin: ModelAdmin, request: HttpRequest, run: CleanupRun, error: Error
) -> HttpResponse:
    logger.warning("Restoring %s failed: %s", run, one_line(error))
    text = (
        f"The database reports: {one_line(error)} "
        "What was already restored is kept; the rest can be restored later."
    )
    return _to_run(model_admin, request, run, text, messages.ERROR)


def _done(
    model_admin: ModelAdmin, request: HttpRequest, run: CleanupRun, text: str, level: int
) -> HttpResponse:
    model_admin.log_change(request, run, text)
    return _to_run(model_admin, request, run, text, level)


def _to_run(
    model_admin: ModelAdmin, request: HttpRequest, run: CleanupRun, text: str, level: int
) -> HttpResponse:
    model_admin.message_user(request, text, level)
    return HttpResponseRedirect(reverse("admin:sessions_app_cleanuprun_change", args=[run.pk]))


def confirmation(
    model_admin: ModelAdmin, request: HttpRequest, run: CleanupRun, reason: str
) -> HttpResponse:
    """Ask whether to restore all of the run's sessions, or say why they cannot be restored."""
    return admin_page(
        model_admin,
        request,
        "admin/sessions_app/cleanuprun/restore_confirmation.html",
        title="Restore sessions",
        run=run,
        reason=reason,
        archived=0 if reason else run.archived,
    )
