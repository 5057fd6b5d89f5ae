"""Examples of request and response bodies, for the documentation."""

from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel

from agents_app.api import errors, openai_schemas, request_schemas, response_schemas
from agents_app.models import RunStatus
from sessions_app.models import CleanupRun

_SESSION_ID = "0197a9c2-5f0e-7d41-9b1d-3c8a52f0e6b7"
_MESSAGE_ID = "5d7c1f9e-8a55-4f43-9a0b-7d0f6c1f2b34"
_RUN_ID = "c1b7a2d0-3e64-4c2e-8f7a-91d5b6e0a843"
_USER_ID = "7"
_NAME = "Trip to Lisbon"
_QUESTION = "When does the museum open?"
_ANSWER = "It opens at ten, except on Mondays."
_ASKED_AT = datetime(2026, 3, 1, 14, 7, 12, tzinfo=UTC)
_STARTED_AT = datetime(2026, 3, 1, 14, 7, 13, tzinfo=UTC)
_ANSWERED_AT = datetime(2026, 3, 1, 14, 7, 16, tzinfo=UTC)
_MADE_BEFORE = datetime(2026, 2, 1, tzinfo=UTC)
_WRONG, _WHAT = "A sentence that says what is wrong.", "what_is_wrong"

_SESSION: dict[str, Any] = {
    "session_id": _SESSION_ID,
    "session_name": _NAME,
    "created_at": _ASKED_AT,
    "last_updated": _ANSWERED_AT,
    "message_count": 2,
    "user_id": _USER_ID,
    "agent_id": 1,
    "agent_name": "simple",
    "session_origin": "whatsapp",
}
_MESSAGE: dict[str, Any] = {
    "id": _MESSAGE_ID,
    "role": "assistant",
    "content": _ANSWER,
    "created_at": _ANSWERED_AT,
    "message_type": "text",
    "tool_calls": {},
    "tool_outputs": {},
    "agent_id": 1,
    "user_id": _USER_ID,
    "run_id": _RUN_ID,
    "chosen": True,
}
_USER = response_schemas.UserSummary(
    id=_USER_ID,
    username="ana",
    email="ana@example.org",
    phone_number="+351900000000",
    original_id=None,
    user_data={"name": "Ana"},
    created_at=_ASKED_AT,
)
_CLEANUP = response_schemas.CleanupRunSummary(
    id=12,
    source=CleanupRun.Source.API,
    started_by="admin",
    status=CleanupRun.Status.DONE,
    criteria={"created_before": _MADE_BEFORE.isoformat(), "max_seconds": 25.0},
    matched=340,
    removed=340,
    restored=0,
    started_at=_ASKED_AT,
    finished_at=_ANSWERED_AT,
    error="",
)
_MODEL = openai_schemas.Model(
    id="simple", object="model", created=int(_ASKED_AT.timestamp()), owned_by="chat-sessions"
)

_BODIES: list[BaseModel] = [
    errors.Error(detail=_WRONG, code=_WHAT),
    response_schemas.AgentSummary(
        id=1,
        name="simple",
        description="A helpful assistant.",
        display_name="Simple",
        model="openai:gpt-4.1-mini",
    ),
    request_schemas.RunRequest(
        message_content=_QUESTION,
        session_name=_NAME,
        session_origin="whatsapp",
        parameters=request_schemas.Parameters(temperature=0.3),
    ),
    response_schemas.RunAnswer(
        message=_ANSWER,
        session_id=_SESSION_ID,
        success=True,
        status=RunStatus.DONE,
        tool_calls=[],
        tool_outputs=[],
        user_id=_USER_ID,
        usage=response_schemas.Usage(input_tokens=31, output_tokens=11, model="gpt-4.1-mini"),
        truncated=False,
        message_id=_MESSAGE_ID,
        run_id=_RUN_ID,
    ),
    response_schemas.RunStarted(
        run_id=_RUN_ID,
        status=RunStatus.PENDING,
        message="The run has started.",
        agent_name="simple",
        session_id=_SESSION_ID,
    ),
    response_schemas.RunState(
        run_id=_RUN_ID,
        status=RunStatus.DONE,
        agent_name="simple",
        session_id=_SESSION_ID,
        created_at=_ASKED_AT,
        started_at=_STARTED_AT,
        completed_at=_ANSWERED_AT,
        result=_ANSWER,
        error=None,
        progress={"text": _ANSWER},
    ),
    response_schemas.Stopped(run_id=_RUN_ID, status=RunStatus.STOPPED, stopped=True),
    request_schemas.SessionRequest(name=_NAME, agent="simple", platform="whatsapp"),
    request_schemas.Rename(name="Trip to Porto"),
    response_schemas.SessionSummary(**_SESSION),
    response_schemas.SessionList(
        sessions=[response_schemas.SessionSummary(**_SESSION)],
        total=1,
        total_count=1,
        total_is_capped=False,
        page=1,
        page_size=50,
        total_pages=1,
        next_cursor=None,
    ),
    response_schemas.SessionDetail(
        **_SESSION,
        messages=[response_schemas.MessageDetail(**_MESSAGE)],
        exists=True,
        total_messages=2,
        current_page=1,
        total_pages=2,
        page_size=1,
        system_prompt=None,
    ),
    response_schemas.SessionMessage(**_MESSAGE, session_id=_SESSION_ID),
    response_schemas.Deleted(
        status="success", session_id=_SESSION_ID, message="The session was deleted."
    ),
    _USER,
    response_schemas.UserList(
        users=[_USER],
        page=1,
        page_size=20,
        total=1,
        total_pages=1,
        has_next=False,
        has_prev=False,
    ),
    request_schemas.CleanupRequest(dry_run=True, created_before=_MADE_BEFORE),
    response_schemas.CleanupOutcome(
        run=None,
        dry_run=True,
        status=CleanupRun.Status.DONE,
        matched=340,
        removed=0,
        kept={"named_by_person": 52, "other_platform": 1204, "has_messages": 87},
        seconds=0.012,
    ),
    response_schemas.CleanupRunList(runs=[_CLEANUP], page=1, page_size=50, has_next=False),
    response_schemas.Restored(run=12, restored=340, ids_in_use=[]),
    response_schemas.Health(
        status="healthy", timestamp=_ASKED_AT, version="0.1.0", environment="production"
    ),
    openai_schemas.OpenAIError(
        error=openai_schemas.ErrorBody(
            message=_WRONG, type="invalid_request_error", param="messages", code=_WHAT
        )
    ),
    _MODEL,
    openai_schemas.ModelList(object="list", data=[_MODEL]),
    openai_schemas.CompletionRequest(
        model="simple",
        messages=[
            openai_schemas.ChatMessage(role="system", content="Be brief."),
            openai_schemas.ChatMessage(role="user", content=_QUESTION),
        ],
    ),
    openai_schemas.Completion(
        id=f"chatcmpl-{_RUN_ID}",
        object="chat.completion",
        created=int(_ANSWERED_AT.timestamp()),
        model="simple",
        choices=[
            {
                "index": 0,
                "message": {"role": "assistant", "content": _ANSWER, "refusal": None},
                "finish_reason": "stop",
                "logprobs": None,
            }
        ],
        usage={"prompt_tokens": 31, "completion_tokens": 11, "total_tokens": 42},
        metadata={"session_id": _SESSION_ID},
    ),
]

# By the name of the schema.
EXAMPLES: dict[str, Any] = {
    type(body).__name__: body.model_dump(mode="json", exclude_unset=True) for body in _BODIES
}
