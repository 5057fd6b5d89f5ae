"""Chat completions in OpenAI's shape, as they are written."""

import json
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User

from agents_app.api.run_serializers import read_answer
from agents_app.models import Agent, AgentRun
from agents_app.run_options import RunOptions
from agents_app.runs import dispatch, watching
from agents_app.runs.broadcast import Signal
from agents_app.runs.db_threads import run_in_db_thread_with_retries
from sessions_app.models import Message

QUIET_SECONDS = 5
_KEEP_ALIVE = b": keep-alive\n\n"

HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache",
    # Proxies must not buffer it, and middleware must not compress it.
    "X-Accel-Buffering": "no",
    "Content-Encoding": "identity",
}


@dataclass(frozen=True)
class End:
    """How an answer has ended: the tokens in and out, or an error."""

    usage: tuple[int | None, int | None] = (None, None)
    error: str = ""
    truncated: bool = False


def stored_pieces(run: AgentRun) -> AsyncGenerator[str | Signal | End]:
    """The text of a run as it grows, and its end."""
    # Followed at once, since a quick run may end soon.
    pieces = watching.follow(run.pk, quiet_seconds=QUIET_SECONDS)
    return _stored_pieces(run, pieces)


async def _stored_pieces(
    run: AgentRun, pieces: AsyncGenerator[Any]
) -> AsyncGenerator[str | Signal | End]:
    has_text = False
    async with aclosing(pieces):
        async for piece in pieces:
            if piece is Signal.RESTARTED and has_text:
                # The protocol cannot take text back.
                yield End(error="The answer was interrupted. Send the message again.")
                return
            if isinstance(piece, str):
                has_text = True
                yield piece
            elif piece is Signal.QUIET:
                yield Signal.QUIET
    answer = await run_in_db_thread_with_retries(read_answer, run.pk)
    if answer is None:
        yield End(error="The session was deleted.")
        return
    if answer.success and not has_text:
        yield answer.message
    usage = answer.usage
    yield End(
        usage=(usage.input_tokens, usage.output_tokens) if usage else (None, None),
        error="" if answer.success else answer.message,
    )


async def unstored_pieces(
    agent: Agent, user: User, prompt: str, earlier: Sequence[Message], options: RunOptions
) -> AsyncGenerator[str | Signal | End]:
    """An answer of which nothing is stored, in this process."""
    from agents_app.agents import AgentFailed, RunResult, SimpleAgent
    from agents_app.conversation import codec

    history = codec.to_model_messages(earlier)
    async with dispatch.concurrency_slot(user.pk):
        answering = SimpleAgent.for_row(agent, options).stream(prompt, message_history=history)
        try:
            async with aclosing(answering) as pieces:
                async for piece in pieces:
                    if isinstance(piece, RunResult):
                        yield End(truncated=piece.truncated)
                    else:
                        yield piece
        except AgentFailed as error:
            yield End(error=str(error))


async def completion_chunks(
    pieces: AsyncGenerator[str | Signal | End],
    *,
    model: str,
    completion_id: str,
    session_id: str,
    include_usage: bool,
) -> AsyncGenerator[bytes]:
    """The chunks of a completion."""
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
        return _event({**base, "choices": [choice]})

    yield chunk({"role": "assistant", "content": ""})
    async with aclosing(pieces):
        async for piece in pieces:
            if piece is Signal.QUIET:
                yield _KEEP_ALIVE
            elif isinstance(piece, str):
                yield chunk({"content": piece})
            elif isinstance(piece, End):
                if piece.error:
                    error = {"message": piece.error, "type": "server_error", "code": "run_failed"}
                    yield _event({"error": error})
                    break
                yield chunk({}, "length" if piece.truncated else "stop")
                if include_usage:
                    tokens = [count or 0 for count in piece.usage]
                    usage = {
                        "prompt_tokens": tokens[0],
                        "completion_tokens": tokens[1],
                        "total_tokens": sum(tokens),
                    }
                    yield _event({**base, "choices": [], "usage": usage})
    yield b"data: [DONE]\n\n"


def _event(data: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()
