"""The admin pages of feedback."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.db.models.functions import Left
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.text import Truncator

from agents_app.models import Feedback
from sessions_app.admin.filters import TimeFilter
from sessions_app.admin.said import SaidAdmin
from sessions_app.admin.shared import RelatedLink, short_time, time_field
from sessions_app.models import Session

_EXCERPT = 100  # characters


@admin.register(Feedback)
class FeedbackAdmin(SaidAdmin):
    """Feedback: which answers people like and dislike, and why."""

    list_display = ("given", "rating", "short_reason", "excerpt", "session", "user")
    list_filter = ("is_good", ("created_at", TimeFilter))
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    sortable_by = ()
    ordering = ("-created_at", "-id")
    search_fields = ("reason", "user__username")
    search_help_text = "Part of the reason, or user name"
    fields_revealing = {Session: ("session",)}
    fields_said = ("message", "excerpt", "answer")
    session_of = "message.session_id"
    read_via_page, read_via_list = "feedback", "list of feedback"

    fields = ("rating", "reason", "answer", "message", "session", "user", "created_at_shown")
    readonly_fields = ("rating", "answer", "session", "created_at_shown")

    created_at_shown = time_field("created_at")

    class Media:
        css = {"all": ["sessions_app/admin.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Feedback]:
        feedback: QuerySet[Feedback] = super().get_queryset(request)
        columns = ("is_good", "reason", "created_at", "user", "message__position", "message__role")
        return (
            feedback.select_related("message__session", "user")
            .only(*columns, "message__session__name", "user__username")
            .annotate(start=Left("message__text_content", _EXCERPT + 1))
        )

    def _linked(self, request: HttpRequest, name: Any) -> Any:
        return RelatedLink(name, request) if name == "session" else super()._linked(request, name)

    @admin.display(description="given")
    def given(self, feedback: Feedback) -> str:
        return short_time(feedback.created_at)

    @admin.display(description="rating")
    def rating(self, feedback: Feedback) -> str:
        return str(feedback)

    @admin.display(description="reason")
    def short_reason(self, feedback: Feedback) -> str:
        return Truncator(feedback.reason).chars(120)

    @admin.display(description="answer")
    def excerpt(self, feedback: Feedback) -> str:
        start: str = feedback.start  # type: ignore[attr-defined]  # annotated above
        return Truncator(start).chars(_EXCERPT)

    @admin.display(description="answer")
    def answer(self, feedback: Feedback) -> str:
        return format_html('<div class="message-text">{}</div>', feedback.message.text_content)
