"""The schemas of request bodies, with Automagik's names."""

import json
import re
from datetime import datetime
from hashlib import sha256
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from agents_app.accounts.external_users import UserDescription
from agents_app.chats.errors import InvalidMessage, InvalidName
from agents_app.chats.validation import MESSAGE_LENGTH, NAME_LENGTH, check_message, check_name
from agents_app.run_options import RunOptions
from agents_app.services import TurnDetails
from sessions_app.ages import parse_age
from sessions_app.storable import UnstorableText, check_storable, storable_json

# Automagik's session origins, stored as the platforms of sessions.
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
_MAX_DAYS = 36_500


def check_text(text: str | None) -> str | None:
    """Return the text; raises ValueError if it cannot be stored."""
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
        raise ValueError(str(error) or "The data is nested too deeply to be stored") from None


# The use-cases also check messages and names. Checked here, so that the error names the field.
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


def _valid_age(text: str) -> str:
    parse_age(text)
    return text


def _check_date(value: Any) -> Any:
    # Pydantic would also accept a number of seconds, even as text.
    if isinstance(value, datetime) or (isinstance(value, str) and _DATE.match(value)):
        return value
    raise ValueError("Input should be a date and time in ISO 8601")


# A date and time in a body.
Moment = Annotated[datetime, Field(strict=False), BeforeValidator(_check_date)]


class Body(BaseModel):
    """A request body: types are not converted, and unknown fields are ignored.

    Ninja's Schema would accept text or a list as an object without fields.
    """

    model_config = ConfigDict(strict=True, extra="ignore", use_attribute_docstrings=True)

    def digest(self, agent_id: int) -> str:
        """A digest that is the same for equivalent requests to the agent."""
        values = [agent_id, self.model_dump()]
        return sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


class DescribedUser(Body):
    """The person that a channel acts for."""

    email: Annotated[str, Field(max_length=150)] | None = None
    phone_number: Annotated[str, Field(max_length=50)] | None = None
    user_data: dict[str, Any] | None = None
    """Stored with the user if one is created."""

    _text = field_validator("email", "phone_number")(check_text)
    _json = field_validator("user_data")(_check_json)

    def as_description(self) -> UserDescription | None:
        """The description; None without an e-mail address or a phone number."""
        email, phone = (self.email or "").strip(), (self.phone_number or "").strip()
        return UserDescription(email, phone, self.user_data) if email or phone else None


class Parameters(Body):
    """The model's settings for one run."""

    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=MAX_TOKENS)] | None = None
    """The maximum length of the answer."""


class RunRequest(Body):
    """A message for an agent."""

    message_content: Annotated[str, Field(max_length=MESSAGE_LENGTH)]
    message_type: Annotated[str, Field(max_length=_TYPE_LENGTH)] | None = None
    """Stored with the message; `text` by default."""
    session_id: str | None = None
    """The session to continue."""
    session_name: Annotated[str, Field(max_length=NAME_LENGTH)] | None = None
    """The name of the session to continue or create; ignored with `session_id`."""
    session_origin: Origin | None = None
    """Where the message comes from; stored as the platform of a new session."""
    system_prompt: Annotated[str, Field(max_length=MESSAGE_LENGTH)] | None = None
    """Replaces the agent's system prompt in this run."""
    message_limit: Annotated[int, Field(ge=1, le=1000)] | None = 10
    """The maximum number of the session's earlier messages that are sent to the model."""
    parameters: Parameters | None = None
    context: dict[str, Any] | None = None
    """Stored with the message."""
    channel_payload: dict[str, Any] | None = None
    """Stored with the message."""
    user_id: int | str | None = None
    """The user to act for: an id, original id, e-mail address or phone number. Acting for a
    user other than the key's own requires the scope `users` and a permission."""
    user: DescribedUser | None = None
    """A description of the user to act for, which takes precedence over `user_id`. An unknown user
    is created if the key's user may create users."""

    _message = field_validator("message_content")(_valid_message)
    _name = field_validator("session_name")(_valid_optional_name)
    _text = field_validator("message_type", "system_prompt")(check_text)
    _json = field_validator("context", "channel_payload")(_check_json)

    def details(self, digest: str = "") -> TurnDetails:
        """The details to store with the message and the run."""
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


class SessionRequest(Body):
    """A new, empty session."""

    name: Annotated[str, Field(max_length=NAME_LENGTH)]
    agent: int | str | None = None
    """The agent's name or id."""
    platform: Origin = "app"

    _name = field_validator("name")(_valid_name)


class Rename(Body):
    """A new name for a session."""

    name: Annotated[str, Field(max_length=NAME_LENGTH)]

    _name = field_validator("name")(_valid_name)


class CleanupRequest(Body):
    """The sessions that a cleanup may remove; a dry run unless `dry_run` is false."""

    dry_run: bool = True
    days: Annotated[int, Field(ge=1, le=_MAX_DAYS)] | None = None
    """Only sessions created in the last so many days; instead of `created_after`."""
    older_than: Annotated[str, AfterValidator(_valid_age)] | None = None
    """Only sessions older than `90m`, `12h`, `30d` or `2w`; instead of `created_before`."""
    created_after: Moment | None = None
    created_before: Moment | None = None
    limit: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    """The maximum number of sessions to remove."""
    max_seconds: Annotated[float, Field(gt=0, le=300, allow_inf_nan=False)] = 25
    """The time after which to stop, with the status `partial`."""

    @model_validator(mode="after")
    def _one_start_and_one_end(self) -> Self:
        if self.days is not None and self.created_after is not None:
            raise ValueError("Send either days or created_after")
        if self.older_than is not None and self.created_before is not None:
            raise ValueError("Send either older_than or created_before")
        return self
