"""The base of admin pages that show what was said: only to those who may read it, and logged."""

from collections.abc import Iterable
from operator import attrgetter
from typing import Any, ClassVar, cast
from uuid import UUID

from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from sessions_app.admin.shared import ReadOnlyAdmin, may_read_transcripts
from sessions_app.review.reading_log import record_reading


class TranscriptAdmin(ReadOnlyAdmin):
    """Read-only pages of rows that hold a part of what was said in a session."""

    # What shows it; hidden from users who may not read transcripts.
    transcript_fields: ClassVar[tuple[str, ...]] = ()
    session_of: ClassVar[str] = "session_id"  # a row's session, as an attribute of the row
    # How a reading is recorded; empty where what is shown does not count as one.
    read_via_page: ClassVar[str] = ""
    read_via_list: ClassVar[str] = ""

    def _hidden_fields(self, request: HttpRequest) -> set[str]:
        hidden = super()._hidden_fields(request)
        return hidden if may_read_transcripts(request) else hidden | set(self.transcript_fields)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        self._record(request, [context["original"]], via=self.read_via_page)
        return super().render_change_form(request, context, *args, **kwargs)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        response = super().changelist_view(request, extra_context)
        shown = response.context_data if isinstance(response, TemplateResponse) else None
        # Errors and redirects have no rows.
        if changelist := (shown or {}).get("cl"):
            self._record(request, changelist.result_list, via=self.read_via_list)
        return response

    def _record(self, request: HttpRequest, rows: Iterable[Any], *, via: str) -> None:
        if not via or not may_read_transcripts(request):
            return
        sessions: set[UUID] = set(map(attrgetter(self.session_of), rows))
        # Never anonymous in the admin.
        record_reading(cast("User", request.user), sorted(sessions), via=via)
