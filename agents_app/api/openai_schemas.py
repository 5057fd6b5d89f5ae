"""The schemas of OpenAI's requests and responses.

https://platform.openai.com/docs/api-reference/chat
"""

from typing import Annotated, Any, Literal

from ninja import Schema
from pydantic import Field, field_validator

from agents_app.api.errors import ApiError
from agents_app.api.request_schemas import MAX_TOKENS, Body, check_text
from agents_app.chats.validation import MESSAGE_LENGTH
from agents_app.run_options import RunOptions
from sessions_app.models import Message

_MAX_MESSAGES = 1000


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
        """The message's text. Raises ApiError if it has other content."""
        if isinstance(self.content, list):
            if any(part.type != "text" or part.text is None for part in self.content):
                raise ApiError(400, "unsupported_content", "Only text can be sent.")
            return "".join(part.text or "" for part in self.content)
        return self.content or ""


class StreamOptions(Body):
    include_usage: bool = False


class Metadata(Body):
    session_id: str | None = None
    """The session to continue."""


class TextFormat(Body):
    type: Literal["text"]


class CompletionRequest(Body):
    """A conversation whose last message is the user's.

    Options that require anything but a single text as the answer are rejected; tools are ignored,
    since agents have their own.
    """

    model: str
    """An agent's name or id."""
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=_MAX_MESSAGES)]
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=MAX_TOKENS)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1, le=MAX_TOKENS)] | None = None
    metadata: Metadata | None = None
    store: bool | None = True
    """Whether to create a session if none is continued."""
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
        """The user's and the assistant's messages before the last one, as unsaved rows."""
        return [
            Message(role=message.role, text_content=message.text)
            for message in self.messages[:-1]
            if message.role in {"user", "assistant"} and message.text
        ]

    @property
    def prompt(self) -> str:
        """The text of the last message. Raises ApiError unless it is the user's."""
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
