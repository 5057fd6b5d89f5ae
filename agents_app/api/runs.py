"""Runs: run an agent, read a run's status, stop it."""

from typing import Annotated, Any

from django.db import connections
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse
from ninja import Path, Query, Router

from agents_app import services, sse
from agents_app.api import (
    path_converters,  # noqa: F401 - registers `any`
    ui_stream,
)
from agents_app.api.auth import may_act_for_users, require_scope, user_of, user_to_act_for
from agents_app.api.errors import ERRORS, ApiError, Error
from agents_app.api.idempotency import IdempotencyKey, message_id
from agents_app.api.lookups import find_agent, parse_session_id, parse_uuid
from agents_app.api.request_schemas import DEFAULT_ORIGIN, RunRequest
from agents_app.api.response_schemas import (
    STREAMED,
    RunAnswer,
    RunStarted,
    RunState,
    Stopped,
)
from agents_app.api.run_serializers import run_state
from agents_app.api.waiting import wait_for_answer
from agents_app.models import AgentRun, Scope
from agents_app.programs.run_requests import request_run

router = Router(tags=["runs"])

MAX_WAIT = 120

Wait = Annotated[
    float,
    Query(
        ge=0,
        le=MAX_WAIT,
        allow_inf_nan=False,
        description="Seconds to wait while the session is busy.",
    ),
]


@router.post(
    "/agent/{any:agent}/run",
    response={200: RunAnswer, ERRORS: Error},
    auth=require_scope(Scope.CHAT),
    openapi_extra=STREAMED,
)
def run_agent(
    request: HttpRequest,
    agent: Annotated[str, Path(description="The agent's name or id.")],
    body: RunRequest,
    wait: Wait = 30,
    idempotency_key: IdempotencyKey = None,
) -> Any:
    """Send a message to an agent and get its answer.

    With `Accept: text/event-stream`, the answer is streamed as the Vercel AI SDK's UI message
    stream. The run continues if the client disconnects; `GET /runs/{run_id}/status` returns its
    result. Once the message is stored, the status is 200. If `success` is false, `message` gives
    the reason; if `status` is `pending` or `running`, the answer is not finished yet.
    """
    run = _start(request, agent, body, wait, idempotency_key)
    accepted = ["application/json", sse.CONTENT_TYPE]
    if request.get_preferred_type(accepted) == sse.CONTENT_TYPE:
        return _stream(run)
    return wait_for_answer(run)


@router.post(
    "/agent/{any:agent}/run/async",
    response={200: RunStarted, ERRORS: Error},
    auth=require_scope(Scope.CHAT),
)
def run_agent_in_background(
    request: HttpRequest,
    agent: Annotated[str, Path(description="The agent's name or id.")],
    body: RunRequest,
    wait: Wait = 30,
    idempotency_key: IdempotencyKey = None,
) -> RunStarted:
    """Send a message to an agent and get the id of the run immediately."""
    run = _start(request, agent, body, wait, idempotency_key)
    return RunStarted(
        run_id=str(run.pk),
        status=run.status,
        message="The run has started.",
        agent_name=run.agent.name if run.agent else agent,
        session_id=str(run.session_id),
    )


@router.get(
    "/run/{run_id}/status", response={200: RunState, ERRORS: Error}, auth=require_scope(Scope.READ)
)
def read_run(request: HttpRequest, run_id: str) -> RunState:
    """Read the status of a run, and its result.

    `started_at` is null until the run has started, and `completed_at` until it has ended, with the
    status `done`, `failed`, `stopped` or `interrupted`.
    """
    return run_state(_find_run(request, run_id))


@router.get(
    "/runs/{run_id}/status", response={200: RunState, ERRORS: Error}, auth=require_scope(Scope.READ)
)
def read_run_by_other_name(request: HttpRequest, run_id: str) -> RunState:
    """Read the status of a run, and its result, as /run/{run_id}/status does."""
    return read_run(request, run_id)


@router.post(
    "/run/{run_id}/stop", response={200: Stopped, ERRORS: Error}, auth=require_scope(Scope.CHAT)
)
def stop_run(request: HttpRequest, run_id: str) -> Stopped:
    """Stop a run, and keep the text written so far."""
    run = _find_run(request, run_id)
    stopped = services.stop(run)
    run.refresh_from_db(fields=["status"])
    return Stopped(run_id=str(run.pk), status=run.status, stopped=stopped)


@router.post(
    "/runs/{run_id}/stop", response={200: Stopped, ERRORS: Error}, auth=require_scope(Scope.CHAT)
)
def stop_run_by_other_name(request: HttpRequest, run_id: str) -> Stopped:
    """Stop a run, as /run/{run_id}/stop does."""
    return stop_run(request, run_id)


def _start(
    request: HttpRequest,
    agent_reference: str,
    body: RunRequest,
    wait: float,
    idempotency_key: str | None,
) -> AgentRun:
    agent = find_agent(agent_reference)
    described = body.user.as_description() if body.user else None
    user_id = None if body.user_id is None else str(body.user_id)
    person = user_to_act_for(request, user_id=user_id, described=described)
    session_id = None if body.session_id is None else parse_session_id(body.session_id)
    return request_run(
        person=person,
        agent=agent,
        session_id=session_id,
        session_name=body.session_name or None,
        platform=body.session_origin or DEFAULT_ORIGIN,
        wait_seconds=wait,
        text=body.message_content,
        message_id=message_id(request, idempotency_key),
        details=body.details(body.digest(agent.pk) if idempotency_key else ""),
    )


def _stream(run: AgentRun) -> HttpResponseBase:
    events = ui_stream.run_events(run)
    connections.close_all()  # hold none while the stream is open
    return StreamingHttpResponse(events, headers=ui_stream.HEADERS)


def _find_run(request: HttpRequest, run_id: str) -> AgentRun:
    """A run of the key's user, or of any user if the key may act for them. Raises ApiError."""
    if may_act_for_users(request):
        runs = AgentRun.objects.with_owner()
    else:
        runs = AgentRun.objects.for_user(user_of(request))
    parsed = parse_uuid(run_id)
    found = None if parsed is None else runs.filter(pk=parsed).select_related("agent").first()
    if found is None:
        raise ApiError(404, "run_not_found", f"There is no run {run_id}.")
    return found
