"""OpenAI's shape: agents as models, and chat completions that continue or make a session.

https://platform.openai.com/docs/api-reference/chat
"""

import time
import uuid
from collections.abc import AsyncGenerator
from http import HTTPStatus
from typing import Annotated, Any, Literal
from uuid import UUID

from django.contrib.auth.models import User
from django.db import connections
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.views.decorators.csrf import csrf_exempt
from ninja import NinjaAPI, Schema
from ninja.errors import AuthenticationError, HttpError, ValidationError
from pydantic import Field, field_validator

from agents_app import services, sse
from agents_app.api.auth import require_scope, user_of
from agents_app.api.errors import ERRORS, ApiError, describe, invalid_field
from agents_app.api.idempotency import IdempotencyKey, message_id
from agents_app.api.lookups import find_agent, parse_session_id
from agents_app.api.openai_stream import (
    End,
    completion_chunks,
    stored_pieces,
    unstored_pieces,
)
from agents_app.api.schemas import MAX_TOKENS, STREAMED, Body, check_text
from agents_app.api.waiting import wait_for_answer
from agents_app.chats.validation import MESSAGE_LENGTH
from agents_app.models import Agent, AgentRun, Scope
from agents_app.programs.session_queue import send_when_idle
from agents_app.run_options import RunOptions
from agents_app.runs import dispatch
from agents_app.services import TurnDetails
from sessions_app.models import Message

WAIT_SECONDS = 30
_MAX_MESSAGES = 1000
PLATFORM = "app"
TAG = "OpenAI's shape"
# Of an answer that has failed: a status that no client takes as a request to ask once more, as
# those from 500 on are. See agents_app.api.waiting.
FAILED = HTTPStatus.FAILED_DEPENDENCY


class TextPart(Body):
    type: str
    text: Annotated[str, Field(max_length=MESSAGE_LENGTH)] | None = None


class ChatMessage(Body):
    """One message of the conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Annotated[str, Field(max_length=MESSAGE_LENGTH)] | list[TextPart] | None = None

    @field_validator("content")
    @classmethod
    def _storable(cls, content: str | list[TextPart] | None) -> str | list[TextPart] | None:
        for text in [content] if isinstance(content, str) else content or []:
            check_text(text if isinstance(text, str) else text.text)
        return content

    @property
    def text(self) -> str:
        """Raises ApiError for anything but text."""
        if isinstance(self.content, list):
            if any(part.type != "text" or part.text is None for part in self.content):
                raise ApiError(400, "unsupported_content", "Only text can be sent.")
            return "".join(part.text or "" for part in self.content)
        return self.content or ""


class StreamOptions(Body):
    include_usage: bool = False


class Metadata(Body):
    session_id: str | None = None


class TextFormat(Body):
    type: Literal["text"]


class CompletionRequest(Body):
    """A conversation whose last message is the user's.

    Fields that would make the answer anything but one text are refused; tools are ignored, since
    an agent has its own.
    """

    model: str
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=_MAX_MESSAGES)]
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=MAX_TOKENS)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1, le=MAX_TOKENS)] | None = None
    metadata: Metadata | None = None
    store: bool | None = True
    n: Literal[1] | None = None
    response_format: TextFormat | None = None
    tool_choice: Literal["none", "auto"] | None = None
    logprobs: Literal[False] | None = None
    modalities: list[Literal["text"]] | None = None

    @property
    def options(self) -> RunOptions:
        prompts = [m.text for m in self.messages if m.role in {"system", "developer"}]
        return RunOptions(
            system_prompt="\n\n".join(prompts) or None,
            temperature=self.temperature,
            max_tokens=self.max_completion_tokens or self.max_tokens,
        )

    @property
    def earlier(self) -> list[Message]:
        """The messages of user and assistant before the last one, as unsaved rows."""
        return [
            Message(role=message.role, text_content=message.text)
            for message in self.messages[:-1]
            if message.role in {"user", "assistant"} and message.text
        ]

    @property
    def prompt(self) -> str:
        """The user's last message. Raises ApiError."""
        last = self.messages[-1]
        if last.role != "user":
            raise ApiError(400, "invalid_messages", "The last message must be the user's.")
        return last.text


class Model(Schema):
    id: str
    object: str
    created: int
    owned_by: str


class ModelList(Schema):
    object: str
    data: list[Model]


class ErrorBody(Schema):
    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIError(Schema):
    error: ErrorBody


class Completion(Schema):
    id: str
    object: str
    created: int
    model: str
    choices: list[dict[str, Any]]
    usage: dict[str, int]
    metadata: dict[str, str]


api = NinjaAPI(
    title="Chat sessions, in OpenAI's shape",
    version="1",
    urls_namespace="openai",
    docs_url=None,
    openapi_url="/openapi.json",
)


@api.get(
    "/models",
    response={200: ModelList, ERRORS: OpenAIError},
    auth=require_scope(Scope.READ),
    tags=[TAG],
)
def list_models(request: HttpRequest) -> ModelList:
    """List the active agents, as models."""
    return ModelList(object="list", data=[_model(agent) for agent in Agent.objects.active()])


@api.get(
    "/models/{any:model}",
    response={200: Model, ERRORS: OpenAIError},
    auth=require_scope(Scope.READ),
    tags=[TAG],
)
def read_model(request: HttpRequest, model: str) -> Model:
    """Read one agent, as a model."""
    return _model(find_agent(model))


@api.post(
    "/chat/completions",
    response={200: Completion, ERRORS | {FAILED.value}: OpenAIError},
    auth=require_scope(Scope.CHAT),
    tags=[TAG],
    openapi_extra=STREAMED,
)
def complete(
    request: HttpRequest, body: CompletionRequest, idempotency_key: IdempotencyKey = None
) -> Any:
    """Have an agent answer the last message of a conversation.

    `metadata.session_id` continues that session, of which the stored messages count, not those
    sent. Otherwise a session is made from the conversation, or with `store: false` nothing is
    stored. Status 424 says that the agent has failed; the message is then stored all the same.
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
    connections.close_all()  # none is held while waiting
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
    connections.close_all()  # none is held while the stream is open
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


# OpenAI's clients repeat these by themselves unless told not to. One has waited for its turn
# already, and nobody knows what the other one has done before it failed.
_NOT_TO_BE_REPEATED = {409, 500}
_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    FAILED: "server_error",
    429: "rate_limit_error",
}


# The field that an error is about.
_PARAMS = {
    "agent_not_found": "model",
    "session_not_found": "metadata.session_id",
    "invalid_message": "messages",
    "invalid_messages": "messages",
    "unsupported_content": "messages",
}


def openai_error(
    status: int, code: str, message: str, *, param: str | None = None, **headers: str
) -> HttpResponse:
    """An error in OpenAI's shape."""
    kind = _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    error = {"message": message, "type": kind, "param": param, "code": code}
    return JsonResponse({"error": error}, status=status, headers=headers)


def on_error(request: HttpRequest, error: Exception) -> HttpResponse:
    """Every error, as `describe` says, in OpenAI's shape."""
    status, code, detail, headers = describe(request, error)
    if status in _NOT_TO_BE_REPEATED:
        headers = {**headers, "X-Should-Retry": "false"}
    # OpenAI's clients take 404 for an unknown model, and 400 for a bad body.
    param = invalid_field(error) or _PARAMS.get(code)
    return openai_error(400 if status == 422 else status, code, detail, param=param, **headers)


for kind in (Exception, ValidationError, AuthenticationError, HttpError):
    api.exception_handler(kind)(on_error)


@csrf_exempt
def not_found(request: HttpRequest, rest: str = "") -> HttpResponse:
    """404 in OpenAI's shape for a path that does not exist."""
    return openai_error(404, "unknown_url", f"Unknown request URL: {request.method} {request.path}")
