"""Searches the session list by the text of messages, and shows the matches.

The full-text index is queried first, for at most MATCHES messages, so that a word that occurs in
nearly every message costs little more than a rare one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Model, QuerySet
from django.db.models.functions import Left
from django.http import HttpRequest

from sessions_app.admin.filters import without_nul
from sessions_app.admin.message_links import message_url
from sessions_app.admin.session_filters import TrashFilter
from sessions_app.admin.shared import ModelAdmin
from sessions_app.admin.transcript_access import may_read_transcripts
from sessions_app.models import Message, Session
from sessions_app.search import messages as search
from sessions_app.search.excerpts import Segment, excerpt, matching

PARAMETER = "said"
MATCHES = 1_000  # messages
NEWEST = 1_000  # sessions that are searched if more messages match
_TEXT_READ = 50_000  # characters of a message that are searched for the match to show

# The position and id of a message.
FoundMessage = tuple[int, UUID]


@dataclass(frozen=True)
class Hit:
    """The first match in a session, and the number of its other messages that match."""

    role: str
    position: int
    segments: list[Segment]
    url: str
    more: int


class MessageSearchFilter(admin.ListFilter):
    """Filters by sessions with a message that has the words. Its box is next to the other search.

    Sessions in the trash are left out, unless the trash filter is used.
    """

    title = "what was said"
    template = "admin/sessions_app/no_filter.html"
    max_length = 200  # characters of a search

    def __init__(
        self,
        request: HttpRequest,
        params: dict[str, list[str]],
        model: type[Model],
        model_admin: ModelAdmin,
    ) -> None:
        super().__init__(request, params, model, model_admin)
        value = params.pop(PARAMETER, [""])[-1]
        self.text = without_nul(value).strip()[: self.max_length]
        self.is_allowed = may_read_transcripts(request)
        self.alternatives = search.parse_web(self.text)
        self.note = ""
        self.found: dict[UUID, list[FoundMessage]] = {}  # by session

    def has_output(self) -> bool:
        return self.is_allowed or bool(self.text)

    def expected_parameters(self) -> list[str | None]:
        return [PARAMETER]

    def choices(self, changelist: ChangeList) -> Iterator[Mapping[str, object]]:
        return iter(())

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if not self.text:
            return queryset
        if not request.GET.get(TrashFilter.parameter_name):
            queryset = queryset.not_trashed()
        if not self.is_allowed:
            self.note = "Searching messages requires the permission to read transcripts."
            return queryset.none()
        if not self.alternatives:
            self.note = "Enter at least one word to find."
            return queryset.none()
        messages = Message.objects.matching(self.alternatives)
        rows = list(_located(messages)[: MATCHES + 1])
        if len(rows) > MATCHES:
            newest = queryset.order_by("-created_at", "-pk").values_list("pk", flat=True)
            listed = list(newest[:NEWEST])
            rows = list(_located(messages.filter(session__in=listed))[:MATCHES])
            self.note = (
                f"More than {MATCHES:,} messages have these words: only the newest {NEWEST:,} "
                f"sessions that match the filters, and at most {MATCHES:,} messages, were "
                "searched. Add words or filters to narrow the search."
            )
        for session_id, position, message_id in rows:
            self.found.setdefault(session_id, []).append((position, message_id))
        return queryset.filter(pk__in=list(self.found))


def search_of(changelist: ChangeList) -> MessageSearchFilter | None:
    """Return the list's search; None for users who may not read transcripts."""
    specs: list[Any] = changelist.filter_specs
    return next((spec for spec in specs if isinstance(spec, MessageSearchFilter)), None)


def read_hits(changelist: ChangeList, chat_sessions: Sequence[Session]) -> dict[UUID, Hit]:
    """Return the matches of the search, by session.

    One query; none without a search.
    """
    spec = search_of(changelist)
    if spec is None or not spec.found:
        return {}
    firsts = {
        chat_session.pk: min(spec.found[chat_session.pk])[1]
        for chat_session in chat_sessions
        if chat_session.pk in spec.found
    }
    start = Left("text_content", _TEXT_READ)
    messages = Message.objects.annotate(start=start).only("session_id", "position", "role")
    terms = [term for alternative in spec.alternatives for term in alternative.required]
    pattern = matching(terms)
    as_line: Any = changelist.model_admin.as_line  # type: ignore[attr-defined]  # PlainLines'
    return {
        message.session_id: Hit(
            role=message.get_role_display(),
            position=message.position,
            segments=excerpt(
                message.start,  # type: ignore[attr-defined]  # annotated
                pattern,
                as_line=partial(as_line, role=message.role),
            ),
            url=_url(changelist, message),
            more=len(spec.found[message.session_id]) - 1,
        )
        for message in messages.in_bulk(list(firsts.values())).values()
    }


def _located(messages: QuerySet[Message]) -> QuerySet[Message, tuple[UUID, int, UUID]]:
    # Without an order: sorting would read all matches, not only the first ones.
    return messages.order_by().values_list("session_id", "position", "pk")


def _url(changelist: ChangeList, message: Message) -> str:
    # Like Django's add_preserved_filters(), but without resolving each address.
    page, _, anchor = message_url(message.session_id, message.pk, message.position).partition("#")
    return f"{page}&{changelist.preserved_filters}#{anchor}"
