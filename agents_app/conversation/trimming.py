"""Trims a conversation to what a model is sent: no files, and no more than fits its context.

The oldest turns go first. A turn is a user's message with everything up to the next one, and
is kept or dropped as a whole: providers refuse a tool output without its call, and a
conversation that starts with a response.

Files are never sent again: the server or the provider would fetch a stored URL again in every
later turn.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    NativeToolCallPart,
    NativeToolReturnPart,
    RetryFeedbackPart,
    SystemPromptPart,
    TextContent,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserContent,
    UserPromptPart,
    is_multi_modal_content,
)

from agents_app.conversation.codec import is_system_prompt, position_of

# A token is about four bytes of English, or two to three of code and other scripts. Providers
# add about four tokens to each message.
BYTES_PER_TOKEN = 3
TOKENS_PER_MESSAGE = 4

FILE_PLACEHOLDER = "(a file that is not shown again)"


def estimate_tokens(text: str) -> int:
    """A deliberately high estimate of a text's tokens: one per three bytes of UTF-8."""
    return math.ceil(len(text.encode(errors="replace")) / BYTES_PER_TOKEN)


def estimate_message_tokens(message: ModelMessage) -> int:
    """A deliberately high estimate of a message's tokens; files are not counted."""
    return TOKENS_PER_MESSAGE + sum(estimate_tokens(text) for text in _texts(message))


def drop_empty_responses(messages: Sequence[ModelMessage]) -> list[ModelMessage]:
    """The messages without the responses that hold neither text nor a tool call."""
    return [
        message
        for message in messages
        if not isinstance(message, ModelResponse) or _has_content(message)
    ]


def latest_system_prompt_first(messages: Sequence[ModelMessage]) -> list[ModelMessage]:
    """The latest system prompt, followed by the messages that are not system prompts."""
    prompts = [message for message in messages if is_system_prompt(message)]
    return [*prompts[-1:], *(message for message in messages if not is_system_prompt(message))]


def prepare_for_model(messages: Sequence[ModelMessage]) -> list[ModelMessage]:
    """The messages as a model may be sent them, the latest system prompt first.

    Leaves out files, instructions of earlier runs, messages without content, and tool calls
    at the end that have no output, which no prompt may follow.
    """
    stripped = map(_text_and_tools_only, latest_system_prompt_first(messages))
    kept = [message for message in stripped if _has_content(message)]
    while kept and (open_calls := _open_calls_at_end(kept)):
        index, response = open_calls
        parts = [part for part in response.parts if not isinstance(part, ToolCallPart)]
        without_calls = replace(response, parts=parts)
        kept[index:] = [without_calls] if _has_content(without_calls) else []
    return kept


def trim_to_budget(messages: Sequence[ModelMessage], budget: int) -> list[ModelMessage]:
    """The system prompts, and the newest whole turns that fit into `budget` tokens with them.

    System prompts are kept even when they exceed the budget.
    """
    return _newest_turns(messages, budget, estimate_message_tokens)


def trim_to_count(messages: Sequence[ModelMessage], count: int) -> list[ModelMessage]:
    """The system prompts, and the newest whole turns of at most `count` messages in all."""
    return _newest_turns(messages, count, lambda message: 0 if is_system_prompt(message) else 1)


def trim_to_half(messages: Sequence[ModelMessage]) -> list[ModelMessage]:
    """The messages trimmed to half their tokens."""
    return trim_to_budget(
        messages, sum(estimate_message_tokens(message) for message in messages) // 2
    )


def first_position_if_trimmed(
    messages: Sequence[ModelMessage], trimmed: Sequence[ModelMessage]
) -> int | None:
    """The position where the trimmed messages begin; None if nothing was left out.

    If no message is left, it is the one after the last message.
    """
    if len(trimmed) == len(messages):
        return None
    first = next((message for message in trimmed if not is_system_prompt(message)), None)
    if first is not None:
        return position_of(first)
    last = position_of(messages[-1])
    return None if last is None else last + 1


def drop_foreign_thinking(messages: Sequence[ModelMessage], provider: str) -> list[ModelMessage]:
    """The messages without the thinking that this provider would be sent as plain text.

    A provider takes back its own, which has an id or a signature. The library would write any
    other into the assistant's text, between tags.
    """
    return [
        replace(message, parts=[part for part in message.parts if not _is_foreign(part, provider)])
        if isinstance(message, ModelResponse)
        and any(_is_foreign(part, provider) for part in message.parts)
        else message
        for message in messages
    ]


def _is_foreign(part: object, provider: str) -> bool:
    if not isinstance(part, ThinkingPart):
        return False
    has_handle = part.signature or part.id not in {None, "", "content"}
    return part.provider_name != provider or not has_handle


def _text_and_tools_only(message: ModelMessage) -> ModelMessage:
    """The message with its text, thinking and tool parts only."""
    if isinstance(message, ModelRequest):
        parts = [part for part in map(_request_part, message.parts) if part is not None]
        return replace(message, parts=parts, instructions=None)
    return replace(
        message,
        parts=[
            replace(part, content=_replace_files(part.content))
            if isinstance(part, NativeToolReturnPart)
            else part
            for part in message.parts
            if isinstance(
                part,
                TextPart | ThinkingPart | ToolCallPart | NativeToolCallPart | NativeToolReturnPart,
            )
        ],
    )


def _request_part(part: ModelRequestPart) -> ModelRequestPart | None:
    match part:
        case UserPromptPart(content=str()) | SystemPromptPart() | RetryFeedbackPart():
            return part
        case UserPromptPart(content=content):
            return replace(part, content=[text for item in content if (text := _plain_text(item))])
        case ToolReturnPart(content=content):
            return replace(part, content=_replace_files(content))
    return None


def _plain_text(item: UserContent) -> str:
    if isinstance(item, TextContent):
        return item.content
    if isinstance(item, str):
        return item
    return FILE_PLACEHOLDER if is_multi_modal_content(item) else ""


def _replace_files(content: Any) -> Any:
    """A tool's output with a placeholder for each file in it."""
    if is_multi_modal_content(content):
        return FILE_PLACEHOLDER
    if isinstance(content, dict):
        return {key: _replace_files(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_replace_files(item) for item in content]
    return content


def _newest_turns(
    messages: Sequence[ModelMessage], budget: int, cost: Callable[[ModelMessage], int]
) -> list[ModelMessage]:
    prompts = [message for message in messages if is_system_prompt(message)]
    others = [message for message in messages if not is_system_prompt(message)]
    spent = sum(cost(message) for message in prompts)
    start = len(others)
    missing_calls: set[str] = set()  # of outputs seen so far
    for index in range(len(others) - 1, -1, -1):
        message = others[index]
        spent += cost(message)
        if spent > budget:
            break
        missing_calls |= _returned_call_ids(message)
        missing_calls -= {part.tool_call_id for part in _tool_calls(message)}
        if not missing_calls and _starts_turn(message):
            start = index
    return [*prompts, *others[start:]]


def _starts_turn(message: ModelMessage) -> bool:
    return (
        isinstance(message, ModelRequest)
        and any(isinstance(part, UserPromptPart) for part in message.parts)
        and not _returned_call_ids(message)
    )


def _open_calls_at_end(messages: list[ModelMessage]) -> tuple[int, ModelResponse] | None:
    """The last response and its index, when it has tool calls without an output."""
    for index in range(len(messages) - 1, -1, -1):
        message = messages[index]
        if isinstance(message, ModelResponse):
            returned = set().union(*(_returned_call_ids(later) for later in messages[index + 1 :]))
            is_open = any(part.tool_call_id not in returned for part in _tool_calls(message))
            return (index, message) if is_open else None
        if not _returned_call_ids(message):
            return None
    return None


def _tool_calls(message: ModelMessage) -> list[ToolCallPart]:
    return [part for part in message.parts if isinstance(part, ToolCallPart)]


def _returned_call_ids(message: ModelMessage) -> set[str]:
    return {part.tool_call_id for part in message.parts if isinstance(part, ToolReturnPart)}


def _has_content(message: ModelMessage) -> bool:
    for part in message.parts:
        match part:
            case ThinkingPart():
                continue
            case TextPart(content=str(text)) | UserPromptPart(content=str(text)):
                if text.strip():
                    return True
            case SystemPromptPart(content=text):
                if text.strip():
                    return True
            case _:
                return True
    return False


def _texts(message: ModelMessage) -> Iterator[str]:
    for part in message.parts:
        match part:
            case ToolCallPart():
                yield part.tool_name + part.args_as_json_str()
            case ToolReturnPart():
                yield part.tool_name + part.model_response_str()
            case UserPromptPart(content=content) if not isinstance(content, str):
                yield from (item for item in content if isinstance(item, str))
            case _:
                content = getattr(part, "content", "")
                yield content if isinstance(content, str) else ""
