"""Answers for the OpenAI-compatible API, piece by piece: of a stored run, or generated unstored."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Self

from django.contrib.auth.models import User

from agents_app.api.response_schemas import RunAnswer
from agents_app.api.run_serializers import missing_text, read_answer
from agents_app.models import Agent, AgentRun, RunFacts
from agents_app.run_options import RunOptions
from agents_app.runs import dispatch, watching
from agents_app.runs.db_threads import run_in_db_thread_with_retries
from agents_app.runs.local_broadcast import Signal
from agents_app.sse import QUIET_SECONDS
from sessions_app.models import Message


@dataclass(frozen=True)
class End:
    """How an answer ended."""

    input_tokens: int = 0
    output_tokens: int = 0
    truncated: bool = False
    error: str = ""

    @classmethod
    def of(cls, answer: RunAnswer) -> Self:
        """How a stored run ended."""
        if not answer.success:
            return cls(error=answer.failure)
        usage = answer.usage
        return cls(
            input_tokens=(usage.input_tokens or 0) if usage else 0,
            output_tokens=(usage.output_tokens or 0) if usage else 0,
            truncated=answer.truncated,
        )

    @property
    def finish_reason(self) -> str:
        return "length" if self.truncated else "stop"

    @property
    def usage(self) -> dict[str, int]:
        """The token counts in OpenAI's format."""
        return {
            "prompt_tokens": self.input_tokens,
            "completion_tokens": self.output_tokens,
            "total_tokens": self.input_tokens + self.output_tokens,
        }


def stored_pieces(run: AgentRun) -> AsyncGenerator[str | Signal | End]:
    """The text of a run as it grows, and then its end."""
    # Followed immediately, since a quick run may end soon.
    pieces = watching.follow(run.pk, quiet_seconds=QUIET_SECONDS)
    return _stored_pieces(run, pieces)


async def _stored_pieces(
    run: AgentRun, pieces: AsyncGenerator[Any]
) -> AsyncGenerator[str | Signal | End]:
    text = ""
    async with aclosing(pieces):
        async for piece in pieces:
            if piece is Signal.RESTARTED and text:
                # The protocol cannot retract text.
                text = f"The answer was restarted; it will be in the session {run.session_id}."
                yield End(error=text)
                return
            if isinstance(piece, str):
                text += piece
                yield piece
            elif piece is Signal.QUIET:
                yield Signal.QUIET
    answer = await run_in_db_thread_with_retries(read_answer, run.pk)
    if answer is None:
        yield End(error="The session was deleted.")
        return
    if rest := missing_text(answer, text):
        yield rest
    yield End.of(answer)


async def unstored_pieces(
    agent: Agent, user: User, prompt: str, earlier: Sequence[Message], options: RunOptions
) -> AsyncGenerator[str | Signal | End]:
    """The text and the end of an answer that is generated in this process and not stored."""
    from agents_app.agents import AgentFailed, RunResult, SimpleAgent
    from agents_app.conversation import codec

    history = codec.to_model_messages(earlier)
    facts = RunFacts()
    async with dispatch.concurrency_slot(user.pk):
        answering = SimpleAgent.for_row(agent, options).stream(
            prompt, message_history=history, facts=facts
        )
        try:
            async with aclosing(answering) as pieces:
                async for piece in pieces:
                    if isinstance(piece, RunResult):
                        yield End(
                            input_tokens=facts.input_tokens or 0,
                            output_tokens=facts.output_tokens or 0,
                            truncated=piece.truncated,
                        )
                    else:
                        yield piece
        except AgentFailed as error:
            yield End(error=str(error))
