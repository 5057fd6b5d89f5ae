"""A session's last messages and what became of their answers, for the session's own page."""

from dataclasses import dataclass
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse

from sessions_app.admin.base import as_text, link_if_allowed
from sessions_app.models import Message, Session

LENGTH = 50


@dataclass(frozen=True)
class Attempt:
    """One run that was to answer a message, and how it ended."""

    outcome: str  # in words; a link for those who may open the run
    text: str  # what had come, unless it became a message
    error: str


@dataclass(frozen=True)
class Entry:
    """A message, what its tools were called with and answered, and the attempts to answer it."""

    message: Message
    tools: list[tuple[str, str]]
    attempts: list[Attempt]


@dataclass(frozen=True)
class Transcript:
    """The end of a conversation, in the order in which it was said."""

    total: int
    entries: list[Entry]
    all_url: str


def transcript_of(chat_session: Session, request: HttpRequest) -> Transcript:
    """The session's last messages: three queries, however long the conversation."""
    last = (
        chat_session.messages.order_by("-position")
        .defer("raw_payload", "context", "channel_payload", "model_message", "extra")
        .prefetch_related("runs")[:LENGTH]
    )
    return Transcript(
        total=chat_session.messages.count(),
        entries=[_entry(message, request) for message in reversed(last)],
        all_url="{}?{}".format(
            reverse("admin:sessions_app_message_changelist"),
            urlencode({"session": chat_session.pk}),
        ),
    )


def _entry(message: Message, request: HttpRequest) -> Entry:
    tools = [("Tool calls", message.tool_calls), ("Tool outputs", message.tool_outputs)]
    return Entry(
        message,
        tools=[(heading, as_text(value)) for heading, value in tools if value],
        attempts=[
            Attempt(
                outcome=link_if_allowed(request, run, run.get_status_display()),
                text=run.text,
                error=run.error,
            )
            for run in sorted(message.runs.all(), key=lambda run: run.created_at)
        ],
    )
