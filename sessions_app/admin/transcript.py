"""A session's last messages, for the session's own page."""

from dataclasses import dataclass
from urllib.parse import urlencode

from django.urls import reverse

from sessions_app.admin.base import as_text
from sessions_app.models import Message, Session

LENGTH = 50


@dataclass(frozen=True)
class Entry:
    """A message, and what its tools were called with and answered."""

    message: Message
    tools: list[tuple[str, str]]


@dataclass(frozen=True)
class Transcript:
    """The end of a conversation, in the order in which it was said."""

    total: int
    entries: list[Entry]
    all_url: str


def transcript_of(chat_session: Session) -> Transcript:
    """The session's last messages: two queries, however long the conversation."""
    last = chat_session.messages.order_by("-position").defer(
        "raw_payload", "context", "channel_payload", "model_message", "extra"
    )[:LENGTH]
    return Transcript(
        total=chat_session.messages.count(),
        entries=[_entry(message) for message in reversed(last)],
        all_url="{}?{}".format(
            reverse("admin:sessions_app_message_changelist"),
            urlencode({"session": chat_session.pk}),
        ),
    )


def _entry(message: Message) -> Entry:
    tools = [("Tool calls", message.tool_calls), ("Tool outputs", message.tool_outputs)]
    return Entry(message, [(heading, as_text(value)) for heading, value in tools if value])
