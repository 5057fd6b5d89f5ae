"""The shapes of the API's requests and answers, named as Automagik's clients know them."""

import json
import re
from datetime import datetime
from hashlib import sha256
from typing import Annotated, Any, Literal

from ninja import Schema
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from agents_app.accounts.external_users import UserDescription
from agents_app.api.paging import COUNT_LIMIT
from agents_app.chats.errors import InvalidMessage, InvalidName
from agents_app.chats.validation import MESSAGE_LENGTH, NAME_LENGTH, check_message, check_name
from agents_app.models import RunStatus
from agents_app.run_options import RunOptions
from agents_app.services import TurnDetails
from sessions_app.storable import UnstorableText, check_storable, storable_json

# Automagik's session origins, which are the platforms of sessions here.
Origin = Literal[
    "web",
    "whatsapp",
    "automagik-agent",
    "telegram",
    "discord",
    "slack",
    "cli",
    "app",
    "manychat",
    "automagik-spark",
]
DEFAULT_ORIGIN = "automagik-agent"
_TYPE_LENGTH = 100
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
MAX_TOKENS = 1_000_000


def check_text(text: str | None) -> str | None:
    """The text. Raises ValueError if it cannot be stored."""
    if text is not None:
        try:
            check_storable(text)
        except UnstorableText as error:
            raise ValueError(str(error)) from None
    return text


def _check_json(value: Any) -> Any:
    try:
        return storable_json(value)
    except (UnstorableText, ValueError, RecursionError) as error:
        raise ValueError(str(error) or "it is nested too deeply") from None


# The use-cases check messages and names themselves; here, so that the error names the field.
def _valid_message(text: str) -> str:
    try:
        check_message(text)
    except InvalidMessage as error:
        raise ValueError(str(error)) from None
    return text


def _valid_name(name: str) -> str:
    try:
        check_name(name)
    except InvalidName as error:
        raise ValueError(str(error)) from None
    return name


def _valid_optional_name(name: str | None) -> str | None:
    return _valid_name(name) if name else name


def _check_date(value: Any) -> Any:
    # The library would take a number for seconds, also in a text.
    if isinstance(value, datetime) or (isinstance(value, str) and _DATE.match(value)):
        return value
    raise ValueError("Input should be a date and time in ISO 8601")


# A time in a body.
Moment = Annotated[datetime, Field(strict=False), BeforeValidator(_check_date)]


class Body(BaseModel):
    """A request's body: no value is taken for one of another type, and unknown fields are ignored.

    Not the library's Schema, which takes text or a list for an object without any field.
    """

    model_config = ConfigDict(strict=True, extra="ignore")

    def digest(self, agent_id: int) -> str:
        """The same for requests to the agent that mean the same."""
        values = [agent_id, self.model_dump()]
        return sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


class DescribedUser(Body):
    """The person that a channel acts for."""

    email: Annotated[str, Field(max_length=150)] | None = None
    phone_number: Annotated[str, Field(max_length=50)] | None = None
    user_data: dict[str, Any] | None = None

    _text = field_validator("email", "phone_number")(check_text)
    _json = field_validator("user_data")(_check_json)

    def as_description(self) -> UserDescription | None:
        """None for one that says nothing."""
        email, phone = (self.email or "").strip(), (self.phone_number or "").strip()
        return UserDescription(email, phone, self.user_data) if email or phone else None


class Parameters(Body):
    """The model's settings in one run."""

    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=MAX_TOKENS)] | None = None


class RunRequest(Body):
    """A message for an agent."""

    message_content: Annotated[str, Field(max_length=MESSAGE_LENGTH)]
    message_type: Annotated[str, Field(max_length=_TYPE_LENGTH)] | None = None
    session_id: str | None = None
    session_name: Annotated[str, Field(max_length=NAME_LENGTH)] | None = None
    session_origin: Origin | None = None
    system_prompt: Annotated[str, Field(max_length=MESSAGE_LENGTH)] | None = None
    message_limit: Annotated[int, Field(ge=1, le=1000)] | None = 10
    parameters: Parameters | None = None
    context: dict[str, Any] | None = None
    channel_payload: dict[str, Any] | None = None
    user_id: int | str | None = None
    user: DescribedUser | None = None

    _message = field_validator("message_content")(_valid_message)
    _name = field_validator("session_name")(_valid_optional_name)
    _text = field_validator("message_type", "system_prompt")(check_text)
    _json = field_validator("context", "channel_payload")(_check_json)

    def details(self, digest: str = "") -> TurnDetails:
        """What is stored with the message and the run."""
        parameters = self.parameters or Parameters()
        options = RunOptions(
            system_prompt=self.system_prompt or None,
            message_limit=self.message_limit,
            temperature=parameters.temperature,
            max_tokens=parameters.max_tokens,
        )
        return TurnDetails(
            self.message_type or "text",
            self.context,
            self.channel_payload,
            options,
            digest=digest,
        )


# The `openapi_extra` of an operation whose answer can be streamed.
STREAMED = {"responses": {200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}}}


class Usage(Schema):
    input_tokens: int | None
    output_tokens: int | None
    model: str


class RunAnswer(Schema):
    """The answer of an agent. The session exists."""

    message: str
    session_id: str
    success: bool
    status: Annotated[str, Field(description="Of the run: `pending`, `running`, `done`, …")]
    tool_calls: list[Any]
    tool_outputs: list[Any]
    user_id: str | None
    usage: Usage | None
    truncated: Annotated[bool, Field(description="Whether it ended at the token limit.")]
    message_id: str | None
    run_id: str

    @property
    def failure(self) -> str:
        """Why it is no success; empty for one that is."""
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
    progress: dict[str, Any]


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


class SessionRequest(Body):
    """An empty session, made on purpose."""

    name: Annotated[str, Field(max_length=NAME_LENGTH)]
    agent: int | str | None = None
    platform: Origin = "app"

    _name = field_validator("name")(_valid_name)


class Rename(Body):
    name: Annotated[str, Field(max_length=NAME_LENGTH)]

    _name = field_validator("name")(_valid_name)


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
        bool, Field(description="Whether there are more sessions than `total` says.")
    ]
    page: int
    page_size: int
    total_pages: Annotated[int, Field(description="Of as many sessions as `total` says.")]
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
    chosen: bool


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


class CleanupRequest(Body):
    """What a cleanup may remove; it is a dry run unless `dry_run` is false."""

    dry_run: bool = True
    created_after: Moment | None = None
    created_before: Moment | None = None
    limit: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    max_seconds: Annotated[float, Field(gt=0, le=300, allow_inf_nan=False)] = 25


class CleanupOutcome(Schema):
    """As `manage.py cleanup_sessions --json` prints it."""

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
    ids_in_use: list[str]


class Health(Schema):
    status: str
    timestamp: datetime
    version: str
    environment: str
