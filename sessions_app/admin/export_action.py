"""The action "Export…" of the session list: choose a format and download the selection.

The page with the form posts the action to the list again, so that Django builds the same
queryset. The response is the file, streamed while it is generated.
"""

from collections.abc import Iterator
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.core.handlers.asgi import ASGIRequest
from django.db import connections
from django.db.models import QuerySet
from django.http import HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.translation import ngettext

from sessions_app.admin.export_files import FORMATS, Row, batches
from sessions_app.admin.formatting import readable_query, session_count
from sessions_app.admin.paging import count_up_to
from sessions_app.admin.posted_selection import PostedSelection
from sessions_app.admin.shared import ModelAdmin, admin_page, current_user
from sessions_app.admin.transcript_access import may_read_transcripts
from sessions_app.models import Export, Session
from sessions_app.review.reading_log import record_reading
from sessions_app.streamed_files import buffered, iterate_in_threads

VIA = "export"
_MANY = 10_000  # counting more would take too long
_CONTENT_TYPES = {"csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl; charset=utf-8"}


class SessionExportForm(forms.Form):
    """The format of the export, and whether it includes transcripts."""

    format = forms.ChoiceField(
        choices=[
            ("csv", "CSV, for spreadsheets"),
            ("jsonl", "JSON Lines, for programs"),
        ],
        initial="csv",
        widget=forms.RadioSelect,
    )
    transcripts = forms.BooleanField(
        required=False,
        label="Include transcripts",
        help_text="CSV then has one row per message; in JSON Lines, each session includes its "
        "messages. Your access to these transcripts is logged.",
    )

    def __init__(self, *args: Any, may_read: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not may_read:
            del self.fields["transcripts"]


@admin.action(permissions=["export"], description="Export…")
def export_sessions(
    model_admin: ModelAdmin, request: HttpRequest, queryset: QuerySet[Session]
) -> HttpResponseBase:
    """Show the form; once it is submitted, send the file."""
    may_read = may_read_transcripts(request)
    if "transcripts" in request.POST and not may_read:
        raise PermissionDenied
    chosen = "export" in request.POST
    form = SessionExportForm(request.POST if chosen else None, may_read=may_read)
    selection = PostedSelection.from_request(request, export_sessions.__name__)
    if not chosen or not form.is_valid():
        return _choice(model_admin, request, form, selection, queryset)
    ending: str = form.cleaned_data["format"]
    transcripts: bool = form.cleaned_data.get("transcripts", False)
    pieces = _pieces(
        queryset,
        user=current_user(request),
        ending=ending,
        transcripts=transcripts,
        description=_description(selection),
    )
    name = f"Chat sessions {timezone.localdate().isoformat()}.{ending}"
    headers = {
        "Content-Type": _CONTENT_TYPES[ending],
        "Content-Disposition": f'attachment; filename="{name}"',
        "Cache-Control": "no-store",
        "Content-Encoding": "identity",  # keeps proxies from compressing it, which would buffer it
        "X-Accel-Buffering": "no",
        "X-Content-Type-Options": "nosniff",
    }
    if not isinstance(request, ASGIRequest):
        return StreamingHttpResponse(pieces, headers=headers)
    connections.close_all()  # none should stay open while the file is sent
    return StreamingHttpResponse(iterate_in_threads(pieces), headers=headers)


def _description(selection: PostedSelection) -> str:
    """Describe the selection for the log."""
    filters = "the whole list"
    if selection.query:
        filters = f"the list with {readable_query(selection.query)}"
    if selection.is_across_pages:
        return filters
    return f"{session_count(len(set(selection.ticked)))} of {filters}"


def _choice(
    model_admin: ModelAdmin,
    request: HttpRequest,
    form: SessionExportForm,
    selection: PostedSelection,
    queryset: QuerySet[Session],
) -> HttpResponseBase:
    count = count_up_to(queryset, _MANY)
    return admin_page(
        model_admin,
        request,
        "admin/sessions_app/session/export.html",
        title="Export chat sessions",
        form=form,
        selection=selection,
        count=f"{count} {ngettext('session', 'sessions', count)}",
    )


def _pieces(
    queryset: QuerySet[Session],
    *,
    user: User,
    ending: str,
    transcripts: bool,
    description: str,
) -> Iterator[bytes]:
    """Yield the file's chunks; logs the export before the first one, and the progress with each."""
    entry = Export.objects.create(
        user=user,
        username=user.get_username(),
        selection=description,
        format=ending,
        with_transcripts=transcripts,
    )
    log = Export.objects.filter(pk=entry.pk)

    def recorded() -> Iterator[list[Row]]:
        exported = 0
        for rows in batches(queryset, transcripts=transcripts):
            if transcripts:
                record_reading(user, (row["id"] for row in rows if row["message_count"]), via=VIA)
            exported += len(rows)
            log.update(exported=exported)
            yield rows
        log.update(finished_at=timezone.now())

    return buffered(FORMATS[ending](recorded(), transcripts=transcripts))
