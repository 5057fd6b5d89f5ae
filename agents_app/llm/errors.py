"""What went wrong with an agent's answer, in a short text for the person who asked."""

import logging

from django.conf import settings
from pydantic_ai import exceptions as ai
from pydantic_ai.messages import RetryFeedbackPart

from agents_app.llm.model_strings import ModelNotConfigured
from sessions_app.text import UnstorableText

logger = logging.getLogger(__name__)


class AgentFailed(Exception):
    """The agent gave no answer; the text is for a person, and holds nothing secret."""


class BrokenOff(AgentFailed):
    """The model's server ended its answer in the middle; what has come is a part of it."""

    def __init__(self) -> None:
        super().__init__("The model's server broke off the answer.")


class EmptyAnswer(Exception):
    """The model ended its answer without having said anything."""


def is_too_long(error: BaseException) -> bool:
    """Whether the provider refused a request that does not fit into the model's context."""
    return isinstance(error, ai.ModelContextWindowExceededError) or (
        # llama.cpp's word for it
        isinstance(error, ai.ModelAPIError)
        and error.provider_error_type == "exceed_context_size_error"
    )


def as_agent_failed(error: Exception, agent_name: str) -> AgentFailed:
    """The failure of an agent as a person is told of it; the log gets what staff need."""
    if isinstance(error, ModelNotConfigured):
        logger.warning("Agent %s: %s", agent_name, error)
        return AgentFailed(str(error))
    text = _text(error)
    if text is None:
        logger.error("Agent %s failed unexpectedly", agent_name, exc_info=error)
        return AgentFailed("Something went wrong while the agent was answering.")
    logger.warning("Agent %s failed: %s", agent_name, _details(error))
    return AgentFailed(text)


def _text(error: Exception) -> str | None:
    if is_too_long(error):
        return "The message is too long for the model."
    if _says_nothing(error):
        return "The model gave an empty answer."
    return next((text for types, text in _texts() if isinstance(error, types)), None)


def _texts() -> list[tuple[type[Exception] | tuple[type[Exception], ...], str]]:
    """The first that fits counts: subclasses stand before their bases."""
    return [
        (
            (TimeoutError, ai.ModelRequestTimeout, ai.ModelTimeoutError),
            f"The model did not answer within {settings.AGENT_TIME_LIMIT} seconds.",
        ),
        (
            (ai.UsageLimitExceeded, ai.OutputTokenLimitExceeded),
            "The answer became longer than the token limit allows.",
        ),
        (ai.ModelConnectionError, "The model's server cannot be reached."),
        (ai.ModelAuthenticationError, "The model's provider refused the API key."),
        (ai.ModelNotFoundError, "The provider does not know this model."),
        (ai.ModelQuotaExceededError, "The quota of the model's provider is used up."),
        (ai.ModelRateLimitError, "The model's provider is busy; try again in a moment."),
        (ai.ContentFilterError, "The provider's content filter withheld the answer."),
        (ai.ModelRequestRejectedError, "The model's provider refused the request."),
        (ai.ModelAPIError, "The model's server has a problem; try again later."),
        (ai.UnexpectedModelBehavior, "The model gave an answer that cannot be used."),
        (UnstorableText, "The message or the answer holds characters that cannot be stored."),
    ]


def _says_nothing(error: Exception) -> bool:
    cause = error.__cause__
    return isinstance(error, EmptyAnswer) or (
        isinstance(cause, ai.ToolRetryError)
        and isinstance(cause.tool_retry, RetryFeedbackPart)
        and cause.tool_retry.retry.cause == "no_output"
    )


def _details(error: Exception) -> str:
    """What staff need to know; not the provider's own text, which may quote a key."""
    status = getattr(error, "status_code", "")
    code = getattr(error, "provider_error_code", "") or getattr(error, "provider_error_type", "")
    return " ".join(str(part) for part in (type(error).__name__, status, code) if part)
