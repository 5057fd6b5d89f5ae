"""A model whose text can be read while the agent waits for its whole response.

The library's agent can pass on a model's events itself, but each goes through a dozen generators
and a lock, which is a quarter of the cost of an answer (`python -m tests.bench streams`). Here the
text is taken where the model's stream is read.
"""

from collections.abc import Callable

from pydantic_ai import ModelSettings, RunUsage, UsageLimits
from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    ModelResponseStreamEvent,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
    ToolReturnPart,
)
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.models.wrapper import WrapperModel

_EVENTS_PER_CHECK = 50


class StreamingModel(WrapperModel):
    """Streams each response, and calls `on_text` with its text, piece by piece.

    `on_reasoning` is called with the model's reasoning, piece by piece, and `on_tools` with each
    response that calls tools, and with their outputs.

    Text that follows a tool call or more reasoning begins a new paragraph, as it does in the
    response's text. `usage` is that of all requests so far, including an interrupted one.

    A request raises UsageLimitExceeded when the model exceeds `max_output_tokens`, and whatever
    the callbacks raise.
    """

    def __init__(
        self,
        wrapped: Model,
        *,
        on_text: Callable[[str], object],
        on_reasoning: Callable[[str], object],
        on_tools: Callable[[ModelMessage], object],
        max_output_tokens: int,
    ) -> None:
        super().__init__(wrapped)
        self.has_text = False
        self.usage = RunUsage()
        self._on_text = on_text
        self._on_reasoning = on_reasoning
        self._on_tools = on_tools
        self._has_reasoning = False
        self._has_called_tools = False
        self._limits = UsageLimits(output_tokens_limit=max_output_tokens)

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        if self._has_called_tools and _has_tool_returns(messages[-1]):
            self._on_tools(messages[-1])
        streamed = self.wrapped.request_stream(messages, model_settings, model_request_parameters)
        async with streamed as response:
            try:
                await self._read(response)
            finally:
                self.usage += response.usage
            self._limits.check_tokens(self.usage)
            whole = response.get()
        self._has_called_tools = bool(whole.tool_calls)
        if self._has_called_tools:
            self._on_tools(whole)
        return whole

    async def _read(self, response: StreamedResponse) -> None:
        separator = "\n\n" if self.has_text else ""
        number = 0
        async for event in response:
            if self.has_text and _begins_paragraph(event):
                separator = "\n\n"
            if text := _text_of(event):
                self.has_text = True
                self._on_text(separator + text)
                separator = ""
            elif reasoning := _reasoning_of(event):
                self._publish_reasoning(reasoning, event)
            number += 1
            if number % _EVENTS_PER_CHECK == 0:
                self._limits.check_tokens(self.usage + response.usage)

    def _publish_reasoning(self, reasoning: str, event: ModelResponseStreamEvent) -> None:
        begins_paragraph = self._has_reasoning and isinstance(event, PartStartEvent)
        self._has_reasoning = True
        self._on_reasoning(f"\n\n{reasoning}" if begins_paragraph else reasoning)


def _has_tool_returns(message: ModelMessage) -> bool:
    return any(isinstance(part, ToolReturnPart) for part in message.parts)


def _text_of(event: ModelResponseStreamEvent) -> str:
    """The text that an event adds to the response."""
    if isinstance(event, PartStartEvent) and isinstance(event.part, TextPart):
        return event.part.content
    if isinstance(event, PartDeltaEvent) and isinstance(event.delta, TextPartDelta):
        return event.delta.content_delta
    return ""


def _reasoning_of(event: ModelResponseStreamEvent) -> str | None:
    """The reasoning that an event adds; None if it is about something else."""
    if isinstance(event, PartStartEvent) and isinstance(event.part, ThinkingPart):
        return event.part.content
    if isinstance(event, PartDeltaEvent) and isinstance(event.delta, ThinkingPartDelta):
        return event.delta.content_delta
    return None


def _begins_paragraph(event: ModelResponseStreamEvent) -> bool:
    """Whether the event begins a text that is a new paragraph in the response's text."""
    if not isinstance(event, PartStartEvent) or not isinstance(event.part, TextPart):
        return False
    return event.previous_part_kind not in {None, "text"}
