"""The schemas of responses, with Automagik's names."""

from datetime import datetime
from typing import Annotated, Any

from ninja import Schema
from pydantic import Field

from agents_app.api.paging import COUNT_LIMIT
from agents_app.models import RunStatus

# The `openapi_extra` of an operation whose response can be streamed.
STREAMED = {"responses": {200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}}}


class Usage(Schema):
    input_tokens: int | None
    output_tokens: int | None
    model: str


class RunAnswer(Schema):
    """The answer of an agent, or the reason why there is none. The session exists."""

    message: str
    session_id: str
    success: bool
    status: Annotated[str, Field(description="The run's status: `pending`, `running`, `done`, …")]
    tool_calls: list[Any]
    tool_outputs: list[Any]
    user_id: str | None
    usage: Usage | None
    truncated: Annotated[bool, Field(description="Whether it was cut off at the token limit.")]
    message_id: str | None
    run_id: str

    @property
    def failure(self) -> str:
        """The reason for a failure; empty if it was a success."""
        if self.success:
            return ""
        return "The run was stopped." if self.status == RunStatus.STOPPED else self.message


class RunStarted(Schema):
    run_id: str
    status: str
    message: str
    agent_name: str
    session_id: str


class RunState(Schema):
    run_id: str
    status: str
    agent_name: str | None
    session_id: str
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    result: str | None
    error: str | None
    progress: Annotated[dict[str, Any], Field(description="`text` is the text written so far.")]


class Stopped(Schema):
    run_id: str
    status: str
    stopped: bool


class AgentSummary(Schema):
    id: int
    name: str
    description: str
    display_name: str
    model: str


class SessionSummary(Schema):
    session_id: str
    session_name: str
    created_at: datetime
    last_updated: datetime
    message_count: int
    user_id: str | None
    agent_id: int | None
    agent_name: str | None
    session_origin: str


class SessionList(Schema):
    sessions: list[SessionSummary]
    total: Annotated[int, Field(description=f"Counted up to {COUNT_LIMIT:,}.")]
    total_count: Annotated[int, Field(description="The same as `total`.")]
    total_is_capped: Annotated[
        bool, Field(description="Whether there are more sessions than `total`.")
    ]
    page: int
    page_size: int
    total_pages: Annotated[int, Field(description="The number of pages for `total` sessions.")]
    next_cursor: Annotated[
        str | None, Field(description="The `cursor` of the next page; null on the last one.")
    ]


class MessageDetail(Schema):
    id: str
    role: str
    content: str
    created_at: datetime
    message_type: str
    tool_calls: dict[str, Any]
    tool_outputs: dict[str, Any]
    agent_id: int | None
    user_id: str | None
    run_id: str | None
    chosen: Annotated[
        bool,
        Field(description="False for messages replaced by another version, and for what followed."),
    ]


class SessionMessage(MessageDetail):
    session_id: str


class SessionDetail(SessionSummary):
    messages: list[MessageDetail]
    exists: bool
    total_messages: int
    current_page: int
    total_pages: int
    page_size: int
    system_prompt: str | None


class Deleted(Schema):
    status: str
    session_id: str
    message: str


class UserSummary(Schema):
    id: str
    username: str
    email: str
    phone_number: str | None
    original_id: str | None
    user_data: Any
    created_at: datetime


class UserList(Schema):
    users: list[UserSummary]
    page: int
    page_size: int
    total: int
    total_pages: int
    has_next: bool
    has_prev: bool


class CleanupOutcome(Schema):
    """The result of a cleanup, as `manage.py cleanup_sessions --json` prints it."""

    run: int | None
    dry_run: bool
    status: str
    matched: int
    removed: int
    kept: dict[str, int]
    seconds: float


class CleanupRunSummary(Schema):
    id: int
    source: str
    started_by: str
    status: str
    criteria: dict[str, Any]
    matched: int
    removed: int
    restored: int
    started_at: datetime
    finished_at: datetime | None
    error: str


class CleanupRunList(Schema):
    runs: list[CleanupRunSummary]
    page: int
    page_size: int
    has_next: bool


class Restored(Schema):
    run: int
    restored: int
    ids_in_use: Annotated[
        list[str], Field(description="Of sessions that were not restored: the ids are in use.")
    ]


class Health(Schema):
    status: str
    timestamp: datetime
    version: str
    environment: str
