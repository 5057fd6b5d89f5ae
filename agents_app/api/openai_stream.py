"""Streams chat completions in OpenAI's format."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from agents_app.api.openai_answers import End
from agents_app.runs.local_broadcast import Signal
from agents_app.sse import KEEP_ALIVE, encode_event


async def completion_chunks(
    pieces: AsyncGenerator[str | Signal | End],
    *,
    model: str,
    completion_id: str,
    session_id: str,
    include_usage: bool,
) -> AsyncGenerator[bytes]:
    """Encode an answer as the events of a streamed completion."""
    base: dict[str, Any] = {
        "id": completion_id,
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": model,
    }
    if session_id:
        base["metadata"] = {"session_id": session_id}
    if include_usage:
        base["usage"] = None

    def chunk(delta: dict[str, str], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
        return encode_event({**base, "choices": [choice]})

    yield chunk({"role": "assistant", "content": ""})
    try:
        async with aclosing(pieces):
            async for piece in pieces:
                if piece is Signal.QUIET:
                    yield KEEP_ALIVE
                elif isinstance(piece, str):
                    yield chunk({"content": piece})
                elif isinstance(piece, End):
                    if piece.error:
                        yield _error_event(piece.error)
                        break
                    yield chunk({}, piece.finish_reason)
                    if include_usage:
                        yield encode_event({**base, "choices": [], "usage": piece.usage})
        yield b"data: [DONE]\n\n"
    except Exception:
        # The response has started with status 200: only an event can report the failure.
        yield _error_event("Something went wrong.")
        raise


def _error_event(text: str) -> bytes:
    error = {"message": text, "type": "server_error", "param": None, "code": "run_failed"}
    return encode_event({"error": error})
