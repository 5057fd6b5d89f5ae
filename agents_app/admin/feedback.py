"""The admin pages of feedback."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Prefetch, QuerySet
from django.db.models.functions import Left
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.text import Truncator

from agents_app.models import Feedback
from agents_app.web.rendering.markdown import plain_text
from sessions_app.admin.changelist import KeyedChangeList
from sessions_app.admin.filters import TimeFilter
from sessions_app.admin.formatting import short_time
from sessions_app.admin.message_links import SessionLink, link_to_message, sessions_with_opening
from sessions_app.admin.shared import ModelAdmin, time_field
from sessions_app.admin.transcript_access import TranscriptAdmin
from sessions_app.models import Session

_EXCERPT, _REASON = 100, 120  # characters
_MARKUP = 500  # characters that are read, before their markup is removed


class RatingFilter(admin.SimpleListFilter):
    """Filters by good or bad."""

    title = "rating"
    parameter_name = "is_good__exact"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> list[tuple[str, str]]:
        return [("1", "Good"), ("0", "Bad")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Feedback]) -> QuerySet[Feedback]:
        value = self.value()
        return queryset if value is None else queryset.filter(is_good=value == "1")


class FeedbackList(KeyedChangeList):
    """Finds the ids of a page's feedback first, and then reads the start of each answer."""

    def with_columns(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        start = Left("message__text_content", _MARKUP)
        columns = ("is_good", "reason", "created_at", "user", "user__username")
        related = ("message__position", "message__session")
        rows = rows.order_by().select_related("message", "user").annotate(start=start)
        rows = rows.prefetch_related(Prefetch("message__session", sessions_with_opening()))
        shown: QuerySet[Any] = rows.only(*columns, *related)
        return shown


@admin.register(Feedback)
class FeedbackAdmin(TranscriptAdmin):
    """Feedback: which answers users like or dislike, and why."""

    list_display = ("given", "rating", "short_reason", "excerpt", "session", "user")
    list_filter = (RatingFilter, ("created_at", TimeFilter))
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    sortable_by = ()
    ordering = ("-created_at", "-id")
    empty_list_hint = "Users rate answers in their chats."
    search_fields = ("reason", "user__username")
    search_help_text = "Part of the reason, or user name"
    fields_revealing = {Session: ("session",)}
    transcript_fields = ("message", "excerpt", "answer")
    session_of = "message.session_id"
    read_via_page, read_via_list = "feedback", "list of feedback"

    fields = ("rating", "reason", "answer", "message", "session", "user", "created_at_shown")
    readonly_fields = ("rating", "answer", "session", "created_at_shown")

    created_at_shown = time_field("created_at")

    class Media:
        css = {"all": ["sessions_app/admin/records.css", "agents_app/admin/feedback.css"]}

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return FeedbackList

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Feedback | None:
        feedback: Feedback | None = super().get_object(request, object_id, from_field)
        if feedback is None:
            return None
        rows: QuerySet[Feedback] = self.get_queryset(request).filter(pk=feedback.pk)
        return rows.select_related("message__session", "user").first()

    def _linked(self, request: HttpRequest, name: Any) -> Any:
        if name == "session":
            return SessionLink(name, request)
        if name == "message":
            return _MessageLink(name, request)
        return super()._linked(request, name)

    @admin.display(description="given")
    def given(self, feedback: Feedback) -> str:
        return short_time(feedback.created_at)

    @admin.display(description="rating")
    def rating(self, feedback: Feedback) -> str:
        kind = "good" if feedback.is_good else "bad"
        return format_html('<span class="badge badge-{}">{}</span>', kind, feedback)

    @admin.display(description="reason")
    def short_reason(self, feedback: Feedback) -> str:
        return _one_line(Truncator(feedback.reason).chars(_REASON))

    @admin.display(description="answer")
    def excerpt(self, feedback: Feedback) -> str:
        start: str = feedback.start  # type: ignore[attr-defined]  # annotated above
        return _one_line(Truncator(plain_text(start)).chars(_EXCERPT))

    @admin.display(description="answer")
    def answer(self, feedback: Feedback) -> str:
        return format_html('<div class="message-text">{}</div>', feedback.message.text_content)


def _one_line(text: str) -> str:
    """Return the text; the stylesheet truncates it, and hovering over it shows all."""
    return format_html('<span title="{}">{}</span>', text, text) if text else "-"


class _MessageLink(SessionLink):
    """A link to the answer's last message in the conversation."""

    def __call__(self, row: Any) -> str:
        return link_to_message(self.request, row.message, f"Message {row.message.position}")
