"""The end of a session's transcript with the runs of its messages, for the session's page."""

from dataclasses import dataclass
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse

from sessions_app.admin.shared import as_text, link_if_allowed, may_view
from sessions_app.models import Message, Session

LENGTH = 50


@dataclass(frozen=True)
class Attempt:
    """One run that was to answer a message, and how it ended."""

    status: str  # a link for users who may open the run
    text: str  # of an answer that was not stored as a message
    error: str


@dataclass(frozen=True)
class TranscriptRow:
    """A message, its tool calls and outputs, and the runs that were to answer it."""

    message: Message
    tools: list[tuple[str, str]]
    attempts: list[Attempt]

    @property
    def is_set_aside(self) -> bool:
        """Whether it belongs to a version that the chat does not show now."""
        return self.message.set_aside_with is not None


@dataclass(frozen=True)
class TranscriptTail:
    """The last messages of a transcript, in order, and how many there are in total."""

    total: int
    rows: list[TranscriptRow]
    all_url: str
    may_open_messages: bool


def load_transcript(chat_session: Session, request: HttpRequest) -> TranscriptTail:
    """The session's last messages: three queries, however long the transcript is."""
    last = (
        chat_session.messages.order_by("-position")
        .defer("raw_payload", "context", "channel_payload", "model_message", "extra")
        .prefetch_related("runs")[:LENGTH]
    )
    return TranscriptTail(
        total=chat_session.messages.count(),
        rows=[_row(message, request) for message in reversed(last)],
        all_url="{}?{}".format(
            reverse("admin:sessions_app_message_changelist"),
            urlencode({"session": chat_session.pk}),
        ),
        may_open_messages=may_view(request, Message),
    )


def _row(message: Message, request: HttpRequest) -> TranscriptRow:
    tools = [("Tool calls", message.tool_calls), ("Tool outputs", message.tool_outputs)]
    return TranscriptRow(
        message,
        tools=[(heading, as_text(value)) for heading, value in tools if value],
        attempts=[
            Attempt(
                status=link_if_allowed(request, run, run.get_status_display()),
                text=run.text,
                error=run.error,
            )
            for run in sorted(message.runs.all(), key=lambda run: run.created_at)
        ],
    )
