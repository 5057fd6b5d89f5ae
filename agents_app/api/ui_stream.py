"""A run as the Vercel AI SDK's UI message stream, while it is answering.

https://ai-sdk.dev/docs/ai-sdk-ui/stream-protocol#data-stream-protocol. The run is followed like
any other, wherever it is answered, so that only the library's chunks fit, not its adapter.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from uuid import UUID

from pydantic_ai.ui.vercel_ai.response_types import (
    BaseChunk,
    DoneChunk,
    ErrorChunk,
    FinishChunk,
    MessageMetadataChunk,
    StartChunk,
    TextDeltaChunk,
    TextEndChunk,
    TextStartChunk,
)

from agents_app.api.run_serializers import read_answer
from agents_app.api.schemas import RunAnswer
from agents_app.models import AgentRun
from agents_app.runs import watching
from agents_app.runs.db_threads import run_in_db_thread_with_retries
from agents_app.runs.local_broadcast import Outcome, Signal

SDK_VERSION = 6
QUIET_SECONDS = 5
_KEEP_ALIVE = b": keep-alive\n\n"

HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache",
    "X-Vercel-AI-UI-Message-Stream": "v1",
    # Proxies must not buffer it, and middleware must not compress it.
    "X-Accel-Buffering": "no",
    "Content-Encoding": "identity",
}


def run_events(run: AgentRun) -> AsyncGenerator[bytes]:
    """The stream's events."""
    # Followed at once, since a quick run may end soon.
    pieces = watching.follow(run.pk, quiet_seconds=QUIET_SECONDS)
    return _run_events(run.pk, run.session_id, pieces)


async def _run_events(
    run_id: UUID, session_id: UUID, pieces: AsyncGenerator[str | Signal | Outcome]
) -> AsyncGenerator[bytes]:
    part, parts = "", 0
    metadata = {"session_id": str(session_id), "run_id": str(run_id)}
    yield _encode(StartChunk(message_id=str(run_id), message_metadata=metadata))
    text = ""
    async with aclosing(pieces):
        async for piece in pieces:
            if piece is Signal.QUIET:
                yield _KEEP_ALIVE
            elif piece is Signal.RESTARTED and part:
                # The protocol cannot take text back: what is new is a part of its own.
                yield _encode(TextEndChunk(id=part))
                part, text = "", ""
            elif isinstance(piece, str):
                if not part:
                    parts += 1
                    part = f"{run_id}-{parts}"
                    yield _encode(TextStartChunk(id=part))
                text += piece
                yield _encode(TextDeltaChunk(id=part, delta=piece))
    answer = await run_in_db_thread_with_retries(read_answer, run_id)
    if part:
        yield _encode(TextEndChunk(id=part))
    for chunk in _last_chunks(answer, parts, run_id, has_text=bool(text)):
        yield _encode(chunk)


def _last_chunks(
    answer: RunAnswer | None, parts: int, run_id: UUID, *, has_text: bool
) -> list[BaseChunk]:
    if answer is None:
        return [ErrorChunk(error_text="The session was deleted."), DoneChunk()]
    chunks: list[BaseChunk] = []
    if answer.success and not has_text and answer.message:
        # The run had ended before it was followed.
        part = f"{run_id}-{parts + 1}"
        chunks += [
            TextStartChunk(id=part),
            TextDeltaChunk(id=part, delta=answer.message),
            TextEndChunk(id=part),
        ]
    if not answer.success:
        chunks.append(ErrorChunk(error_text=answer.message))
    facts = answer.model_dump(include={"user_id", "message_id", "usage", "success"})
    chunks.append(MessageMetadataChunk(message_metadata=facts))
    return [*chunks, FinishChunk(), DoneChunk()]


def _encode(chunk: BaseChunk) -> bytes:
    return f"data: {chunk.encode(sdk_version=SDK_VERSION)}\n\n".encode()
