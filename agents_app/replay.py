"""What of a conversation a model is told again: only what is said, and only so much.

A model's context is limited, so the oldest turns are left out. A turn is what a person says
and everything up to what they say next; it is never torn apart, since a provider refuses
what a tool returned without its call, and a conversation that begins with an answer.

Files are not told again: for an address, the server or the provider would fetch whatever it
names, in every turn that follows.
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

from agents_app.transcripts import is_system_prompt

# A token of English is about four bytes long, one of code or of another alphabet two to
# three. What every provider adds around a message is about four tokens.
BYTES_PER_TOKEN = 3
TOKENS_PER_MESSAGE = 4

FILE_LEFT_OUT = "(a file that is not shown again)"


def estimate_tokens(text: str) -> int:
    """How many tokens a text is, roughly and rather too many: one for three bytes of UTF-8."""
    return math.ceil(len(text.encode(errors="replace")) / BYTES_PER_TOKEN)


def tokens_of(message: ModelMessage) -> int:
    """How many tokens a message is, as `estimate_tokens` does; files count nothing."""
    return TOKENS_PER_MESSAGE + sum(estimate_tokens(text) for text in _texts(message))


def without_empty_answers(messages: Sequence[ModelMessage]) -> list[ModelMessage]:
    """The messages without answers that hold neither text nor a tool call."""
    return [
        message
        for message in messages
        if not isinstance(message, ModelResponse) or _says_something(message)
    ]


def latest_system_prompt_first(messages: Sequence[ModelMessage]) -> list[ModelMessage]:
    """The latest message that is only a system prompt, and then all that are not."""
    prompts = [message for message in messages if is_system_prompt(message)]
    return [*prompts[-1:], *(message for message in messages if not is_system_prompt(message))]


def replayable(messages: Sequence[ModelMessage]) -> list[ModelMessage]:
    """What a model can be told of the messages.

    The latest system prompt comes first. Only texts, thoughts and tools are told, without
    files, and without the instructions of an earlier run. Answers and prompts with nothing
    in them are left out, and so are tool calls at the end that nothing has answered: a model
    would wait for what they return.
    """
    told = map(_in_words, latest_system_prompt_first(messages))
    said = [message for message in told if _says_something(message)]
    while said and (open_calls := _open_calls_at_end(said)):
        start, response = open_calls
        rest = [part for part in response.parts if not isinstance(part, ToolCallPart)]
        text_only = replace(response, parts=rest)
        said[start:] = [text_only] if _says_something(text_only) else []
    return said


def within_budget(messages: Sequence[ModelMessage], budget: int) -> list[ModelMessage]:
    """The newest whole turns that fit into `budget` tokens, after the system prompts.

    System prompts are always kept, and count.
    """
    return _newest_turns(messages, budget, tokens_of)


def within_count(messages: Sequence[ModelMessage], count: int) -> list[ModelMessage]:
    """The newest whole turns of at most `count` messages, after the system prompts."""
    return _newest_turns(messages, count, lambda message: 0 if is_system_prompt(message) else 1)


def shortened(messages: Sequence[ModelMessage]) -> list[ModelMessage]:
    """The newest whole turns, about half as long together."""
    return within_budget(messages, sum(tokens_of(message) for message in messages) // 2)


def _in_words(message: ModelMessage) -> ModelMessage:
    """The message with nothing but texts, thoughts and tools."""
    if isinstance(message, ModelRequest):
        parts = [part for part in map(_request_part, message.parts) if part is not None]
        return replace(message, parts=parts, instructions=None)
    return replace(
        message,
        parts=[
            replace(part, content=_without_files(part.content))
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
            return replace(part, content=[text for item in content if (text := _words_of(item))])
        case ToolReturnPart(content=content):
            return replace(part, content=_without_files(content))
    return None


def _words_of(item: UserContent) -> str:
    if isinstance(item, TextContent):
        return item.content
    if isinstance(item, str):
        return item
    return FILE_LEFT_OUT if is_multi_modal_content(item) else ""


def _without_files(content: Any) -> Any:
    """What a tool returned, with a note in place of each file in it."""
    if is_multi_modal_content(content):
        return FILE_LEFT_OUT
    if isinstance(content, dict):
        return {key: _without_files(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_without_files(item) for item in content]
    return content


def _newest_turns(
    messages: Sequence[ModelMessage], budget: int, cost: Callable[[ModelMessage], int]
) -> list[ModelMessage]:
    prompts = [message for message in messages if is_system_prompt(message)]
    others = [message for message in messages if not is_system_prompt(message)]
    spent = sum(cost(message) for message in prompts)
    start = len(others)
    awaited: set[str] = set()
    for index in range(len(others) - 1, -1, -1):
        message = others[index]
        spent += cost(message)
        if spent > budget:
            break
        awaited |= _returned(message)
        awaited -= {part.tool_call_id for part in _calls(message)}
        if not awaited and _starts_turn(message):
            start = index
    return [*prompts, *others[start:]]


def _starts_turn(message: ModelMessage) -> bool:
    return (
        isinstance(message, ModelRequest)
        and any(isinstance(part, UserPromptPart) for part in message.parts)
        and not _returned(message)
    )


def _open_calls_at_end(messages: list[ModelMessage]) -> tuple[int, ModelResponse] | None:
    """The last answer, and where it stands, when calls of it wait for a tool or for a model."""
    for index in range(len(messages) - 1, -1, -1):
        message = messages[index]
        if isinstance(message, ModelResponse):
            returned = set().union(*(_returned(later) for later in messages[index + 1 :]))
            unanswered = any(part.tool_call_id not in returned for part in _calls(message))
            return (index, message) if unanswered else None
        if not _returned(message):
            return None
    return None


def _calls(message: ModelMessage) -> list[ToolCallPart]:
    return [part for part in message.parts if isinstance(part, ToolCallPart)]


def _returned(message: ModelMessage) -> set[str]:
    return {part.tool_call_id for part in message.parts if isinstance(part, ToolReturnPart)}


def _says_something(message: ModelMessage) -> bool:
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
