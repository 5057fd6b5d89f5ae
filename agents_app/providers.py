"""Model strings: what an agent's `model` and AGENT_MODEL may say, and the model they mean.

Empty is the default (AGENT_MODEL), `local` the embedded model, and everything else a
pydantic-ai model string such as `openai:gpt-4.1-mini`. With AGENT_BASE_URL a plain name, or
one after `openai:`, is a model of the server there.

The libraries are imported where they are used, since Django loads this module when it starts.
"""

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from django.conf import settings
from django.core.exceptions import ValidationError

from agents_app import local_model

if TYPE_CHECKING:
    from pydantic_ai.models import Model

LOCAL = "local"

# The prefixes that AGENT_BASE_URL redirects.
_OPENAI = {"openai", "openai-chat"}
# Providers of pydantic-ai that cannot chat.
_NO_CHAT = {
    *("elevenlabs", "sentence-transformers", "voyageai"),
    *("openai-decisions", "google-decisions", "openai-codex", "openai-chatgpt"),
}
_HOW_TO = (
    "Set AGENT_MODEL to local (the embedded model) or to a model string such as "
    "openai:gpt-4.1-mini."
)


class ModelNotConfigured(Exception):
    """No model can be asked; the text says what to set."""


def check_model_string(text: str) -> None:
    """Raise ValidationError when a model string cannot mean a model.

    Empty is fine: it is the default. Asks no network, and needs no API key.
    """
    text = text.strip()
    if not text:
        return
    try:
        if text == LOCAL:
            _check_local()
        elif _is_on_own_server(text):
            _check_name(text)
        else:
            _check_hosted(text)
    except ModelNotConfigured as error:
        raise ValidationError(str(error), code="model") from error


def resolve_model(text: str) -> "Model":
    """The model that a string means; takes about a second when it is the first of a process.

    Raises ModelNotConfigured.
    """
    text = text.strip() or settings.AGENT_MODEL
    if not text and settings.AGENT_BASE_URL:
        raise ModelNotConfigured("AGENT_BASE_URL is set; name a model of it in AGENT_MODEL.")
    if not text:
        raise ModelNotConfigured(f"No model is set up. {_HOW_TO}")
    if text == LOCAL:
        return _local_model()
    if _is_on_own_server(text):
        _check_name(text)
        return _own_server_model(_without_prefix(text))
    return _hosted_model(text)


def import_library() -> None:
    """Import what most models need: the embedded one, OpenAI's and those of one's own server."""
    import pydantic_ai.models.openai  # noqa: F401 - imported for those who import it later


async def open_model(text: str) -> "Model":
    """As `resolve_model`, but made once per event loop, so that connections are kept alive.

    They are closed when the loop shuts its async generators down, as `asyncio.run` does.
    """
    opened = _opened.setdefault(asyncio.get_running_loop(), {})
    key = (text, settings.AGENT_MODEL, settings.AGENT_BASE_URL, settings.AGENT_API_KEY)
    if key not in opened:
        opened[key] = asyncio.create_task(_open(text))
    try:
        # A run that is cancelled meanwhile must not take the model from the others.
        return (await asyncio.shield(opened[key])).model
    except Exception:
        opened.pop(key, None)  # so that the next one tries again
        raise


def context_tokens(text: str) -> int:
    """How many tokens the model is told and answers at most, together."""
    if _is_local(text):
        return min(settings.AGENT_CONTEXT_TOKENS, local_model.CONTEXT_TOKENS)
    return settings.AGENT_CONTEXT_TOKENS


def output_tokens(text: str) -> int:
    """How many tokens the model answers at most."""
    if _is_local(text):
        return min(settings.AGENT_TOKEN_LIMIT, local_model.OUTPUT_TOKENS)
    return settings.AGENT_TOKEN_LIMIT


@dataclass(frozen=True)
class _Opened:
    model: "Model"
    keeper: AsyncGenerator[None]


_Key = tuple[str, str, str, str]
_opened: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[_Key, asyncio.Task[_Opened]]]
_opened = WeakKeyDictionary()


async def _open(text: str) -> _Opened:
    # Importing a provider's library takes a while, and so does loading the local model.
    model = await asyncio.to_thread(resolve_model, text)
    keeper = _keep_open(model)
    await anext(keeper)
    return _Opened(model, keeper)


async def _keep_open(model: "Model") -> AsyncGenerator[None]:
    """Suspended while the event loop runs, which closes its generators before it ends."""
    try:
        async with model:
            yield
    finally:
        _opened.pop(asyncio.get_running_loop(), None)
        client = getattr(model, "client", None)
        if isinstance(client, AbstractAsyncContextManager):
            # The model does not close a client that was handed to it.
            await client.__aexit__(None, None, None)


def _is_local(text: str) -> bool:
    return (text.strip() or settings.AGENT_MODEL) == LOCAL


def _is_on_own_server(text: str) -> bool:
    """Whether AGENT_BASE_URL answers for it. Names there hold colons too: llama3.2:3b."""
    if not settings.AGENT_BASE_URL:
        return False
    prefix, colon, _ = text.partition(":")
    return not colon or prefix in _OPENAI or not _is_provider(prefix)


def _without_prefix(text: str) -> str:
    prefix, colon, name = text.partition(":")
    return name if colon and prefix in _OPENAI else text


def _is_provider(name: str) -> bool:
    from pydantic_ai.providers import infer_provider_class

    try:
        infer_provider_class(name)
    except ImportError:
        return True
    except ValueError:
        return False
    return True


def _check_local() -> None:
    try:
        local_model.check_installed()
    except local_model.LocalModelMissing as error:
        raise ModelNotConfigured(str(error)) from error


def _check_name(text: str) -> None:
    if not _without_prefix(text).strip(": "):
        raise ModelNotConfigured(f"“{text}” does not name a model of the server at AGENT_BASE_URL.")


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
            f"Models of {provider} need {_missing_package(error)}, which is not installed."
        ) from error
    except ValueError:
        pass
    raise ModelNotConfigured(
        f"“{text}” does not start with a provider of chat models, such as openai or anthropic."
    )


def _suggestion(name: str) -> str | None:
    from pydantic_ai.models import known_model_names

    known = (known for known in known_model_names() if known.partition(":")[2] == name)
    return min(known, key=len, default=None) if name else None


def _missing_package(error: ImportError) -> str:
    package = re.search(r"pydantic-ai-slim\[[\w-]+\]", str(error))
    return package.group() if package else "a package"


def _local_model() -> "Model":
    import httpx2
    from openai import AsyncOpenAI
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

    try:
        endpoint = local_model.endpoint()
    except local_model.LocalModelMissing as error:
        raise ModelNotConfigured(str(error)) from error
    client = AsyncOpenAI(
        base_url=endpoint.base_url,
        api_key=endpoint.api_key,
        # Neither a proxy from the environment nor certificates: it never leaves the machine.
        http_client=httpx2.AsyncClient(trust_env=False, verify=False),
        timeout=settings.AGENT_TIME_LIMIT,
    )
    provider = OpenAICompatibleProvider(LOCAL, openai_client=client)
    return OpenAIChatModel(local_model.NAME, provider=provider)


def _own_server_model(name: str) -> "Model":
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.profiles import merge_profile
    from pydantic_ai.profiles.openai import OpenAIModelProfile
    from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

    provider = OpenAICompatibleProvider(
        "openai-compatible",
        base_url=settings.AGENT_BASE_URL,
        api_key=settings.AGENT_API_KEY or None,
    )
    profile = merge_profile(
        provider.model_profile(name),
        # Ollama and others take no notice of the newer field for the token limit.
        OpenAIModelProfile(openai_chat_supports_max_completion_tokens=False),
    )
    return OpenAIChatModel(name, provider=provider, profile=profile)


def _hosted_model(text: str) -> "Model":
    from pydantic_ai.exceptions import UserError
    from pydantic_ai.models import infer_model

    _check_hosted(text)
    try:
        return infer_model(text)
    except UserError as error:
        # What it says is for programmers; its variables are what to set.
        variables = re.findall(r"`([A-Z][A-Z0-9_]+)`", error.message)
        if not variables:
            raise ModelNotConfigured(f"The model {text} cannot be used. {_HOW_TO}") from error
        needed = "an API key" if any("KEY" in name for name in variables) else "settings"
        raise ModelNotConfigured(
            f"The model {text} needs {needed}: set {' or '.join(dict.fromkeys(variables))}."
        ) from error
