"""The admin pages of messages: the list, and one message with all its columns."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.db.models.functions import Left
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.text import Truncator

from sessions_app.admin.filters import SessionFilter
from sessions_app.admin.said import SaidAdmin
from sessions_app.admin.shared import json_field, may_read_transcripts, short_time, time_field
from sessions_app.models import Message, Session

_EXCERPT = 100  # characters


class MessageList(ChangeList):
    """Fetches the start of each text, and leaves out the long columns."""

    def get_queryset(
        self, request: HttpRequest, exclude_parameters: list[str | None] | None = None
    ) -> QuerySet[Any]:
        messages: QuerySet[Any] = super().get_queryset(request, exclude_parameters)
        messages = messages.annotate(start=Left("text_content", _EXCERPT + 1))
        return messages.defer(
            "text_content",
            "tool_calls",
            "tool_outputs",
            "raw_payload",
            "context",
            "channel_payload",
            "model_message",
            "extra",
            "session__metadata",
        )


@admin.register(Message)
class MessageAdmin(SaidAdmin):
    """Messages, read-only: chats write them, and they are deleted with their session."""

    list_display = ("position", "role", "excerpt", "session", "created")
    list_display_links = ("position", "excerpt")
    list_filter = (SessionFilter, "role")
    list_select_related = ("session",)
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    sortable_by = ()
    search_fields = ("text_content",)
    search_help_text = "Part of the text"
    fields_revealing = {Session: ("session",)}
    read_via_page, read_via_list = "message", "list of messages"
    ordering = ("session_id", "position")

    fieldsets = (
        (None, {"fields": ("session", "position", "role", "text", "message_type")}),
        (
            "Who and when",
            {"fields": ("user", "agent", "created_at_shown", "updated_at_shown", "id")},
        ),
        ("Tools", {"fields": ("tool_calls_json", "tool_outputs_json")}),
        ("As sent to models", {"fields": ("model_message_json",)}),
        (
            "As received",
            {"fields": ("raw_payload_json", "context_json", "channel_payload_json", "extra_json")},
        ),
    )

    created_at_shown = time_field("created_at")
    updated_at_shown = time_field("updated_at")
    tool_calls_json = json_field("tool_calls")
    tool_outputs_json = json_field("tool_outputs")
    raw_payload_json = json_field("raw_payload")
    context_json = json_field("context")
    channel_payload_json = json_field("channel_payload")
    model_message_json = json_field("model_message")
    extra_json = json_field("extra")

    class Media:
        css = {"all": ["sessions_app/admin.css"]}

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nearly all that a message has is what was said."""
        return may_read_transcripts(request) and super().has_view_permission(request, obj)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return MessageList

    @admin.display(description="created")
    def created(self, message: Message) -> str:
        return short_time(message.created_at)

    @admin.display(description="text")
    def excerpt(self, message: Message) -> str:
        start: str = message.start  # type: ignore[attr-defined]  # MessageList's annotation
        return Truncator(start).chars(_EXCERPT) or "(no text)"

    @admin.display(description="text")
    def text(self, message: Message) -> str:
        return format_html('<div class="message-text">{}</div>', message.text_content)
