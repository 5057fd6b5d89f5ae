"""Model strings: what an agent's `model` and AGENT_MODEL may say.

Empty is the default (AGENT_MODEL), `local` the embedded model, and everything else a
pydantic-ai model string such as `openai:gpt-4.1-mini`. With AGENT_BASE_URL a plain name, or
one after `openai:`, is a model of the server there.

The agent library is imported where it is used, since Django loads this module when it starts.
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
# Providers of pydantic-ai that cannot chat.
_NO_CHAT = {
    *("elevenlabs", "sentence-transformers", "voyageai"),
    *("openai-decisions", "google-decisions", "openai-codex", "openai-chatgpt"),
}
HOW_TO = (
    "Set AGENT_MODEL to local (the embedded model) or to a model string such as "
    "openai:gpt-4.1-mini."
)


class ModelNotConfigured(Exception):
    """No model can be asked; the text says what to set."""


class Kind(Enum):
    """Who serves a model."""

    EMBEDDED = "this process"
    OWN_SERVER = "the server at AGENT_BASE_URL"
    HOSTED = "a provider of pydantic-ai"


@dataclass(frozen=True)
class ModelName:
    """What a model string means: who serves the model, and its name there."""

    kind: Kind
    name: str


def check_model_string(text: str) -> None:
    """Raise ValidationError when a model string cannot mean a model.

    Empty is fine: it is the default. Asks no network, and needs no API key.
    """
    if not text.strip():
        return
    try:
        parse_model_string(text)
    except ModelNotConfigured as error:
        raise ValidationError(str(error), code="model") from error


def parse_model_string(text: str) -> ModelName:
    """What a model string means, the default included. Raises ModelNotConfigured."""
    text = text.strip() or settings.AGENT_MODEL
    if not text and settings.AGENT_BASE_URL:
        raise ModelNotConfigured("AGENT_BASE_URL is set; name a model of it in AGENT_MODEL.")
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
    """How many tokens the model reads and writes at most, together."""
    if _is_local(text):
        return min(settings.AGENT_CONTEXT_TOKENS, embedded.CONTEXT_TOKENS)
    return settings.AGENT_CONTEXT_TOKENS


def output_tokens(text: str) -> int:
    """How many tokens the model writes at most."""
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
    """Whether AGENT_BASE_URL serves it. Names there hold colons too: llama3.2:3b."""
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
    """The package with a provider's client: an extra of the library, named like the provider."""
    extras = metadata("pydantic-ai-slim").get_all("Provides-Extra") or []
    named = [name for name in (provider, provider.partition("-")[0]) if name in extras]
    return f"pydantic-ai-slim[{named[0]}]" if named else "a package"


def _suggestion(name: str) -> str | None:
    from pydantic_ai.models import known_model_names

    known = (known for known in known_model_names() if known.partition(":")[2] == name)
    return min(known, key=len, default=None) if name else None
