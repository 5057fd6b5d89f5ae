"""Who may read transcripts in the admin, and the base of pages that log each reading."""

from operator import attrgetter
from typing import Any, ClassVar

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from sessions_app.admin.shared import ReadOnlyAdmin, current_user
from sessions_app.review.reading_log import record_list_reading, record_reading


def may_read_transcripts(request: HttpRequest) -> bool:
    """Whether the user may read transcripts: see sessions_app.review.reading_log."""
    return request.user.has_perm("sessions_app.read_transcripts")


class TranscriptAdmin(ReadOnlyAdmin):
    """Read-only pages of rows that contain a part of a session's transcript."""

    # The fields that show it; hidden from users who may not read transcripts.
    transcript_fields: ClassVar[tuple[str, ...]] = ()
    session_of: ClassVar[str] = "session_id"  # the attribute of a row with its session's id
    # What the reading log records as the place.
    read_via_page: ClassVar[str]
    read_via_list: ClassVar[str]

    def shows_text(self, request: HttpRequest, row: Any) -> bool:
        """Whether the list's row shows a part of a transcript."""
        return True

    def _hidden_fields(self, request: HttpRequest) -> set[str]:
        hidden = super()._hidden_fields(request)
        return hidden if may_read_transcripts(request) else hidden | set(self.transcript_fields)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        if may_read_transcripts(request):
            session_id = attrgetter(self.session_of)(context["original"])
            record_reading(current_user(request), [session_id], via=self.read_via_page)
        return super().render_change_form(request, context, *args, **kwargs)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        response = super().changelist_view(request, extra_context)
        shown = response.context_data if isinstance(response, TemplateResponse) else None
        # Error pages and redirects have no rows.
        changelist = (shown or {}).get("cl")
        if (
            changelist
            and may_read_transcripts(request)
            and any(self.shows_text(request, row) for row in changelist.result_list)
        ):
            query = request.GET.urlencode()
            record_list_reading(current_user(request), via=self.read_via_list, query=query)
        return response
