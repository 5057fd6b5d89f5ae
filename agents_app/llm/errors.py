"""Turns the errors of models and providers into texts: what people can do, and why for staff.

Whatever staff have to fix is logged as an error, which makes "Staff have been notified" true for
those who watch the log; a run's `error` in the admin has it as well.
"""

import logging
from dataclasses import dataclass

from django.conf import settings
from pydantic_ai import exceptions as ai
from pydantic_ai.messages import RetryFeedbackPart

from agents_app.llm.model_strings import ModelNotConfigured
from sessions_app.storable import UnstorableText

logger = logging.getLogger(__name__)

_NOTIFIED = "Staff have been notified."
_NOT_SET_UP = f"The model is not set up. {_NOTIFIED}"


class AgentFailed(Exception):
    """The agent gave no answer; the text tells people what they can do.

    `reason` tells staff why. Neither contains secrets.
    """

    def __init__(self, text: str, reason: str = "") -> None:
        super().__init__(text)
        self.reason = reason

    @property
    def for_staff(self) -> str:
        """The text on the first line, and the reason after it; see AgentRun.public_error."""
        return f"{self}\n{self.reason}".rstrip()


class ResponseInterrupted(AgentFailed):
    """The model's server ended the connection in the middle of the answer."""

    def __init__(self) -> None:
        super().__init__("The model's server closed the connection during the answer. Try again.")


class EmptyAnswer(Exception):
    """The model ended its answer without any text."""


def is_too_long(error: BaseException) -> bool:
    """Whether the provider refused the request because it exceeds the model's context."""
    return isinstance(error, ai.ModelContextWindowExceededError) or (
        # llama.cpp's name for it
        isinstance(error, ai.ModelAPIError)
        and error.provider_error_type == "exceed_context_size_error"
    )


def as_agent_failed(error: Exception, agent_name: str) -> AgentFailed:
    """The error as texts for people and staff; logs the reason."""
    failure = _failure(error)
    if failure is None:
        logger.error("Agent %s failed unexpectedly", agent_name, exc_info=error)
        text = f"Something went wrong while the agent was answering. {_NOTIFIED}"
        return AgentFailed(text, f"{type(error).__name__}; the log has the details.")
    reason = (
        failure.reason
        if isinstance(error, ModelNotConfigured)
        else f"{failure.reason} ({_details(error)})".lstrip()
    )
    level = logging.ERROR if _NOTIFIED in failure.text else logging.WARNING
    logger.log(level, "Agent %s failed: %s", agent_name, reason)
    return AgentFailed(failure.text, reason)


@dataclass(frozen=True)
class _Failure:
    types: type[Exception] | tuple[type[Exception], ...]
    text: str  # for people
    reason: str = ""  # for staff, if the text does not say it


def _failure(error: Exception) -> _Failure | None:
    if isinstance(error, ModelNotConfigured):
        return _Failure(ModelNotConfigured, _NOT_SET_UP, str(error))
    if is_too_long(error):
        return _Failure(ai.ModelAPIError, "The message is too long for the model. Shorten it.")
    if _is_empty_answer(error):
        return _Failure(EmptyAnswer, "The model gave an empty answer. Try again.")
    return next((one for one in _failures() if isinstance(error, one.types)), None)


def _failures() -> list[_Failure]:
    """The failures by error type. The first match counts, so subclasses precede their bases."""
    return [
        _Failure(
            (TimeoutError, ai.ModelRequestTimeout, ai.ModelTimeoutError),
            f"The model did not answer within {settings.AGENT_TIME_LIMIT} seconds. Try again.",
        ),
        _Failure(
            (ai.UsageLimitExceeded, ai.OutputTokenLimitExceeded),
            "The answer exceeded the token limit. Ask for a shorter one.",
        ),
        _Failure(
            ai.ModelConnectionError,
            f"The model's server cannot be reached. {_NOTIFIED} Try again later.",
            "Is the server running, and is its address right?",
        ),
        _Failure(
            ai.ModelAuthenticationError,
            _NOT_SET_UP,
            "The model's provider refused the API key.",
        ),
        _Failure(ai.ModelNotFoundError, _NOT_SET_UP, "The provider does not know this model."),
        _Failure(
            ai.ModelQuotaExceededError,
            f"The model cannot answer at the moment. {_NOTIFIED}",
            "The quota of the model's provider is used up.",
        ),
        _Failure(ai.ModelRateLimitError, "The model's provider is busy. Try again in a moment."),
        _Failure(
            ai.ContentFilterError,
            "The provider's content filter withheld the answer. Rephrase your message.",
        ),
        _Failure(
            ai.ModelRequestRejectedError,
            f"The model's provider refused the request. {_NOTIFIED} Rephrase your message, or "
            "start a new chat.",
        ),
        _Failure(ai.ModelAPIError, "The model's server has a problem. Try again later."),
        _Failure(
            ai.UnexpectedModelBehavior, "The model gave an answer that cannot be used. Try again."
        ),
        _Failure(
            UnstorableText,
            "The message or the answer holds characters that cannot be stored. Try again.",
        ),
    ]


def _is_empty_answer(error: Exception) -> bool:
    cause = error.__cause__
    return isinstance(error, EmptyAnswer) or (
        isinstance(cause, ai.ToolRetryError)
        and isinstance(cause.tool_retry, RetryFeedbackPart)
        and cause.tool_retry.retry.cause == "no_output"
    )


def _details(error: Exception) -> str:
    """The error for the log, without the provider's text, which may quote a key."""
    status = getattr(error, "status_code", "")
    code = getattr(error, "provider_error_code", "") or getattr(error, "provider_error_type", "")
    return " ".join(str(part) for part in (type(error).__name__, status, code) if part)
