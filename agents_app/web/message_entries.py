"""A message as it is shown: its text as HTML, and what is folded around it."""

from dataclasses import dataclass
from typing import Any

from django.utils.safestring import SafeString

from agents_app.models import Feedback
from agents_app.web.rendering.markdown import markdown, plain_text
from sessions_app.displayable import encodable, json_text
from sessions_app.models import Message
from sessions_app.tool_columns import tool_names

_FEEDBACK: Any = Message._meta.get_field("feedback")


@dataclass(frozen=True)
class Details:
    """A folded part of a message, such as a tool's call or its result."""

    summary: str
    text: str
    is_prose: bool = False


@dataclass(frozen=True)
class MessageEntry:
    """A message as it is shown: its text, and the details before and after it.

    `id_prefix` keeps the ids and names in its HTML apart from those of the page's others.
    """

    message: Message
    reasoning: Details | None = None  # the model's, before it wrote the message
    before: tuple[Details, ...] = ()
    after: tuple[Details, ...] = ()
    id_prefix: str = ""

    @property
    def has_text(self) -> bool:
        """Whether the agent says something in it; messages of tools and the system are folded."""
        is_agents = self.message.role == Message.Role.ASSISTANT
        return is_agents and bool(self.message.text_content.strip())

    @property
    def html(self) -> SafeString:
        """The agent's text."""
        return markdown(self.message.text_content, id_prefix=self.id_prefix)

    @property
    def feedback(self) -> Feedback | None:
        """What the user thinks of it; a message that is not read from the database has none."""
        given: Feedback | None = _FEEDBACK.get_cached_value(self.message, default=None)
        return given


def plain_line(text: str, role: str) -> str:
    """A message's text, or a part of it, in one line; only agents write markdown."""
    return plain_text(text) if role == Message.Role.ASSISTANT else " ".join(text.split())


def id_prefix(before: Message) -> str:
    """The prefix for the text that comes after a message.

    Taken from the message before it: a text that is being written has no position yet, and its
    ids must not change when it is stored.
    """
    return f"{before.position}-"


def message_entry(message: Message, *, before: Message | None = None) -> MessageEntry:
    """A message as it is shown, after the one `before` it, if that is on the page."""
    # Unique on the page: no other text comes right after that position.
    prefix = id_prefix(before) if before else f"{message.position - 1}-"
    thoughts = reasoning_of(message)
    reasoning = reasoning_details(thoughts) if thoughts else None
    if message.role == Message.Role.SYSTEM:
        details = Details("Instructions to the agent", message.text_content)
        return MessageEntry(message, reasoning, before=(details,), id_prefix=prefix)
    tools = [
        Details(_heading(heading, value), _as_text(value))
        for heading, value in [
            ("Used a tool", message.tool_calls),
            ("Tool result", message.tool_outputs),
        ]
        if value
    ]
    if message.role == Message.Role.TOOL and message.text_content:
        tools.append(Details("Tool result", message.text_content))
    # Automagik stores calls and results with the answer that is based on them. Calls without
    # results are what the agent did after it had written this text.
    if message.tool_outputs:
        return MessageEntry(message, reasoning, before=tuple(tools), id_prefix=prefix)
    return MessageEntry(message, reasoning, after=tuple(tools), id_prefix=prefix)


def reasoning_details(text: str) -> Details:
    """A model's reasoning, as it is shown."""
    return Details("Reasoning", text, is_prose=True)


def reasoning_of(message: Message) -> str:
    """The model's reasoning before it wrote a message; empty if there is none.

    A message without its payloads has it from `messages_for_display`.
    """
    if "model_message" in message.get_deferred_fields():
        stored = getattr(message, "reasoning_in", None)
    else:
        stored = message.model_message
    parts = stored.get("parts", []) if isinstance(stored, dict) else []
    thoughts = [part["content"] for part in parts if part.get("part_kind") == "thinking"]
    return encodable("\n\n".join(filter(None, thoughts)).strip())


def _heading(what: str, column: object) -> str:
    """`what`, with the names of the tools if the column has any."""
    return encodable(": ".join(filter(None, [what, tool_names(column)])))


def _as_text(value: object) -> str:
    return encodable(value) if isinstance(value, str) else json_text(value)
