"""The admin page of a session: its conversation, review and facts."""

from typing import Any, cast

from django.contrib import admin
from django.contrib.admin.utils import quote
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import URLPattern, path, reverse

from agents_app.admin.adjacent_sessions import Neighbour, Neighbours, find_neighbours
from agents_app.admin.conversation import ConversationSlice, read_conversation
from agents_app.admin.feedback_filter import FeedbackFilter
from agents_app.admin.reviewing import NOTE_LENGTH, change_review, may_review
from agents_app.admin.session_facts import removal_sentence, session_facts
from agents_app.models import AgentRun
from agents_app.web.message_entries import plain_line
from sessions_app.admin.formatting import as_text
from sessions_app.admin.session_admin_base import (
    OTHER_FILTERS,
    STATE_FILTERS,
    BaseSessionAdmin,
)
from sessions_app.admin.shared import may_view
from sessions_app.admin.transcript_access import may_read_transcripts
from sessions_app.models import Message, Review, Session
from sessions_app.review.reading_log import record_reading

_FILTERS = "_changelist_filters"  # Django's parameter


@admin.register(Session)
class SessionAdmin(BaseSessionAdmin):
    """Sessions, which staff review here."""

    change_form_template = "admin/agents_app/session/page.html"
    list_filter = (*STATE_FILTERS, FeedbackFilter, *OTHER_FILTERS)

    def get_urls(self) -> list[URLPattern]:
        review = path(
            "<path:object_id>/review/",
            self.admin_site.admin_view(self.review_view),
            name="sessions_app_session_review",
        )
        return [review, *super().get_urls()]

    def as_line(self, text: str, role: str) -> str:
        return plain_line(text, role)

    def review_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return change_review(self, request, object_id)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Render the session's page: its facts, and its conversation if the user may read it."""
        chat_session: Session = context["original"]
        conversation = None
        if may_read_transcripts(request):
            conversation = read_conversation(
                chat_session, ConversationSlice.from_query(request.GET)
            )
            if conversation.sections:
                user = cast("User", request.user)  # never anonymous in the admin
                record_reading(user, [chat_session.pk], via="page")
        # Counted once: slow for long conversations.
        count = conversation.total if conversation else chat_session.messages.count()
        context |= {
            "conversation": conversation,
            "facts": session_facts(chat_session, request, count),
            **self._page(request, chat_session),
        }
        return super().render_change_form(request, context, *args, **kwargs)

    def _page(self, request: HttpRequest, chat_session: Session) -> dict[str, Any]:
        filters = request.GET.get(_FILTERS, "")
        neighbours = Neighbours()
        if request.method == "GET":
            neighbours = find_neighbours(self, request, chat_session, filters)
        query = request.GET.urlencode()
        review_url = reverse("admin:sessions_app_session_review", args=[quote(chat_session.pk)])
        return {
            "metadata": as_text(chat_session.metadata),
            "removal": removal_sentence(chat_session),
            "review": Review.objects.select_related("reviewed_by")
            .filter(session=chat_session)
            .first(),
            "review_url": f"{review_url}?{query}" if query else review_url,
            "may_review": may_review(request),
            "note_length": NOTE_LENGTH,
            "filters": filters,
            "in_filtered_list": bool(filters),
            "previous_session": neighbours.previous,
            "previous_url": _session_url(neighbours.previous, filters),
            "next_session": neighbours.next,
            "next_url": _session_url(neighbours.next, filters),
            "may_view_runs": may_view(request, AgentRun),
            "may_view_messages": may_view(request, Message),
        }

    def response_post_save_change(self, request: HttpRequest, obj: Session) -> HttpResponseRedirect:
        """Stay on the page after saving the name or the agent."""
        return HttpResponseRedirect(request.get_full_path())


def _session_url(neighbour: Neighbour | None, filters: str) -> str:
    if neighbour is None:
        return ""
    url = reverse("admin:sessions_app_session_change", args=[quote(neighbour.pk)])
    query = QueryDict(mutable=True)
    if filters:
        query[_FILTERS] = filters
    return f"{url}?{query.urlencode()}" if filters else url
