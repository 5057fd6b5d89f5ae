"""SimpleAgent: a model with a system prompt, and the conversation it has.

Building one costs nothing: no session is made, and no model is loaded before the first
answer.
"""

import asyncio
import logging
import math
import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

from asgiref.sync import sync_to_async
from django.conf import settings
from pydantic_ai import Agent as ModelAgent
from pydantic_ai import AgentRunResult, AgentRunResultEvent, ModelSettings, UsageLimits
from pydantic_ai.exceptions import ModelAPIError, ModelConnectionError
from pydantic_ai.messages import (
    AgentStreamEvent,
    FunctionToolCallEvent,
    ModelMessage,
    ModelResponse,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
)
from pydantic_ai.models import Model
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.usage import RunUsage

from agents_app import replay, transcripts
from agents_app.history import MessageHistory
from agents_app.llm import model_strings
from agents_app.llm.clients import open_model
from agents_app.llm.errors import AgentFailed, BrokenOff, EmptyAnswer, as_agent_failed, is_too_long
from agents_app.models import Agent
from sessions_app.text import check_storable
from sessions_app.writing import SessionGone

__all__ = ["AgentFailed", "BrokenOff", "Finished", "SimpleAgent"]

logger = logging.getLogger(__name__)

# The library greets its first use on a terminal; a server's log is no place for that.
os.environ.setdefault("PYDANTIC_AI_NO_BANNER", "1")


@dataclass(frozen=True)
class Finished:
    """The end of an answer.

    `text` is the answer, `new_messages` are those of the run, beginning with the person's
    message, and `cut_off` says whether the answer ended at the token limit.
    """

    text: str
    new_messages: list[ModelMessage]
    usage: RunUsage
    cut_off: bool


class SimpleAgent:
    """Answers with one model and one system prompt.

    `config` holds `name`, and optionally `model` (see agents_app.llm.model_strings),
    `system_prompt`, `temperature`, `max_tokens` and `tools` (functions, or pydantic-ai's
    tools). A `model` object takes precedence over the string.

    `message_history` is in memory until a stored session is attached.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        *,
        model: Model | None = None,
        tools: Sequence[Any] = (),
        agent_id: int | None = None,
    ) -> None:
        self.name: str = config.get("name") or "simple"
        self.model_string: str = config.get("model") or ""
        self.system_prompt: str = config.get("system_prompt") or ""
        self.agent_id = agent_id
        self.message_history = MessageHistory(None, no_auto_create=True)
        self._model = model
        self._tools = [*tools, *config.get("tools", ())]
        self._temperature = _number(config.get("temperature"))
        self._max_tokens = _number(config.get("max_tokens"))

    @classmethod
    def for_row(cls, agent: Agent) -> Self:
        """The agent that a row describes."""
        config = agent.config if isinstance(agent.config, dict) else {}
        return cls(
            {
                "name": agent.name,
                "model": agent.model,
                "system_prompt": agent.system_prompt,
                "temperature": config.get("temperature"),
                "max_tokens": config.get("max_tokens"),
            },
            agent_id=agent.pk,
        )

    def attach(self, session_id: UUID, *, user_id: int | None) -> None:
        """Go on with the conversation of a session, as this user.

        Raises SessionGone when there is no such session.
        """
        history = MessageHistory(session_id, user_id=user_id, no_auto_create=True)
        if history.session_id is None:
            raise SessionGone(session_id)
        self.message_history = history

    def history_budget(self, prompt: str) -> int:
        """How many tokens of history fit into the model's context beside prompt and answer."""
        return (
            model_strings.context_tokens(self.model_string)
            - self._output_tokens
            - replay.estimate_tokens(prompt)
            - replay.estimate_tokens(self.system_prompt)
            - 2 * replay.TOKENS_PER_MESSAGE
        )

    async def run(self, prompt: str) -> str:
        """Answer, with the message history before and after; returns the text.

        The prompt is stored first, and stays when the answer fails with AgentFailed.
        """
        history = self.message_history
        earlier = await sync_to_async(history.recent)(self.history_budget(prompt))
        await sync_to_async(history.add)(prompt, agent_id=self.agent_id)
        async with aclosing(self.stream(prompt, message_history=earlier)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Finished):
                    # The prompt, the first of them, is there already.
                    answer = piece.new_messages[1:]
                    await sync_to_async(history.add_model_messages)(answer, agent_id=self.agent_id)
                    return piece.text
        raise AssertionError("a stream ends with Finished, or raises")

    async def stream(
        self, prompt: str, *, message_history: Sequence[ModelMessage] = ()
    ) -> AsyncGenerator[str | Finished]:
        """Answer: yields pieces of text as they come, and at last Finished.

        Of the history as much is told as fits into the model's context. A system prompt in it
        takes the place of the agent's own.

        Raises AgentFailed for whatever goes wrong, and after AGENT_TIME_LIMIT; BrokenOff, which
        is one, when the provider ends in the middle. When it is cancelled or closed, so is the
        request to the model.
        """
        ends_at = asyncio.get_running_loop().time() + settings.AGENT_TIME_LIMIT
        try:
            check_storable(prompt)
            async with asyncio.timeout_at(ends_at):
                model = self._model or await open_model(self.model_string)
            history = replay.within_budget(
                replay.replayable(message_history), self.history_budget(prompt)
            )
            while True:
                spoken = False
                attempt = self._attempt(model, prompt, history, ends_at)
                try:
                    async with aclosing(attempt) as pieces:
                        async for piece in pieces:
                            spoken = True
                            yield piece
                    return
                except ModelAPIError as error:
                    # Tokens are only estimated: a chat must not end because of that.
                    shorter = replay.shortened(history)
                    if spoken or not is_too_long(error) or shorter == history:
                        raise
                    history = shorter
        except BrokenOff:
            logger.warning("Agent %s: the model's server broke off an answer", self.name)
            raise
        except Exception as error:
            raise as_agent_failed(error, self.name) from error

    async def _attempt(
        self, model: Model, prompt: str, history: list[ModelMessage], ends_at: float
    ) -> AsyncGenerator[str | Finished]:
        has_own_prompt = any(transcripts.is_system_prompt(message) for message in history)
        agent = ModelAgent(
            model,
            name=self.name,
            instructions=None if has_own_prompt else self.system_prompt or None,
            tools=self._tools,
            retries={"output": 0},  # an empty answer is for the person to repeat
        )
        # The library's own time limit: one around a generator would strike whoever reads it.
        async with agent.run_stream_events(
            prompt,
            message_history=history,
            model_settings=self._model_settings,
            usage_limits=UsageLimits(output_tokens_limit=self._output_tokens),
            timeout=max(0.0, ends_at - asyncio.get_running_loop().time()),
        ) as events:
            between = ""
            spoken = False
            try:
                async for event in events:
                    if isinstance(event, AgentRunResultEvent):
                        yield _finished(event.result, model)
                    elif isinstance(event, FunctionToolCallEvent):
                        between = "\n\n" if spoken else ""
                    elif text := _text(event):
                        check_storable(text)
                        yield between + text
                        between, spoken = "", True
            except ModelConnectionError as error:
                if spoken:
                    raise BrokenOff from error
                raise

    @property
    def _output_tokens(self) -> int:
        limit = model_strings.output_tokens(self.model_string)
        return limit if self._max_tokens is None else max(1, min(limit, int(self._max_tokens)))

    @property
    def _model_settings(self) -> ModelSettings:
        model_settings = ModelSettings(max_tokens=self._output_tokens)
        if self._temperature is not None:
            model_settings["temperature"] = self._temperature
        return model_settings


def _text(event: AgentStreamEvent) -> str:
    """The text that an event adds to the answer."""
    if isinstance(event, PartStartEvent) and isinstance(event.part, TextPart):
        return event.part.content
    if isinstance(event, PartDeltaEvent) and isinstance(event.delta, TextPartDelta):
        return event.delta.content_delta
    return ""


def _finished(result: AgentRunResult[str], model: Model) -> Finished:
    if not result.output.strip():
        raise EmptyAnswer
    if not _was_ended(result.response, model):
        raise BrokenOff
    new_messages = result.new_messages()
    transcripts.rows_from(new_messages)  # what cannot be stored is a failure, not an answer
    return Finished(
        text=result.output,
        new_messages=new_messages,
        usage=result.usage,
        cut_off=result.response.finish_reason == "length",
    )


def _was_ended(response: ModelResponse, model: Model) -> bool:
    """Whether the model has said that this was its answer, and not just fallen silent.

    With OpenAI's protocol the library takes silence for `stop`; what the provider itself has
    said stands in the details only. Models without a provider never say why they end.
    """
    if isinstance(model, OpenAIChatModel) and response.finish_reason == "stop":
        return bool((response.provider_details or {}).get("finish_reason"))
    return response.finish_reason is not None or model.provider is None


def _number(value: object) -> float | None:
    """A number from a configuration, where Automagik wrote some as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
