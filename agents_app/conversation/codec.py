"""Converts Message rows to pydantic-ai's ModelMessages and back, without queries.

One ModelMessage is stored as one row. Role, text and tools have separate columns, for people
and queries; `model_message` holds the whole message as pydantic-ai's adapter serializes it,
and is what gets loaded. Rows without it (imported, or written by a form) are rebuilt from the
columns that people can see. Their payloads are never read: a crafted one could make the server
fetch files, or carry hidden instructions for the model.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from pydantic import ValidationError
from pydantic_ai.messages import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    RetryFeedbackPart,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_core import PydanticSerializationError

from sessions_app.displayable import encodable_json
from sessions_app.models import Message
from sessions_app.storable import UnstorableText, check_storable, storable_json
from sessions_app.tool_columns import tool_entries, tool_name

# In the metadata of a message, which no model is sent.
_POSITION = "row_position"


def to_rows(messages: Iterable[ModelMessage]) -> list[Message]:
    """Unsaved rows for the messages, in order; the caller sets session, user and agent.

    Raises UnstorableText when a text or a number in them cannot be stored exactly.
    """
    return [_to_row(message) for message in messages]


def to_model_messages(rows: Iterable[Message]) -> list[ModelMessage]:
    """The messages that the rows hold, in order.

    A row holds one message, unless it was imported: an assistant row of Automagik holds tool
    calls, their outputs and the answer, which become a message each. A tool row without
    outputs holds none.
    """
    return [message for row in rows for message in _to_model_messages(row)]


def to_positioned_messages(rows: Iterable[Message]) -> list[ModelMessage]:
    """Like `to_model_messages`, but `position_of` gives the positions of the messages' rows."""
    positioned = []
    for row in rows:
        for message in _to_model_messages(row):
            message.metadata = {**(message.metadata or {}), _POSITION: row.position}
            positioned.append(message)
    return positioned


def position_of(message: ModelMessage) -> int | None:
    """The position of the row that a message was read from, if it is known."""
    return (message.metadata or {}).get(_POSITION)


def user_prompt(text: str, timestamp: datetime) -> ModelRequest:
    """A message with a user's text."""
    return ModelRequest(parts=[UserPromptPart(text, timestamp=timestamp)], timestamp=timestamp)


def system_prompt(text: str, timestamp: datetime) -> ModelRequest:
    """A message with a system prompt only."""
    return ModelRequest(parts=[SystemPromptPart(text, timestamp=timestamp)], timestamp=timestamp)


def is_system_prompt(message: ModelMessage) -> bool:
    """Whether the message has system prompts as its only parts."""
    return (
        isinstance(message, ModelRequest)
        and bool(message.parts)
        and all(isinstance(part, SystemPromptPart) for part in message.parts)
    )


def build_messages(
    text: str,
    tool_calls: object,
    tool_outputs: object,
    *,
    timestamp: datetime,
    call_id_prefix: str,
    metadata: dict[str, Any] | None = None,
) -> list[ModelMessage]:
    """An assistant's text and its tool calls, as the sequence of messages providers expect.

    First come the completed calls, then their outputs, then the text with the calls that have
    no output. Calls and outputs are lists of mappings as in Message's columns, or Automagik's
    `{"0": …}`; entries that name no tool are skipped. An output without a call gets one. Calls
    without an id get one that starts with `call_id_prefix`.
    """
    open_calls = [
        _build_call(entry, f"{call_id_prefix}-{number}")
        for number, entry in enumerate(_entries(tool_calls))
    ]
    completed: list[ToolCallPart] = []
    returns: list[ModelRequestPart] = []
    for number, entry in enumerate(_entries(tool_outputs)):
        call = _pop_matching_call(open_calls, entry) or _build_call(
            {**entry, "args": {}}, f"{call_id_prefix}-output-{number}"
        )
        completed.append(call)
        returns.append(
            ToolReturnPart(
                call.tool_name,
                entry.get("content"),
                tool_call_id=call.tool_call_id,
                timestamp=timestamp,
            )
        )
    messages: list[ModelMessage] = []
    if completed:
        messages.append(ModelResponse(parts=completed, timestamp=timestamp))
        messages.append(ModelRequest(parts=returns, timestamp=timestamp))
    if text or open_calls or not completed:
        texts = [TextPart(text)] if text else []
        messages.append(
            ModelResponse(parts=[*texts, *open_calls], timestamp=timestamp, metadata=metadata)
        )
    return messages


def _to_row(message: ModelMessage) -> Message:
    serialized = _serialize(message)
    return Message(
        role=_role(message),
        text_content=_text(message),
        tool_calls=_tool_column(serialized, "tool-call", "args"),
        tool_outputs=_tool_column(serialized, "tool-return", "content"),
        model_message=serialized,
    )


def _serialize(message: ModelMessage) -> Any:
    """The message as JSON that every database stores exactly. Raises UnstorableText."""
    try:
        # Checked before it becomes JSON: the adapter silently replaces what JSON cannot represent.
        _check_values(ModelMessagesTypeAdapter.dump_python([message]))
        return storable_json(ModelMessagesTypeAdapter.dump_python([message], mode="json")[0])
    except (PydanticSerializationError, RecursionError) as error:
        raise UnstorableText(
            "The message holds data that is not JSON, or is nested too deeply."
        ) from error


def _check_values(value: object) -> None:
    """Raise UnstorableText for a text or a number, at any depth, that cannot be stored."""
    match value:
        case str():
            check_storable(value)
        case float():
            storable_json(value)
        case dict():
            for item in (*value.keys(), *value.values()):
                _check_values(item)
        case list() | tuple():
            for item in value:
                _check_values(item)


def _role(message: ModelMessage) -> Message.Role:
    if isinstance(message, ModelResponse):
        return Message.Role.ASSISTANT
    if any(isinstance(part, UserPromptPart) for part in message.parts):
        return Message.Role.USER
    if is_system_prompt(message):
        return Message.Role.SYSTEM
    return Message.Role.TOOL


def _text(message: ModelMessage) -> str:
    """The message's text for people, without tool outputs, which have their own column."""
    if isinstance(message, ModelResponse):
        return message.text or ""
    parts: Sequence[ModelRequestPart] = message.parts
    if _role(message) == Message.Role.USER:
        # A system prompt in the same request is not the user's text.
        parts = [part for part in parts if not isinstance(part, SystemPromptPart)]
    return "\n\n".join(text for part in parts for text in _texts(part))


def _texts(part: ModelRequestPart) -> Iterator[str]:
    if isinstance(part, RetryFeedbackPart):
        yield part.content if isinstance(part.content, str) else part.model_response()
    elif isinstance(part, SystemPromptPart):
        yield part.content
    elif isinstance(part, UserPromptPart):
        content = [part.content] if isinstance(part.content, str) else part.content
        yield from (item for item in content if isinstance(item, str))


def _tool_column(serialized: Any, part_kind: str, value: str) -> list[dict[str, Any]] | None:
    entries = [
        {key: part[key] for key in ("tool_name", value, "tool_call_id")}
        for part in serialized["parts"]
        if part["part_kind"] == part_kind
    ]
    return entries or None


def _to_model_messages(row: Message) -> list[ModelMessage]:
    if row.model_message is not None:
        try:
            # Only from JSON does the adapter decode bytes as it encoded them.
            return ModelMessagesTypeAdapter.validate_json(json.dumps([row.model_message]))
        except ValidationError:
            pass  # written by another version of pydantic-ai
    return _rebuild_from_columns(row)


def _rebuild_from_columns(row: Message) -> list[ModelMessage]:
    match row.role:
        case Message.Role.USER:
            return [user_prompt(row.text_content, row.created_at)]
        case Message.Role.SYSTEM:
            return [system_prompt(row.text_content, row.created_at)]
    text = row.text_content if row.role == Message.Role.ASSISTANT else ""
    messages = build_messages(
        text,
        row.tool_calls,
        row.tool_outputs,
        timestamp=row.created_at,
        call_id_prefix=row.pk.hex[:12],  # the same at every load
    )
    if row.role == Message.Role.ASSISTANT:
        return messages
    # The assistant row before this one holds the calls.
    return [message for message in messages if isinstance(message, ModelRequest)]


def _entries(column: object) -> list[dict[str, Any]]:
    """The entries of a column that name a tool, with the name in `tool_name`.

    Lone surrogates, which imported rows may hold, are escaped: no request can carry them.
    """
    return [
        encodable_json({**entry, "tool_name": tool_name(entry)})
        for entry in tool_entries(column)
        if tool_name(entry)
    ]


def _build_call(entry: dict[str, Any], default_id: str) -> ToolCallPart:
    args = entry.get("args")
    if args is not None and not isinstance(args, dict | str):
        args = json.dumps(args)
    return ToolCallPart(entry["tool_name"], args, _call_id(entry) or default_id)


def _pop_matching_call(calls: list[ToolCallPart], output: dict[str, Any]) -> ToolCallPart | None:
    """Remove and return the call of an output, matched by id or, without one, by tool name."""
    call_id = _call_id(output)
    for call in calls:
        if call.tool_call_id == call_id or (not call_id and call.tool_name == output["tool_name"]):
            calls.remove(call)
            return call
    return None


def _call_id(entry: dict[str, Any]) -> str:
    call_id = entry.get("tool_call_id")
    return call_id if isinstance(call_id, str) else ""
