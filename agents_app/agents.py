"""SimpleAgent: a model with a system prompt and a message history.

Constructing one is cheap: it creates no session, and loads no model before the first answer.
"""

import asyncio
import logging
import math
import os
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Self, TypeVar
from uuid import UUID

from asgiref.sync import sync_to_async
from django.conf import settings
from pydantic_ai import Agent as ModelAgent
from pydantic_ai import AgentRunResult, ModelSettings
from pydantic_ai.exceptions import ModelAPIError, ModelConnectionError
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import Model
from pydantic_ai.models.openai import OpenAIChatModel

from agents_app.conversation import codec, trimming
from agents_app.history import MessageHistory
from agents_app.llm import model_strings
from agents_app.llm.clients import UNPRICED_PROVIDERS, open_model
from agents_app.llm.errors import (
    AgentFailed,
    EmptyAnswer,
    ResponseInterrupted,
    as_agent_failed,
    is_too_long,
)
from agents_app.llm.streaming_model import StreamingModel
from agents_app.models import Agent, RunFacts
from agents_app.run_options import NO_OPTIONS, RunOptions
from sessions_app.models import Message
from sessions_app.storable import check_storable
from sessions_app.writing import SessionGone

__all__ = ["AgentFailed", "ResponseInterrupted", "RunResult", "SimpleAgent"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

# On first use, the library prints a banner, which does not belong in a server's log.
os.environ.setdefault("PYDANTIC_AI_NO_BANNER", "1")

if any(name.startswith("OTEL_EXPORTER_") or name == "OTEL_TRACES_EXPORTER" for name in os.environ):
    # Every model request is traced, to where OpenTelemetry's variables say.
    ModelAgent.instrument_all()


_MAX_COST = 10**6  # more than its column can hold


@dataclass(frozen=True)
class RunResult:
    """The complete answer of one run.

    `rows` are its messages (tool calls, their outputs, the answer) as unsaved rows without a
    session, and `truncated` says whether it ended at the token limit.
    """

    text: str
    rows: list[Message]
    truncated: bool


class SimpleAgent:
    """Answers with one model and one system prompt.

    `config` holds `name`, and optionally `model` (see agents_app.llm.model_strings),
    `system_prompt`, `temperature`, `max_tokens` and `tools` (functions, or pydantic-ai's
    tools). A `model` object takes precedence over the string.

    `message_history` is in memory until a stored session is attached. The product itself calls
    `for_row`, `answer` and `stream`; `attach` and `run` are for programs.
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
    def for_row(cls, agent: Agent, options: RunOptions = NO_OPTIONS) -> Self:
        """The agent that a row describes, with the options of one run."""
        config = agent.config if isinstance(agent.config, dict) else {}
        replaced = options.as_json() or {}
        return cls(
            {
                "name": agent.name,
                "model": agent.model,
                "system_prompt": replaced.get("system_prompt", agent.system_prompt),
                "temperature": replaced.get("temperature", config.get("temperature")),
                "max_tokens": replaced.get("max_tokens", config.get("max_tokens")),
            },
            agent_id=agent.pk,
        )

    def attach(self, session_id: UUID, *, user_id: int | None) -> None:
        """Continue the conversation of a session as this user.

        Raises SessionGone when there is no such session.
        """
        history = MessageHistory(session_id, user_id=user_id, no_auto_create=True)
        if history.session_id is None:
            raise SessionGone(session_id)
        self.message_history = history

    def history_budget(self, prompt: str) -> int:
        """How many tokens of history fit into the model's context with the prompt and answer."""
        return (
            model_strings.context_tokens(self.model_string)
            - self._output_tokens
            - trimming.estimate_tokens(prompt)
            - trimming.estimate_tokens(self.system_prompt)
            - 2 * trimming.TOKENS_PER_MESSAGE
        )

    async def run(self, prompt: str) -> str:
        """Answer in the context of the message history, and add to it; returns the text.

        The prompt is stored first, and stays when the answer fails with AgentFailed. Raises
        UnstorableText, with nothing stored, for a prompt that cannot be stored exactly.
        """
        history = self.message_history
        earlier = await sync_to_async(history.recent)(self.history_budget(prompt))
        await sync_to_async(history.add)(prompt, agent_id=self.agent_id)
        result = await self.answer(prompt, message_history=earlier)
        await sync_to_async(history.add_rows)(result.rows, agent_id=self.agent_id)
        return result.text

    async def stream(
        self,
        prompt: str,
        *,
        message_history: Sequence[ModelMessage] = (),
        facts: RunFacts | None = None,
    ) -> AsyncGenerator[str | RunResult]:
        """As `answer`, but yields the pieces of text, and finally RunResult.

        Closing it cancels the request to the model.
        """
        pieces: asyncio.Queue[str | None] = asyncio.Queue()
        answering = asyncio.create_task(
            self.answer(
                prompt,
                on_text=pieces.put_nowait,
                message_history=message_history,
                facts=facts,
            )
        )
        answering.add_done_callback(lambda _: pieces.put_nowait(None))
        try:
            while (piece := await pieces.get()) is not None:
                yield piece
            yield await answering
        finally:
            answering.cancel()
            # Its error has been raised above, unless the reader has gone.
            await asyncio.gather(answering, return_exceptions=True)

    async def answer(
        self,
        prompt: str,
        *,
        on_text: Callable[[str], object] = lambda _: None,
        on_reasoning: Callable[[str], object] = lambda _: None,
        on_tools: Callable[[ModelMessage], object] = lambda _: None,
        message_history: Sequence[ModelMessage] = (),
        facts: RunFacts | None = None,
    ) -> RunResult:
        """Answer, calling `on_text` with each piece of text as it arrives.

        `on_reasoning` is called with each piece of the model's reasoning, and `on_tools` with each
        message that has tool calls or their outputs.

        The model is sent as much of the history as fits into its context. A system prompt in
        the history replaces the agent's own. `facts` are filled in along the way, so that they
        are known however it ends.

        Raises AgentFailed for every failure, AGENT_TIME_LIMIT included, and its subclass
        ResponseInterrupted when the provider stops in the middle. Cancelling it cancels the request
        to the model.
        """
        try:
            async with asyncio.timeout(settings.AGENT_TIME_LIMIT):
                model = StreamingModel(
                    self._model or await open_model(self.model_string),
                    on_text=_checked(on_text, check_storable),
                    on_reasoning=_checked(on_reasoning, check_storable),
                    on_tools=_checked(on_tools, lambda message: codec.to_rows([message])),
                    max_output_tokens=self._output_tokens,
                )
                facts = RunFacts() if facts is None else facts
                facts.model = model.model_name
                return await self._answer(model, prompt, message_history, facts)
        except ResponseInterrupted:
            logger.warning(
                "Agent %s: the model's server closed the connection during an answer", self.name
            )
            raise
        except Exception as error:
            raise as_agent_failed(error, self.name) from error

    async def _answer(
        self,
        model: StreamingModel,
        prompt: str,
        message_history: Sequence[ModelMessage],
        facts: RunFacts,
    ) -> RunResult:
        whole = trimming.prepare_for_model(message_history)
        history = trimming.trim_to_budget(whole, self.history_budget(prompt))
        while True:
            facts.context_from = trimming.first_position_if_trimmed(whole, history)
            try:
                return await self._attempt(model, prompt, history, facts)
            except ModelConnectionError as error:
                if model.has_text:
                    raise ResponseInterrupted from error
                raise
            except ModelAPIError as error:
                # Tokens are only estimated, and a low estimate must not end the chat.
                shorter = trimming.trim_to_half(history)
                if model.has_text or not is_too_long(error) or shorter == history:
                    raise
                history = shorter

    async def _attempt(
        self,
        model: StreamingModel,
        prompt: str,
        history: list[ModelMessage],
        facts: RunFacts,
    ) -> RunResult:
        has_own_prompt = any(codec.is_system_prompt(message) for message in history)
        agent = ModelAgent(
            model,
            name=self.name,
            instructions=None if has_own_prompt else self.system_prompt or None,
            tools=self._tools,
            retries={"output": 0},  # the user decides whether to retry an empty answer
        )
        try:
            result = await agent.run(
                prompt,
                message_history=trimming.drop_foreign_thinking(history, model.system),
                model_settings=self._model_settings,
            )
        finally:
            facts.input_tokens = _token_count(model.usage.input_tokens)
            facts.output_tokens = _token_count(model.usage.output_tokens)
        run_result = _run_result(result, model.wrapped)
        facts.model = result.response.model_name or facts.model
        facts.truncated = run_result.truncated
        facts.cost = _cost([one for one in result.new_messages() if isinstance(one, ModelResponse)])
        return run_result

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


def _checked(callback: Callable[[T], object], check: Callable[[T], object]) -> Callable[[T], None]:
    """A callback that first raises UnstorableText for what cannot be stored."""

    def call(value: T) -> None:
        check(value)
        callback(value)

    return call


def _run_result(result: AgentRunResult[str], model: Model) -> RunResult:
    if not result.output.strip():
        raise EmptyAnswer
    if not _is_complete(result.response, model):
        raise ResponseInterrupted
    # The first of the run's messages is the prompt.
    rows = codec.to_rows(result.new_messages()[1:])
    return RunResult(
        text=result.output, rows=rows, truncated=result.response.finish_reason == "length"
    )


def _cost(responses: Sequence[ModelResponse]) -> Decimal | None:
    """The price of the responses in US dollars, from the library's own list; None if unknown."""
    if any(response.provider_name in UNPRICED_PROVIDERS for response in responses):
        return None
    try:
        cost = sum((response.cost().total_price for response in responses), Decimal())
    except Exception:  # the answer matters more than its price
        return None
    return round(cost, 6) if cost < _MAX_COST else None


def _token_count(reported: int) -> int | None:
    """The number that a provider reports, if it is plausible and can be stored."""
    return reported if 0 < reported < 2**31 else None


def _is_complete(response: ModelResponse, model: Model) -> bool:
    """Whether the provider has sent a finish reason, rather than just ended its stream.

    With OpenAI's protocol the library takes the end of a stream for `stop`; the provider's own
    finish reason is in the details only. Models without a provider never send one.
    """
    if isinstance(model, OpenAIChatModel) and response.finish_reason == "stop":
        return bool((response.provider_details or {}).get("finish_reason"))
    return response.finish_reason is not None or model.provider is None


def _number(value: object) -> float | None:
    """A number from a configuration; Automagik wrote some as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
