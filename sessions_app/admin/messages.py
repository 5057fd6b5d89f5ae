"""The admin pages of messages: the list, and a message with all its columns."""

from collections.abc import Callable
from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.db.models import Model, Prefetch, QuerySet
from django.db.models.functions import Left
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.text import Truncator

from sessions_app.admin.changelist import KeyedChangeList
from sessions_app.admin.filters import SessionFilter
from sessions_app.admin.formatting import as_text, short_time
from sessions_app.admin.message_links import SessionLink, sessions_with_opening
from sessions_app.admin.shared import ModelAdmin, PlainLines, time_field
from sessions_app.admin.transcript_access import TranscriptAdmin, may_read_transcripts
from sessions_app.models import Message, Session
from sessions_app.querysets import MessageQuerySet
from sessions_app.search import messages as search
from sessions_app.search.excerpts import excerpt, matching
from sessions_app.tool_columns import tool_names

MATCHES = 1_000  # messages that a search finds
_MAX_SEARCH = 200  # characters
_EXCERPT = 100  # characters
_MARKUP = 500  # characters that are read, before their markup is removed
_TEXT_SEARCHED = 50_000  # characters of a message that are searched for the match to show


class MessageList(KeyedChangeList):
    """Finds the ids of a page's messages first, and then reads the start of each text."""

    def with_columns(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        length = _TEXT_SEARCHED if self.query else _MARKUP
        columns = ("position", "role", "created_at", "session")
        rows = rows.order_by().annotate(start=Left("text_content", length))
        rows = rows.prefetch_related(Prefetch("session", sessions_with_opening()))
        shown: QuerySet[Any] = rows.only(*columns)
        return shown

    def rows(self, ids: list[Any]) -> list[Any]:
        """As in the base class; each row with its matches, or else the start of its text."""
        rows: list[Any] = super().rows(ids)
        terms = search.parse(self.query[:_MAX_SEARCH])
        pattern = matching(terms) if terms else None
        as_line: Any = self.model_admin.as_line  # type: ignore[attr-defined]  # BaseMessageAdmin's
        for row in rows:
            on_line = partial(as_line, role=row.role)
            row.matches = excerpt(row.start, pattern, as_line=on_line) if pattern else []
            row.line = "" if row.matches else on_line(row.start[:_MARKUP])
        return rows


def folded_json(name: str, description: str = "") -> Callable[[ModelAdmin, Model], str]:
    """Return a read-only field for the JSON column `name`, collapsed, with its tools named."""

    @admin.display(description=description or name.replace("_", " "))
    def show(model_admin: ModelAdmin, obj: Model) -> str:
        value = getattr(obj, name)
        if not value and value != 0:
            return "-"
        summary = (tool_names(value) if name.startswith("tool_") else "") or "Show"
        return format_html(
            '<details class="folded"><summary>{}</summary><pre class="json" tabindex="0">{}</pre>'
            "</details>",
            summary,
            as_text(value),
        )

    return show


class BaseMessageAdmin(PlainLines, TranscriptAdmin):
    """Messages, read-only: chats write them, and they are deleted with their sessions.

    agents_app.admin.messages registers a subclass.
    """

    list_display = ("position", "role", "excerpt", "session", "created")
    list_display_links = ("position", "excerpt")
    list_filter = (SessionFilter, "role")
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    sortable_by = ()
    search_fields = ("text_content",)  # get_search_results() searches its words
    search_help_text = (
        "Finds messages with all of these words. Use quotes for a phrase; the last word may be "
        "incomplete."
    )
    fields_revealing = {Session: ("session",)}
    read_via_page, read_via_list = "message", "list of messages"
    ordering = ("session_id", "position")

    fieldsets = (
        (None, {"fields": ("session", "position", "role", "text")}),
        ("Tools", {"fields": ("tool_calls_json", "tool_outputs_json")}),
        (
            "Who and when",
            {"fields": ("user", "agent", "created_at_shown", "updated_at_shown")},
        ),
        (
            "Raw",
            {
                "fields": (
                    *("message_type", "raw_payload_json", "context_json"),
                    *("channel_payload_json", "extra_json", "model_message_json", "id"),
                )
            },
        ),
    )

    created_at_shown = time_field("created_at")
    updated_at_shown = time_field("updated_at")
    tool_calls_json = folded_json("tool_calls")
    tool_outputs_json = folded_json("tool_outputs")
    raw_payload_json = folded_json("raw_payload")
    context_json = folded_json("context")
    channel_payload_json = folded_json("channel_payload")
    model_message_json = folded_json("model_message", "as sent to models")
    extra_json = folded_json("extra", "other columns of the import")

    class Media:
        css = {"all": ["sessions_app/admin/records.css", "sessions_app/admin/messages.css"]}

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Also requires the permission to read transcripts: nearly all columns are transcript."""
        return may_read_transcripts(request) and super().has_view_permission(request, obj)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return MessageList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Message], search_term: str
    ) -> tuple[QuerySet[Message], bool]:
        """Find the messages that have the words, with the full-text index; at most MATCHES.

        Sessions in the trash are left out, unless the list is filtered by session.
        """
        if not search_term.strip():
            return queryset, False
        terms = search.parse(search_term[:_MAX_SEARCH])
        if not terms:
            note = "Enter a word with letters or digits."
            self.message_user(request, note, messages.WARNING)
            return queryset.none(), False
        said: MessageQuerySet = queryset  # type: ignore[assignment]
        # Without an order: sorting would read all matches, not only the first ones.
        found = said.mentioning(terms).order_by().values_list("pk", flat=True)
        ids = list(found[: MATCHES + 1])
        if len(ids) > MATCHES:
            self.message_user(
                request,
                f"More than {MATCHES:,} messages have these words; at most {MATCHES:,} are listed. "
                "Add words to narrow the search.",
                messages.WARNING,
            )
        listed = said.filter(pk__in=ids[:MATCHES])
        is_of_session = bool(request.GET.get(SessionFilter.parameter_name))
        return listed if is_of_session else listed.not_trashed(), False

    def _linked(self, request: HttpRequest, name: Any) -> Any:
        return SessionLink(name, request) if name == "session" else super()._linked(request, name)

    @admin.display(description="created")
    def created(self, message: Message) -> str:
        return short_time(message.created_at)

    @admin.display(description="text")
    def excerpt(self, message: Any) -> str:
        """Return the start of the text, or the part that matches the search."""
        if message.matches:
            marked = (
                format_html("<mark>{}</mark>", segment.text) if segment.is_match else segment.text
                for segment in message.matches
            )
            return format_html_join("", "{}", ((text,) for text in marked))
        return Truncator(message.line).chars(_EXCERPT) or "(no text)"

    @admin.display(description="text")
    def text(self, message: Message) -> str:
        return format_html('<div class="message-text">{}</div>', message.text_content)
