"""Stored messages as pydantic-ai messages, and back. Pure functions: nothing here queries.

One ModelMessage is one row. Role, text and tools stand in columns, for people and queries;
`model_message` is the message itself as pydantic-ai's own adapter writes it, and that is
what comes back. Rows without it (imported, or written by a form) are rebuilt from their
columns, whatever their payloads hold: such a message could have files fetched by the server,
or tell the model what nobody can see.
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

from agents_app.tool_entries import tool_entries, tool_name
from sessions_app.models import Message
from sessions_app.text import UnstorableText, check_storable, encodable_json, storable_json


def rows_from(messages: Iterable[ModelMessage]) -> list[Message]:
    """Unsaved rows for messages, in their order; they belong to no session yet.

    Raises UnstorableText when a text or a number in them cannot be stored exactly.
    """
    return [_row_from(message) for message in messages]


def to_messages(rows: Iterable[Message]) -> list[ModelMessage]:
    """The messages that rows stand for, in their order.

    A row is one message, unless it was imported: an assistant's row of Automagik holds tool
    calls, what the tools returned, and the answer, which are a message each. A row in which
    there is nothing for a model (a tool's without outputs) is none.
    """
    return [message for row in rows for message in _messages_of(row)]


def user_prompt(text: str, at: datetime) -> ModelRequest:
    """What a person said, and when."""
    return ModelRequest(parts=[UserPromptPart(text, timestamp=at)], timestamp=at)


def system_prompt(text: str, at: datetime) -> ModelRequest:
    """What a model is told about its task, as a message of its own."""
    return ModelRequest(parts=[SystemPromptPart(text, timestamp=at)], timestamp=at)


def is_system_prompt(message: ModelMessage) -> bool:
    """Whether the message is a system prompt and nothing else."""
    return (
        isinstance(message, ModelRequest)
        and bool(message.parts)
        and all(isinstance(part, SystemPromptPart) for part in message.parts)
    )


def answer(
    text: str,
    tool_calls: object,
    tool_outputs: object,
    *,
    at: datetime,
    ids: str,
    metadata: dict[str, Any] | None = None,
) -> list[ModelMessage]:
    """An answer and the tool calls it rests on, as the messages that providers expect.

    These are the calls, what they returned, and the answer. Calls and outputs are lists of
    mappings as in Message's columns, or Automagik's `{"0": …}`; entries without the name of a
    tool are left out. An output without a call gets one, and calls without an output come
    with the answer, unfinished. `ids` begins the ids of calls that have none.
    """
    calls = [_call(entry, f"{ids}-{number}") for number, entry in enumerate(_entries(tool_calls))]
    answered: list[ToolCallPart] = []
    returns: list[ModelRequestPart] = []
    for number, entry in enumerate(_entries(tool_outputs)):
        call = _take_call(calls, entry) or _call({**entry, "args": {}}, f"{ids}-output-{number}")
        answered.append(call)
        returns.append(
            ToolReturnPart(
                call.tool_name,
                entry.get("content"),
                tool_call_id=call.tool_call_id,
                timestamp=at,
            )
        )
    messages: list[ModelMessage] = []
    if answered:
        messages.append(ModelResponse(parts=answered, timestamp=at))
        messages.append(ModelRequest(parts=returns, timestamp=at))
    if text or calls or not answered:
        said = [TextPart(text)] if text else []
        messages.append(ModelResponse(parts=[*said, *calls], timestamp=at, metadata=metadata))
    return messages


def _row_from(message: ModelMessage) -> Message:
    payload = _dumped(message)
    return Message(
        role=_role(message),
        text_content=_text(message),
        tool_calls=_tools(payload, "tool-call", "args"),
        tool_outputs=_tools(payload, "tool-return", "content"),
        model_message=payload,
    )


def _dumped(message: ModelMessage) -> Any:
    """The message as JSON that both databases give back equal."""
    try:
        # First as it is: in JSON, the adapter replaces what JSON does not know.
        _check_storable(ModelMessagesTypeAdapter.dump_python([message]))
        return storable_json(ModelMessagesTypeAdapter.dump_python([message], mode="json")[0])
    except (PydanticSerializationError, RecursionError) as error:
        raise UnstorableText("The message holds data that is no JSON, or too deep.") from error


def _check_storable(value: object) -> None:
    match value:
        case str():
            check_storable(value)
        case float():
            storable_json(value)
        case dict():
            for item in (*value.keys(), *value.values()):
                _check_storable(item)
        case list() | tuple():
            for item in value:
                _check_storable(item)


def _role(message: ModelMessage) -> Message.Role:
    if isinstance(message, ModelResponse):
        return Message.Role.ASSISTANT
    if any(isinstance(part, UserPromptPart) for part in message.parts):
        return Message.Role.USER
    if is_system_prompt(message):
        return Message.Role.SYSTEM
    return Message.Role.TOOL


def _text(message: ModelMessage) -> str:
    """What a person reads of the message; what tools returned has a column of its own."""
    if isinstance(message, ModelResponse):
        return message.text or ""
    said: Sequence[ModelRequestPart] = message.parts
    if _role(message) == Message.Role.USER:
        # Instructions that came along are not the person's words.
        said = [part for part in said if not isinstance(part, SystemPromptPart)]
    return "\n\n".join(text for part in said for text in _texts(part))


def _texts(part: ModelRequestPart) -> Iterator[str]:
    if isinstance(part, RetryFeedbackPart):
        yield part.content if isinstance(part.content, str) else part.model_response()
    elif isinstance(part, SystemPromptPart):
        yield part.content
    elif isinstance(part, UserPromptPart):
        content = [part.content] if isinstance(part.content, str) else part.content
        yield from (item for item in content if isinstance(item, str))


def _tools(payload: Any, kind: str, value: str) -> list[dict[str, Any]] | None:
    tools = [
        {key: part[key] for key in ("tool_name", value, "tool_call_id")}
        for part in payload["parts"]
        if part["part_kind"] == kind
    ]
    return tools or None


def _messages_of(row: Message) -> list[ModelMessage]:
    if row.model_message is not None:
        try:
            # From JSON, because only then the adapter reads bytes as it wrote them.
            return ModelMessagesTypeAdapter.validate_json(json.dumps([row.model_message]))
        except ValidationError:
            pass  # written by another version of pydantic-ai: the columns say it too
    return _rebuilt(row)


def _rebuilt(row: Message) -> list[ModelMessage]:
    match row.role:
        case Message.Role.USER:
            return [user_prompt(row.text_content, row.created_at)]
        case Message.Role.SYSTEM:
            return [system_prompt(row.text_content, row.created_at)]
    text = row.text_content if row.role == Message.Role.ASSISTANT else ""
    messages = answer(
        text, row.tool_calls, row.tool_outputs, at=row.created_at, ids=row.pk.hex[:12]
    )
    if row.role == Message.Role.ASSISTANT:
        return messages
    # The calls belong to the assistant's row before it.
    return [message for message in messages if isinstance(message, ModelRequest)]


def _entries(column: object) -> list[dict[str, Any]]:
    """The entries of a column that say which tool they are about, under one key.

    What others have stored may hold lone surrogates, which no request to a model can carry.
    """
    return [
        encodable_json({**entry, "tool_name": tool_name(entry)})
        for entry in tool_entries(column)
        if tool_name(entry)
    ]


def _call(entry: dict[str, Any], default_id: str) -> ToolCallPart:
    args = entry.get("args")
    if args is not None and not isinstance(args, dict | str):
        args = json.dumps(args)
    return ToolCallPart(entry["tool_name"], args, _call_id(entry) or default_id)


def _take_call(calls: list[ToolCallPart], output: dict[str, Any]) -> ToolCallPart | None:
    """Remove and return the call that an output answers: the one with its id, or its tool's."""
    call_id = _call_id(output)
    for call in calls:
        if call.tool_call_id == call_id or (not call_id and call.tool_name == output["tool_name"]):
            calls.remove(call)
            return call
    return None


def _call_id(entry: dict[str, Any]) -> str:
    call_id = entry.get("tool_call_id")
    return call_id if isinstance(call_id, str) else ""
