"""Model strings: the values of an agent's `model` and of AGENT_MODEL.

Empty is the default (AGENT_MODEL), `local` the embedded model, and everything else a
pydantic-ai model string such as `openai:gpt-4.1-mini`. With AGENT_BASE_URL, a plain name or
one after `openai:` is a model on that server.

The agent library is imported inside functions, since Django imports this module at startup.
"""

from dataclasses import dataclass
from enum import Enum
from importlib.metadata import metadata

from django.conf import settings
from django.core.exceptions import ValidationError

from agents_app.llm import embedded

LOCAL = "local"

# The prefixes that AGENT_BASE_URL redirects.
_OPENAI = {"openai", "openai-chat"}
# Providers of pydantic-ai without chat models.
_NO_CHAT = {
    *("elevenlabs", "sentence-transformers", "voyageai"),
    *("openai-decisions", "google-decisions", "openai-codex", "openai-chatgpt"),
}
HOW_TO = (
    "Set AGENT_MODEL to local (the embedded model) or to a model string such as "
    "openai:gpt-4.1-mini."
)


class ModelNotConfigured(Exception):
    """The model string names no usable model; the text says what to set."""


class Kind(Enum):
    """Where a model runs."""

    EMBEDDED = "this process"
    OWN_SERVER = "the server at AGENT_BASE_URL"
    HOSTED = "a provider of pydantic-ai"


@dataclass(frozen=True)
class ModelName:
    """A parsed model string: where the model runs, and its name there."""

    kind: Kind
    name: str


def check_model_string(text: str) -> None:
    """Raise ValidationError when a model string names no usable model.

    Empty, the default, is valid. Needs neither network nor API key.
    """
    if not text.strip():
        return
    try:
        parse_model_string(text)
    except ModelNotConfigured as error:
        raise ValidationError(str(error), code="model") from error


def parse_model_string(text: str) -> ModelName:
    """Parse a model string; empty is the default. Raises ModelNotConfigured."""
    text = text.strip() or settings.AGENT_MODEL
    if not text and settings.AGENT_BASE_URL:
        raise ModelNotConfigured("AGENT_BASE_URL is set; name one of its models in AGENT_MODEL.")
    if not text:
        raise ModelNotConfigured(f"No model is set up. {HOW_TO}")
    if text == LOCAL:
        _check_embedded()
        return ModelName(Kind.EMBEDDED, embedded.NAME)
    if _uses_base_url(text):
        return ModelName(Kind.OWN_SERVER, _name_on_own_server(text))
    _check_hosted(text)
    return ModelName(Kind.HOSTED, text)


def context_tokens(text: str) -> int:
    """The maximum number of input and output tokens together."""
    if _is_local(text):
        return min(settings.AGENT_CONTEXT_TOKENS, embedded.CONTEXT_TOKENS)
    return settings.AGENT_CONTEXT_TOKENS


def output_tokens(text: str) -> int:
    """The maximum number of output tokens."""
    if _is_local(text):
        return min(settings.AGENT_TOKEN_LIMIT, embedded.OUTPUT_TOKENS)
    return settings.AGENT_TOKEN_LIMIT


def _is_local(text: str) -> bool:
    return (text.strip() or settings.AGENT_MODEL) == LOCAL


def _check_embedded() -> None:
    try:
        embedded.check_installed()
    except embedded.EmbeddedModelMissing as error:
        raise ModelNotConfigured(str(error)) from error


def _uses_base_url(text: str) -> bool:
    """Whether the model is on the server at AGENT_BASE_URL, where names may contain colons."""
    if not settings.AGENT_BASE_URL:
        return False
    prefix, colon, _ = text.partition(":")
    return not colon or prefix in _OPENAI or not _is_provider(prefix)


def _name_on_own_server(text: str) -> str:
    prefix, colon, rest = text.partition(":")
    name = rest if colon and prefix in _OPENAI else text
    if not name.strip(": "):
        raise ModelNotConfigured(f"“{text}” does not name a model of the server at AGENT_BASE_URL.")
    return name


def _is_provider(name: str) -> bool:
    from pydantic_ai.providers import infer_provider_class

    try:
        infer_provider_class(name)
    except ImportError:
        return True
    except ValueError:
        return False
    return True


def _check_hosted(text: str) -> None:
    from pydantic_ai.providers import infer_provider_class

    provider, colon, name = text.partition(":")
    if not colon or not name.strip():
        raise ModelNotConfigured(
            f"“{text}” is not a model string. Write provider:name, such as "
            f"{_suggestion(text) or 'openai:gpt-4.1-mini'}, or {LOCAL}."
        )
    try:
        if provider not in _NO_CHAT:
            infer_provider_class(provider)
            return
    except ImportError as error:
        raise ModelNotConfigured(
            f"Models of {provider} need {_package_for(provider)}, which is not installed."
        ) from error
    except ValueError:
        pass
    raise ModelNotConfigured(
        f"“{text}” does not start with a provider of chat models, such as openai or anthropic."
    )


def _package_for(provider: str) -> str:
    """The package to install for a provider: the library with the extra named like the provider."""
    extras = metadata("pydantic-ai-slim").get_all("Provides-Extra") or []
    matching = [name for name in (provider, provider.partition("-")[0]) if name in extras]
    return f"pydantic-ai-slim[{matching[0]}]" if matching else "a package"


def _suggestion(name: str) -> str | None:
    from pydantic_ai.models import known_model_names

    known = (known for known in known_model_names() if known.partition(":")[2] == name)
    return min(known, key=len, default=None) if name else None
