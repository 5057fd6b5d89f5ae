"""Streams a run in the Vercel AI SDK's UI message stream protocol.

https://ai-sdk.dev/docs/ai-sdk-ui/stream-protocol#data-stream-protocol. Pydantic AI encodes it, from
events that are created here by following the run, whichever process answers it.
"""

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any, Literal, cast

# Not from submodules: while another thread imports the package, their import would interfere.
from pydantic_ai import (
    FunctionToolCallEvent,
    FunctionToolResultEvent,
    ModelMessage,
    ModelResponse,
    PartDeltaEvent,
    PartEndEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ToolReturnPart,
)
from pydantic_ai.ui import NativeEvent
from pydantic_ai.ui.vercel_ai import VercelAIEventStream
from pydantic_ai.ui.vercel_ai.response_types import (
    BaseChunk,
    DoneChunk,
    ErrorChunk,
    FinishChunk,
    FinishStepChunk,
    MessageMetadataChunk,
    StartChunk,
)

from agents_app import sse
from agents_app.api.response_schemas import RunAnswer
from agents_app.api.run_serializers import (
    missing_text,
    read_answer,
    read_tool_messages,
)
from agents_app.models import AgentRun
from agents_app.runs import watching
from agents_app.runs.db_threads import run_in_db_thread_with_retries
from agents_app.runs.local_broadcast import Piece, Signal, ToolUse

logger = logging.getLogger(__name__)

HEADERS = sse.HEADERS | {"X-Vercel-AI-UI-Message-Stream": "v1"}


def run_events(run: AgentRun) -> AsyncGenerator[bytes]:
    """Follow a run, and encode it as the events of the stream."""
    # Followed immediately, since a quick run may end soon.
    pieces = watching.follow(run.pk, quiet_seconds=sse.QUIET_SECONDS)
    return _encode(_RunStream(run), pieces)


async def _encode(stream: "_RunStream", pieces: AsyncGenerator[Piece]) -> AsyncGenerator[bytes]:
    chunks = stream.transform_stream(stream.events(pieces))
    async with aclosing(cast("AsyncGenerator[BaseChunk]", chunks)):
        async for chunk in chunks:
            yield stream.encode_event(chunk).encode()


class _NoAnswer(Exception):
    """The run has failed or was deleted; the text is for the client."""


class _KeepAlive(BaseChunk):
    type: Literal["keep-alive"] = "keep-alive"


class _RunStream(VercelAIEventStream[None, str]):
    """Pydantic AI's encoder, with the ids of session and run, and keep-alive comments."""

    def __init__(self, run: AgentRun) -> None:
        super().__init__(sdk_version=6, server_message_id=str(run.pk))
        self._run_id, self._session_id = run.pk, run.session_id
        self._answer: RunAnswer | None = None
        self._text: TextPart | None = None  # the one that is growing
        self._tool_parts: set[tuple[str, str]] = set()  # kinds and ids of those already sent

    async def events(self, pieces: AsyncGenerator[Piece]) -> AsyncGenerator[NativeEvent]:
        """Pydantic AI's events for the run. Raises _NoAnswer."""
        text = ""
        async with aclosing(pieces):
            async for piece in pieces:
                if piece is Signal.QUIET:
                    yield cast("NativeEvent", piece)  # see handle_event
                elif piece is Signal.RESTARTED:
                    # The protocol cannot retract text: the new text is a separate part.
                    text = ""
                    for event in self._end_text():
                        yield event
                elif isinstance(piece, ToolUse):
                    for event in self._tool_events(piece.message):
                        yield event
                elif isinstance(piece, str):
                    text += piece
                    yield self._text_event(piece)
        self._answer = await run_in_db_thread_with_retries(read_answer, self._run_id)
        if self._answer is None:
            raise _NoAnswer("The session was deleted.")
        rest = missing_text(self._answer, text)
        if text and rest:
            yield self._text_event(rest)
        if self._answer.tool_calls or self._answer.tool_outputs:
            # Those of another process, or of a run that had ended before it was followed.
            for message in await run_in_db_thread_with_retries(read_tool_messages, self._run_id):
                for event in self._tool_events(message):
                    yield event
        if not self._answer.success:
            raise _NoAnswer(self._answer.failure)
        if not text:
            yield self._text_event(rest)
        for event in self._end_text():
            yield event

    async def handle_event(self, event: NativeEvent) -> AsyncIterator[BaseChunk]:
        if cast("Any", event) is Signal.QUIET:
            yield _KeepAlive()
            return
        async for chunk in super().handle_event(event):
            yield chunk

    def encode_event(self, event: BaseChunk) -> str:
        if isinstance(event, _KeepAlive):
            return ": keep-alive\n\n"
        return super().encode_event(event)

    async def before_stream(self) -> AsyncIterator[BaseChunk]:
        ids = {"session_id": str(self._session_id), "run_id": str(self._run_id)}
        yield StartChunk(message_id=self.server_message_id, message_metadata=ids)

    async def on_error(self, error: Exception) -> AsyncIterator[BaseChunk]:
        if not isinstance(error, _NoAnswer):
            logger.error("The stream of run %s has failed", self._run_id, exc_info=error)
            error = _NoAnswer("Something went wrong.")
        yield ErrorChunk(error_text=str(error))

    async def after_stream(self) -> AsyncIterator[BaseChunk]:
        yield FinishStepChunk()
        answer = self._answer
        if answer is None:
            yield FinishChunk(finish_reason="error")
        else:
            facts = answer.model_dump(include={"user_id", "message_id", "usage", "success"})
            yield MessageMetadataChunk(message_metadata=facts)
            reason: Literal["stop", "length"] = "length" if answer.truncated else "stop"
            yield FinishChunk(finish_reason=reason if answer.success else "error")
        yield DoneChunk()

    def _text_event(self, piece: str) -> NativeEvent:
        if self._text is None:
            self._text = TextPart(piece)
            return PartStartEvent(index=0, part=self._text)
        return PartDeltaEvent(index=0, delta=TextPartDelta(piece))

    def _end_text(self) -> Iterator[NativeEvent]:
        if self._text is not None:
            yield PartEndEvent(index=0, part=self._text)
            self._text = None

    def _tool_events(self, message: ModelMessage) -> Iterator[NativeEvent]:
        """The message's tool calls and results that have not been sent yet."""
        yield from self._end_text()
        if isinstance(message, ModelResponse):
            calls = [part for part in message.tool_calls if self._is_new("call", part.tool_call_id)]
            for call in calls:
                yield PartStartEvent(index=0, part=call)
                yield PartEndEvent(index=0, part=call)
            for call in calls:
                yield FunctionToolCallEvent(call, args_valid=True)
        for part in message.parts:
            if isinstance(part, ToolReturnPart) and self._is_new("return", part.tool_call_id):
                yield FunctionToolResultEvent(part)

    def _is_new(self, kind: str, tool_call_id: str) -> bool:
        is_new = (kind, tool_call_id) not in self._tool_parts
        self._tool_parts.add((kind, tool_call_id))
        return is_new
