"""The OpenAI-compatible API: agents as models, and chat completions in sessions."""

import time
import uuid
from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import User
from django.db import connections
from django.http import HttpRequest, StreamingHttpResponse

from agents_app import services, sse
from agents_app.api import path_converters  # noqa: F401 - registers `any`
from agents_app.api.auth import require_scope, user_of
from agents_app.api.documentation import NamedAPI
from agents_app.api.errors import ERRORS, ApiError, install_handlers
from agents_app.api.idempotency import IdempotencyKey, message_id
from agents_app.api.lookups import find_agent, parse_session_id
from agents_app.api.openai_answers import End, stored_pieces, unstored_pieces
from agents_app.api.openai_errors import FAILED, on_error
from agents_app.api.openai_schemas import (
    Completion,
    CompletionRequest,
    Model,
    ModelList,
    OpenAIError,
)
from agents_app.api.openai_stream import completion_chunks
from agents_app.api.response_schemas import STREAMED
from agents_app.api.waiting import wait_for_answer
from agents_app.models import Agent, AgentRun, Scope
from agents_app.programs.session_queue import send_when_idle
from agents_app.runs import dispatch
from agents_app.services import TurnDetails

WAIT_SECONDS = 30
PLATFORM = "app"
TAG = "OpenAI-compatible"

api = NamedAPI(
    title=f"{settings.PRODUCT_NAME} API, OpenAI-compatible",
    version="1",
    urls_namespace="openai",
    docs_url=None,
    openapi_url="/openapi.json",
)
install_handlers(api, on_error)


@api.get(
    "/models",
    response={200: ModelList, ERRORS: OpenAIError},
    auth=require_scope(Scope.READ),
    tags=[TAG],
)
def list_models(request: HttpRequest) -> ModelList:
    """List the active agents as models."""
    return ModelList(object="list", data=[_model(agent) for agent in Agent.objects.active()])


@api.get(
    "/models/{any:model}",
    response={200: Model, ERRORS: OpenAIError},
    auth=require_scope(Scope.READ),
    tags=[TAG],
)
def read_model(request: HttpRequest, model: str) -> Model:
    """Read one agent as a model."""
    return _model(find_agent(model))


@api.post(
    "/chat/completions",
    response={200: Completion, ERRORS | {FAILED.value}: OpenAIError},
    auth=require_scope(Scope.CHAT),
    tags=[TAG],
    openapi_extra=STREAMED,
)
def create_completion(
    request: HttpRequest, body: CompletionRequest, idempotency_key: IdempotencyKey = None
) -> Any:
    """Have an agent answer the last message of a conversation.

    `metadata.session_id` continues that session: its stored messages are used instead of the ones
    sent. Otherwise, a session is created from the conversation; with `store: false`, nothing is
    stored. Status 424 means that the agent has failed; the message is stored nevertheless.
    """
    agent, user = find_agent(body.model), user_of(request)
    prompt = body.prompt
    if not prompt.strip():
        raise ApiError(400, "invalid_messages", "The last message is empty.")
    session_id = body.metadata.session_id if body.metadata else None
    if body.store is False and session_id is None:
        return _answer_unstored(agent, user, prompt, body)
    run = _start(request, agent, prompt, body, idempotency_key)
    if body.stream:
        pieces = stored_pieces(run)
        return _stream(pieces, agent, body, run)
    answer = wait_for_answer(run)
    if not answer.success:
        code = "not_answered_yet" if answer.status in AgentRun.ACTIVE else "run_failed"
        text = f"{answer.failure} The message is in the session {run.session_id}."
        raise ApiError(FAILED, code, text)
    return _completion(run.pk, agent, answer.message, End.of(answer), session_id=answer.session_id)


def _start(
    request: HttpRequest,
    agent: Agent,
    prompt: str,
    body: CompletionRequest,
    idempotency_key: str | None,
) -> AgentRun:
    session_id = body.metadata.session_id if body.metadata else None
    message: dict[str, Any] = {
        "user": user_of(request),
        "agent_id": agent.pk,
        "text": prompt,
        "message_id": message_id(request, idempotency_key),
        "details": TurnDetails(
            options=body.options,
            earlier=tuple(body.earlier) if session_id is None else (),
            digest=body.digest(agent.pk) if idempotency_key else "",
        ),
    }
    if session_id is None:
        return services.start_session(platform=PLATFORM, **message)
    return send_when_idle(
        session_id=parse_session_id(session_id), wait_seconds=WAIT_SECONDS, **message
    )


def _answer_unstored(agent: Agent, user: User, prompt: str, body: CompletionRequest) -> Any:
    pieces = unstored_pieces(agent, user, prompt, body.earlier, body.options)
    if body.stream:
        return _stream(pieces, agent, body, None)
    connections.close_all()  # hold none while waiting
    text, end = dispatch.run_in_loop(_collect(pieces))
    return _completion(uuid.uuid4(), agent, text, end, session_id="")


async def _collect(pieces: AsyncGenerator[Any]) -> tuple[str, End]:
    text = ""
    async for piece in pieces:
        if isinstance(piece, End):
            if piece.error:
                raise ApiError(FAILED, "run_failed", piece.error)
            return text, piece
        text += piece
    raise AssertionError("the pieces end with End")


def _stream(
    pieces: AsyncGenerator[Any], agent: Agent, body: CompletionRequest, run: AgentRun | None
) -> StreamingHttpResponse:
    chunks = completion_chunks(
        pieces,
        model=agent.name,
        completion_id=_completion_id(run.pk if run else uuid.uuid4()),
        session_id=str(run.session_id) if run else "",
        include_usage=bool(body.stream_options and body.stream_options.include_usage),
    )
    connections.close_all()  # hold none while the stream is open
    return StreamingHttpResponse(chunks, headers=sse.HEADERS)


def _completion(run_id: UUID, agent: Agent, text: str, end: End, *, session_id: str) -> Completion:
    message = {"role": "assistant", "content": text, "refusal": None}
    choice = {
        "index": 0,
        "message": message,
        "finish_reason": end.finish_reason,
        "logprobs": None,
    }
    return Completion(
        id=_completion_id(run_id),
        object="chat.completion",
        created=int(time.time()),
        model=agent.name,
        choices=[choice],
        usage=end.usage,
        metadata={"session_id": session_id} if session_id else {},
    )


def _completion_id(run_id: UUID) -> str:
    return f"chatcmpl-{run_id}"


def _model(agent: Agent) -> Model:
    created = int(agent.created_at.timestamp())
    return Model(id=agent.name, object="model", created=created, owned_by="chat-sessions")
